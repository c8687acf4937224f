//! Who holds the loop: names of tasks, what their polls cost, culprits (B03).

mod tasks;
