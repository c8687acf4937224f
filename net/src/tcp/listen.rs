//! [`Listen`]: a listener to be made, and what is set on its socket before.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use punctual_reactor::Instant;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::listener::TcpListener;
use super::setup::TcpOptions;
use crate::error::{Error, Phase};
use crate::stream::BACKLOG;
use crate::target::Target;

/// A listener to be made: on what, and with which options.
///
/// ```
/// use punctual_net::{Listen, TcpOptions};
/// # punctual_reactor::Runtime::new()?.block_on(async {
/// let listener = Listen::on("[::1]:0").v6_only(true).options(TcpOptions::new().nodelay(true)).bind();
/// # let _ = listener;
/// # });
/// # std::io::Result::Ok(())
/// ```
#[must_use = "it listens once it is bound"]
pub struct Listen {
    target: Target,
    backlog: u32,
    reuse_port: bool,
    v6_only: Option<bool>,
    options: TcpOptions,
    hook: Option<Box<Hook>>,
}

type Hook = dyn Fn(SockRef<'_>, SocketAddr) -> io::Result<()>;

impl Listen {
    /// On the first address of `target` that can be had; on port 0 the kernel chooses one.
    pub fn on(target: impl Into<Target>) -> Listen {
        let (target, options) = (target.into(), TcpOptions::new());
        Listen { target, backlog: BACKLOG, reuse_port: false, v6_only: None, options, hook: None }
    }

    /// With room for so many connections that wait to be accepted (listen(2)), instead of 4096; the kernel may
    /// grant fewer (`net.core.somaxconn`). To one more it does not answer, and the peer tries again after a second
    /// or more.
    pub fn backlog(mut self, connections: u32) -> Listen {
        self.backlog = connections;
        self
    }

    /// Shares the port with other listeners of the same user that ask for it too (`SO_REUSEPORT`, socket(7)): Linux
    /// spreads connections over them. For one runtime a thread, each with a listener of its own.
    pub fn reuse_port(mut self, reuse: bool) -> Listen {
        self.reuse_port = reuse;
        self
    }

    /// Whether an IPv6 listener leaves IPv4 alone (`IPV6_V6ONLY`, ipv6(7)); unless set, the system decides. Of an
    /// IPv4 address it says nothing.
    pub fn v6_only(mut self, only: bool) -> Listen {
        self.v6_only = Some(only);
        self
    }

    /// With these options, which the connections that it accepts take over.
    pub fn options(mut self, options: TcpOptions) -> Listen {
        self.options = options;
        self
    }

    /// Calls `hook` with the socket after all else is set and before it is bound to the address, which is
    /// given too: to tie it to a device, to mark it, for options without a method here. An error of it is the
    /// listener's, in phase `Configure`.
    pub fn before_bind(
        mut self,
        hook: impl Fn(SockRef<'_>, SocketAddr) -> io::Result<()> + 'static,
    ) -> Listen {
        self.hook = Some(Box::new(hook));
        self
    }

    /// Listens. The address may be reused while old connections linger (`SO_REUSEADDR`).
    ///
    /// # Errors
    /// What the kernel says, as `Kernel(EADDRINUSE)`; `InvalidInput` for a name or what does not parse; in phase
    /// `Configure`, what could not be set.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn bind(self) -> Result<TcpListener, Error> {
        let mut last = None;
        for address in self.target.clone().into_addresses(Phase::Bind)? {
            match self.listen(address) {
                Ok(io) => return TcpListener::listening(io),
                Err(error) => last = Some(error.with_peer(address)),
            }
        }
        Err(last.unwrap_or_else(|| Error::invalid(Phase::Bind, "no address")))
    }

    /// A listening socket as the standard library makes it, but for what was asked for.
    fn listen(&self, address: SocketAddr) -> Result<mio::net::TcpListener, Error> {
        let failed = |error| Error::kernel(Phase::Bind, error);
        // Closed on exec, as all of socket2's.
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP));
        let socket = socket.map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        // Elsewhere than on Unix it would let others take the port over.
        #[cfg(unix)]
        socket.set_reuse_address(true).map_err(failed)?;
        let asked = SockRef::from(&socket);
        if self.reuse_port {
            asked.set_reuse_port(true).map_err(|error| Error::setting("SO_REUSEPORT", error))?;
        }
        if let Some(only) = self.v6_only.filter(|_| address.is_ipv6()) {
            asked.set_only_v6(only).map_err(|error| Error::setting("IPV6_V6ONLY", error))?;
        }
        self.options.apply(&asked, address.is_ipv6(), Instant::FAR_FUTURE)?;
        if let Some(hook) = &self.hook {
            hook(asked, address).map_err(|error| Error::setting("the hook before the bind", error))?;
        }
        socket.bind(&address.into()).map_err(failed)?;
        socket.listen(i32::try_from(self.backlog).unwrap_or(i32::MAX)).map_err(failed)?;
        Ok(mio::net::TcpListener::from_std(socket.into()))
    }
}

impl fmt::Debug for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listen")
            .field("target", &self.target)
            .field("backlog", &self.backlog)
            .field("reuse_port", &self.reuse_port)
            .field("v6_only", &self.v6_only)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
