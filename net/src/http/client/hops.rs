//! From a request of the caller's to a response: one hop after another, under one total.

use std::time::Duration;

use http::Version;
use http::header::{self, HeaderValue};
use http_body_util::BodyExt;
use punctual_reactor::{Instant, sleep_until, timeout};

use crate::error::Error;
use crate::http::timeline::{Hop, PhaseTime, Timeline};
use crate::phase::{Bounds, Watch, Watched};

use super::Client;
use super::attempt::{Attempt, Sent};
use super::body::Body;
use super::origin::{self, Origin};
use super::pool::Key;
use super::redirect::{NextBody, Redirects};
use super::request::Parts;
use super::response::Response;
use super::retry::{self, Again, Ended, Failed, Replay};
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
    prepare(client, &mut parts);
    let mut redirects = Redirects::new(client.config().redirects_max);
    let mut hops = Hops {
        client,
        deadlines,
        timeline: Timeline::new(deadlines.began, deadlines.timeouts.get_total()),
    };
    loop {
        let replay = parts.body.replay();
        let response = hops.answered(&mut parts).await?;
        let (status, headers) = (response.status(), response.headers());
        match redirects.follow(&parts.url, &parts.method, replay, status, headers) {
            Ok(None) => return Ok(response),
            Ok(Some(next)) => {
                hops.timeline = make_way(response).await;
                next.prepare(&mut parts.headers);
                if next.body == NextBody::None {
                    parts.body = RequestBody::empty();
                }
                (parts.method, parts.url) = (next.method, next.url);
            }
            Err(refusal) => {
                let error = refusal.into_error(origin::shown(&parts.url)).with_peer(response.peer());
                return Err(error.with_timeline(response.timeline()));
            }
        }
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
fn prepare(client: &Client, parts: &mut Parts) {
    let config = client.config();
    let mut headers = config.headers.clone();
    for name in parts.headers.keys() {
        headers.remove(name);
    }
    let own = [
        (header::USER_AGENT, config.user_agent.clone()),
        (header::ACCEPT, Some(HeaderValue::from_static("*/*"))),
        (header::AUTHORIZATION, origin::basic_authorization(&parts.url)),
    ];
    for (name, value) in own {
        if let (false, Some(value)) = (parts.headers.contains_key(&name), value) {
            headers.entry(name).or_insert(value);
        }
    }
    parts.headers.extend(headers);
    // They are in the header now. It fails only for URLs that cannot have any.
    let _ = parts.url.set_username("");
    let _ = parts.url.set_password(None);
}

/// What all hops of a request share.
struct Hops<'a> {
    client: &'a Client,
    deadlines: Deadlines,
    timeline: Timeline,
}

impl Hops<'_> {
    /// One request, sent again if that is safe, until it is answered.
    async fn answered(&mut self, parts: &mut Parts) -> Result<Response, Error> {
        let (mut retries, mut fresh) = (0, false);
        loop {
            let replay = parts.body.replay();
            // A stream is used up by being sent; bytes are only referred to.
            let body = parts.body.try_clone().unwrap_or_else(|| std::mem::take(&mut parts.body));
            let (error, how) = match self.one(parts, body, fresh).await {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            let error = error.with_timeline(self.timeline.clone());
            let Some(How { ended, reused, given_back }) = how else { return Err(error) };
            if let (Replay::Never, Some(body)) = (replay, given_back) {
                parts.body = body;
            }
            let error = match ended {
                Ended::Unsent | Ended::Refused | Ended::BeyondGoAway => error.harmless(),
                Ended::NoAnswer if retry::is_idempotent(&parts.method, &parts.headers) => {
                    error.harmless()
                }
                _ => error,
            };
            let (method, headers) = (&parts.method, &parts.headers);
            let left = self.deadlines.total - Instant::now();
            let failed = Failed { method, headers, replay, reused, ended, retries, left };
            match retry::again(&failed) {
                Again::Never(_) => return Err(error),
                Again::After { pause, fresh: anew } => {
                    retries += 1;
                    fresh = anew;
                    self.pause(pause, parts).await?;
                }
            }
        }
    }

    async fn pause(&self, pause: Duration, parts: &Parts) -> Result<(), Error> {
        if pause.is_zero() {
            return Ok(());
        }
        let until = Instant::now() + pause;
        let waited = async {
            sleep_until(until).named("retry-pause").await;
            Ok::<_, Error>(())
        };
        let limit = self.deadlines.total(crate::Phase::Request);
        let bounds = Bounds::of(crate::Phase::Request).limit(limit).endpoint(origin::shown(&parts.url));
        bounds.run(waited).await.map_err(|error| error.with_timeline(self.timeline.clone()))
    }

    /// One request on one connection.
    async fn one(
        &mut self,
        parts: &Parts,
        body: RequestBody,
        fresh: bool,
    ) -> Result<Response, (Error, Option<How>)> {
        let origin = Origin::of(&parts.url).map_err(|error| (error, None))?;
        let shown = origin::shown(&parts.url);
        let key = Key::new(origin, self.client.config().prior_knowledge);
        self.timeline.hops.push(Hop::new(parts.method.as_str(), shown.as_str(), Instant::now()));
        let watch = Watch::new();
        let mut attempt = Attempt::new(self.client, parts, &shown, &self.deadlines);
        let sent = watch.during(attempt.run(&key, fresh, body)).await;
        if let Some(hop) = self.timeline.hops.last_mut() {
            hop.phases = watch.phases().into_iter().map(phase_time).collect();
            hop.peer = attempt.peer();
            hop.reused = attempt.reused();
        }
        let Sent { response, connection, number, user } = match sent {
            Ok(sent) => sent,
            Err(error) => {
                if attempt.was_silent() {
                    attempt.distrust(&error);
                    if attempt.reused() {
                        self.client.pool().quarantine(&key, attempt.idle_since());
                    }
                }
                return Err((error, attempt.how()));
            }
        };
        let (head, incoming) = response.into_parts();
        if let Some(hop) = self.timeline.hops.last_mut() {
            hop.status = Some(head.status.as_u16());
            hop.version = Some(version(head.version));
        }
        let of = (shown, connection.ticket(), number);
        let body = Body::new(incoming, self.deadlines, self.timeline.clone(), of, user);
        Ok(Response { head, url: parts.url.clone(), peer: connection.peer, body })
    }
}

/// How an attempt failed on a connection.
pub(super) struct How {
    pub(super) ended: Ended,
    pub(super) reused: bool,
    pub(super) given_back: Option<RequestBody>,
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
