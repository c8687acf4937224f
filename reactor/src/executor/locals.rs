//! [`Locals`]: what is built on top of a runtime and lives as long as it does.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

/// One value of each type. The loop does not know what they are.
#[derive(Default)]
pub(crate) struct Locals(RefCell<Vec<Rc<dyn Any>>>);

impl Locals {
    /// The value of this type; `make` makes the first.
    pub(crate) fn get_or_insert<T: 'static>(&self, make: impl FnOnce() -> T) -> Rc<T> {
        self.get().unwrap_or_else(|| {
            let made = Rc::new(make());
            self.0.borrow_mut().push(made.clone());
            made
        })
    }

    /// The value of this type, if there is one.
    pub(crate) fn get<T: 'static>(&self) -> Option<Rc<T>> {
        self.0.borrow().iter().find_map(|local| local.clone().downcast::<T>().ok())
    }

    /// Lets go of all of them.
    pub(crate) fn clear(&self) {
        let all = self.0.take();
        drop(all);
    }
}
