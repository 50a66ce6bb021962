//! **A run as a timeline**: the JSON that Chrome's tracing page and Perfetto open.
//!
//! Each task is a lane. A poll is a slice of its lane. The life of a task is longer than its polls, so it is an asynchronous slice. All
//! else, such as what a task waits for, is a mark. An arrow leads from the poll in which a task was woken to the poll that followed. Events of the same
//! moment, of which virtual time has many, are drawn a nanosecond apart, in their order.

use std::collections::{HashMap, HashSet};
use std::io;

use serde_json::{Value, json};

use super::{Recorder, lines};
use crate::trace::{Event, Id, What};

/// The lane of what happens in no poll.
const LOOP: i64 = 0;

impl Recorder {
    /// Writes the run as the JSON that <https://ui.perfetto.dev> and `chrome://tracing` open.
    ///
    /// # Errors
    /// Those of `out`.
    ///
    /// # Examples
    /// ```no_run
    /// use std::fs::File;
    /// use loopwheel::{EventLoop, Recorder, yield_now};
    ///
    /// let recorder = Recorder::new();
    /// EventLoop::builder().trace(recorder.clone()).build().run(yield_now());
    /// recorder.write_timeline(File::create("run.json").unwrap()).unwrap();
    /// ```
    pub fn write_timeline(&self, mut out: impl io::Write) -> io::Result<()> {
        let kept = self.kept.borrow();
        let mut timeline = Timeline::default();
        timeline.lane(LOOP, "the loop");
        for recorded in &kept.events {
            timeline.add(&recorded.event);
        }
        drop(kept); // `out` is foreign code
        let Timeline { begun_before, slices, .. } = timeline;
        let slices: Value = begun_before.into_iter().chain(slices).collect();
        let run = json!({ "displayTimeUnit": "ns", "traceEvents": slices });
        out.write_all(format!("{run}\n").as_bytes())
    }
}

#[derive(Default)]
struct Timeline {
    /// No event is drawn before this.
    next_moment: f64,
    slices: Vec<Value>,
    /// When the first event is drawn. What began before it begins here.
    first_moment: Option<f64>,
    begun_before: Vec<Value>,
    /// The tasks that have a lane, and those that are being polled.
    seen: HashSet<Id>,
    polled: HashSet<Id>,
    /// The arrow that leads to the next poll of a task.
    wakes: HashMap<Id, u64>,
}

impl Timeline {
    fn lane(&mut self, number: i64, name: &str) {
        self.slices.push(name_of_lane(number, name));
    }

    /// Adds a slice, an arrow or a mark of this kind. `more`: the fields that only this kind has.
    fn push(&mut self, at: f64, kind: &str, name: &str, lane: i64, more: Value) {
        self.slices.push(slice(at, kind, name, lane, more));
    }

    /// A task that is named for the first time without having been spawned: the events of its beginning were forgotten.
    fn begins_before(&mut self, task: Id, at: f64) {
        if self.seen.insert(task) {
            let lane = lines::number(task);
            self.begun_before.push(name_of_lane(lane, &task.to_string()));
            self.begun_before.push(slice(at, "b", "alive", lane, life(task)));
        }
    }

    fn add(&mut self, event: &Event<'_>) {
        #[allow(clippy::cast_precision_loss)] // exact for three months of nanoseconds
        let at = (event.at.as_nanos() as f64 / 1e3).max(self.next_moment);
        self.next_moment = at + 0.001;
        let first_moment = *self.first_moment.get_or_insert(at);
        let lane = event.by.map_or(LOOP, lines::number);
        if let What::Spawned { task, .. } | What::Found { task, .. } = &event.what {
            self.seen.insert(*task);
        }
        if let What::Ended { task, .. }
        | What::PollBegan { task, .. }
        | What::PollEnded { task, .. }
        | What::Woken { task, .. } = &event.what
        {
            self.begins_before(*task, first_moment);
        }
        if let Some(by) = event.by {
            self.begins_before(by, first_moment);
        }
        match &event.what {
            What::Spawned { task, .. } | What::Found { task, .. } => {
                self.push(at, "b", "alive", lines::number(*task), life(*task));
                self.lane(lines::number(*task), &task.to_string());
            }
            What::Named { task, name } => self.lane(lines::number(*task), name),
            What::Ended { task, how } => {
                let mut args = life(*task);
                args["args"] = json!({ "how": lines::how_in_words(*how) });
                self.push(at, "e", "alive", lines::number(*task), args);
            }
            What::PollBegan { task, .. } => {
                self.polled.insert(*task);
                self.push(
                    at,
                    "B",
                    "poll",
                    lines::number(*task),
                    json!({ "args": { "seq": event.seq } }),
                );
                if let Some(wake) = self.wakes.remove(task) {
                    let arrow = json!({ "cat": "wake", "id": wake, "bp": "e" });
                    self.push(at, "f", "wake", lines::number(*task), arrow);
                }
            }
            What::PollEnded { task, .. } => {
                if !self.polled.remove(task) {
                    let began = slice(first_moment, "B", "poll", lines::number(*task), json!({}));
                    self.begun_before.push(began);
                }
                self.push(at, "E", "poll", lines::number(*task), json!({}));
            }
            What::Woken { task, again: false } => {
                self.push(at, "s", "wake", lane, json!({ "cat": "wake", "id": event.seq }));
                self.wakes.insert(*task, event.seq);
            }
            what => {
                let args = json!({ "seq": event.seq, "cause": event.cause });
                self.push(at, "i", &what.to_string(), lane, json!({ "s": "t", "args": args }));
            }
        }
    }
}

fn name_of_lane(number: i64, name: &str) -> Value {
    let args = json!({ "name": name });
    json!({ "ph": "M", "name": "thread_name", "pid": 1, "tid": number, "args": args })
}

fn slice(at: f64, kind: &str, name: &str, lane: i64, more: Value) -> Value {
    let mut slice = json!({ "ph": kind, "name": name, "pid": 1, "tid": lane, "ts": at });
    if let (Value::Object(slice), Value::Object(more)) = (&mut slice, more) {
        slice.extend(more);
    }
    slice
}

/// What marks the slice of a task's life.
fn life(task: Id) -> Value {
    json!({ "cat": "task", "id": lines::number(task) })
}
