//! What is measured, and held against which targets.

pub(crate) mod connect;
pub(crate) mod drift;
pub(crate) mod echo;
pub(crate) mod idle;
pub(crate) mod renew;
pub(crate) mod tasks;
