//! The janitor is a timer far beyond all others. When it fires nothing else could go on, so every wait must be a real one. It
//! then gives the tasks what they wait for, and later cancels them. Programs are finite, so this ends.

use std::rc::Rc;
use std::time::Duration;

use loopwheel::{EventLoop, all_tasks, call_later, create_task, now};

use crate::interpret::callback;
use crate::ledger::{HOST, Role};
use crate::parcel::Parcel;
use crate::program::{Make, Reflex};
use crate::world::World;

const AT_MOST: u32 = 400;

/// A delay far beyond what the programs wait for, and one nanosecond longer each time.
fn period(world: &World) -> Duration {
    Duration::from_secs(1_000) + Duration::from_nanos(1 + u64::from(world.rescues.get()))
}

pub(crate) fn arm(world: &Rc<World>, event_loop: &EventLoop) {
    if !world.janitor_is_on.replace(true) {
        drop(event_loop.call_later(period(world), sweep));
    }
}

fn sweep() {
    let Some(world) = World::current() else { return };
    world.janitor_is_on.set(false);
    if all_tasks().is_empty() {
        return;
    }
    if !world.time_is_moved.get() && !world.threads_are_used.get() {
        check(&world);
    }
    let rescues = world.rescues.get() + 1;
    world.rescues.set(rescues);
    if rescues > AT_MOST {
        let names: Vec<_> = all_tasks().iter().map(loopwheel::TaskRef::name).collect();
        world.ledger.fault("hangs", format!("after {rescues} rescues: {}", names.join(", ")));
        world.die();
    }
    world.janitor_is_on.set(true);
    drop(call_later(period(&world), sweep));
    rescue(&world, rescues);
}

/// Nothing is ready. A wait for something that has arrived already has lost its wake-up.
pub(crate) fn check(world: &World) {
    if let Some(lost) = world.waits.find_lost(world, now()) {
        world.ledger.fault("a lost wake-up", format!("still waits for {lost}"));
    }
}

fn rescue(world: &Rc<World>, round: u32) {
    world.log(HOST, "is rescued", round.into());
    // Each is woken separately, because foreign wakers may panic.
    for n in 0..2 {
        let soon = |what: Box<dyn Fn(&World)>| {
            let owned = callback(world, HOST, Reflex::Nothing);
            drop(loopwheel::call_soon(move || {
                drop(owned);
                if let Some(world) = World::current() {
                    what(&world);
                }
            }));
        };
        soon(Box::new(move |world| world.events[n].clone().set()));
        soon(Box::new(move |world| world.release_lock(n)));
        soon(Box::new(move |world| {
            let _ = world.conditions[n].clone().release();
        }));
        soon(Box::new(move |world| {
            if world.semaphores[n].waiting() > 0 {
                world.permits_made[n].set(world.permits_made[n].get() + 1);
                world.semaphores[n].clone().release();
            }
        }));
        soon(Box::new(move |world| {
            if i64::from(world.rescues.get()) <= world.bounded_forgotten[n].get() {
                let _ = world.bounded[n].clone().release();
            }
        }));
        soon(Box::new(move |world| {
            let value = Parcel::of_role(&world.ledger, HOST, Make::default(), Role::Shared);
            drop(world.promise(n).set(value));
        }));
        let barrier = world.barriers[n].clone();
        drop(create_task(async move { barrier.abort().await }));
    }
    for queue in &world.queues {
        queue.clone().shutdown(round > 1);
    }
    if round > 1 {
        for task in all_tasks() {
            task.cancel();
        }
    }
}
