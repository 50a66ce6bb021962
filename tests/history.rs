//! Tests that this crate does not repeat faults that asyncio once had.
//!
//! Each test names the report: `bpo` is bugs.python.org, `gh` is `CPython` on GitHub. A few tests of the same kind have no
//! number.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use common::{Log, ms, watched_loop};
use loopwheel::errors::GroupClosed;
use loopwheel::sync::{Barrier, Condition, Event, Lock, Promise, Queue, Semaphore};
use loopwheel::{
    Deadline, FirstCompleted, TaskError, TaskGroup, TaskLocal, TimedOut, all_tasks, as_completed,
    call_later, catch_cancel, create_task, current_task, finally, gather, now, run_virtual, shield,
    sleep, timeout, timeout_at, try_create_task, try_gather, wait, wait_for, yield_now,
};

type Group = TaskGroup<&'static str>;

/// Lets all tasks have this many turns.
async fn turns(count: usize) {
    for _ in 0..count {
        yield_now().await;
    }
}

// ---- wait_for and timeout

/// bpo-37658: `wait_for` swallowed the cancel of its caller when the inner task completed in the same iteration.
#[test]
fn bpo_37658_a_cancel_that_meets_the_completion_of_what_is_waited_for_is_not_swallowed() {
    run_virtual(async {
        let event = Rc::new(Event::new());
        let inner = event.clone();
        let outer = create_task(async move {
            wait_for(async move { inner.wait().await }, ms(10_000)).await.unwrap();
            sleep(ms(1_000)).await; // must not be reached to its end
        });
        turns(2).await;
        event.set();
        outer.cancel();
        assert!(outer.await.unwrap_err().is_cancelled());
        assert_eq!(now().as_nanos(), 0);
    });
}

/// bpo-37658, the other half: the result of the inner task is not lost with that cancel.
#[test]
fn bpo_37658_the_result_that_meets_the_cancel_stays_with_its_task() {
    run_virtual(async {
        let inner = create_task(async {
            sleep(ms(10)).await;
            "result"
        })
        .shared();
        let outer = create_task(wait_for(inner.clone(), ms(10_000)));
        // This is before `outer` is in line, so it is cancelled after it has been woken, and before its turn.
        let handle = outer.to_ref();
        inner.to_ref().add_done_callback(move |_| assert!(handle.cancel()));
        assert!(outer.await.unwrap_err().is_cancelled());
        assert_eq!(inner.result(), Ok(Ok("result")));
        assert_eq!(now().as_nanos(), 10_000_000);
    });
}

/// bpo-42130: `wait_for` suppressed a cancel when the deadline and the cancel came together.
#[test]
fn bpo_42130_a_cancel_that_meets_the_deadline_is_not_swallowed() {
    for canceller_first in [true, false] {
        run_virtual(async move {
            let body = async {
                let _ = wait_for(pending::<()>(), ms(10)).await;
                sleep(ms(1_000)).await;
            };
            let task = Rc::new(RefCell::new(None));
            let cancel = {
                let task = task.clone();
                move || {
                    let task: std::cell::Ref<'_, Option<loopwheel::TaskRef>> = task.borrow();
                    task.as_ref().unwrap().cancel();
                }
            };
            if canceller_first {
                call_later(ms(10), cancel);
                let handle = create_task(body);
                *task.borrow_mut() = Some(handle.to_ref());
                assert!(handle.await.unwrap_err().is_cancelled());
            } else {
                let handle = create_task(body);
                *task.borrow_mut() = Some(handle.to_ref());
                yield_now().await;
                call_later(ms(10), cancel);
                assert!(handle.await.unwrap_err().is_cancelled());
            }
            assert_eq!(now().as_nanos(), 10_000_000);
        });
    }
}

/// bpo-42130 and gh-86296: a lock acquired just when the limit expired was never released.
#[test]
fn gh_86296_a_lock_that_is_granted_as_the_limit_expires_is_not_leaked() {
    for release_at in [9, 10, 11] {
        run_virtual(async move {
            let lock = Rc::new(Lock::new());
            lock.acquire().await.forget();
            let waited = lock.clone();
            let task = create_task(async move {
                let taken = wait_for(waited.acquire(), ms(10)).await;
                taken.is_ok()
            });
            let released = lock.clone();
            call_later(ms(release_at), move || released.release().unwrap());
            task.await.unwrap();
            sleep(ms(10)).await;
            assert!(!lock.is_locked(), "released at {release_at}");
            assert!(lock.acquire_nowait().is_ok());
        });
    }
}

/// gh-86296 for semaphores: a permit that is granted as the limit expires is not lost.
#[test]
fn gh_86296_a_permit_that_is_granted_as_the_limit_expires_is_not_lost() {
    for release_at in [9, 10, 11] {
        run_virtual(async move {
            let semaphore = Rc::new(Semaphore::new(0));
            let waited = semaphore.clone();
            let task = create_task(async move { wait_for(waited.acquire(), ms(10)).await.is_ok() });
            let released = semaphore.clone();
            call_later(ms(release_at), move || released.release());
            task.await.unwrap();
            sleep(ms(10)).await;
            assert_eq!(semaphore.available(), 1, "released at {release_at}");
        });
    }
}

/// gh-86296, and issue 343 of `python/asyncio`: `wait_for(queue.get())` lost the item that came as the limit expired.
#[test]
fn gh_86296_an_item_that_comes_as_the_limit_expires_is_not_lost() {
    for put_at in [9, 10, 11] {
        for put_is_armed_first in [true, false] {
            run_virtual(async move {
                let queue = Rc::new(Queue::unbounded());
                let put = queue.clone();
                let put = move || put.put_nowait("item").unwrap();
                if put_is_armed_first {
                    call_later(ms(put_at), put.clone());
                }
                let waited = queue.clone();
                let task = create_task(async move { wait_for(waited.get(), ms(10)).await });
                yield_now().await;
                if !put_is_armed_first {
                    call_later(ms(put_at), put);
                }
                let got = task.await.unwrap();
                sleep(ms(10)).await;
                let left = queue.get_nowait();
                assert!(
                    (got == Ok(Ok("item"))) != (left == Ok("item")),
                    "put at {put_at}: got {got:?}, left {left:?}"
                );
            });
        }
    }
}

/// bpo-32751: `wait_for` did not wait for the clean-up of what it had cancelled.
#[test]
fn bpo_32751_a_limit_waits_for_the_clean_up() {
    run_virtual(async {
        let cleaned = Cell::new(false);
        let body = finally(sleep(ms(100)), async || {
            sleep(ms(5)).await;
            cleaned.set(true);
        });
        assert_eq!(wait_for(body, ms(10)).await, Err(TimedOut));
        assert!(cleaned.get());
    });
}

/// bpo-32751 again: with a limit of zero or below, what was cancelled was still not waited for.
#[test]
fn bpo_32751_a_limit_of_zero_waits_for_the_clean_up_too() {
    run_virtual(async {
        let mut task = create_task(finally(sleep(ms(100)), async || sleep(ms(5)).await));
        yield_now().await;
        assert!(wait_for(&mut task, ms(0)).await.is_err());
        assert!(task.is_cancelled());
        assert_eq!(now().as_nanos(), 5_000_000);
    });
}

/// An expired limit leaves no task behind, and no timer that fires late.
#[test]
fn an_expired_limit_leaves_neither_task_nor_timer() {
    run_virtual(async {
        for _ in 0..10 {
            let task = create_task(sleep(ms(1_000)));
            assert!(wait_for(task, ms(1)).await.is_err());
            assert!(wait_for(async {}, ms(1)).await.is_ok());
        }
        assert_eq!(all_tasks().len(), 1);
        sleep(ms(10)).await;
        assert_eq!(current_task().cancelling(), 0);
    });
}

/// A cancel from outside that comes while an expired limit cleans up is not reported as the limit.
#[test]
fn a_cancel_in_the_body_of_an_expired_limit_is_not_called_a_timeout() {
    run_virtual(async {
        let task = create_task(async {
            let ended = catch_cancel(timeout(ms(10), async |_: Deadline| {
                let cancelled = catch_cancel(pending::<()>()).await.unwrap_err();
                let task = current_task();
                call_later(ms(5), move || assert!(task.cancel()));
                sleep(ms(50)).await; // its clean-up
                cancelled.reraise().await
            }))
            .await;
            assert!(ended.is_err(), "not `Ok(Err(TimedOut))`");
            current_task().cancelling()
        });
        assert_eq!(task.await, Ok(1));
    });
}

/// gh-102780: an expired timeout lost track of cancels that had been requested before it was entered.
#[test]
fn gh_102780_a_limit_that_is_entered_while_cancelling_still_expires_as_a_limit() {
    run_virtual(async {
        let task = create_task(async {
            let caught = catch_cancel(pending::<()>()).await;
            assert_eq!(current_task().cancelling(), 1);
            let limited = wait_for(sleep(ms(100)), ms(10)).await; // in clean-up
            assert_eq!(limited, Err(TimedOut));
            assert_eq!(current_task().cancelling(), 1);
            caught.unwrap_err().reraise().await;
        });
        yield_now().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(now().as_nanos(), 10_000_000);
    });
}

/// gh-102780: of two nested limits that expire together none may leave a request behind.
#[test]
fn gh_102780_nested_limits_that_expire_together_leave_no_request() {
    run_virtual(async {
        for depth in 1..6_usize {
            fn nest(depth: usize) -> std::pin::Pin<Box<dyn Future<Output = usize>>> {
                Box::pin(async move {
                    if depth == 0 {
                        pending::<()>().await;
                    }
                    match wait_for(nest(depth - 1), ms(10)).await {
                        Ok(level) => level,
                        Err(TimedOut) => depth,
                    }
                })
            }
            assert_eq!(nest(depth).await, depth, "the outermost says so");
            assert_eq!(current_task().cancelling(), 0);
        }
        sleep(ms(100)).await;
    });
}

/// A limit that expires as its body ends cancels nothing that comes after it.
#[test]
fn a_limit_that_expires_as_its_body_ends_cancels_nothing_after_it() {
    for offset in [-1_i64, 0, 1] {
        run_virtual(async move {
            let nap = ms(10_u64.checked_add_signed(offset).unwrap());
            let _ = wait_for(sleep(nap), ms(10)).await;
            assert_eq!(current_task().cancelling(), 0);
            sleep(ms(5)).await;
        });
    }
}

/// gh-95051: a limit that had expired before it was entered was not delivered promptly.
#[test]
fn gh_95051_a_limit_in_the_past_is_delivered_at_the_first_await() {
    run_virtual(async {
        sleep(ms(10)).await;
        let when = now();
        sleep(ms(5)).await;
        let late = timeout_at(when, async |_| {
            sleep(ms(100)).await;
            unreachable!()
        });
        assert_eq!(late.await, Err::<(), _>(TimedOut));
        assert_eq!(now() - when, ms(5));
    });
}

// ---- lost wake-ups

/// bpo-27585 and bpo-32734: a lock stayed locked for ever when the waiter that had been woken was cancelled.
#[test]
fn bpo_27585_cancelling_the_woken_waiter_of_a_lock_wakes_the_next() {
    run_virtual(async {
        let lock = Rc::new(Lock::new());
        let guard = lock.acquire().await;
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let lock = lock.clone();
                create_task(async move { drop(lock.acquire().await) })
            })
            .collect();
        turns(2).await;
        drop(guard);
        waiters[0].cancel(); // woken, and not yet polled
        let ended =
            wait_for(gather(waiters).return_exceptions(), ms(10)).await.expect("no task hangs");
        let ok: Vec<_> =
            ended.into_iter().map(|outcome| outcome.is_ok_and(|inner| inner.is_ok())).collect();
        assert_eq!(ok, [false, true, true]);
        assert!(!lock.is_locked());
    });
}

/// bpo-32734: `Lock` deadlocked when a waiter in the middle was cancelled while the first one was being woken.
#[test]
fn bpo_32734_cancelling_waiters_of_a_lock_in_any_combination_loses_no_wake_up() {
    for pattern in 0..32_u32 {
        for before_release in [true, false] {
            run_virtual(async move {
                let lock = Rc::new(Lock::new());
                let guard = lock.acquire().await;
                let served = Rc::new(RefCell::new(Vec::new()));
                let waiters: Vec<_> = (0..5)
                    .map(|number| {
                        let (lock, served) = (lock.clone(), served.clone());
                        create_task(async move {
                            let _guard = lock.acquire().await;
                            served.borrow_mut().push(number);
                            yield_now().await;
                        })
                    })
                    .collect();
                turns(2).await;
                let mut guard = Some(guard);
                if !before_release {
                    drop(guard.take());
                }
                for (number, waiter) in waiters.iter().enumerate() {
                    if pattern & (1 << number) != 0 {
                        waiter.cancel();
                    }
                }
                drop(guard);
                sleep(ms(1)).await;
                let expected: Vec<_> = (0..5).filter(|n| pattern & (1 << n) == 0).collect();
                assert_eq!(*served.borrow(), expected, "{pattern:05b} {before_release}");
                assert!(!lock.is_locked());
            });
        }
    }
}

/// gh-90155: a semaphore lost a permit when the waiter that had been woken was cancelled, and hung for ever.
#[test]
fn gh_90155_cancelling_the_woken_waiter_of_a_semaphore_wakes_the_next() {
    run_virtual(async {
        let semaphore = Rc::new(Semaphore::new(0));
        let acquire = |semaphore: &Rc<Semaphore>| {
            let semaphore = semaphore.clone();
            create_task(async move { semaphore.acquire().await.forget() })
        };
        let (first, second) = (acquire(&semaphore), acquire(&semaphore));
        turns(2).await;
        semaphore.release();
        first.cancel();
        assert!(first.await.unwrap_err().is_cancelled());
        wait_for(second, ms(10)).await.expect("it is served").unwrap();
        assert_eq!(semaphore.available(), 0);
    });
}

/// gh-90155: after such a cancel a semaphore with free permits said that it was locked.
#[test]
fn gh_90155_a_semaphore_whose_waiters_are_gone_can_be_acquired() {
    run_virtual(async {
        let semaphore = Rc::new(Semaphore::new(1));
        let permit = semaphore.acquire().await;
        let waiter = {
            let semaphore = semaphore.clone();
            create_task(async move { semaphore.acquire().await.forget() })
        };
        turns(2).await;
        drop(permit);
        waiter.cancel();
        assert!(waiter.await.is_err());
        assert!(!semaphore.is_locked());
        wait_for(semaphore.acquire(), ms(10)).await.expect("it is free").forget();
    });
}

/// gh-90155 and gh-97545: a semaphore was overtaken by late-comers between a release and the waiter's turn.
#[test]
fn gh_97545_a_late_comer_does_not_overtake_at_a_semaphore() {
    run_virtual(async {
        let log = Log::new();
        let semaphore = Rc::new(Semaphore::new(1));
        let permit = semaphore.acquire().await;
        let worker = |name: &'static str| {
            let (semaphore, log) = (semaphore.clone(), log.clone());
            create_task(async move {
                let _permit = semaphore.acquire().await;
                log.add(name);
                sleep(ms(1)).await;
            })
        };
        let early = worker("early");
        turns(2).await;
        drop(permit);
        assert!(semaphore.is_locked(), "it is spoken for");
        assert!(semaphore.acquire_nowait().is_err());
        let late = worker("late");
        gather((early, late)).await.0.unwrap();
        log.expect(&[(0, "early"), (1, "late")]);
    });
}

/// gh-97028 and gh-97545: several releases in one iteration woke too few waiters.
#[test]
fn gh_97028_so_many_releases_wake_so_many_waiters() {
    for waiting in 0..5_usize {
        for released in 0..7_usize {
            run_virtual(async move {
                let semaphore = Rc::new(Semaphore::new(0));
                let served = Rc::new(Cell::new(0));
                for _ in 0..waiting {
                    let (semaphore, served) = (semaphore.clone(), served.clone());
                    drop(create_task(async move {
                        semaphore.acquire().await.forget();
                        served.set(served.get() + 1);
                    }));
                }
                turns(2).await;
                for _ in 0..released {
                    semaphore.release();
                }
                turns(2).await;
                assert_eq!(served.get(), waiting.min(released));
                assert_eq!(semaphore.available(), released.saturating_sub(waiting));
                for _ in 0..waiting.saturating_sub(released) {
                    semaphore.release();
                }
                turns(2).await;
            });
        }
    }
}

/// bpo-23812 and gh-108042: `Queue.get` cancelled while it was being woken lost the item or left the others asleep.
#[test]
fn bpo_23812_cancelling_the_woken_getter_of_a_queue_wakes_the_next() {
    run_virtual(async {
        let queue = Rc::new(Queue::unbounded());
        let get = |queue: &Rc<Queue<i32>>| {
            let queue = queue.clone();
            create_task(async move { queue.get().await })
        };
        let (first, second) = (get(&queue), get(&queue));
        turns(2).await;
        queue.put_nowait(7).unwrap();
        first.cancel();
        assert!(first.await.unwrap_err().is_cancelled());
        let got = wait_for(second, ms(10)).await.expect("it is woken");
        assert_eq!(got, Ok(Ok(7)));
    });
}

/// gh-108042: `Queue.put` cancelled while it was being woken left room and the other putters asleep.
#[test]
fn gh_108042_cancelling_the_woken_putter_of_a_queue_wakes_the_next() {
    run_virtual(async {
        let queue = Rc::new(Queue::bounded(1));
        queue.put_nowait(0).unwrap();
        let put = |item: i32| {
            let queue = queue.clone();
            create_task(async move { queue.put(item).await })
        };
        let (first, second) = (put(1), put(2));
        turns(2).await;
        assert_eq!(queue.get_nowait(), Ok(0));
        first.cancel();
        assert!(first.await.unwrap_err().is_cancelled());
        wait_for(second, ms(10)).await.expect("it is woken").unwrap().unwrap();
        assert_eq!((queue.get_nowait(), queue.is_empty()), (Ok(2), true));
    });
}

/// A getter that finds its item stolen waits on instead of hanging or failing.
#[test]
fn a_getter_whose_item_was_stolen_gets_the_next_one() {
    run_virtual(async {
        let queue = Rc::new(Queue::unbounded());
        let getter = {
            let queue = queue.clone();
            create_task(async move { queue.get().await })
        };
        turns(2).await;
        queue.put_nowait(1).unwrap();
        assert_eq!(queue.get_nowait(), Ok(1), "stolen between its wake-up and its turn");
        turns(2).await;
        queue.put_nowait(2).unwrap();
        assert_eq!(wait_for(getter, ms(10)).await.expect("it is woken again"), Ok(Ok(2)));
    });
}

/// bpo-31620: a queue that was polled with a time limit leaked a waiter each time.
#[test]
fn bpo_31620_a_queue_forgets_getters_and_putters_whose_limit_expired() {
    run_virtual(async {
        let (empty, full) = (Queue::<i32>::bounded(1), Queue::bounded(1));
        full.put_nowait(0).unwrap();
        for _ in 0..1_000 {
            assert_eq!(wait_for(empty.get(), ms(1)).await, Err(TimedOut));
            assert_eq!(wait_for(full.put(1), ms(1)).await, Err(TimedOut));
        }
        for queue in [empty, full] {
            let text = format!("{queue:?}");
            assert!(text.contains("getters: 0 waiting, putters: 0 waiting"), "{text}");
        }
    });
}

/// Getters that were cancelled in the middle of the line get nothing.
#[test]
fn getters_that_have_left_are_not_served() {
    run_virtual(async {
        let queue = Rc::new(Queue::unbounded());
        let getters: Vec<_> = (0..10)
            .map(|_| {
                let queue = queue.clone();
                create_task(async move { queue.get().await.unwrap() })
            })
            .collect();
        turns(2).await;
        for getter in getters.iter().step_by(2) {
            getter.cancel();
        }
        turns(2).await;
        for item in 0..5 {
            queue.put_nowait(item).unwrap();
        }
        let got = gather(getters).await;
        let got: Vec<_> = got.into_iter().filter_map(Result::ok).collect();
        assert_eq!(got, [0, 1, 2, 3, 4]);
    });
}

/// bpo-22970: `Condition.wait`, cancelled while it took the lock again, returned without holding it.
#[test]
fn bpo_22970_a_condition_holds_its_lock_when_its_wait_is_cancelled_while_it_retakes_it() {
    run_virtual(async {
        let log = Log::new();
        let condition = Rc::new(Condition::new());
        let waiter = create_task({
            let (condition, log) = (condition.clone(), log.clone());
            async move {
                let guard = condition.acquire().await;
                let cancelled = catch_cancel(guard.wait()).await.unwrap_err();
                log.add(format!("cancelled, and locked: {}", condition.is_locked()));
                drop(guard);
                cancelled.reraise().await;
            }
        });
        turns(2).await;
        let guard = condition.acquire().await;
        guard.notify(1);
        turns(2).await; // the waiter stands in the lock's line
        waiter.cancel();
        turns(2).await;
        assert!(!waiter.is_done(), "it waits for the lock, whatever happens");
        waiter.cancel(); // twice
        sleep(ms(5)).await;
        drop(guard);
        assert!(waiter.await.unwrap_err().is_cancelled());
        log.expect(&[(5, "cancelled, and locked: true")]);
        assert!(!condition.is_locked());
    });
}

/// gh-111693: of several cancels during the retaking of the lock it was not the last that came out.
#[test]
fn gh_111693_of_several_cancels_while_a_condition_retakes_its_lock_the_last_comes_out() {
    run_virtual(async {
        let condition = Rc::new(Condition::new());
        let waiter = create_task({
            let condition = condition.clone();
            async move { condition.acquire().await.wait().await }
        });
        turns(2).await;
        let guard = condition.acquire().await;
        waiter.cancel_with_reason("first");
        turns(3).await;
        waiter.cancel_with_reason("second");
        turns(3).await;
        assert!(!waiter.is_done());
        drop(guard);
        assert_eq!(waiter.await.unwrap_err().to_string(), "cancelled: second");
        assert!(!condition.is_locked());
    });
}

/// gh-112202: a notification was lost when its receiver was cancelled.
#[test]
fn gh_112202_the_notification_of_a_cancelled_waiter_goes_to_the_next() {
    // Cancelled when it was notified; or while it stood in line for the lock.
    for late in [false, true] {
        run_virtual(async move {
            let condition = Rc::new(Condition::new());
            let woken = Rc::new(RefCell::new(Vec::new()));
            let waiter = |name: &'static str| {
                let (condition, woken) = (condition.clone(), woken.clone());
                create_task(async move {
                    let guard = condition.acquire().await;
                    guard.wait().await;
                    woken.borrow_mut().push(name);
                })
            };
            let waiters = [waiter("one"), waiter("two"), waiter("three")];
            turns(4).await;
            assert_eq!(condition.waiting(), 3);
            let guard = condition.acquire().await;
            guard.notify(2);
            if late {
                turns(3).await;
            }
            waiters[0].cancel();
            drop(guard);
            sleep(ms(1)).await;
            assert!(waiters[0].is_cancelled());
            assert_eq!(*woken.borrow(), ["two", "three"], "late: {late}");
            assert!(!condition.is_locked());
            for waiter in &waiters {
                waiter.cancel();
            }
        });
    }
}

/// bpo-33638: a condition whose wait had timed out did not hold its lock, and released it twice.
#[test]
fn bpo_33638_a_condition_whose_wait_times_out_is_released_once() {
    run_virtual(async {
        let condition = Condition::new();
        let guard = condition.acquire().await;
        assert_eq!(wait_for(guard.wait(), ms(10)).await, Err(TimedOut));
        assert!(condition.is_locked());
        drop(guard);
        assert!(!condition.is_locked());
        assert!(condition.release().is_err());
    });
}

/// Of barriers: a waiter that is cancelled is not counted, and the others go on waiting.
#[test]
fn a_barrier_forgets_a_waiter_that_was_cancelled() {
    run_virtual(async {
        let barrier = Rc::new(Barrier::new(2));
        let wait = || {
            let barrier = barrier.clone();
            create_task(async move { barrier.wait().await.map(drop) })
        };
        let first = wait();
        turns(2).await;
        first.cancel();
        turns(3).await;
        assert_eq!(barrier.waiting(), 0);
        let second = wait();
        turns(3).await;
        assert!(!second.is_done(), "one is not two");
        let third = wait();
        assert_eq!(gather((second, third)).await, (Ok(Ok(())), Ok(Ok(()))));
    });
}

// ---- cancels that are swallowed

/// gh-116720: with nested groups a cancel from outside was swallowed when the inner group's child failed too.
#[test]
fn gh_116720_a_cancel_from_outside_survives_nested_groups_that_fail() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task({
            let log = log.clone();
            async move {
                let outer = TaskGroup::scope(async |outer: &TaskGroup<()>| {
                    outer.create_task(pending::<Result<(), ()>>());
                    let inner = TaskGroup::scope(async |inner: &Group| {
                        inner.create_task(async {
                            let _ = catch_cancel(pending::<()>()).await;
                            Err::<(), _>("inner")
                        });
                        pending::<()>().await;
                        Ok::<_, &str>(())
                    });
                    let errors = inner.await.unwrap_err(); // `except*`
                    log.add(errors.tree());
                    sleep(ms(100)).await;
                    log.add("never");
                    Ok::<_, ()>(())
                });
                let _ = outer.await;
                log.add("never either");
            }
        });
        sleep(ms(5)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        log.expect(&[(5, "unhandled errors in a TaskGroup (1 error)\n└─ inner")]);
    });
}

/// gh-116720: the outer group's own cancel of its body is not swallowed by the inner group either.
#[test]
fn gh_116720_the_cancel_of_an_outer_group_survives_an_inner_group_that_fails() {
    run_virtual(async {
        let log = Log::new();
        let outer = TaskGroup::scope(async |outer: &Group| {
            outer.create_task(async {
                sleep(ms(5)).await;
                Err::<(), _>("outer")
            });
            let inner = TaskGroup::scope(async |inner: &Group| {
                inner.create_task(async {
                    let _ = catch_cancel(pending::<()>()).await;
                    Err::<(), _>("inner")
                });
                pending::<()>().await;
                Ok::<_, &str>(())
            });
            log.add(inner.await.unwrap_err().to_string());
            sleep(ms(100)).await;
            log.add("never");
            Ok::<_, &str>(())
        });
        let errors = outer.await.unwrap_err();
        assert_eq!(errors.iter().copied().collect::<Vec<_>>(), ["outer"]);
        log.expect(&[(5, "unhandled errors in a TaskGroup (1 error)")]);
        assert_eq!(current_task().cancelling(), 0);
        sleep(ms(1)).await;
    });
}

/// gh-116720: a limit around a group whose child fails in clean-up raises at the next await, and counts right.
#[test]
fn gh_116720_a_limit_around_a_failing_group_still_expires() {
    run_virtual(async {
        let limited = timeout(ms(10), async |_| {
            let scope = TaskGroup::scope(async |group: &Group| {
                group.create_task(async {
                    let _ = catch_cancel(pending::<()>()).await;
                    Err::<(), _>("in clean-up")
                });
                pending::<()>().await;
                Ok::<_, &str>(())
            });
            assert!(scope.await.is_err());
            sleep(ms(100)).await;
            unreachable!("the limit has expired")
        });
        assert_eq!(limited.await, Err::<(), _>(TimedOut));
        assert_eq!((now().as_nanos(), current_task().cancelling()), (10_000_000, 0));
        sleep(ms(1)).await;
    });
}

/// A group in a task that is being cancelled already behaves like any other.
#[test]
fn a_group_that_is_opened_during_clean_up_works() {
    run_virtual(async {
        let task = create_task(async {
            let cancelled = catch_cancel(pending::<()>()).await.unwrap_err();
            let scope = TaskGroup::scope(async |group: &Group| {
                let child = group.create_task(async {
                    sleep(ms(5)).await;
                    Ok(1)
                });
                Ok::<_, &str>(child.await.unwrap())
            });
            assert_eq!(scope.await, Ok(1));
            assert_eq!(current_task().cancelling(), 1);
            cancelled.reraise().await;
        });
        yield_now().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(now().as_nanos(), 5_000_000);
    });
}

/// gh-116720: `uncancel` down to zero forgets a cancel that was not delivered yet.
#[test]
fn gh_116720_uncancel_to_zero_forgets_a_pending_cancel() {
    run_virtual(async {
        current_task().cancel();
        assert_eq!(current_task().uncancel(), 0);
        sleep(ms(1)).await;
    });
}

/// bpo-45390: the reason of a cancel was lost on its way through a chain of awaits.
#[test]
fn bpo_45390_a_reason_comes_through_a_chain_of_awaits() {
    run_virtual(async {
        let inner = create_task(pending::<()>());
        let outer = create_task(async move {
            let _ = inner.await;
        });
        yield_now().await;
        outer.cancel_with_reason("over");
        assert_eq!(outer.await.unwrap_err().to_string(), "cancelled: over");
    });
}

// ---- groups

/// gh-94398: a child made in a group after a sibling had failed was never run and made the group hang.
#[test]
fn gh_94398_a_child_that_comes_after_a_failure_is_refused_and_does_not_hang_the_group() {
    run_virtual(async {
        let scope = TaskGroup::scope(async |group: &Group| {
            group.create_task(async { Err::<(), _>("broken") });
            let spawner = group.clone();
            group.create_task(async move {
                // It was cancelled before it began; so this is never reached.
                spawner.create_task(pending::<Result<(), &str>>());
                Ok(())
            });
            let _ = catch_cancel(pending::<()>()).await;
            let refused = group.create_task_if_open(pending::<Result<(), &str>>()).unwrap_err();
            assert_eq!(refused, GroupClosed::ShuttingDown);
            Ok::<_, &str>(())
        });
        let errors = wait_for(scope, ms(100)).await.expect("it does not hang").unwrap_err();
        assert_eq!(errors.iter().count(), 1);
    });
}

/// gh-94398: a child that spawns from its clean-up while the group shuts down.
#[test]
fn gh_94398_a_child_that_spawns_in_its_clean_up_is_refused() {
    run_virtual(async {
        let refused = Rc::new(Cell::new(false));
        let scope = TaskGroup::scope(async |group: &Group| {
            let (spawner, refused) = (group.clone(), refused.clone());
            group.create_task(finally(pending::<Result<(), &str>>(), async move || {
                sleep(ms(5)).await;
                refused.set(spawner.create_task_if_open(pending::<Result<(), &str>>()).is_err());
            }));
            group.create_task(async {
                sleep(ms(5)).await;
                Err::<(), _>("broken")
            });
            Ok::<_, &str>(())
        });
        assert!(wait_for(scope, ms(100)).await.expect("it does not hang").is_err());
        assert!(refused.get());
    });
}

/// Children that are over at once are not waited for.
#[test]
fn children_that_end_at_once_do_not_hang_the_group() {
    run_virtual(async {
        for children in [0, 1, 2, 100] {
            let scope = TaskGroup::scope(async |group: &Group| {
                for _ in 0..children {
                    group.create_task(async { Ok(()) });
                }
                Ok::<_, &str>(group.clone())
            });
            let group = wait_for(scope, ms(10)).await.expect("it does not hang").unwrap();
            assert_eq!(group.running(), 0);
        }
    });
}

/// gh-128550: a child that had made a failing one was not cancelled, and the group hung.
#[test]
fn gh_128550_a_child_whose_child_fails_is_cancelled() {
    run_virtual(async {
        let scope = TaskGroup::scope(async |group: &Group| {
            let spawner = group.clone();
            group.create_task(async move {
                spawner.create_task(async { Err::<(), _>("grandchild") });
                pending::<Result<(), &str>>().await
            });
            Ok::<_, &str>(())
        });
        let errors = wait_for(scope, ms(10)).await.expect("it does not hang").unwrap_err();
        assert_eq!(errors.iter().copied().collect::<Vec<_>>(), ["grandchild"]);
    });
}

/// gh-155418: a group hung when a child cancelled it before it had awaited anything.
#[test]
fn gh_155418_a_child_that_cancels_its_group_before_its_first_await_is_cancelled() {
    run_virtual(async {
        let scope = TaskGroup::scope(async |group: &Group| {
            let canceller = group.clone();
            group.create_task(async move {
                canceller.cancel();
                pending::<Result<(), &str>>().await
            });
            Ok::<_, &str>(())
        });
        wait_for(scope, ms(10)).await.expect("it does not hang").unwrap();
        assert_eq!(current_task().cancelling(), 0);
    });
}

/// gh-155433: after its `cancel` a group swallowed a cancel from outside while its children cleaned up.
#[test]
fn gh_155433_a_group_that_ends_quietly_does_not_swallow_a_cancel_from_outside() {
    run_virtual(async {
        let log = Log::new();
        let limited = wait_for(
            async {
                let scope = TaskGroup::scope(async |group: &Group| {
                    group.create_task(finally(pending::<Result<(), &str>>(), async || {
                        sleep(ms(100)).await;
                    }));
                    sleep(ms(10)).await;
                    group.cancel();
                    Ok::<_, &str>(())
                });
                scope.await.unwrap();
                log.add("never");
            },
            ms(50),
        );
        assert_eq!(limited.await, Err(TimedOut));
        log.expect(&[]);
        assert_eq!((now().as_nanos(), current_task().cancelling()), (110_000_000, 0));
        sleep(ms(1)).await;
    });
}

/// A group does not hang when its last child is cancelled before its first poll.
#[test]
fn children_that_are_cancelled_before_they_begin_do_not_hang_the_group() {
    run_virtual(async {
        let scope = TaskGroup::scope(async |group: &Group| {
            group.create_task(pending::<Result<(), &str>>()).cancel();
            let child = group.create_task(pending::<Result<(), &str>>());
            child.cancel();
            assert!(child.await.unwrap_err().is_cancelled());
            Ok::<_, &str>(())
        });
        wait_for(scope, ms(10)).await.expect("it does not hang").unwrap();
    });
}

/// An error of the body is not lost when a child has failed before.
#[test]
fn the_error_of_a_body_that_fails_in_its_clean_up_joins_the_one_that_cancelled_it() {
    run_virtual(async {
        let scope = TaskGroup::scope(async |group: &Group| {
            group.create_task(async { Err::<(), _>("child") });
            let _ = catch_cancel(pending::<()>()).await;
            Err::<(), _>("body")
        });
        let errors = scope.await.unwrap_err();
        assert_eq!(errors.iter().copied().collect::<Vec<_>>(), ["child", "body"]);
    });
}

// ---- shield, gather, wait, as_completed

/// gh-86802: the error of a shielded task was lost when the outer wait was cancelled.
#[test]
fn gh_86802_the_error_of_a_shielded_task_that_is_no_longer_awaited_is_reported_once() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let mut inner = try_create_task(async {
            sleep(ms(10)).await;
            Err::<(), _>("lost?")
        });
        assert!(wait_for(shield(&mut inner), ms(5)).await.is_err());
        assert_eq!(inner.await, Err(TaskError::Failed("lost?")), "it can still be had");
    });
    assert_eq!(reports.borrow().len(), 1, "{:?}", reports.borrow());
}

/// bpo-35125: shield left a callback behind for each waiter that was cancelled.
#[test]
fn bpo_35125_waiters_of_a_shield_that_were_cancelled_leave_nothing_behind() {
    run_virtual(async {
        let inner = create_task(sleep(ms(1_000))).shared();
        for _ in 0..1_000 {
            assert!(wait_for(shield(inner.clone()), ms(0)).await.is_err());
        }
        assert_eq!(all_tasks().len(), 2);
        let log = Log::new();
        let waiter = create_task({
            let (inner, log) = (inner.clone(), log.clone());
            async move {
                inner.await.unwrap();
                log.add("woken");
            }
        });
        waiter.await.unwrap();
        log.expect(&[(1_000, "woken")]);
    });
}

/// bpo-32684: `gather(return_exceptions=True)` swallowed the cancel of its awaiter.
#[test]
fn bpo_32684_a_gather_that_returns_exceptions_does_not_swallow_a_cancel() {
    run_virtual(async {
        let task = create_task(async {
            let _ = gather([pending::<()>(), pending()]).return_exceptions().await;
            unreachable!("it was cancelled");
        });
        turns(2).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

/// bpo-26923: a gather whose children had ended as it was cancelled lost the cancel.
#[test]
fn bpo_26923_a_cancel_that_meets_the_end_of_all_children_is_not_lost() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task({
            let log = log.clone();
            async move {
                gather([sleep(ms(10)), sleep(ms(10))]).await;
                log.add("gathered");
                sleep(ms(100)).await;
                log.add("never");
            }
        });
        let handle = task.to_ref();
        let canceller = create_task(async move {
            sleep(ms(10)).await; // the children have ended just now, or do in this turn
            handle.cancel();
        });
        canceller.await.unwrap();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(now().as_nanos() == 10_000_000);
    });
}

/// A second child that fails after the first needs no report.
#[test]
fn a_second_failure_after_the_first_is_known_and_not_reported() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let failing = [1, 2, 3].map(|n| async move {
            sleep(ms(n)).await;
            Err::<(), _>(n)
        });
        assert_eq!(try_gather(failing).await, Err(1));
        sleep(ms(10)).await;
    });
    assert_eq!(*reports.borrow(), [] as [String; 0]);
}

/// A wait that was cancelled cancels no task, and leaves nothing behind.
#[test]
fn a_wait_that_is_cancelled_leaves_its_tasks_alone() {
    run_virtual(async {
        let mut tasks = [5, 6].map(|n| create_task(sleep(ms(n))));
        for _ in 0..10 {
            let waiting = wait(tasks.iter_mut(), FirstCompleted);
            assert!(wait_for(waiting, ms(0)).await.is_err());
        }
        let done = wait(tasks, FirstCompleted).await.0;
        assert_eq!((done.len(), now().as_nanos()), (1, 5_000_000));
    });
}

/// Tasks that end while `as_completed` is not polled are not lost.
#[test]
fn tasks_that_end_between_polls_come_in_the_order_of_their_ends() {
    run_virtual(async {
        let tasks = [3, 1, 2].map(|n| {
            create_task(async move {
                sleep(ms(n)).await;
                n
            })
        });
        let mut completed = as_completed(tasks);
        sleep(ms(10)).await;
        let mut order = Vec::new();
        while let Some(task) = completed.next().await {
            order.push(task.await.unwrap());
        }
        assert_eq!(order, [1, 2, 3]);
    });
}

/// All waiters of a future are woken, though one of them was cancelled meanwhile.
#[test]
fn a_promise_wakes_all_waiters_though_one_was_cancelled_as_it_was_set() {
    run_virtual(async {
        let promise = Promise::new();
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let promise = promise.clone();
                create_task(async move { promise.wait().await })
            })
            .collect();
        turns(2).await;
        promise.set(5).unwrap();
        waiters[1].cancel();
        let got = gather(waiters).await;
        assert_eq!(got.into_iter().map(Result::ok).collect::<Vec<_>>(), [Some(5), None, Some(5)]);
    });
}

/// Tasks that are left behind are cancelled, and what their clean-up awaits is awaited.
#[test]
fn what_is_left_when_main_ends_is_cancelled_and_cleans_up() {
    let log = Log::new();
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let log = log.clone();
        drop(create_task(finally(pending::<()>(), async move || {
            sleep(ms(5)).await;
            log.add("cleaned up");
        })));
        yield_now().await;
    });
    log.expect(&[(5, "cleaned up")]);
    assert_eq!(*reports.borrow(), [] as [String; 0]);
}

// ---- the same meetings with a `select!` in between

/// Of the kind of bpo-37658: a limit expires in the poll in which it is given up.
#[test]
fn a_limit_that_is_given_up_as_it_expires_cancels_nothing() {
    run_virtual(async {
        let flag = Rc::new(Cell::new(false));
        let set = flag.clone();
        call_later(ms(10), move || set.set(true));
        {
            let mut limited = pin!(Some(wait_for(pending::<()>(), ms(10))));
            poll_fn(|cx| {
                if flag.get() {
                    limited.set(None);
                    return Poll::Ready(());
                }
                limited.as_mut().as_pin_mut().unwrap().poll(cx).map(drop)
            })
            .await;
        }
        assert_eq!(current_task().cancelling(), 0);
        sleep(ms(1)).await;
    });
}

/// Of the kind of bpo-32684: a cancel was passed on to gathered children, and the gather is then given up.
#[test]
fn a_gather_that_cleans_up_is_waited_for_though_the_timer_beside_it_was_interrupted() {
    run_virtual(async {
        let task = create_task(async {
            let mut timer = pin!(sleep(ms(10)));
            let mut gathered =
                Some(gather([finally(pending::<()>(), async || sleep(ms(20)).await)]));
            poll_fn(|cx| {
                let _ = pin!(gathered.as_mut().unwrap()).poll(cx);
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                drop(gathered.take());
                Poll::Ready(())
            })
            .await;
            sleep(ms(1_000)).await;
        });
        sleep(ms(5)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(now().as_nanos(), 25_000_000);
    });
}

// ---- task-locals

static WHO: TaskLocal<&str> = TaskLocal::new();

/// A done-callback runs in the context of the task that has added it, as it was then.
#[test]
fn a_done_callback_begins_with_the_task_locals_that_its_adder_had_then() {
    run_virtual(async {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let note = || {
            let seen = seen.clone();
            move |_| seen.borrow_mut().push((WHO.get(), WHO.set("of the callback")))
        };
        let task = create_task(async {
            WHO.set("the task");
            sleep(ms(5)).await;
        });
        task.to_ref().add_done_callback(note());
        WHO.set("main");
        task.to_ref().add_done_callback(note());
        WHO.set("main, later");
        let other = task.to_ref();
        let callback = note();
        create_task(async move { other.add_done_callback(callback) }).await.unwrap();
        task.await.unwrap();
        turns(1).await;
        let seen = seen.take().into_iter().map(|(got, _)| got);
        assert_eq!(seen.collect::<Vec<_>>(), [None, Some("main"), Some("main, later")]);
        assert_eq!(WHO.get(), Some("main, later"));
    });
}

/// Dropping a task inside another must not give its callbacks the locals of that.
#[test]
fn a_done_callback_has_no_task_locals_of_the_task_in_which_its_own_ends() {
    run_virtual(async {
        let seen = Rc::new(Cell::new(Some("unseen")));
        let callback = {
            let seen = seen.clone();
            move |_| seen.set(WHO.get())
        };
        let scope = TaskGroup::scope(async |group: &Group| {
            let task = group.create_task(pending::<Result<(), &str>>());
            task.to_ref().add_done_callback(callback);
            pending::<Result<(), &str>>().await
        });
        let mut scope = Box::pin(scope);
        assert!(poll_fn(|cx| Poll::Ready(scope.as_mut().poll(cx))).await.is_pending());
        WHO.set("main");
        drop(scope);
        turns(1).await;
        assert_eq!(seen.get(), None);
    });
}

/// `asyncio.Runner` keeps one context for all its runs.
#[test]
fn a_second_run_on_one_loop_begins_with_the_task_locals_of_the_first_main() {
    let (mut event_loop, _) = watched_loop();
    let task = event_loop.create_task(async { WHO.get() });
    event_loop.run(async {
        assert_eq!(WHO.set("the first"), None);
        assert_eq!(task.await, Ok(None));
        create_task(async { WHO.set("a child") }).await.unwrap();
    });
    event_loop.run_until_complete(async {
        assert_eq!(WHO.get(), Some("the first"));
        assert_eq!(create_task(async { WHO.get() }).await, Ok(Some("the first")));
        WHO.set("the second");
        current_task().cancel();
        let _ = catch_cancel(yield_now()).await;
    });
    event_loop.run(async { assert_eq!(WHO.get(), Some("the second")) });
    let (mut other, _) = watched_loop();
    other.run(async { assert_eq!(WHO.get(), None) });
}

/// `var.reset(token)`, also if the variable had no value before `set`.
#[test]
fn a_task_local_that_is_reset_has_the_value_before_or_none_and_children_keep_theirs() {
    run_virtual(async {
        assert!(WHO.reset(None).is_none());
        let before = WHO.set("outer");
        let child = create_task(async {
            yield_now().await;
            WHO.get()
        });
        let outer = WHO.set("inner");
        assert_eq!(WHO.reset(outer).as_deref(), Some(&"inner"));
        assert_eq!(WHO.get(), Some("outer"));
        assert_eq!(WHO.reset(before).as_deref(), Some(&"outer"));
        assert_eq!((WHO.get(), create_task(async { WHO.get() }).await), (None, Ok(None)));
        assert_eq!(child.await, Ok(Some("outer")));
    });
    let (mut event_loop, _) = watched_loop();
    event_loop.run(async { WHO.reset(WHO.set("the first").or(Some(Rc::new("kept")))) });
    event_loop.run(async { assert_eq!(WHO.reset(None).as_deref(), Some(&"kept")) });
    event_loop.run(async { assert_eq!(WHO.get(), None) });
}
