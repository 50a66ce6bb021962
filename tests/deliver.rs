//! Tests how a cancel reaches a task that awaits several things at once: it interrupts all of them, in every branch, and
//! nothing that the task does not await.
//!
//! Sets of futures are in `deliver_sets.rs`. What a time limit and a group interrupt is in `deliver_scopes.rs`.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use common::{Log, Watchdog, ms};
use futures::future::{Either, select};
use loopwheel::sync::Condition;
use loopwheel::{
    Instant, SharedTask, Task, TaskGroup, catch_cancel, create_task, current_task, finally, gather,
    now, run_virtual, shield, sleep, sleep_until, yield_now,
};

/// The time after which the tests do not wait for anything.
const LONG: u64 = 60_000;

async fn after(millis: u64) -> u64 {
    sleep(ms(millis)).await;
    millis
}

/// Waits until it is cancelled, then cleans up for this long.
async fn cleans(log: Log, name: &'static str, millis: u64) {
    finally(sleep(ms(LONG)), async || {
        sleep(ms(millis)).await;
        log.add(name);
    })
    .await;
}

/// Polls `future` in a `select` which it loses after a millisecond, and gives it back.
async fn loses<F: Future + Unpin>(future: F) -> F {
    match select(future, pin!(sleep(ms(1)))).await {
        Either::Left(_) => panic!("it was ready"),
        Either::Right(((), kept)) => kept,
    }
}

/// Cancels the task when the clock shows 5 ms, and returns the time at which it has ended, cancelled.
async fn cancel_at_5<T>(task: Task<T>) -> u64 {
    sleep_until(Instant::START + ms(5)).await;
    assert!(task.cancel());
    assert!(task.await.is_err_and(|error| error.is_cancelled()));
    (now() - Instant::START).as_millis().try_into().unwrap()
}

// ---- every branch is told ------------------------------------------------------------------------------------------

#[test]
fn a_cancel_goes_to_both_gatherings_of_a_join_and_both_clean_ups_are_waited_for() {
    run_virtual(async {
        let log = Log::new();
        let (one, other) = (log.clone(), log.clone());
        let both = create_task(async move {
            futures::join!(gather([cleans(one, "one", 10)]), gather([cleans(other, "other", 20)]))
        });
        assert_eq!(cancel_at_5(both).await, 25);
        log.expect(&[(15, "one"), (25, "other")]);
    });
}

#[test]
fn a_cancel_goes_to_both_tasks_of_a_join_and_both_clean_ups_are_waited_for() {
    run_virtual(async {
        let log = Log::new();
        let one = create_task(cleans(log.clone(), "one", 20));
        let other = create_task(cleans(log.clone(), "other", 10));
        let refs = [one.to_ref(), other.to_ref()];
        let both = create_task(async move { futures::join!(one, other) });
        assert_eq!(cancel_at_5(both).await, 25);
        assert!(refs.iter().all(|task| task.is_cancelled() && task.cancelling() == 1));
        log.expect(&[(15, "other"), (25, "one")]);
    });
}

#[test]
fn a_cancel_goes_to_the_task_and_to_the_sleep_of_a_join() {
    for task_is_first in [true, false] {
        run_virtual(async {
            let log = Log::new();
            let child = create_task(cleans(log.clone(), "child", 10));
            let caught = log.clone();
            let sleeps = async move {
                let cancelled = catch_cancel(sleep(ms(LONG))).await.unwrap_err();
                caught.add("sleep");
                cancelled.reraise().await;
            };
            let both = create_task(async move {
                if task_is_first {
                    futures::join!(child, sleeps).1;
                } else {
                    futures::join!(sleeps, child).0;
                }
            });
            assert_eq!(cancel_at_5(both).await, 15);
            log.expect(&[(5, "sleep"), (15, "child")]);
        });
    }
}

// ---- what is kept is left alone ------------------------------------------------------------------------------------

#[test]
fn a_handle_that_lost_a_select_and_is_kept_delays_no_cancel_and_takes_none() {
    run_virtual(async {
        let child = create_task(after(20)).shared();
        let given = child.clone();
        let first = create_task(async move {
            let kept = loses(given).await;
            sleep(ms(LONG)).await;
            drop(kept);
        });
        assert_eq!(cancel_at_5(first).await, 5);
        assert_eq!(child.await, Ok(20));
    });
}

#[test]
fn a_handle_that_lost_a_select_and_was_moved_to_another_task_is_awaited_there() {
    run_virtual(async {
        let child = create_task(after(20));
        let second = Rc::new(RefCell::new(None));
        let place = second.clone();
        let first = create_task(async move {
            let kept = loses(child).await;
            place.replace(Some(create_task(async move { kept.await.unwrap() })));
            sleep(ms(LONG)).await;
        });
        assert_eq!(cancel_at_5(first).await, 5);
        assert_eq!(second.take().unwrap().await, Ok(20));
        assert_eq!(now(), Instant::START + ms(20));
    });
}

#[test]
fn a_gathering_that_lost_a_select_delays_no_cancel_and_takes_none() {
    run_virtual(async {
        let child = create_task(after(20)).shared();
        let given = child.clone();
        let first = create_task(async move {
            let kept = loses(Box::pin(gather([given]))).await;
            sleep(ms(LONG)).await;
            drop(kept);
        });
        assert_eq!(cancel_at_5(first).await, 5);
        assert_eq!(child.await, Ok(20));
    });
}

#[test]
fn a_gathering_that_lost_a_select_and_was_moved_to_another_task_is_awaited_there() {
    run_virtual(async {
        let second = Rc::new(RefCell::new(None));
        let place = second.clone();
        let first = create_task(async move {
            let kept = loses(Box::pin(gather([after(20), after(30)]))).await;
            place.replace(Some(create_task(kept)));
            sleep(ms(LONG)).await;
        });
        assert_eq!(cancel_at_5(first).await, 5);
        assert_eq!(second.take().unwrap().await, Ok(vec![20, 30]));
    });
}

#[test]
fn a_kept_handle_that_clean_up_code_awaits_is_not_cancelled_by_the_cancel_that_was_caught() {
    run_virtual(async {
        let log = Log::new();
        for beside in [0, LONG] {
            let child = create_task(after(20));
            let seen = log.clone();
            let task = create_task(async move {
                let cleaning = async move {
                    let kept = loses(child).await;
                    let cancelled = catch_cancel(sleep(ms(LONG))).await.unwrap_err();
                    assert_eq!(kept.await, Ok(20));
                    seen.add("its value has come");
                    cancelled.reraise().await;
                };
                futures::join!(cleaning, sleep(ms(beside)));
            });
            sleep(ms(5)).await;
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
        }
        log.expect(&[(20, "its value has come"), (40, "its value has come")]);
    });
}

#[test]
fn a_shield_in_a_join_keeps_its_task_while_the_wait_is_interrupted() {
    run_virtual(async {
        let child = create_task(after(20)).shared();
        let given = child.clone();
        let task = create_task(async move { futures::join!(shield(given), sleep(ms(LONG))) });
        assert_eq!(cancel_at_5(task).await, 5);
        assert_eq!(child.await, Ok(20));
    });
}

// ---- while it is on its way out ------------------------------------------------------------------------------------

#[test]
fn a_second_cancel_reaches_the_clean_up_in_one_branch() {
    run_virtual(async {
        for other_cleans in [false, true] {
            let start = now();
            let log = Log::new();
            let (one, other) = (log.clone(), log.clone());
            let task = create_task(async move {
                let other = async move {
                    if other_cleans {
                        cleans(other, "never", 30).await;
                    } else {
                        sleep(ms(LONG)).await;
                    }
                };
                futures::join!(cleans(one, "never", 20), other)
            });
            sleep(ms(5)).await;
            task.cancel();
            sleep(ms(5)).await;
            assert!(!task.is_done(), "it waits for the clean-up");
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(now() - start, ms(10));
            log.expect(&[]);
        }
    });
}

#[test]
fn a_branch_that_swallows_the_cancel_goes_on_and_the_task_ends_cancelled_after_it() {
    run_virtual(async {
        let log = Log::new();
        let seen = log.clone();
        let task = create_task(async move {
            let swallows = async move {
                assert!(catch_cancel(sleep(ms(LONG))).await.is_err());
                sleep(ms(10)).await;
                seen.add("goes on");
            };
            futures::join!(swallows, sleep(ms(LONG)))
        });
        assert_eq!(cancel_at_5(task).await, 15);
        log.expect(&[(15, "goes on")]);
    });
}

#[test]
fn a_cancel_that_is_caught_around_a_join_is_caught_when_all_its_branches_have_ended() {
    run_virtual(async {
        let log = Log::new();
        let (one, other) = (log.clone(), log.clone());
        let task = create_task(async move {
            let both = async { futures::join!(cleans(one, "one", 10), cleans(other, "other", 20)) };
            assert!(catch_cancel(both).await.is_err());
            after(5).await
        });
        sleep(ms(5)).await;
        task.cancel();
        assert_eq!(task.await, Ok(5));
        log.add("went on");
        log.expect(&[(15, "one"), (25, "other"), (30, "went on")]);
    });
}

/// Never ready: it counts how often the task that it is in is polled.
fn counts_polls(polls: &Rc<Cell<usize>>) -> impl Future<Output = ()> + use<> {
    let polls = polls.clone();
    poll_fn(move |_| {
        polls.update(|polls| polls + 1);
        assert!(polls.get() < 1_000, "it is polled over and over");
        Poll::Pending
    })
}

#[test]
fn while_one_branch_cleans_up_a_scope_beside_it_is_not_polled_over_and_over() {
    let _watchdog = Watchdog::new("a scope beside a clean-up");
    run_virtual(async {
        let (log, polls) = (Log::new(), Rc::new(Cell::new(0)));
        let (seen, counter) = (log.clone(), counts_polls(&polls));
        let task = create_task(async move {
            let scope = TaskGroup::<&str>::scope(async |group| {
                group.create_task(async {
                    finally(sleep(ms(LONG)), async || sleep(ms(5_000)).await).await;
                    Ok(())
                });
                sleep(ms(LONG)).await;
                Ok::<_, &str>(())
            });
            futures::join!(counter, cleans(seen, "clean", 10_000), scope)
        });
        assert_eq!(cancel_at_5(task).await, 10_005);
        log.expect(&[(10_005, "clean")]);
        assert!(polls.get() < 12, "{} polls", polls.get());
    });
}

#[test]
fn while_one_branch_cleans_up_a_loop_that_catches_is_not_polled_over_and_over() {
    let _watchdog = Watchdog::new("a catching loop beside a clean-up");
    run_virtual(async {
        let (log, polls) = (Log::new(), Rc::new(Cell::new(0)));
        let (seen, caught, counter) = (log.clone(), log.clone(), counts_polls(&polls));
        let task = create_task(async move {
            let catching = async move {
                loop {
                    let cancelled = catch_cancel(sleep(ms(LONG))).await.unwrap_err();
                    caught.add("caught");
                    if current_task().cancelling() == 2 {
                        cancelled.reraise().await;
                    }
                }
            };
            futures::join!(counter, cleans(seen, "clean", 10_000), catching)
        });
        sleep(ms(5)).await;
        task.cancel();
        sleep(ms(20_000)).await;
        assert!(!task.is_done(), "one branch has swallowed the cancel");
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        log.expect(&[(5, "caught"), (10_005, "clean"), (20_005, "caught")]);
        assert!(polls.get() < 16, "{} polls", polls.get());
    });
}

#[test]
fn while_one_branch_cleans_up_a_condition_beside_it_is_not_polled_over_and_over() {
    let _watchdog = Watchdog::new("a condition beside a clean-up");
    run_virtual(async {
        let (log, polls) = (Log::new(), Rc::new(Cell::new(0)));
        let condition = Rc::new(Condition::new());
        let (seen, counter, waits) = (log.clone(), counts_polls(&polls), condition.clone());
        let task = create_task(async move {
            let waits = async move { waits.acquire().await.wait().await };
            futures::join!(counter, cleans(seen, "clean", 10_000), waits)
        });
        sleep(ms(1)).await;
        let holds = create_task(async move {
            let _guard = condition.acquire().await;
            sleep(ms(20_000)).await; // a cancelled wait takes the lock again before it ends
        });
        yield_now().await;
        assert_eq!(cancel_at_5(task).await, 20_001);
        assert!(holds.await.is_ok());
        log.expect(&[(10_005, "clean")]);
        assert!(polls.get() < 12, "{} polls", polls.get());
    });
}

// ---- ways ----------------------------------------------------------------------------------------------------------

/// A task that, when it is cancelled, says by how many ways the cancel came.
fn says_how_often() -> SharedTask<usize> {
    create_task(async {
        assert!(catch_cancel(sleep(ms(LONG))).await.is_err());
        current_task().cancelling()
    })
    .shared()
}

#[test]
fn a_cancel_that_comes_by_two_ways_counts_each() {
    run_virtual(async {
        let gathered = says_how_often();
        let (one, other) = (gathered.clone(), gathered.clone());
        let joined = says_how_often();
        let (third, fourth) = (joined.clone(), joined.clone());
        let diamond = says_how_often();
        let sides = [diamond.clone(), diamond.clone()];
        let sides = sides.map(|below| create_task(async move { drop(below.await) }));
        let tops = [
            create_task(async move { drop(gather((one, other)).await) }),
            create_task(async move { drop(futures::join!(third, fourth)) }),
            create_task(async move { drop(gather(sides).await) }),
        ];
        sleep(ms(5)).await;
        assert!(tops.iter().all(Task::cancel));
        assert_eq!(gathered.await, Ok(2));
        assert_eq!(joined.await, Ok(2));
        assert_eq!(diamond.await, Ok(2));
    });
}

#[test]
fn a_chain_of_a_hundred_thousand_awaits_and_a_ring_need_no_recursion() {
    let _watchdog = Watchdog::new("a long chain");
    run_virtual(async {
        let mut last: Task<()> = create_task(pending());
        let first = last.to_ref();
        for _ in 0..100_000 {
            let next = last;
            last = create_task(async move { drop(next.await) });
        }
        sleep(ms(5)).await;
        last.cancel();
        drop(last.await);
        assert!(first.is_cancelled());
        assert_eq!(now(), Instant::START + ms(5));

        let places: Vec<_> =
            (0..1_000).map(|_| Rc::new(RefCell::new(None::<SharedTask<()>>))).collect();
        let ring = (0..1_000).map(|n| {
            let next = places[(n + 1) % 1_000].clone();
            create_task(async move {
                let next = next.borrow().clone().unwrap();
                drop(next.await);
            })
            .shared()
        });
        let ring = ring.collect::<Vec<_>>();
        for (place, task) in places.iter().zip(&ring) {
            place.replace(Some(task.clone()));
        }
        yield_now().await;
        assert!(ring[0].cancel());
        assert!(ring[0].clone().await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_cancel_of_a_ladder_of_forty_diamonds_ends_at_once() {
    let _watchdog = Watchdog::new("a ladder of diamonds");
    run_virtual(async {
        let bottom = create_task(pending::<()>()).shared();
        let mut level = [bottom.clone(), bottom.clone()];
        for _ in 0..40 {
            level = [(); 2].map(|()| {
                let below = level.clone();
                create_task(async move { drop(gather(below).await) }).shared()
            });
        }
        sleep(ms(5)).await;
        assert!(level[0].cancel());
        assert!(level[0].clone().await.unwrap_err().is_cancelled());
        assert!(bottom.is_cancelled());
        assert_eq!(now(), Instant::START + ms(5));
    });
}
