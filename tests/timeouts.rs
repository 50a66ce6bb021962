//! Tests what time limits and `shield` promise.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use common::{Log, ms, watched_loop};
use futures::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use loopwheel::{
    Budget, Clock, Deadline, EventLoop, Instant, TaskError, TimedOut, call_later, catch_cancel,
    create_task, current_task, dump, finally, now, run_virtual, shield, sleep, timeout, timeout_at,
    try_create_task, wait_for, yield_now,
};

#[test]
fn what_is_in_time_comes_back_and_leaves_no_trace() {
    run_virtual(async {
        assert_eq!(wait_for(async { 1 }, ms(10)).await, Ok(1));
        assert_eq!(wait_for(async { sleep(ms(9)).await }, ms(10)).await, Ok(()));
        assert_eq!(now().as_nanos(), 9_000_000);
        sleep(ms(100)).await; // no timer fires late
        assert_eq!(current_task().cancelling(), 0);
    });
}

#[test]
fn what_is_late_is_cancelled_at_the_limit() {
    run_virtual(async {
        let log = Log::new();
        let body = async {
            let cancelled = catch_cancel(sleep(ms(50))).await.unwrap_err();
            log.add("cancelled");
            cancelled.reraise().await
        };
        assert!(wait_for(body, ms(20)).await.is_err());
        log.add("timed out");
        log.expect(&[(20, "cancelled"), (20, "timed out")]);
        assert_eq!(current_task().cancelling(), 0);
    });
}

#[test]
fn a_time_limit_waits_for_the_clean_up_of_what_it_cancels() {
    run_virtual(async {
        let body = finally(sleep(ms(50)), async || sleep(ms(7)).await);
        assert_eq!(wait_for(body, ms(20)).await, Err(TimedOut));
        assert_eq!(now().as_nanos(), 27_000_000);
    });
}

#[test]
fn a_body_that_swallows_the_limit_is_late_but_not_lost() {
    run_virtual(async {
        let body = async {
            assert!(catch_cancel(sleep(ms(50))).await.is_err());
            sleep(ms(5)).await;
            3
        };
        assert_eq!(wait_for(body, ms(20)).await, Ok(3));
        assert_eq!(current_task().cancelling(), 0);
        sleep(ms(1)).await;
    });
}

#[test]
fn a_limit_of_zero_polls_once() {
    run_virtual(async {
        assert_eq!(wait_for(async { 1 }, ms(0)).await, Ok(1));
        let mut never = create_task(async { unreachable!("it is cancelled before it begins") });
        assert!(wait_for(&mut never, ms(0)).await.is_err());
        assert!(never.is_cancelled());
        let mut done = create_task(async { 2 });
        yield_now().await;
        assert_eq!(wait_for(&mut done, ms(0)).await, Ok(Ok(2)));
        assert_eq!(now().as_nanos(), 0);
    });
}

#[test]
fn no_limit_is_no_limit() {
    run_virtual(async {
        assert_eq!(wait_for(sleep(ms(1_000_000)), None).await, Ok(()));
    });
}

#[test]
fn a_task_that_is_waited_for_is_cancelled_and_its_end_awaited() {
    run_virtual(async {
        let mut task = create_task(finally(sleep(ms(50)), async || sleep(ms(4)).await));
        assert!(wait_for(&mut task, ms(20)).await.is_err());
        assert!(task.is_cancelled());
        assert_eq!(now().as_nanos(), 24_000_000);
    });
}

#[test]
fn of_nested_limits_the_one_that_expires_is_the_one_that_says_so() {
    run_virtual(async {
        let inner_first = wait_for(wait_for(sleep(ms(50)), ms(10)), ms(20)).await;
        assert_eq!(inner_first, Ok(Err(TimedOut)));
        let outer_first = wait_for(wait_for(sleep(ms(50)), ms(20)), ms(10)).await;
        assert_eq!(outer_first, Err(TimedOut));
        let both_at_once = wait_for(wait_for(sleep(ms(50)), ms(10)), ms(10)).await;
        assert_eq!(both_at_once, Err(TimedOut));
        assert_eq!(current_task().cancelling(), 0);
        sleep(ms(100)).await;
    });
}

#[test]
fn a_cancel_from_outside_is_not_mistaken_for_the_limit() {
    run_virtual(async {
        let task = create_task(async {
            assert!(catch_cancel(wait_for(sleep(ms(50)), ms(40))).await.is_err());
            current_task().cancelling()
        });
        sleep(ms(10)).await;
        task.cancel();
        assert_eq!(task.await, Ok(1));
    });
}

#[test]
fn limit_and_cancel_at_the_same_moment_are_both_honoured() {
    run_virtual(async {
        let task = create_task(async {
            let ended = catch_cancel(wait_for(sleep(ms(50)), ms(10))).await;
            assert!(ended.is_err(), "the outer cancel goes on");
            current_task().cancelling()
        });
        sleep(ms(10)).await;
        task.cancel();
        assert_eq!(task.await, Ok(1), "the limit has taken its own request back");
    });
}

#[test]
fn completion_and_limit_at_the_same_moment_lose_nothing() {
    run_virtual(async {
        // The work's timer was armed before or after the limit's: either way there is one clear answer.
        let value = wait_for(
            async {
                sleep(ms(10)).await;
                1
            },
            ms(10),
        );
        assert_eq!(value.await, Err(TimedOut));
        assert_eq!(now().as_nanos(), 10_000_000);
        sleep(ms(5)).await;
        assert_eq!(current_task().cancelling(), 0);
    });
}

#[test]
fn a_value_that_meets_the_cancel_of_its_awaiter_stays_in_its_task() {
    run_virtual(async {
        let task = create_task(async {
            sleep(ms(10)).await;
            1
        })
        .shared();
        let main = current_task();
        let canceller = create_task({
            let task = task.clone();
            async move {
                task.await.unwrap();
                main.cancel(); // main has been woken by the same end, and has not run yet
            }
        });
        yield_now().await;
        assert!(catch_cancel(wait_for(task.clone(), ms(10_000))).await.is_err());
        assert_eq!(task.result(), Ok(Ok(1)));
        canceller.await.unwrap();
    });
}

#[test]
fn a_limit_that_expires_during_clean_up_interrupts_it() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task({
            let log = log.clone();
            async move {
                let limited = wait_for(
                    async {
                        let cancelled = catch_cancel(sleep(ms(50))).await.unwrap_err();
                        log.add("cleaning");
                        sleep(ms(50)).await;
                        log.add("never");
                        cancelled.reraise().await
                    },
                    ms(10),
                );
                limited.await
            }
        });
        sleep(ms(5)).await;
        task.cancel();
        // As in asyncio: the limit's cancel replaced the outer one, whose request still counts.
        let ended = task.await;
        log.add(format!("{ended:?}"));
        log.expect(&[
            (5, "cleaning"),
            (10, "Err(Cancelled(Cancelled { reason: Some(\"a time limit of 10ms is up, in Task-2\") }))"),
        ]);
    });
}

#[test]
fn a_deadline_can_be_moved_by_the_body_and_by_others() {
    run_virtual(async {
        let start = now();
        let shared: Rc<RefCell<Option<Deadline>>> = Rc::default();
        let mover = create_task({
            let shared = shared.clone();
            async move {
                sleep(ms(8)).await;
                let deadline = shared.borrow().clone().unwrap();
                assert_eq!(deadline.when(), Some(start + ms(10)));
                deadline.reschedule(start + ms(30)).unwrap();
            }
        });
        let ended = timeout(ms(10), async |deadline: Deadline| {
            assert!(!deadline.expired());
            *shared.borrow_mut() = Some(deadline);
            sleep(ms(100)).await;
        });
        assert!(ended.await.is_err());
        assert_eq!(now() - start, ms(30));
        mover.await.unwrap();
        let deadline = shared.borrow_mut().take().unwrap();
        assert!(deadline.expired());
        let refused = deadline.reschedule(None).unwrap_err();
        assert!(refused.expired && refused.to_string().contains("expired"));
    });
}

#[test]
fn a_deadline_can_be_set_late_and_lifted() {
    run_virtual(async {
        let lifted = timeout(ms(10), async |deadline| {
            deadline.reschedule(None).unwrap();
            sleep(ms(100)).await;
            deadline
        });
        let deadline = lifted.await.unwrap();
        assert!(!deadline.reschedule(now()).unwrap_err().expired, "its body has ended");

        let set_late = timeout(None, async |deadline| {
            deadline.reschedule(now() + ms(5)).unwrap();
            sleep(ms(100)).await;
        });
        assert!(set_late.await.is_err());
        let past = timeout_at(now(), async |_| sleep(ms(1)).await);
        assert!(past.await.is_err());
        assert_eq!(now().as_nanos(), 105_000_000);
    });
}

#[test]
fn a_limit_that_is_dropped_hard_leaves_no_request_behind() {
    run_virtual(async {
        let mut limited = Box::pin(wait_for(sleep(ms(50)), ms(10)));
        std::future::poll_fn(|cx| {
            assert!(limited.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(limited);
        sleep(ms(20)).await;
        assert_eq!(current_task().cancelling(), 0);
    });
}

#[test]
fn a_shielded_task_goes_on_when_its_awaiter_is_cancelled() {
    run_virtual(async {
        let inner = create_task(async {
            sleep(ms(20)).await;
            5
        })
        .shared();
        let outer = create_task(shield(inner.clone()));
        sleep(ms(5)).await;
        outer.cancel();
        assert!(outer.await.unwrap_err().is_cancelled());
        assert_eq!(now().as_nanos(), 5_000_000);
        assert_eq!(inner.await, Ok(5));
    });
}

#[test]
fn a_shielded_task_that_is_cancelled_itself_says_so() {
    run_virtual(async {
        let inner = create_task(sleep(ms(20)));
        let inner_ref = inner.to_ref();
        let outer = create_task(shield(inner));
        sleep(ms(5)).await;
        inner_ref.cancel();
        assert!(matches!(outer.await, Ok(Err(TaskError::Cancelled(_)))));
    });
}

#[test]
fn the_error_of_a_shielded_task_whose_awaiter_is_gone_is_reported() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let inner = try_create_task(async {
            sleep(ms(20)).await;
            Err::<(), _>("nobody waits any more")
        });
        let outer = create_task(shield(inner));
        sleep(ms(5)).await;
        outer.cancel();
        assert!(outer.await.is_err());
        sleep(ms(50)).await;
    });
    assert_eq!(reports.borrow().len(), 1);
    assert!(reports.borrow()[0].contains("nobody waits any more"));
}

#[test]
fn a_yield_after_a_limit_still_lets_all_other_tasks_go_first() {
    run_virtual(async {
        // The future that catches is polled once more. That is not a turn of the other tasks.
        assert!(wait_for(sleep(ms(5)), ms(1)).await.is_err());
        let task = create_task(async {});
        yield_now().await;
        assert!(task.is_done());
    });
}

#[test]
fn a_limit_whose_body_panics_at_once_is_over() {
    run_virtual(async {
        let panics = wait_for(async { panic!("at once") }, ms(50));
        let caught: Result<Result<(), _>, _> = AssertUnwindSafe(panics).catch_unwind().await;
        assert!(caught.is_err());
        sleep(ms(5)).await; // it is not that limit's
        assert_eq!(dump().timers, 0);
        assert_eq!(wait_for(wait_for(sleep(ms(9)), ms(2)), ms(4)).await, Ok(Err(TimedOut)));
        assert_eq!(now().as_nanos(), 7_000_000);
    });
}

/// A limit that is raced by reference, as in a `select!` in a loop, and expires in the poll in which the other is ready.
#[test]
fn a_limit_that_is_kept_but_passed_by_cancels_nothing_else_and_expires_when_polled_again() {
    run_virtual(async {
        let flag = Rc::new(Cell::new(false));
        let set = flag.clone();
        call_later(ms(10), move || set.set(true));
        let mut limit = pin!(wait_for(pending::<()>(), ms(10)));
        poll_fn(|cx| {
            if flag.get() {
                return Poll::Ready(());
            }
            limit.as_mut().poll(cx).map(Result::unwrap)
        })
        .await;
        sleep(ms(1)).await; // is not cancelled
        assert_eq!(limit.await, Err(TimedOut));
        assert_eq!(current_task().cancelling(), 0);
        sleep(ms(1)).await;
    });
}

// ---- When the time begins --------------------------------------------------------------------------------------

#[test]
fn a_limit_around_a_ready_future_reads_no_clock() {
    let looks = Rc::new(Cell::new(0));
    let clock = {
        let looks = looks.clone();
        move || {
            looks.set(looks.get() + 1);
            Instant::START
        }
    };
    let mut event_loop = EventLoop::builder().clock(Clock::host(clock)).build();
    event_loop.run(async move {
        let before = looks.get();
        for _ in 0..10 {
            assert_eq!(wait_for(wait_for(async { 1 }, ms(5)), ms(5)).await, Ok(Ok(1)));
        }
        assert_eq!(looks.get(), before);
        wait_for(yield_now(), ms(5)).await.unwrap();
        assert!(looks.get() > before);
    });
}

/// A clock moves on between two looks at it.
#[test]
fn a_limit_is_up_before_a_sleep_of_the_same_length_inside_it() {
    let time = Rc::new(Cell::new(0));
    let clock = Clock::host({
        let time = time.clone();
        move || {
            time.set(time.get() + 1);
            Instant::START + ms(time.get())
        }
    });
    let mut event_loop = EventLoop::builder().clock(clock).build();
    let mut task = event_loop.create_task(wait_for(sleep(ms(1_000)), ms(1_000)));
    event_loop.turn(Budget::unlimited());
    while !task.is_done() {
        let before = time.get();
        event_loop.turn(Budget::unlimited());
        time.set(before + 1); // one millisecond a turn, however often it looked
    }
    assert_eq!(task.result(), Ok(Ok(Err(TimedOut))));
}

#[test]
fn a_limit_comes_before_a_timer_or_limit_of_the_same_moment_inside_it() {
    run_virtual(async {
        assert_eq!(wait_for(sleep(ms(5)), ms(5)).await, Err(TimedOut));
        let nested = wait_for(wait_for(sleep(ms(5)), ms(5)), ms(5)).await;
        assert_eq!(nested, Err(TimedOut), "the outer one's time is up first");
    });
}

#[test]
fn a_deadline_can_be_asked_and_moved_before_its_body_has_waited() {
    run_virtual(async {
        let outer = timeout(ms(10), async |outer| {
            let inner = timeout(ms(5), async |inner| {
                assert_eq!(inner.when(), Some(now() + ms(5)));
                assert_eq!(outer.when(), Some(now() + ms(10)));
                inner.reschedule(None).unwrap();
                assert_eq!(inner.when(), None);
                sleep(ms(7)).await;
                outer.reschedule(now() + ms(1)).unwrap();
                std::future::pending::<()>().await;
            });
            inner.await
        });
        assert!(outer.await.is_err());
        assert_eq!(now(), Instant::START + ms(8));
        let moved = timeout(ms(5), async |deadline| {
            deadline.reschedule(now() + ms(20)).unwrap();
            sleep(ms(10)).await;
            deadline.when()
        });
        assert_eq!(moved.await, Ok(Some(Instant::START + ms(28))));
        assert_eq!(wait_for(sleep(ms(100)), ms(50)).await, Err(TimedOut), "nothing is left behind");
        assert_eq!(now(), Instant::START + ms(68));
    });
}

#[test]
fn limits_whose_body_panics_at_once_leave_the_others_in_order() {
    run_virtual(async {
        let panics = create_task(async {
            let inner = wait_for(async { panic!("at once") }, ms(5));
            let _: Result<Result<(), _>, _> = wait_for(inner, ms(5)).await;
        });
        let armed_then_panics = create_task(async {
            wait_for(
                async {
                    let mut sleep = pin!(sleep(ms(1)));
                    let _ = futures::poll!(&mut sleep);
                    panic!("with a timer");
                },
                ms(3),
            )
            .await
        });
        assert!(panics.await.unwrap_err().is_panic());
        let panicked: Result<Result<(), _>, _> = armed_then_panics.await;
        assert!(panicked.unwrap_err().is_panic());
        assert_eq!(wait_for(sleep(ms(9)), ms(4)).await, Err(TimedOut));
        assert_eq!(now(), Instant::START + ms(4));
    });
}

/// Nests so many limits more, the outermost first. The limit at this depth lasts `longest` less its depth, and notes its end.
fn nest(depth: u64, more: u64, longest: u64, ends: Rc<RefCell<Vec<(u64, u64)>>>) -> Nested {
    Box::pin(async move {
        let body = async {
            match more {
                0 => {}
                _ => nest(depth + 1, more - 1, longest, ends.clone()).await,
            }
            if longest > 0 {
                pending::<()>().await;
            }
        };
        let ended = wait_for(body, ms(longest.saturating_sub(depth))).await;
        assert_eq!(ended.is_err(), longest > 0);
        ends.borrow_mut().push((depth, now().as_nanos() / 1_000_000));
    })
}

type Nested = Pin<Box<dyn Future<Output = ()>>>;

/// A loop has room for a few open limits, and a list for those that are nested deeper.
#[test]
fn however_deep_limits_are_nested_each_has_its_own_time() {
    run_virtual(async {
        for (depth, longest) in [(12, 0), (12, 50), (3, 30), (9, 40), (12, 60)] {
            let before = now().as_nanos() / 1_000_000;
            let ends = Rc::default();
            nest(0, depth, longest, Rc::clone(&ends)).await;
            let end = |depth: u64| (depth, before + longest.saturating_sub(depth));
            assert_eq!(*ends.borrow(), (0..=depth).rev().map(end).collect::<Vec<_>>());
        }
    });
}

// ---- Several limits in one task --------------------------------------------------------------------------------

#[test]
fn limits_beside_each_other_that_expire_at_the_same_moment_are_each_their_own() {
    run_virtual(async {
        let limit = || wait_for(pending::<()>(), ms(10));
        assert_eq!(futures::join!(limit(), limit()), (Err(TimedOut), Err(TimedOut)));
        assert_eq!(futures::future::join_all((0..40).map(|_| limit())).await, [Err(TimedOut); 40]);
        let beside = futures::join!(limit(), sleep(ms(10)));
        assert_eq!(beside, (Err(TimedOut), ()));
        assert_eq!(current_task().cancelling(), 0);
        assert_eq!(now(), Instant::START + ms(30));
    });
}

#[test]
fn a_cancel_from_outside_beside_two_limits_that_expire_is_not_theirs() {
    run_virtual(async {
        let task = create_task(async {
            let limit = || wait_for(pending::<()>(), ms(10));
            futures::join!(limit(), limit())
        });
        let task_ref = task.to_ref();
        call_later(ms(10), move || {
            task_ref.cancel();
        });
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn limits_in_a_set_of_futures_expire_in_time() {
    use futures::StreamExt;
    use futures::stream::{self, FuturesUnordered};

    run_virtual(async {
        let mut set: FuturesUnordered<_> =
            [wait_for(pending::<()>(), ms(10))].into_iter().collect();
        assert_eq!(set.next().await, Some(Err(TimedOut)));
        assert_eq!(now(), Instant::START + ms(10));

        let sleeps = stream::iter([0, 10, 50, 60, 5]);
        let limited = sleeps.map(|millis| async move {
            let in_time = wait_for(sleep(ms(millis)), ms(25)).await.is_ok();
            (millis, in_time, now().as_nanos() / 1_000_000)
        });
        let ended: Vec<_> = limited.buffer_unordered(4).collect().await;
        // The fifth begins when the first has ended, at once.
        let expected =
            [(0, true, 10), (5, true, 15), (10, true, 20), (50, false, 35), (60, false, 35)];
        assert_eq!(ended, expected);
        assert_eq!(current_task().cancelling(), 0);
    });
}

#[test]
fn a_limit_that_expires_costs_its_neighbours_in_a_set_no_wake_up() {
    use futures::StreamExt;
    use futures::stream::FuturesUnordered;

    run_virtual(async {
        let mut sleeps: FuturesUnordered<_> = [sleep(ms(10))].into_iter().collect();
        let mut kept = pin!(wait_for(pending::<()>(), ms(10)));
        assert!(futures::poll!(&mut kept).is_pending());
        assert_eq!(sleeps.next().await, Some(()));
        assert_eq!(kept.await, Err(TimedOut));
        assert_eq!(now(), Instant::START + ms(10));
    });
}

#[test]
fn a_limit_that_is_up_cancels_the_awaited_task_before_anything_else_runs() {
    run_virtual(async {
        let inner = create_task(sleep(ms(1_000)));
        let inner_ref = inner.to_ref();
        let other = create_task(async move {
            sleep(ms(5)).await;
            inner_ref.cancelling()
        });
        let limited = create_task(wait_for(inner, ms(5)));
        assert_eq!(other.await, Ok(1));
        assert!(limited.await.unwrap().is_err());
    });
}

#[test]
fn a_limit_of_zero_around_a_set_is_one_like_any_other() {
    run_virtual(async {
        let mut one = create_task(sleep(ms(1_000)));
        let mut polls = 0;
        // In the poll that asks what is awaited, the set polls only what was woken.
        let wakes_itself = poll_fn(move |cx| {
            polls += 1;
            if polls == 1 {
                cx.waker().wake_by_ref();
            }
            pin!(&mut one).poll(cx).map(drop)
        });
        let requests = Rc::new(Cell::new(0));
        let noted = requests.clone();
        let other = finally(sleep(ms(1_000)), async || noted.set(current_task().cancelling()));
        let all: [Pin<Box<dyn Future<Output = ()>>>; 2] = [Box::pin(wakes_itself), Box::pin(other)];
        let mut set: FuturesUnordered<_> = all.into_iter().collect();
        let all = async { while set.next().await.is_some() {} };
        assert_eq!(wait_for(all, ms(0)).await, Err(TimedOut));
        assert_eq!(requests.get(), 1);
        assert_eq!(now(), Instant::START);
    });
}
