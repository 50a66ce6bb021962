//! Tests that routine operations allocate nothing: a poll, a wake, a yield, a sleep, a time limit, a wait for a task.
//! A new task is one allocation.
//!
//! The counts begin once the loop is warm: the slot table and the wheel grow to what is needed at one time, and stay so. Each
//! figure counts many rounds, after as many to warm up. The memory of many tasks is given back when they have ended.

#![allow(clippy::waker_clone_wake)] // a clone is to be counted too

mod common;
#[path = "common/counting.rs"]
mod counting;

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::thread;

use common::ms;
use counting::counts;
use futures::{FutureExt, poll};
use loopwheel::{
    TaskGroup, TaskSet, create_task, gather, interval, now, run_virtual, sleep, sleep_until,
    wait_for, yield_now,
};

const ROUNDS: u64 = 1_000;

/// Returns how many allocations [`ROUNDS`] of `work` make, after as many to warm up.
async fn allocations(mut work: impl AsyncFnMut()) -> u64 {
    for _ in 0..ROUNDS {
        work().await;
    }
    let before = counts().allocations;
    for _ in 0..ROUNDS {
        work().await;
    }
    counts().allocations - before
}

#[test]
fn the_counter_counts() {
    run_virtual(async {
        assert_eq!(allocations(async || drop(Box::new(1))).await, ROUNDS);
    });
}

#[test]
fn a_yield_allocates_nothing() {
    run_virtual(async {
        assert_eq!(allocations(async || yield_now().await).await, 0);
    });
}

#[test]
fn a_wake_and_a_poll_allocate_nothing() {
    run_virtual(async {
        let polls = Rc::new(Cell::new(0));
        let (sender, waker) = std::sync::mpsc::channel();
        drop(create_task({
            let polls = polls.clone();
            poll_fn(move |cx| {
                if polls.replace(polls.get() + 1) == 0 {
                    sender.send(cx.waker().clone()).unwrap();
                }
                Poll::<()>::Pending
            })
        }));
        yield_now().await;
        let waker = waker.recv().unwrap();
        let in_all = allocations(async || {
            waker.clone().wake();
            waker.wake_by_ref();
            yield_now().await;
        });
        assert_eq!(in_all.await, 0);
        assert_eq!(polls.get(), 1 + 2 * ROUNDS, "and it was polled");

        let before = counts().allocations;
        (0..100 * ROUNDS).for_each(|_| waker.wake_by_ref());
        assert_eq!(counts().allocations, before, "however often: it stands in the queue once");
    });
}

#[test]
fn a_wake_from_another_thread_that_is_coalesced_allocates_nothing() {
    run_virtual(async {
        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        let in_all = thread::spawn(move || {
            waker.wake_by_ref(); // the one remote wake that is sent
            let before = counts().allocations;
            for _ in 0..ROUNDS {
                waker.clone().wake();
            }
            counts().allocations - before
        });
        assert_eq!(in_all.join().unwrap(), 0);
    });
}

#[test]
fn a_sleep_allocates_nothing_whether_it_ends_or_is_dropped() {
    run_virtual(async {
        assert_eq!(allocations(async || sleep(ms(1)).await).await, 0, "one after another");

        // The timers are short and long, on every level of the wheel, re-armed and dropped unfired.
        let mut round = 0_u32;
        let in_all = allocations(async || {
            round += 1;
            let mut long = pin!(sleep(ms(1 << (round % 40))));
            assert!(poll!(&mut long).is_pending());
            let mut never = pin!(sleep_until(loopwheel::Instant::MAX));
            assert!(poll!(&mut never).is_pending());
            sleep_until(now() + ms(1)).await;
        });
        assert_eq!(in_all.await, 0, "several at a time");

        let mut ticks = interval(ms(10));
        let in_all = allocations(async || {
            ticks.tick().await;
        });
        assert_eq!(in_all.await, 0, "an interval");
    });
}

/// In a release build new tasks reuse the memory of finished tasks.
const PER_ROUND_OF_TASKS: u64 = if cfg!(debug_assertions) { ROUNDS } else { 0 };

#[test]
fn a_task_is_one_allocation_and_in_a_release_build_none() {
    run_virtual(async {
        let in_all = allocations(async || create_task(async {}).await.unwrap());
        assert_eq!(in_all.await, PER_ROUND_OF_TASKS, "awaited");

        let in_all = allocations(async || {
            drop(create_task(async {}));
            yield_now().await;
        });
        assert_eq!(in_all.await, PER_ROUND_OF_TASKS, "detached");

        let in_all = allocations(async || {
            let task = create_task(async {
                yield_now().await;
                sleep(ms(1)).await;
                [0_u8; 500]
            });
            task.await.unwrap();
        });
        assert_eq!(in_all.await, PER_ROUND_OF_TASKS, "one that sleeps, with a large output");

        let in_all = allocations(async || {
            let task = create_task(pending::<()>());
            yield_now().await;
            task.cancel();
            assert!(task.await.is_err());
        });
        assert_eq!(in_all.await, PER_ROUND_OF_TASKS, "cancelled");
    });
}

#[test]
fn waiting_for_a_task_allocates_nothing() {
    run_virtual(async {
        // As many tasks existed at one time before, so the table has been as large, and the list of its vacant slots as long.
        gather((0..2 * ROUNDS).map(|_| async {})).await;
        let mut tasks: Vec<_> =
            (1..=2 * ROUNDS).rev().map(|turn| create_task(sleep(ms(10 * turn)))).collect();
        let in_all = allocations(async || {
            let mut task = tasks.pop().unwrap();
            assert!(poll!(&mut task).is_pending());
            task.await.unwrap();
        });
        assert_eq!(in_all.await, 0);
    });
}

#[test]
fn a_time_limit_allocates_nothing_but_its_cause_when_it_is_over() {
    run_virtual(async {
        let in_all = allocations(async || assert_eq!(wait_for(async { 1 }, ms(10)).await, Ok(1)));
        assert_eq!(in_all.await, 0, "around what is ready");
        let in_all = allocations(async || wait_for(yield_now(), ms(10)).await.unwrap());
        assert_eq!(in_all.await, 0, "around a yield");
        let in_all = allocations(async || wait_for(sleep(ms(1)), ms(10)).await.unwrap());
        assert_eq!(in_all.await, 0, "around a sleep");
        let in_all = allocations(async || assert!(wait_for(pending::<()>(), ms(1)).await.is_err()));
        assert_eq!(in_all.await, ROUNDS, "that is over: one each, how long it was and where");
    });
}

#[test]
fn a_gathering_allocates_its_set_the_list_of_its_children_and_that_of_their_values() {
    run_virtual(async {
        let in_all = allocations(async || {
            assert_eq!(gather((0..3).map(async |n| n)).await, [0, 1, 2]);
        });
        assert_eq!(in_all.await, 3 * PER_ROUND_OF_TASKS + 3 * ROUNDS);
    });
}

/// A thousand tasks await one that awaits a thousand. A cancel that asked that one again for each of the first thousand would need
/// a list of a million.
#[test]
fn a_cancel_asks_each_task_once_however_many_await_it() {
    const TASKS: u64 = 1_000;
    run_virtual(async {
        let sleeps = gather((0..TASKS).map(|_| sleep(ms(1_000))));
        let awaited = create_task(sleeps).shared();
        let waits = |_| {
            let awaited = awaited.clone();
            async move { awaited.await.is_err() }
        };
        let mut outer = create_task(gather((0..TASKS).map(waits)));
        sleep(ms(1)).await;
        let before = counts().allocations;
        assert!(outer.cancel());
        let in_all = counts().allocations - before;
        // A few for each task: each sleep was cancelled by a thousand ways, and a number above 254 is in its cold part.
        assert!(in_all < 5 * TASKS, "{in_all} allocations");
        assert!((&mut outer).await.is_err_and(|error| error.is_cancelled()));
        assert!(awaited.is_cancelled());
    });
}

/// What a loop may keep when many tasks have ended: 4,096 slots of each of its tables, and freed records.
const MOST_KEPT: i64 = (1 << 20) + if cfg!(debug_assertions) { 0 } else { 16 << 20 };

/// The reason of the cancels is two integers, until it is read.
#[test]
fn the_reason_of_a_groups_cancel_is_no_allocation_for_each_of_its_tasks() {
    run_virtual(async {
        for children in [10, 1_000] {
            let mut kept = Vec::with_capacity(children);
            let made = Cell::new(0);
            let cancelled = TaskGroup::<&str>::scope(async |group| {
                kept.extend(
                    (0..children).map(|_| group.create_task(pending::<Result<(), &str>>())),
                );
                yield_now().await;
                let before = counts().allocations;
                group.cancel();
                made.set(counts().allocations - before);
                Ok::<_, &str>(())
            });
            cancelled.await.unwrap();
            assert!(made.get() <= 12, "{} allocations for {children} children", made.get());
            let before = counts().allocations;
            let errors: Vec<_> =
                kept.into_iter().map(|task| task.now_or_never().unwrap().unwrap_err()).collect();
            assert_eq!(counts().allocations - before, 1, "the list");
            assert!(errors[0].to_string().ends_with("was cancelled"));
        }
    });
}

async fn a_while() {
    for _ in 0..500 {
        sleep(ms(1)).await;
    }
}

#[test]
fn memory_of_many_sleepers_is_given_back_when_they_end() {
    const SLEEPERS: u64 = 200_000;
    run_virtual(async {
        let before = counts().live_bytes;
        let kept_by_the_loop = || counts().live_bytes - before;
        for _ in 0..2 {
            for _ in 0..SLEEPERS {
                drop(create_task(async { sleep(ms(1_000)).await }));
            }
            sleep(ms(500)).await;
            let peak = kept_by_the_loop();
            assert!(peak > 100 * SLEEPERS.cast_signed(), "{peak} bytes");
            sleep(ms(1_000)).await;
            a_while().await;
            let after = kept_by_the_loop();
            assert!(after < MOST_KEPT, "{after} bytes, and {peak} at the peak");
        }
    });
}

#[cfg_attr(
    loopwheel_traced,
    ignore = "a traced loop has tables of its own, which are trimmed less exactly"
)]
#[test]
fn the_last_of_many_sleepers_does_not_keep_the_memory_of_the_others_when_it_ends() {
    run_virtual(async {
        let before = counts().live_bytes;
        let tasks: Vec<_> = (0..100_000).map(|_| create_task(sleep(ms(1_000)))).collect();
        let last = create_task(sleep(ms(10_000)));
        sleep(ms(2_000)).await;
        drop(tasks);
        a_while().await;
        assert!(!last.is_done());
        last.await.unwrap();
        for _ in 0..500 {
            create_task(sleep(ms(1))).await.unwrap(); // one at a time is there always
        }
        let after = counts().live_bytes - before;
        assert!(after < MOST_KEPT, "{after} bytes");
    });
}

/// Many tasks come again and again. Giving memory back costs each of them next to nothing.
#[cfg_attr(
    loopwheel_traced,
    ignore = "a traced loop has tables of its own, which are trimmed less exactly"
)]
#[test]
fn many_tasks_that_come_and_go_do_not_make_the_loop_reallocate_for_each() {
    const TASKS: u64 = 10_000;
    run_virtual(async {
        for _ in 0..5 {
            let before = counts().allocations;
            let tasks: Vec<_> = (0..TASKS).map(|_| create_task(sleep(ms(1)))).collect();
            for task in tasks {
                task.await.unwrap();
            }
            a_while().await;
            let of_the_tasks = TASKS + 1;
            let of_the_loop = (counts().allocations - before).saturating_sub(of_the_tasks);
            // The ready queue takes one block for 256 tasks, when they are created and when they are woken.
            assert!(of_the_loop < TASKS / 256 * 2 + 100, "{of_the_loop} allocations");
        }
    });
}

#[test]
fn a_task_of_a_set_is_one_allocation_however_many_there_are() {
    run_virtual(async {
        for others in [0, 10_000] {
            let mut set = TaskSet::new();
            (0..others).for_each(|_| _ = set.create_task(0_u64, pending()));
            let in_all = allocations(async || {
                set.create_task(1, async {});
                assert_eq!(set.next().await, Some((1, Ok(()))));
            });
            let in_all = in_all.await;
            // Without others each task is the only one: the set subscribes to its loop anew.
            assert!(in_all <= ROUNDS, "{in_all} with {others} others");
        }
    });
}
