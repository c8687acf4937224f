//! punctual
pub use punctual_reactor::{
    AlarmKind, Budget, Builder, Cause, Clock, Drift, Elapsed, Firing, Handle, Histogram, Instant,
    Interval, JoinError, JoinHandle, Leeway, Metrics, MissedTicks, Precise, RemoteJoinHandle, Runtime,
    SendError, Sleep, Tick, Token, VirtualClock, interval, interval_at, sleep, sleep_until, spawn,
    timeout, timeout_at, yield_now,
};
