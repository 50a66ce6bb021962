//! **How the tracing of a loop begins and ends**, and whom it is for.
//!
//! Tracing that begins in the middle of a poll would tell of the end of a poll whose beginning nothing knows. So it begins with the
//! next turn, unless the loop does not run. It ends at once.
//!
//! An exploration observes its runs too: it needs each event to know which polls concern each other, and its page shows a whole run. So
//! it has an observer *beside* the program's own. It is told first, and from the beginning to the end: the program replaces and stops
//! only its own. A new one of these goes on with the numbers of that run, and is not told of the tasks that are there already.
//!
//! It stands on `base`, the kernel, `foreign` and `trace`.

use std::cell::Cell;
use std::ptr;
use std::rc::Rc;

#[cfg(feature = "explore")]
use super::Event;
use super::{Observer, Run, TracedTask, Tracing, What};
use crate::base::unusual::Unusual;
use crate::engine::Engine;
use crate::foreign::drop_reported;
use crate::kernel::current::with_current_loop;
use crate::kernel::record::{Flag, RecordRef};

thread_local! {
    /// How many runs were traced on this thread: an object that several loops use is told of in each.
    static RUNS: Cell<u64> = const { Cell::new(0) };
}

impl Engine {
    /// Traces the loop from the next turn on, or from now on if the loop does not run. `None` ends the tracing now.
    pub(crate) fn set_trace(&self, observer: Option<Rc<dyn Observer>>) {
        self.stop_tracing();
        let is_running = with_current_loop(|current| ptr::eq(current, self)) == Some(true);
        let before = self.tracing.next.replace(observer);
        drop_reported(before);
        if self.tracing.next.borrow().is_some() {
            self.unusual.set(Unusual::WILL_BE_TRACED, true);
            if !is_running && !self.tracing.is_telling.get() {
                self.start_tracing();
            }
        }
    }

    /// Tells this observer too, whatever the program does with its own. The loop is new: nothing has been spawned.
    #[cfg(feature = "explore")]
    pub(crate) fn trace_beside(&self, observer: Rc<dyn Observer>) {
        let run = Run { name: self.name(), clock: self.kind_of_clock() };
        observer.begins(&run);
        if !self.is_traced() {
            self.tracing.forget_run();
            self.watch_all();
        }
        self.tracing.beside.replace(Some(observer));
    }

    #[cfg(feature = "explore")]
    pub(super) fn tell_beside(&self, event: &Event<'_>) {
        let observer = self.tracing.beside.borrow().clone();
        if let Some(observer) = observer {
            self.call_observer(|| observer.observe(event));
        }
    }

    /// Whether an observer is told, or is to be told from the next turn on.
    pub(crate) fn has_observer(&self) -> bool {
        self.tracing.observer.borrow().is_some() || self.tracing.next.borrow().is_some()
    }

    /// A watched turn begins: the observer that was set in the last one is told from now on.
    pub(crate) fn start_tracing(&self) {
        self.unusual.set(Unusual::WILL_BE_TRACED, false);
        let Some(observer) = self.tracing.next.take() else { return };
        self.tracing.observer.replace(Some(observer.clone()));
        let goes_on = self.tracing.has_beside();
        if !goes_on {
            self.tracing.forget_run();
            self.watch_all();
        }
        let run = Run { name: self.name(), clock: self.kind_of_clock() };
        self.call_observer(|| observer.begins(&run));
        if goes_on {
            return;
        }
        let mut records: Vec<RecordRef> = self.tasks.table.borrow().iter().cloned().collect();
        records.sort_by_key(|record| record.serial);
        let queued = records.iter().filter(|record| record.is_queued()).count();
        self.tracing.ended_in_queue.set(self.tasks.ready.len() - queued);
        for record in &records {
            let is_queued = record.is_queued();
            self.watch_task(record, true);
            if !is_queued && Some(record.id) == self.runner() {
                continue; // it is told of when it is woken
            }
            let found =
                What::Found { task: self.traced_id(record), at: record.spawned_at(), is_queued };
            let seq = self.tell(found);
            if is_queued {
                self.with_traced(record, |traced| traced.woken = seq);
            }
            let name = record.cold_if_any().and_then(|cold| cold.name.borrow().clone());
            if let Some(name) = name {
                self.tell_name(record, &name);
            }
        }
    }

    fn watch_all(&self) {
        self.unusual.set(Unusual::IS_TRACED, true);
        self.watch_checkpoints(true);
        self.watch_objects();
    }

    /// Ends that of the program's own observer.
    pub(super) fn stop_tracing(&self) {
        self.unusual.set(Unusual::WILL_BE_TRACED, false);
        if !self.tracing.has_beside() {
            self.unusual.set(Unusual::IS_TRACED, false);
            self.watch_checkpoints(false);
            self.watch_objects();
            for record in self.tasks.table.borrow().iter() {
                self.watch_task(record, false);
            }
            self.tracing.turn_ends();
        }
        let (observer, next) = (self.tracing.observer.take(), self.tracing.next.take());
        drop_reported((observer, next)); // it may run any code
    }

    /// Sets or clears the bits by which the slow paths of a task lead here.
    pub(crate) fn watch_task(&self, record: &RecordRef, is_watched: bool) {
        if is_watched && !self.is_traced() {
            return; // it has ended meanwhile
        }
        record.set_watched(is_watched);
        if is_watched { record.set(Flag::TRACED) } else { record.clear(Flag::TRACED) }
    }
}

impl Tracing {
    /// Whether an exploration observes the loop.
    #[inline]
    #[cfg_attr(not(feature = "explore"), allow(clippy::unused_self))]
    pub(super) fn has_beside(&self) -> bool {
        #[cfg(feature = "explore")]
        let has = self.beside.borrow().is_some();
        #[cfg(not(feature = "explore"))]
        let has = false;
        has
    }

    fn turn_ends(&self) {
        self.turn_is_open.set(false);
        self.cause.set(0);
    }

    /// A new observer: its events are numbered from one.
    fn forget_run(&self) {
        self.run.set(RUNS.replace(RUNS.get() + 1) + 1);
        self.last.set(0);
        self.turn.set(0);
        self.callbacks.set(0);
        self.timers.set(0);
        self.tasks.replace(Vec::<TracedTask>::new());
    }
}
