//! What is measured, and held against which targets.

pub(crate) mod connect;
pub(crate) mod cores;
pub(crate) mod drift;
pub(crate) mod echo;
pub(crate) mod idle;
pub(crate) mod renew;
pub(crate) mod size;
pub(crate) mod tasks;
pub(crate) mod wheel;
