//! Scopes within scopes, that end by their deadlines or are cancelled, around operations that wait for ever.

use std::rc::Rc;
use std::time::{Duration, Instant};

use punctual::net::{Kind, TcpListener, TcpStream};
use punctual::{Scope, ScopeEnd, Unbounded, scope, sleep, timeout};

use crate::world::{CAUSE, OWN_CAUSE, World};

pub(super) async fn run(world: World) {
    let Some(listener) = world.listener() else { return };
    let address = listener.local_addr().expect("an address");
    let connecting = TcpStream::connect(address);
    let Some(stream) = world.ended(connecting.await) else { return };
    // It may be gone before it is accepted.
    let accepted = timeout(Duration::from_secs(60), listener.accept()).await;
    let Some(Some((other, _))) = accepted.ok().map(|accepted| world.ended(accepted)) else { return };
    let held = Rc::new((listener, stream));
    tree(world.clone(), held, 3).await;
    drop(other);
}

type Held = Rc<(TcpListener, TcpStream)>;

/// A scope with a limit, children that wait, and maybe somebody who cancels it.
async fn tree(world: World, held: Held, depth: u64) {
    let limit = if world.is_simulated() { world.below(5_000) } else { world.below(10) };
    let limit = Duration::from_millis(limit);
    let began = Instant::now();
    let name = format!("node {}", world.new_id());
    let ended = scope(name.clone(), limit, async |scope: &Scope| {
        for _ in 0..=world.below(3) {
            let (world, held) = (world.clone(), held.clone());
            scope.spawn(async move { wait(&world, &held).await });
        }
        if world.once_in(3) {
            let (canceller, after) = (scope.canceller(), world.pause());
            scope.spawn(async move {
                sleep(after).await;
                canceller.cancel(OWN_CAUSE).expect("there is room");
            });
        }
        if depth > 0 {
            for _ in 0..=world.below(2) {
                Box::pin(tree(world.clone(), held.clone(), depth - 1)).await;
            }
        }
        sleep(Duration::from_secs(100_000)).await;
    })
    .await;
    let error = ended.expect_err("it waits for ever");
    assert!(error.failures().is_empty(), "{error}");
    match error.end() {
        Some(ScopeEnd::Elapsed(elapsed)) => {
            let own = elapsed.of.name() == name;
            assert!(!own || began.elapsed() >= limit, "early: {:?} of {limit:?}", began.elapsed());
        }
        Some(ScopeEnd::Cancelled(cause)) => {
            let cause = cause.to_string();
            assert!([CAUSE, OWN_CAUSE].contains(&&*cause), "for another reason: {cause}");
        }
        other => panic!("{other:?}"),
    }
}

/// Waits for what never comes, in one of several ways.
async fn wait(world: &World, held: &Held) {
    let (listener, stream) = &**held;
    let mut byte = [0];
    match world.below(5) {
        0 => ends_with_the_scope(stream.read(&mut byte).await.map(drop)),
        1 => ends_with_the_scope(listener.accept().await.map(drop)),
        2 => sleep(Duration::from_secs(100_000)).await,
        3 => {
            // The body sees the end of the scope around it, and returns.
            match scope("inner", Unbounded, async |_| stream.read(&mut byte).await).await {
                Ok(read) => ends_with_the_scope(read.map(drop)),
                Err(error) => assert!(error.is_timeout() || error.is_cancelled(), "{error}"),
            }
        }
        _ => {
            let guard = world.budget().min(Duration::from_secs(50_000));
            let began = Instant::now();
            match timeout(guard, stream.read(&mut byte)).await {
                Err(_) => assert!(began.elapsed() >= guard, "early"),
                Ok(result) => ends_with_the_scope(result.map(drop)),
            }
        }
    }
}

#[track_caller]
fn ends_with_the_scope(result: Result<(), punctual::net::Error>) {
    match result {
        Err(error) if matches!(error.kind(), Kind::Timeout | Kind::Cancelled) => {}
        // The kernel may have reset it: then it has not waited for the scope.
        Err(error) if matches!(error.kind(), Kind::Kernel(_)) => {}
        other => panic!("nothing comes here: {other:?}"),
    }
}
