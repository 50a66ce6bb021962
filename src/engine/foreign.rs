//! **Foreign code**: how the crate calls what is not its own.
//!
//! A future, a waker, a destructor, a `Debug`: each may panic, come back into the loop, or drop what it is looking at. The naive
//! answer is to call it and hope; then a waker that panics loses the waiters behind it, and a destructor that comes back meets a
//! table that is borrowed. The rule here is: *the engine is whole before it calls, and nothing that is lent can be freed, taken or
//! moved meanwhile.* So state is changed first, borrows and locks end, and then the call is made.
//!
//! Where a panic of foreign code has no caller to go to it is caught here and reported: it must not keep the engine from telling
//! the next waiter. `docs/foreign-code.md` lists every place.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::thread;

use super::current;
use super::record::RecordRef;
use super::waker::{TaskId, is_cancelled, wake};
use crate::error::{ExceptionContext, Failure, Panic};

/// What a panic threw.
pub(crate) type Payload = Box<dyn Any + Send>;

/// Drops what a panic threw. Should that throw too, what it throws goes the same way, but not for ever: the rest is leaked.
pub(crate) fn discard(mut payload: Payload) {
    for _ in 0..8 {
        match catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            Ok(()) => return,
            Err(again) => payload = again,
        }
    }
    mem::forget(payload);
}

/// Calls foreign code whose panic counts for nothing, because another one is on its way.
pub(crate) fn quietly<R>(foreign: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(foreign)).map_err(discard).ok()
}

/// Runs foreign code, a destructor, when `output` has been made. If it panics, `output` is dropped, and what was thrown comes back.
///
/// A value that a block is about to return is leaked if a destructor at the end of the block panics: the compiler does not
/// unwind the place that it stands in. `future.await` is such a block, for it drops the future when it has its output.
pub(crate) fn keep_during<R>(output: R, foreign: impl FnOnce()) -> Result<R, Payload> {
    match catch_unwind(AssertUnwindSafe(foreign)) {
        Ok(()) => Ok(output),
        Err(payload) => {
            quietly(|| drop(output)); // what was thrown first is what counts
            Err(payload)
        }
    }
}

/// The first of several panics.
#[derive(Default)]
pub(crate) struct FirstPanic(Option<Payload>);

impl FirstPanic {
    /// Runs foreign code. If it panics there is no value, and the panic waits for [`go_on`](FirstPanic::go_on).
    pub(crate) fn catch<R>(&mut self, foreign: impl FnOnce() -> R) -> Option<R> {
        match catch_unwind(AssertUnwindSafe(foreign)) {
            Ok(value) => Some(value),
            Err(payload) => {
                match self.0 {
                    None => self.0 = Some(payload),
                    Some(_) => discard(payload),
                }
                None
            }
        }
    }

    /// Goes on with the first panic, if there was one. While the thread unwinds already a second panic would abort the
    /// process: then it counts for nothing.
    pub(crate) fn go_on(self) {
        match self.0 {
            None => {}
            Some(payload) if thread::panicking() => discard(payload),
            Some(payload) => resume_unwind(payload),
        }
    }
}

/// Calls foreign code that belongs to no task. A panic is reported, as one of `what`.
#[track_caller]
pub(crate) fn call<R>(what: &'static str, foreign: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(foreign)) {
        Ok(returned) => Some(returned),
        Err(payload) => {
            report_panic(what, payload, Location::caller());
            None
        }
    }
}

#[cold]
pub(crate) fn report_panic(
    what: &'static str,
    payload: Payload,
    location: &'static Location<'static>,
) {
    let failure = Failure::Panicked(Panic::new(payload));
    tell(&ExceptionContext { what, ..ExceptionContext::of_nobody(failure, location) });
}

/// Calls foreign code on behalf of a task. A panic is reported as that task's.
pub(crate) fn call_for<R>(task: &RecordRef, foreign: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(foreign)) {
        Ok(returned) => Some(returned),
        Err(payload) => {
            let failure = Failure::Panicked(Panic::new(payload));
            task.home.report(&ExceptionContext::of(task, failure));
            None
        }
    }
}

/// Drops a value of the user's. A panic is reported.
#[track_caller]
pub(crate) fn drop_reported<T>(value: T) {
    call("a destructor", || drop(value));
}

/// Reports what happened to a call or work of the user's, which was made at `location`.
pub(crate) fn report(failure: Failure, location: &'static Location<'static>) {
    tell(&ExceptionContext::of_nobody(failure, location));
}

/// Tells the exception handler of the loop that runs on this thread (or is being closed), or else stderr.
fn tell(context: &ExceptionContext) {
    match current::running() {
        Some(engine) => engine.report(context),
        None => eprintln!("loopwheel: {context}"),
    }
}

/// A waker that is kept until it is used. One of ours is a number and costs nothing; a foreign one may run anything when it is
/// woken or dropped, and its panic is reported.
///
/// The task that keeps a foreign one can find it: see [`ForeignWakers`].
#[derive(Clone)]
pub(crate) enum KeptWaker {
    Ours(TaskId),
    Foreign(Arc<GuardedWaker>),
}

impl KeptWaker {
    /// A waker that wakes what `waker` wakes. One of ours is not cloned, for a clone would count as foreign code's.
    ///
    /// A foreign one is: no borrow or lock may be held here, and the state must be whole. A panic goes to the caller.
    #[inline]
    pub(crate) fn of(waker: &Waker) -> KeptWaker {
        TaskId::of(waker).map_or_else(|| KeptWaker::of_foreign(waker), KeptWaker::Ours)
    }

    #[cold]
    pub(crate) fn of_foreign(waker: &Waker) -> KeptWaker {
        KeptWaker::Foreign(GuardedWaker::of(waker))
    }

    /// The same as [`of`](KeptWaker::of), if it is one of ours: no foreign code runs.
    #[inline]
    pub(crate) fn of_ours(waker: &Waker) -> Option<KeptWaker> {
        TaskId::of(waker).map(KeptWaker::Ours)
    }

    /// A waker that wakes nothing.
    pub(crate) fn of_nothing() -> KeptWaker {
        KeptWaker::Foreign(Arc::new(GuardedWaker(None)))
    }

    #[inline]
    pub(crate) fn will_wake(&self, waker: &Waker) -> bool {
        match self {
            KeptWaker::Ours(id) => TaskId::of(waker) == Some(*id),
            KeptWaker::Foreign(kept) => kept.will_wake(waker),
        }
    }

    /// No borrow or lock may be held here.
    #[inline]
    pub(crate) fn wake(self) {
        match self {
            KeptWaker::Ours(id) => wake(id),
            KeptWaker::Foreign(kept) => GuardedWaker::wake(kept),
        }
    }

    /// Whether it is one of ours that a cancel has interrupted, and that has not run since.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.id().is_some_and(is_cancelled)
    }

    /// The task, if it is one of ours.
    pub(crate) fn id(&self) -> Option<TaskId> {
        match self {
            KeptWaker::Ours(id) => Some(*id),
            KeptWaker::Foreign(_) => None,
        }
    }
}

/// The foreign wakers that the checkpoints of one task keep: a cancel wakes them all, so that the sets that the checkpoints are
/// in poll them.
#[derive(Default)]
pub(crate) struct ForeignWakers {
    /// In the order in which they came, each with how many came before it.
    wakers: Vec<(u64, Weak<GuardedWaker>)>,
    added: u64,
    /// When the list is this long, those that are gone are cleared away.
    sweep_at: usize,
}

impl ForeignWakers {
    fn add(&mut self, waker: &Arc<GuardedWaker>) {
        if self.wakers.len() >= self.sweep_at {
            self.wakers.retain(|(_, waker)| waker.strong_count() > 0);
            self.sweep_at = 2 * self.wakers.len() + 8;
        }
        self.wakers.push((self.added, Arc::downgrade(waker)));
        self.added += 1;
    }

    /// Those that are still kept.
    pub(crate) fn alive(&self) -> Vec<KeptWaker> {
        let alive = self.wakers.iter().filter_map(|(_, waker)| waker.upgrade());
        alive.map(KeptWaker::Foreign).collect()
    }

    /// Whether there are any.
    pub(crate) fn keeps_any(&self) -> bool {
        self.wakers.iter().any(|(_, waker)| waker.strong_count() > 0)
    }

    /// How many there have been.
    pub(crate) fn added(&self) -> u64 {
        self.added
    }

    /// Those that came when there had been so many.
    pub(crate) fn since(&self, added: u64) -> impl Iterator<Item = Weak<GuardedWaker>> {
        let later = self.wakers.iter().rev().take_while(move |(before, _)| *before >= added);
        later.map(|(_, waker)| waker.clone())
    }
}

/// A waker whose panics, when it is woken or dropped, are reported; on whatever thread that is.
pub(crate) struct GuardedWaker(Option<Waker>);

impl GuardedWaker {
    /// A real clone, also of one of ours: for a place from which the outside can wake it. No borrow or lock may be held here,
    /// and a panic goes to the caller.
    pub(crate) fn of(waker: &Waker) -> Arc<GuardedWaker> {
        let kept = Arc::new(GuardedWaker(Some(waker.clone())));
        if TaskId::of(waker).is_none() {
            current::with_current_loop(|engine| {
                engine.current.with_hidden(|task| {
                    task.cold().foreign_wakers.borrow_mut().add(&kept);
                });
            });
        }
        kept
    }

    /// The same, but one of ours does not count as foreign code's: what it waits for is counted in another way.
    pub(crate) fn of_counted(waker: &Waker) -> Arc<GuardedWaker> {
        match TaskId::of(waker) {
            Some(id) => Arc::new(GuardedWaker(Some(id.waker()))),
            None => GuardedWaker::of(waker),
        }
    }

    pub(crate) fn will_wake(&self, waker: &Waker) -> bool {
        self.0.as_ref().is_some_and(|kept| kept.will_wake(waker))
    }

    /// To be cloned.
    pub(crate) fn waker(&self) -> &Waker {
        self.0.as_ref().unwrap_or_else(|| Waker::noop())
    }

    /// No borrow or lock may be held here.
    pub(crate) fn wake(this: Arc<GuardedWaker>) {
        match Arc::try_unwrap(this) {
            Ok(mut last) => {
                if let Some(waker) = last.0.take() {
                    call("a waker", || waker.wake());
                }
            }
            Err(shared) => {
                if let Some(waker) = &shared.0 {
                    call("a waker", || waker.wake_by_ref());
                }
            }
        }
    }
}

impl Drop for GuardedWaker {
    fn drop(&mut self) {
        if let Some(waker) = self.0.take() {
            drop_reported(waker);
        }
    }
}
