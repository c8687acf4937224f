//! From a request of the caller's to a response: one hop after another, under one total.

use std::time::Duration;

use http::Version;
use http::header::{self, HeaderValue};
use http_body_util::BodyExt;
use punctual_reactor::{Instant, timeout};

use crate::error::Error;
use crate::http::timeline::{Hop, PhaseTime, Timeline};
use crate::phase::{Watch, Watched};

use super::Client;
use super::attempt::{Attempt, Sent};
use super::body::Body;
use super::origin::{self, Origin};
use super::redirect::{NextBody, Redirects};
use super::request::Parts;
use super::response::Response;
use super::timeouts::Deadlines;
use super::upload::RequestBody;

/// How much of a redirect's own body is read for the sake of its connection, in bytes, and for how long.
const LITTLE: u64 = 2 * 1024;
const AT_ONCE: Duration = Duration::from_millis(100);

pub(super) async fn run(
    client: &Client,
    mut parts: Parts,
    deadlines: Deadlines,
) -> Result<Response, Error> {
    let mut timeline = Timeline::new(deadlines.began, deadlines.timeouts.get_total());
    prepare(client, &mut parts)?;
    let mut redirects = Redirects::new(client.config().redirects_max);
    loop {
        let body = std::mem::take(&mut parts.body);
        let spare = body.try_clone();
        let replay = body.replay();
        let response = one(client, &parts, body, &deadlines, &mut timeline).await?;
        let Parts { method, url, .. } = &parts;
        let next = match redirects.follow(url, method, replay, response.status(), response.headers()) {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(response),
            Err(refusal) => {
                let error = refusal.into_error(origin::shown(url)).with_peer(response.peer);
                return Err(error.with_timeline(response.timeline()));
            }
        };
        timeline = make_way(response).await;
        next.prepare(&mut parts.headers);
        if next.body == NextBody::Same {
            parts.body = spare.unwrap_or_default();
        }
        (parts.method, parts.url) = (next.method, next.url);
    }
}

/// Reads what little a redirect says beside where it leads to, so that its connection can be used again.
async fn make_way(response: Response) -> Timeline {
    let mut body = response.into_body();
    let little = http_body::Body::size_hint(&body).exact().is_some_and(|length| length <= LITTLE);
    if little {
        // What is not there at once costs more than another connection.
        let _ = timeout(AT_ONCE, async { while let Some(Ok(_)) = body.frame().await {} }).await;
    }
    body.timeline()
}

/// The headers that every request has.
fn prepare(client: &Client, parts: &mut Parts) -> Result<(), Error> {
    let config = client.config();
    for (name, value) in &config.headers {
        if !parts.headers.contains_key(name) {
            parts.headers.insert(name, value.clone());
        }
    }
    let defaults = [
        (header::USER_AGENT, config.user_agent.clone()),
        (header::ACCEPT, Some(HeaderValue::from_static("*/*"))),
        (header::AUTHORIZATION, origin::basic_authorization(&parts.url)),
    ];
    for (name, value) in defaults {
        if let (false, Some(value)) = (parts.headers.contains_key(&name), value) {
            parts.headers.insert(name, value);
        }
    }
    // It is in the header now.
    let _ = parts.url.set_username("");
    let _ = parts.url.set_password(None);
    Ok(())
}

/// One request on one connection.
async fn one(
    client: &Client,
    parts: &Parts,
    body: RequestBody,
    deadlines: &Deadlines,
    timeline: &mut Timeline,
) -> Result<Response, Error> {
    let origin = Origin::of(&parts.url)?;
    let shown = origin::shown(&parts.url);
    timeline.hops.push(Hop::new(parts.method.as_str(), shown.as_str(), Instant::now()));
    let watch = Watch::new();
    let mut attempt = Attempt::new(client, parts, &shown, deadlines);
    let sent = watch.during(attempt.run(&origin, body)).await;
    if let Some(hop) = timeline.hops.last_mut() {
        hop.phases = watch.phases().into_iter().map(phase_time).collect();
        hop.peer = attempt.peer();
        hop.reused = attempt.reused();
    }
    let Sent { response, connection, user } = match sent {
        Ok(sent) => sent,
        Err(error) => return Err(error.with_timeline(timeline.clone())),
    };
    let (head, incoming) = response.into_parts();
    if let Some(hop) = timeline.hops.last_mut() {
        hop.status = Some(head.status.as_u16());
        hop.version = Some(version(head.version));
    }
    let of = (shown, connection.ticket(), connection.http2);
    let body = Body::new(incoming, *deadlines, timeline.clone(), of, user);
    Ok(Response { head, url: parts.url.clone(), peer: connection.peer, body })
}

fn phase_time(seen: Watched) -> PhaseTime {
    let time = PhaseTime::new(seen.phase, seen.began, seen.budget.unwrap_or(Duration::MAX));
    match seen.end {
        Some((at, ending)) => time.ended(at, ending),
        None => time,
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}
