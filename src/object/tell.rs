//! What an observer is told of an object. All of this is called where a watched object notes something anyway.

use std::borrow::Cow;

use super::{GROUP, Line, State, WAITS_FOR_A_GROUP};
use crate::engine::Engine;
use crate::kernel::current;
use crate::trace::{Wait, What};

impl Line {
    /// An observer is told that the current task waits in this line.
    #[cold]
    pub(crate) fn tell_wait(&self) {
        let Some(engine) = current::running().filter(|engine| engine.is_traced()) else { return };
        if self.what.kind == GROUP {
            return engine.tell_wait(Wait::Other { what: WAITS_FOR_A_GROUP });
        }
        let object = self.introduce(&engine);
        let (of, kind) = (self.what.of, self.what.kind);
        engine.tell_wait(Wait::Object { object, of, kind });
    }

    /// An observer is told what has happened to the object: `what` gets its number. Returns the number of the event, or zero.
    #[cold]
    pub(crate) fn tell(&self, what: impl FnOnce(u32) -> What<'static>) -> u64 {
        let Some(engine) = current::running().filter(|engine| engine.is_traced()) else { return 0 };
        if self.what.kind == GROUP {
            return 0;
        }
        let object = self.introduce(&engine);
        engine.tell(what(object))
    }

    /// An observer is told of the object before anything happens to it. Returns the object's number.
    fn introduce(&self, engine: &Engine) -> u32 {
        let object = self.number_by(engine);
        if !self.is_news_in(engine, engine.traced_run()) {
            return object;
        }
        let size = match self.state() {
            State::Free { most, .. } if most < usize::MAX => Some(most),
            State::Items { capacity, .. } | State::Channel { capacity, .. }
                if capacity < usize::MAX =>
            {
                Some(capacity)
            }
            _ => None,
        };
        let (kind, name) = (self.what.kind, self.name());
        let name = name.as_deref().map(Cow::Borrowed);
        engine.tell(What::Object { object, kind, name, size });
        object
    }

    /// How many permits are free, if it has permits.
    pub(crate) fn free(&self) -> Option<usize> {
        match self.state() {
            State::Free { free, .. } => Some(free),
            State::Unknown | State::Items { .. } | State::Channel { .. } => None,
        }
    }
}

/// Calls `run`. What an observer is told meanwhile has this event as its cause, if there was one.
pub(crate) fn because_of<R>(event: u64, run: impl FnOnce() -> R) -> R {
    if event == 0 {
        return run();
    }
    match current::running() {
        Some(engine) => engine.because_of(event, run),
        None => run(),
    }
}
