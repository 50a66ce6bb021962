//! Tests what a `TaskSet` promises: results come with their keys, in the order of the ends, while the set grows.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use common::{Log, OnDrop, Trace, ms, turns, watched_loop};
use futures::stream::{FuturesUnordered, StreamExt};
use loopwheel::trace::Event;
use loopwheel::{
    EventLoop, TaskError, TaskSet, VirtualClock, all_tasks, catch_cancel, create_task, finally,
    now, run_virtual, sleep, wait_for, yield_now,
};

/// Returns the same number after that many milliseconds.
async fn after(millis: u64) -> u64 {
    sleep(ms(millis)).await;
    millis
}

fn millis_now() -> u64 {
    now().as_nanos() / 1_000_000
}

/// Takes all that is left: the keys, and the texts of the results.
async fn rest<K: 'static, T: std::fmt::Debug + 'static>(
    set: &mut TaskSet<K, T>,
) -> Vec<(K, String)> {
    let mut rest = Vec::new();
    while let Some((key, result)) = set.next().await {
        rest.push((key, result.map_or_else(|error| error.to_string(), |it| format!("{it:?}"))));
    }
    rest
}

// ---- results

#[test]
fn results_come_with_their_keys_in_the_order_of_the_ends() {
    run_virtual(async {
        let mut set = TaskSet::new();
        for (key, millis) in [("c", 3), ("a", 1), ("b", 2)] {
            set.create_task(key, after(millis));
        }
        assert_eq!((set.len(), set.running(), set.is_empty()), (3, 3, false));
        assert_eq!(set.next().await, Some(("a", Ok(1))));
        assert_eq!((set.len(), set.running()), (2, 2));
        sleep(ms(10)).await;
        assert_eq!((set.len(), set.running()), (2, 0), "ended, and not taken");
        assert_eq!(set.next().await, Some(("b", Ok(2))));
        assert_eq!(set.next().await, Some(("c", Ok(3))));
        assert_eq!(set.next().await, None);
        assert!(set.is_empty());
    });
}

#[test]
fn it_grows_while_it_is_consumed_and_after_it_was_empty() {
    run_virtual(async {
        let mut set = TaskSet::new();
        assert_eq!(set.next().await, None);
        set.create_task(0, after(1));
        let mut order = Vec::new();
        while let Some((depth, result)) = set.next().await {
            order.push(result.unwrap());
            if depth < 3 {
                set.create_task(depth + 1, after(10));
                set.create_task(9, after(5));
            }
        }
        assert_eq!(order, [1, 5, 10, 5, 10, 5, 10]);
        assert_eq!(millis_now(), 31);
        set.create_task(0, after(1));
        assert_eq!(set.next().await, Some((0, Ok(1))));
    });
}

#[test]
fn a_failure_is_a_result_and_touches_no_other_task() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let mut set: TaskSet<_, u64, &str> = TaskSet::new();
        set.try_create_task(1, async { Err("no route") });
        set.try_create_task(2, async { panic!("a bug") });
        set.try_create_task(3, async { Ok(after(5).await) });
        set.try_create_task(4, pending()).cancel();
        let mut results = Vec::new();
        while let Some(next) = set.next().await {
            results.push(next);
        }
        assert_eq!(results[0], (1, Err(TaskError::Failed("no route"))));
        assert!(results[1].0 == 2 && results[1].1.as_ref().unwrap_err().is_panic());
        assert!(results[2].0 == 4 && results[2].1.as_ref().unwrap_err().is_cancelled());
        assert_eq!(results[3], (3, Ok(5)));
        let mut plain = TaskSet::new();
        plain.create_task((), async { Err::<(), _>("a value") });
        assert_eq!(plain.next().await, Some(((), Ok(Err("a value")))));
    });
    assert!(reports.borrow().is_empty(), "{reports:?}");
}

#[test]
fn what_has_ended_can_be_taken_without_waiting() {
    run_virtual(async {
        let mut set = TaskSet::new();
        assert_eq!(set.next_nowait(), None);
        set.create_task(1, after(5));
        assert_eq!(set.next_nowait(), None);
        sleep(ms(6)).await;
        assert_eq!(set.next_nowait(), Some((1, Ok(5))));
        assert_eq!((set.next_nowait(), set.next().await), (None, None));
    });
}

#[test]
fn a_task_of_it_can_be_named_and_cancelled_alone() {
    run_virtual(async {
        let mut set = TaskSet::new();
        let fetch = set.create_task("fetch", after(50));
        fetch.set_name("fetch-1");
        set.create_task("other", after(5));
        assert_eq!(all_tasks()[1].name(), "fetch-1");
        sleep(ms(1)).await;
        fetch.cancel_with_reason("too slow");
        let expected = [("fetch", "cancelled: too slow".to_owned()), ("other", "5".to_owned())];
        assert_eq!(rest(&mut set).await, expected);
    });
}

#[test]
fn the_tasks_run_even_if_it_is_not_awaited() {
    run_virtual(async {
        let mut set = TaskSet::new();
        set.create_task('a', after(10));
        set.create_task('b', after(5));
        sleep(ms(20)).await;
        assert_eq!(rest(&mut set).await, [('b', "5".to_owned()), ('a', "10".to_owned())]);
        assert_eq!(millis_now(), 20);
    });
}

#[test]
fn a_stream_of_a_hundred_thousand_keeps_nothing() {
    run_virtual(async {
        let mut set = TaskSet::new();
        let (mut made, mut sum) = (0, 0);
        loop {
            while made < 100_000 && set.len() < 100 {
                set.create_task(made, after(made % 7));
                made += 1;
            }
            let Some((key, result)) = set.next().await else { break };
            assert_eq!(result, Ok(key % 7));
            sum += key;
        }
        assert_eq!(sum, 100_000 * 99_999 / 2);
        assert_eq!(all_tasks().len(), 1);
    });
}

// ---- next is cancelled or dropped

#[test]
fn nothing_is_lost_if_next_is_cancelled() {
    run_virtual(async {
        let mut set = TaskSet::new();
        for n in 1..=20 {
            set.create_task(n, after(n));
        }
        let mut seen = Vec::new();
        for limit in [0, 1, 3, 0, 2, 5, 0, 1].into_iter().cycle() {
            match wait_for(set.next(), ms(limit)).await {
                Ok(Some((key, result))) => {
                    assert_eq!(result, Ok(key));
                    seen.push(key);
                }
                Ok(None) => break,
                Err(_) => sleep(ms(1)).await,
            }
        }
        assert_eq!(seen, (1..=20).collect::<Vec<_>>());
    });
}

#[test]
fn a_cancel_of_the_consumer_leaves_the_tasks_alone() {
    run_virtual(async {
        let set = Rc::new(RefCell::new(Some(TaskSet::new())));
        set.borrow_mut().as_mut().unwrap().create_task(1, after(50));
        let inside = set.clone();
        let consumer = create_task(async move {
            let mut taken = inside.take().unwrap();
            let ended = catch_cancel(taken.next()).await;
            assert!(ended.is_err());
            *inside.borrow_mut() = Some(taken);
        });
        sleep(ms(5)).await;
        consumer.cancel();
        consumer.await.unwrap();
        let mut set = set.take().unwrap();
        assert_eq!(set.next().await, Some((1, Ok(50))));
    });
}

#[test]
fn a_next_that_was_dropped_wakes_no_task_and_waits_for_nothing() {
    run_virtual(async {
        let mut set = TaskSet::new();
        set.create_task(1, after(5));
        assert!(futures::poll!(pin!(set.next())).is_pending());
        let polls = Rc::new(Cell::new(0));
        let mut waits = pin!(sleep(ms(20)));
        std::future::poll_fn(|cx| {
            polls.set(polls.get() + 1);
            waits.as_mut().poll(cx)
        })
        .await;
        assert_eq!(polls.get(), 2, "one to begin, one when it is over");
        assert_eq!(set.len(), 1);
    });
}

#[test]
fn the_waker_of_the_last_poll_counts() {
    run_virtual(async {
        let mut set = TaskSet::new();
        set.create_task(1, after(5));
        let mut next = Box::pin(set.next());
        assert!(next.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let ended = wait_for(next, ms(10)).await.expect("it is woken");
        assert_eq!(ended, Some((1, Ok(5))));
    });
}

// ---- a limit

#[test]
fn at_most_so_many_run_at_once_and_the_others_begin_in_order() {
    run_virtual(async {
        let log = Log::new();
        let mut set = TaskSet::with_limit(2);
        for n in 0..5 {
            let log = log.clone();
            set.create_task(n, async move {
                log.add(format!("{n} begins"));
                sleep(ms(10)).await;
            });
        }
        assert_eq!(set.running(), 5, "those that wait their turn are counted");
        assert_eq!(set.next().await, Some((0, Ok(()))));
        let late = log.clone();
        set.create_task(5, async move { late.add("5 begins") });
        while set.next().await.is_some() {}
        log.expect(&[
            (0, "0 begins"),
            (0, "1 begins"),
            (10, "2 begins"),
            (10, "3 begins"),
            (20, "4 begins"),
            (20, "5 begins"),
        ]);
    });
}

#[test]
fn a_task_that_waits_its_turn_can_be_cancelled_and_gives_none_away() {
    run_virtual(async {
        let mut set = TaskSet::with_limit(0); // counts as one
        set.create_task(0, after(10));
        let waits = set.create_task(1, after(10));
        set.create_task(2, after(10));
        sleep(ms(5)).await;
        waits.cancel();
        let expected = [(1, "cancelled"), (0, "10"), (2, "10")].map(|(n, it)| (n, it.to_owned()));
        assert_eq!(rest(&mut set).await, expected);
        assert_eq!(millis_now(), 20);
    });
}

#[test]
fn a_panic_of_a_task_gives_its_turn_on() {
    run_virtual(async {
        let mut set = TaskSet::with_limit(1);
        set.create_task(0, async { panic!("a bug") });
        set.create_task(1, after(1));
        assert!(set.next().await.unwrap().1.unwrap_err().is_panic());
        assert_eq!(set.next().await, Some((1, Ok(1))));
    });
}

// ---- cancel_all, shutdown, detach_all

/// Cleans up for five milliseconds when it is cancelled.
async fn cleans_up(log: Log, name: &'static str) {
    finally(sleep(ms(60)), async || {
        sleep(ms(5)).await;
        log.add(name);
    })
    .await;
}

#[test]
fn cancel_all_cancels_what_runs_and_the_set_goes_on() {
    run_virtual(async {
        let log = Log::new();
        let mut set = TaskSet::new();
        set.create_task("over", async {});
        set.create_task("slow", cleans_up(log.clone(), "slow is clean"));
        sleep(ms(1)).await;
        set.cancel_all();
        let line = line!() - 1;
        set.create_task("new", sleep(ms(20)));
        assert_eq!(set.next().await, Some(("over", Ok(()))));
        let (key, result) = set.next().await.unwrap();
        let Err(TaskError::Cancelled(cancelled)) = result else { panic!("{key}: {result:?}") };
        assert_eq!(cancelled.cancelled_by().unwrap().at().unwrap().line(), line);
        log.expect(&[(6, "slow is clean")]);
        assert_eq!(set.next().await, Some(("new", Ok(()))));
    });
}

#[test]
fn cancel_ends_the_tasks_with_a_key_and_leaves_the_others_and_what_has_ended() {
    run_virtual(async {
        let mut set = TaskSet::new();
        for (key, millis) in [("a", 1), ("b", 50), ("a", 60), ("a", 70)] {
            set.create_task(key.to_owned(), after(millis));
        }
        sleep(ms(5)).await;
        assert_eq!((set.cancel("a"), set.cancel("none")), (2, 0));
        yield_now().await;
        assert_eq!(set.cancel("a"), 0, "they have ended");
        let line = line!() - 3;
        let (key, ended) = set.next().await.unwrap();
        assert_eq!((&*key, ended), ("a", Ok(1)), "it had ended before");
        let TaskError::Cancelled(cancelled) = set.next().await.unwrap().1.unwrap_err() else {
            unreachable!()
        };
        assert_eq!(cancelled.cancelled_by().unwrap().at().unwrap().line(), line);
        let expected =
            [("a".to_owned(), "cancelled".to_owned()), ("b".to_owned(), "50".to_owned())];
        assert_eq!(rest(&mut set).await, expected);
    });
}

#[test]
fn a_comparison_of_keys_that_panics_or_uses_the_set_changes_nothing() {
    thread_local!(static SET: RefCell<Option<TaskSet<Key, u64>>> = const { RefCell::new(None) });
    struct Key(u32);
    impl PartialEq for Key {
        fn eq(&self, other: &Key) -> bool {
            SET.with_borrow(|set| {
                let set = set.as_ref().unwrap();
                assert_eq!((set.len(), set.running()), (3, 3), "{set:?}");
                assert!(self.0 != 2, "a comparison panics");
                self.0 == other.0
            })
        }
    }
    run_virtual(async {
        SET.set(Some(TaskSet::new()));
        SET.with_borrow_mut(|set| {
            set.as_mut().unwrap().extend((1..4).map(|n| (Key(n), after(50))));
        });
        let cancel = |number| {
            let cancel = || SET.with_borrow(|set| set.as_ref().unwrap().cancel(&Key(number)));
            catch_unwind(AssertUnwindSafe(cancel)).ok()
        };
        assert_eq!(cancel(1), None, "nothing is cancelled if a later key panics");
        let set = SET.take().unwrap();
        turns(2).await;
        assert_eq!(set.running(), 3);
    });
}

#[test]
fn extend_creates_a_task_for_each_at_the_line_of_the_call() {
    run_virtual(async {
        let mut set = TaskSet::with_limit(2);
        set.create_task(0, after(5));
        set.extend((1..4).map(|n| (n, after(5))));
        let line = line!() - 1;
        let lines: Vec<_> = all_tasks()[2..].iter().map(|task| task.spawned_at().line()).collect();
        assert_eq!(lines, [line; 3]);
        assert_eq!(rest(&mut set).await.len(), 4);
        assert_eq!(millis_now(), 10, "the limit counts");
        let panics = (0..3).map(|n| {
            assert!(n < 2, "an iterator panics");
            (n, after(1))
        });
        assert!(catch_unwind(AssertUnwindSafe(|| set.extend(panics))).is_err());
        assert_eq!(rest(&mut set).await.len(), 2, "those that came are there");
    });
}

#[test]
fn shutdown_waits_for_the_clean_up_and_empties_the_set() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let log = Log::new();
        let mut set = TaskSet::new();
        set.create_task(1, cleans_up(log.clone(), "clean"));
        set.create_task(2, async {
            catch_cancel(pending::<()>()).await.unwrap_err();
            panic!("on the way out");
        });
        sleep(ms(1)).await;
        set.shutdown().await;
        log.expect(&[(6, "clean")]);
        assert!(set.is_empty());
        assert_eq!(all_tasks().len(), 1);
        set.shutdown().await;
    });
    assert_eq!(reports.borrow().len(), 1, "the panic, and no cancel");
    assert!(reports.borrow()[0].contains("on the way out"));
}

#[test]
fn a_shutdown_that_is_cancelled_leaves_the_rest_in_the_set() {
    run_virtual(async {
        let log = Log::new();
        let mut set = TaskSet::new();
        set.create_task(1, cleans_up(log.clone(), "clean"));
        sleep(ms(1)).await;
        assert!(wait_for(set.shutdown(), ms(2)).await.is_err());
        assert_eq!((set.len(), millis_now()), (1, 3));
        assert!(set.next().await.unwrap().1.unwrap_err().is_cancelled());
        log.expect(&[(6, "clean")]);
    });
}

#[test]
fn detached_tasks_go_on_and_the_set_begins_anew() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let log = Log::new();
        let mut set = TaskSet::with_limit(1);
        let inside = log.clone();
        set.create_task(1, async move {
            sleep(ms(5)).await;
            inside.add("detached");
        });
        set.create_task(2, async { panic!("nothing sees it") });
        set.detach_all();
        assert!(set.is_empty());
        set.create_task(3, async {});
        assert_eq!(set.next().await, Some((3, Ok(()))), "keys of the old ones do not come");
        assert_eq!(set.next().await, None);
        log.expect(&[(5, "detached")]);
    });
    assert_eq!(reports.borrow().len(), 1);
}

// ---- dropped

#[test]
fn a_set_that_is_dropped_cancels_its_tasks_which_clean_up_behind() {
    run_virtual(async {
        let log = Log::new();
        let line = line!() + 1;
        let mut set = TaskSet::new();
        let slow = set.create_task(1, cleans_up(log.clone(), "clean"));
        sleep(ms(1)).await;
        drop(set);
        assert!(!slow.is_done(), "it does not wait");
        let by = slow.cancelled_by().unwrap();
        assert_eq!(by.at().unwrap().line(), line);
        assert!(by.to_string().starts_with("the task set that it belongs to (created at "));
        assert!(by.to_string().ends_with(") was dropped"));
        sleep(ms(10)).await;
        log.expect(&[(6, "clean")]);
        assert!(slow.is_cancelled());
    });
}

#[test]
fn what_a_dropped_set_did_not_give_is_dropped_once_and_failures_are_reported() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let log = Log::new();
        let mut set: TaskSet<_, _, &str> = TaskSet::new();
        let (key, value) = (OnDrop(log.clone(), "a key"), OnDrop(log.clone(), "a value"));
        set.try_create_task(key, async { Ok(value) });
        set.try_create_task(OnDrop(log.clone(), "another key"), async { Err("untaken") });
        turns(2).await;
        drop(set);
        log.expect(&[(0, "a value"), (0, "a key"), (0, "another key")]);
    });
    assert_eq!(reports.borrow().len(), 1);
    assert!(reports.borrow()[0].contains("untaken"));
}

#[test]
fn it_can_be_dropped_in_every_state() {
    for turn in 0..8 {
        let _trace = Trace(format!("after {turn} turns"));
        let (mut event_loop, reports) = watched_loop();
        let keys = Rc::new(());
        event_loop.run(async {
            let consumer = create_task({
                let keys = keys.clone();
                async move {
                    let mut set = TaskSet::with_limit(2);
                    for n in 0..4 {
                        set.create_task(keys.clone(), finally(turns(n), turns(1)));
                    }
                    while set.next().await.is_some() {}
                }
            });
            turns(turn).await;
            consumer.cancel();
            turns(12).await;
            assert!(consumer.is_done());
            assert_eq!(all_tasks().len(), 1);
        });
        assert_eq!(Rc::strong_count(&keys), 1, "the set leaves nothing behind");
        assert!(reports.borrow().is_empty(), "{reports:?}");
    }
}

#[test]
fn it_outlives_its_loop() {
    let keys = Rc::new(());
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
    let mut set = event_loop.run(async {
        let mut set = TaskSet::new();
        set.create_task(keys.clone(), after(1));
        set.create_task(keys.clone(), after(50));
        sleep(ms(5)).await;
        set
    });
    drop(event_loop);
    assert_eq!(set.next_nowait().unwrap().1, Ok(1));
    assert!(set.next_nowait().unwrap().1.unwrap_err().is_cancelled());
    assert!(set.is_empty());
    run_virtual(async {
        set.create_task(keys.clone(), after(1));
        assert_eq!(set.next().await.unwrap().1, Ok(1));
    });
    drop(set);
    assert_eq!(Rc::strong_count(&keys), 1);
}

#[test]
fn a_task_of_it_may_drop_the_set() {
    run_virtual(async {
        let set: Rc<RefCell<Option<TaskSet<u8, ()>>>> = Rc::new(RefCell::new(Some(TaskSet::new())));
        let inside = set.clone();
        let task = set.borrow_mut().as_mut().unwrap().create_task(1, async move {
            yield_now().await;
            drop(inside.take());
            sleep(ms(5)).await;
        });
        turns(4).await;
        assert!(task.is_cancelled() && set.borrow().is_none());
        assert_eq!(all_tasks().len(), 1);
    });
}

#[test]
fn keys_whose_destructors_panic_are_reported_and_lose_no_other() {
    struct Panics(Rc<Cell<u8>>);
    impl Drop for Panics {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
            panic!("a key");
        }
    }
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let dropped = Rc::new(Cell::new(0));
        let mut set = TaskSet::new();
        (0..3).for_each(|_| _ = set.create_task(Panics(dropped.clone()), after(5)));
        drop(set);
        assert_eq!(dropped.get(), 3);
        turns(3).await;
        assert_eq!(all_tasks().len(), 1);
    });
    assert_eq!(reports.borrow().len(), 3);
}

// ---- beside others

#[test]
fn it_is_a_branch_of_a_select() {
    run_virtual(async {
        let mut set = TaskSet::new();
        set.create_task("task", after(7));
        let mut ticks = 0;
        let ended = loop {
            let (next, tick) = (pin!(set.next()), pin!(sleep(ms(2))));
            match futures::future::select(next, tick).await {
                futures::future::Either::Left((ended, _)) => break ended,
                futures::future::Either::Right(_) => ticks += 1,
            }
        };
        assert_eq!((ended, ticks), (Some(("task", Ok(7))), 3));
    });
}

#[test]
fn a_dump_says_what_next_waits_for() {
    run_virtual(async {
        let consumer = create_task(async {
            let mut set = TaskSet::with_limit(1);
            set.create_task(1, after(5)).set_name("one");
            set.create_task(2, after(5)).set_name("two");
            set.next().await;
            sleep(ms(50)).await;
        });
        sleep(ms(1)).await;
        let waits = |name: &str| {
            let dump = loopwheel::dump();
            let task = dump.tasks.into_iter().find(|task| task.task.to_string().contains(name));
            task.unwrap().waits_for.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        let said = waits(&consumer.name());
        assert!(said.contains("one") && said.contains("two"), "{said}");
        let said = waits("two");
        assert!(said.contains("a permit of semaphore"), "{said}");
        sleep(ms(5)).await;
        let said = waits(&consumer.name());
        assert!(!said.contains("two"), "it has gone on: {said}");
        consumer.await.unwrap();
    });
}

#[cfg(feature = "futures")]
#[test]
fn it_is_a_stream() {
    run_virtual(async {
        let mut set = TaskSet::new();
        set.create_task('b', after(2));
        set.create_task('a', after(1));
        assert_eq!(futures::Stream::size_hint(&set), (2, Some(2)));
        let ended: Vec<_> = (&mut set).map(|(key, result)| (key, result.unwrap())).collect().await;
        assert_eq!(ended, [('a', 1), ('b', 2)]);
        set.create_task('c', after(1));
        assert_eq!(StreamExt::next(&mut set).await, Some(('c', Ok(1))));
    });
}

#[test]
fn it_may_be_awaited_in_a_set_of_futures() {
    run_virtual(async {
        let mut set = TaskSet::new();
        set.create_task(1, after(5));
        let mut others: FuturesUnordered<_> =
            [async move { set.next().await }].into_iter().collect();
        assert_eq!(StreamExt::next(&mut others).await, Some(Some((1, Ok(5)))));
    });
}

#[test]
fn an_observer_is_told_what_next_waits_for_and_changes_nothing() {
    for count in [2, 100] {
        let events = Rc::new(RefCell::new(Vec::new()));
        let sink = events.clone();
        let observer = move |event: &Event<'_>| sink.borrow_mut().push(event.to_string());
        let mut event_loop =
            EventLoop::builder().clock(VirtualClock::new()).trace(observer).build();
        event_loop.run(async {
            let mut set = TaskSet::new();
            (0..count).for_each(|n| _ = set.create_task(n, after(n)));
            for n in 0..count {
                assert_eq!(set.next().await, Some((n, Ok(n))));
            }
            set.create_task(0, after(50));
            assert!(wait_for(set.next(), ms(1)).await.is_err());
            assert_eq!(set.next().await, Some((0, Ok(50))));
        });
        let events = events.borrow();
        let told = |text: &str| events.iter().filter(|event| event.contains(text)).count();
        assert!(told("waits for the first of") > 0, "{events:#?}");
        let at_once = if count == 100 { 36 } else { 0 }; // while more than 64 run
        assert_eq!(told("waits for the tasks of a set"), at_once);
    }
}
