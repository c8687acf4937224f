//! punctual
pub use punctual_reactor::{
    AlarmKind, Budget, Builder, Cause, Clock, Drift, Elapsed, Firing, Handle, Histogram, Instant,
    Interval, JoinError, JoinHandle, Leeway, Metrics, MissedTicks, Precise, RemoteJoinHandle, Runtime,
    SendError, Sleep, Tick, Token, VirtualClock, interval, interval_at, sleep, sleep_until, spawn,
    timeout, timeout_at, yield_now,
};

/// The bare event loop, for those who embed it or bring their own sources.
pub mod reactor {
    pub use punctual_reactor::{
        Bound, Direction, Done, Event, Failure, Interest, Operate, OperationElapsed, Reactor, Readiness,
        Registration, Source, StaleToken, Timer, stream_interest,
    };
}

/// Connections under deadlines.
pub mod net {
    pub use punctual_net::*;
}
