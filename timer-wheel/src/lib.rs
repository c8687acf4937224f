//! A hierarchical timer wheel with nanosecond deadlines, generation-checked keys and bounded work per call.
//!
//! A data structure and nothing else: it has no clock, does no I/O and spawns nothing. Time is an argument, in `u64`
//! nanoseconds since a moment of the caller's choice, so that a test can run a year in a millisecond.
//!
//! ```
//! use punctual_timer_wheel::{Budget, Wheel};
//!
//! let ms = 1_000_000;
//! let mut wheel = Wheel::new(0);
//! let read = wheel.insert(30_000 * ms, "read timed out");
//! let write = wheel.insert(5_000 * ms, "write timed out");
//! assert_eq!(wheel.next_deadline(), Some(5_000 * ms)); // sleep until then
//!
//! assert!(wheel.reset(read, 60_000 * ms)); // a request came: one store
//! assert_eq!(wheel.cancel(write), Some("write timed out")); // the write finished
//! assert_eq!(wheel.cancel(write), None); // its key is stale for ever
//!
//! let now = wheel.next_deadline().unwrap();
//! wheel.expire(now, Budget::default(), |wheel, expired| {
//!     assert_eq!((expired.value, expired.deadline), ("read timed out", 60_000 * ms));
//!     wheel.insert(now + ms, "retry"); // the wheel may be changed from within
//! });
//! assert_eq!(wheel.next_deadline(), Some(60_001 * ms));
//! ```
//!
//! # The structure
//!
//! Eight levels, each 64 times coarser than the one before. A level is a ring of 128 slots, twice what it needs: the
//! block of 64 that the cursor is in, and the next.
//!
//! ```text
//!            cursor
//!              │   this block         next block
//!  level 0     ▼┌─┬─┬─┬─┬ ⋯ ─┬─┐┌─┬─┬─┬─┬ ⋯ ─┬─┐     slot = 1 tick = 1 024 ns
//!               │ │•│ │•│    │•││ │ │•│ │    │ │
//!               └─┴─┴─┴─┴ ⋯ ─┴─┘└─┴─┴─┴─┴ ⋯ ─┴─┘
//!                                 ▲ ▲ ▲ ▲ ▲ ▲ ▲      poured down, early if it is crowded
//!  level 1     ┌───────────────┬─────────────────┬ ⋯   slot = 64 ticks
//!              │   (empty)     │   • • • • • •   │
//!              └───────────────┴─────────────────┴ ⋯
//!     ⋮                                                ⋮
//!  level 7                                             slot = 2⁴² ticks: nine years in all, further is filed again
//!
//!  near   timers of the cursor's tick and of the past, in exact order      advance(): near → due
//!  due    timers that have fired; they can still be cancelled or reset     pop():     due → you
//! ```
//!
//! A timer is filed by how far away its tick is, so that arming and cancelling cost a few list links. A slot whose time
//! has come is poured into finer ones, and what reaches the cursor's tick is put in order to the nanosecond.
//!
//! # What it promises
//!
//! - **Exact.** `advance(now)` fires the timers with `deadline <= now`, all that the [`Budget`] allows, and no other. The
//!   tick is how timers are filed, not how they are rounded.
//! - **In order.** Deadlines do not decrease over a drain, however many calls it is cut into; equal deadlines fire in the
//!   order of their keys' index, which is the order of insertion until a node is used again. The same calls give the
//!   same order, on any machine.
//! - **A drain ends.** A timer armed or reset to a past moment fires in the next `advance`, not in the drain that is
//!   going on; [`Wheel::next_deadline`] tells it at once. It may then precede what is left of a drain that a budget cut.
//! - **Keys do not lie.** A [`Key`] names one timer for ever.
//! - **Bounded.** A call does no more than its budget allows, plus `O(log n)` for each timer that shares its tick with
//!   others. A slot with more than 64 timers is poured down ahead of its time in such portions, so a firing does not
//!   wait for a cascade.
//! - **Lean.** 32 bytes for a timer with a payload of 8, in segments that never move. Extending a deadline is one
//!   store: the timer is filed again only if its old slot is met.
//!
//! # What it is not
//!
//! Not a clock, a runtime or a thread; not `Sync`-clever: one owner drives it. Not a calendar: nanoseconds since some
//! moment, no dates. It does not give memory back before it is dropped: it keeps its peak.
#![forbid(unsafe_code)]

mod advance;
mod check;
mod due;
mod next;
mod node;
mod ring;
mod search;
mod tree;
mod types;
mod wheel;

pub use types::{Budget, Expired, Full, Key, Progress, Tick};
pub use wheel::Wheel;

/// The deadline that never comes: a timer with it is disarmed, and held until it is reset or cancelled.
pub const NEVER: u64 = u64::MAX;
