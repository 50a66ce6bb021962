//! The reduced exploration knows what each public method reads and writes: two tasks that call any two of them have the same results
//! in the orders that it tries as in all orders. A method that leaves no footprint loses results here.
//!
//! CI runs it in release. An exploration observes the loop itself, so a further observer is no test.
#![cfg(not(loopwheel_traced))]

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use loopwheel::explore::{self, Exploration};
use loopwheel::sync::{
    Barrier, BoundedSemaphore, Condition, Event, Lock, LockGuard, Permit, Promise, Queue, Semaphore,
};
use loopwheel::{
    CallbackHandle, Deadline, EventLoop, Handle, LoopReceiver, SharedTask, TaskBuilder, TaskError,
    TaskGroup, TaskOf, TaskRef, TestRun, ThreadSender, VirtualClock, call_later, call_soon,
    create_task, dump, now, sleep, stats, thread_channel, timeout, wait_for, yield_now,
};

thread_local! {
    /// That of the run that is going on.
    static CLOCK: RefCell<VirtualClock> = RefCell::default();
}

const MS: Duration = Duration::from_millis(1);
/// An operation that ends its task, with an error.
const FAILS: &str = "fails";

/// What the two tasks share.
#[derive(Default)]
struct World {
    lock: Lock,
    event: Event,
    condition: Condition,
    queue: Queue<usize>,
    promise: Promise<usize>,
    semaphore: OnceCell<Semaphore>,
    bounded: OnceCell<BoundedSemaphore>,
    barrier: OnceCell<Barrier>,
    /// The two tasks.
    tasks: RefCell<Vec<TaskRef>>,
    /// A third one, which ends at once, with a value.
    third: OnceCell<SharedTask<usize>>,
    /// A fourth one, which ends after both.
    late: OnceCell<SharedTask<()>>,
    callback: OnceCell<CallbackHandle>,
    deadline: OnceCell<Deadline>,
    group: OnceCell<TaskGroup>,
    sender: OnceCell<ThreadSender<usize>>,
    receiver: OnceCell<LoopReceiver<usize>>,
    handle: OnceCell<Handle>,
    clock: VirtualClock,
    /// What the callbacks have written.
    log: RefCell<Vec<usize>>,
}

impl World {
    fn other(&self, own: usize) -> TaskRef {
        self.tasks.borrow()[own ^ 1].clone()
    }

    fn third(&self) -> &SharedTask<usize> {
        self.third.get().unwrap()
    }

    fn deadline(&self) -> &Deadline {
        self.deadline.get().unwrap()
    }

    fn sender(&self) -> &ThreadSender<usize> {
        self.sender.get().unwrap()
    }

    fn receiver(&self) -> &LoopReceiver<usize> {
        self.receiver.get().unwrap()
    }

    fn log(&self, own: usize) {
        explore::touch("log");
        self.log.borrow_mut().push(own);
    }
}

type Seen = Pin<Box<dyn Future<Output = String>>>;
type Operation = (&'static str, fn(Rc<World>, usize) -> Seen);

/// Each with the text of what its task sees.
macro_rules! operations {
    ($world:ident, $own:ident; $($name:literal: $seen:expr;)*) => {
        &[$(($name, |$world, $own| {
            let _ = $own;
            Box::pin(async move { let _ = &$world; format!("{:?}", $seen) })
        })),*]
    };
}

/// What may wait, for two milliseconds.
async fn limited<T: Debug>(waits: impl Future<Output = T>) -> Option<T> {
    wait_for(waits, 2 * MS).await.ok()
}

const LOCKS: &[Operation] = operations! { world, own;
    "Lock::acquire": limited(async { drop(world.lock.acquire().await) }).await;
    "Lock::acquire, held": limited(async { world.lock.acquire().await.forget() }).await;
    "Lock::acquire_nowait": world.lock.acquire_nowait().map(LockGuard::forget).is_ok();
    "Lock::release": world.lock.release().is_ok();
    "Lock::is_locked": world.lock.is_locked();
    "Lock::waiting": world.lock.waiting();
    "Debug of a Lock": world.lock;
};

const EVENTS: &[Operation] = operations! { world, own;
    "Event::set": world.event.set();
    "Event::clear": world.event.clear();
    "Event::is_set": world.event.is_set();
    "Event::waiting": world.event.waiting();
    "Event::wait": limited(world.event.wait()).await;
    "Promise::set": world.promise.set(own).is_ok();
    "Promise::get": world.promise.get();
    "Promise::is_set": world.promise.is_set();
    "Promise::wait": limited(world.promise.wait()).await;
    "Debug of a Promise": world.promise;
};

const CONDITIONS: &[Operation] = operations! { world, own;
    "Condition::acquire": limited(async { drop(world.condition.acquire().await) }).await;
    "Condition::wait": limited(async { world.condition.acquire().await.wait().await }).await;
    "Condition::notify": world.condition.notify(1).is_ok();
    "ConditionGuard::notify": limited(async { world.condition.acquire().await.notify(1) }).await;
    "ConditionGuard::notify_all": limited(async { world.condition.acquire().await.notify_all() }).await;
    "Condition::release": world.condition.release().is_ok();
    "Condition::is_locked": world.condition.is_locked();
    "Condition::waiting": world.condition.waiting();
};

const SEMAPHORES: &[Operation] = operations! { world, own;
    "Semaphore::acquire": limited(async { world.semaphore.get().unwrap().acquire().await.forget() }).await;
    "Semaphore::acquire_many": limited(async { world.semaphore.get().unwrap().acquire_many(2).await.forget() }).await;
    "Semaphore::acquire_nowait": world.semaphore.get().unwrap().acquire_nowait().map(Permit::forget).is_ok();
    "Semaphore::release": world.semaphore.get().unwrap().release();
    "Semaphore::is_locked": world.semaphore.get().unwrap().is_locked();
    "Semaphore::available": world.semaphore.get().unwrap().available();
    "Semaphore::waiting": world.semaphore.get().unwrap().waiting();
    "BoundedSemaphore::acquire": limited(async { drop(world.bounded.get().unwrap().acquire().await) }).await;
    "BoundedSemaphore::release": world.bounded.get().unwrap().release().is_ok();
    "BoundedSemaphore::available": world.bounded.get().unwrap().available();
};

const BARRIERS: &[Operation] = operations! { world, own;
    "Barrier::wait": limited(world.barrier.get().unwrap().wait()).await;
    "Barrier::reset": limited(world.barrier.get().unwrap().reset()).await;
    "Barrier::abort": limited(world.barrier.get().unwrap().abort()).await;
    "Barrier::waiting": world.barrier.get().unwrap().waiting();
    "Barrier::is_broken": world.barrier.get().unwrap().is_broken();
};

const QUEUES: &[Operation] = operations! { world, own;
    "Queue::put": limited(world.queue.put(own)).await;
    "Queue::put_nowait": world.queue.put_nowait(own).is_ok();
    "Queue::get": limited(world.queue.get()).await;
    "Queue::get_nowait": world.queue.get_nowait().ok();
    "Queue::task_done": world.queue.task_done().is_ok();
    "Queue::join": limited(world.queue.join()).await;
    "Queue::shutdown": world.queue.shutdown(true);
    "Queue::is_shut_down": world.queue.is_shut_down();
    "Queue::len": world.queue.len();
};

const TASKS: &[Operation] = operations! { world, own;
    "nothing": ();
    "fails": FAILS;
    "TaskRef::cancel": world.other(own).cancel();
    "TaskRef::cancel_with_reason": world.other(own).cancel_with_reason("because");
    "TaskRef::uncancel": world.other(own).uncancel();
    "TaskRef::cancelling": world.other(own).cancelling();
    "TaskRef::cancelled_by": world.other(own).cancelled_by().map(|by| by.to_string());
    "TaskRef::is_done": world.other(own).is_done();
    "TaskRef::is_cancelled": world.other(own).is_cancelled();
    "TaskRef::is_failed": world.other(own).is_failed();
    "TaskRef::name": world.other(own).name();
    "TaskRef::name of the third": world.third().to_ref().name();
    "TaskRef::set_name": world.third().to_ref().set_name(if own == 0 { "one" } else { "two" });
    "Debug of a TaskRef": world.other(own);
    "TaskRef::add_done_callback": {
        let of = world.late.get().unwrap().to_ref();
        of.add_done_callback(move |_| world.log(own));
    };
    "SharedTask, asleep": world.late.get().unwrap().clone().await.ok();
    "SharedTask": world.third().clone().await.ok();
    "SharedTask::result": world.third().result().is_ok();
    "SharedTask::is_done": world.third().is_done();
    "SharedTask::name": world.third().name();
    "create_task": create_task(async {}).to_ref().name();
    "all_tasks": loopwheel::all_tasks().len();
    "stats": (stats().alive, stats().ready, stats().timers);
    "dump": dump().to_string().len();
    "now": now();
};

const CALLBACKS: &[Operation] = operations! { world, own;
    "nothing": ();
    "call_soon": drop(call_soon(move || world.log(own)));
    "call_later": drop(call_later(MS, move || world.log(own)));
    "CallbackHandle::cancel": world.callback.get().unwrap().cancel();
    "CallbackHandle::is_cancelled": world.callback.get().unwrap().is_cancelled();
    "Debug of a CallbackHandle": world.callback.get().unwrap();
    "Handle::call_soon": {
        let handle = world.handle.get().unwrap();
        handle.call_soon(move || THIS.with_borrow(|world| world.log(own))).is_ok()
    };
    "Handle::create_task": world.handle.get().unwrap().create_task(async || 1).unwrap().await;
};

const LIMITS: &[Operation] = operations! { world, own;
    "nothing": ();
    "Deadline::when": world.deadline().when();
    "Deadline::reschedule": world.deadline().reschedule(now() + MS * (own as u32 + 2)).is_ok();
    "Deadline::reschedule to none": world.deadline().reschedule(None).is_ok();
    "Deadline::expired": world.deadline().expired();
    "Debug of a Deadline": world.deadline();
    "now": now();
    "VirtualClock::now": world.clock.now();
    "VirtualClock::advance": world.clock.advance(MS);
    "VirtualClock::is_held": world.clock.is_held();
    "VirtualClock::hold": {
        let held = world.clock.hold();
        yield_now().await;
        drop(held);
    };
};

const GROUPS: &[Operation] = operations! { world, own;
    "TaskGroup::create_task_if_open": world.group.get().unwrap().create_task_if_open(sleep(MS)).is_ok();
    "TaskGroup::create_task, short": world.group.get().unwrap().create_task_if_open(async {}).is_ok();
    "TaskGroup::cancel": world.group.get().unwrap().cancel();
    "TaskGroup::running": world.group.get().unwrap().running();
    "Debug of a TaskGroup": world.group.get().unwrap();
};

const CHANNELS: &[Operation] = operations! { world, own;
    "ThreadSender::send_nowait": world.sender().send_nowait(own).is_ok();
    "ThreadSender::send_async": limited(world.sender().send_async(own)).await.is_some();
    "ThreadSender, a clone": {
        let one_more = world.sender().clone();
        yield_now().await;
        drop(one_more);
    };
    "ThreadSender::is_gone": world.sender().is_gone();
    "Debug of a ThreadSender": world.sender();
    "LoopReceiver::recv": limited(world.receiver().recv()).await;
    "LoopReceiver::recv_nowait": world.receiver().recv_nowait().ok();
    "LoopReceiver::len": world.receiver().len();
    "LoopReceiver::senders": world.receiver().senders();
};

thread_local! {
    /// That of the run that is going on: for what is sent.
    static THIS: RefCell<Rc<World>> = RefCell::default();
}

/// What a table needs beside the two tasks. Returns what is left of it at the end.
type Beside = fn(&Rc<World>) -> Seen;

fn nothing(_: &Rc<World>) -> Seen {
    Box::pin(async { String::new() })
}

fn a_third_task(world: &Rc<World>) -> Seen {
    let third = create_task(async { 3 }).shared();
    let _ = world.third.set(third.clone());
    let late = TaskBuilder::new().eager_start(true).create_task(sleep(2 * MS)).shared();
    let _ = world.late.set(late.clone());
    Box::pin(async move {
        let ended = (third.await.ok(), late.await.ok());
        format!("{ended:?}, {}", third_name())
    })
}

fn third_name() -> String {
    THIS.with_borrow(|world| world.third().to_ref().name())
}

fn a_callback(world: &Rc<World>) -> Seen {
    let called = world.clone();
    let _ = world.callback.set(call_soon(move || called.log(7)));
    let _ = world.handle.set(Handle::current());
    nothing(world)
}

fn a_limit(world: &Rc<World>) -> Seen {
    let limited = world.clone();
    let task =
        TaskBuilder::new().eager_start(true).create_task(timeout(2 * MS, async move |deadline| {
            let _ = limited.deadline.set(deadline);
            sleep(3 * MS).await;
        }));
    Box::pin(async move { format!("{:?} at {:?}", task.await.map(|it| it.is_ok()), now()) })
}

fn a_group(world: &Rc<World>) -> Seen {
    let opened = world.clone();
    let task =
        TaskBuilder::new().eager_start(true).create_task(TaskGroup::scope(async move |group| {
            let _ = opened.group.set(group.clone());
            sleep(MS).await;
        }));
    Box::pin(async move { format!("{:?}", task.await.map(|it| it.is_ok())) })
}

fn a_channel(world: &Rc<World>) -> Seen {
    let (sender, receiver) = thread_channel(1);
    let _ = (world.sender.set(sender), world.receiver.set(receiver));
    let world = world.clone();
    Box::pin(async move { format!("{:?}", world.receiver().recv_nowait()) })
}

/// Each of the two tasks does its operation, and sleeps.
async fn program(operations: [&'static Operation; 2], beside: Beside) -> String {
    let clock = CLOCK.with_borrow(VirtualClock::clone);
    let world = Rc::new(World { queue: Queue::bounded(1), clock, ..World::default() });
    THIS.set(world.clone());
    let _ = world.semaphore.set(Semaphore::new(1));
    let _ = world.bounded.set(BoundedSemaphore::new(1));
    let _ = world.barrier.set(Barrier::new(2));
    let left = beside(&world);
    let tasks = [0, 1].map(|own| {
        let (world, (_, operation)) = (world.clone(), operations[own]);
        TaskBuilder::new().try_create_task(async move {
            let seen = operation(world, own).await;
            if seen == format!("{FAILS:?}") {
                return Err(seen);
            }
            sleep(MS).await;
            Ok(seen)
        })
    });
    world.tasks.borrow_mut().extend(tasks.iter().map(TaskOf::to_ref));
    let mut seen = Vec::new();
    for task in tasks {
        seen.push(match task.await {
            Ok(seen) => seen,
            Err(TaskError::Cancelled(by)) => format!("{by}"),
            Err(error) => format!("{error}"),
        });
    }
    seen.push(left.await);
    seen.push(format!("{:?}", world.log.borrow()));
    THIS.take();
    world.tasks.take();
    seen.join(", ")
}

fn exploration() -> Exploration {
    explore::all(20_000).max_steps(1_000).test(|| {
        let clock = VirtualClock::impatient();
        CLOCK.set(clock.clone());
        TestRun::new().allow_tasks_left().event_loop(EventLoop::builder().clock(clock))
    })
}

/// All results; or the fault of a run that fails.
fn results(
    exploration: Exploration,
    operations: [&'static Operation; 2],
    beside: Beside,
) -> (BTreeSet<String>, u64) {
    match exploration.without_page().try_run(|| program(operations, beside)) {
        Ok(summary) => {
            assert!(summary.is_complete, "{} and {}: {summary}", operations[0].0, operations[1].0);
            (summary.outcomes.into_keys().collect(), summary.orders + summary.pruned)
        }
        Err(found) => (BTreeSet::from([format!("{:?}: {}", found.fault, found.message)]), 0),
    }
}

fn all_pairs(of: &'static [Operation], beside: Beside) {
    let (mut lost, mut pairs, mut orders, mut reduced_orders) = (Vec::new(), 0, 0, 0);
    for (index, one) in of.iter().enumerate() {
        for other in &of[index..] {
            let (each, runs) = results(exploration(), [one, other], beside);
            let (reduced, reduced_runs) =
                results(exploration().only_shares_objects(), [one, other], beside);
            (pairs, orders, reduced_orders) =
                (pairs + 1, orders + runs, reduced_orders + reduced_runs);
            if each != reduced {
                lost.push(format!("{} and {}: {each:?} and not {reduced:?}", one.0, other.0));
            }
        }
    }
    println!("{pairs} pairs: {orders} orders, {reduced_orders} runs reduced");
    assert!(lost.is_empty(), "{} of {pairs} pairs:\n{}", lost.len(), lost.join("\n"));
}

#[test]
fn of_locks() {
    all_pairs(LOCKS, nothing);
}

#[test]
fn of_events_and_promises() {
    all_pairs(EVENTS, nothing);
}

#[test]
fn of_conditions() {
    all_pairs(CONDITIONS, nothing);
}

#[test]
fn of_semaphores() {
    all_pairs(SEMAPHORES, nothing);
}

#[test]
fn of_barriers() {
    all_pairs(BARRIERS, nothing);
}

#[test]
fn of_queues() {
    all_pairs(QUEUES, nothing);
}

#[test]
fn of_tasks() {
    all_pairs(TASKS, a_third_task);
}

#[test]
fn of_callbacks() {
    all_pairs(CALLBACKS, a_callback);
}

#[test]
fn of_limits_and_clocks() {
    all_pairs(LIMITS, a_limit);
}

#[test]
fn of_groups() {
    all_pairs(GROUPS, a_group);
}

#[test]
fn of_channels_from_threads() {
    all_pairs(CHANNELS, a_channel);
}
