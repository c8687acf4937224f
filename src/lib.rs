// Its programs use the client, the server and the test kit.
#![cfg_attr(
    all(feature = "http", feature = "test", target_os = "linux", target_env = "gnu", target_pointer_width = "64"),
    doc = include_str!("../README.md")
)]
#![cfg_attr(
    not(all(
        feature = "http",
        feature = "test",
        target_os = "linux",
        target_env = "gnu",
        target_pointer_width = "64"
    )),
    doc = "A single-threaded event-loop runtime whose timeouts can be trusted."
)]
//!
//! # Where to look
//!
//! [`Runtime`] runs a future and its tasks; [`spawn`], [`sleep`], [`timeout`] and [`interval`] are what
//! tasks call. [`net`] has the connections. [`Handle`] reaches a loop from other threads. [`reactor`] is
//! the bare loop, for those who embed it or bring their own sources.

#![forbid(unsafe_code)]

pub use punctual_reactor::{
    Advice, AdviceOptions, BudgetAdvice, BudgetCounts, BudgetRecord, PhaseAdvice, PhaseEnding,
    PhaseEndings, PhaseQuantile, PhaseRecord, TimeoutBy, Verdict, advise, phases, record_phase,
};
pub use punctual_reactor::{
    AlarmKind, BlockingError, BlockingPanic, BlockingPool, Budget, Builder, Cause, Clock, Drift,
    Elapsed, Firing, Handle, Histogram, Instant, Interval, JoinError, JoinHandle, Leeway, Metrics,
    MissedTicks, Precise, RemoteJoinHandle, Runtime, RuntimeId, SendError, SendFuture, Sleep, Tick,
    Token, VirtualClock, blocking, drift, interval, interval_at, metrics, send_future,
    shutdown_requested, sleep, sleep_until, spawn, timeout, timeout_at, yield_now,
};
pub use punctual_reactor::{Blame, Culprit, CulpritKind, blame, held_by};
pub use punctual_reactor::{
    Canceller, ChildFailure, Hook, Limit, Scope, ScopeDeadline, ScopeElapsed, ScopeEnd, ScopeError,
    ScopeId, ScopeInfo, ScopeWatch, ScopedJoinHandle, Unbounded, check_scope, current_scope,
    current_scope_id, in_scope, in_scope_as, in_scope_beside, in_scope_for, scope, shield,
};
pub use punctual_reactor::{
    PhaseWaits, Subject, Wait, WaitBound, WaitClass, WaitCounts, WaitGuard, Waits, wait_counts, waits,
};
pub use punctual_reactor::{
    PollEdge, TaskId, TaskInfo, TaskState, current_task, set_poll_observer, spawn_named, task_info,
    tasks,
};

mod per_core;
pub use per_core::{Core, CoreError, CoreFailure, CorePanic, Cores, CoresHandle, PerCore, per_core};

#[cfg(feature = "prometheus")]
pub mod prometheus;

#[cfg(feature = "grpc")]
pub use punctual_net::grpc;
#[cfg(feature = "http")]
pub use punctual_net::http;
#[cfg(feature = "tls")]
pub use punctual_net::tls;
#[cfg(feature = "fs")]
pub use punctual_reactor::fs;
#[cfg(feature = "process")]
pub use punctual_reactor::process;
#[cfg(feature = "signal")]
pub use punctual_reactor::signal;

#[cfg(feature = "pprof")]
pub mod profile;

#[cfg(feature = "debug")]
pub mod debug;

#[cfg(all(feature = "test", target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
pub mod test;

/// The bare event loop, and registrations of your own sources with a runtime.
pub mod reactor {
    pub use punctual_reactor::{
        AsyncFd, Bound, Direction, Done, Event, Failure, Interest, Operate, OperationElapsed,
        PipeReader, PipeWriter, Reactor, Readiness, RegisterError, RegisterErrorKind, Registration,
        SetReadiness, Source, StaleToken, TcpInfo, TcpState, Timer, pipe, tcp_interest,
    };
}

/// Connections whose every wait is under a deadline.
pub mod net {
    #[cfg(feature = "hyper")]
    pub use punctual_net::hyper;
    #[cfg(feature = "dns")]
    pub use punctual_net::{Addresses, Resolver, ResolverBuilder, ResolverMetrics};
    pub use punctual_net::{
        Batch, Connect, Credentials, Datagram, DeadlineInfo, Diagnosis, DnsFailure, Duplex, Error,
        HappyEyeballs, IgnoredAnswers, Keepalive, Kind, Listen, Listener, OwnedReadHalf, OwnedWriteHalf,
        Phase, Pooled, Socket, Target, TcpListener, TcpOptions, TcpStream, UdpSocket, UnixAddress,
        UnixDatagram, UnixListener, UnixStream, duplex, phase, transport,
    };

    /// Copying between byte streams, bounding them, joining them.
    pub mod io {
        pub use punctual_net::io::{
            Bounded, Chain, Copied, CopyBidirectional, CopyOptions, Flow, FlowEnd, Take, Throughput,
            chain, copy, copy_bidirectional, read_to_end, take,
        };
    }
}
