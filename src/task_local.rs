//! **Task-locals**: values that a task has, and that the tasks it spawns inherit.
//!
//! A thread-local is one value for all tasks of a loop. What is wanted is a value for each task, such as the id of the request that
//! it serves, without passing it to every function. A task begins with the values of the task that spawned it, as they are at that
//! moment. Copying them all at each spawn would be simple. Here they are shared until one is set, and copied then. A loop whose
//! tasks never set one pays for the check of a flag at each spawn.
//!
//! It stands on `base`, `error`, the kernel, `foreign` and `trace`.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use crate::base::unusual::Unusual;
use crate::engine::Engine;
use crate::error::NoCurrentTask;
use crate::foreign::{call_for, drop_reported};
use crate::kernel::current;
use crate::kernel::record::RecordRef;

/// Values by the address of their static.
pub(crate) type Locals = Rc<BTreeMap<usize, Rc<dyn Any>>>;

/// The values of one task.
#[derive(Default)]
pub(crate) struct TaskLocals {
    values: RefCell<Option<Locals>>,
    /// Set by `begin_main`: the loop keeps the values of a main task for the next one.
    is_main: Cell<bool>,
}

impl TaskLocals {
    /// Drops the values, which may run foreign code.
    pub(crate) fn empty(&self) {
        let values = self.values.take();
        drop_reported(values);
    }
}

/// The part of a loop that belongs to this ring.
#[derive(Default)]
pub(crate) struct LoopLocals {
    /// The values that the last main task ended with. The next one begins with them.
    of_main: RefCell<Option<Locals>>,
}

/// A variable of which every task has a value of its own.
///
/// A task or callback begins with the values of the task that created it. A value that it sets is seen by itself, and by the tasks
/// and callbacks that it creates from then on. Always a `static`.
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
    /// Gives every static an address of its own: a type without a size need not have one.
    _address: u8,
    value: PhantomData<fn() -> T>,
}

impl<T: 'static> TaskLocal<T> {
    /// A variable of which no task has a value yet.
    #[allow(clippy::new_without_default)] // always a static, and `default` is not const
    pub const fn new() -> TaskLocal<T> {
        TaskLocal { _address: 0, value: PhantomData }
    }

    /// Sets the value of the running task, and returns the value before; [`reset`](TaskLocal::reset) takes that.
    ///
    /// # Panics
    /// Outside a task or callback; [`try_set`](TaskLocal::try_set) returns an error instead.
    ///
    /// # In asyncio
    /// `var.set(value)`. What it returns takes the place of asyncio's token.
    #[track_caller]
    pub fn set(&'static self, value: T) -> Option<Rc<T>> {
        match self.try_set(value) {
            Ok(before) => before,
            Err(error) => panic!("{error}"),
        }
    }

    /// Sets the value of the running task, and returns the value before.
    ///
    /// # Errors
    /// Outside a task or callback.
    pub fn try_set(&'static self, value: T) -> Result<Option<Rc<T>>, NoCurrentTask> {
        self.replace(Some(Rc::new(value)))
    }

    /// Gives the running task back a value that it had before: what [`set`](TaskLocal::set) returned. With `None` it has none again.
    /// Returns the value that this one replaces.
    ///
    /// # Panics
    /// Outside a task or callback.
    ///
    /// # Examples
    /// ```
    /// use loopwheel::TaskLocal;
    ///
    /// static USER: TaskLocal<&str> = TaskLocal::new();
    ///
    /// loopwheel::run_virtual(async {
    ///     let before = USER.set("ada");
    ///     assert_eq!(USER.get(), Some("ada"));
    ///     USER.reset(before);
    ///     assert_eq!(USER.get(), None);
    /// });
    /// ```
    ///
    /// # In asyncio
    /// `var.reset(token)`.
    #[doc(alias = "unset")]
    #[doc(alias = "clear")]
    #[track_caller]
    pub fn reset(&'static self, before: Option<Rc<T>>) -> Option<Rc<T>> {
        match self.replace(before) {
            Ok(replaced) => replaced,
            Err(error) => panic!("{error}"),
        }
    }

    /// Sets or removes the value of the running task.
    fn replace(&self, value: Option<Rc<T>>) -> Result<Option<Rc<T>>, NoCurrentTask> {
        let task = current::task().ok_or(NoCurrentTask)?;
        task.owner.unusual.set(Unusual::HAS_LOCALS, true);
        let mut locals = task.cold().locals.values.borrow_mut();
        let values = Rc::make_mut(locals.get_or_insert_default());
        let replaced = match value {
            Some(value) => values.insert(self.address(), value),
            None => values.remove(&self.address()),
        };
        drop(locals); // first: dropping the old value may run any code
        Ok(replaced.and_then(|replaced| replaced.downcast().ok()))
    }

    /// Calls `inspect` with the running task's value; with `None` if it has none, or no task is running.
    pub fn with<R>(&'static self, inspect: impl FnOnce(Option<&T>) -> R) -> R {
        let locals = current::task().and_then(|task| locals_of(&task));
        inspect(locals.as_ref().and_then(|locals| locals.get(&self.address())?.downcast_ref()))
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

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

impl<T> fmt::Debug for TaskLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskLocal").finish_non_exhaustive()
    }
}

fn locals_of(task: &RecordRef) -> Option<Locals> {
    task.cold_if_any()?.locals.values.borrow().clone()
}

/// The values of the current task, as they are now. A value that is set later is set in a copy.
pub(crate) fn current_locals() -> Option<Locals> {
    current::with_task(locals_of).flatten()
}

impl Engine {
    /// A task or callback is about to be inserted into the table: it begins with the values of the current one, and an observer is
    /// told of it.
    #[inline]
    pub(crate) fn prepare(&self, record: &RecordRef) {
        if self.unusual.has(Unusual::HAS_LOCALS | Unusual::IS_TRACED | Unusual::STARTS_EAGERLY) {
            self.prepare_slow_path(record);
        }
    }

    #[inline(never)]
    fn prepare_slow_path(&self, record: &RecordRef) {
        if self.is_traced() {
            self.task_is_spawned(record);
        }
        let locals = self.current.with(locals_of);
        if let Some(locals) = locals.flatten() {
            record.cold().locals.values.replace(Some(locals));
        }
        if self.unusual.has(Unusual::STARTS_EAGERLY) {
            self.choose_start(record, true);
        }
    }

    /// A done-callback begins with these values in place of those that it has inherited.
    pub(crate) fn set_locals(&self, callback: &RecordRef, locals: Option<Locals>) {
        if locals.is_some() || callback.cold_if_any().is_some() {
            self.unusual.set(Unusual::HAS_LOCALS, true);
            let inherited = callback.cold().locals.values.replace(locals);
            drop(inherited); // runs no foreign code: the current task has them too
        }
    }

    /// A main task begins with the values that the last one ended with.
    pub(crate) fn begin_main(&self, task: &RecordRef) {
        let locals = &task.cold().locals;
        locals.is_main.set(true);
        locals.values.replace(self.locals.of_main.borrow().clone());
    }

    /// A task has ended: keeps the values of a main task, and drops those of others.
    pub(crate) fn end_locals(&self, record: &RecordRef) {
        let Some(cold) = record.cold_if_any() else { return };
        let values = cold.locals.values.take();
        let values = if cold.locals.is_main.get() && values.is_some() {
            self.locals.of_main.replace(values)
        } else {
            values
        };
        if let Some(values) = values {
            call_for(record, || drop(values));
        }
    }

    /// The loop is closed: drops the values that it kept for a next main task.
    pub(crate) fn drop_locals_of_main(&self) {
        let values = self.locals.of_main.take();
        drop_reported(values);
    }
}
