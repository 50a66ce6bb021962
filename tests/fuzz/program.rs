//! A program is data. It is generated from a seed, printed for people, kept as JSON for other processes, and interpreted as
//! futures.
//!
//! Whatever outlives one statement has a *slot*, a small number: handles of tasks, wakers, callbacks, locks, queues. Any task
//! of the program may use any slot. A statement that finds its slot empty does nothing.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

/// The number of a place in the program's world, taken modulo how many there are.
pub(crate) type Slot = u8;

/// Milliseconds of virtual time.
pub(crate) type Millis = u8;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Program {
    pub(crate) seed: u64,
    pub(crate) settings: Settings,
    /// What the host does with its loop, step by step.
    pub(crate) host: Vec<HostStep>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools)] // each a choice by itself
pub(crate) struct Settings {
    pub(crate) handler: Reflex,
    /// The handler panics at its end.
    pub(crate) handler_throws: bool,
    /// A timer breaks up deadlocks, so that `run` comes to an end. Without it `run` may report them.
    pub(crate) janitor: bool,
    /// The host has its own clock and moves it. It does not call `run` then.
    pub(crate) host_clock: bool,
    /// Handles and wakers are dropped after the loop.
    pub(crate) handles_outlive_loop: bool,
    /// What is left in the end is dropped with the loop and not waited for.
    pub(crate) dropped_midway: bool,
    pub(crate) watches_slow_polls: bool,
    /// The program uses other threads, so no two runs are alike.
    pub(crate) threads: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum HostStep {
    Run(Body),
    RunUntilComplete(Body),
    /// The loop is driven as a future, polled at most this often, and is gone afterwards.
    Drive {
        main: Body,
        polls: u8,
    },
    Spawn {
        slot: Slot,
        task: TaskSpec,
    },
    CallSoon(Reflex),
    CallLater(Millis, Reflex),
    Turn {
        polls: u8,
        times: u8,
    },
    TurnFor(Millis),
    RunUntilStalled,
    Advance(Millis),
    Jump,
    CancelEach,
    CancelAll,
    /// The host itself does what a destructor may do.
    Act(Reflex),
    NewLoop,
}

/// Statements that run one after another. A body is cheap to clone, because a task owns its body.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<Op>", into = "Vec<Op>")]
pub(crate) struct Body(Rc<Vec<Op>>);

impl Body {
    pub(crate) fn ops(&self) -> &[Op] {
        &self.0
    }
}

impl From<Vec<Op>> for Body {
    fn from(ops: Vec<Op>) -> Body {
        Body(Rc::new(ops))
    }
}

impl From<Body> for Vec<Op> {
    fn from(body: Body) -> Vec<Op> {
        body.0.to_vec()
    }
}

/// What foreign code does when it is called in an unexpected place: in a destructor, in `Debug`, `Clone` or `Ord`, in a waker,
/// a predicate, a callback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) enum Reflex {
    #[default]
    Nothing,
    Throw,
    Spawn,
    /// Spawns a task whose destructor does the same, without end, if the loop is being dropped.
    SpawnAgain,
    Wake(Slot),
    DropWaker(Slot),
    Cancel(Slot),
    DropHandle(Slot),
    /// Drops all handles.
    DropHandles,
    Look,
    ArmSleep,
    SetEvent(Slot),
    CallSoon,
    CancelCallback(Slot),
    Put(Slot),
    Get(Slot),
    ReleaseLock(Slot),
    SetLocal,
}

impl Reflex {
    #[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
    pub(crate) fn is_nothing(&self) -> bool {
        *self == Reflex::Nothing
    }

    /// Says whether it may panic, perhaps because it drops or wakes what panics in its turn.
    pub(crate) fn may_throw(self) -> bool {
        !matches!(
            self,
            Reflex::Nothing
                | Reflex::Spawn
                | Reflex::SpawnAgain
                | Reflex::Cancel(_)
                | Reflex::DropHandle(_)
                | Reflex::DropHandles
                | Reflex::Look
                | Reflex::ArmSleep
                | Reflex::CallSoon
        )
    }
}

/// A value, an error or an item of a queue. It has a number, and each of its methods may run code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Make {
    #[serde(default, skip_serializing_if = "Reflex::is_nothing")]
    pub(crate) drop: Reflex,
    #[serde(default, skip_serializing_if = "Reflex::is_nothing")]
    pub(crate) debug: Reflex,
    #[serde(default, skip_serializing_if = "Reflex::is_nothing")]
    pub(crate) clone: Reflex,
    #[serde(default, skip_serializing_if = "Reflex::is_nothing")]
    pub(crate) compare: Reflex,
    #[serde(default)]
    pub(crate) order: u8,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TaskSpec {
    /// It is made by `try_create_task`, so an error is its failure.
    pub(crate) fallible: bool,
    pub(crate) named: bool,
    /// What the destructor of a value does that the future owns.
    pub(crate) owns: Reflex,
    pub(crate) body: Body,
    pub(crate) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum End {
    Value(Make),
    Error(Make),
    Panic(Thrown),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Thrown {
    Text,
    Parcel(Make),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Target {
    Myself,
    Handle(Slot),
    /// One of all the loop's tasks.
    Any(u8),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Op {
    Yield,
    Sleep(Millis),
    SleepUntil(Millis),
    Interval { period: Millis, ticks: u8 },
    Act(Reflex),
    Panic(Thrown),
    KeepWaker(Slot),
    SetLocal(Slot, Make),
    GetLocal(Slot),
    CallSoon(Slot, Reflex),
    CallLater(Slot, Millis, Reflex),
    CallAt(Slot, Millis, Reflex),
    SetHandler(Reflex),
    Deep { depth: u32, of: Deep },
    Task(TaskOp),
    Frame(FrameOp),
    Many(ManyOp),
    Sync(SyncOp),
    Foreign(ForeignOp),
    Thread(ThreadOp),
}

/// Thousands of one thing inside another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Deep {
    /// A child that opens a group, whose child opens a group…
    Groups,
    /// A task that awaits a task that awaits a task…
    Joins,
    Gathers,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum TaskOp {
    Spawn { slot: Slot, task: TaskSpec },
    Await { slot: Slot, how: How },
    Drop(Slot),
    Forget(Slot),
    Share(Slot),
    CloneTo { from: Slot, to: Slot },
    MoveTo { from: Slot, to: Slot },
    Result(Slot),
    Look(Slot),
    Rename(Slot),
    DoneCallback(Slot, Reflex),
    Cancel { whom: Target, reason: bool, times: u8 },
    Uncancel(Target),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum How {
    ByValue,
    ByRef,
    Shielded,
    ShieldedRef,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum FrameOp {
    Catch { body: Body, reraise: bool },
    Finally { body: Body, cleanup: Body },
    FinallyWithin { grace: Millis, body: Body, cleanup: Body },
    Protect { grace: Millis, body: Body },
    WaitFor { limit: Option<Millis>, body: Body },
    WaitForHandle { limit: Option<Millis>, slot: Slot },
    Timeout { limit: Option<Millis>, at: bool, moved_to: Option<Millis>, body: Body },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum ManyOp {
    Gather {
        fallible: bool,
        exceptions: bool,
        tuple: bool,
        children: Vec<TaskSpec>,
    },
    GatherHandles {
        exceptions: bool,
        slots: Vec<Slot>,
    },
    Group {
        limit: Option<u8>,
        body: Body,
        end: End,
    },
    GroupSpawn {
        slot: Option<Slot>,
        task: TaskSpec,
    },
    Subgroup {
        body: Body,
        end: End,
    },
    GroupCancel,
    Wait {
        slots: Vec<Slot>,
        until: Until,
        limit: Option<Millis>,
        by_ref: bool,
    },
    AsCompleted {
        slots: Vec<Slot>,
        limit: Option<Millis>,
        at_most: u8,
    },
    /// `race`, or `first_ok`; it waits for the losers, or not.
    Race {
        fallible: bool,
        waits: bool,
        children: Vec<TaskSpec>,
    },
    /// So many results are taken out; then the set is shut down, or dropped.
    TaskSet {
        limit: Option<u8>,
        children: Vec<TaskSpec>,
        at_most: u8,
        shutdown: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Until {
    FirstCompleted,
    FirstException,
    AllCompleted,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum SyncOp {
    Lock { lock: Slot, body: Body, left: Left },
    TryLock { lock: Slot, body: Body },
    ReleaseLock(Slot),
    Acquire { semaphore: Slot, body: Body, left: Left },
    TryAcquire { semaphore: Slot, body: Body },
    Release(Slot),
    EventWait(Slot),
    EventSet(Slot),
    EventClear(Slot),
    ConditionWait { condition: Slot, predicate: Option<Reflex> },
    Notify { condition: Slot, all: bool },
    BarrierWait(Slot),
    BarrierReset(Slot),
    BarrierAbort(Slot),
    Put { queue: Slot, item: Make, now: bool },
    Get { queue: Slot, now: bool },
    TaskDone(Slot),
    JoinQueue(Slot),
    Shutdown { queue: Slot, immediate: bool },
    PromiseSet(Slot, Make),
    PromiseWait(Slot),
}

/// Says what becomes of a guard.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Left {
    Dropped,
    Kept,
    MemForgotten,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum ForeignOp {
    Join(Body, Body),
    JoinAll(Vec<Body>),
    /// This many copies of one body. With more than thirty, `join_all` polls them with wakers of its own.
    JoinMany(u8, Body),
    Select(Body, Body),
    Unordered {
        bodies: Vec<Body>,
        at_most: u8,
    },
    Ordered {
        bodies: Vec<Body>,
        at_most: u8,
    },
    Abortable {
        body: Body,
        after: Millis,
    },
    /// Polled by hand, with a waker of the fuzzer's own.
    ByHand {
        body: Body,
        waker: WakerSpec,
        polls: u8,
        then: Then,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WakerSpec {
    /// Wakes the real one too.
    pub(crate) passes_on: bool,
    pub(crate) wake: Reflex,
    pub(crate) clone: Reflex,
    pub(crate) drop: Reflex,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Then {
    Drop,
    Forget,
    Await,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum ThreadOp {
    ToThread {
        panics: bool,
        awaited: bool,
    },
    RemoteCall {
        panics: bool,
    },
    RemoteTask {
        sleeps: Millis,
        cancelled: bool,
        waits: bool,
    },
    /// A kept waker is woken from another place.
    RemoteWake(Slot),
}
