//! One turn of an event loop whose deadlines can be trusted, and a local executor on top of it.
//!
//! ```text
//!        other threads                              this thread
//!   ┌─────────────────────┐      ┌──────────────────────────────────────────────────────┐
//!   │ Handle ── inbox ────┼──────▶ Reactor::turn                                        │
//!   └─────────────────────┘      │   mio::Poll ◀── timerfd, armed lazily                │
//!                                │      │ readiness          ▲ earliest deadline+leeway │
//!                                │      ▼                    │                          │
//!                                │   sources: token ─▶ { readiness, deadline per side } │
//!                                │      │                    ▲                          │
//!                                │      ▼                 timer wheels, one a leeway    │
//!                                │   events ──▶ wakers ──▶ tasks (Runtime)              │
//!                                └──────────────────────────────────────────────────────┘
//! ```
//!
//! Promises, each with tests: nothing fires before its deadline; extending a deadline is a store; an event,
//! timer or remote command whose registration has ended is dropped and counted; work per turn is
//! bounded; lateness is measured and split into what was [chosen, the kernel's and the
//! loop's](Firing).
//!
//! Everything but [`Handle`] belongs to one thread, and the compiler knows it:
//!
//! ```compile_fail
//! fn send<T: Send>() {}
//! send::<punctual_reactor::Runtime>();
//! ```
//! ```compile_fail
//! fn send<T: Send>() {}
//! send::<punctual_reactor::Reactor>();
//! ```
//! ```compile_fail
//! fn send<T: Send>() {}
//! send::<punctual_reactor::Sleep>();
//! ```
//! ```compile_fail
//! fn send<T: Send>() {}
//! send::<punctual_reactor::Registration<mio::net::TcpStream>>();
//! ```
//! ```compile_fail
//! fn send<T: Send>() {}
//! send::<punctual_reactor::JoinHandle<()>>();
//! ```
//! ```
//! fn send_and_sync<T: Send + Sync>() {}
//! send_and_sync::<punctual_reactor::Handle>();
//! send_and_sync::<punctual_reactor::Token>();
//! send_and_sync::<punctual_reactor::JoinError>();
//! send_and_sync::<punctual_reactor::Culprit>();
//! fn send<T: Send>() {}
//! send::<punctual_reactor::RemoteJoinHandle<std::cell::Cell<u8>>>();
//! ```
//!
//! It is not: a thread pool, a multi-threaded scheduler, or a place for blocking work.

mod alarm;
mod arena;
mod blame;
mod budget;
mod builder;
mod clock;
mod dispatch;
mod drift;
mod event;
mod executor;
mod failure;
mod histogram;
mod instant;
mod leeway;
mod lone;
mod metrics;
#[cfg(all(test, any(loom, shuttle)))]
mod models;
mod numbers;
mod one_line;
mod opening;
mod operate;
mod operating;
mod operation;
mod parking;
mod pending;
mod phases;
mod plain_timer;
mod polled;
mod precise;
#[cfg(feature = "profile")]
#[doc(hidden)]
pub mod profile;
mod reactor;
mod readiness;
mod registered;
mod registration;
mod remote;
mod room;
mod scope;
mod set_readiness;
mod side;
#[cfg(all(feature = "test", target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
pub mod simulation;
mod source;
mod sync;
mod sys;
mod system;
mod tcp_info;
mod tcp_probe;
mod text;
mod time;
mod timers;
mod token;
mod turn;
mod wait;
mod waiters;
mod waits;

#[doc(hidden)]
pub use sys::messages;
#[cfg(feature = "rig")]
#[doc(hidden)]
pub use sys::rig;

pub use alarm::AlarmKind;
pub use blame::{Blame, Culprit, CulpritKind, blame, held_by};
pub use budget::Budget;
pub use builder::Builder;
pub use clock::{Clock, VirtualClock};
pub use drift::{Drift, Firing};
pub use event::{Cause, Event};
pub use executor::{
    JoinError, JoinHandle, PollEdge, RemoteJoinHandle, Runtime, RuntimeId, SendFuture, TaskId, TaskInfo,
    TaskState, WaitElsewhere, current_task, next_turn, send_future, set_poll_observer,
    shutdown_requested, spawn, spawn_named, task_info, tasks, yield_now,
};
pub use failure::{Bound, Failure, OperationElapsed};
pub use histogram::Histogram;
pub use instant::Instant;
pub use leeway::Leeway;
#[doc(hidden)]
pub use metrics::count_accept_backoff;
pub use metrics::{Metrics, drift, metrics};
pub use mio::Interest;
pub use mio::event::Source;
pub use operate::Operate;
pub use operation::Done;
pub use phases::{
    Advice, AdviceOptions, BudgetAdvice, BudgetCounts, BudgetRecord, PhaseAdvice, PhaseEnding,
    PhaseEndings, PhaseQuantile, PhaseRecord, TimeoutBy, Verdict, advise, phases, record_phase,
};
pub use polled::Beside;
pub use precise::Precise;
pub use punctual_timer_wheel::Tick;
pub use reactor::Reactor;
pub use readiness::{Direction, Readiness};
pub use registration::{Registration, tcp_interest};
pub use remote::{Handle, SendError};
pub use scope::{
    Canceller, ChildFailure, Hook, Limit, Scope, ScopeDeadline, ScopeElapsed, ScopeEnd, ScopeError,
    ScopeId, ScopeInfo, ScopeWatch, ScopedJoinHandle, Unbounded, check_scope, current_scope,
    current_scope_id, in_scope, in_scope_as, in_scope_beside, in_scope_for, outside_scopes, scope,
    shield,
};
pub use set_readiness::SetReadiness;
pub use sys::{descriptor_limit, host_name, interface_index};
#[cfg(feature = "fs")]
pub use system::fs;
#[cfg(feature = "process")]
pub use system::process;
#[cfg(feature = "signal")]
pub use system::signal;
pub use system::{
    AsyncFd, BlockingError, BlockingPanic, BlockingPool, PipeReader, PipeWriter, RegisterError,
    RegisterErrorKind, blocking, pipe,
};
pub use tcp_info::{TcpInfo, TcpState, set_syn_count};
pub use tcp_probe::TcpProbe;
pub use time::{
    Elapsed, Interval, MissedTicks, SendSleep, Sleep, interval, interval_at, sleep, sleep_until,
    timeout, timeout_at,
};
pub use token::{StaleToken, Timer, Token};
#[doc(hidden)]
pub use waits::{Enclosing, enclosing, metrics_and_waits};
pub use waits::{
    PhaseWaits, Subject, Wait, WaitBound, WaitClass, WaitCounts, WaitGuard, Waits, wait_counts, waits,
};
