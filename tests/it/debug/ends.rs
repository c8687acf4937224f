//! How the endpoint itself ends.

use super::*;

#[test]
fn stopped_it_closes_what_is_idle_at_once() {
    on_alarms("stop", async |runtime| {
        // Nobody would wait as long as these.
        let builder = Server::builder().idle_timeout(PATIENCE * 100).header_timeout(PATIENCE * 100);
        let endpoint = builder.bind("127.0.0.1:0").expect("bound").spawn();
        let address = endpoint.local_addr();
        let held = blocking(move || {
            let mut idle = connect(address);
            idle.write_all(format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())
                .expect("sent");
            assert_eq!(read_one(&mut idle).status, 200);
            let mut halfway = connect(address);
            halfway.write_all(b"GET / HTTP/1.1\r\nHo").expect("sent");
            (idle, halfway)
        });
        let (mut idle, mut halfway) = held.await.expect("no panic");
        while runtime.metrics().live_sources < 3 {
            punctual::sleep(MS).await;
        }
        endpoint.stop().await.expect("it had not failed");
        assert_eq!(runtime.metrics().live_sources, 0);
        assert_eq!(idle.read(&mut [0; 1]).expect("closed in order"), 0);
        // It was closed with bytes of its in the queue, or told to hurry.
        let mut rest = Vec::new();
        let _ = halfway.read_to_end(&mut rest);
        assert_closed(address);
    });
}

/// What comes to be under way only after it has been told to stop has no more time than the rest.
#[cfg(feature = "pprof")]
#[test]
fn a_request_that_is_finished_after_the_stop_does_not_hold_it_up() {
    const ASKED: Duration = Duration::from_secs(60);
    // The profile is the whole process'.
    let test = "debug::ends::a_request_that_is_finished_after_the_stop_does_not_hold_it_up";
    if !child::plays("stopped") {
        return child::succeed(child::command(test, "stopped"));
    }
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let endpoint = Server::builder().bind("127.0.0.1:0").expect("bound").spawn();
        let address = endpoint.local_addr();
        let mut halfway = blocking(move || connect(address)).await.expect("no panic");
        let ask = format!("GET /debug/pprof/profile?seconds={} HTTP/1.1\r\nHo", ASKED.as_secs());
        halfway.write_all(ask.as_bytes()).expect("sent");
        while runtime.metrics().live_sources < 2 {
            punctual::sleep(MS).await;
        }
        punctual::sleep(20 * MS).await;
        let began = now_ns();
        let stopped = punctual::spawn(endpoint.stop());
        punctual::sleep(20 * MS).await;
        halfway.write_all(b"st: localhost\r\n\r\n").expect("there is room in the kernel");
        stopped.await.expect("no panic").expect("it had not failed");
        let took = Duration::from_nanos(now_ns() - began);
        assert!(took < ASKED, "it was waited for: {took:?}");
        assert_eq!(runtime.metrics().live_sources, 0);
    });
}

#[test]
fn the_shutdown_of_the_runtime_ends_it() {
    on_alarms("shutdown", async |runtime| {
        let server = Server::builder().bind("127.0.0.1:0").expect("bound");
        let address = server.local_addr();
        let run = punctual::spawn(server.run());
        let mut client = blocking(move || connect(address)).await.expect("no panic");
        while runtime.metrics().live_sources < 2 {
            punctual::sleep(MS).await;
        }
        runtime.handle().shutdown().expect("it runs");
        run.await.expect("no panic").expect("that is no failure");
        let mut rest = Vec::new();
        let _ = client.read_to_end(&mut rest);
    });
}

#[test]
fn dropped_it_leaves_nothing() {
    on_alarms("dropped", async |runtime| {
        let server = Server::builder().bind("127.0.0.1:0").expect("bound");
        let address = server.local_addr();
        let run = punctual::spawn(server.run());
        let _held = blocking(move || [0; 5].map(|_| connect(address))).await.expect("no panic");
        while runtime.metrics().live_sources < 6 {
            punctual::sleep(MS).await;
        }
        run.abort();
        assert!(run.await.is_err());
        assert_eq!(runtime.metrics().live_sources, 0);
    });
}

/// The runtime is dropped with the endpoint running.
#[test]
fn it_goes_with_its_runtime() {
    let runtime = Runtime::new().expect("a runtime");
    let (endpoint, client) = runtime.block_on(async {
        let endpoint = Server::builder().bind("127.0.0.1:0").expect("bound").spawn();
        let address = endpoint.local_addr();
        let client = blocking(move || connect(address)).await.expect("no panic");
        (endpoint, client)
    });
    let address = endpoint.local_addr();
    drop(runtime);
    assert_closed(address);
    drop((endpoint, client));
}

/// What audits the others is not to be the one thing that waits for ever.
#[test]
fn none_of_its_own_waits_is_without_a_deadline() {
    on_alarms("audited", async |_| {
        let endpoint = Server::builder().bind("127.0.0.1:0").expect("bound").spawn();
        let address = endpoint.local_addr();
        let held = blocking(move || {
            let mut idle = connect(address);
            let ask = format!("GET /style.css HTTP/1.1\r\nHost: {address}\r\n\r\n");
            idle.write_all(ask.as_bytes()).expect("sent");
            assert_eq!(read_one(&mut idle).status, 200);
            (idle, connect(address))
        });
        let held = held.await.expect("no panic");
        let reads = |waits: &punctual::Waits| waits.iter().filter(|wait| wait.what() == "read").count();
        let waits = loop {
            let waits = punctual::waits();
            if reads(&waits) == 2 {
                break waits;
            }
            punctual::sleep(MS).await;
        };
        assert_eq!(waits.without_deadline().count(), 0, "{waits}");
        drop(held);
        endpoint.stop().await.expect("it had not failed");
    });
}
