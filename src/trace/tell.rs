//! What each ring tells. Every function here is called from a slow path, and returns at once if there is no observer.

use std::borrow::Cow;
use std::fmt::Display;
use std::mem;
use std::time::Duration;

use super::{How, Id, Poll, Text, TracedTask, Wait, What};
use crate::base::instant::Instant;
use crate::engine::Engine;
use crate::kernel::record::{Flag, RecordRef};
use crate::kernel::tasks::Tasks;
use crate::reason::Reason;

// What the kernel tells.
impl Engine {
    /// A task or callback was created. It is not in the table yet.
    #[cold]
    #[inline(never)]
    pub(crate) fn task_is_spawned(&self, record: &RecordRef) {
        self.watch_task(record, true);
        let task = self.traced_id(record);
        let seq = self.tell(What::Spawned { task, at: record.spawned_at() });
        self.with_traced(record, |traced| traced.woken = seq);
        if !self.is_traced() {
            self.watch_task(record, false); // the tracing has ended, for the tasks that are in the table
        }
    }

    /// Tells of the spawn of the callback that takes calls from other threads, before it is woken first: there may be no call.
    fn tell_spawn_of_runner(&self, record: &RecordRef) {
        if !record.is_task() && self.is_traced() && !self.is_known(record) {
            self.task_is_spawned(record);
            self.with_traced(record, |traced| traced.woken = 0); // the spawn is not why it is woken
        }
    }

    /// A watched record was pushed to the ready queue. `is_new`: it was not in it.
    #[cold]
    #[inline(never)]
    pub(crate) fn task_is_woken(&self, record: &RecordRef, is_new: bool) {
        self.tell_spawn_of_runner(record);
        let task = self.traced_id(record);
        // A new task is queued because it was spawned: its spawn is noted in the place of the wake-up, and is the last event.
        // So is the request of a cancel if that is why it is woken: a group only queues its parent.
        let known = self.with_traced(record, |traced| *traced);
        let last = self.tracing.last.get();
        let is_because_of_last = is_new && known.woken == last || known.cancelled == last;
        let cause = if is_because_of_last { last } else { self.tracing.cause.get() };
        let seq = self.tell_because_of(cause, What::Woken { task, again: !is_new });
        let by = self.current.with_hidden(|task| self.traced_id(task));
        self.with_traced(record, |traced| {
            (traced.woken_in, traced.woken_by) = (seq, by);
            if is_new {
                traced.woken = seq;
            }
        });
    }

    /// A turn begins, unless it has begun already.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell_turn_begins(&self) {
        let tracing = &self.tracing;
        if self.is_traced() && !tracing.turn_is_open.replace(true) {
            tracing.turn.set(tracing.turn.get() + 1);
            let ready = self.tasks.ready.len() - tracing.ended_in_queue.get();
            self.measure(|times| {
                times.turns += 1;
                times.most_ready = times.most_ready.max(ready);
            });
            self.tell_because_of(0, What::TurnBegan { ready });
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn turn_ends(&self) {
        self.tracing.turn_is_open.set(false);
        self.tracing.cause.set(0);
    }

    /// A poll of a traced task begins. From here on it is the cause of what happens.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell_poll_begins(&self, record: &RecordRef) {
        self.watch_task(record, true); // the pop has cleared a bit
        let task = self.traced_id(record);
        let known =
            self.with_traced(record, |it| TracedTask { woken: mem::take(&mut it.woken), ..*it });
        // A limit or a group delivers its cancel itself, so no flag tells of that. But its request is what has led to this poll: it
        // was the event before the wake-up, or it is the last event, if the task is polled at once.
        let is_polled_at_once = known.woken == 0 && known.cancelled == self.tracing.last.get();
        let is_woken_by_request =
            known.woken > 0 && [known.woken, known.woken_in].contains(&(known.cancelled + 1));
        let is_cancelled = is_polled_at_once
            || is_woken_by_request
            || record.has(Flag::CANCEL_PENDING | Flag::CANCEL_FORWARDED | Flag::UNWINDING);
        let cancel = (is_cancelled && known.cancelled > 0).then_some(known.cancelled);
        let cause = match known.woken {
            0 if is_polled_at_once => known.cancelled,
            0 => self.tracing.cause.get(),
            woken => woken,
        };
        let seq = self.tell_because_of(cause, What::PollBegan { task, cancel });
        self.tracing.cause.set(seq);
    }

    /// A task that was cancelled before it has begun is not polled: it ends because of the wake-up that would have led to the poll.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell_no_poll(&self, record: &RecordRef) {
        let woken = self.with_traced(record, |traced| mem::take(&mut traced.woken));
        self.tracing.cause.set(woken);
    }

    /// It ends. From here on that is the cause, until the next event that is one.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell_poll_ends(&self, record: &RecordRef, how: Poll, took: Option<Duration>) {
        self.with_traced(record, |traced| {
            traced.polls += 1;
            traced.polled_for += took.unwrap_or_default();
        });
        let took = took.unwrap_or_default();
        self.measure(|times| times.longest_poll = times.longest_poll.max(took));
        let seq = self.tell(What::PollEnded { task: self.traced_id(record), how });
        self.tracing.cause.set(seq);
    }

    /// A traced task has ended, and is traced no more. The wake-ups in `go_on` have this event as their cause.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell_end(&self, record: &RecordRef, go_on: impl FnOnce()) {
        let how = if record.has(Flag::CANCELLED) {
            How::Cancelled
        } else if record.has(Flag::PANICKED) {
            How::Panicked
        } else if record.has(Flag::FAILED) {
            How::Failed
        } else {
            How::Value
        };
        let ended = &self.tracing.ended_in_queue;
        ended.set(ended.get() + usize::from(record.is_queued()));
        let seq = self.tell(What::Ended { task: self.traced_id(record), how });
        self.watch_task(record, false);
        self.because_of(seq, go_on);
    }
}

// What the other rings tell.
impl Engine {
    /// A task has got a name.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell_name(&self, record: &RecordRef, name: &str) {
        self.tell(What::Named { task: self.traced_id(record), name: Cow::Borrowed(name) });
    }

    /// The task that is being polled waits.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell_wait(&self, on: Wait<'_>) {
        if self.is_traced() {
            self.tell(What::Waits { on });
        }
    }

    /// It waits for the end of this task.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell_wait_for(&self, record: &RecordRef) {
        self.tell_wait(if self.is_own(record) {
            Wait::Task { task: self.traced_id(record) }
        } else {
            Wait::Other { what: "a task of another loop" }
        });
    }

    /// The task that is being polled waits for several others.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell_wait_for_tasks(
        &self,
        until: &'static str,
        each: impl FnOnce(&mut dyn FnMut(&RecordRef)),
    ) {
        let mut tasks = self.tracing.scratch.take();
        tasks.clear();
        each(&mut |record| {
            if !record.has(Flag::DONE) && self.is_own(record) {
                tasks.push(self.traced_id(record));
            }
        });
        self.tell(What::Waits { on: Wait::Tasks { tasks: Cow::Borrowed(&tasks), until } });
        self.tracing.scratch.set(tasks);
    }

    /// The number of a timer that was set.
    pub(crate) fn next_timer(&self) -> u32 {
        let timer = self.tracing.timers.get() + 1;
        self.tracing.timers.set(timer);
        timer
    }

    /// A cancel of the task was requested. Returns the number of the event.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell_cancel(&self, record: &RecordRef, reason: &Reason) -> u64 {
        let (task, reason) = (self.traced_id(record), Text::of_reason(reason));
        let seq = self.tell(What::CancelRequested { task, reason });
        self.with_traced(record, |traced| traced.cancelled = seq);
        seq
    }

    /// A cancel was forwarded. Returns the number of the event.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell_forward(&self, from: &RecordRef, to: &RecordRef) -> u64 {
        if !self.is_own(from) {
            return self.tell_cancel(to, &to.reason()); // from a task of another loop
        }
        let cause = self.with_traced(from, |traced| traced.cancelled);
        let cause = if cause > 0 { cause } else { self.tracing.cause.get() };
        let (task, target) = (self.traced_id(from), self.traced_id(to));
        let seq = self.tell_because_of(cause, What::CancelForwarded { task, to: target });
        self.with_traced(to, |traced| traced.cancelled = seq);
        seq
    }

    /// Whether it is a task of this loop: others have numbers of their own.
    fn is_own(&self, record: &RecordRef) -> bool {
        record.id.loop_index() == self.loop_index()
    }

    /// A checkpoint of the task that is being polled was interrupted.
    #[inline]
    pub(crate) fn tell_delivery(&self) {
        if self.is_traced() {
            self.tell_delivered(|task| What::CancelDelivered { task });
        }
    }

    /// A cancel has reached a protection in it, which holds the cancel back.
    pub(crate) fn tell_held_back(&self) {
        if self.is_traced() {
            self.tell_delivered(|task| What::CancelHeldBack { task });
        }
    }

    #[cold]
    #[inline(never)]
    fn tell_delivered(&self, what: impl Fn(Id) -> What<'static>) {
        let task = self.current.with_hidden(|task| {
            (self.traced_id(task), self.with_traced(task, |traced| traced.cancelled))
        });
        let Some((task, cancelled)) = task else { return };
        let cause = if cancelled > 0 { cancelled } else { self.tracing.cause.get() };
        self.tell_because_of(cause, what(task));
    }

    /// A cancel was caught in the task that is being polled.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell_catch(&self, catcher: &'static str) {
        if let Some(task) = self.current.with_hidden(|task| self.traced_id(task)) {
            self.tell(What::CancelCaught { task, catcher });
        }
    }

    /// A cancel request was taken back.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell_uncancel(&self, record: &RecordRef, left: u32) {
        self.tell(What::CancelTakenBack { task: self.traced_id(record), left });
    }

    /// A remote wake-up has arrived; `wake` queues the task.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell_remote_wake(&self, task: Option<&RecordRef>, wake: impl FnOnce()) {
        let task: Option<Id> = task.map(|task| {
            self.tell_spawn_of_runner(task);
            self.traced_id(task)
        });
        let seq = self.tell_because_of(0, What::RemoteWake { task });
        self.because_of(seq, wake);
    }

    /// A report is made.
    #[cold]
    pub(crate) fn tell_report(&self, kind: &'static str, text: &dyn Display) {
        if self.is_traced() {
            self.tell(What::Reported { kind, text: Text::of(text) });
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn tell_park(&self, took: Duration) {
        self.tell_because_of(0, What::Parked { took });
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn tell_jump(&self, to: Instant) {
        self.tell_because_of(0, What::ClockJumped { to });
    }
}

impl Tasks {
    /// Queues a task that is queued already, ignores pushes, or is watched.
    #[cold]
    #[inline(never)]
    pub(crate) fn wake_slow_path(&self, word: usize) {
        let record = self.table.borrow().get_by_word(word).cloned();
        if let Some(record) = record {
            self.ready.push_slow_path(&record);
        }
    }
}
