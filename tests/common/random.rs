//! Random programs that use nearly everything: for what must hold whatever a program does.
#![allow(dead_code, unreachable_pub)] // each test file uses its part

use std::pin::Pin;
use std::rc::Rc;

use futures::future::{join, join_all, select};
use futures::stream::{FuturesUnordered, StreamExt};
use loopwheel::sync::{Barrier, Condition, Event as Flag, Lock, Promise, Queue, Semaphore};
use loopwheel::{
    Task, TaskGroup, as_completed, call_later, call_soon, catch_cancel, create_task, gather,
    shield, sleep, wait_for, yield_now,
};

use super::common::ms;
use super::dice::Dice;

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

/// What the tasks of a program share.
pub struct World {
    lock: Lock,
    permits: Semaphore,
    queue: Queue<u64>,
    flag: Flag,
    condition: Condition,
    barrier: Barrier,
    promise: Promise<u32>,
    /// Tasks await sets of futures, of which each poll polls only those that were woken.
    has_sets: bool,
}

impl World {
    pub fn new(has_sets: bool) -> Rc<World> {
        Rc::new(World {
            lock: Lock::new(),
            permits: Semaphore::new(2),
            queue: Queue::bounded(4),
            flag: Flag::new(),
            condition: Condition::new(),
            barrier: Barrier::new(2),
            promise: Promise::new(),
            has_sets,
        })
    }
}

/// The four tasks of the program with this number.
pub fn program(seed: u64, world: &Rc<World>, spawn: impl Fn(Boxed) -> Task<()>) -> Vec<Task<()>> {
    let dice = |number| Dice::new(seed * 16 + number);
    (0..4).map(|number| spawn(waits(&mut dice(number), world, 2))).collect()
}

/// A task with dice of its own that does a few things of [`deed`].
fn deeds(dice: &mut Dice, world: &Rc<World>, depth: u32) -> Boxed {
    let (mut dice, world) = (Dice::new(dice.next()), world.clone());
    Box::pin(async move {
        for _ in 0..3 {
            deed(&mut dice, &world, depth).await;
        }
    })
}

/// The same of [`wait_somehow`].
fn waits(dice: &mut Dice, world: &Rc<World>, depth: u32) -> Boxed {
    let (mut dice, world) = (Dice::new(dice.next()), world.clone());
    Box::pin(async move {
        for _ in 0..3 {
            wait_somehow(&mut dice, &world, depth).await;
        }
    })
}

async fn deed(dice: &mut Dice, world: &Rc<World>, depth: u32) {
    match dice.below(if depth > 0 { 15 } else { 12 }) {
        0 => sleep(ms(dice.number_below(5))).await,
        1 => yield_now().await,
        2 => {
            let _guard = world.lock.acquire().await;
            sleep(ms(1)).await;
        }
        3 => {
            let _permit = world.permits.acquire().await;
            yield_now().await;
        }
        4 => _ = world.queue.put_nowait(1),
        5 => _ = wait_for(world.queue.get(), ms(3)).await,
        6 => {
            world.flag.set();
            world.flag.clear();
        }
        7 => _ = wait_for(world.flag.wait(), ms(2)).await,
        8 => {
            if catch_cancel(sleep(ms(2))).await.is_err() {
                yield_now().await;
            }
        }
        9 => drop(call_later(ms(dice.number_below(4)), || ())),
        10 => drop(call_soon(|| ())),
        11 => _ = join(world.lock.acquire(), yield_now()).await,
        12 => {
            let task = create_task(deeds(dice, world, depth - 1));
            if dice.below(2) == 0 {
                yield_now().await;
                task.cancel();
            }
            let _ = task.await;
        }
        13 => {
            let (one, two) = (deeds(dice, world, depth - 1), deeds(dice, world, depth - 1));
            let _ = TaskGroup::scope(async |group| {
                group.create_task(async {
                    one.await;
                    Err::<(), _>("no")
                });
                group.create_task(async {
                    two.await;
                    Ok::<(), &str>(())
                });
                Ok::<(), &str>(())
            })
            .await;
        }
        _ => _ = gather([0; 3].map(|_| deeds(dice, world, depth - 1))).await,
    }
}

async fn wait_somehow(dice: &mut Dice, world: &Rc<World>, depth: u32) {
    match dice.below(if depth > 0 { 14 } else { 9 }) {
        0 => deeds(dice, world, 1).await,
        1 if world.has_sets => {
            let future = async |n| {
                sleep(ms(n)).await;
                let _permit = world.permits.acquire().await;
                yield_now().await;
            };
            let set: FuturesUnordered<_> = (0..3).map(future).collect();
            set.collect::<Vec<_>>().await;
        }
        2 => _ = select(Box::pin(world.queue.get()), Box::pin(sleep(ms(3)))).await,
        3 => {
            let guard = world.condition.acquire().await;
            let _ = wait_for(guard.wait(), ms(4)).await;
            drop(guard);
        }
        4 => world.condition.acquire().await.notify(1),
        5 => _ = wait_for(world.barrier.wait(), ms(3)).await,
        6 => _ = wait_for(world.promise.wait(), ms(3)).await,
        7 => {
            if dice.below(5) == 0 {
                let _ = world.promise.set(1);
            }
        }
        8 => _ = join(sleep(ms(2)), world.lock.acquire()).await,
        9 => {
            let shared = create_task(waits(dice, world, depth - 1)).shared();
            let other = shared.clone();
            let also = create_task(async { _ = other.await });
            let _ = wait_for(shared, ms(4)).await;
            let _ = also.await;
        }
        10 => _ = wait_for(shield(create_task(waits(dice, world, depth - 1))), ms(2)).await,
        11 if world.has_sets => {
            let tasks = [0; 2].map(|_| create_task(waits(dice, world, depth - 1)));
            let set: FuturesUnordered<_> = tasks.into_iter().collect();
            let _ = wait_for(set.collect::<Vec<_>>(), ms(5)).await;
        }
        12 => {
            let tasks = [0; 3].map(|_| create_task(deeds(dice, world, depth - 1)));
            let mut completed = as_completed(tasks);
            while completed.next().await.is_some() {}
        }
        _ if depth == 0 => yield_now().await,
        _ => {
            let mut both =
                [create_task(waits(dice, world, depth - 1)), create_task(deeds(dice, world, 0))];
            let _ = wait_for(join_all(both.iter_mut()), ms(6)).await;
        }
    }
}
