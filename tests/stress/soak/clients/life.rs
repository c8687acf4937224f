//! One client: connection after connection, each with its script drawn from its number.

use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use punctual::net::{Connect, Error, Kind, TcpStream};
use punctual::sleep;
use punctual_tests_stress::proxy::{Fault, Faults, NARROW};
use punctual_tests_stress::rig::{self, MS, now_ns, since};

use super::drawn::tight_time;
use super::foreign::Shot;
use super::operations::Client;
use super::{DIALLING, GENEROUS, Stage};
use crate::ledger::ending;
use crate::wire::{Bad, Identity};

/// Until the network has healed, and then one connection more, which has to be perfect.
pub(super) async fn live(slot: u32, stage: Rc<Stage>) {
    // All at once they would only wait for each other.
    sleep(MS * (slot / 4)).await;
    for life in 0.. {
        let last = stage.healed.get();
        let clean = connection(Identity { slot, life }, &stage, last).await;
        if last {
            if !clean {
                let what = "begun after the network had healed, did not finish";
                stage.ledger.violation(format!("a connection of client {slot}, {what}"));
            }
            break;
        }
    }
    stage.monitor.rests(slot);
}

/// One connection; whether it went to its end undisturbed.
async fn connection(identity: Identity, stage: &Rc<Stage>, last: bool) -> bool {
    let mut rng = Rng::with_seed(stage.seed ^ identity.to_word().wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let faults = if last { Faults::NONE } else { identity.faults(stage.slots, stage.seed) };
    if !last && rng.u8(..50) == 0 {
        refused(stage).await;
    }
    let bound =
        if !last && !stage.patient.get() && rng.u8(..30) == 0 { tight_time(&mut rng) } else { GENEROUS };
    let Some(stream) = dial(identity, stage, bound, &mut rng).await else { return false };
    if rng.u8(..4) == 0 {
        let narrow = stream.set_send_buffer_size(NARROW);
        narrow.expect("open");
    }
    let token = stream.token();
    stage.live.set(stage.live.get() + 1);
    let mut client = Client::new(stage.clone(), stream, identity, faults, rng);
    let ended = client.talk(last).await;
    let clean = ended.is_ok();
    if let Err(bad) = ended {
        judge(stage, identity, faults, &bad);
    }
    drop(client);
    stage.live.set(stage.live.get() - 1);
    stage.shoot(identity.slot, Shot::Ended(token));
    clean
}

/// Nobody listens there.
async fn refused(stage: &Stage) {
    let running = stage.ledger.begin("dial the deaf");
    match TcpStream::connect(stage.closed).await {
        Err(error) if error.kind() == Kind::Kernel(rig::ECONNREFUSED) => running.end("refused"),
        other => {
            stage.ledger.violation(format!("a dial that is refused: {other:?}"));
            running.end("other");
        }
    }
}

async fn dial(identity: Identity, stage: &Stage, bound: Duration, rng: &mut Rng) -> Option<TcpStream> {
    while stage.dialling.get() >= DIALLING {
        sleep(MS * rng.u32(2..40)).await;
    }
    let targets = if identity.is_direct() { &stage.direct } else { &stage.proxied };
    let target = targets[identity.slot as usize / 4 % targets.len()];
    let from = identity.address(stage.slots);
    stage.monitor.expects(identity.slot, "dial", bound);
    stage.dialling.set(stage.dialling.get() + 1);
    let running = stage.ledger.begin("dial");
    let armed_ns = now_ns();
    let result = Connect::to(target).from((from, 0).into()).timeout(bound).await;
    stage.dialling.set(stage.dialling.get() - 1);
    match result {
        Ok(stream) => {
            running.end("ok");
            Some(stream)
        }
        Err(error) => {
            running.end(ending(error.kind()));
            dial_failed(stage, armed_ns, bound, &error);
            None
        }
    }
}

fn dial_failed(stage: &Stage, armed_ns: u64, bound: Duration, error: &Error) {
    if !error.is_timeout() || bound == GENEROUS {
        stage.ledger.violation(format!("a dial after {:?}: {error}", since(armed_ns)));
    } else {
        stage.ledger.timed_out("a dial", armed_ns, bound, error);
    }
}

/// O3: what ended it is what was done to it.
fn judge(stage: &Stage, identity: Identity, faults: Faults, bad: &Bad) {
    let met = |which: fn(Fault) -> bool| faults.any(which);
    let cut = met(|fault| matches!(fault, Fault::Stall(_) | Fault::HalfClose(_) | Fault::Corrupt(_)));
    let right = match bad {
        Bad::End | Bad::Torn => cut,
        Bad::Damaged => met(|fault| matches!(fault, Fault::Corrupt(_))),
        Bad::Astray(_) => false,
        Bad::Failed(error) => match error.kind() {
            // Timeouts that were asked for end no connection.
            Kind::Timeout => met(|fault| matches!(fault, Fault::Stall(_))),
            Kind::UnexpectedEof => cut,
            Kind::Kernel(rig::ECONNRESET | rig::EPIPE) => {
                cut || met(|fault| matches!(fault, Fault::Reset(_)))
            }
            _ => false,
        },
    };
    if !right {
        let how = if identity.is_direct() { "straight" } else { "through the proxy" };
        stage.ledger.violation(format!("{identity:?}, {how}, {faults:?}: {bad:?}"));
    }
}
