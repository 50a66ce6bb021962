//! Events in words: a sentence for each.

use std::fmt;

use super::{Event, How, Poll, Wait, What};
use crate::base::instant::Instant;

/// A moment, in seconds.
struct Seconds(Instant);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.0.as_secs_f64())
    }
}

/// The number of the event, the time, what happened, and the number of its cause.
impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>5}  {:>9}  {}", self.seq, Seconds(self.at).to_string(), self.what)?;
        if let Some(by) = self.by
            && !matches!(self.what, What::Note { .. })
        {
            write!(f, "  [in the poll of {by}]")?;
        }
        match self.cause {
            Some(cause) => write!(f, "  [because of {cause}]"),
            None => Ok(()),
        }
    }
}

/// A sentence.
impl fmt::Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Spawned { task, at } => write!(f, "{task} is created, at {at}."),
            What::Found { task, at, is_queued: true } => {
                write!(f, "{task}, created at {at}, is in the ready queue.")
            }
            What::Found { task, at, is_queued: false } => {
                write!(f, "{task}, created at {at}, is waiting.")
            }
            What::Named { task, name } => write!(f, "{task} is named '{name}'."),
            What::TurnBegan { ready } => write!(f, "A turn begins; {ready} in the ready queue."),
            What::Woken { task, again: false } => {
                write!(f, "{task} is woken: it joins the ready queue.")
            }
            What::Woken { task, again: true } => {
                write!(f, "{task} is woken again: it is in the ready queue already.")
            }
            What::PollBegan { task, cancel: None } => write!(f, "The loop polls {task}."),
            What::PollBegan { task, cancel: Some(cancel) } => {
                write!(f, "The loop polls {task}, to deliver the cancel of {cancel}.")
            }
            What::Waits { on } => write!(f, "It waits for {on}."),
            What::PollEnded { task, how: Poll::Ready } => {
                write!(f, "The poll of {task} is its last.")
            }
            What::PollEnded { task, how: Poll::Pending } => write!(f, "{task} returns Pending."),
            What::PollEnded { task, how: Poll::Interrupted } => {
                write!(f, "{task} was interrupted, and has not caught the cancel: it is dropped.")
            }
            What::Ended { task, how } => write!(f, "{task} has ended {how}."),
            What::TimerSet { timer, task, deadline, is_limit } => {
                let what = if *is_limit { "limit" } else { "timer" };
                write!(f, "The {what} {timer} is set; it is due at {}", Seconds(*deadline))?;
                task.map_or(Ok(()), |task| write!(f, ", to wake {task}"))?;
                f.write_str(".")
            }
            What::TimerFired { timer, .. } => write!(f, "The timer {timer} fires."),
            What::TimerRemoved { timer } => write!(f, "The timer {timer} is removed."),
            What::CancelRequested { task, reason: None } => {
                write!(f, "A cancel of {task} is requested.")
            }
            What::CancelRequested { task, reason: Some(reason) } => {
                write!(f, "A cancel of {task} is requested: {reason}.")
            }
            What::CancelForwarded { task, to } => {
                write!(f, "The cancel of {task} is forwarded to {to}, which it awaits.")
            }
            What::CancelDelivered { task } => {
                write!(f, "The cancel interrupts what {task} waits for.")
            }
            What::CancelHeldBack { task } => {
                write!(f, "The cancel of {task} is held back until its clean-up is over.")
            }
            What::CancelCaught { task, catcher } => {
                write!(f, "The cancel of {task} is caught by {catcher}.")
            }
            What::CancelTakenBack { task, left } => {
                write!(f, "A cancel of {task} is taken back; {left} left.")
            }
            What::Object { object, kind, name: None, .. } => {
                write!(f, "There is the {kind} {object}.")
            }
            What::Object { object, kind, name: Some(name), .. } => {
                write!(f, "There is the {kind} {object}, '{name}'.")
            }
            What::Held { object, free: None } => write!(f, "It takes object {object}."),
            What::Held { object, free: Some(free) } => {
                write!(f, "It takes a permit of object {object}; {free} free.")
            }
            What::Released { object, free: None } => write!(f, "Object {object} is released."),
            What::Released { object, free: Some(free) } => {
                write!(f, "A permit of object {object} is given back; {free} free.")
            }
            What::Put { object, items } => {
                write!(f, "An item is put into object {object}; {items} in it.")
            }
            What::Got { object, items } => {
                write!(f, "An item is taken out of object {object}; {items} left.")
            }
            What::Done { object, left } => {
                write!(f, "An item of object {object} is reported as done; {left} are not.")
            }
            What::Set { object } => write!(f, "Object {object} is set."),
            What::Cleared { object } => write!(f, "Object {object} is cleared."),
            What::RemoteWake { task: Some(task) } => {
                write!(f, "A wake-up of {task} arrives from outside.")
            }
            What::RemoteWake { task: None } => {
                f.write_str("A wake-up of a task that has ended arrives from outside.")
            }
            What::Parked { took } => write!(f, "The thread was parked for {took:?}."),
            What::ClockJumped { to } => write!(f, "The virtual clock jumps to {}.", Seconds(*to)),
            What::Reported { kind, text } => write!(f, "Reported, a {kind}: {text}"),
            What::Note { text } => write!(f, "> {text}"),
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            How::Value => "with a value",
            How::Failed => "with an error",
            How::Cancelled => "cancelled",
            How::Panicked => "with a panic",
        })
    }
}

impl fmt::Display for Wait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wait::Sleep { until } => write!(f, "the moment {}", Seconds(*until)),
            Wait::NextTurn => f.write_str("its next turn"),
            Wait::Task { task } => write!(f, "the end of {task}"),
            Wait::Tasks { tasks, until } => write!(f, "{until} of {} tasks", tasks.len()),
            Wait::Object { object, of, kind } => write!(f, "{of}{kind} {object}"),
            Wait::Other { what } => f.write_str(what),
        }
    }
}
