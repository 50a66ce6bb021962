//! Task-locals: values that a task has and its children inherit.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use crate::engine::cold::Cold;
use crate::engine::leaf;
use crate::error::NoCurrentTask;

/// A variable of which every task has a value of its own.
///
/// A task, or callback, begins with the values of the one that made it; what it sets later is seen by itself and by what
/// it makes from then on. Always a `static`.
///
/// # Examples
/// ```
/// use loopwheel::{TaskLocal, create_task};
///
/// static REQUEST: TaskLocal<u32> = TaskLocal::new();
///
/// loopwheel::run_virtual(async {
///     assert_eq!(REQUEST.get(), None);
///     REQUEST.set(7);
///     let child = create_task(async {
///         let inherited = REQUEST.get();
///         REQUEST.set(8);
///         inherited
///     });
///     assert_eq!(child.await, Ok(Some(7)));
///     assert_eq!(REQUEST.get(), Some(7));
/// });
/// ```
///
/// # In asyncio
/// `contextvars.ContextVar`.
pub struct TaskLocal<T> {
    /// Gives every static an address of its own.
    _place: u8,
    value: PhantomData<fn() -> T>,
}

impl<T: 'static> TaskLocal<T> {
    /// A variable that no task has a value of.
    #[allow(clippy::new_without_default)] // always a static, and `default` is not const
    pub const fn new() -> TaskLocal<T> {
        TaskLocal { _place: 0, value: PhantomData }
    }

    /// Gives the running task another value, and returns the one it had.
    ///
    /// # Panics
    /// Outside a task or callback; [`try_set`](TaskLocal::try_set) returns an error instead.
    ///
    /// # In asyncio
    /// `var.set(value)`; setting what it returned is `var.reset(token)`.
    #[track_caller]
    pub fn set(&'static self, value: T) -> Option<Rc<T>> {
        match self.try_set(value) {
            Ok(before) => before,
            Err(error) => panic!("{error}"),
        }
    }

    /// Gives the running task another value, and returns the one it had.
    ///
    /// # Errors
    /// Outside a task or callback.
    pub fn try_set(&'static self, value: T) -> Result<Option<Rc<T>>, NoCurrentTask> {
        let task = leaf::current().ok_or(NoCurrentTask)?;
        task.home.has_locals.set(true);
        let value: Rc<dyn Any> = Rc::new(value);
        let mut locals = task.cold().locals.borrow_mut();
        let before = Rc::make_mut(locals.get_or_insert_default()).insert(self.address(), value);
        drop(locals); // before what follows: the last reference to the old value may run anything
        Ok(before.and_then(|before| before.downcast().ok()))
    }

    /// Looks at the running task's value; `None` if it has none, or no task is running.
    pub fn with<R>(&'static self, look: impl FnOnce(Option<&T>) -> R) -> R {
        let locals = leaf::current().and_then(|task| task.cold_if_any().and_then(Cold::locals));
        look(locals.as_ref().and_then(|locals| locals.get(&self.address())?.downcast_ref()))
    }

    /// A clone of the running task's value; `None` if it has none, or no task is running.
    ///
    /// # In asyncio
    /// `var.get(None)`.
    pub fn get(&'static self) -> Option<T>
    where
        T: Clone,
    {
        self.with(|value| Some(value?.clone()))
    }

    fn address(&'static self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

impl<T> fmt::Debug for TaskLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskLocal").finish_non_exhaustive()
    }
}
