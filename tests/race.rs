//! Tests what `race` and `first_ok` promise: one result comes out, and the others are cancelled and have cleaned up by then.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, ready};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use common::{Log, OnDrop, Trace, ms, turns, watched_loop};
use futures::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use loopwheel::trace::Event;
use loopwheel::{
    Cancelled, EventLoop, Race, SharedTask, Task, TaskError, VirtualClock, all_tasks, catch_cancel,
    create_task, current_task, finally, first_ok, gather, now, race, run_virtual, shield, sleep,
    try_create_task, wait_for, yield_now,
};

/// Returns the same number after that many milliseconds.
async fn after(millis: u64) -> u64 {
    sleep(ms(millis)).await;
    millis
}

/// Does the same, but odd numbers are errors.
async fn even_after(millis: u64) -> Result<u64, u64> {
    let millis = after(millis).await;
    if millis % 2 == 0 { Ok(millis) } else { Err(millis) }
}

/// Sleeps so long, and then cleans up for so long.
async fn cleans_up(millis: u64, cleanup: u64, log: Log) -> u64 {
    finally(after(millis), async || {
        sleep(ms(cleanup)).await;
        log.add(format!("{millis} is clean"));
    })
    .await
}

fn millis_now() -> u64 {
    now().as_nanos() / 1_000_000
}

// ---- which wins

#[test]
fn the_first_that_ends_wins() {
    run_virtual(async {
        assert_eq!(race([3, 1, 2].map(after)).await, 1);
        assert_eq!(race((after(3), after(2), async { 7 })).await, 7);
        assert_eq!(race((after(5),)).await, 5);
        assert_eq!(race([even_after(2), even_after(1)]).await, Err(1), "an `Err` is an output");
        assert_eq!(millis_now(), 7);
    });
}

#[test]
fn a_race_that_leaves_none_behind_takes_no_turn_more() {
    run_virtual(async {
        for without_waiting in [false, true] {
            let turns_seen = Rc::new(Cell::new(0));
            let counts = turns_seen.clone();
            let counter = create_task(async move {
                loop {
                    counts.set(counts.get() + 1);
                    yield_now().await;
                }
            });
            let mut race = race([ready(1), ready(2)]);
            if without_waiting {
                race = race.without_waiting();
            }
            assert!(format!("{race:?}").contains("running: 2, is_decided: false"), "{race:?}");
            assert_eq!(race.await, 1);
            assert_eq!(turns_seen.get(), 2, "the racers, and the race");
            counter.cancel();
        }
    });
}

#[test]
fn a_tuple_of_eight_races() {
    run_virtual(async {
        let all = (after(8), after(7), after(6), after(5), after(4), after(3), after(2), after(1));
        assert_eq!(race(all).await, 1);
        let all = (
            even_after(7),
            even_after(1),
            even_after(4),
            even_after(3),
            even_after(9),
            even_after(9),
            even_after(9),
            even_after(9),
        );
        assert_eq!(first_ok(all).await, Ok(4));
    });
}

#[test]
fn of_several_that_end_in_one_turn_the_first_to_end_wins() {
    run_virtual(async {
        assert_eq!(race([async { 1 }.boxed_local(), async { 2 }.boxed_local()]).await, 1);
        let late = async {
            yield_now().await;
            1
        };
        assert_eq!(race((late, async { 2 })).await, 2);
        // Equal deadlines fire in the order in which they were set, and that is also the order of the ends.
        let (one, two) = (create_task(after(5)), create_task(after(5)));
        assert_eq!(race([two, one]).await.unwrap(), 5);
        let order = Rc::new(RefCell::new(Vec::new()));
        let notes = |name| {
            let order = order.clone();
            create_task(async move {
                sleep(ms(5)).await;
                order.borrow_mut().push(name);
                name
            })
        };
        let (first, second) = (notes("first"), notes("second"));
        assert_eq!(race((second, first)).await, Ok("first"), "not the first argument");
        assert_eq!(*order.borrow(), ["first", "second"]);
    });
}

#[test]
fn the_racers_run_even_before_it_is_awaited() {
    run_virtual(async {
        let raced = race([after(5), after(10)]);
        sleep(ms(20)).await;
        assert_eq!(raced.await, 5);
        assert_eq!(millis_now(), 20);
    });
}

#[test]
fn handles_race_as_they_are_and_the_losers_are_cancelled() {
    run_virtual(async {
        let (fast, slow) = (create_task(after(1)), create_task(after(100)));
        let loser = slow.to_ref();
        assert_eq!(race([slow, fast]).await, Ok(1));
        assert!(loser.is_cancelled());

        let (fast, slow) = (create_task(after(1)).shared(), create_task(after(100)).shared());
        assert_eq!(race((fast.clone(), slow.clone())).await, Ok(1));
        assert!(slow.is_cancelled(), "a shared one too");
        assert_eq!(fast.await, Ok(1), "and the winner can be awaited again");

        let over = create_task(after(1));
        sleep(ms(5)).await;
        assert_eq!(race((over, create_task(after(100)))).await, Ok(1));

        let fails = try_create_task(even_after(1));
        let failed = race((fails, try_create_task(even_after(2)))).await;
        assert_eq!(failed, Err(TaskError::Failed(1)), "a failure of a given task is its output");
    });
}

#[test]
fn a_shield_keeps_a_loser() {
    run_virtual(async {
        let slow: SharedTask<u64> = create_task(after(100)).shared();
        let fast = async { Ok(1) };
        assert_eq!(race((fast, shield(slow.clone()))).await, Ok(1));
        assert_eq!(slow.await, Ok(100));
    });
}

#[test]
#[should_panic(expected = "a race of no futures would never end")]
fn a_race_of_none_is_refused() {
    run_virtual(async {
        drop(race(Vec::<Task<()>>::new()));
    });
}

// ---- the losers

#[test]
fn it_returns_when_the_losers_have_cleaned_up() {
    run_virtual(async {
        let log = Log::new();
        let racers = [(1, 0), (50, 5), (60, 9)];
        let won = race(racers.map(|(millis, cleanup)| cleans_up(millis, cleanup, log.clone())));
        assert_eq!(won.await, 1);
        log.expect(&[(1, "1 is clean"), (6, "50 is clean"), (10, "60 is clean")]);
        assert_eq!(millis_now(), 10);
        assert_eq!(all_tasks().len(), 1, "nothing runs on");
    });
}

#[test]
fn without_waiting_it_returns_at_once_and_the_losers_clean_up_behind() {
    run_virtual(async {
        let log = Log::new();
        let racers = [(1, 0), (50, 5)];
        let won = race(racers.map(|(millis, cleanup)| cleans_up(millis, cleanup, log.clone())));
        assert_eq!(won.without_waiting().await, 1);
        assert_eq!(millis_now(), 1);
        sleep(ms(100)).await;
        log.expect(&[(1, "1 is clean"), (6, "50 is clean")]);

        let won = first_ok([even_after(2), even_after(50)]).without_waiting();
        assert_eq!(won.await, Ok(2));
    });
}

#[test]
fn a_loser_knows_what_cancelled_it() {
    run_virtual(async {
        let reason = Rc::new(RefCell::new(None));
        let note = reason.clone();
        let line = line!() + 1;
        let won = race((async { 1 }, async move {
            let cancelled: Cancelled = catch_cancel(pending::<u8>()).await.unwrap_err();
            *note.borrow_mut() = Some(cancelled.cancelled_by().unwrap());
            cancelled.reraise().await
        }));
        let winner = all_tasks()[1].name();
        won.await;
        let by = reason.take().unwrap();
        assert_eq!(by.at().unwrap().line(), line);
        let at = by.at().unwrap();
        assert_eq!(by.to_string(), format!("{winner} of the same race (at {at}) ended first"));
    });
}

#[test]
fn a_loser_that_swallows_the_cancel_is_waited_for_and_its_value_dropped() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let log = Log::new();
        let dropped = log.clone();
        let stubborn = async move {
            catch_cancel(pending::<()>()).await.unwrap_err();
            sleep(ms(30)).await;
            OnDrop(dropped, "the value of the loser")
        };
        let won = race((async { OnDrop(Log::new(), "") }, stubborn)).await;
        log.expect(&[(30, "the value of the loser")]);
        drop(won);
    });
    assert!(reports.borrow().is_empty(), "{reports:?}");
}

#[test]
fn a_panic_of_a_loser_is_reported_and_the_output_given() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let clumsy = async { finally(pending::<u64>(), async || panic!("in the clean-up")).await };
        assert_eq!(race((after(1), clumsy)).await, 1);
    });
    assert_eq!(reports.borrow().len(), 1, "once");
    assert!(reports.borrow()[0].contains("in the clean-up"));
}

#[test]
fn a_given_loser_that_fails_is_reported() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let fails = try_create_task(async {
            catch_cancel(pending::<()>()).await.unwrap_err();
            Err::<u64, _>("on the way out")
        });
        let wins = try_create_task(async { Ok::<_, &str>(after(1).await) });
        assert_eq!(race((fails, wins)).await, Ok(1));
    });
    assert_eq!(reports.borrow().len(), 1);
    assert!(reports.borrow()[0].contains("on the way out"));
}

// ---- racers that do not end with a value

#[test]
fn a_panic_of_a_racer_goes_on_when_the_others_have_cleaned_up() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let log = Log::new();
        let panics = async {
            sleep(ms(1)).await;
            panic!("a racer")
        };
        let raced = race((cleans_up(50, 5, log.clone()), panics));
        let payload = AssertUnwindSafe(raced).catch_unwind().await.unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"a racer"));
        log.expect(&[(6, "50 is clean")]);

        let panics = async { panic!("an attempt") };
        let raced = first_ok((even_after(4), panics));
        let payload = AssertUnwindSafe(raced).catch_unwind().await.unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"an attempt"));
    });
    assert!(reports.borrow().is_empty(), "the panic is seen once: {reports:?}");
}

#[test]
fn a_racer_that_is_cancelled_from_elsewhere_is_out() {
    run_virtual(async {
        let raced = race([after(5), after(9)]);
        all_tasks()[1].cancel();
        assert_eq!(raced.await, 9);

        let raced = first_ok([even_after(4), even_after(8)]);
        all_tasks()[1].cancel();
        assert_eq!(raced.await, Ok(8));

        let raced = first_ok([even_after(4), even_after(1)]);
        all_tasks()[1].cancel();
        let errors = raced.await.unwrap_err();
        assert_eq!(errors.iter().collect::<Vec<_>>(), [&1], "a cancel is no error");
    });
}

#[test]
fn if_all_are_cancelled_from_elsewhere_the_await_is_cancelled() {
    run_virtual(async {
        let raced = create_task(async {
            let raced = race([after(5), after(9)]);
            for racer in &all_tasks()[2..] {
                racer.cancel_with_reason("not today");
            }
            raced.await
        });
        let error = raced.await.unwrap_err();
        assert_eq!(error.to_string(), "cancelled: not today");

        let raced = create_task(async {
            let raced = first_ok([even_after(4), even_after(8)]);
            all_tasks()[2..].iter().for_each(|racer| _ = racer.cancel());
            raced.await
        });
        assert!(raced.await.unwrap_err().is_cancelled());

        let raced = create_task(async {
            let raced = race([after(5), after(9)]);
            let racers = all_tasks();
            racers[3].cancel_with_reason("first");
            yield_now().await;
            racers[2].cancel_with_reason("last");
            raced.await
        });
        assert_eq!(raced.await.unwrap_err().to_string(), "cancelled: last");
    });
}

// ---- first_ok

#[test]
fn the_first_success_wins_and_errors_before_it_do_not_count() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        assert_eq!(first_ok([1, 5, 8, 4].map(even_after)).await, Ok(4));
        assert_eq!(millis_now(), 4);
        let tasks = [1, 3, 2].map(|n| try_create_task(even_after(n)));
        assert_eq!(first_ok(tasks).await, Ok(2));
        let tasks = [3, 2].map(|n| create_task(after(n)));
        assert_eq!(first_ok(tasks).await, Ok(2));
    });
    assert!(reports.borrow().is_empty(), "{reports:?}");
}

#[test]
fn if_all_fail_all_errors_come_in_the_order_of_the_arguments() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let failed = first_ok([5, 1, 3].map(even_after)).await.unwrap_err();
        assert_eq!(failed.iter().collect::<Vec<_>>(), [&5, &1, &3]);
        assert_eq!(failed.to_string(), "none of 3 succeeded (3 errors)");
        assert_eq!(millis_now(), 5);

        let panics = create_task(async { panic!("given") });
        let cancelled = create_task(pending::<()>());
        cancelled.cancel();
        let failed = first_ok([panics, cancelled]).await.unwrap_err();
        let kinds: Vec<_> = failed.iter().map(|it| (it.is_panic(), it.is_cancelled())).collect();
        assert_eq!(kinds, [(true, false), (false, true)], "of given tasks every end is an error");
    });
    assert!(reports.borrow().is_empty(), "{reports:?}");
}

#[test]
fn of_nothing_nothing_succeeds() {
    run_virtual(async {
        let none: Vec<std::future::Ready<Result<(), ()>>> = Vec::new();
        let failed = first_ok(none).await.unwrap_err();
        assert!(failed.is_empty());
        assert_eq!(millis_now(), 0);
    });
}

#[test]
fn an_error_of_a_loser_in_its_clean_up_is_dropped_and_a_panic_reported() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let fails = async {
            catch_cancel(pending::<()>()).await.unwrap_err();
            Err("an attempt that failed")
        };
        let panics = async {
            catch_cancel(pending::<()>()).await.unwrap_err();
            panic!("a bug")
        };
        let wins = async { Ok(after(1).await) };
        assert_eq!(first_ok((fails, panics, wins)).await, Ok(1));
    });
    assert_eq!(reports.borrow().len(), 1);
    assert!(reports.borrow()[0].contains("a bug"));
}

// ---- cancelled, and dropped hard

#[test]
fn a_cancel_reaches_all_and_comes_out_when_all_have_cleaned_up() {
    run_virtual(async {
        let log = Log::new();
        let inside = log.clone();
        let raced = create_task(async move {
            race([(50, 5), (60, 9)].map(|(it, cleanup)| cleans_up(it, cleanup, inside.clone())))
                .await
        });
        sleep(ms(10)).await;
        raced.cancel_with_reason("enough");
        let error = raced.await.unwrap_err();
        assert_eq!(error.to_string(), "cancelled: enough");
        log.expect(&[(15, "50 is clean"), (19, "60 is clean")]);
        assert_eq!(millis_now(), 19);
    });
}

#[test]
fn a_cancel_goes_on_although_a_racer_swallows_it() {
    run_virtual(async {
        let raced = create_task(async {
            let stubborn = async {
                catch_cancel(pending::<()>()).await.unwrap_err();
                sleep(ms(5)).await;
                7
            };
            race((stubborn, cleans_up(100, 9, Log::new()))).await
        });
        sleep(ms(10)).await;
        raced.cancel_with_reason("enough");
        assert_eq!(raced.await.unwrap_err().to_string(), "cancelled: enough");
        assert_eq!(millis_now(), 19, "when all have ended");
    });
}

#[test]
fn a_cancel_while_the_losers_clean_up_interrupts_that() {
    run_virtual(async {
        let log = Log::new();
        let inside = log.clone();
        let raced =
            create_task(async move { race((after(1), cleans_up(50, 500, inside.clone()))).await });
        sleep(ms(10)).await;
        raced.cancel();
        assert!(raced.await.unwrap_err().is_cancelled());
        log.expect(&[]);
        assert_eq!(millis_now(), 10);
    });
}

#[test]
fn a_limit_around_a_race_waits_for_all() {
    run_virtual(async {
        let log = Log::new();
        let raced = race([cleans_up(50, 5, log.clone()), cleans_up(60, 6, log.clone())]);
        assert!(wait_for(raced, ms(10)).await.is_err());
        log.expect(&[(15, "50 is clean"), (16, "60 is clean")]);
        assert!(wait_for(first_ok([after(50).map(Ok::<_, ()>)]), ms(10)).await.is_err());
    });
}

#[test]
fn it_can_be_cancelled_in_every_state() {
    for turn in 0..9 {
        let _trace = Trace(format!("after {turn} turns"));
        let (mut event_loop, reports) = watched_loop();
        event_loop.run(async {
            let log = Log::new();
            let inside = log.clone();
            let cleaning = move |count| {
                let guard = OnDrop(inside.clone(), "dropped");
                async move {
                    let _guard = guard;
                    finally(turns(count), turns(2)).await;
                }
            };
            let raced = create_task(async move { race([2, 5].map(cleaning)).await });
            turns(turn).await;
            raced.cancel();
            turns(12).await;
            log.expect(if turn == 0 { &[] } else { &[(0, "dropped"), (0, "dropped")] });
            assert!(raced.is_done());
            assert_eq!(all_tasks().len(), 1);
        });
        assert!(reports.borrow().is_empty(), "{reports:?}");
    }
}

#[test]
fn dropped_hard_in_any_state_it_drops_what_it_has_made() {
    run_virtual(async {
        for turn in 0..9 {
            let _trace = Trace(format!("after {turn} turns"));
            let (dropped, cleaned) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            let mut raced = Some(race([2, 5].map(|count| {
                let (guard, cleaned) = (dropped.clone(), cleaned.clone());
                async move {
                    defer(move || guard.set(guard.get() + 1), async {
                        finally(turns(count), turns(2)).await;
                        cleaned.set(cleaned.get() + 1);
                    })
                    .await;
                }
            })));
            for _ in 0..turn {
                if raced.as_mut().is_some_and(|raced| raced.now_or_never().is_some()) {
                    raced = None;
                }
                yield_now().await;
            }
            drop(raced);
            assert_eq!(all_tasks().len(), 1, "nothing lives on");
            assert_eq!(dropped.get(), if turn == 0 { 0 } else { 2 });
            assert!(cleaned.get() <= 1, "clean-up that awaits does not run");
        }
    });
}

/// Awaits the body, and calls the function when the body is dropped.
async fn defer(last: impl FnOnce(), body: impl Future) {
    struct Defer<F: FnOnce()>(Option<F>);
    impl<F: FnOnce()> Drop for Defer<F> {
        fn drop(&mut self) {
            self.0.take().unwrap()();
        }
    }
    let _last = Defer(Some(last));
    body.await;
}

#[test]
fn a_race_that_is_dropped_leaves_given_tasks_alone() {
    run_virtual(async {
        let task = create_task(after(10));
        let (task_ref, own) = (task.to_ref(), async { Ok(after(20).await) });
        let raced = race((task, own));
        sleep(ms(1)).await;
        drop(raced);
        assert_eq!(all_tasks().len(), 2);
        sleep(ms(20)).await;
        assert!(task_ref.is_done() && !task_ref.is_cancelled());
    });
}

#[test]
fn errors_before_the_drop_of_first_ok_are_not_reported() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let raced = first_ok([1, 100].map(even_after));
        sleep(ms(5)).await;
        drop(raced);
    });
    assert!(reports.borrow().is_empty(), "{reports:?}");
}

#[test]
fn a_racer_may_drop_its_own_race() {
    run_virtual(async {
        let kept: Rc<RefCell<Option<Race<()>>>> = Rc::default();
        let log = Log::new();
        let (inside, guard) = (kept.clone(), OnDrop(log.clone(), "dropped"));
        let suicidal = async move {
            let _guard = guard;
            yield_now().await;
            drop(inside.take());
            pending::<()>().await;
        };
        *kept.borrow_mut() = Some(race((suicidal, pending())));
        turns(4).await;
        assert_eq!(all_tasks().len(), 1);
        log.expect(&[(0, "dropped")]);
    });
}

#[test]
fn if_a_racer_cannot_be_made_those_before_it_are_dropped() {
    run_virtual(async {
        let racers = (0..3).map(|n| {
            assert!(n < 2, "the iterator");
            after(n)
        });
        let made = std::panic::catch_unwind(AssertUnwindSafe(|| race(racers)));
        assert!(made.is_err());
        assert_eq!(all_tasks().len(), 1);
    });
}

// ---- beside others

#[test]
fn races_nest_and_gather() {
    run_virtual(async {
        let inner = |n| race([after(n), after(n + 1)]);
        assert_eq!(race([inner(5), inner(3)]).await, 3);
        assert_eq!(gather([inner(1), inner(2)]).await, [1, 2]);
        assert_eq!(all_tasks().len(), 1);
    });
}

#[test]
fn a_cancel_finds_a_race_beside_others() {
    run_virtual(async {
        let log = Log::new();
        let inside = log.clone();
        let task = create_task(async move {
            let raced = race([50, 60].map(|n| cleans_up(n, 5, inside.clone())));
            futures::join!(raced, sleep(ms(100)))
        });
        sleep(ms(1)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        log.expect(&[(6, "50 is clean"), (6, "60 is clean")]);

        let log = Log::new();
        let inside = log.clone();
        let task = create_task(async move {
            let raced = |n| race([n, n + 1].map(|n| cleans_up(n, 5, inside.clone())));
            let mut set: FuturesUnordered<_> = [raced(50), raced(60)].into_iter().collect();
            while set.next().await.is_some() {}
        });
        sleep(ms(1)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(millis_now(), 12);
        assert_eq!(all_tasks().len(), 1);
    });
}

#[test]
fn a_race_that_is_kept_is_not_cancelled() {
    run_virtual(async {
        let task = create_task(async {
            let mut raced = race([after(50), after(60)]);
            assert!((&mut raced).now_or_never().is_none());
            catch_cancel(sleep(ms(100))).await.unwrap_err();
            current_task().uncancel();
            raced.await
        });
        sleep(ms(10)).await;
        task.cancel();
        assert_eq!(task.await, Ok(50));
    });
}

#[test]
fn it_is_polled_once_after_its_end() {
    run_virtual(async {
        let mut raced = race([ready(1)]);
        assert_eq!((&mut raced).await, 1);
        let again = AssertUnwindSafe(raced).catch_unwind().await.unwrap_err();
        assert_eq!(
            again.downcast_ref::<&str>(),
            Some(&"a race was polled after its end: await it once")
        );
    });
}

#[test]
fn a_hundred_thousand_race() {
    run_virtual(async {
        assert_eq!(race((0..100_000).map(|n| after(n + 1))).await, 1);
        assert_eq!(all_tasks().len(), 1);
        let failed = first_ok((0..100_000).map(|n| even_after(2 * n + 1))).await.unwrap_err();
        assert_eq!(failed.iter().count(), 100_000);
    });
}

#[test]
fn a_dump_says_what_a_race_waits_for() {
    run_virtual(async {
        let inner = async {
            let raced = race((after(5), cleans_up(50, 20, Log::new())));
            raced.await
        };
        let task = create_task(inner);
        sleep(ms(1)).await;
        let waits = |name: &str| {
            let dump = loopwheel::dump();
            let task = dump.tasks.into_iter().find(|task| task.task.to_string().contains(name));
            task.unwrap().waits_for.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(waits(&task.name()).len(), 2, "both racers");
        sleep(ms(10)).await;
        assert_eq!(waits(&task.name()).len(), 1, "the loser that cleans up");
        task.await.unwrap();
    });
}

#[test]
fn an_observer_is_told_what_a_race_waits_for_and_changes_nothing() {
    let events = Rc::new(RefCell::new(Vec::new()));
    let sink = events.clone();
    let observer = move |event: &Event<'_>| sink.borrow_mut().push(event.to_string());
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).trace(observer).build();
    event_loop.run(async {
        let log = Log::new();
        assert_eq!(race((after(1), cleans_up(50, 5, log.clone()))).await, 1);
        log.expect(&[(6, "50 is clean")]);
        let task = create_task(async { race([after(50), after(60)]).await });
        sleep(ms(1)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
    let events = events.borrow();
    let told = |text: &str| events.iter().filter(|event| event.contains(text)).count();
    assert!(told("of the same race") > 0, "{events:#?}");
    assert!(told("waits for the first of") > 0 && told("waits for all of") > 0, "{events:#?}");
}

fn _racers_of_one_type_are_inferred() -> impl Future<Output = &'static str> {
    race([ready("one"), ready("two")])
}
