//! **Causes**: what can cancel a task, and how that is told.
//!
//! The text alone could be kept; then a program could not ask for the line, and a report could not add it. So a cause is kept as
//! what it is, and told in two ways: with the lines of the source, for people who look for the cause ([`CancelledBy`]); and
//! without, as the reason in an error, which a program may compare (`Cancelled::reason`).

use std::fmt;
use std::panic::Location;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::Reason;
use crate::base::instant::Instant;

/// A task, as it is named in a cause.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    pub(crate) serial: u32,
    /// The name that the user gave it.
    pub(crate) name: Option<Arc<str>>,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "task '{name}'"),
            None => write!(f, "Task-{}", self.serial),
        }
    }
}

/// How long a time limit was.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    For(Duration),
    /// It ended at a moment, or was moved there.
    Until(Instant),
    /// It was the grace of a protection.
    Grace(Duration),
}

/// Which [`Length`] a limit has when it is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitKind {
    /// The one that it was given.
    AsGiven,
    /// It was moved: what it was given does not count any more.
    Moved,
    /// The one that it was given, as a grace. It is never moved.
    Grace,
}

/// What cancelled a task.
#[derive(Clone, Debug)]
pub(crate) enum Cause {
    /// Code that gave this text.
    Said(String),
    /// That task, a child of the same group, failed.
    SiblingFailed(Who),
    /// The body of the group, in that task, failed or was cancelled.
    BodyEnded(Who),
    /// The group, whose scope is in that task, was cancelled.
    GroupCancelled(Who),
    /// The scope of the group, in that task, was dropped.
    GroupDropped(Who),
    /// A time limit in that task is up.
    LimitUp(Who, Length),
    /// The future that gathers the task was dropped.
    GatherDropped,
    /// That task, of the same race, ended first.
    RaceLost(Who),
    /// The race was dropped.
    RaceDropped,
    /// The task set was dropped.
    SetDropped,
    /// The run of the loop has ended.
    RunOver,
    /// The loop was dropped.
    LoopDropped,
}

/// A cause and its place.
#[derive(Debug)]
pub(crate) struct Why {
    cause: Cause,
    at: Option<&'static Location<'static>>,
    /// The cause counts, but its text is not a reason.
    is_hushed: bool,
    /// Formatted when it is first read.
    text: OnceLock<String>,
}

impl Why {
    pub(super) fn new(cause: Cause, at: Option<&'static Location<'static>>) -> Why {
        Why { cause, at, is_hushed: false, text: OnceLock::new() }
    }

    pub(super) fn hushed(&self) -> Why {
        Why { is_hushed: true, ..Why::new(self.cause.clone(), self.at) }
    }

    pub(super) fn at(&self) -> Option<&'static Location<'static>> {
        self.at
    }

    pub(super) fn said(&self) -> Option<&str> {
        if let Cause::Said(text) = &self.cause { Some(text) } else { None }
    }

    /// The reason in an error.
    pub(super) fn text(&self) -> Option<&str> {
        if self.is_hushed {
            return None;
        }
        let told = || self.cause.told(None).to_string();
        Some(self.said().unwrap_or_else(|| self.text.get_or_init(told)))
    }

    pub(super) fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.cause, self.at) {
            (Cause::Said(text), Some(at)) => write!(f, "cancelled at {at}: {text}"),
            (cause, at) => fmt::Display::fmt(&cause.told(at), f),
        }
    }
}

impl Cause {
    fn told(&self, at: Option<&'static Location<'static>>) -> Told<'_> {
        Told { cause: self, at }
    }
}

/// A cause in words, with its place if there is one.
struct Told<'a> {
    cause: &'a Cause,
    at: Option<&'static Location<'static>>,
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |how: &str| self.at.map(|at| format!(" ({how}at {at})")).unwrap_or_default();
        match self.cause {
            Cause::Said(text) => f.write_str(text),
            Cause::SiblingFailed(who) => {
                write!(f, "{who}{} of the same group failed", place("spawned "))
            }
            Cause::BodyEnded(who) => {
                let place = place("opened ");
                write!(f, "the body of its group{place}, in {who}, did not end with a value")
            }
            Cause::GroupCancelled(who) => {
                write!(f, "its group, in {who}, was cancelled{}", place(""))
            }
            Cause::GroupDropped(who) => {
                write!(f, "the scope of its group{}, in {who}, was dropped", place("opened "))
            }
            Cause::LimitUp(who, Length::For(time)) => {
                write!(f, "a time limit of {time:?}{} is up, in {who}", place(""))
            }
            Cause::LimitUp(who, Length::Until(moment)) => {
                write!(f, "a time limit until {moment}{} is up, in {who}", place(""))
            }
            Cause::LimitUp(who, Length::Grace(time)) => {
                write!(f, "the grace time of {time:?}{} is over, in {who}", place(""))
            }
            Cause::GatherDropped => {
                write!(f, "the gathering that it belongs to{} was dropped", place(""))
            }
            Cause::RaceLost(who) => {
                write!(f, "{who} of the same race{} ended first", place(""))
            }
            Cause::RaceDropped => {
                write!(f, "the race that it belongs to{} was dropped", place(""))
            }
            Cause::SetDropped => {
                write!(f, "the task set that it belongs to{} was dropped", place("created "))
            }
            Cause::RunOver => write!(f, "the run of its loop{} is over", place("")),
            Cause::LoopDropped => f.write_str("its loop was dropped"),
        }
    }
}

/// What cancelled a task, and where. Asked of a [`TaskRef`](crate::TaskRef::cancelled_by), a handle, or the error
/// [`Cancelled`](crate::Cancelled::cancelled_by).
///
/// Its `Display` is a sentence, such as
///
/// ```text
/// cancelled at src/main.rs:40:9
/// cancelled at src/main.rs:41:9: shutting down
/// a time limit of 10ms (at src/main.rs:31:14) is up, in Task-1
/// the grace time of 5s (at src/main.rs:52:9) is over, in Task-1
/// Task-2 (spawned at src/main.rs:12:27) of the same group failed
/// the run of its loop (at src/main.rs:5:5) is over
/// ```
///
/// A cancel that was forwarded, from a task to what that awaits, keeps its cause.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use std::time::Duration;
/// use loopwheel::{create_task, sleep, wait_for};
///
/// let mut task = create_task(sleep(Duration::from_secs(60)));
/// wait_for(&mut task, Duration::from_millis(10)).await.unwrap_err();
/// let by = task.cancelled_by().unwrap();
/// assert!(by.to_string().starts_with("a time limit of 10ms (at "));
/// assert_eq!(by.at().unwrap().file(), file!()); // the line of the `wait_for`
/// assert_eq!(by.reason(), None);
/// # });
/// ```
///
/// # In asyncio
/// There is none; the message of `task.cancel(msg)` is all that is known.
#[derive(Clone)]
pub struct CancelledBy {
    reason: Reason,
}

impl CancelledBy {
    /// `None` if no cause is known.
    pub(crate) fn of(reason: Reason) -> Option<CancelledBy> {
        (!reason.is_none()).then_some(CancelledBy { reason })
    }

    /// The text that was given to [`cancel_with_reason`](crate::TaskRef::cancel_with_reason). `None` for other cancels.
    pub fn reason(&self) -> Option<&str> {
        self.reason.said_text()
    }

    /// The line of the source: of the call of `cancel`, of the time limit, of the gathering, of the race, of the task set, of the
    /// run. For a group that ends it is the line of its scope, or of the spawn of the child that failed. `None` if the loop was
    /// dropped.
    pub fn at(&self) -> Option<&'static Location<'static>> {
        self.reason.location()
    }
}

impl fmt::Display for CancelledBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.describe(f)
    }
}

impl fmt::Debug for CancelledBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CancelledBy({self})")
    }
}
