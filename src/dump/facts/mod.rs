//! **Facts**: what a dump consists of, as text, and as JSON.
//!
//! A dump could refer to the tasks and objects themselves. Then it could not be sent to another thread, and would keep alive, or
//! change, what it describes. So it consists of numbers and names.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | the types |
//! | `words` | the text, line by line |
//! | `json` | the JSON |
//!
//! It stands on `base` and the kernel.

#[cfg(feature = "json")]
mod json;
pub(super) mod words;

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use crate::base::instant::Instant;
use crate::kernel::record::RecordRef;

/// A line of the program.
type Place = &'static Location<'static>;

/// What the tasks of a loop do and wait for, at one moment. Made by [`dump()`](crate::dump()),
/// [`EventLoop::dump`](crate::EventLoop::dump) and [`Handle::dump`](crate::Handle::dump).
///
/// [`Display`](std::fmt::Display) prints it line by line, and [`await_tree`](Dump::await_tree) as a tree.
///
/// # In asyncio
/// `asyncio.all_tasks()` and `asyncio.print_call_graph(task)`; `python -m asyncio ps PID`.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Dump {
    /// The loop's name.
    pub loop_name: String,
    /// The time on the loop's clock.
    #[cfg_attr(feature = "json", serde(rename = "now_ns", serialize_with = "json::instant"))]
    pub now: Instant,
    /// The tasks that have not ended, oldest first.
    pub tasks: Vec<TaskDump>,
    /// The locks, queues and so on for which tasks wait, or whose holders are known, in the order of their numbers.
    #[cfg_attr(feature = "json", serde(serialize_with = "json::objects"))]
    pub objects: Vec<Arc<ObjectDump>>,
    /// How many tasks and callbacks are in the ready queue.
    pub ready: usize,
    /// How many callbacks are scheduled and have not been called.
    pub callbacks: usize,
    /// How many timers are set: for sleeps, time limits and callbacks.
    pub timers: usize,
    /// When the first timer is due.
    #[cfg_attr(
        feature = "json",
        serde(rename = "next_timer_ns", serialize_with = "json::maybe_instant")
    )]
    pub next_timer: Option<Instant>,
    /// How many closures of [`to_thread`](crate::to_thread()) have not ended.
    pub work_on_threads: usize,
}

/// One task of a [`Dump`].
#[derive(Debug, Clone)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TaskDump {
    /// Its number and its name.
    #[cfg_attr(feature = "json", serde(flatten))]
    pub task: TaskName,
    /// Where it was created.
    #[cfg_attr(feature = "json", serde(serialize_with = "json::location"))]
    pub spawned_at: &'static Location<'static>,
    /// What it does.
    pub state: TaskState,
    /// What would wake it. Empty unless it waits. Several in a `join!` or a `select!`.
    pub waits_for: Vec<WaitsFor>,
    /// How many cancels were requested and not taken back.
    pub cancels: usize,
    /// Whether a cancel is held back until a clean-up of the task is over; see [`protect`](crate::protect()).
    pub is_held_back: bool,
    /// Why it was cancelled, if it was and a reason is known.
    pub cancel_reason: Option<String>,
    /// Foreign code has, or has had, a waker of it: so it can be woken by what a dump does not know.
    pub waker_has_escaped: bool,
}

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum TaskState {
    /// It is being polled.
    Running,
    /// It is in the ready queue.
    Ready,
    /// It waits to be woken.
    Waiting,
}

/// The name and the number of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TaskName {
    /// Its number among the tasks of its loop, in the order in which they were created. The first is 1.
    pub number: u32,
    /// The name that it was given, or else `Task-` and its number.
    pub name: String,
}

impl TaskName {
    pub(super) fn of(record: &RecordRef) -> TaskName {
        TaskName { number: record.serial, name: record.name() }
    }

    pub(super) fn of_number(number: u32) -> TaskName {
        TaskName { number, name: format!("Task-{number}") }
    }
}

/// A thing that a task waits for. [`Display`](std::fmt::Display) says it in words.
#[derive(Clone)]
#[non_exhaustive]
pub enum WaitsFor {
    /// The end of this task.
    Task(TaskName),
    /// The end of this task of another loop of the same thread.
    TaskElsewhere {
        /// The task.
        task: TaskName,
        /// The name of its loop, which does not run.
        of_loop: String,
    },
    /// An object.
    Object {
        /// What of the object, such as `an item of `. Empty if it is the object itself.
        part: &'static str,
        /// The object.
        object: Arc<ObjectDump>,
    },
    /// This moment: a sleep.
    Sleep(Instant),
    /// This moment: a time limit around something else.
    Limit(Instant),
    /// The end of work on another thread, which was begun here.
    Thread(&'static Location<'static>),
    /// Foreign code that has a waker of the task: a channel or a socket of another crate, or another thread.
    ForeignCode,
    /// Nothing that could wake it.
    Nothing,
}

/// A lock, a semaphore, an event, a queue, a condition, a barrier, a promise or a channel, in a [`Dump`].
#[derive(Debug, Clone)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ObjectDump {
    /// Such as `lock`.
    pub kind: &'static str,
    /// Its number among the objects of its loop. Zero if no loop has numbered it.
    pub number: u32,
    /// The name that it was given.
    pub name: Option<String>,
    /// Where it was created. `None` for what is a part of something else.
    #[cfg_attr(feature = "json", serde(serialize_with = "json::maybe_location"))]
    pub created_at: Option<Place>,
    /// The tasks that hold it. The holder of a lock is always known. Those of a semaphore's permits are known in [debug
    /// mode](crate::EventLoopBuilder::debug) only.
    pub holders: Vec<Holder>,
    /// How many permits of a semaphore are free.
    pub free: Option<usize>,
    /// How many items are in a queue or a channel.
    pub items: Option<usize>,
    /// How many items fit into a queue or a channel, or the most permits that a semaphore may have.
    pub capacity: Option<usize>,
    /// How many items of a queue were put and not reported as done.
    pub unfinished: Option<u64>,
    /// How many senders of a channel from other threads there are.
    pub senders: Option<usize>,
    /// The tasks that wait.
    pub lines: Vec<LineDump>,
}

/// The tasks that wait for one thing of an object.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LineDump {
    /// What of the object, such as `an item of `. Empty if it is the object itself.
    pub part: &'static str,
    /// The tasks of this loop in the line, the first one first.
    pub tasks: Vec<TaskName>,
    /// How many others are in the line: tasks of other loops, and of other executors.
    pub others: usize,
}

/// What holds a lock or a permit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Holder {
    /// This task.
    Task(TaskName),
    /// This task, which has ended: its guard was forgotten, or given away.
    Ended(TaskName),
    /// This task of another loop of the same thread.
    Elsewhere(TaskName),
    /// Code outside of all tasks.
    NoTask,
}

/// Of an object only what names it: a dump with many waiters would print its whole line for each of them.
impl fmt::Debug for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitsFor::Task(task) => f.debug_tuple("Task").field(task).finish(),
            WaitsFor::TaskElsewhere { task, of_loop } => {
                let mut text = f.debug_struct("TaskElsewhere");
                text.field("task", task).field("of_loop", of_loop).finish()
            }
            WaitsFor::Object { part, object } => {
                let mut text = f.debug_struct("Object");
                text.field("part", part)
                    .field("kind", &object.kind)
                    .field("number", &object.number);
                text.field("name", &object.name).finish_non_exhaustive()
            }
            WaitsFor::Sleep(until) => f.debug_tuple("Sleep").field(until).finish(),
            WaitsFor::Limit(until) => f.debug_tuple("Limit").field(until).finish(),
            WaitsFor::Thread(began_at) => f.debug_tuple("Thread").field(began_at).finish(),
            WaitsFor::ForeignCode => f.write_str("ForeignCode"),
            WaitsFor::Nothing => f.write_str("Nothing"),
        }
    }
}

impl Dump {
    /// The task with this number.
    pub fn task(&self, number: u32) -> Option<&TaskDump> {
        self.tasks.iter().find(|task| task.task.number == number)
    }
}
