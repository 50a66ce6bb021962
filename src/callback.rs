//! **Callbacks**: functions that the loop calls, without a task.
//!
//! A second queue for callbacks would need a rule for what comes first, a callback or a task. So a callback is a record like a
//! task's, with a future that calls the function, and is in the same queue: callbacks and tasks run in the order in which they
//! became ready. The price is an allocation as large as that of a small task. A callback has no serial, no name and no handle that
//! can be awaited.
//!
//! It stands on `base`, `cells`, `error`, the kernel, `foreign`, `room`, `task_local`, `time`, `task`, `report` and `sleep`.

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::base::id::TaskId;
use crate::base::instant::Instant;
use crate::base::kind::Plain;
use crate::engine::Engine;
use crate::error::{Panic, TooManyCallbacks};
use crate::foreign::drop_reported;
use crate::kernel::record::{self, CALLBACK_SERIAL, Flag, RecordRef, Stage};
use crate::kernel::table::FreeSlot;
use crate::report::{ExceptionContext, Failure};
use crate::sleep::Timer;
use crate::task::running_loop;
use crate::task_local::Locals;
use crate::time::TimerAction;

/// Calls `callback` in the loop's next turn.
///
/// # Panics
/// If no loop is running, or the loop has no room for another callback. A panic of `callback` goes to the loop's exception handler.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// loopwheel::call_soon(|| println!("next turn"));
/// loopwheel::yield_now().await;
/// # });
/// ```
///
/// # In asyncio
/// `loop.call_soon(callback)`.
#[track_caller]
pub fn call_soon(callback: impl FnOnce() + 'static) -> CallbackHandle {
    soon(&running_loop(), callback, Location::caller())
}

/// Calls `callback` when `delay` has passed, not earlier.
///
/// # Panics
/// If no loop is running, or the loop has no room for another callback. A panic of `callback` goes to the loop's exception handler.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{call_later, sleep};
///
/// let handle = call_later(Duration::from_secs(1), || unreachable!("it was cancelled"));
/// handle.cancel();
/// sleep(Duration::from_secs(2)).await;
/// # });
/// ```
///
/// # In asyncio
/// `loop.call_later(delay, callback)`.
#[track_caller]
pub fn call_later(delay: Duration, callback: impl FnOnce() + 'static) -> CallbackHandle {
    let engine = running_loop();
    let when = engine.now() + delay;
    at(&engine, when, callback, Location::caller())
}

/// Calls `callback` when the loop's clock shows `when`, not earlier. Callbacks of one moment are called in the order in which they
/// were scheduled.
///
/// # Panics
/// If no loop is running, or the loop has no room for another callback. A panic of `callback` goes to the loop's exception handler.
///
/// # In asyncio
/// `loop.call_at(when, callback)`.
#[track_caller]
pub fn call_at(when: Instant, callback: impl FnOnce() + 'static) -> CallbackHandle {
    at(&running_loop(), when, callback, Location::caller())
}

#[track_caller]
pub(crate) fn soon(
    engine: &Rc<Engine>,
    callback: impl FnOnce() + 'static,
    called_at: &'static Location<'static>,
) -> CallbackHandle {
    match engine.spawn_callback(async move { callback() }, called_at) {
        Ok(record) => CallbackHandle { record, when: None },
        Err((callback, full)) => {
            drop(callback); // before the panic: its destructor may panic too
            panic!("{full}")
        }
    }
}

#[track_caller]
pub(crate) fn at(
    engine: &Rc<Engine>,
    when: Instant,
    callback: impl FnOnce() + 'static,
    called_at: &'static Location<'static>,
) -> CallbackHandle {
    let mut callback = Some(callback);
    // The timer is set here and not in a first poll, so that the order of scheduling counts.
    let mut set = None;
    let record = engine.spawn_timed_callback(called_at, |id| {
        let timer = Timer::set_untold(engine.clone(), when, TimerAction::wake(id));
        set = timer.number();
        poll_fn(move |_| {
            if !timer.has_fired() {
                return Poll::Pending;
            }
            if let Some(callback) = callback.take() {
                callback();
            }
            Poll::Ready(())
        })
    });
    match record {
        Ok(record) => {
            if let Some(timer) = set.filter(|_| engine.is_traced()) {
                engine.note_timer(timer, false); // after the callback, which it wakes
            }
            CallbackHandle { record, when: Some(when) }
        }
        Err(full) => panic!("{full}"),
    }
}

/// The handle of a scheduled callback. Dropping the handle does not cancel the callback.
///
/// # In asyncio
/// `asyncio.Handle` and `asyncio.TimerHandle`.
#[derive(Clone)]
pub struct CallbackHandle {
    record: RecordRef,
    when: Option<Instant>,
}

impl CallbackHandle {
    /// Cancels the callback: it is dropped now, and not called. False if it was called or cancelled before, or is being called.
    pub fn cancel(&self) -> bool {
        let is_waiting = !self.record.has(Flag::DONE) && !self.record.has(Stage::LENT);
        if is_waiting {
            self.record.owner.discard(&self.record);
        }
        is_waiting
    }

    /// Whether the callback was cancelled.
    pub fn is_cancelled(&self) -> bool {
        crate::cells::look_at_ends();
        self.record.has(Flag::CANCELLED)
    }

    /// The time for which the callback is scheduled; `None` for the next turn.
    pub fn when(&self) -> Option<Instant> {
        self.when
    }
}

impl fmt::Debug for CallbackHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallbackHandle")
            .field("when", &self.when)
            .field("is_cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// The error if there is no slot for a callback.
    #[cold]
    fn too_many_callbacks(&self) -> TooManyCallbacks {
        TooManyCallbacks { limit: self.tasks.table.borrow().capacity() }
    }

    /// Queues `future` as a callback. Without room for it, the future is returned with the error.
    pub(crate) fn spawn_callback<F>(
        self: &Rc<Self>,
        future: F,
        called_at: &'static Location<'static>,
    ) -> Result<RecordRef, (F, TooManyCallbacks)>
    where
        F: Future<Output = ()> + 'static,
    {
        let free_slot = self.tasks.table.borrow_mut().reserve_for_callback();
        let Some(free_slot) = free_slot else { return Err((future, self.too_many_callbacks())) };
        let params = self.spawn_params(free_slot, CALLBACK_SERIAL, called_at);
        let callback = record::owned(Plain, params, future);
        self.begin(&callback);
        Ok((*callback).clone())
    }

    /// Queues a callback of the loop's own. There is no caller to return an error to, so a lack of room is reported.
    pub(crate) fn spawn_callback_or_report<F>(
        self: &Rc<Self>,
        future: F,
        called_at: &'static Location<'static>,
    ) where
        F: Future<Output = ()> + 'static,
    {
        if let Err((future, full)) = self.spawn_callback(future, called_at) {
            self.report_lack_of_room(future, full, called_at);
        }
    }

    /// The same for a done-callback. It begins with the task-locals of the task that added it, not with those of the current task.
    pub(crate) fn spawn_done_callback<F>(
        self: &Rc<Self>,
        locals: Option<Locals>,
        future: F,
        called_at: &'static Location<'static>,
    ) where
        F: Future<Output = ()> + 'static,
    {
        match self.spawn_callback(future, called_at) {
            Ok(callback) => self.set_locals(&callback, locals),
            Err((future, full)) => {
                self.report_lack_of_room(future, full, called_at);
                drop_reported(locals);
            }
        }
    }

    #[cold]
    fn report_lack_of_room(
        &self,
        future: impl Future,
        full: TooManyCallbacks,
        called_at: &'static Location<'static>,
    ) {
        let payload = catch_unwind(AssertUnwindSafe(|| drop(future))).err();
        let panicked = payload.map(|payload| Failure::Panicked(Panic::new(payload)));
        for failure in [Failure::TooManyCallbacks(full)].into_iter().chain(panicked) {
            self.report(&ExceptionContext::of_no_task(failure, called_at));
        }
    }

    /// Whether there is room for one more callback.
    pub(crate) fn has_room_for_callback(&self) -> bool {
        self.tasks.table.borrow().has_room()
    }

    /// Creates a callback that is not queued but woken by a timer. `future` gets the id of the callback, and sets that timer.
    pub(crate) fn spawn_timed_callback<F>(
        self: &Rc<Self>,
        called_at: &'static Location<'static>,
        future: impl FnOnce(TaskId) -> F,
    ) -> Result<RecordRef, TooManyCallbacks>
    where
        F: Future<Output = ()> + 'static,
    {
        let callback = self.callback_to_be_woken(called_at, future)?;
        self.prepare(&callback);
        self.tasks.table.borrow_mut().insert(callback.clone());
        Ok(callback)
    }

    /// The same for the callback that takes calls from other threads. It has no task-locals. No foreign code runs: an observer is
    /// told of it when it is woken.
    pub(crate) fn spawn_runner<F>(
        self: &Rc<Self>,
        called_at: &'static Location<'static>,
        future: impl FnOnce(TaskId) -> F,
    ) -> Result<RecordRef, TooManyCallbacks>
    where
        F: Future<Output = ()> + 'static,
    {
        let callback = self.callback_to_be_woken(called_at, future)?;
        self.watch_task(&callback, true);
        self.tasks.table.borrow_mut().insert(callback.clone());
        Ok(callback)
    }

    /// A callback that is not queued, and not in the table yet.
    fn callback_to_be_woken<F>(
        self: &Rc<Self>,
        called_at: &'static Location<'static>,
        future: impl FnOnce(TaskId) -> F,
    ) -> Result<RecordRef, TooManyCallbacks>
    where
        F: Future<Output = ()> + 'static,
    {
        /// Gives the slot back if `future` panics: it may ask a host's clock.
        struct Reserved<'a>(&'a Engine, FreeSlot);
        impl Drop for Reserved<'_> {
            fn drop(&mut self) {
                let mut table = self.0.tasks.table.borrow_mut();
                table.give_back(self.1);
                table.callback_is_over();
            }
        }
        let free_slot = self.tasks.table.borrow_mut().reserve_for_callback();
        let Some(free_slot) = free_slot else { return Err(self.too_many_callbacks()) };
        // The timer needs the id before there is a record, so the slot is reserved first.
        let reserved = Reserved(self, free_slot);
        let params = self.spawn_params(free_slot, CALLBACK_SERIAL, called_at);
        let future = future(params.id);
        mem::forget(reserved);
        Ok((*record::owned(Plain, params, future)).clone())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;
    use std::panic::catch_unwind;
    use std::rc::Rc;
    use std::time::Duration;

    use crate::testing::watched_loop;
    use crate::{
        EventLoop, Task, TaskGroup, all_tasks, call_later, call_soon, create_task, sleep, yield_now,
    };

    #[test]
    fn all_tasks_are_oldest_first_even_when_serials_have_come_round() {
        let event_loop = EventLoop::new();
        event_loop.engine().last_serial.set(u32::MAX - 2);
        let tasks: Vec<_> = (0..5).map(|_| event_loop.create_task(pending::<()>())).collect();
        let expected: Vec<_> = tasks.iter().map(Task::to_ref).collect();
        assert!(event_loop.all_tasks() == expected, "{:?}", event_loop.all_tasks());
    }

    #[test]
    fn a_callback_for_which_the_loop_has_no_room_is_dropped_and_reported() {
        /// Panics when it is dropped.
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("dropped uncalled");
            }
        }
        let (mut event_loop, reports) = watched_loop();
        let engine = event_loop.engine().clone();
        let called = Rc::new(Cell::new(0));
        event_loop.run(async {
            let task = create_task(sleep(Duration::from_secs(1)));
            for _ in 0..2 {
                let called = called.clone();
                task.to_ref().add_done_callback(move |_| called.set(called.get() + 1));
            }
            let bomb = Bomb;
            task.to_ref().add_done_callback(move |_| drop(bomb));
            engine.tasks.table.borrow_mut().set_room(2, 2); // main, and the task that sleeps
            sleep(Duration::from_secs(2)).await;
            assert!(task.is_done());
            assert_eq!(called.get(), 1, "in the slot of the task that has ended");
            engine.tasks.table.borrow_mut().set_room(100, 100);
            create_task(yield_now()).await.unwrap(); // the loop goes on
        });
        let reports = reports.take();
        assert_eq!(reports.len(), 3, "{reports:?}");
        assert!(reports[0].contains("too many callbacks"), "{reports:?}");
        assert!(reports[2].contains("dropped uncalled"), "{reports:?}");
    }

    #[test]
    fn a_group_whose_loop_has_no_room_for_a_callback_ends_all_the_same() {
        let (mut event_loop, reports) = watched_loop();
        let engine = event_loop.engine().clone();
        event_loop.run(async {
            let failed = TaskGroup::scope(async |group| {
                group.create_task(async {
                    sleep(Duration::from_secs(1)).await;
                    Err::<(), _>("broken")
                });
                group.create_task(pending::<Result<(), &str>>());
                engine.tasks.table.borrow_mut().set_room(2, 2);
                pending::<Result<(), &str>>().await
            });
            assert_eq!(failed.await.unwrap_err().iter().collect::<Vec<_>>(), [&"broken"]);
        });
        assert!(reports.borrow().is_empty());
    }

    #[test]
    fn scheduling_a_callback_on_a_loop_without_room_panics_with_one_clear_sentence() {
        let (mut event_loop, _) = watched_loop();
        let engine = event_loop.engine().clone();
        event_loop.run(async {
            engine.tasks.table.borrow_mut().set_room(1, 1);
            let soon: fn() = || drop(call_soon(|| ()));
            let later: fn() = || drop(call_later(Duration::from_secs(1), || ()));
            for schedule in [soon, later] {
                let payload = catch_unwind(schedule).unwrap_err();
                let text = payload.downcast_ref::<String>().unwrap();
                assert!(text.starts_with("too many callbacks and tasks"), "{text}");
            }
            engine.tasks.table.borrow_mut().set_room(100, 100);
            drop(call_soon(|| ()));
            yield_now().await;
            assert_eq!(all_tasks().len(), 1);
        });
    }

    #[test]
    fn a_call_of_another_thread_for_which_there_is_no_room_is_reported() {
        let (mut event_loop, reports) = watched_loop();
        let engine = event_loop.engine().clone();
        let handle = event_loop.handle();
        event_loop.run(async {
            engine.tasks.table.borrow_mut().set_room(2, 2); // main, and the runner of calls
            std::thread::spawn(move || handle.call_soon(|| ())).join().unwrap().unwrap();
            while reports.borrow().is_empty() {
                yield_now().await;
            }
        });
        assert!(reports.borrow()[0].contains("no room"), "{reports:?}");
    }
}
