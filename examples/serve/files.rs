//! Files below the root, streamed in bounded memory.
//!
//! A path is followed through symbolic links, and what it leads to must lie below the root: a link that leads out of it
//! is not found. It is looked at before it is opened, so the tree is trusted not to be changed by an enemy
//! in between.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::body::Bytes;
use hyper::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_RANGE,
    LAST_MODIFIED, LOCATION, RANGE,
};
use hyper::{Method, Request, StatusCode};
use punctual::{blocking, fs, timeout};

use crate::content::{self, Answer, Content};
use crate::range::{self, Asked};
use crate::{listing, paths};

/// For each look at the disk, and each read.
const DISK: Duration = Duration::from_secs(10);

/// What is read at a time; of each answer there is one such part in memory, beside what the connection keeps.
const PART: u64 = 64 * 1024;

enum Found {
    File(File, Metadata),
    Directory(Vec<String>),
}

pub(crate) async fn answer<B>(root: &Path, request: &Request<B>) -> Answer {
    let path = request.uri().path();
    let Some(below) = paths::below_root(path) else { return not_found() };
    let (root, wanted) = (root.to_owned(), root.join(below));
    let found = timeout(DISK, blocking(move || look(&root, wanted))).await;
    match found {
        Ok(Ok(Ok(Found::File(..)))) if path.ends_with('/') => not_found(),
        Ok(Ok(Ok(Found::File(file, metadata)))) => of_file(request, file, &metadata),
        // Without the slash its links would lead elsewhere.
        Ok(Ok(Ok(Found::Directory(_)))) if !path.ends_with('/') => moved(path),
        Ok(Ok(Ok(Found::Directory(names)))) => {
            let page = Bytes::from(listing::page(path, &names));
            let length = page.len() as u64;
            let page = content::boxed(http_body_util::Full::new(page));
            let page = if request.method() == Method::HEAD { content::empty() } else { page };
            let mut answer = content::typed(StatusCode::OK, "text/html; charset=utf-8", page);
            put(&mut answer, CONTENT_LENGTH, length);
            answer
        }
        Ok(Ok(Err(error))) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename => not_found(),
            ErrorKind::PermissionDenied => content::text(StatusCode::FORBIDDEN, "not for you\n"),
            _ => content::text(StatusCode::INTERNAL_SERVER_ERROR, "the file cannot be read\n"),
        },
        // The disk is slow, or too many wait for it.
        Ok(Err(_)) | Err(_) => content::text(StatusCode::SERVICE_UNAVAILABLE, "try again later\n"),
    }
}

/// On a thread that may block.
fn look(root: &Path, wanted: PathBuf) -> io::Result<Found> {
    let real = wanted.canonicalize()?;
    if !real.starts_with(root) {
        return Err(ErrorKind::NotFound.into());
    }
    let metadata = real.metadata()?;
    if metadata.is_dir() {
        return listing::names(real.read_dir()?).map(Found::Directory);
    }
    if !metadata.is_file() {
        // To open a pipe may take for ever.
        return Err(ErrorKind::NotFound.into());
    }
    let file = File::open(real)?;
    let metadata = file.metadata()?;
    Ok(Found::File(file, metadata))
}

fn of_file<B>(request: &Request<B>, file: File, metadata: &Metadata) -> Answer {
    let header = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    // A date has whole seconds.
    let modified = metadata.modified().ok().map(httpdate::HttpDate::from);
    let since = header(IF_MODIFIED_SINCE).and_then(|date| date.parse::<httpdate::HttpDate>().ok());
    let length = metadata.len();
    // A part of another version would not fit what the client has.
    let same = header(IF_RANGE).is_none_or(|date| date.parse().ok() == modified && modified.is_some());
    let asked = match header(RANGE).filter(|_| same && request.method() == Method::GET) {
        Some(range) => range::of(range, length),
        None => Asked::All,
    };
    let mut answer = match asked {
        _ if since.is_some() && modified <= since => {
            content::answer(StatusCode::NOT_MODIFIED, content::empty())
        }
        Asked::Beyond => {
            let mut answer = content::text(StatusCode::RANGE_NOT_SATISFIABLE, "");
            put(&mut answer, CONTENT_RANGE, format!("bytes */{length}"));
            return answer;
        }
        Asked::Part(part) => {
            let said = format!("bytes {}-{}/{length}", part.start, part.end - 1);
            let count = part.end - part.start;
            let mut answer = whole(request, StatusCode::PARTIAL_CONTENT, file, part.start, count);
            put(&mut answer, CONTENT_RANGE, said);
            answer
        }
        Asked::All => whole(request, StatusCode::OK, file, 0, length),
    };
    put(&mut answer, ACCEPT_RANGES, "bytes");
    modified.into_iter().for_each(|modified| put(&mut answer, LAST_MODIFIED, modified));
    answer
}

fn whole<B>(request: &Request<B>, status: StatusCode, file: File, from: u64, count: u64) -> Answer {
    let of_head = request.method() == Method::HEAD;
    let content = if of_head { content::empty() } else { stream(file, from, count) };
    let mut answer = content::typed(status, kind(request.uri().path()), content);
    put(&mut answer, CONTENT_LENGTH, count);
    answer
}

/// A part is read when the one before has been taken: a client that reads slowly holds one in memory.
fn stream(file: File, from: u64, count: u64) -> Content {
    let file = fs::File::from_std(file);
    file.set_timeout(Some(DISK));
    content::unfold(count, (file, from, count), |(file, at, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let mut part = vec![0; usize::try_from(left.min(PART))?];
        let read = file.read_at(&mut part, at).await?;
        if read == 0 {
            // The length has been promised: the connection must not say that this was all.
            return Err(io::Error::from(ErrorKind::UnexpectedEof).into());
        }
        part.truncate(read);
        let read = read as u64;
        Ok(Some((Bytes::from(part), (file, at + read, left - read))))
    })
}

fn kind(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "txt" | "md" | "rs" | "toml" | "log" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "wasm" => "application/wasm",
        "pdf" => "application/pdf",
        "xml" => "application/xml",
        _ => "application/octet-stream",
    }
}

fn moved(path: &str) -> Answer {
    // Two slashes in front would name another host.
    let path = path.trim_start_matches('/');
    let mut answer = content::text(StatusCode::MOVED_PERMANENTLY, "a directory: see there\n");
    put(&mut answer, LOCATION, format!("/{path}/"));
    answer
}

fn not_found() -> Answer {
    content::text(StatusCode::NOT_FOUND, "not found\n")
}

/// What is no header, as a path of strange bytes, is left out.
fn put(answer: &mut Answer, name: HeaderName, value: impl ToString) {
    if let Ok(value) = HeaderValue::from_str(&value.to_string()) {
        answer.headers_mut().insert(name, value);
    }
}
