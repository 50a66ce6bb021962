//! Many tasks that are all active: they yield, are woken, or sleep and wake up.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use loopwheel::{EventLoop, create_task, sleep, yield_now};

use crate::bare::{boxed, poll_all};
use crate::common::parts::{Gate, wake_self};
use crate::common::timed;
use crate::table::Growth;

/// The number of repetitions that are timed as one.
const ROUNDS: usize = 10;

/// All tasks are in the ready queue, and each yields. This measures the queue and a poll.
pub(crate) fn yields(growth: &mut Growth) {
    let mut group = growth.group("every task yields");
    group.row_beside("tasks", per_round, |event_loop, size| {
        let polls = Rc::new(Cell::new(0));
        (0..size).for_each(|_| drop(event_loop.create_task(yield_for_ever(polls.clone()))));
        async move || {
            yield_now().await; // in the first run they begin
            let before = polls.get();
            let took = timed(async || {
                for _ in 0..ROUNDS {
                    yield_now().await;
                }
            })
            .await;
            assert_eq!(polls.get() - before, ROUNDS * size);
            took
        }
    });
    group.measure("bare work", per_round, |size| {
        let mut futures = boxed(size, wake_for_ever);
        move || {
            let begun = Instant::now();
            (0..ROUNDS).for_each(|_| poll_all(&mut futures, false));
            begun.elapsed()
        }
    });
}

fn per_round(size: usize) -> usize {
    ROUNDS * size
}

async fn yield_for_ever(polls: Rc<Cell<usize>>) {
    loop {
        polls.set(polls.get() + 1);
        yield_now().await;
    }
}

async fn wake_for_ever() {
    loop {
        wake_self().await;
    }
}

/// All tasks wait at one gate. Opening it wakes each task by its waker, then all are polled.
pub(crate) fn wakes(growth: &mut Growth) {
    let mut group = growth.group("every task is woken");
    group.row_beside("tasks", per_round, |event_loop: &EventLoop, size| {
        let waiters = Rc::new(Waiters::default());
        (0..size).for_each(|_| drop(event_loop.create_task(pass_for_ever(waiters.clone()))));
        async move || {
            yield_now().await; // in the first run the tasks reach the gate
            let before = waiters.passed.get();
            let took = timed(async || {
                for _ in 0..ROUNDS {
                    waiters.gate.open();
                    yield_now().await; // they are before this task in the queue
                }
            })
            .await;
            assert_eq!(waiters.passed.get() - before, ROUNDS * size);
            took
        }
    });
    group.measure("bare work", per_round, |size| {
        let waiters = Rc::new(Waiters::default());
        let mut futures: Vec<_> =
            (0..size).map(|_| Box::pin(pass_for_ever(waiters.clone())) as _).collect();
        poll_all(&mut futures, false);
        move || {
            let begun = Instant::now();
            for _ in 0..ROUNDS {
                waiters.gate.open();
                poll_all(&mut futures, false);
            }
            begun.elapsed()
        }
    });
}

#[derive(Default)]
struct Waiters {
    gate: Gate,
    passed: Cell<usize>,
}

async fn pass_for_ever(waiters: Rc<Waiters>) {
    loop {
        waiters.gate.pass().await;
        waiters.passed.set(waiters.passed.get() + 1);
    }
}

/// Each task sleeps once, no two of them for the same time. Every timer that fires takes a turn of its own, and a jump of the
/// clock.
pub(crate) fn sleeps(growth: &mut Growth) {
    let mut group = growth.group("every task sleeps");
    group.row("tasks", async |size| {
        let begun = Instant::now();
        let tasks: Vec<_> = (0..size).map(|place| create_task(sleep(delay(place)))).collect();
        for task in tasks {
            task.await.expect("it has slept");
        }
        begun.elapsed()
    });
    group.bare("bare work with a BTreeMap", |size| {
        let begun = Instant::now();
        let mut futures = boxed(size, wake_self);
        poll_all(&mut futures, false);
        let mut timers: BTreeMap<_, _> = (0..size).map(|place| (delay(place), place)).collect();
        while let Some((_, place)) = timers.pop_first() {
            poll_all(&mut futures[place..=place], true);
        }
        drop(futures);
        begun.elapsed()
    });
}

/// Returns a different time for each place, scattered over a bit more than an hour.
pub(crate) fn delay(place: usize) -> Duration {
    // The place times an odd number, modulo a power of two, is different for each place.
    Duration::from_micros((place as u64).wrapping_mul(2_654_435_761) % (1 << 32) + 1)
}
