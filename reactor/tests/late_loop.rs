//! A loop that was held up says so: in its account of the lateness, and in a warning.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use punctual_reactor::{AlarmKind, Instant, Runtime, sleep_until};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

const MS: Duration = Duration::from_millis(1);

/// Counts the warnings of the reactor on this thread.
#[derive(Clone, Default)]
struct Warnings(Arc<AtomicUsize>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN && metadata.target().starts_with("punctual_reactor")
    }

    fn event(&self, _: &Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn b03_a_loop_held_up_warns_once_and_goes_on() {
    for alarm in [AlarmKind::Auto, AlarmKind::PollTimeout] {
        let warnings = Warnings::default();
        tracing::subscriber::with_default(warnings.clone(), || {
            let runtime = Runtime::builder().alarm(alarm).build().expect("a runtime");
            let sleeper = |deadline: Instant| {
                runtime.spawn(async move {
                    sleep_until(deadline).await;
                    (deadline, Instant::now())
                })
            };
            let began = runtime.now();
            let late: Vec<_> = (1..=10).map(|n| sleeper(began + n * MS)).collect();
            runtime.turn(Some(Duration::ZERO)).expect("they are armed");
            assert_eq!(warnings.0.load(Ordering::Relaxed), 0);
            runtime.block_on(async {
                // What no task ought to do.
                std::thread::sleep(60 * MS);
                for task in late {
                    let (deadline, woke) = task.await.expect("it ends");
                    assert!(woke >= deadline && woke >= began + 60 * MS);
                }
            });
            assert_eq!(warnings.0.load(Ordering::Relaxed), 1, "one for all of them");
            let drift = runtime.drift();
            assert!(drift.in_loop.max() >= 50 * MS, "it was the loop: {drift:?}");
            assert_eq!(drift.total.count(), 10);
            let later: Vec<_> = (1..=10).map(|n| sleeper(runtime.now() + n * MS)).collect();
            runtime.block_on(async {
                for task in later {
                    let (deadline, woke) = task.await.expect("it ends");
                    assert!(woke >= deadline, "the others are unharmed");
                }
            });
            assert_eq!((runtime.drift().early, runtime.drift().total.count()), (0, 20));
        });
    }
}
