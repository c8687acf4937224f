//! Listeners on one port, and who serves a connection.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::time::Duration;

use punctual::net::Error;
use punctual::{Core, PerCore, per_core, spawn};

use crate::{LONG, alone};

#[test]
fn connections_to_one_port_are_spread_and_served_by_their_own_thread() {
    const CONNECTIONS: usize = 64;
    let _alone = alone("spreading");
    let (tell, told) = channel();
    let main = move |core: Core| {
        let tell = tell.clone();
        async move {
            let listener = core.listen("127.0.0.1:0")?;
            tell.send(listener.local_addr()?).expect("the test listens");
            drop(tell);
            let index = core.index();
            let serve = spawn(async move {
                let mut accepted = 0_u64;
                while let Ok((stream, _)) = listener.accept().await {
                    accepted += 1;
                    // In a task of its own, as a server does it.
                    drop(spawn(async move {
                        let thread = format!("{index} {:?}", std::thread::current().id());
                        stream.write_all(thread.as_bytes()).await.expect("it listens");
                    }));
                }
                accepted
            });
            core.drain_requested().await;
            serve.abort();
            Ok::<_, Error>(())
        }
    };
    let cores = PerCore::new(2).start(main).expect("started");
    let addresses: HashSet<SocketAddr> = told.iter().take(2).collect();
    assert_eq!(addresses.len(), 1, "{addresses:?}");
    let address = addresses.into_iter().next().expect("one");
    let mut served: HashMap<String, usize> = HashMap::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(address).expect("connected");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a bound on this test");
        let mut by = String::new();
        stream.read_to_string(&mut by).expect("who serves");
        *served.entry(by).or_default() += 1;
    }
    cores.handle().drain(LONG);
    cores.join().expect("both drain");
    assert_eq!(served.values().sum::<usize>(), CONNECTIONS);
    // By chance, all of them go to one core once in 2^63.
    let cores: HashSet<&str> = served.keys().filter_map(|by| by.split(' ').next()).collect();
    assert_eq!((served.len(), cores.len()), (2, 2), "two cores, a thread each: {served:?}");
}

#[test]
fn the_same_call_of_each_core_has_the_same_port() {
    let _alone = alone("ports");
    let ports = per_core(3, |core| async move {
        let mut listeners = Vec::new();
        for target in ["127.0.0.1:0", "127.0.0.1:0", "[::1]:0"] {
            listeners.push(core.listen(target)?);
        }
        listeners.iter().map(|listener| listener.local_addr()).collect::<Result<Vec<_>, Error>>()
    });
    let ports = ports.expect("all listen");
    assert!(ports.iter().all(|of_core| *of_core == ports[0]), "{ports:?}");
    let different: HashSet<_> = ports[0].iter().collect();
    assert_eq!(different.len(), 3, "{ports:?}");
}

#[test]
fn a_port_of_others_is_refused_on_the_core_that_asks() {
    let _alone = alone("a taken port");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = taken.local_addr().expect("its address");
    let failed = per_core(2, move |core| async move { core.listen(address).map(drop) });
    let error = failed.expect_err("it is taken");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    let refused = per_core(1, |core| async move {
        let name = core.listen("localhost:0").expect_err("a name is no address").to_string();
        let options = core.listen_with("127.0.0.1:0", |listen| listen.backlog(1).reuse_port(false));
        // The port is shared whatever `choose` says.
        let again = core.listen(options.expect("a listener").local_addr().expect("its address"));
        Ok::<_, Infallible>((name, again.is_ok()))
    });
    let refused = refused.expect("none fails");
    assert!(refused[0].0.contains("an address is needed here"), "{refused:?}");
}
