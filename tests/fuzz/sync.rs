//! Statements about locks, events, semaphores, conditions, barriers, queues and promises.

use std::cell::Cell;
use std::mem;

use crate::holding::Holding;
use crate::interpret::{Boxed, Place, run as run_body};
use crate::ledger::Role;
use crate::parcel::Parcel;
use crate::program::{Left, Slot, SyncOp};
use crate::reflex;
use crate::waits::What;
use crate::world::World;

pub(crate) fn run<'a>(place: &'a Place, op: &'a SyncOp) -> Boxed<'a> {
    match op {
        SyncOp::Lock { .. }
        | SyncOp::TryLock { .. }
        | SyncOp::Acquire { .. }
        | SyncOp::TryAcquire { .. } => Box::pin(hold(place, op)),
        SyncOp::EventWait(_)
        | SyncOp::ConditionWait { .. }
        | SyncOp::Notify { .. }
        | SyncOp::BarrierWait(_)
        | SyncOp::BarrierReset(_)
        | SyncOp::BarrierAbort(_)
        | SyncOp::JoinQueue(_)
        | SyncOp::PromiseWait(_) => Box::pin(wait(place, op)),
        SyncOp::Put { now: false, .. } | SyncOp::Get { now: false, .. } => {
            Box::pin(queue(place, op))
        }
        _ => Box::pin(async move { at_once(&World::here(), place, op) }),
    }
}

fn two(slot: Slot) -> usize {
    usize::from(slot) % 2
}

fn three(slot: Slot) -> usize {
    usize::from(slot) % 3
}

fn add(count: &Cell<i64>, more: i64) {
    count.set(count.get() + more);
}

async fn hold(place: &Place, op: &SyncOp) {
    let world = World::here();
    match op {
        SyncOp::Lock { lock, body, left } => {
            let n = two(*lock);
            let (lock, waiting) =
                (world.locks[n].clone(), world.waits(place.is_watched, || What::Lock(n)));
            drop(world);
            let guard = lock.acquire().await;
            drop(waiting);
            let holding = Holding::lock(n);
            World::here().log(place.label, "has lock", n as u64);
            run_body(place, body).await;
            match left {
                Left::Dropped => drop(holding),
                Left::Kept | Left::MemForgotten => holding.keep(),
            }
            match left {
                Left::Dropped => drop(guard),
                Left::Kept => guard.forget(),
                Left::MemForgotten => mem::forget(guard),
            }
        }
        SyncOp::TryLock { lock, body } => {
            let n = two(*lock);
            let lock = world.locks[n].clone();
            drop(world);
            if let Ok(_guard) = lock.acquire_nowait() {
                let _holding = Holding::lock(n);
                run_body(place, body).await;
            }
        }
        // The first two are plain, the others bounded.
        SyncOp::Acquire { semaphore, body, left } if semaphore % 4 < 2 => {
            let n = two(*semaphore);
            let waiting = world.waits(place.is_watched, || What::Semaphore(n));
            let semaphore = world.semaphores[n].clone();
            drop(world);
            let permit = semaphore.acquire().await;
            drop(waiting);
            let holding = Holding::permit(n);
            World::here().log(place.label, "has a permit of", n as u64);
            run_body(place, body).await;
            match left {
                Left::Dropped => drop(holding),
                Left::Kept | Left::MemForgotten => holding.keep(),
            }
            match left {
                Left::Dropped => drop(permit),
                Left::Kept => permit.forget(),
                Left::MemForgotten => mem::forget(permit),
            }
        }
        SyncOp::Acquire { semaphore, body, left } => {
            let n = two(*semaphore);
            let waiting = world.waits(place.is_watched, || What::Bounded(n));
            let semaphore = world.bounded[n].clone();
            drop(world);
            let permit = semaphore.acquire().await;
            drop(waiting);
            run_body(place, body).await;
            if *left == Left::Dropped {
                drop(permit);
            } else {
                add(&World::here().bounded_forgotten[n], 1);
                permit.forget();
            }
        }
        SyncOp::TryAcquire { semaphore, body } => {
            let n = two(*semaphore);
            let semaphore = world.semaphores[n].clone();
            drop(world);
            if let Ok(_permit) = semaphore.acquire_nowait() {
                let _holding = Holding::permit(n);
                run_body(place, body).await;
            }
        }
        _ => {}
    }
}

async fn wait(place: &Place, op: &SyncOp) {
    let world = World::here();
    let label = place.label;
    match op {
        SyncOp::EventWait(slot) => {
            let n = two(*slot);
            let event = world.events[n].clone();
            let _waiting = world.waits(place.is_watched, || What::Event(n));
            drop(world);
            event.wait().await;
        }
        SyncOp::ConditionWait { condition, predicate } => {
            let condition = world.conditions[two(*condition)].clone();
            drop(world);
            let guard = condition.acquire().await;
            if let Some(predicate) = predicate {
                let mut rounds = 0;
                let is_true = || {
                    reflex::fire(*predicate);
                    rounds += 1;
                    rounds == 2
                };
                guard.wait_for(is_true).await;
            } else {
                guard.wait().await;
            }
        }
        SyncOp::Notify { condition, all } => {
            let condition = world.conditions[two(*condition)].clone();
            drop(world);
            let guard = condition.acquire().await;
            if *all {
                guard.notify_all();
            } else {
                guard.notify(1);
            }
        }
        SyncOp::BarrierWait(slot) => {
            let barrier = world.barriers[two(*slot)].clone();
            drop(world);
            let number = barrier.wait().await;
            World::here().log(label, "passes the barrier", number.map_or(99, |n| n as u64));
        }
        SyncOp::BarrierReset(slot) => {
            let barrier = world.barriers[two(*slot)].clone();
            drop(world);
            barrier.reset().await;
        }
        SyncOp::BarrierAbort(slot) => {
            let barrier = world.barriers[two(*slot)].clone();
            drop(world);
            barrier.abort().await;
        }
        SyncOp::JoinQueue(slot) => {
            let queue = world.queues[three(*slot)].clone();
            drop(world);
            queue.join().await;
        }
        SyncOp::PromiseWait(slot) => {
            let n = two(*slot);
            let promise = world.promise(n);
            let _waiting = world.waits(place.is_watched, || What::Promise(n));
            drop(world);
            let value = promise.wait().await;
            drop(value);
        }
        _ => {}
    }
    World::here().log(label, "goes on", 0);
}

async fn queue(place: &Place, op: &SyncOp) {
    let world = World::here();
    match op {
        SyncOp::Put { queue, item, .. } => {
            let n = three(*queue);
            let item = Parcel::new(&world, place.label, *item);
            let queue = world.queues[n].clone();
            let waiting = world.waits(place.is_watched, || What::Put(n));
            drop(world);
            let put = queue.put(item).await;
            drop(waiting);
            World::here().log(place.label, "puts", put.is_ok().into());
        }
        SyncOp::Get { queue, .. } => {
            let n = three(*queue);
            let queue = world.queues[n].clone();
            let waiting = world.waits(place.is_watched, || What::Get(n));
            drop(world);
            let item = queue.get().await;
            drop(waiting);
            let serial = item.as_ref().map_or(0, |item| item.serial().into());
            World::here().log(place.label, "gets", serial);
        }
        _ => {}
    }
}

fn at_once(world: &World, place: &Place, op: &SyncOp) {
    match op {
        SyncOp::ReleaseLock(slot) => world.release_lock(two(*slot)),
        SyncOp::Release(slot) if slot % 4 < 2 => {
            add(&world.permits_made[two(*slot)], 1);
            world.semaphores[two(*slot)].release();
        }
        SyncOp::Release(slot) => {
            let _ = world.bounded[two(*slot)].release();
        }
        SyncOp::EventSet(slot) => world.events[two(*slot)].set(),
        SyncOp::EventClear(slot) => world.events[two(*slot)].clear(),
        SyncOp::Put { queue, item, .. } => {
            let item = Parcel::new(world, place.label, *item);
            let put = world.queues[three(*queue)].put_nowait(item);
            world.log(place.label, "puts now", put.is_ok().into());
        }
        SyncOp::Get { queue, .. } => {
            let item = world.queues[three(*queue)].get_nowait();
            let serial = item.as_ref().map_or(0, |item| item.serial().into());
            world.log(place.label, "gets now", serial);
        }
        SyncOp::TaskDone(slot) => {
            let _ = world.queues[three(*slot)].task_done();
        }
        SyncOp::Shutdown { queue, immediate } => world.queues[three(*queue)].shutdown(*immediate),
        SyncOp::PromiseSet(slot, make) => {
            // Whoever waits for the promise keeps it, and its value.
            let value = Parcel::of_role(&world.ledger, place.label, *make, Role::Shared);
            drop(world.promise(two(*slot)).set(value));
        }
        _ => {}
    }
}
