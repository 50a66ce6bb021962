//! Measures timers and time limits. `cargo bench --bench time`
//!
//! The wheel is private, so it is measured through what it carries. All groups run on virtual time, except those that say
//! otherwise: they read the operating system's clock as well.

mod common;

use std::future::{pending, ready};
use std::time::Duration;

use common::parts::poll_once;
use common::paths::{self, answer};
use common::{Group, HOUR, Loop, settings, timed};
use criterion::{Criterion, criterion_group, criterion_main};
use loopwheel::{
    TimedOut, call_later, create_task, interval, now, sleep, timeout, wait_for, yield_now,
};

const TICK: Duration = Duration::from_millis(1);

/// A timer is set and taken out again.
async fn arm_and_drop() {
    assert!(!poll_once(sleep(HOUR)).await);
}

fn timers(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "timer");
    group.once("arm-and-drop", arm_and_drop);
    group.once_on(&Loop::on_system_time(), "arm-and-drop-on-system-time", arm_and_drop);
    group.path(&paths::SLEEP);
    group.rounds("fire-1000-at-once", 1_000, fire_at_once);
    group.rounds("interval-tick", 1, |rounds| async move {
        let begun = now();
        let took = timed(async || {
            let mut ticks = interval(TICK);
            for _ in 0..rounds {
                ticks.tick().await;
            }
        })
        .await;
        assert_eq!((now() - begun).as_millis(), u128::from(rounds));
        took
    });
    group.once("call_later-and-cancel", async || assert!(call_later(HOUR, || ()).cancel()));
}

/// 1,000 tasks sleep until the same moment. Timing starts once they sleep: the wheel fires them all, and all are polled.
async fn fire_at_once(rounds: u64) -> Duration {
    let mut took = Duration::ZERO;
    for _ in 0..rounds {
        let tasks: Vec<_> = (0..1_000).map(|_| create_task(sleep(TICK))).collect();
        yield_now().await;
        took += timed(async || {
            for task in tasks {
                task.await.expect("it has slept");
            }
        })
        .await;
    }
    took
}

fn limits(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "limit");
    group.path(&paths::LIMIT_READY);
    group.path(&paths::LIMIT_ARMED);
    let system = Loop::on_system_time();
    group.once_on(&system, "limit-ready-on-system-time", async || {
        assert_eq!(wait_for(ready(7), HOUR).await, Ok(7));
    });
    group.once_on(&system, "limit-armed-on-system-time", async || {
        assert_eq!(wait_for(answer(7), HOUR).await, Ok(7));
    });
    group.once("that-strikes", async || {
        assert_eq!(wait_for(pending::<()>(), TICK).await, Err(TimedOut));
    });
    group.once("timeout-that-is-moved", async || {
        let limited = timeout(HOUR, async |deadline| {
            yield_now().await;
            deadline.reschedule(now() + HOUR).expect("it is not over");
            7
        });
        assert_eq!(limited.await, Ok(7));
    });
    group.once("four-nested", async || {
        let limited = wait_for(wait_for(wait_for(wait_for(answer(7), HOUR), HOUR), HOUR), HOUR);
        assert_eq!(limited.await, Ok(Ok(Ok(Ok(7)))));
    });
}

criterion_group! { name = time; config = settings(); targets = timers, limits }
criterion_main!(time);
