//! Handles of tasks, of every kind, and what becomes of outcomes.

use std::any::Any;
use std::fmt;
use std::pin::Pin;

use loopwheel::{Panic, SharedTask, Task, TaskError, TaskRef};

use crate::parcel::Parcel;
use crate::world::World;

pub(crate) type Fallible = Task<Parcel, Parcel>;

/// A handle, and the task that it should belong to.
pub(crate) struct Handle {
    pub(crate) label: u32,
    pub(crate) held: Held,
}

pub(crate) enum Held {
    Plain(Task<Parcel>),
    Fallible(Fallible),
    Shared(SharedTask<Parcel>),
    SharedFallible(SharedTask<Parcel, Parcel>),
}

macro_rules! each {
    ($held:expr, $task:ident => $what:expr) => {
        match $held {
            Held::Plain($task) => $what,
            Held::Fallible($task) => $what,
            Held::Shared($task) => $what,
            Held::SharedFallible($task) => $what,
        }
    };
}
pub(crate) use each;

impl Handle {
    pub(crate) fn to_ref(&self) -> TaskRef {
        each!(&self.held, task => task.to_ref())
    }

    /// Calls everything that a handle can be asked.
    pub(crate) fn look(&self) -> String {
        each!(&self.held, task => {
            format!("{task:?} {} {} {}", task.name(), task.is_done(), task.is_cancelled())
        })
    }

    pub(crate) fn shared(self) -> Handle {
        let held = match self.held {
            Held::Plain(task) => Held::Shared(task.shared()),
            Held::Fallible(task) => Held::SharedFallible(task.shared()),
            shared => shared,
        };
        Handle { label: self.label, held }
    }

    /// Returns another handle to the same task, if there can be one.
    pub(crate) fn try_clone(&self) -> Option<Handle> {
        let held = match &self.held {
            Held::Plain(_) | Held::Fallible(_) => return None,
            Held::Shared(task) => Held::Shared(task.clone()),
            Held::SharedFallible(task) => Held::SharedFallible(task.clone()),
        };
        Some(Handle { label: self.label, held })
    }

    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.held, Held::Shared(_) | Held::SharedFallible(_))
    }

    /// Polled as a future, it returns the outcome of its task.
    pub(crate) async fn ended(&mut self, watcher: u32) {
        let (label, is_shared) = (self.label, self.is_shared());
        match &mut self.held {
            Held::Plain(task) => see(watcher, label, is_shared, Pin::new(task).await),
            Held::Fallible(task) => see(watcher, label, is_shared, Pin::new(task).await),
            Held::Shared(task) => see(watcher, label, is_shared, Pin::new(task).await),
            Held::SharedFallible(task) => see(watcher, label, is_shared, Pin::new(task).await),
        }
    }
}

/// Notes that the outcome of the task `label` has come to `watcher`. What is dropped here may run anything.
pub(crate) fn see<E: Any + fmt::Debug>(
    watcher: u32,
    label: u32,
    is_shared: bool,
    outcome: Result<Parcel, TaskError<E>>,
) {
    let world = World::here();
    match outcome {
        Ok(value) => {
            world.log(watcher, "got the value of", value.label().into());
            if value.label() != label {
                let other = value.label();
                world.ledger.fault("a wrong value", format!("task {label} gave that of {other}"));
            } else if !is_shared {
                world.ledger.value_taken(label);
            }
            drop(value);
        }
        Err(TaskError::Failed(error)) => {
            let error: &dyn Any = &error;
            if let Some(error) = error.downcast_ref::<Parcel>() {
                world.log(watcher, "got the error of", error.label().into());
                if error.label() != label {
                    let other = error.label();
                    world
                        .ledger
                        .fault("a wrong error", format!("task {label} gave that of {other}"));
                }
            }
        }
        Err(TaskError::Cancelled(_)) => world.log(watcher, "saw the cancel of", label.into()),
        Err(TaskError::Panicked(panic)) => {
            world.log(watcher, "saw the panic of", label.into());
            see_panic(&world, &panic);
        }
        Err(_) => world.log(watcher, "saw the group take", label.into()),
    }
}

/// Notes that a panic has been seen, and drops what was thrown.
pub(crate) fn see_panic(world: &World, panic: &Panic) {
    match serial_of_text(panic.message()) {
        Some(serial) => world.ledger.seen(serial),
        None => {
            if let Some(payload) = panic.take_payload() {
                Parcel::see_thrown(&*payload, world);
            }
        }
    }
}

const TEXT: &str = "thrown on purpose: ";

pub(crate) fn text_thrown(serial: u32) -> String {
    format!("{TEXT}{serial}")
}

pub(crate) fn serial_of_text(text: &str) -> Option<u32> {
    text.strip_prefix(TEXT)?.parse().ok()
}
