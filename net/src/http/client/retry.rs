//! Retries: whether a request that failed may be sent again without the caller's knowledge.
//!
//! Pure rules; [`client`](super) applies them after each attempt that failed. Only what the server cannot have acted on is
//! sent again, or what it may act on twice, and that only where the failure is the everyday one: the server gave up an idle
//! connection while the request was under way to it.
//!
//! ```text
//!  let mut retries = 0;
//!  loop {
//!      let error = match attempt(&request, connection).await { Ok(response) => return Ok(response), Err(error) => error };
//!      let failed = Failed { method: &method, headers: &headers, replay, reused, ended: Ended::NoAnswer, retries, left };
//!      match again(&failed) {
//!          Again::Never(_) => return Err(error),
//!          Again::After { pause, fresh } => {                   // on a new connection if `fresh`
//!              retries += 1;
//!              sleep(pause).await;
//!          }
//!      }
//!  }
//! ```
//!
//! | how it ended | on a connection | sent again |
//! |---|---|---|
//! | [`Unsent`](Ended::Unsent) | any | yes, whatever the method |
//! | [`NoAnswer`](Ended::NoAnswer) | used before | if idempotent |
//! | [`NoAnswer`](Ended::NoAnswer) | new | no: the server had no reason to give it up, and would do the same again |
//! | [`Refused`](Ended::Refused) | any | yes, whatever the method |
//! | [`BeyondGoAway`](Ended::BeyondGoAway) | any | yes, whatever the method |
//! | [`Answered`](Ended::Answered), [`Other`](Ended::Other) | any | no |
//!
//! And in any case only with a body that can be sent [again](Replay), at most [`RETRIES_MAX`] times, and while time is left.
//! What failed before there was a connection is not decided here: [`Error::is_retry_safe`](crate::Error::is_retry_safe).
//!
//! Sources: RFC 9110, section 9.2.2 (a client should not retry what is not idempotent, "unless it has some means to know that the
//! request semantics are actually idempotent", or that "the original request was never applied"); RFC 9112, section 9.3.1 (only on a
//! connection that the server closed; and not after the retry has failed too); RFC 9113, sections 6.8 and 8.7; Go's
//! `shouldRetryRequest`, whose rule for connections used before and whose `Idempotency-Key` these are.

use std::time::Duration;

use http::{HeaderMap, Method};

/// How often one request is sent again at most.
pub(crate) const RETRIES_MAX: u32 = 3;

/// How long is waited before a server that refuses streams is asked for the second time; then twice as long.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether the body of a request can be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replay {
    /// There is none.
    Empty,
    /// Its bytes are still here, all of them.
    Whole,
    /// It came from a stream, which is used up, or may be.
    Never,
}

/// An attempt that failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed<'a> {
    pub(crate) method: &'a Method,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) replay: Replay,
    /// Whether its connection had carried a request before.
    pub(crate) reused: bool,
    pub(crate) ended: Ended,
    /// How often this request has been sent again before.
    pub(crate) retries: u32,
    /// What is left of the time for the whole.
    pub(crate) left: Duration,
}

/// How it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ended {
    /// The connection turned out to be closed before one byte of the request was written: hyper has given the message
    /// back (`TrySendError::take_message`).
    Unsent,
    /// The peer closed or reset the connection, and not one byte of a response had come. That is more than hyper tells by
    /// `is_incomplete_message`, which it says in the middle of a response's head as well: the stream must have counted.
    NoAnswer,
    /// HTTP/2: `RST_STREAM` with `REFUSED_STREAM`: nothing has been done with it (RFC 9113, section 8.7).
    Refused,
    /// HTTP/2: a `GOAWAY` whose last stream is an earlier one, with `NO_ERROR`: nothing has been done with it (section 6.8).
    /// Any other code in it is a complaint, and the same request again is no answer to that: [`Ended::Other`].
    BeyondGoAway,
    /// A part of a response had come, a 1xx included.
    Answered,
    /// A deadline, a cancel, a failed handshake, broken rules; in short, all others.
    Other,
}

/// Whether it is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    Never(Why),
    /// It is, after a pause (mostly none), and if `fresh`, on a connection that is made for it: those that lie idle are likely
    /// to have been closed together with the one that failed.
    After {
        pause: Duration,
        fresh: bool,
    },
}

/// Why it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The server may have acted on it, and must not do so twice.
    MayHaveBeenDone,
    /// The connection was a new one.
    NewConnection,
    /// Its body is used up.
    BodyUsedUp,
    /// It has been sent again often enough.
    Often,
    /// No time is left, or not more than the pause takes.
    NoTime,
}

/// Whether `failed` is sent again.
pub(crate) fn again(failed: &Failed<'_>) -> Again {
    match failed.ended {
        Ended::Answered | Ended::Other => return Again::Never(Why::MayHaveBeenDone),
        Ended::NoAnswer if !failed.reused => return Again::Never(Why::NewConnection),
        Ended::NoAnswer if !is_idempotent(failed.method, failed.headers) => {
            return Again::Never(Why::MayHaveBeenDone);
        }
        Ended::NoAnswer | Ended::Unsent | Ended::Refused | Ended::BeyondGoAway => {}
    }
    if failed.replay == Replay::Never && failed.ended != Ended::Unsent {
        return Again::Never(Why::BodyUsedUp);
    }
    if failed.retries >= RETRIES_MAX {
        return Again::Never(Why::Often);
    }
    // The connection of a refused stream is a good one, but for the number of its streams.
    let refused = failed.ended == Ended::Refused;
    let pause = match failed.retries {
        1.. if refused => PAUSE * 2_u32.pow(failed.retries - 1),
        _ => Duration::ZERO,
    };
    if failed.left <= pause {
        return Again::Never(Why::NoTime);
    }
    Again::After { pause, fresh: !refused }
}

/// Whether doing it twice is the same as doing it once: by its method (RFC 9110, section 9.2.2), or by the word of the
/// caller, an `Idempotency-Key` (as Go's `net/http` has it).
pub(crate) fn is_idempotent(method: &Method, headers: &HeaderMap) -> bool {
    method.is_idempotent() || KEYS.iter().any(|key| headers.contains_key(*key))
}

const KEYS: [&str; 2] = ["idempotency-key", "x-idempotency-key"];

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn failed<'a>(method: &'a Method, headers: &'a HeaderMap, ended: Ended) -> Failed<'a> {
        Failed { method, headers, replay: Replay::Empty, reused: true, ended, retries: 0, left: SECOND }
    }

    const AT_ONCE: Again = Again::After { pause: Duration::ZERO, fresh: true };

    #[test]
    fn p14_only_what_is_idempotent_or_was_not_acted_on_is_sent_again() {
        use Ended::*;
        use Why::*;
        let here = Again::After { pause: Duration::ZERO, fresh: false };
        let never = Again::Never;
        // (how it ended, reused; what becomes of a GET, what of a POST)
        let rows = [
            (Unsent, true, AT_ONCE, AT_ONCE),
            (Unsent, false, AT_ONCE, AT_ONCE),
            (NoAnswer, true, AT_ONCE, never(MayHaveBeenDone)),
            (NoAnswer, false, never(NewConnection), never(NewConnection)),
            (Refused, true, here, here),
            (Refused, false, here, here),
            (BeyondGoAway, true, AT_ONCE, AT_ONCE),
            (BeyondGoAway, false, AT_ONCE, AT_ONCE),
            (Answered, true, never(MayHaveBeenDone), never(MayHaveBeenDone)),
            (Answered, false, never(MayHaveBeenDone), never(MayHaveBeenDone)),
            (Other, true, never(MayHaveBeenDone), never(MayHaveBeenDone)),
            (Other, false, never(MayHaveBeenDone), never(MayHaveBeenDone)),
        ];
        let headers = HeaderMap::new();
        for (ended, reused, of_get, of_post) in rows {
            let get = Failed { reused, ..failed(&Method::GET, &headers, ended) };
            let post = Failed { method: &Method::POST, replay: Replay::Whole, ..get };
            assert_eq!((again(&get), again(&post)), (of_get, of_post), "{ended:?}, reused: {reused}");
        }
    }

    #[test]
    fn p14_which_methods_are_idempotent() {
        let rows = [
            (Method::GET, true),
            (Method::HEAD, true),
            (Method::OPTIONS, true),
            (Method::TRACE, true),
            (Method::PUT, true),
            (Method::DELETE, true),
            (Method::POST, false),
            (Method::PATCH, false),
            (Method::CONNECT, false),
            (Method::from_bytes(b"get").expect("methods are case-sensitive"), false),
            (Method::from_bytes(b"PROPFIND").expect("a token"), false),
        ];
        let none = HeaderMap::new();
        for (method, expected) in rows {
            assert_eq!(is_idempotent(&method, &none), expected, "{method}");
            for key in KEYS {
                let mut keyed = HeaderMap::new();
                keyed.insert(key, http::HeaderValue::from_static(""));
                assert!(is_idempotent(&method, &keyed), "{method} with {key}");
            }
        }
    }

    #[test]
    fn a_body_that_is_used_up_is_not_sent_again_unless_it_was_given_back() {
        let headers = HeaderMap::new();
        for (ended, expected) in [
            (Ended::Unsent, AT_ONCE),
            (Ended::NoAnswer, Again::Never(Why::BodyUsedUp)),
            (Ended::Refused, Again::Never(Why::BodyUsedUp)),
            (Ended::BeyondGoAway, Again::Never(Why::BodyUsedUp)),
        ] {
            let put = Failed { replay: Replay::Never, ..failed(&Method::PUT, &headers, ended) };
            assert_eq!(again(&put), expected, "{ended:?}");
        }
    }

    #[test]
    fn retries_are_counted_and_end_with_the_time() {
        let headers = HeaderMap::new();
        for ended in [Ended::Unsent, Ended::NoAnswer, Ended::BeyondGoAway] {
            let get = failed(&Method::GET, &headers, ended);
            for retries in 0..RETRIES_MAX {
                assert_eq!(again(&Failed { retries, ..get }), AT_ONCE, "{ended:?}, the {retries}th");
            }
            let often = Failed { retries: RETRIES_MAX, ..get };
            assert_eq!(again(&often), Again::Never(Why::Often), "{ended:?}");
            let late = Failed { left: Duration::ZERO, ..get };
            assert_eq!(again(&late), Again::Never(Why::NoTime), "{ended:?}");
        }
    }

    #[test]
    fn a_server_that_refuses_streams_is_given_time_but_not_more_than_there_is() {
        let headers = HeaderMap::new();
        let refused = failed(&Method::POST, &headers, Ended::Refused);
        let paused = |retries, left| again(&Failed { retries, left, ..refused });
        let after = |pause| Again::After { pause, fresh: false };
        assert_eq!(paused(0, SECOND), after(Duration::ZERO));
        assert_eq!(paused(1, SECOND), after(PAUSE));
        assert_eq!(paused(2, SECOND), after(PAUSE * 2));
        assert_eq!(paused(2, PAUSE * 2), Again::Never(Why::NoTime));
        assert_eq!(paused(3, SECOND), Again::Never(Why::Often));
    }
}
