//! What the error of a timeout says of its reason. Every fault is made for real; what needs its own network runs this
//! binary again inside a namespace.

mod loopback;
mod namespaces;
mod once;
mod others;

use std::time::Duration;

use punctual::net::{Diagnosis, Error, Kind, Phase, TcpStream};
use punctual::reactor::Direction;

use crate::support::{MS, now_ns};

/// A timeout that is about to be made: when it was armed, and how long it is.
struct Armed {
    bound: Duration,
    at_ns: u64,
    name: Option<&'static str>,
    of_scope: bool,
}

impl Armed {
    fn with(bound: Duration) -> Armed {
        Armed { bound, at_ns: now_ns(), name: None, of_scope: false }
    }

    /// Of a deadline that has this name.
    fn named(self, name: &'static str) -> Armed {
        Armed { name: Some(name), ..self }
    }

    /// Of the deadline of a scope that has this name.
    fn of_scope(self, name: &'static str) -> Armed {
        Armed { name: Some(name), of_scope: true, ..self }
    }

    /// What every timeout of ours has to say of itself, whatever its reason, which is returned.
    #[track_caller]
    fn ended_by(&self, error: &Error, phase: Phase) -> Diagnosis {
        let (passed, bound) = (Duration::from_nanos(now_ns() - self.at_ns), self.bound);
        assert_eq!((error.kind(), error.phase()), (Kind::Timeout, phase), "{error}");
        assert!(passed >= bound, "early: {passed:?} of {bound:?}: {error}");
        let info = error.deadline().expect("a deadline");
        assert_eq!(info.budget(), Some(bound), "{error}");
        let scope = self.name.filter(|_| self.of_scope);
        assert_eq!((info.name(), info.scope()), (self.name, scope), "{error}");
        let idle = (phase == Phase::Read && !self.of_scope).then_some("idle timeout");
        assert_eq!(info.description(), idle, "{error}");
        assert!(info.fired() >= info.deadline() && !info.before_it_began(), "{error}");
        assert_eq!(info.lateness(), info.fired() - info.deadline());
        let elapsed = info.elapsed().expect("when it began");
        // In a scope it began later than the budget, which is the scope's.
        let at_least = if self.of_scope { Duration::ZERO } else { bound };
        assert!((at_least..=passed).contains(&elapsed), "{elapsed:?} of {passed:?}: {error}");
        let firing = info.firing().expect("how it came about");
        assert_eq!((firing.deadline, firing.fired), (info.deadline(), info.fired()), "{error}");
        assert_eq!(firing.quantisation + firing.kernel + firing.in_loop, info.lateness(), "{error}");
        let here = info.location().is_some_and(|at| at.file().contains("diagnosis"));
        assert!(here, "set at {:?}: {error}", info.location());
        assert_eq!(error.is_retry_safe(), phase == Phase::Connect, "{error}");
        let diagnosis = error.diagnosis().unwrap_or_else(|| panic!("no diagnosis: {error}")).clone();
        let sentence = error.to_string();
        assert!(sentence.contains(&format!("; {diagnosis}), fired ")), "{sentence}");
        diagnosis
    }
}

/// A read of at most `bound`, from a peer that says nothing, and how late it ended.
async fn read_and_be_late(stream: &TcpStream, bound: Duration) -> (Diagnosis, Duration) {
    stream.set_read_timeout(Some(bound)).expect("open");
    let armed = Armed::with(bound);
    let error = stream.read(&mut [0; 64]).await.expect_err("nothing is said");
    assert_eq!(error.peer(), Some(stream.peer_addr()));
    (armed.ended_by(&error, Phase::Read), error.deadline().expect("a deadline").lateness())
}

/// The same where the loop is not what is looked at.
async fn read_in_vain(stream: &TcpStream, bound: Duration) -> Diagnosis {
    let (diagnosis, _) = read_and_be_late(stream, bound).await;
    or_of_kernel(diagnosis, || stream.diagnose(Direction::Read))
}

/// A busy machine holds our loop up, which is then the reason, and rightly so; what the kernel thinks is asked then.
fn or_of_kernel(diagnosis: Diagnosis, ask: impl FnOnce() -> Option<Diagnosis>) -> Diagnosis {
    match diagnosis {
        Diagnosis::LoopLate { by, .. } => {
            assert!(by >= 20 * MS, "{by:?} is no reason");
            ask().expect("a reason of the kernel's")
        }
        diagnosis => diagnosis,
    }
}

/// A write of more than anything takes, for at most `bound`.
async fn write_in_vain(stream: &TcpStream, bound: Duration) -> (Diagnosis, u64) {
    stream.set_write_timeout(Some(bound)).expect("open");
    let armed = Armed::with(bound);
    let error = stream.write_all(&vec![0x5a; 64 << 20]).await.expect_err("nobody reads that much");
    let diagnosis = armed.ended_by(&error, Phase::Write);
    (or_of_kernel(diagnosis, || stream.diagnose(Direction::Write)), error.transferred())
}
