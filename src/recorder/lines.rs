//! **A run as lines**: a header, and then an event a line, as JSON.
//!
//! The format is described in `docs/trace.md`, and has a version. Keys that say nothing (no cause, no reason) are left out.

use std::fmt::Write;
use std::io;

use serde_json::{Map, Value, json};

use super::{Frame, Recorded, Recorder};
use crate::trace::{Event, How, Id, Poll, Wait, What};

/// The version of the format.
const VERSION: u32 = 1;

impl Recorder {
    /// Writes the run as JSON: a line with the format's version, and then a line for each event. `docs/trace.md` describes them.
    ///
    /// # Errors
    /// Those of `out`.
    ///
    /// # Examples
    /// ```
    /// use loopwheel::{EventLoop, Recorder, VirtualClock, yield_now};
    ///
    /// let recorder = Recorder::new();
    /// let event_loop = EventLoop::builder().clock(VirtualClock::new()).trace(recorder.clone());
    /// event_loop.build().run(yield_now());
    /// let mut lines = Vec::new();
    /// recorder.write_lines(&mut lines).unwrap();
    /// let lines = String::from_utf8(lines).unwrap();
    /// assert!(lines.lines().nth(1).unwrap().contains(r#""e":"spawned","seq":1,"task":1"#));
    /// ```
    pub fn write_lines(&self, mut out: impl io::Write) -> io::Result<()> {
        // First: `out` is foreign code. What it does may be recorded too, in the place of older events.
        let mut text = format!("{}\n", self.header());
        for recorded in &self.kept.borrow().events {
            _ = writeln!(text, "{}", value_of(recorded)); // into a string, which takes all
        }
        out.write_all(text.as_bytes())
    }

    pub(super) fn header(&self) -> Value {
        let (kept, settings) = (self.kept.borrow(), &self.settings);
        let mut header = Map::new();
        header.insert("loopwheel".to_owned(), VERSION.into());
        for (key, text) in [("name", &settings.name), ("title", &settings.title)] {
            if !text.is_empty() {
                header.insert(key.to_owned(), text.as_str().into());
            }
        }
        header.insert("loop".to_owned(), kept.loop_name.as_str().into());
        header.insert("clock".to_owned(), kept.clock.into());
        header.insert("dropped".to_owned(), kept.dropped.into());
        header.insert("lines".to_owned(), settings.stack.is_some().into());
        Value::Object(header)
    }
}

/// A task as its number, a callback as the negative of its number.
pub(super) fn number(id: Id) -> i64 {
    match id {
        Id::Task(number) => number.into(),
        Id::Callback(number) => -i64::from(number),
    }
}

fn numbers(ids: &[Id]) -> Value {
    ids.iter().map(|id| number(*id)).collect()
}

pub(super) fn value_of(recorded: &Recorded) -> Value {
    let Event { seq, at, turn, by, cause, what } = &recorded.event;
    let mut line = json!({ "seq": seq, "at": at.as_nanos(), "turn": turn });
    let by = by.map(|by| json!({ "by": number(by) }));
    let cause = cause.map(|cause| json!({ "cause": cause }));
    let stack = &recorded.stack;
    let stack =
        (!stack.is_empty()).then(|| json!({ "stack": stack.iter().map(frame).collect::<Value>() }));
    for part in by.into_iter().chain(cause).chain([part_of(what)]).chain(stack) {
        if let (Value::Object(line), Value::Object(part)) = (&mut line, part) {
            line.extend(part.into_iter().filter(|(_, value)| !value.is_null()));
        }
    }
    line
}

/// What only this kind of event has. A null is left out.
fn part_of(what: &What<'_>) -> Value {
    match what {
        What::Spawned { task, at } => {
            json!({ "e": "spawned", "task": number(*task), "where": [at.file(), at.line(), at.column()] })
        }
        What::Found { task, at, is_queued } => json!({
            "e": "found", "task": number(*task), "where": [at.file(), at.line(), at.column()], "queued": is_queued
        }),
        What::Named { task, name } => json!({ "e": "named", "task": number(*task), "name": name }),
        What::TurnBegan { ready } => json!({ "e": "turn", "ready": ready }),
        What::Woken { task, again } => {
            json!({ "e": "woken", "task": number(*task), "again": again.then_some(true) })
        }
        What::PollBegan { task, cancel } => {
            json!({ "e": "poll", "task": number(*task), "cancel": cancel })
        }
        What::Waits { on } => json!({ "e": "waits", "for": wait(on) }),
        What::PollEnded { task, how } => {
            let how = match how {
                Poll::Ready => "ready",
                Poll::Pending => "pending",
                Poll::Interrupted => "interrupted",
            };
            json!({ "e": "polled", "task": number(*task), "how": how })
        }
        What::Ended { task, how } => {
            json!({ "e": "ended", "task": number(*task), "how": how_in_words(*how) })
        }
        What::TimerSet { timer, task, deadline, is_limit } => json!({
            "e": "timer-set", "timer": timer, "task": task.map(number), "deadline": deadline.as_nanos(),
            "limit": is_limit.then_some(true)
        }),
        What::TimerFired { timer, task } => {
            json!({ "e": "timer-fired", "timer": timer, "task": task.map(number) })
        }
        What::TimerRemoved { timer } => json!({ "e": "timer-removed", "timer": timer }),
        What::CancelRequested { task, reason } => json!({
            "e": "cancel-requested", "task": number(*task), "reason": reason.as_ref().map(ToString::to_string)
        }),
        What::CancelForwarded { task, to } => {
            json!({ "e": "cancel-forwarded", "task": number(*task), "to": number(*to) })
        }
        What::CancelDelivered { task } => json!({ "e": "cancel-delivered", "task": number(*task) }),
        What::CancelHeldBack { task } => json!({ "e": "cancel-held-back", "task": number(*task) }),
        What::CancelCaught { task, catcher } => {
            json!({ "e": "cancel-caught", "task": number(*task), "in": catcher })
        }
        What::CancelTakenBack { task, left } => {
            json!({ "e": "cancel-taken-back", "task": number(*task), "left": left })
        }
        What::Object { object, kind, name, size } => {
            json!({ "e": "object", "object": object, "kind": kind, "name": name, "size": size })
        }
        What::Held { object, free } => json!({ "e": "held", "object": object, "free": free }),
        What::Released { object, free } => {
            json!({ "e": "released", "object": object, "free": free })
        }
        What::Put { object, items } => json!({ "e": "put", "object": object, "items": items }),
        What::Got { object, items } => json!({ "e": "got", "object": object, "items": items }),
        What::Done { object, left } => json!({ "e": "done", "object": object, "left": left }),
        What::Set { object } => json!({ "e": "set", "object": object }),
        What::Cleared { object } => json!({ "e": "cleared", "object": object }),
        What::RemoteWake { task } => json!({ "e": "remote", "task": task.map(number) }),
        What::Parked { took } => {
            json!({ "e": "parked", "ns": u64::try_from(took.as_nanos()).ok() })
        }
        What::ClockJumped { to } => json!({ "e": "jumped", "to": to.as_nanos() }),
        What::Reported { kind, text } => {
            json!({ "e": "reported", "kind": kind, "text": text.to_string() })
        }
        What::Note { text } => json!({ "e": "note", "text": text.to_string() }),
    }
}

pub(super) fn how_in_words(how: How) -> &'static str {
    match how {
        How::Value => "value",
        How::Failed => "failed",
        How::Cancelled => "cancelled",
        How::Panicked => "panicked",
    }
}

fn frame(frame: &Frame) -> Value {
    json!([frame.function, frame.file, frame.line])
}

fn wait(on: &Wait<'_>) -> Value {
    match on {
        Wait::Sleep { until } => json!({ "kind": "sleep", "until": until.as_nanos() }),
        Wait::NextTurn => json!({ "kind": "turn" }),
        Wait::Task { task } => json!({ "kind": "task", "task": number(*task) }),
        Wait::Tasks { tasks, until } => {
            json!({ "kind": "tasks", "tasks": numbers(tasks), "until": until })
        }
        Wait::Object { object, of, kind } => {
            json!({ "kind": "object", "object": object, "for": format!("{of}{kind}") })
        }
        Wait::Other { what } => json!({ "kind": "other", "text": what }),
    }
}
