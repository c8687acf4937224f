//! What is measured, and held against which targets.

pub(crate) mod drift;
pub(crate) mod echo;
pub(crate) mod renew;
