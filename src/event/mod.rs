//! **An event**: one thing that happened in a loop, when, and what led to it.
//!
//! A log of strings would be easy to write, and useless for anything but reading it. Here an event is data: numbers that name tasks,
//! timers and objects, static text, and the number of its *cause*. A note or a reason is borrowed, so counting allocates nothing.
//!
//! Here are the events as data; `words` has them as sentences.
//!
//! It stands on `base`, `reason` and `error`.

mod words;

use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

use crate::base::instant::Instant;
use crate::reason::Reason;

/// One thing that happened in a loop.
///
/// `docs/trace.md` describes the same events as lines of a file.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Event<'a> {
    /// Its number, from 1 on, without gaps.
    pub seq: u64,
    /// The time on the loop's clock.
    pub at: Instant,
    /// The number of the turn. Zero before the first turn that was watched.
    pub turn: u64,
    /// The task that was being polled, if one was.
    pub by: Option<Id>,
    /// The event that led to this one, if that is known.
    pub cause: Option<u64>,
    /// What happened.
    pub what: What<'a>,
}

/// The number of a task, or of a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Id {
    /// A task, by the order of the spawns on its loop: 1 is the first.
    Task(u32),
    /// A function that the loop calls, by the order in which such functions were scheduled.
    Callback(u32),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Id::Task(number) => write!(f, "Task-{number}"),
            Id::Callback(number) => write!(f, "callback {number}"),
        }
    }
}

/// What happened, in an [`Event`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum What<'a> {
    /// A task or callback was created.
    Spawned {
        /// The new one.
        task: Id,
        /// Where.
        at: &'static Location<'static>,
    },
    /// The task, or callback, existed when the tracing began.
    Found {
        /// Which.
        task: Id,
        /// Where it was created.
        at: &'static Location<'static>,
        /// It is in the ready queue.
        is_queued: bool,
    },
    /// A task got a name.
    Named {
        /// The task.
        task: Id,
        /// Its name.
        name: Cow<'a, str>,
    },
    /// A turn began.
    TurnBegan {
        /// How many tasks and callbacks were in the ready queue, without those that had ended in it.
        ready: usize,
    },
    /// A task was woken: it joined the ready queue, unless it was in it already.
    Woken {
        /// The task.
        task: Id,
        /// It was in the queue already, so nothing happened.
        again: bool,
    },
    /// A poll began. The cause is the wake-up that queued the task; or, if a time limit is up or a group fails and the task is
    /// polled at once, the timer, or the poll of the group's callback. A task that starts eagerly is polled inside the poll of the task
    /// that spawns it (`by`): then the cause is its spawn.
    PollBegan {
        /// The task.
        task: Id,
        /// The event that requested the cancel which this poll delivers.
        cancel: Option<u64>,
    },
    /// The task that is being polled waits for this. Several in one poll are the branches of a `join!`.
    Waits {
        /// For what.
        on: Wait<'a>,
    },
    /// A poll ended.
    PollEnded {
        /// The task.
        task: Id,
        /// How.
        how: Poll,
    },
    /// A task ended.
    Ended {
        /// The task.
        task: Id,
        /// How.
        how: How,
    },
    /// A timer was set.
    TimerSet {
        /// Its number, in the order in which they were set.
        timer: u32,
        /// The task that it wakes. `None` if it wakes a foreign waker.
        task: Option<Id>,
        /// When it is due.
        deadline: Instant,
        /// It is the timer of a time limit.
        is_limit: bool,
    },
    /// A timer fired. The cause is the event in which it was set.
    TimerFired {
        /// Its number.
        timer: u32,
        /// The task that it wakes.
        task: Option<Id>,
    },
    /// A timer was unset, fired or not.
    TimerRemoved {
        /// Its number.
        timer: u32,
    },
    /// A cancel of a task was requested.
    CancelRequested {
        /// The task.
        task: Id,
        /// Why, if a reason was given.
        reason: Option<Text<'a>>,
    },
    /// A cancel was forwarded, from a task to another that it awaits.
    CancelForwarded {
        /// From this task.
        task: Id,
        /// To this one.
        to: Id,
    },
    /// A cancel interrupted what the task awaits.
    CancelDelivered {
        /// The task.
        task: Id,
    },
    /// A cancel reached a [`protect`](crate::protect()), which holds it back.
    CancelHeldBack {
        /// The task.
        task: Id,
    },
    /// A cancel that came out of a future was caught around it.
    CancelCaught {
        /// The task.
        task: Id,
        /// What caught it: "`catch_cancel`", "a time limit", "a group".
        catcher: &'static str,
    },
    /// A cancel request was taken back.
    CancelTakenBack {
        /// The task.
        task: Id,
        /// How many requests are left.
        left: u32,
    },
    /// A lock, a semaphore, a queue or an event is told of for the first time.
    Object {
        /// Its number.
        object: u32,
        /// Such as "lock".
        kind: &'static str,
        /// The name that the program gave it.
        name: Option<Cow<'a, str>>,
        /// How many permits or items there may be, if that is limited.
        size: Option<usize>,
    },
    /// The task that is being polled has taken a lock or a permit.
    Held {
        /// Of this object.
        object: u32,
        /// How many permits are free now.
        free: Option<usize>,
    },
    /// A lock or a permit was given back.
    Released {
        /// Of this object.
        object: u32,
        /// How many permits are free now.
        free: Option<usize>,
    },
    /// An item was put into a queue; or items have come by a channel from threads, and tasks wait for them.
    Put {
        /// The queue, or the channel.
        object: u32,
        /// How many items are in it now.
        items: usize,
    },
    /// An item was taken out of a queue or a channel.
    Got {
        /// The queue, or the channel.
        object: u32,
        /// How many items are in it now.
        items: usize,
    },
    /// Work on an item that was taken out of a queue was reported as done.
    Done {
        /// The queue.
        object: u32,
        /// How many items are not reported as done.
        left: u64,
    },
    /// An event, or a promise, was set.
    Set {
        /// The event.
        object: u32,
    },
    /// An event was cleared.
    Cleared {
        /// The event.
        object: u32,
    },
    /// A wake-up from another thread, or from another loop, arrived.
    RemoteWake {
        /// The task, if it has not ended.
        task: Option<Id>,
    },
    /// The thread was parked: nothing was ready.
    Parked {
        /// For how long.
        took: Duration,
    },
    /// A virtual clock jumped. The event's time is the one before.
    ClockJumped {
        /// The new time.
        to: Instant,
    },
    /// Something was reported: to the exception handler, or, for a deadlock, to the caller of the run.
    Reported {
        /// "deadlock", "stall", "livelock", "slow poll", "jump", "clean-up cut off", "failure".
        kind: &'static str,
        /// The report.
        text: Text<'a>,
    },
    /// A line of the user's own.
    Note {
        /// The line.
        text: Text<'a>,
    },
}

/// How a poll ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Poll {
    /// The future is done: it was the last poll.
    Ready,
    /// The task waits, or is in the ready queue again.
    Pending,
    /// A cancel was delivered, and nothing in the future has caught it: the task ends, and its future is dropped.
    Interrupted,
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum How {
    /// With a value.
    Value,
    /// With an error.
    Failed,
    /// Cancelled, or dropped from outside.
    Cancelled,
    /// With a panic.
    Panicked,
}

/// What a task waits for.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Wait<'a> {
    /// Until a moment.
    Sleep {
        /// That moment.
        until: Instant,
    },
    /// For its next turn.
    NextTurn,
    /// For the end of a task.
    Task {
        /// That task.
        task: Id,
    },
    /// For several tasks.
    Tasks {
        /// Those that have not ended. If more than 64 are left when the task waits for the same ones again, they are not listed
        /// again: the wait is [`Other`](Wait::Other), "the rest of the tasks".
        tasks: Cow<'a, [Id]>,
        /// Which of them are enough: "all", "the first", "all, or the first failure".
        until: &'static str,
    },
    /// For a lock, a permit, an item …
    Object {
        /// The number of the object.
        object: u32,
        /// What of it, such as "an item of ". Empty if it is the object itself.
        of: &'static str,
        /// Such as "queue".
        kind: &'static str,
    },
    /// For something else, in words.
    Other {
        /// Such as "an item of a queue".
        what: &'static str,
    },
}

/// A text that is formatted when it is read.
#[derive(Clone)]
pub struct Text<'a>(Inner<'a>);

#[derive(Clone)]
enum Inner<'a> {
    Owned(String),
    Reason(&'a Reason),
    Display(&'a dyn fmt::Display),
}

impl<'a> Text<'a> {
    pub(crate) fn of_reason(reason: &'a Reason) -> Option<Text<'a>> {
        (!reason.is_none()).then_some(Text(Inner::Reason(reason)))
    }

    pub(crate) fn of(text: &'a dyn fmt::Display) -> Text<'a> {
        Text(Inner::Display(text))
    }

    fn into_owned(self) -> Text<'static> {
        Text(Inner::Owned(self.to_string()))
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Owned(text) => f.write_str(text),
            Inner::Reason(reason) => f.write_str(reason.text().unwrap_or_default()),
            Inner::Display(text) => text.fmt(f),
        }
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Text<'_>) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Event<'_> {
    /// The same event, with copies of what it borrows.
    pub fn into_owned(self) -> Event<'static> {
        let Event { seq, at, turn, by, cause, what } = self;
        Event { seq, at, turn, by, cause, what: what.into_owned() }
    }
}

impl What<'_> {
    /// The same, with copies of what it borrows.
    pub fn into_owned(self) -> What<'static> {
        match self {
            What::Spawned { task, at } => What::Spawned { task, at },
            What::Found { task, at, is_queued } => What::Found { task, at, is_queued },
            What::Named { task, name } => What::Named { task, name: name.into_owned().into() },
            What::TurnBegan { ready } => What::TurnBegan { ready },
            What::Woken { task, again } => What::Woken { task, again },
            What::PollBegan { task, cancel } => What::PollBegan { task, cancel },
            What::Waits { on } => What::Waits { on: on.into_owned() },
            What::PollEnded { task, how } => What::PollEnded { task, how },
            What::Ended { task, how } => What::Ended { task, how },
            What::TimerSet { timer, task, deadline, is_limit } => {
                What::TimerSet { timer, task, deadline, is_limit }
            }
            What::TimerFired { timer, task } => What::TimerFired { timer, task },
            What::TimerRemoved { timer } => What::TimerRemoved { timer },
            What::CancelRequested { task, reason } => {
                What::CancelRequested { task, reason: reason.map(Text::into_owned) }
            }
            What::CancelForwarded { task, to } => What::CancelForwarded { task, to },
            What::CancelDelivered { task } => What::CancelDelivered { task },
            What::CancelHeldBack { task } => What::CancelHeldBack { task },
            What::CancelCaught { task, catcher } => What::CancelCaught { task, catcher },
            What::CancelTakenBack { task, left } => What::CancelTakenBack { task, left },
            What::Object { object, kind, name, size } => {
                let name = name.map(|name| name.into_owned().into());
                What::Object { object, kind, name, size }
            }
            What::Held { object, free } => What::Held { object, free },
            What::Released { object, free } => What::Released { object, free },
            What::Put { object, items } => What::Put { object, items },
            What::Got { object, items } => What::Got { object, items },
            What::Done { object, left } => What::Done { object, left },
            What::Set { object } => What::Set { object },
            What::Cleared { object } => What::Cleared { object },
            What::RemoteWake { task } => What::RemoteWake { task },
            What::Parked { took } => What::Parked { took },
            What::ClockJumped { to } => What::ClockJumped { to },
            What::Reported { kind, text } => What::Reported { kind, text: text.into_owned() },
            What::Note { text } => What::Note { text: text.into_owned() },
        }
    }
}

impl Wait<'_> {
    /// The same, with copies of what it borrows.
    pub fn into_owned(self) -> Wait<'static> {
        match self {
            Wait::Sleep { until } => Wait::Sleep { until },
            Wait::NextTurn => Wait::NextTurn,
            Wait::Task { task } => Wait::Task { task },
            Wait::Tasks { tasks, until } => Wait::Tasks { tasks: tasks.into_owned().into(), until },
            Wait::Object { object, of, kind } => Wait::Object { object, of, kind },
            Wait::Other { what } => Wait::Other { what },
        }
    }
}
