//! Deadlines set and flipped from several threads while operations go on.

use super::*;

#[test]
fn d15_flip_race() {
    async fn body(left: impl End, right: impl End) {
        let left = Rc::new(left);
        let over = Arc::new(AtomicBool::new(false));
        let (handle, token) = (runtime_handle(), left.name());
        let thread = std::thread::spawn({
            let over = over.clone();
            move || {
                for _ in 0..1_000 {
                    set_from_afar(&handle, token, Some(Instant::now() + Duration::from_micros(2)));
                }
                over.store(true, Ordering::SeqCst);
                set_from_afar(&handle, token, Some(PAST));
            }
        });
        let loops = [Direction::Read, Direction::Write].map(|side| {
            let (left, over) = (left.clone(), over.clone());
            spawn(async move {
                let mut buffer = vec![0; 4096];
                while !over.load(Ordering::SeqCst) {
                    let result = match side {
                        Direction::Read => left.recv(&mut buffer).await,
                        Direction::Write => left.send(&buffer).await,
                    };
                    assert!(matches!(result, Ok(_) | Err(Class::Timeout)), "{result:?}");
                    yield_now().await;
                }
            })
        });
        for turn in loops {
            turn.await.expect("no panic, no hang");
        }
        thread.join().expect("no panic");
        drop(right);
    }
    on_pairs!(body);
    on_posts!(body);
}

#[test]
fn d16_concurrent_set_earlier() {
    async fn body<T: Pair>(runtime: &Runtime) {
        let mut pairs = Vec::new();
        for _ in 0..10 {
            pairs.push(T::pair().await);
        }
        let start = Instant::now();
        let reading = pairs.into_iter().map(|(left, right)| {
            let left = Rc::new(left);
            let reader = left.clone();
            let task = spawn(async move {
                let result = reader.recv(&mut [0; 1]).await;
                drop(right);
                (result, clock_ns())
            });
            (left, task)
        });
        let reading: Vec<_> = reading.collect();
        yield_now().await;
        let tokens: Vec<Token> = reading.iter().map(|(left, _)| left.token()).collect();
        let threads = (0..8).map(|_| {
            let (handle, tokens) = (runtime.handle(), tokens.clone());
            std::thread::spawn(move || {
                for step in 0..100 {
                    let deadline = start + PATIENCE - step * Duration::from_millis(10);
                    tokens.iter().for_each(|token| set_from_afar(&handle, *token, Some(deadline)));
                }
            })
        });
        let threads: Vec<_> = threads.collect();
        while !threads.iter().all(|thread| thread.is_finished()) {
            yield_now().await;
        }
        let armed = clock_ns();
        let last = Instant::now() + 50 * MS;
        tokens.iter().for_each(|token| set_from_afar(&runtime.handle(), *token, Some(last)));
        for (left, task) in reading {
            let (result, ended) = task.await.expect("no panic");
            assert_eq!(result, Err(Class::Timeout));
            assert!(ended - armed >= 50_000_000, "the last one set holds");
            assert!(ended - armed == 50_000_000 || !in_virtual_time(), "{ended} after {armed}");
            assert_eq!((left.read_deadline(), left.write_deadline()), (Some(last), Some(last)));
        }
    }
    on_streams!(body);
}

#[test]
fn d17_concurrent_methods() {
    async fn body<T: Pair>(runtime: &Runtime) {
        let (left, right) = T::pair().await;
        let left = Rc::new(left);
        let over = Arc::new(AtomicBool::new(false));
        let (handle, token, all_taken) = (runtime.handle(), left.token(), over.clone());
        let thread = std::thread::spawn(move || {
            for _ in 0..100 {
                set_from_afar(&handle, token, Some(Instant::now() + 10 * MS));
                set_from_afar(&handle, token, None);
            }
            // Whoever waits with no deadline is let go.
            set_from_afar(&handle, token, Some(PAST));
            handle.call(move || over.store(true, Ordering::SeqCst)).expect("room for one more");
        });
        let tasks = (0..100).map(|n| {
            let left = left.clone();
            spawn(async move {
                left.set_deadline(Some(Instant::now() + 10 * MS)).expect("open");
                let results = match n % 3 {
                    0 => left.read(&mut [0; 8]).await.map(drop),
                    1 => left.write(&[0; 8]).await.map(drop),
                    _ => left.peek(&mut [0; 8]).await.map(drop),
                };
                assert!(results.is_ok() || results.is_err_and(|error| error.is_timeout()));
                let _ = (T::set_option(&left).transpose().expect("open"), left.read_deadline());
                left.set_timeout(Some(10 * MS)).expect("open");
                left.set_timeout(None).expect("open");
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("no panic");
        }
        while !all_taken.load(Ordering::SeqCst) {
            yield_now().await;
        }
        thread.join().expect("no panic");
        left.set_deadline(None).expect("open");
        left.write_all(b"sync").await.expect("sent");
        let mut tail = Vec::new();
        while !tail.ends_with(b"sync") {
            let mut buffer = [0; 4096];
            let received = right.read(&mut buffer).await.expect("received");
            tail.extend_from_slice(&buffer[..received]);
        }
        right.write_all(b"back").await.expect("sent");
        let mut back = [0; 4];
        left.read_exact(&mut back).await.expect("received");
        assert_eq!(&back, b"back");
    }
    on_streams!(body);
}

#[test]
fn d18_buffer_free_after_timeout() {
    async fn body(left: impl End, right: impl End) {
        let left = Rc::new(left);
        let (timed_out, sent) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        let tasks = (0..10).map(|n| {
            let (left, timed_out, sent) = (left.clone(), timed_out.clone(), sent.clone());
            spawn(async move {
                let mut buffer = vec![n; 1024];
                left.within(Direction::Read, Some(MS)).expect("open");
                assert_eq!(left.recv(&mut buffer).await, Err(Class::Timeout));
                buffer.fill(0xee);
                timed_out.set(timed_out.get() + 1);
                while !sent.get() {
                    sleep(MS).await;
                }
                sleep(10 * MS).await;
                assert!(buffer.iter().all(|byte| *byte == 0xee), "written into after its timeout");
            })
        });
        let tasks: Vec<_> = tasks.collect();
        while timed_out.get() < tasks.len() {
            sleep(MS).await;
        }
        right.send_all(&[1; 1024]).await;
        sent.set(true);
        for task in tasks {
            task.await.expect("no panic");
        }
        left.within(Direction::Read, None).expect("open");
        assert_eq!(left.recv_exactly(1024).await, [1; 1024], "and nothing was lost");
    }
    on_pairs!(body);
    on_posts!(body);
}
