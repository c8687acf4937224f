//! What the tests of the simulation share.
