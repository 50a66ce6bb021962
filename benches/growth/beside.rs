//! Times one operation beside many idle tasks.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::{Future, pending, ready};
use std::hint::black_box;
use std::rc::Rc;
use std::time::{Duration, Instant};

use loopwheel::{EventLoop, create_task, sleep, yield_now};

use crate::bare::{boxed, poll_all};
use crate::common::parts::{poll_once, wake_self};
use crate::common::{HOUR, timed};
use crate::many::delay;
use crate::table::Growth;

/// The number of operations that are timed as one.
const TIMES: usize = 1_000;

fn times(_: usize) -> usize {
    TIMES
}

/// Spawns this many tasks, each with a future of its own, and counts those that have begun.
fn tasks<F>(event_loop: &EventLoop, size: usize, future: fn(usize) -> F) -> Rc<Cell<usize>>
where
    F: Future<Output = ()> + 'static,
{
    let begun = Rc::new(Cell::new(0));
    for place in 0..size {
        let begun = begun.clone();
        drop(event_loop.create_task(async move {
            begun.set(begun.get() + 1);
            future(place).await;
            unreachable!("the bench ends before");
        }));
    }
    begun
}

/// A million tasks that wait slow no other task down.
pub(crate) fn idle_tasks(growth: &mut Growth) {
    let mut group = growth.group("one operation, beside idle tasks");
    group.row_beside("a yield", times, |event_loop, size| {
        let idle = tasks(event_loop, size, |_| pending());
        async move || {
            yield_now().await; // in the first run they begin to wait
            assert_eq!(idle.get(), size);
            timed(async || {
                for _ in 0..TIMES {
                    yield_now().await;
                }
            })
            .await
        }
    });
    group.row_beside("a spawn and join", times, |event_loop, size| {
        let idle = tasks(event_loop, size, |_| pending());
        async move || {
            yield_now().await;
            assert_eq!(idle.get(), size);
            timed(async || {
                for number in 0..TIMES {
                    assert_eq!(create_task(ready(number)).await, Ok(number));
                }
            })
            .await
        }
    });
    group.measure("bare work of the yield", times, |size| {
        let mut idle = boxed(size, pending);
        poll_all(&mut idle, false);
        let mut futures = boxed(1, || async {
            loop {
                wake_self().await;
            }
        });
        move || {
            let begun = Instant::now();
            (0..TIMES).for_each(|_| poll_all(&mut futures, false));
            black_box(&idle);
            begun.elapsed()
        }
    });
}

/// A timer is set, and taken out again or fires, while many others are pending.
pub(crate) fn timers(growth: &mut Growth) {
    let mut group = growth.group("one timer, beside pending timers");
    group.row_beside("armed and dropped", times, |event_loop, size| {
        let asleep = tasks(event_loop, size, |place| sleep(HOUR + delay(place)));
        async move || {
            yield_now().await; // in the first run they begin to sleep
            assert_eq!(asleep.get(), size);
            timed(async || {
                for place in 0..TIMES {
                    assert!(!poll_once(sleep(HOUR + delay(place) * 2)).await);
                }
            })
            .await
        }
    });
    group.row_beside("slept through", times, |event_loop, size| {
        // This is so far away that all the sleeps of this benchmark end before it.
        let asleep = tasks(event_loop, size, |place| sleep(1_000_000 * HOUR + delay(place)));
        async move || {
            yield_now().await;
            assert_eq!(asleep.get(), size);
            timed(async || {
                for place in 0..TIMES {
                    sleep(Duration::from_micros(place as u64 + 1)).await;
                }
            })
            .await
        }
    });
    group.measure("a BTreeMap's insert and remove", times, |size| {
        let mut timers: BTreeMap<_, _> = (0..size).map(|place| (delay(place), place)).collect();
        move || {
            let begun = Instant::now();
            for place in 0..TIMES {
                let key = delay(place) + Duration::from_nanos(1);
                assert_eq!(timers.insert(key, place), None);
                assert_eq!(timers.remove(&key), Some(place));
            }
            begun.elapsed()
        }
    });
}
