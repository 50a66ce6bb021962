//! **A task's life**: birth, end, and what is told to whom.
//!
//! ```text
//!                 (1) begin                (2) poll ─▶
//!   no task ──────────────────▶ queued ◀──────────────────▶ asleep
//!                                 │      ◀─ (3) make_ready     │
//!                                 │                            │
//!            (4) end, end_cancelled, end_panicked     (5) discard: dropped hard
//!                                 ▼                            ▼
//!                     over: with a value, FAILED, CANCELLED or PANICKED
//! ```
//!
//! 1. The record gets a slot and stands at the end of the ready queue; its first poll is in the next turn.
//! 2. `Engine::poll_next` in `turn.rs`.
//! 3. By a waker, a timer, a letter, or a cancel.
//! 4. After the poll that brought the end. The future is gone by then; the outcome stays in the record while
//!    somebody holds a handle. Every waker of the task is stale at once, and its slot vacant. If it stands in the
//!    ready queue it keeps its place there, and its memory, as what has nothing left to poll.
//! 5. From outside a poll; inside its own poll it is noted, and done at the poll's end.
//!
//! Whoever waited is told in the order in which they began to wait. A failure that nobody can take any more is
//! reported, once (`report.rs`).

use std::cmp::Reverse;
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;

use super::cold::{Cold, Joiner, Locals};
use super::delivery::Signal;
use super::foreign::{self, Payload};
use super::reason::{Own, Reason};
use super::record::{self, Birth, Flag, Kind, NO_TASK, Plain, RecordRef, Stage, TypedOf};
use super::slots::Vacancy;
use super::turn::{Engine, Next};
use super::waker::{TaskId, wake};
use super::watchers::FirstJoiner;
use crate::error::{ExceptionContext, Failure, Panic, TooManyCallbacks, TooManyTasks};

/// How many hard drops are made inside each other, on the stack.
const MOST_NESTED: u32 = 64;

/// How often a loop that ends cancels, or drops, what the tasks of the round before have made.
pub(crate) const MOST_ROUNDS: u32 = 1_000;

impl Engine {
    /// What a new record needs to know. Its slot is reserved; it comes there by [`begin`](Engine::begin).
    fn birth(
        self: &Rc<Self>,
        vacancy: Vacancy,
        number: u32,
        spawned_at: &'static Location<'static>,
    ) -> Birth {
        let id = TaskId::new(self.loop_index(), vacancy.slot, vacancy.generation);
        Birth { home: self.clone(), id, number, spawned_at }
    }

    /// There was no slot for a task.
    #[cold]
    fn too_many_tasks(&self) -> TooManyTasks {
        TooManyTasks { limit: self.tasks.slots.borrow().limit() }
    }

    /// There was no slot for a callback.
    #[cold]
    fn too_many_callbacks(&self) -> TooManyCallbacks {
        TooManyCallbacks { limit: self.tasks.slots.borrow().capacity() }
    }

    /// Counts tasks. After 2³² of them it begins again: a number is a name, and an order among tasks of an age.
    fn next_number(&self) -> u32 {
        let last = self.tasks_made.get();
        let number = if last == u32::MAX { NO_TASK + 1 } else { last + 1 };
        self.tasks_made.set(number);
        number
    }

    fn begin(&self, record: &RecordRef) {
        self.inherit(record);
        self.tasks.slots.borrow_mut().insert(record.clone());
        self.tasks.ready.push(record);
    }

    /// Whoever is made inside a task begins with its locals.
    #[inline]
    fn inherit(&self, record: &RecordRef) {
        if self.has_locals.get() {
            self.inherit_locals(record);
        }
    }

    #[inline(never)]
    fn inherit_locals(&self, record: &RecordRef) {
        let locals = self.current.with(|task| task.cold_if_any().and_then(Cold::locals));
        if let Some(locals) = locals.flatten() {
            record.cold().locals.replace(Some(locals));
        }
    }

    /// A slot for a task that is [spawned](Engine::spawn) now.
    #[inline]
    pub(crate) fn room_for_task(&self) -> Result<Vacancy, TooManyTasks> {
        let vacancy = self.tasks.slots.borrow_mut().reserve_for_task();
        vacancy.ok_or_else(|| self.too_many_tasks())
    }

    /// A new task; its first poll is in the next turn.
    pub(crate) fn spawn<F, K>(
        self: &Rc<Self>,
        vacancy: Vacancy,
        kind: K,
        future: F,
        spawned_at: &'static Location<'static>,
    ) -> TypedOf<F, K>
    where
        F: Future + 'static,
        K: Kind<F::Output, Value: 'static>,
    {
        let task = record::owned(kind, self.birth(vacancy, self.next_number(), spawned_at), future);
        self.begin(&task);
        task
    }

    /// The main task, whose future may borrow from the caller's stack; it is over when `body` has returned.
    pub(crate) fn spawn_scoped<F: Future, R>(
        self: &Rc<Self>,
        future: F,
        spawned_at: &'static Location<'static>,
        body: impl FnOnce(&TypedOf<F, Plain>) -> R,
    ) -> Result<R, TooManyTasks> {
        /// However `body` ends, the task is over then.
        struct Over<'a>(&'a RecordRef);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.clear(Flag::HANDLE); // if it is not over, nothing takes its outcome
                self.0.home.discard(self.0);
            }
        }
        let vacancy = self.tasks.slots.borrow_mut().reserve_for_main();
        let Some(vacancy) = vacancy else { return Err(self.too_many_tasks()) };
        let birth = self.birth(vacancy, self.next_number(), spawned_at);
        Ok(record::scoped(Plain, birth, future, |task| {
            let _over = Over(task);
            let cold = task.cold();
            cold.is_main.set(true);
            cold.locals.replace(self.locals_of_main.borrow().clone());
            self.begin(task);
            body(task)
        }))
    }

    /// A callback of the loop: a future that is no task. If there is no room for it, it is handed back.
    pub(crate) fn spawn_callback<F>(
        self: &Rc<Self>,
        future: F,
        called_at: &'static Location<'static>,
    ) -> Result<RecordRef, (F, TooManyCallbacks)>
    where
        F: Future<Output = ()> + 'static,
    {
        let vacancy = self.tasks.slots.borrow_mut().reserve_for_callback();
        let Some(vacancy) = vacancy else { return Err((future, self.too_many_callbacks())) };
        let callback = record::owned(Plain, self.birth(vacancy, NO_TASK, called_at), future);
        self.begin(&callback);
        Ok(callback.clone())
    }

    /// A callback that the loop itself makes, where nobody can be told that there is no room for it but the exception handler.
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

    /// The same for a done-callback, which begins with the task-locals of the task that has added it, and not with those of the
    /// current one.
    pub(crate) fn spawn_done_callback<F>(
        self: &Rc<Self>,
        locals: Option<Locals>,
        future: F,
        called_at: &'static Location<'static>,
    ) where
        F: Future<Output = ()> + 'static,
    {
        match self.spawn_callback(future, called_at) {
            Err((future, full)) => {
                self.report_lack_of_room(future, full, called_at);
                foreign::drop_reported(locals);
            }
            Ok(callback) if locals.is_some() || callback.cold_if_any().is_some() => {
                self.has_locals.set(true);
                let inherited = callback.cold().locals.replace(locals);
                drop(inherited); // not the last reference: the current task has them
            }
            Ok(_) => {}
        }
    }

    #[cold]
    fn report_lack_of_room(
        &self,
        future: impl Future,
        full: TooManyCallbacks,
        called_at: &'static Location<'static>,
    ) {
        let thrown = catch_unwind(AssertUnwindSafe(|| drop(future))).err();
        let failures = thrown.map(|payload| Failure::Panicked(Panic::new(payload)));
        for failure in [Failure::TooManyCallbacks(full)].into_iter().chain(failures) {
            self.report(&ExceptionContext::of_nobody(failure, called_at));
        }
    }

    /// Whether a callback that is made now finds room.
    pub(crate) fn has_room_for_callback(&self) -> bool {
        self.tasks.slots.borrow().has_room()
    }

    /// A callback that is not queued but woken by a timer, which `future` arms for the id that it is given.
    pub(crate) fn spawn_timed_callback<F>(
        self: &Rc<Self>,
        called_at: &'static Location<'static>,
        future: impl FnOnce(TaskId) -> F,
    ) -> Result<RecordRef, TooManyCallbacks>
    where
        F: Future<Output = ()> + 'static,
    {
        /// Gives the slot back if `future` panics: it may ask a host's clock.
        struct Reserved<'a>(&'a Engine, Vacancy);
        impl Drop for Reserved<'_> {
            fn drop(&mut self) {
                let mut slots = self.0.tasks.slots.borrow_mut();
                slots.leave_vacant(self.1);
                slots.callback_left();
            }
        }
        let vacancy = self.tasks.slots.borrow_mut().reserve_for_callback();
        let Some(vacancy) = vacancy else { return Err(self.too_many_callbacks()) };
        let reserved = Reserved(self, vacancy);
        let birth = self.birth(vacancy, NO_TASK, called_at);
        let future = future(birth.id);
        mem::forget(reserved);
        let callback = record::owned(Plain, birth, future);
        self.inherit(&callback);
        self.tasks.slots.borrow_mut().insert(callback.clone());
        Ok(callback.clone())
    }

    /// The end: `how` if not with a value.
    pub(super) fn end(&self, record: &RecordRef, how: Flag) {
        record.set_and_clear(
            Flag::DONE | how,
            Flag::CANCEL_PENDING | Flag::CANCEL_FIRM | Flag::CANCEL_FORWARDED | Flag::UNWINDING,
        );
        record.forget_awaited();
        let from_table = self.tasks.remove(record);
        drop(from_table);
        // A joiner that comes from here on finds the task over.
        let cold = record.cold_if_any();
        if let Some(cold) = cold {
            self.end_of_cold_part(record, cold);
        }
        tell_first_joiner(record);
        if let Some(cold) = cold {
            tell_other_joiners(record, cold);
        }
        if !record.has(Flag::HANDLE) {
            self.nobody_takes(record);
        }
    }

    #[inline(never)]
    fn end_of_cold_part(&self, record: &RecordRef, cold: &Cold) {
        if cold.is_orphan_of_shield.get() {
            record.clear(Flag::SEEN); // in any case
            self.report_failure(record);
        }
        // After the report: a destructor may drop the last handle, and that reports what was not reported yet.
        let locals = cold.locals.take();
        let locals = if cold.is_main.get() && locals.is_some() {
            self.locals_of_main.replace(locals)
        } else {
            locals
        };
        if let Some(locals) = locals {
            foreign::call_for(record, || drop(locals));
        }
    }

    fn end_panicked(&self, record: &RecordRef, payload: Payload) {
        record.cold().panic.replace(Some(Panic::new(payload)));
        self.end(record, Flag::PANICKED);
    }

    /// Future and outcome are dropped. What a destructor throws is the outcome then.
    pub(super) fn end_cancelled(&self, record: &RecordRef) {
        let thrown = record.drop_future().or_else(|| record.drop_outcome());
        match thrown {
            // Its own destructor has ended it already.
            None if record.has(Flag::DONE) => {}
            Some(payload) if record.has(Flag::DONE) => {
                let failure = Failure::Panicked(Panic::new(payload));
                self.report(&ExceptionContext::of(record, failure));
            }
            Some(payload) => self.end_panicked(record, payload),
            None => self.end(record, Flag::CANCELLED),
        }
    }

    /// Drops a task hard: no clean-up that awaits.
    ///
    /// A destructor may drop a scope with its tasks, and so on. Up to [`MOST_NESTED`] such drops are made inside each other, so
    /// that what is around a scope sees its tasks gone; the others when the outermost is done, for groups may nest deeper than
    /// the stack.
    pub(crate) fn discard(&self, record: &RecordRef) {
        if record.has(Stage::LENT) {
            record.set(Flag::DISCARD);
        } else if record.has(Flag::DONE) {
        } else if self.discards_nested.get() == MOST_NESTED {
            self.to_discard.borrow_mut().push(record.clone());
        } else {
            self.discard_now(record);
        }
    }

    fn discard_now(&self, record: &RecordRef) {
        let nested = self.discards_nested.get();
        self.discards_nested.set(nested + 1);
        self.end_cancelled(record); // it never panics
        self.discards_nested.set(nested);
        if nested == 0 {
            loop {
                let next = self.to_discard.borrow_mut().pop();
                let Some(next) = next else { return };
                self.discard(&next);
            }
        }
    }

    /// Tasks that are not over, oldest first; callbacks are none.
    pub(crate) fn tasks(&self) -> Vec<RecordRef> {
        let mut tasks: Vec<_> =
            self.tasks.slots.borrow().tenants().filter(|task| task.is_task()).cloned().collect();
        let last = self.tasks_made.get();
        tasks.sort_by_key(|task| Reverse(last.wrapping_sub(task.number))); // by age: numbers return
        tasks
    }

    /// The end of the loop: drops every task and callback hard, and what their destructors make.
    ///
    /// A destructor that makes its like would go on for ever. After [`MOST_ROUNDS`] rounds what is left is reported, and
    /// forgotten: its destructors do not run.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.discard_all();
        self.close_inbox();
        self.close_gate();
        let locals = self.locals_of_main.take();
        foreign::drop_reported(locals);
        self.discard_all(); // what was lost at the gate may have made some, too
    }

    fn discard_all(&self) {
        for _ in 0..MOST_ROUNDS {
            let tenants = self.tenants();
            if tenants.is_empty() && self.tasks.ready.is_empty() {
                return;
            }
            for record in tenants {
                record.set_reason(Reason::own(Own::LoopDropped, 0));
                self.discard(&record);
            }
            // Of a task that is over this may be the last reference, to what it threw.
            while self.tasks.ready.pop().is_some() {}
        }
        let left = self.forget_all();
        for record in &left {
            let failure = Failure::EndlessEnd { rounds: MOST_ROUNDS };
            self.report(&ExceptionContext::of(record, failure));
        }
        // What the exception handler has made meanwhile is dropped, and only what that makes is forgotten too.
        for record in self.tenants() {
            self.discard(&record);
        }
        self.forget_all();
    }

    /// Ends what is left without dropping it.
    fn forget_all(&self) -> Vec<RecordRef> {
        let left = self.tenants();
        for record in &left {
            record.forget_future();
            self.end(record, Flag::CANCELLED);
        }
        while self.tasks.ready.pop().is_some() {}
        left
    }

    /// Drops the tasks that are left when a run has cancelled everything [`MOST_ROUNDS`] times, and reports each.
    pub(crate) fn give_up_clean_up(&self) {
        for record in self.tasks() {
            let failure = Failure::EndlessCleanUp { rounds: MOST_ROUNDS };
            self.report(&ExceptionContext::of(&record, failure));
            self.discard(&record);
        }
    }

    fn tenants(&self) -> Vec<RecordRef> {
        self.tasks.slots.borrow().tenants().cloned().collect()
    }

    /// The loop has been dropped, or is being dropped.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Asks every task what it waits for: polls each once with [`Signal::Asking`]. `None` if one of them could
    /// go on after all.
    pub(crate) fn who_waits_for_what(self: &Rc<Self>) -> Option<Vec<(RecordRef, Vec<String>)>> {
        let mut waits = Vec::new();
        for record in self.tasks() {
            self.answers.borrow_mut().clear();
            self.make_record_ready(&record);
            self.deliveries.signal.set(Signal::Asking);
            let next = self.turn(1);
            self.deliveries.signal.set(Signal::Quiet);
            if record.has(Flag::DONE) || next == Next::Ready {
                return None;
            }
            waits.push((record, self.answers.take()));
        }
        Some(waits)
    }
}

/// Wakes or calls who waited for the task's end and came first.
#[inline]
fn tell_first_joiner(record: &RecordRef) {
    let first = record.first_joiner();
    record.set_first_joiner(FirstJoiner::Nobody);
    match first {
        FirstJoiner::Nobody => {}
        FirstJoiner::Task(id) => wake(id),
        FirstJoiner::Watcher { seat, number } => {
            let watcher = record.home.watchers.borrow().at(seat);
            watcher.expect("a watcher keeps its seat while it watches").ended(number, record);
        }
    }
}

/// The others, in the order in which they came.
#[inline(never)]
fn tell_other_joiners(record: &RecordRef, cold: &Cold) {
    loop {
        let joiner = cold.joiners.borrow_mut().pop();
        let Some(joiner) = joiner else { return };
        match joiner {
            Joiner::Waker(waker) => waker.wake(),
            Joiner::Watcher(watcher, number) => watcher.ended(number, record),
            Joiner::Callback(callback, locals) => {
                let task = record.clone();
                let callback = async move { callback(task) };
                record.home.spawn_done_callback(locals, callback, record.spawned_at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;
    use std::panic::catch_unwind;
    use std::rc::Rc;
    use std::time::Duration;

    use crate::engine::testing::watched_loop;
    use crate::{
        EventLoop, Task, TaskGroup, all_tasks, call_later, call_soon, create_task, sleep, yield_now,
    };

    #[test]
    fn all_tasks_are_oldest_first_even_when_their_numbers_have_come_round() {
        let event_loop = EventLoop::new();
        event_loop.engine().tasks_made.set(u32::MAX - 2);
        let tasks: Vec<_> = (0..5).map(|_| event_loop.create_task(pending::<()>())).collect();
        let expected: Vec<_> = tasks.iter().map(Task::to_ref).collect();
        assert!(event_loop.all_tasks() == expected, "{:?}", event_loop.all_tasks());
    }

    #[test]
    fn a_callback_for_which_the_loop_has_no_room_is_dropped_and_reported() {
        /// Throws when it is dropped.
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("dropped unmade");
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
            engine.tasks.slots.borrow_mut().set_room(2, 2); // main, and the one that waits: none is left but its own
            sleep(Duration::from_secs(2)).await;
            assert!(task.is_done());
            assert_eq!(called.get(), 1, "in the slot of the task that has ended");
            engine.tasks.slots.borrow_mut().set_room(100, 100);
            create_task(yield_now()).await.unwrap(); // the loop goes on
        });
        let reports = reports.take();
        assert_eq!(reports.len(), 3, "{reports:?}");
        assert!(reports[0].contains("too many callbacks"), "{reports:?}");
        assert!(reports[2].contains("dropped unmade"), "{reports:?}");
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
                engine.tasks.slots.borrow_mut().set_room(2, 2);
                pending::<Result<(), &str>>().await
            });
            assert_eq!(failed.await.unwrap_err().iter().collect::<Vec<_>>(), [&"broken"]);
        });
        assert!(reports.borrow().is_empty());
    }

    #[test]
    fn whoever_schedules_a_callback_on_a_loop_without_room_gets_one_clear_sentence() {
        let (mut event_loop, _) = watched_loop();
        let engine = event_loop.engine().clone();
        event_loop.run(async {
            engine.tasks.slots.borrow_mut().set_room(1, 1);
            let soon: fn() = || drop(call_soon(|| ()));
            let later: fn() = || drop(call_later(Duration::from_secs(1), || ()));
            for schedule in [soon, later] {
                let thrown = catch_unwind(schedule).unwrap_err();
                let text = thrown.downcast_ref::<String>().unwrap();
                assert!(text.starts_with("too many callbacks and tasks"), "{text}");
            }
            engine.tasks.slots.borrow_mut().set_room(100, 100);
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
            engine.tasks.slots.borrow_mut().set_room(2, 2); // main, and the doorbell
            std::thread::spawn(move || handle.call_soon(|| ())).join().unwrap().unwrap();
            while reports.borrow().is_empty() {
                yield_now().await;
            }
        });
        assert!(reports.borrow()[0].contains("no room"), "{reports:?}");
    }
}
