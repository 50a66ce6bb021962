//! Checks what must hold when a program is over: nothing is held, no task waits, every value is gone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use crate::holding::first_permits;
use crate::queue::AnyQueue;
use crate::world::World;

pub(crate) fn after(world: &World) {
    // A future that is never dropped stays in its line for ever, and may hold what it got.
    if !world.ledger.anything_forgotten() {
        held(world);
        waiting(world);
    }
    drain(world);
    world.waits.clear();
    world.graph.clear();
    // The threads of a loop's pool may still be about to drop what they had. They are real, so this needs the real clock.
    // It ends as soon as they have.
    for _ in 0..5_000 {
        if !world.threads_are_used.get() || world.ledger.leaked().is_none() {
            break;
        }
        thread::sleep(Duration::from_millis(1)); // the real clock is the point: see above
    }
    world.ledger.close();
}

/// Permits are conserved: all of them are free, except those whose guards were forgotten.
fn held(world: &World) {
    let free = |permits: usize| i64::try_from(permits).unwrap_or(i64::MAX);
    let fault = |what: String| world.ledger.fault("a permit lost", what);
    for n in 0..2 {
        if world.locks[n].is_locked() && !world.lock_kept[n].get() {
            fault(format!("lock {n} is still held"));
        }
        if world.conditions[n].is_locked() {
            fault(format!("condition {n} is still held"));
        }
        let first = first_permits(n);
        let (left, expected) =
            (free(world.semaphores[n].available()), first + world.permits_made[n].get());
        if left != expected {
            fault(format!("semaphore {n} has {left} permits and not {expected}"));
        }
        // One that is bounded does not take back what was released by hand.
        let (left, least) =
            (free(world.bounded[n].available()), first - world.bounded_forgotten[n].get());
        if left > first || left < least {
            fault(format!("bounded semaphore {n} has {left} permits of {first}"));
        }
    }
}

fn waiting(world: &World) {
    for n in 0..2 {
        let waiting = [
            world.locks[n].waiting(),
            world.semaphores[n].waiting(),
            world.events[n].waiting(),
            world.conditions[n].waiting(),
            world.barriers[n].waiting(),
        ];
        if waiting.iter().any(|waiting| *waiting > 0) {
            world.ledger.fault("waits for ever", format!("number {n}: {waiting:?} in line"));
        }
    }
}

/// Drops what queues and promises hold. That may run anything, and panic.
fn drain(world: &World) {
    for queue in &world.queues {
        empty(queue);
        if !queue.is_empty() {
            world.ledger.fault("an item lost", format!("nothing comes out of {queue:?}"));
        }
    }
    for n in 0..2 {
        let promise = world.take_promise(n);
        drop(catch_unwind(AssertUnwindSafe(|| drop(promise))));
    }
    for queue in &world.queues {
        empty(queue); // destructors may have put more in
    }
}

/// Comparing the items may panic too, but not for ever.
fn empty(queue: &AnyQueue) {
    loop {
        match catch_unwind(AssertUnwindSafe(|| queue.get_nowait())) {
            Ok(Ok(item)) => drop(catch_unwind(AssertUnwindSafe(|| drop(item)))),
            Ok(Err(_)) => return,
            Err(payload) => drop(payload),
        }
    }
}
