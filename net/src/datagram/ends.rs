//! [`Ends`]: what a datagram socket knows of itself.

use std::cell::{Cell, RefCell};

/// The addresses of a datagram socket, and what it was asked for.
#[derive(Debug)]
pub struct Ends<A> {
    pub(crate) local: A,
    /// To whom it is connected.
    pub(crate) peer: RefCell<Option<A>>,
    pub(super) timestamps: Cell<bool>,
}

impl<A> Ends<A> {
    pub(crate) fn new(local: A, peer: Option<A>) -> Ends<A> {
        Ends { local, peer: RefCell::new(peer), timestamps: Cell::new(false) }
    }
}
