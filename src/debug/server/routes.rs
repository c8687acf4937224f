//! What can be asked for.

use std::future::{Future, poll_fn};
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use hyper::Request;
use hyper::header;

use super::answer::{Answer, HTML, StatusCode, TEXT};
use super::progress::Progress;
use super::site::Site;
use crate::debug::State;
use crate::debug::pages::{self, Look};
use crate::prometheus;

/// One path. To add another, add it to [`ROUTES`].
pub(super) struct Route {
    pub(super) path: &'static str,
    /// A line for the index; empty for what pages fetch themselves.
    pub(super) about: &'static str,
    answer: fn(Asked) -> Answering,
}

type Answering = Pin<Box<dyn Future<Output = Answered>>>;
type Answered = Result<Answer, BadQuery>;

/// What is wrong with the query, in a sentence.
struct BadQuery(String);

pub(super) const ROUTES: &[Route] = &[
    Route { path: "/", about: "This list.", answer: |_| Box::pin(index()) },
    Route {
        path: "/debug/drift",
        about: "How late everything fired, through whom, and who held the loop: as a page.",
        answer: |asked| Box::pin(drift(asked)),
    },
    Route {
        path: "/debug/waits",
        about: "What waits now, since when and until when. ?format=text or html.",
        answer: |asked| Box::pin(waits(asked)),
    },
    Route {
        path: "/debug/state",
        about: "All of it as one JSON document, for programs.",
        answer: |_| Box::pin(state()),
    },
    Route {
        path: "/metrics",
        about: "The metrics, in the text format of Prometheus.",
        answer: |_| Box::pin(metrics()),
    },
    Route {
        path: "/debug/pprof/profile",
        about: "A CPU profile. ?seconds=1 to 120, ?format=proto or svg.",
        answer: |asked| Box::pin(profile(asked)),
    },
    Route {
        path: "/style.css",
        about: "",
        answer: |_| Box::pin(async { Ok(Answer::new("text/css; charset=utf-8", pages::STYLE)) }),
    },
    Route {
        path: "/live.js",
        about: "",
        answer: |_| Box::pin(async { Ok(Answer::new("text/javascript; charset=utf-8", pages::SCRIPT)) }),
    },
];

/// What a route is told of its request.
pub(super) struct Asked {
    query: String,
    html: bool,
    head: bool,
    site: Rc<Site>,
    progress: Rc<Progress>,
}

impl Asked {
    /// The last value of `key` in the query, as it stands there.
    fn value(&self, key: &str) -> Option<&str> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(name, _)| *name == key).map(|(_, value)| value).next_back()
    }

    /// A whole number within bounds.
    fn number(&self, key: &str, bounds: RangeInclusive<u64>, default: u64) -> Result<u64, BadQuery> {
        let Some(text) = self.value(key) else { return Ok(default) };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits && bounds.contains(&number) => Ok(number),
            _ => {
                let (low, high) = (bounds.start(), bounds.end());
                Err(BadQuery(format!("{key} is a whole number from {low} to {high}.")))
            }
        }
    }

    fn wants_html(&self) -> Result<bool, BadQuery> {
        match self.value("format") {
            None => Ok(self.html),
            Some("html") => Ok(true),
            Some("text") => Ok(false),
            Some(_) => Err(BadQuery("format is text or html.".to_owned())),
        }
    }
}

pub(super) async fn answer<B>(request: &Request<B>, site: &Rc<Site>, progress: &Rc<Progress>) -> Answer {
    let path = request.uri().path();
    let Some(route) = ROUTES.iter().find(|route| route.path == path) else {
        let mut sentence = String::from("There is no such page. There are:\n");
        ROUTES.iter().filter(|route| !route.about.is_empty()).for_each(|route| {
            sentence.push_str("\n  ");
            sentence.push_str(route.path);
        });
        return Answer::sentence(StatusCode::NOT_FOUND, sentence);
    };
    let accepts = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let asked = Asked {
        query: request.uri().query().unwrap_or_default().to_owned(),
        html: accepts.is_some_and(|accepts| accepts.contains("text/html")),
        head: request.method() == hyper::Method::HEAD,
        site: site.clone(),
        progress: progress.clone(),
    };
    // hyper goes on to the next of many that were sent at once: in between it is the others' turn.
    punctual_reactor::yield_now().await;
    let mut answering = (route.answer)(asked);
    // A page that panics is no reason to end the endpoint, with all the others that it serves.
    let answered = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| answering.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    });
    match answered.await {
        Some(Ok(answer)) => answer,
        Some(Err(BadQuery(sentence))) => Answer::sentence(StatusCode::BAD_REQUEST, sentence),
        None => {
            Answer::sentence(StatusCode::INTERNAL_SERVER_ERROR, "This page has panicked: see the logs.")
        }
    }
}

async fn index() -> Answered {
    Ok(Answer::new(HTML, pages::index(ROUTES.iter().map(|route| (route.path, route.about)))))
}

async fn drift(asked: Asked) -> Answered {
    let refresh = asked.number("refresh", 0..=3600, 2)?;
    let turns_per_second = asked.site.turns_per_second();
    let look = Look { state: State::of_current(), turns_per_second, refresh };
    Ok(Answer::new(HTML, pages::drift(&look).await))
}

async fn waits(asked: Asked) -> Answered {
    Ok(match asked.wants_html()? {
        true => Answer::new(HTML, pages::waits_html(&crate::waits()).await),
        false => Answer::new(TEXT, pages::waits_text(&crate::waits()).await),
    })
}

async fn state() -> Answered {
    Ok(match serde_json::to_vec(&State::of_current()) {
        Ok(json) => Answer::new("application/json", json),
        Err(error) => Answer::sentence(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    })
}

async fn metrics() -> Answered {
    Ok(Answer::new(prometheus::CONTENT_TYPE, prometheus::encode(&crate::metrics())))
}

/// A profile takes as long as is asked for, and the answer so much longer. One whose client goes is given up.
async fn profile(asked: Asked) -> Answered {
    let seconds = asked.number("seconds", 1..=PROFILE_MAX, 10)?;
    let format = match asked.value("format") {
        None | Some("proto") => Format::Proto,
        Some("svg") => Format::Svg,
        Some(_) => return Err(BadQuery("format is proto or svg.".to_owned())),
    };
    if asked.head {
        return Ok(Answer::new(format.content_type(), ""));
    }
    asked.progress.allow(Duration::from_secs(seconds));
    Ok(take_profile(Duration::from_secs(seconds), format).await)
}

/// The longest profile, in seconds.
const PROFILE_MAX: u64 = 120;

#[derive(Clone, Copy)]
enum Format {
    Proto,
    Svg,
}

impl Format {
    fn content_type(self) -> &'static str {
        match self {
            Format::Proto => "application/octet-stream",
            Format::Svg => "image/svg+xml",
        }
    }
}

#[cfg(feature = "pprof")]
async fn take_profile(duration: Duration, format: Format) -> Answer {
    use std::io;

    let profile = async {
        let profile = crate::profile::cpu(duration).await?;
        // To write it down takes a while, too: not on the loop.
        let pool = crate::BlockingPool::new(1, 1)?;
        let written = pool.run(move || match format {
            Format::Proto => Ok(profile.to_pprof()),
            Format::Svg => profile.flamegraph(),
        });
        written.await.map_err(io::Error::other)?
    };
    match profile.await {
        Ok(bytes) => Answer::new(format.content_type(), bytes),
        Err(error) => {
            let status = match error.kind() {
                io::ErrorKind::ResourceBusy => StatusCode::SERVICE_UNAVAILABLE,
                io::ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            Answer::sentence(status, format!("No profile: {error}."))
        }
    }
}

#[cfg(not(feature = "pprof"))]
async fn take_profile(_: Duration, _: Format) -> Answer {
    let sentence = "Profiles are not built in: turn on the feature `pprof` of punctual.";
    Answer::sentence(StatusCode::NOT_IMPLEMENTED, sentence)
}
