//! **Eager start**: a task that is polled while it is spawned.
//!
//! A task usually waits in the ready queue for its first poll. One that has its answer at once could be polled in place of that,
//! inside the poll of the task that spawns it: then an await of it does not wait for a turn. That changes the order of what
//! happens, so it is done only where the loop or the task was told so (as in asyncio).
//!
//! The new task must see nothing of the poll around it, and the task around it nothing of the new one's:
//!
//! | of the poll around | meanwhile |
//! |---|---|
//! | the current task | hidden, and back afterwards |
//! | a cancel that is being delivered in it | put aside (`aside.rs`) |
//! | how many checkpoints wait in it | put aside, as a cancel depends on it |
//! | time limits in their first poll | they begin now: their timers come before those of the new task |
//! | the event that is the cause, for an observer | the spawn, and back afterwards |
//!
//! A task that is spawned outside of a poll (in the host's code, in a destructor that the loop calls after a poll), or in a poll that
//! only asks what is awaited, is queued as usual. So it is if too many such polls are nested: each takes its part of the stack.
//!
//! It stands on `base`, the kernel, `task_local`, `delivery`, `aside`, `open_limits`, `cancel` and `task`.

use std::cell::Cell;
use std::future::Future;
use std::panic::Location;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use crate::base::kind::Kind;
use crate::engine::Engine;
use crate::kernel::current::with_current_loop;
use crate::kernel::record::{self, Flag, Heard, RecordRef, TypedOf};
use crate::kernel::table::FreeSlot;
use crate::task::give_name;

/// How many first polls may nest on the stack.
const MAX_NESTED: u32 = 32;

/// The part of a loop that belongs to this ring.
#[derive(Default)]
pub(crate) struct EagerStarts {
    /// The address of the new task that is polled when it is pushed to the ready queue. Zero is none.
    next: Cell<usize>,
    /// What that task hears from then on.
    heard: Cell<Option<Heard>>,
    /// How many first polls are nested on the stack.
    nested: Cell<u32>,
}

impl Engine {
    /// A record is about to be inserted into the table and queued. If it is a task, and is to be polled at once, it is noted and made
    /// deaf. So the push takes its slow path, which calls [`begin_inside`](Engine::begin_inside).
    pub(crate) fn choose_start(&self, record: &RecordRef, is_eager: bool) {
        self.is_chosen_no_more(record);
        if is_eager && record.is_task() && self.may_poll_inside() {
            self.eager.next.set(record.address());
            self.eager.heard.set(Some(record.stop_hearing()));
        }
    }

    #[inline]
    fn is_chosen_no_more(&self, record: &RecordRef) {
        if self.eager.next.replace(0) != 0
            && let Some(heard) = self.eager.heard.take()
        {
            record.hear(&heard);
        }
    }

    /// Whether this deaf record is the new task that is to be polled when it is pushed.
    pub(crate) fn starts_eagerly(&self, record: &RecordRef) -> bool {
        self.eager.next.get() == record.address()
    }

    /// Creates a task with settings, and queues it or polls it at once.
    pub(crate) fn spawn_with<F: Future + 'static, K: Kind<F::Output, Value: 'static>>(
        self: &Rc<Self>,
        free_slot: FreeSlot,
        kind: K,
        future: F,
        spawned_at: &'static Location<'static>,
        (name, eager_start): (Option<Arc<str>>, Option<bool>),
    ) -> TypedOf<F, K> {
        let params = self.spawn_params(free_slot, self.next_serial(), spawned_at);
        let task = record::owned(kind, params, future);
        self.begin_with(&task, name, eager_start);
        task
    }

    fn begin_with(&self, record: &RecordRef, name: Option<Arc<str>>, eager_start: Option<bool>) {
        self.prepare(record);
        if let Some(at_once) = eager_start {
            self.choose_start(record, at_once);
        }
        // For an observer a wake-up comes right after the spawn. But the first poll knows the name.
        let (before, after) = if self.starts_eagerly(record) { (name, None) } else { (None, name) };
        if let Some(name) = before {
            give_name(record, name);
        }
        self.tasks.table.borrow_mut().insert(record.clone());
        self.tasks.ready.push(record);
        if let Some(name) = after {
            give_name(record, name);
        }
    }

    /// Whether a task of this loop is being polled now, and another one may be polled in it.
    fn may_poll_inside(&self) -> bool {
        let is_current = with_current_loop(|current| ptr::eq(current, self)) == Some(true);
        let is_in_poll = is_current && self.current.with(|_| ()).is_some();
        is_in_poll && self.eager.nested.get() < MAX_NESTED && !self.deliveries.only_asks()
    }

    /// Polls a new task inside the poll that spawns it. Its end, if it ends, is as always; a panic is its outcome.
    #[inline(never)]
    pub(crate) fn begin_inside(&self, record: &RecordRef) {
        self.is_chosen_no_more(record);
        self.begin_limits();
        let _around = Around::of(self);
        let is_usual = self.deliveries.is_at_rest() && !self.watches_polls();
        match is_usual.then(|| record.begin_poll_unless(Flag::SLOW_PATH)).flatten() {
            Some(polling) => self.current.hidden(|| self.poll(record, polling, false)),
            None => self.begin_inside_slow_path(record),
        }
    }

    /// The same if a cancel is being delivered in the poll around, or polls are watched.
    #[inline(never)]
    fn begin_inside_slow_path(&self, record: &RecordRef) {
        let aside = self.deliveries.put_aside();
        self.current.hidden(|| self.because_of_the_same(|| self.first_poll(record)));
        drop(aside);
        if self.watches_polls() {
            self.after_watched_poll();
        }
    }

    fn first_poll(&self, record: &RecordRef) {
        let is_watched = self.watches_polls() && self.poll_begins(record);
        match record.begin_poll_unless(Flag::SLOW_PATH) {
            Some(polling) => self.poll(record, polling, is_watched),
            None => self.poll_slow_path(record, is_watched), // an observer, or code that it runs, has cancelled it
        }
    }
}

/// What is counted in the poll around. It is put back when this is dropped.
struct Around<'a> {
    engine: &'a Engine,
    waiting: u32,
}

impl Around<'_> {
    fn of(engine: &Engine) -> Around<'_> {
        engine.eager.nested.update(|nested| nested + 1);
        Around { engine, waiting: engine.deliveries.waiting.get() }
    }
}

impl Drop for Around<'_> {
    fn drop(&mut self) {
        self.engine.eager.nested.update(|nested| nested - 1);
        self.engine.deliveries.waiting.set(self.waiting);
    }
}
