//! Pairs of connected datagram sockets, as the two [`End`]s of what the rows of the conformance table need.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use punctual::net::{Socket, UdpSocket, UnixAddress, UnixDatagram, transport};
use punctual::reactor::Direction;
use punctual::{Instant, Token};

use super::net::{Class, End, fill};

/// A datagram socket as an [`End`]: what is sent at once is one datagram, of no more than 512 bytes.
pub(crate) struct Post<T: transport::DatagramTransport> {
    socket: Socket<T>,
    /// Whether a sender is ever held up: UDP drops instead.
    holds: bool,
}

impl<T: transport::DatagramTransport> End for Post<T> {
    async fn recv(&self, buffer: &mut [u8]) -> Result<usize, Class> {
        self.socket.recv(buffer).await.map_err(|error| Class::from(&error))
    }

    async fn send(&self, bytes: &[u8]) -> Result<usize, Class> {
        let some = &bytes[..bytes.len().min(512)];
        self.socket.send(some).await.map_err(|error| Class::from(&error))
    }

    fn by(&self, side: Direction, deadline: Option<Instant>) -> Result<(), Class> {
        let set = match side {
            Direction::Read => self.socket.set_read_deadline(deadline),
            Direction::Write => self.socket.set_write_deadline(deadline),
        };
        set.map_err(|error| Class::from(&error))
    }

    fn within(&self, side: Direction, timeout: Option<Duration>) -> Result<(), Class> {
        let set = match side {
            Direction::Read => self.socket.set_read_timeout(timeout),
            Direction::Write => self.socket.set_write_timeout(timeout),
        };
        set.map_err(|error| Class::from(&error))
    }

    fn shut(&self) {
        self.socket.close();
    }

    fn name(&self) -> Token {
        self.socket.token()
    }

    async fn fill(&self) -> usize {
        if self.holds { fill(self).await } else { 0 }
    }
}

/// A datagram transport of which the tests can have pairs.
pub(crate) trait Couple: transport::DatagramTransport {
    /// Whether a sender is held up by a receiver that does not receive.
    const HOLDS: bool;

    /// Two sockets that are connected to each other.
    fn couple() -> (Socket<Self>, Socket<Self>);
    /// A socket that others reach at this address.
    fn bound() -> (Socket<Self>, Self::Address);
    /// Connects one.
    fn join(socket: &Socket<Self>, to: &Self::Address);
}

impl Couple for transport::Udp {
    const HOLDS: bool = false;

    fn couple() -> (UdpSocket, UdpSocket) {
        let ((left, left_at), (right, right_at)) = (Self::bound(), Self::bound());
        Self::join(&left, &right_at);
        Self::join(&right, &left_at);
        (left, right)
    }

    fn bound() -> (UdpSocket, std::net::SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bound");
        let address = socket.local_addr().expect("its address");
        (socket, address)
    }

    fn join(socket: &UdpSocket, to: &std::net::SocketAddr) {
        socket.connect(*to).expect("connected");
    }
}

impl Couple for transport::UnixMessages {
    const HOLDS: bool = true;

    fn couple() -> (UnixDatagram, UnixDatagram) {
        UnixDatagram::pair().expect("a socket pair")
    }

    fn bound() -> (UnixDatagram, UnixAddress) {
        let address = unix_name("datagrams");
        (UnixDatagram::bind(&address).expect("bound"), address)
    }

    fn join(socket: &UnixDatagram, to: &UnixAddress) {
        socket.connect(to).expect("connected");
    }
}

/// A name in the abstract namespace that nobody else has.
pub(crate) fn unix_name(what: &str) -> UnixAddress {
    static NAMES: AtomicU64 = AtomicU64::new(0);
    let number = NAMES.fetch_add(1, Ordering::Relaxed);
    UnixAddress::from_abstract_name(format!("punctual-{}-{what}-{number}", std::process::id()))
}

/// A couple as [`End`]s.
pub(crate) fn posts<T: Couple>() -> (Post<T>, Post<T>) {
    let (left, right) = T::couple();
    (Post { socket: left, holds: T::HOLDS }, Post { socket: right, holds: T::HOLDS })
}

/// Runs a body that is generic over its two ends on UDP and on Unix datagrams, on both alarms.
macro_rules! on_posts {
    ($body:ident) => {
        $crate::support::net::on_alarms(concat!(stringify!($body), " on UDP"), async |_| {
            let (left, right) = $crate::support::post::posts::<punctual::net::transport::Udp>();
            $body(left, right).await;
        });
        $crate::support::net::on_alarms(concat!(stringify!($body), " on Unix datagrams"), async |_| {
            let (left, right) = $crate::support::post::posts::<punctual::net::transport::UnixMessages>();
            $body(left, right).await;
        });
    };
}
pub(crate) use on_posts;

/// Runs a body that is generic over its [`Couple`]s on UDP and on Unix datagrams, on both alarms.
macro_rules! on_couples {
    ($body:ident) => {
        $crate::support::net::on_alarms(concat!(stringify!($body), " on UDP"), async |runtime| {
            $body::<punctual::net::transport::Udp>(runtime).await;
        });
        $crate::support::net::on_alarms(
            concat!(stringify!($body), " on Unix datagrams"),
            async |runtime| {
                $body::<punctual::net::transport::UnixMessages>(runtime).await;
            },
        );
    };
}
pub(crate) use on_couples;
