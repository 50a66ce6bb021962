//! Tests what `protect` and `finally_within` promise: for the grace time nothing from outside interrupts what they hold, and what was
//! held back comes afterwards. The files beside this one test limits and groups, the end of the grace, and several futures.

mod common;
#[path = "common/protected.rs"]
mod protected;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::task::Poll;

use common::{Log, OnDrop, Watchdog, ms, turns, watched_loop};
use futures::future::FutureExt;
use loopwheel::trace::What;
use loopwheel::{
    EventLoop, Task, TaskError, TimedOut, VirtualClock, catch_cancel, create_task, current_task,
    finally, finally_within, protect, run_virtual, sleep, try_create_task, wait_for, yield_now,
};
use protected::{LONG, at, cleans, why};

#[test]
fn what_is_not_cancelled_gives_its_value() {
    run_virtual(async {
        assert_eq!(protect(async { 1 }, ms(5)).await, Ok(1));
        let late = async {
            sleep(ms(3)).await;
            2
        };
        assert_eq!(protect(late, ms(5)).await, Ok(2));
        assert_eq!(finally_within(async { 3 }, ms(5), async || sleep(ms(1)).await).await, 3);
        assert_eq!(finally_within(async { 4 }, ms(5), sleep(ms(1)).map(drop)).await, 4);
        assert_eq!((at(), current_task().cancelling()), (5, 0));
    });
}

#[test]
fn a_second_cancel_is_held_back_until_the_clean_up_is_over_and_then_goes_on() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task(cleans(log.clone(), 20));
        sleep(ms(5)).await;
        task.cancel();
        sleep(ms(5)).await;
        task.cancel_with_reason("the second");
        yield_now().await;
        assert_eq!(task.cancelling(), 2);
        let ended = task.await.unwrap_err();
        assert_eq!(why(&ended), Some("the second"));
        log.add("ended");
        log.expect(&[(5, "cleaning"), (25, "clean"), (25, "ended")]);
    });
}

#[test]
fn a_cancel_that_was_held_back_comes_out_where_the_protection_ends() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task({
            let log = log.clone();
            async move {
                let caught = catch_cancel(protect(sleep(ms(20)), ms(100))).await;
                log.add(caught.unwrap_err().reason().unwrap_or("none"));
                sleep(ms(5)).await; // it was delivered once
                log.add("went on");
            }
        });
        sleep(ms(5)).await;
        task.cancel_with_reason("why");
        assert_eq!(task.await, Ok(()));
        log.expect(&[(20, "why"), (25, "went on")]);
    });
}

#[test]
fn a_cancel_in_the_turn_in_which_the_clean_up_begins_does_not_cut_it() {
    for before in 0..3 {
        run_virtual(async move {
            let log = Log::new();
            let task = create_task(cleans(log.clone(), 20));
            sleep(ms(5)).await;
            task.cancel();
            turns(before).await;
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
            log.expect(&[(5, "cleaning"), (25, "clean")]);
        });
    }
}

#[test]
fn a_task_that_cancels_itself_in_its_clean_up_finishes_it() {
    run_virtual(async {
        let log = Log::new();
        let inner = log.clone();
        let task = create_task(async move {
            let cancels_itself = async {
                current_task().cancel();
                wait_for(sleep(ms(50)), ms(10)).await.unwrap_err(); // its own limit, not the cancel
                inner.add("clean");
            };
            protect(cancels_itself, ms(100)).await.unwrap();
            inner.add("never");
        });
        assert!(task.await.unwrap_err().is_cancelled());
        log.expect(&[(10, "clean")]);
    });
}

#[test]
fn a_hundred_cancels_cut_nothing_and_are_counted() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task(cleans(log.clone(), 200));
        yield_now().await;
        for _ in 0..100 {
            task.cancel();
            sleep(ms(1)).await;
        }
        assert_eq!(task.cancelling(), 100);
        assert!(task.await.unwrap_err().is_cancelled());
        log.expect(&[(0, "cleaning"), (200, "clean")]);
    });
}

#[test]
fn a_panic_of_the_clean_up_goes_on_in_place_of_what_the_body_gave() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.run(async {
        let task = create_task(finally_within(sleep(ms(LONG)), ms(100), async || {
            sleep(ms(10)).await;
            panic!("in the clean-up");
        }));
        yield_now().await;
        task.cancel();
        sleep(ms(5)).await;
        task.cancel();
        let ended = task.await.unwrap_err();
        assert!(matches!(&ended, TaskError::Panicked(panic) if panic.to_string().contains("in the clean-up")));
        // What comes after is whole.
        let task = create_task(wait_for(sleep(ms(LONG)), ms(5)));
        assert_eq!(task.await, Ok(Err(TimedOut)));
    });
    assert_eq!(reports.borrow().len(), 0);
}

#[test]
fn a_panic_of_the_body_is_not_lost_for_a_cancel_during_the_clean_up() {
    run_virtual(async {
        let body = async { panic!("in the body") };
        let task = create_task(finally_within(body, ms(100), async || sleep(ms(10)).await));
        sleep(ms(5)).await;
        task.cancel();
        let ended = task.await.unwrap_err();
        assert!(
            matches!(&ended, TaskError::Panicked(panic) if panic.to_string().contains("in the body"))
        );
        assert_eq!(at(), 10);
    });
}

#[test]
fn a_panic_that_is_caught_in_the_poll_that_delivers_leaves_the_branch_beside_to_be_interrupted() {
    run_virtual(async {
        let log = Log::new();
        let beside = OnDrop(log.clone(), "interrupted");
        let task = create_task(async move {
            let polls = Cell::new(0);
            let panics = poll_fn(move |_| {
                polls.set(polls.get() + 1);
                assert!(polls.get() < 2, "boom");
                Poll::<()>::Pending
            });
            let caught = AssertUnwindSafe(protect(panics, ms(100))).catch_unwind();
            let beside = async move {
                let _beside = beside;
                sleep(ms(LONG)).await;
            };
            assert!(futures::join!(caught, beside).0.is_err());
        });
        sleep(ms(5)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        log.expect(&[(5, "interrupted")]);
    });
}

#[test]
fn at_the_end_of_a_run_the_clean_up_has_its_grace() {
    for (cleanup, ends) in [(20, 20), (LONG, 1_000)] {
        let log = Log::new();
        let inner = log.clone();
        let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
        event_loop.run(async move {
            let cleaning = create_task(cleans(inner.clone(), cleanup)).to_ref();
            yield_now().await;
            cleaning.cancel();
            let limited = create_task(async move {
                protect(sleep(ms(cleanup)), ms(1_000)).await.unwrap();
                inner.add("never");
            });
            yield_now().await;
            drop(limited);
        });
        let ended = event_loop.run(async { at() });
        assert_eq!(ended, ends);
    }
}

#[test]
fn a_request_that_is_taken_back_meanwhile_is_gone() {
    run_virtual(async {
        let task = create_task(async { protect(sleep(ms(20)), ms(100)).await.map(|()| at()) });
        sleep(ms(5)).await;
        task.cancel();
        sleep(ms(5)).await;
        assert_eq!(task.uncancel(), 0);
        assert_eq!(task.await, Ok(Ok(20)));
    });
}

#[test]
fn in_another_task_it_holds_no_cancel_of_the_first_back() {
    run_virtual(async {
        let (sender, receiver) = futures::channel::oneshot::channel();
        let first = create_task(async move {
            let cleanup = async {
                sleep(ms(10)).await;
                sleep(ms(20)).await;
            };
            let mut kept = Some(Box::pin(protect(cleanup, ms(100))));
            let mut sender = Some(sender);
            // It holds the cancel back, and is given away.
            let gives_away = poll_fn(|cx| {
                let pending = kept.as_mut().unwrap().as_mut().poll(cx).is_pending();
                if at() == 10 {
                    sender.take().map(|it| it.send(kept.take().unwrap()).ok());
                    return Poll::Ready(());
                }
                assert!(pending);
                Poll::Pending
            });
            gives_away.await;
        });
        sleep(ms(5)).await;
        first.cancel();
        let kept = receiver.await.unwrap();
        drop(first.await);
        assert_eq!(kept.await, Ok(()));
        assert_eq!((at(), current_task().cancelling()), (30, 0));
    });
}

#[test]
fn a_loop_that_is_dropped_ends_it_hard() {
    let log = Log::new();
    let event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
    let dropped = Rc::new(Cell::new(false));
    let sets = dropped.clone();
    struct Sets(Rc<Cell<bool>>);
    impl Drop for Sets {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let held = Sets(sets);
    drop(event_loop.create_task(async move {
        let _held = held;
        protect(sleep(ms(LONG)), ms(LONG)).await.unwrap();
        log.add("never");
    }));
    drop(event_loop);
    assert!(dropped.get());
}

#[test]
fn a_dump_says_that_a_cancel_is_held_back() {
    run_virtual(async {
        let log = Log::new();
        let task = create_task(cleans(log, 20));
        yield_now().await;
        task.cancel();
        sleep(ms(5)).await;
        let of = |dump: &loopwheel::dump::Dump| {
            dump.tasks.iter().find(|it| it.task.name == "Task-2").unwrap().clone()
        };
        assert!(!of(&loopwheel::dump()).is_held_back, "the first one has been delivered");
        task.cancel();
        yield_now().await;
        let dump = loopwheel::dump();
        assert!(of(&dump).is_held_back);
        assert!(
            dump.to_string().contains("2 cancels requested, held back until its clean-up is over"),
            "{dump}"
        );
        assert!(dump.await_tree().to_string().contains("held back"), "{dump}");
        assert!(task.await.is_err());
    });
}

#[test]
fn a_trace_says_that_a_cancel_is_held_back_and_let_go() {
    let told = Rc::new(RefCell::new(Vec::new()));
    let tells = told.clone();
    let mut event_loop = EventLoop::builder()
        .clock(VirtualClock::new())
        .trace(move |event: &loopwheel::trace::Event<'_>| {
            let what = match &event.what {
                What::CancelHeldBack { .. } => "held back",
                What::CancelDelivered { .. } => "delivered",
                What::CancelCaught { .. } => "caught",
                _ => return,
            };
            tells.borrow_mut().push((
                event.at.as_nanos() / 1_000_000,
                what,
                event.what.to_string(),
            ));
        })
        .build();
    event_loop.run(async {
        let task = create_task(cleans(Log::new(), 20));
        yield_now().await;
        task.cancel();
        for _ in 0..2 {
            sleep(ms(5)).await;
            task.cancel();
        }
        assert!(task.await.is_err());
    });
    let told = told.borrow();
    let seen: Vec<_> = told.iter().map(|(at, what, _)| (*at, *what)).collect();
    let expected =
        [(0, "delivered"), (0, "caught"), (5, "held back"), (10, "held back"), (20, "delivered")];
    assert_eq!(seen, expected);
    assert_eq!(told[2].2, "The cancel of Task-2 is held back until its clean-up is over.");
}

#[test]
fn used_wrongly_it_says_so() {
    let outside = std::panic::catch_unwind(|| protect(async {}, ms(1)).now_or_never());
    let text = *outside.unwrap_err().downcast::<String>().unwrap();
    assert!(text.starts_with("a grace time (created at tests"), "{text}");
    assert!(text.contains("was polled outside a task: await it in a task of a loop"), "{text}");
}

/// Whatever happens when: the clean-up ends after its time or its grace, and every request is counted.
#[test]
fn cancels_and_limits_at_whatever_moments_never_cut_a_clean_up() {
    let _watchdog = Watchdog::new("cancels_and_limits_at_whatever_moments");
    for cleanup in [0, 3, 6] {
        for limit in 0..8 {
            for first in 0..8 {
                for second in first..8 {
                    run_virtual(async move {
                        let ended = Rc::new(Cell::new(None));
                        let ends = ended.clone();
                        let task: Task<Result<(), TimedOut>> = create_task(async move {
                            let body = sleep(ms(2));
                            let work = finally_within(body, ms(5), async || {
                                let begun = at();
                                let cut = catch_cancel(sleep(ms(cleanup))).await;
                                ends.set(Some((at() - begun, cut.is_err())));
                                if let Err(cancelled) = cut {
                                    cancelled.reraise().await;
                                }
                            });
                            wait_for(work, ms(limit)).await
                        });
                        yield_now().await;
                        sleep(ms(first)).await;
                        let one = task.cancel();
                        sleep(ms(second - first)).await;
                        let two = task.cancel();
                        let counted = task.cancelling();
                        let limits = usize::from(!task.is_done() && at() >= limit);
                        assert!(task.is_done() || counted >= usize::from(one) + usize::from(two));
                        assert!(counted <= 2 + limits);
                        let outcome = task.await;
                        let case = format!("{cleanup} {limit} {first} {second}: {outcome:?}");
                        let expected = (cleanup.min(5), cleanup > 5);
                        assert_eq!(ended.get(), Some(expected), "{case}");
                        let is_over = 2.min(limit).min(first) + cleanup.min(5);
                        let is_cancelled = first < is_over;
                        let is_late = first == is_over; // at the same moment either may be first
                        assert!(is_late || outcome.is_err() == is_cancelled, "{case}");
                    });
                }
            }
        }
    }
}

#[test]
fn a_failing_task_that_is_cancelled_in_its_clean_up_is_cancelled() {
    run_virtual(async {
        let task =
            try_create_task(finally_within(async { Err::<(), _>("lost") }, ms(50), async || {
                sleep(ms(10)).await;
            }));
        sleep(ms(5)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

/// Expects that a limit in what is protected, up and cleaning up, does not take a cancel that comes after the grace for its own: the
/// cancel goes on, whether it is one of the task, or of a limit around.
#[test]
fn a_cancel_after_the_grace_passes_a_limit_inside_that_is_up() {
    let _watchdog = Watchdog::new("a cancel after the grace");
    for by_limit in [false, true] {
        let log = Log::new();
        run_virtual(async {
            let inner = log.clone();
            let protected = protect(
                async move {
                    // The grace ends here, and the first cancel that comes after it does.
                    drop(catch_cancel(sleep(ms(1_000))).await);
                    drop(catch_cancel(sleep(ms(1_000))).await);
                    let slow = finally(sleep(ms(1_000)), sleep(ms(1_000)));
                    let limited = wait_for(slow, ms(10)).await; // up at 40 ms
                    inner.add(format!("went on: {limited:?}"));
                    sleep(ms(1_000)).await;
                },
                ms(20),
            );
            let task = create_task(async move {
                if by_limit {
                    let _ = wait_for(protected, ms(50)).await;
                } else {
                    let _ = protected.await;
                }
            });
            sleep(ms(30)).await;
            task.cancel();
            sleep(ms(20)).await;
            if !by_limit {
                task.cancel();
            }
            drop(task.await);
            log.add("ended");
        });
        log.expect(&[(50, "ended")]);
    }
}
