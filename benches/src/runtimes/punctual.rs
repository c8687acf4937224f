//! This project.

use punctual_net::{TcpListener, TcpStream};
use punctual_reactor::{Precise, Runtime, spawn};

use super::{IDLE, NONE, Peer};
use crate::child::{Ends, listening};
use crate::workloads::drift::Sleeps;

pub(crate) const PEER: Peer = Peer {
    name: "punctual",
    bounds: &[NONE, "read timeout"],
    sleeps: &["sleep", "precise"],
    echo,
    sleep,
};

fn echo(variant: &str, ends: Ends) {
    let idle = (variant != NONE).then_some(IDLE);
    let serve = async {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listening(listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(idle)?;
            let ends = ends.clone();
            drop(spawn(async move {
                // One that breaks is over.
                let _ = answer(&stream).await;
                ends.one();
            }));
        }
    };
    let served: Result<(), punctual_net::Error> = Runtime::new().expect("a runtime").block_on(serve);
    served.expect("an echo");
}

async fn answer(stream: &TcpStream) -> Result<(), punctual_net::Error> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            read => stream.write_all(&buffer[..read]).await?,
        };
    }
}

fn sleep(variant: &str, number: u64) {
    let builder = Runtime::builder();
    let builder = match variant {
        "precise" => builder.precise(Precise::default()),
        _ => builder,
    };
    builder.build().expect("a runtime").block_on(async {
        let mut sleeps = Sleeps::new(number);
        while let Some(duration) = sleeps.begin() {
            punctual_reactor::sleep(duration).await;
            sleeps.woke();
        }
        sleeps.tell();
    });
}
