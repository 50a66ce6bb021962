//! The scenario language, as data: what a line of a `.jsonl` file contains.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(crate) struct Scenario {
    pub(crate) id: String,
    pub(crate) class: Class,
    pub(crate) program: Program,
    pub(crate) trace: Trace,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Class {
    /// The order of what happens at one instant does not matter between tasks.
    Trace,
    /// It does.
    Order,
}

/// What a run leaves behind.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct Trace {
    pub(crate) outcome: String,
    pub(crate) end: u64,
    /// (milliseconds, label, text)
    pub(crate) events: Vec<(u64, String, String)>,
    /// By label: the final state, and when the task ended.
    pub(crate) tasks: BTreeMap<String, (String, Option<u64>)>,
    pub(crate) unretrieved: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Program {
    /// All tasks start eagerly: the loop's task factory is `asyncio.eager_task_factory`.
    #[serde(default)]
    pub(crate) eager: bool,
    #[serde(default)]
    pub(crate) objects: BTreeMap<String, Object>,
    pub(crate) main: Block,
}

pub(crate) type Block = Vec<Statement>;

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Object {
    Queue { order: QueueOrder, maxsize: usize },
    Semaphore { value: usize },
    BoundedSemaphore { value: usize },
    Lock,
    Event,
    Condition,
    Barrier { parties: usize },
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum QueueOrder {
    Fifo,
    Lifo,
    Priority,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Handler {
    pub(crate) body: Block,
    pub(crate) then: Then,
    #[serde(rename = "match")]
    pub(crate) matches: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Then {
    Reraise,
    Swallow,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Item {
    Task(String),
    Body { label: String, body: Block },
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum When {
    FirstCompleted,
    FirstException,
    AllCompleted,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Statement {
    Sleep {
        ms: u64,
    },
    Log {
        text: String,
    },
    Return {
        value: Option<i64>,
    },
    Raise {
        error: String,
    },
    Repeat {
        times: u32,
        body: Block,
    },
    Add {
        var: String,
        by: i64,
    },
    Try {
        body: Block,
        on_cancel: Option<Handler>,
        on_error: Option<Handler>,
        #[serde(rename = "finally")]
        finally: Option<Block>,
    },

    Spawn {
        label: String,
        body: Block,
    },
    Await {
        task: String,
    },
    Cancel {
        task: String,
    },
    Cancelling {
        task: Option<String>,
    },
    Uncancel,
    State {
        task: String,
    },
    Result {
        task: String,
    },
    OnDone {
        task: String,
        tag: String,
    },
    Gather {
        items: Vec<Item>,
        return_exceptions: bool,
    },
    Shield {
        task: Option<String>,
        label: Option<String>,
        body: Option<Block>,
    },
    Wait {
        tasks: Vec<String>,
        when: When,
        ms: Option<u64>,
    },
    #[serde(rename = "as_completed")]
    AsCompleted {
        tasks: Vec<String>,
        ms: Option<u64>,
        #[serde(default)]
        each: Block,
        limit: Option<usize>,
    },

    WaitFor {
        ms: Option<u64>,
        task: Option<String>,
        body: Option<Block>,
    },
    Timeout {
        name: String,
        ms: Option<u64>,
        body: Block,
    },
    Reschedule {
        timeout: String,
        ms: Option<u64>,
    },
    Expired {
        timeout: String,
    },
    Group {
        name: String,
        body: Block,
    },
    GroupSpawn {
        group: String,
        label: String,
        body: Block,
    },

    QPut {
        obj: String,
        value: i64,
    },
    QPutNowait {
        obj: String,
        value: i64,
    },
    QGet {
        obj: String,
    },
    QGetNowait {
        obj: String,
    },
    QTaskDone {
        obj: String,
    },
    QJoin {
        obj: String,
    },
    QShutdown {
        obj: String,
        immediate: bool,
    },
    QSize {
        obj: String,
    },
    Acquire {
        obj: String,
    },
    Release {
        obj: String,
    },
    With {
        obj: String,
        body: Block,
    },
    Locked {
        obj: String,
    },
    EventSet {
        obj: String,
    },
    EventClear {
        obj: String,
    },
    EventIsSet {
        obj: String,
    },
    EventWait {
        obj: String,
    },
    CondWait {
        obj: String,
    },
    CondWaitFor {
        obj: String,
        var: String,
        at_least: i64,
    },
    Notify {
        obj: String,
        n: usize,
    },
    NotifyAll {
        obj: String,
    },
    BarrierWait {
        obj: String,
    },
    BarrierReset {
        obj: String,
    },
    BarrierAbort {
        obj: String,
    },
    BarrierState {
        obj: String,
    },
}
