//! A dump as text.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use super::{Dump, Holder, LineDump, ObjectDump, TaskDump, TaskName, TaskState, WaitsFor};
use crate::base::instant::Instant;

/// A line lists at most so many names.
const MOST_NAMES: usize = 8;

/// `one thing`, `2 things`.
pub(crate) fn count(number: usize, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

fn list<T: Display>(items: &[T]) -> String {
    let shown: Vec<_> = items.iter().take(MOST_NAMES).map(T::to_string).collect();
    let more = items.len() - shown.len();
    match &shown[..] {
        [] => "none".to_owned(),
        all if more > 0 => format!("{} and {more} more", all.join(", ")),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn time(moment: Instant) -> String {
    format!("{:?}", Duration::from_nanos(moment.as_nanos()))
}

/// `Task-2`, or `'worker' (Task-2)` if it was given a name.
impl Display for TaskName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let default = format!("Task-{}", self.number);
        if self.name == default {
            f.write_str(&default)
        } else {
            write!(f, "'{}' ({default})", self.name)
        }
    }
}

impl Display for TaskState {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TaskState::Running => "running",
            TaskState::Ready => "ready",
            TaskState::Waiting => "waiting",
        })
    }
}

impl Display for Holder {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Task(task) => task.fmt(f),
            Holder::Ended(task) => write!(f, "{task}, which has ended"),
            Holder::Elsewhere(task) => write!(f, "{task} of another loop"),
            Holder::NoTask => f.write_str("code outside of all tasks"),
        }
    }
}

/// `the lock "accounts"`, `lock 2`, or `a lock` if it has neither a name nor a number.
impl Display for ObjectDump {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kind = self.kind;
        match (&self.name, self.number) {
            (Some(name), _) => write!(f, "the {kind} {name:?}"),
            (None, 0) if kind.starts_with(['a', 'e', 'i', 'o', 'u']) => write!(f, "an {kind}"),
            (None, 0) => write!(f, "a {kind}"),
            (None, number) => write!(f, "{kind} {number}"),
        }
    }
}

impl ObjectDump {
    /// What else is known, as text after the object.
    pub(crate) fn details(&self) -> String {
        let mut details = Vec::new();
        match (self.free, self.capacity) {
            (Some(free), Some(most)) => {
                details.push(format!("{free} of {} free", count(most, "permit")));
            }
            (Some(free), None) => details.push(format!("{} free", count(free, "permit"))),
            _ => {}
        }
        match (self.items, self.capacity) {
            (Some(items), Some(most)) => {
                details.push(format!("{items} of {}", count(most, "item")));
            }
            (Some(items), None) => details.push(count(items, "item")),
            _ => {}
        }
        details.extend(self.unfinished.map(|items| format!("{items} not reported as done")));
        details.extend(self.senders.map(|senders| count(senders, "sender")));
        if !self.holders.is_empty() {
            details.push(format!("held by {}", list(&self.holders)));
        } else if self.kind == "semaphore" {
            details.push("held by unknown tasks (LOOPWHEEL_DEBUG=1 tells which)".to_owned());
        }
        details.extend(self.created_at.map(|at| format!("created at {at}")));
        details.join(", ")
    }
}

impl WaitsFor {
    /// The tasks that hold what is waited for, as far as they are known.
    pub fn holders(&self) -> &[Holder] {
        match self {
            // A condition is not held: its lock is.
            WaitsFor::Object { part, object } if !part.is_empty() || object.kind == "lock" => {
                &object.holders
            }
            _ => &[],
        }
    }
}

impl Display for WaitsFor {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            WaitsFor::Task(task) => task.fmt(f),
            WaitsFor::TaskElsewhere { task, of_loop } => write!(
                f,
                "{task} of the loop '{of_loop}', which does not run: turn it, or spawn the task here"
            ),
            WaitsFor::Object { part, object } => {
                write!(f, "{part}{object}")?;
                if let Some(put) = object.unfinished.filter(|_| part.starts_with("the work")) {
                    let left = object.items.unwrap_or(0);
                    let got = count(put.saturating_sub(left as u64) as usize, "item");
                    write!(f, ": {got} got without a `task_done()`, {left} not got")?;
                }
                if let Some(senders) = object.senders {
                    write!(f, ", {}", count(senders, "sender"))?;
                }
                match self.holders() {
                    [] => Ok(()),
                    holders => write!(f, ", held by {}", list(holders)),
                }
            }
            WaitsFor::Sleep(when) => write!(f, "a sleep until {}", time(*when)),
            WaitsFor::Limit(when) => write!(f, "a time limit at {}", time(*when)),
            WaitsFor::Thread(began_at) => write!(f, "work on another thread, begun at {began_at}"),
            WaitsFor::ForeignCode => f.write_str("foreign code, which has a waker of it"),
            WaitsFor::Nothing => f.write_str("something that nothing will wake it for"),
        }
    }
}

/// `Task-2, waiting, spawned at src/main.rs:1:2`.
impl Display for TaskDump {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, spawned at {}", self.task, self.state, self.spawned_at)?;
        if self.cancels > 0 {
            write!(f, ", {} requested", count(self.cancels, "cancel"))?;
        }
        if let Some(reason) = &self.cancel_reason {
            write!(f, " ({reason})")?;
        }
        f.write_str(if self.is_held_back { ", held back until its clean-up is over" } else { "" })
    }
}

impl Display for LineDump {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.tasks.len(), self.others) {
            (0, others) => write!(f, "{others} outside of this loop"),
            (_, 0) => f.write_str(&list(&self.tasks)),
            (_, others) => write!(f, "{}, and {others} outside of this loop", list(&self.tasks)),
        }
    }
}

impl Display for Dump {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "loop '{}' at {}: ", self.loop_name, time(self.now))?;
        write!(f, "{} ({} ready), ", count(self.tasks.len(), "task"), self.ready)?;
        write!(f, "{}, {}", count(self.timers, "timer"), count(self.callbacks, "callback"))?;
        if let Some(next) = self.next_timer {
            write!(f, ", next timer at {}", time(next))?;
        }
        if self.work_on_threads > 0 {
            write!(f, ", {} on threads", count(self.work_on_threads, "closure"))?;
        }
        for task in &self.tasks {
            write!(f, "\n  {task}")?;
            for waits_for in &task.waits_for {
                write!(f, "\n    waits for {waits_for}")?;
            }
        }
        for object in &self.objects {
            write!(f, "\n  {object}")?;
            match &object.details()[..] {
                "" => {}
                details => write!(f, ": {details}")?,
            }
            for line in &object.lines {
                write!(f, "\n    for {}{object}: {line}", line.part)?;
            }
        }
        Ok(())
    }
}
