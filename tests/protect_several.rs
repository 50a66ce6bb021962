//! Tests `protect` and `finally_within` beside other futures, and around several: in joins, selects and sets, and around tasks.

mod common;
#[path = "common/protected.rs"]
mod protected;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use common::{Log, OnDrop, Watchdog, ms};
use futures::future::{Either, FutureExt, join_all, select};
use futures::stream::{FuturesUnordered, StreamExt};
use loopwheel::sync::{Event, Lock, Queue, Semaphore};
use loopwheel::{
    Instant, TimedOut, catch_cancel, create_task, current_task, finally, gather, now, protect,
    run_virtual, sleep, wait_for,
};
use protected::{LONG, at};

#[test]
fn a_task_that_is_awaited_inside_takes_no_cancel_from_outside() {
    run_virtual(async {
        let log = Log::new();
        let flush = log.clone();
        let task = create_task(async move {
            let flushing = create_task(async move {
                sleep(ms(20)).await;
                flush.add("flushed");
                7
            });
            assert_eq!(protect(flushing, ms(100)).await, Ok(Ok(7)));
        });
        let outer = create_task(async { drop(task.await) }); // the cancel is forwarded along the chain
        sleep(ms(5)).await;
        outer.cancel();
        assert!(outer.await.unwrap_err().is_cancelled());
        log.expect(&[(20, "flushed")]);
    });
}

#[test]
fn a_gathering_inside_takes_no_cancel_from_outside() {
    run_virtual(async {
        let task = create_task(async {
            let all = gather([sleep(ms(10)), sleep(ms(20))]);
            protect(all, ms(100)).await.unwrap();
        });
        sleep(ms(5)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(at(), 20);
    });
}

#[test]
fn in_a_join_each_branch_is_interrupted_or_held_as_it_is() {
    run_virtual(async {
        let log = Log::new();
        let (one, two, three) = (log.clone(), log.clone(), OnDrop(log.clone(), "sleep"));
        let task = create_task(async move {
            let slow = async {
                _ = protect(sleep(ms(30)), ms(100)).await;
                one.add("never");
            };
            let fast = async {
                _ = protect(sleep(ms(10)), ms(100)).await;
                two.add("never");
            };
            let plain = finally(sleep(ms(LONG)), async move || {
                three.0.add("interrupted");
                drop(three);
            });
            futures::join!(slow, fast, plain);
        });
        sleep(ms(5)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        log.add("ended");
        log.expect(&[(5, "interrupted"), (5, "sleep"), (30, "ended")]);
    });
}

#[test]
fn a_limit_in_one_branch_leaves_the_protection_beside_it_alone() {
    run_virtual(async {
        let limited = wait_for(sleep(ms(LONG)), ms(5));
        let (limited, protected) = futures::join!(limited, protect(sleep(ms(20)), ms(100)));
        assert_eq!((limited, protected), (Err(TimedOut), Ok(())));
    });
}

#[test]
fn a_select_that_the_protection_loses_drops_it_and_its_cancel() {
    run_virtual(async {
        let log = Log::new();
        let inner = log.clone();
        let task = create_task(async move {
            let held = OnDrop(inner.clone(), "dropped hard");
            let cleanup = Box::pin(protect(
                async move {
                    let _held = held;
                    sleep(ms(LONG)).await;
                },
                ms(LONG),
            ));
            let wins = protect(sleep(ms(10)), ms(100)).map(drop);
            let wins = Box::pin(catch_cancel(wins));
            drop(select(cleanup, wins).await);
            assert_eq!(current_task().cancelling(), 1);
            current_task().uncancel();
            sleep(ms(5)).await;
            inner.add("went on");
        });
        sleep(ms(5)).await;
        task.cancel();
        assert_eq!(task.await, Ok(()));
        log.expect(&[(10, "dropped hard"), (15, "went on")]);
    });
}

#[test]
fn a_protection_that_lost_a_select_and_is_kept_takes_no_cancel_that_comes_meanwhile() {
    run_virtual(async {
        let task = create_task(async {
            let kept = Box::pin(protect(sleep(ms(20)), ms(100)));
            let Either::Right(((), kept)) = select(kept, Box::pin(sleep(ms(1)))).await else {
                unreachable!("the other is faster")
            };
            assert!(catch_cancel(sleep(ms(LONG))).await.is_err());
            assert_eq!(kept.await, Ok(()));
            sleep(ms(1)).await;
            at()
        });
        sleep(ms(5)).await;
        task.cancel();
        assert_eq!(task.await, Ok(21));
    });
}

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

/// Futures in a set, with nothing else in it.
async fn set(futures: Vec<Boxed>, kind: usize) {
    match kind {
        0 => futures.into_iter().collect::<FuturesUnordered<_>>().collect::<()>().await,
        1 => drop(join_all(futures).await),
        _ => {
            let inner: Boxed = Box::pin(set(futures, 0));
            [inner].into_iter().collect::<FuturesUnordered<_>>().collect::<()>().await;
        }
    }
}

#[test]
fn in_a_set_each_is_held_until_its_own_end() {
    for kind in 0..3 {
        for around in [false, true] {
            run_virtual(async move {
                let _watchdog = Watchdog::new("in_a_set_each_is_held_until_its_own_end");
                let log = Log::new();
                let inner = log.clone();
                let task = create_task(async move {
                    let cleans = |millis: u64, name: &'static str| -> Boxed {
                        let log = inner.clone();
                        Box::pin(async move {
                            let clean = async {
                                sleep(ms(millis / 2)).await;
                                sleep(ms(millis / 2)).await;
                                log.add(name);
                            };
                            protect(clean, ms(1_000)).await.unwrap();
                            log.add("never");
                        })
                    };
                    let mut all = vec![cleans(20, "a"), cleans(60, "b"), cleans(40, "c")];
                    all.push(Box::pin(sleep(ms(LONG))));
                    all.extend((0..40).map(|_| -> Boxed { Box::pin(sleep(ms(LONG))) }));
                    if around {
                        assert_eq!(wait_for(set(all, kind), ms(5)).await, Err(TimedOut));
                    } else {
                        set(all, kind).await;
                    }
                });
                sleep(ms(5)).await;
                if !around {
                    task.cancel();
                }
                assert_eq!(task.await.is_err(), !around);
                log.add("ended");
                log.expect(&[(20, "a"), (40, "c"), (60, "b"), (60, "ended")]);
            });
        }
    }
}

#[test]
fn in_a_set_it_holds_around_foreign_code() {
    for kind in 0..3 {
        run_virtual(async move {
            let _watchdog = Watchdog::new("in_a_set_it_holds_around_foreign_code");
            let (sender, receiver) = futures::channel::oneshot::channel::<()>();
            let task = create_task(async move {
                let protected: Boxed = Box::pin(async {
                    protect(async { receiver.await.unwrap() }, ms(100)).await.unwrap();
                });
                let ticks: Boxed = Box::pin(async {
                    let ticks = async {
                        for _ in 0..8 {
                            sleep(ms(1)).await;
                        }
                    };
                    protect(ticks, ms(100)).await.unwrap();
                });
                set(vec![protected, Box::pin(sleep(ms(LONG))), ticks], kind).await;
            });
            sleep(ms(3)).await;
            task.cancel();
            sleep(ms(2)).await;
            task.cancel();
            sleep(ms(5)).await;
            assert!(!task.is_done());
            sender.send(()).unwrap();
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(at(), 10);
        });
    }
}

#[test]
fn in_a_set_its_grace_ends_it() {
    for kind in 0..3 {
        run_virtual(async move {
            let _watchdog = Watchdog::new("in_a_set_its_grace_ends_it");
            let task = create_task(async move {
                let protected: Boxed = Box::pin(async move {
                    let cleanup = set(vec![Box::pin(sleep(ms(LONG))), Box::pin(pending())], kind);
                    assert_eq!(protect(cleanup, ms(50)).await, Err(TimedOut));
                });
                set(vec![protected, Box::pin(sleep(ms(LONG)))], kind).await;
            });
            sleep(ms(60)).await;
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(at(), 60);
        });
    }
}

#[test]
fn while_a_cancel_is_held_back_a_limit_inside_reaches_what_is_in_a_set_beside_futures_that_wake_themselves()
 {
    for yielders in [1, 4, 20, 100] {
        run_virtual(async move {
            let _watchdog = Watchdog::new("a_limit_inside_reaches_all_in_a_set");
            let cleaned = Rc::new(Cell::new(false));
            let cleans = cleaned.clone();
            let task = create_task(async move {
                let work = finally(sleep(ms(LONG)), async move || cleans.set(true));
                let mut all: Vec<Boxed> = vec![Box::pin(work)];
                all.extend((0..yielders).map(|_| -> Boxed {
                    let yields = Cell::new(0);
                    Box::pin(poll_fn(move |cx| {
                        yields.set(yields.get() + 1);
                        cx.waker().wake_by_ref();
                        if yields.get() < 1_000_000 { Poll::Pending } else { Poll::Ready(()) }
                    }))
                }));
                let cleanup = async {
                    sleep(ms(10)).await;
                    assert_eq!(wait_for(set(all, 0), ms(0)).await, Err(TimedOut));
                };
                protect(cleanup, ms(100)).await.unwrap();
            });
            sleep(ms(5)).await;
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!((at(), cleaned.get()), (10, true), "beside {yielders}");
        });
    }
}

/// What a clean-up may wait for.
fn waits(kind: usize) -> Boxed {
    match kind {
        0 => Box::pin(sleep(ms(LONG))),
        1 => Box::pin(async {
            let lock = Lock::new();
            let _guard = lock.acquire().await;
            drop(lock.acquire().await);
        }),
        2 => Box::pin(async { Event::new().wait().await }),
        3 => Box::pin(async { _ = Queue::<u32>::unbounded().get().await }),
        4 => Box::pin(async { drop(Semaphore::new(0).acquire().await) }),
        5 => Box::pin(async { drop(create_task(sleep(ms(LONG))).await) }),
        6 => Box::pin(async { drop(gather([sleep(ms(LONG))]).await) }),
        7 => Box::pin(wait_for(sleep(ms(LONG)), ms(LONG)).map(drop)),
        8 => Box::pin(protect(sleep(ms(LONG)), ms(LONG)).map(drop)),
        9 => Box::pin(set(vec![Box::pin(sleep(ms(LONG)))], 0)),
        _ => Box::pin(pending()),
    }
}

#[test]
fn whatever_it_waits_for_a_cancel_leaves_it_alone_and_the_end_of_the_grace_ends_it() {
    for kind in 0..=10 {
        run_virtual(async move {
            let _watchdog = Watchdog::new("whatever_it_waits_for");
            let task = create_task(async move { _ = protect(waits(kind), ms(50)).await });
            for _ in 0..10 {
                sleep(ms(4)).await;
                task.cancel();
            }
            sleep(ms(5)).await;
            assert!(!task.is_done(), "{kind}");
            assert!(task.await.unwrap_err().is_cancelled(), "{kind}");
            assert_eq!(at(), 50, "{kind}");
        });
    }
}

#[test]
fn dropped_hard_in_every_state_it_leaves_nothing_behind() {
    // Not polled, waiting, holding a cancel back, after its grace, and after its end.
    for (cancels, after) in [(false, 0), (false, 5), (true, 5), (false, 60), (true, 60)] {
        for kind in 0..=10 {
            run_virtual(async move {
                let log = Log::new();
                let held = OnDrop(log.clone(), "dropped");
                let cleanup = async move {
                    let _held = held;
                    loop {
                        _ = catch_cancel(waits(kind)).await;
                    }
                };
                let protected: Boxed = Box::pin(protect(cleanup, ms(50)).map(drop));
                let keeps = Rc::new(RefCell::new(Some(protected)));
                let kept = keeps.clone();
                let task = create_task(poll_fn(move |cx| match &mut *kept.borrow_mut() {
                    Some(protected) if after > 0 => protected.as_mut().poll(cx),
                    _ => Poll::Pending,
                }));
                sleep(ms(2)).await;
                if cancels {
                    task.cancel();
                }
                sleep(ms(after)).await;
                let dropped = keeps.take();
                drop(dropped);
                log.expect(&[(2 + after, "dropped")]);
                let requests = task.cancelling();
                assert_eq!(requests, usize::from(cancels), "{kind} {after}: {requests}");
                let dump = loopwheel::dump();
                assert!(dump.tasks.iter().all(|it| !it.is_held_back), "{kind} {after}: {dump}");
            });
        }
    }
}

#[test]
fn a_cancel_that_goes_on_inside_a_protection_comes_out_whatever_waits_beside_it() {
    run_virtual(async {
        let task = create_task(async {
            let cancelled = catch_cancel(sleep(ms(LONG))).await.unwrap_err();
            let inside = async {
                let inside = protect(async { cancelled.reraise().await }, ms(LONG));
                drop(catch_cancel(inside).await);
                now()
            };
            futures::join!(sleep(ms(10)), inside).1
        });
        sleep(ms(1)).await;
        task.cancel();
        assert_eq!(task.await, Ok(Instant::START + ms(1)));
    });
}
