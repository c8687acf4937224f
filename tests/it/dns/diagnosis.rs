//! What a lookup that ran out of its caller's time says of its servers.

use punctual::net::{Connect, Diagnosis, Kind, Phase};
use punctual::{Runtime, spawn};

use super::*;
use crate::support::net::on_alarms;

/// The servers that were silent, the questions they were sent, and what was ignored, as
/// `[id, question, capitals, form]`.
fn told(error: &Error) -> (Vec<SocketAddr>, u32, [u32; 4]) {
    assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Resolve), "{error}");
    match error.diagnosis() {
        Some(Diagnosis::NameServersSilent { servers_asked, queries_sent, answers_ignored, .. }) => {
            let ignored = answers_ignored;
            let by =
                [ignored.wrong_id, ignored.wrong_question, ignored.wrong_capitals, ignored.malformed];
            (servers_asked.clone(), *queries_sent, by)
        }
        other => panic!("{other:?}: {error}"),
    }
}

/// Whether the loop was held up on this machine, which is said instead, and rightly.
fn held_up(error: &Error) -> bool {
    let held_up = matches!(error.diagnosis(), Some(Diagnosis::LoopLate { .. }));
    if held_up {
        eprintln!("not judged: {error}");
    }
    held_up
}

#[test]
fn n10_a_timeout_names_the_servers_that_were_silent() {
    on_alarms("n10 silent", async |_| {
        let (first, second) = (Fake::silent(), Fake::silent());
        let resolver = asking(&[&first, &second]).try_timeout(SHORT).attempts(9);
        let resolver = resolver.timeout(SHORT + SHORT / 2).build();
        let error = resolver.lookup("a.example").await.expect_err("silent");
        if held_up(&error) {
            return;
        }
        let (servers, queries, ignored) = told(&error);
        assert_eq!((servers, ignored), (vec![first.address, second.address], [0; 4]), "{error}");
        assert_eq!(queries, 4, "both families, of each server: {error}");
        let clause = format!("no answer from {}, {} after 4 queries)", first.address, second.address);
        assert!(error.to_string().contains(&clause), "{error}");
    });
}

#[test]
fn n10_a_timeout_says_what_was_ignored_and_why() {
    on_alarms("n10 lies", async |_| {
        let liar = Fake::start(|asked| {
            let (mut id, mut question) = (asked.addresses(&["192.0.2.66"], 60), asked.answer());
            id.id ^= 1;
            question.question[1] ^= 2;
            Act::SendAll(vec![id.bytes(), question.bytes(), question.bytes(), vec![0; 5]])
        });
        let resolver = asking(&[&liar]).build();
        let connect = || Connect::to("a.example:9").resolver(&resolver).timeout(SHORT * 2).connect();
        let error = connect().await.expect_err("lies");
        if held_up(&error) {
            return;
        }
        let (servers, queries, ignored) = told(&error);
        assert_eq!((servers, queries, ignored), (vec![liar.address], 2, [2, 4, 0, 2]), "{error}");
        let clause = "8 answers ignored: 2 wrong id, 4 wrong question, 2 not an answer of DNS)";
        assert!(error.to_string().contains(clause), "{error}");
    });
}

/// One who joins is told the same, a family that was answered is not counted, and neither is a server that said
/// something.
#[test]
fn n10_only_what_is_waited_for_is_told() {
    on_alarms("n10 waits", async |_| {
        let failing = Fake::start(|asked| asked.code(SERVFAIL));
        let silent = Fake::start(|asked| match asked.kind {
            A => Act::Nothing,
            _ => asked.answer().soa("example", 60, 60).into(),
        });
        let resolver = asking(&[&failing, &silent]).build();
        let lookup = || {
            let connect = Connect::to("a.example:9").resolver(&resolver).timeout(SHORT);
            spawn(async move { connect.connect().await.expect_err("no answer") })
        };
        let told_both = async || {
            let (one, two) = (lookup(), lookup());
            [one.await.expect("no panic"), two.await.expect("no panic")]
        };
        for error in told_both().await {
            if held_up(&error) {
                continue;
            }
            assert_eq!(told(&error), (vec![silent.address], 1, [0; 4]), "{error}");
        }
    });
}

/// A lookup that succeeds, or ends otherwise, has no such reason.
#[test]
fn n10_other_ends_have_no_diagnosis() {
    on_alarms("n10 others", async |_| {
        let server = Fake::start(|asked| asked.code(NXDOMAIN));
        let resolver = asking(&[&server]).build();
        let error = resolver.lookup("a.example").await.expect_err("no such name");
        assert_eq!((error.kind(), error.diagnosis()), (Kind::Dns, None));
    });
}

/// While the loop was held up an answer may have waited for it.
#[test]
fn n10_a_loop_that_was_held_up_comes_first() {
    let silent = Fake::silent();
    let resolver = asking(&[&silent]).timeout(MS * 20).build();
    let error = Runtime::new().expect("a runtime").block_on(async {
        let lookup = spawn(async move { resolver.lookup("a.example").await.expect_err("silent") });
        drop(spawn(async { std::thread::sleep(SHORT) }));
        lookup.await.expect("no panic")
    });
    assert_eq!((error.kind(), error.phase()), (Kind::Timeout, Phase::Resolve), "{error}");
    assert!(matches!(error.diagnosis(), Some(Diagnosis::LoopLate { .. })), "{error}");
}
