//! Clients of HTTP: requests straight and through the proxy, over HTTP/1.1 and HTTP/2, given up at any moment.

use std::fmt::Display;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use punctual::http::{Client, Timeouts};
use punctual::net::{Error, Kind};
use punctual::{scope, sleep, timeout};
use punctual_tests_stress::rig::{now_ns, since};

use super::drawn::Bound;
use super::{GENEROUS, Stage};
use crate::ledger::ending;

/// More is not read of any body.
const LIMIT: usize = 1 << 20;

/// One task's clients: a pool each.
struct Web {
    stage: Rc<Stage>,
    slot: u32,
    /// HTTP/1.1 and HTTP/2.
    clients: [Client; 2],
    rng: Rng,
    sent: u64,
}

/// What a request came to that was not given up.
enum Answer {
    Whole,
    /// One byte of it was another.
    Damaged,
    Failed(Error),
    Dropped,
    /// Another's.
    Astray(String),
}

pub(super) async fn live(number: u32, stage: Rc<Stage>) {
    let slot = stage.slots + number;
    let rng = Rng::with_seed(stage.seed ^ (u64::from(number) << 40));
    let mut web = Web { stage: stage.clone(), slot, clients: clients(), rng, sent: 0 };
    while !stage.healed.get() {
        web.rest().await;
        let proxied = web.rng.u8(..3) > 0;
        web.request(usize::from(proxied), false).await;
    }
    // What was broken before stays so; what begins now must be perfect.
    web.clients = clients();
    web.request(0, true).await;
    web.request(1, true).await;
    stage.monitor.rests(slot);
}

fn clients() -> [Client; 2] {
    // Tasks bound a request as they like; nothing else is to.
    let timeouts = Timeouts::new().total(2 * GENEROUS).first_byte(2 * GENEROUS).body_idle(2 * GENEROUS);
    let timeouts = timeouts.connect(GENEROUS).throughput(None);
    [
        Client::builder().timeouts(timeouts).build(),
        Client::builder().timeouts(timeouts).http2_prior_knowledge().build(),
    ]
}

impl Web {
    async fn rest(&mut self) {
        let pause = self.stage.pause.get().as_micros() as u64 / 4;
        sleep(Duration::from_micros(self.rng.u64(..pause.max(1)))).await;
    }

    async fn request(&mut self, route: usize, last: bool) {
        let kind = [["http, straight", "http/2, straight"], ["http, proxied", "http/2, proxied"]];
        let version = self.rng.usize(..2);
        let kind = if last { "http, last" } else { kind[route][version] };
        let tight = !last && !self.stage.patient.get() && self.rng.u8(..3) == 0;
        let mut bound = Bound::draw(&mut self.rng, tight);
        let suspicious = route == 1 && !tight && !self.stage.patient.get();
        if suspicious {
            bound = Bound::Deadline(Duration::from_secs(2));
        }
        let body = self.body();
        let later = if self.rng.u8(..4) == 0 { self.rng.u32(..30) } else { 0 };
        let url = format!("http://{}/later/{later}", self.stage.http[route]);
        let client = self.clients[version].clone();
        // A body that is let go of midway takes its connection along.
        let halfway = !last && self.rng.u8(..10) == 0;
        self.stage.monitor.expects(self.slot, kind, bound.time() + 2 * GENEROUS);
        let running = self.stage.ledger.begin(kind);
        let armed_ns = now_ns();
        let answer = self.within(bound, armed_ns, ask(&client, &url, &body, bound, halfway)).await;
        let (name, fine) = match &answer {
            Answer::Whole => ("ok", true),
            Answer::Dropped => ("dropped", true),
            Answer::Astray(_) => ("astray", false),
            Answer::Damaged => ("damaged", route == 1 && !last),
            Answer::Failed(error) => {
                if error.is_timeout() {
                    self.stage.ledger.timed_out(kind, armed_ns, Duration::ZERO, error);
                }
                let may_time_out = error.is_timeout() && (tight || suspicious);
                let may_fail = route == 1 && !last && is_of_the_network(error);
                (ending(error.kind()), may_time_out || may_fail)
            }
        };
        running.end(name);
        if !fine {
            let told = match answer {
                Answer::Failed(error) => error.to_string(),
                Answer::Astray(what) => what,
                _ => name.to_owned(),
            };
            let passed = since(armed_ns);
            self.stage.ledger.violation(format!("{kind}, bound {bound:?}, after {passed:?}: {told}"));
        }
    }

    /// Words that only this request has.
    fn body(&mut self) -> String {
        self.sent += 1;
        let length =
            if self.rng.u8(..16) == 0 { self.rng.usize(..50_000) } else { self.rng.usize(..500) };
        let mut body = format!("client {} request {}:", self.slot, self.sent);
        let mut key = Rng::with_seed(u64::from(self.slot) << 32 ^ self.sent);
        body.extend((0..length).map(|_| key.alphanumeric()));
        body
    }

    async fn within(
        &self,
        bound: Bound,
        armed_ns: u64,
        request: impl Future<Output = Answer>,
    ) -> Answer {
        let early = |what: &dyn Display, time: Duration| {
            let passed = since(armed_ns);
            if passed < time {
                self.stage.ledger.violation(format!("early: {what} of {time:?} after {passed:?}"));
            }
        };
        match bound {
            // Within the request itself.
            Bound::Timeout(time) => {
                let answer = request.await;
                if let Answer::Failed(error) = &answer
                    && error.is_timeout()
                    && !is_of_a_ping(error)
                {
                    early(&format_args!("a request's total ({error})"), time);
                }
                answer
            }
            Bound::Deadline(time) | Bound::Dropped(time) => match timeout(time, request).await {
                Ok(answer) => answer,
                Err(_) => {
                    early(&"a timeout around a request", time);
                    Answer::Dropped
                }
            },
            Bound::Scope(time) => match scope("request", time, async |_| request.await).await {
                Ok(answer) => answer,
                Err(error) => {
                    early(&"the scope of a request", time);
                    error.into_value().unwrap_or(Answer::Dropped)
                }
            },
        }
    }
}

async fn ask(client: &Client, url: &str, body: &str, bound: Bound, halfway: bool) -> Answer {
    let mut request = client.put(url).body(body.to_owned());
    if let Bound::Timeout(time) = bound {
        request = request.timeout(time);
    }
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) => return Answer::Failed(error),
    };
    let status = response.status();
    if halfway {
        drop(response);
        return Answer::Dropped;
    }
    let came = match response.bytes(LIMIT).await {
        Ok(came) => came,
        Err(error) => return Answer::Failed(error),
    };
    if came == body.as_bytes() {
        return Answer::Whole;
    }
    let wrong = came.iter().zip(body.as_bytes()).filter(|(came, sent)| came != sent);
    let wrong: Vec<_> = wrong.map(|(came, sent)| came ^ sent).collect();
    if came.len() == body.len() && wrong == [0x20] {
        return Answer::Damaged;
    }
    // A head that was damaged has another answer than one that was understood; that is not another's answer.
    if status != 200 || (came.is_empty() && !body.is_empty()) {
        return Answer::Damaged;
    }
    let others = format!("{} of {} bytes are others", wrong.len(), body.len());
    Answer::Astray(format!("over HTTP, {status}: {others}"))
}

/// What a proxy that resets, cuts, corrupts and stalls may bring about.
fn is_of_the_network(error: &Error) -> bool {
    matches!(
        error.kind(),
        Kind::Kernel(_) | Kind::UnexpectedEof | Kind::Protocol | Kind::Closed | Kind::LimitExceeded
    ) || is_of_a_ping(error)
}

/// A stall lets the PING of its connection go without an answer for as long as that may take. It may have been sent for a
/// request before this one, and its time be over at any moment of this.
fn is_of_a_ping(error: &Error) -> bool {
    error.is_timeout() && error.to_string().contains("has not answered an HTTP/2 PING")
}
