//! Tracks what holds each lock and permit: a lock has one holder, a semaphore no more than it has permits.

use std::cell::Cell;
use std::rc::Rc;

use crate::world::{PERMITS, World};

/// What is held at the moment.
#[derive(Default)]
pub(crate) struct Held {
    /// The number of its holder; zero means no holder.
    locks: [Cell<u64>; 2],
    permits: [Cell<i64>; 2],
    holders: Cell<u64>,
}

/// Represents a guard, and is dropped before it.
pub(crate) enum Holding {
    Lock { world: Rc<World>, n: usize, number: u64 },
    Permit { world: Rc<World>, n: usize },
}

impl Holding {
    pub(crate) fn lock(n: usize) -> Holding {
        let world = World::here();
        let held = &world.held;
        let number = held.holders.get() + 1;
        held.holders.set(number);
        if held.locks[n].replace(number) != 0 {
            world.ledger.fault("held twice", format!("lock {n} has two holders"));
        }
        Holding::Lock { world, n, number }
    }

    pub(crate) fn permit(n: usize) -> Holding {
        let world = World::here();
        let held = world.held.permits[n].get() + 1;
        world.held.permits[n].set(held);
        let free = i64::try_from(world.semaphores[n].available()).unwrap_or(i64::MAX);
        let all = first_permits(n) + world.permits_made[n].get();
        if held + free > all {
            let detail = format!("semaphore {n}: {held} held and {free} free of {all}");
            world.ledger.fault("held twice", detail);
        }
        Holding::Permit { world, n }
    }

    /// The guard is forgotten: what it held stays taken, until it is released by hand.
    pub(crate) fn keep(self) {
        match &self {
            Holding::Lock { world, n, .. } => world.lock_kept[*n].set(true),
            Holding::Permit { world, n } => {
                world.permits_made[*n].set(world.permits_made[*n].get() - 1);
            }
        }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        match self {
            Holding::Lock { world, n, number } => {
                if world.held.locks[*n].get() == *number {
                    world.held.locks[*n].set(0);
                }
            }
            Holding::Permit { world, n } => {
                world.held.permits[*n].set(world.held.permits[*n].get() - 1);
            }
        }
    }
}

impl Held {
    /// The lock or permit was released by hand, and its guard holds nothing any more.
    pub(crate) fn lock_is_released(&self, n: usize) {
        self.locks[n].set(0);
    }
}

pub(crate) fn first_permits(n: usize) -> i64 {
    if n == 0 { 1 } else { PERMITS.into() }
}
