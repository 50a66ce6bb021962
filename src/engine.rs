//! **The engine**: one event loop. It owns the kernel's parts, and one field for each of the other rings.
//!
//! The naive loop is one struct with a method for every feature; soon each feature depends on all others. Here each ring is a type
//! of its own that knows only the rings inside it, and this struct owns one of each. `cold.rs` does the same for the rarely used
//! parts of a task. So these two files name types of all rings; they only create, drop and empty them. A record knows its loop and
//! a loop its records: so these two files and the kernel know each other, which is the one circle of the crate.
//!
//! At a few places the kernel asks another ring to act. Each is a method of the engine (or of a record, or the task table), which
//! that ring implements:
//!
//! | the kernel calls | when | ring |
//! |---|---|---|
//! | `drain_remote_wakes`, `has_remote_wakes_hint` | when a turn begins | `mailbox` |
//! | `post_remote_wake`, `note_escape_elsewhere`, `waker_has_escaped` | when a waker is used away from its loop, or cloned | `mailbox` |
//! | `fire_timers`, `next_deadline` | when a turn begins and ends | `time` |
//! | `is_quiet`, `forget_what_waited`, `note_what_waits` | around a poll: what waits in it, is a cancel on its way | `delivery` |
//! | `poll_slow_path`, `finish_poll`, `forget_signal`, `end_slow_path` | in place of the plain poll and its end, if there is more to do | `cancel` |
//! | `after_pending`, `forget_awaited` | when a task waits; when it ends | `cancel`, `awaited` |
//! | `wake_first_joiner`, `wake_other_joiners` | when a task has ended | `join` |
//! | `starts_eagerly`, `begin_inside` | when a new task is pushed to the ready queue that is to be polled at once | `eager` |
//! | `prepare`, `begin_main`, `end_locals` | when a task begins and ends | `task_local` |
//! | `poll_watched` | in place of the plain loop of polls, if polls are timed or watched | `host` |
//! | `watches_polls`, `task_is_woken`, `wake_slow_path` | when a turn polls; when a watched task is woken | `trace` |
//! | `poll_begins`, `poll_ends` | around a watched poll | `watch` |
//! | `report_…`, `drop_unclaimed_outcome` | when a failure has no other way out | `report` |
//! | `reserve_…`, `callback_is_over`, `max_tasks`, `trim_sometimes` | when a slot is reserved or freed; at a check | `room` |
//!
//! These rings ask outwards in the same way:
//!
//! | who calls | what | when | ring |
//! |---|---|---|---|
//! | `trace` | `latest`, `real_time`, `kind_of_clock` | when an observer is told of something | `time` |
//! | `trace` | `runner` | when the tracing of a loop begins | `thread` |
//! | `trace` | `report_panic_of` | when an observer panics, or uses its loop | `report` |
//! | `trace` | `watch_checkpoints`, `watch_objects` | when the tracing of a loop begins or ends | `delivery`, `watch` |
//! | `time` | `scope_is_to_be_polled` | when the timer of a limit fires | `cancel` |
//! | `cancel` | `poll_begins`, `poll_ends` | around a watched poll | `watch` |
//! | `parking` | `explore_idle` | before the clock of an explored loop jumps | `explored` |
//! | `join` | `spawn_done_callback` | when a task with done-callbacks ends | `callback` |
//! | `task` | `spawn_callback_or_report` | when a done-callback is added to a task that has ended | `callback` |
//! | `task_local` | `choose_start` | when a task is about to be queued on a loop that starts them eagerly | `eager` |
//! | `eager` | `after_watched_poll` | when a watched poll in another one has ended | `watch` |
//! | `room` | `look_for_livelock` | at every 64th check | `watch` |
//!
//! With `room` to add slots the kernel is a complete executor: it polls tasks, tasks wake each other, and they end.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use crate::base::free_lists::FreeLists;
use crate::base::unusual::Unusual;
use crate::choices::Choices;
use crate::delivery::Deliveries;
use crate::eager::EagerStarts;
use crate::join::Subscribers;
use crate::kernel::current::Current;
use crate::kernel::record::RecordRef;
use crate::kernel::tasks::Tasks;
use crate::kernel::turn::POLLS_PER_CHECK;
use crate::lines::Lines;
use crate::mailbox::Registration;
use crate::object::Objects;
use crate::open_limits::OpenLimits;
use crate::parking::Parking;
use crate::report::Reporting;
use crate::room::TrimClock;
use crate::task_local::LoopLocals;
use crate::thread::Threads;
use crate::time::Time;
use crate::to_thread::Blocking;
use crate::trace::Tracing;
use crate::watch::Watch;

/// One event loop.
pub(crate) struct Engine {
    // The kernel's own.
    pub(crate) tasks: Tasks,
    /// The memory of records that were freed.
    pub(crate) free_lists: FreeLists,
    pub(crate) current: Current,
    /// Polls since the last check of the inbox and the clock.
    pub(crate) polls_since_check: Cell<usize>,
    /// The serial of the task that was spawned last.
    pub(crate) last_serial: Cell<u32>,
    /// The lines at which its tasks were spawned.
    pub(crate) lines: Lines,
    /// How many hard drops are nested on the stack, and the tasks that are dropped after them; see `Engine::discard`.
    pub(crate) nested_discards: Cell<u32>,
    pub(crate) to_discard: RefCell<Vec<RecordRef>>,
    /// The `EventLoop` has been dropped, and only handles keep the engine alive.
    pub(crate) is_closed: Cell<bool>,
    name: Rc<str>,
    /// What makes spawns and polls of this loop unusual.
    pub(crate) unusual: Unusual,

    // One field for each ring.
    pub(crate) tracing: Tracing,
    pub(crate) choices: Choices,
    pub(crate) mailbox: Registration,
    pub(crate) time: Time,
    pub(crate) deliveries: Deliveries,
    pub(crate) objects: Objects,
    pub(crate) open_limits: OpenLimits,
    pub(crate) eager: EagerStarts,
    pub(crate) subscribers: RefCell<Subscribers>,
    pub(crate) locals: LoopLocals,
    pub(crate) threads: Threads,
    pub(crate) blocking: Blocking,
    pub(crate) reporting: Reporting,
    pub(crate) trim_clock: TrimClock,
    pub(crate) parking: Parking,
    pub(crate) watch: Watch,
}

impl Engine {
    pub(crate) fn new(
        name: Rc<str>,
        max_tasks: usize,
        mailbox: Registration,
        time: Time,
        blocking: Blocking,
        reporting: Reporting,
        watch: Watch,
    ) -> Engine {
        Engine {
            tasks: Tasks::new(mailbox.first_generation, max_tasks),
            free_lists: FreeLists::default(),
            current: Current::default(),
            polls_since_check: Cell::new(POLLS_PER_CHECK),
            last_serial: Cell::new(0),
            lines: Lines::default(),
            nested_discards: Cell::new(0),
            to_discard: RefCell::default(),
            is_closed: Cell::new(false),
            name,
            unusual: Unusual::default(),
            tracing: Tracing::default(),
            choices: Choices::default(),
            mailbox,
            time,
            deliveries: Deliveries::default(),
            objects: Objects::default(),
            open_limits: OpenLimits::default(),
            eager: EagerStarts::default(),
            subscribers: RefCell::default(),
            locals: LoopLocals::default(),
            threads: Threads::default(),
            blocking,
            reporting,
            trim_clock: TrimClock::default(),
            parking: Parking::default(),
            watch,
        }
    }

    /// The loop's index in the process. The ids of its tasks contain it.
    pub(crate) fn loop_index(&self) -> usize {
        self.mailbox.loop_index
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The loop has been dropped, or is being dropped.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("name", &self.name)
            .field("tasks", &self.tasks.table.borrow().len())
            .field("ready", &self.tasks.ready.len())
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}
