//! What hostile code does where it is called: in a destructor, in `Debug`, in a waker.

use std::panic::resume_unwind;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use loopwheel::{TaskBuilder, all_tasks, call_soon, sleep, try_current_task, try_now, yield_now};

use crate::ledger::{HOST, Role};
use crate::parcel::Parcel;
use crate::program::{Make, Reflex, Slot};
use crate::world::{LOCALS, World};

/// Hostile code that is nested this deep calms down.
const DEPTH: u32 = 6;
/// A loop that still gets new tasks after this many while it is dropped will never be dropped.
const ENDLESS: u32 = 20_000;

struct Deeper(Rc<World>);

impl Drop for Deeper {
    fn drop(&mut self) {
        self.0.reflex_depth.set(self.0.reflex_depth.get() - 1);
    }
}

/// Runs the reflex, if a program runs on this thread.
pub(crate) fn fire(reflex: Reflex) {
    if reflex == Reflex::Nothing {
        return;
    }
    let Some(world) = World::current() else { return };
    if reflex == Reflex::SpawnAgain && world.is_closing.get() {
        return spawn_again(&world);
    }
    let (depth, left) = (world.reflex_depth.get(), world.reflexes_left.get());
    if depth >= DEPTH || left == 0 {
        return;
    }
    world.reflex_depth.set(depth + 1);
    world.reflexes_left.set(left - 1);
    let deeper = Deeper(world.clone());
    perform(&world, reflex);
    drop(deeper);
}

fn perform(world: &Rc<World>, reflex: Reflex) {
    let is_running = try_now().is_ok();
    match reflex {
        Reflex::Throw => throw(world),
        Reflex::Spawn | Reflex::SpawnAgain => {
            let label = world.ledger.label(HOST);
            let owned = Parcel::owned(world, label, Reflex::Nothing);
            let spawned = TaskBuilder::new().create_task_if_running(async move {
                yield_now().await;
                drop(owned);
            });
            drop(spawned);
        }
        Reflex::Wake(slot) => {
            let waker = world.wakers.take(slot);
            if let Some(waker) = waker {
                waker.wake_by_ref();
                drop(world.wakers.put_back(slot, waker));
            }
        }
        Reflex::DropWaker(slot) => drop(world.wakers.take(slot)),
        Reflex::Cancel(slot) => {
            let task = world.handles.look(slot, crate::handle::Handle::to_ref);
            if let Some(task) = task {
                world.excuse_if_over(&task);
                task.cancel();
            }
        }
        Reflex::DropHandle(slot) => drop(world.handles.take(slot)),
        Reflex::DropHandles => {
            for slot in 0..6 {
                drop(world.handles.take(slot));
            }
        }
        Reflex::Look => look(world),
        Reflex::ArmSleep if is_running => arm_sleep(),
        Reflex::CallSoon if is_running => drop(call_soon(|| fire(Reflex::Look))),
        Reflex::Nothing | Reflex::ArmSleep | Reflex::CallSoon => {}
        Reflex::SetEvent(slot) => world.events[usize::from(slot) % 2].clone().set(),
        Reflex::CancelCallback(slot) => {
            let callback = world.callbacks.take(slot);
            if let Some(callback) = callback {
                callback.cancel();
                drop(callback);
            }
        }
        Reflex::Put(slot) => {
            let item = Parcel::owned(world, HOST, Reflex::Nothing);
            drop(world.queues[usize::from(slot) % 3].clone().put_nowait(item));
        }
        Reflex::Get(slot) => drop(world.queues[usize::from(slot) % 3].clone().get_nowait()),
        Reflex::ReleaseLock(slot) => world.release_lock(usize::from(slot) % 2),
        Reflex::SetLocal => {
            let label = world.ledger.label(HOST);
            drop(LOCALS[0].try_set(Parcel::new(world, label, Make::default())));
        }
    }
}

/// Panics, unless the thread is panicking already: that would end the process.
fn throw(world: &World) {
    if !thread::panicking() {
        let thrown = Parcel::of_role(&world.ledger, HOST, Make::default(), Role::Shared);
        resume_unwind(Box::new(thrown));
    }
}

/// Spawns a task whose destructor does the same.
fn spawn_again(world: &Rc<World>) {
    let times = world.spawned_again.get() + 1;
    world.spawned_again.set(times);
    if times > ENDLESS {
        world.ledger.fault("endless drop", "a destructor that spawns its like, in a dropped loop");
        return;
    }
    let label = world.ledger.label(HOST);
    if world.has_given_up.get() {
        world.ledger.forget(label);
    }
    world.again.borrow_mut().push(label);
    let owned = Parcel::owned(world, label, Reflex::SpawnAgain);
    drop(TaskBuilder::new().create_task_if_running(async move { drop(owned) }));
}

/// Arms a timer and drops it.
fn arm_sleep() {
    let mut armed = Box::pin(sleep(Duration::from_millis(5)));
    let mut context = Context::from_waker(Waker::noop());
    let _ = armed.as_mut().poll(&mut context);
}

/// Calls everything that can be asked.
fn look(world: &World) {
    let mut sum = 0;
    if try_now().is_ok() {
        sum += all_tasks().len();
    }
    if let Ok(task) = try_current_task() {
        sum += task.name().len() + task.cancelling() + usize::from(task.is_done());
    }
    for slot in 0..6 {
        sum += world.handles.look(slot, crate::handle::Handle::look).map_or(0, |text| text.len());
    }
    for n in 0..2 {
        sum += format!("{:?} {:?}", world.locks[n], world.semaphores[n]).len();
        sum += format!("{:?} {:?}", world.events[n], world.conditions[n]).len();
        sum += format!("{:?} {:?}", world.barriers[n], world.promise(n)).len();
        sum += world.barriers[n].waiting() + world.locks[n].waiting();
    }
    for local in &LOCALS {
        sum += usize::from(local.with(|value| value.is_some()));
    }
    for queue in &world.queues {
        sum += format!("{queue:?}").len() + queue.len();
    }
    std::hint::black_box(sum);
}

impl World {
    /// A caller that cancels a finished task knows of its failure, which is not reported then.
    pub(crate) fn excuse_if_over(&self, task: &loopwheel::TaskRef) {
        if task.is_done() {
            self.ledger.excuse_silence();
        }
    }

    pub(crate) fn release_lock(&self, n: usize) {
        if self.locks[n].clone().release().is_ok() {
            self.lock_kept[n].set(false);
            self.held.lock_is_released(n);
        }
    }
}

/// Lists all the slots that a reflex may name.
pub(crate) const SLOTS: Slot = 6;
