//! Faults that random programs found when they were compared with the model of cancellation (`cancel_model.rs`).
//! Each is as small as it could be made.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use common::{Log, Watchdog, ms};
use futures::future::{Either, join, select};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use loopwheel::sync::{Event, Lock, Queue};
use loopwheel::{
    Instant, TaskGroup, TimedOut, catch_cancel, create_task, current_task, finally, gather, now,
    run_virtual, sleep, wait_for, yield_now,
};

const LONG: u64 = 60_000;

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

/// Cleans up for this long when it is cancelled.
async fn cleans_up(millis: u64) {
    finally(sleep(ms(LONG)), async || sleep(ms(millis)).await).await;
}

async fn set(futures: impl IntoIterator<Item = Boxed>) {
    drop(futures.into_iter().collect::<FuturesUnordered<_>>().collect::<Vec<_>>().await);
}

/// A future that a test keeps and does not await.
type Kept = Rc<RefCell<Option<Boxed>>>;

/// Awaits `wins`, and keeps `loses`.
async fn keep(
    kept: &Kept,
    loses: impl Future<Output = ()> + 'static,
    wins: impl Future<Output = ()>,
) {
    let loses: Boxed = Box::pin(loses);
    let wins = std::pin::pin!(wins);
    match select(loses, wins).await {
        Either::Left(_) => panic!("it was to lose"),
        Either::Right(((), left)) => *kept.borrow_mut() = Some(left),
    }
}

/// Its child fails after 20 ms. Its body would take much longer.
async fn group_that_fails() {
    let scope = TaskGroup::<&str>::scope(async |group| {
        drop(group.create_task(async {
            sleep(ms(20)).await;
            Err::<(), _>("it fails")
        }));
        sleep(ms(LONG)).await;
        Ok::<_, &str>(())
    });
    assert!(scope.await.is_err());
}

fn after_start(millis: u64) -> bool {
    now() - Instant::START == ms(millis)
}

#[test]
fn what_a_limit_has_interrupted_stays_so_when_the_task_is_cancelled_as_well() {
    run_virtual(async {
        let log = Log::new();
        let slept = log.clone();
        let task = create_task(async move {
            let body = async {
                let beside = async {
                    sleep(ms(100)).await;
                    slept.add("slept");
                };
                futures::join!(cleans_up(LONG), beside);
            };
            wait_for(body, ms(10)).await
        });
        sleep(ms(200)).await; // the time of what was interrupted is over by now
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(after_start(200));
        log.expect(&[]);
    });
}

#[test]
fn what_is_kept_does_not_keep_a_scope_from_ending() {
    let _watchdog = Watchdog::new("something kept");
    run_virtual(async {
        for in_a_set in [false, true] {
            let (kept, start) = (Kept::default(), now());
            let keeps = kept.clone();
            let body: Boxed = Box::pin(async move {
                let cleanup = async || keep(&keeps, cleans_up(0), sleep(ms(20))).await;
                finally(sleep(ms(LONG)), cleanup).await;
            });
            let body = if in_a_set { Box::pin(set([body])) } else { body };
            assert_eq!(wait_for(body, ms(10)).await, Err(TimedOut));
            assert_eq!(now() - start, ms(30), "in a set: {in_a_set}");
            assert!(kept.take().is_some());
        }
    });
}

#[test]
fn what_waits_until_it_loses_in_the_same_poll_does_not_keep_a_task_from_ending() {
    run_virtual(async {
        let kept = Kept::default();
        let (handle, keeps) = (create_task(sleep(ms(LONG))), kept.clone());
        let loses = async move { drop(handle.await) };
        let task = create_task(async move {
            finally(sleep(ms(LONG)), async || keep(&keeps, loses, async {}).await).await;
        });
        sleep(ms(10)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(after_start(10));
    });
}

#[test]
fn a_handle_that_lost_in_the_same_poll_is_left_alone_by_the_next_cancel() {
    run_virtual(async {
        let kept = Kept::default();
        let child = create_task(sleep(ms(100))).shared();
        let (handle, keeps) = (child.clone(), kept.clone());
        let loses = async move { drop(handle.await) };
        let inner = async move {
            let cleanup = async || keep(&keeps, loses, sleep(ms(20))).await;
            finally(sleep(ms(LONG)), cleanup).await;
        };
        let task = create_task(async { finally(inner, async || sleep(ms(LONG)).await).await });
        sleep(ms(10)).await;
        task.cancel();
        sleep(ms(40)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(after_start(50));
        assert_eq!(child.await, Ok(()));
    });
}

#[test]
fn the_request_of_a_group_that_is_kept_is_none_of_a_limits_business() {
    run_virtual(async {
        let kept = Kept::default();
        keep(&kept, group_that_fails(), sleep(ms(10))).await;
        assert_eq!(wait_for(sleep(ms(LONG)), ms(30)).await, Err(TimedOut));
        drop(kept.take());
        assert_eq!(current_task().cancelling(), 0);
    });
}

#[test]
fn a_group_whose_child_fails_when_its_task_is_over_cancels_its_body_where_it_is_polled() {
    run_virtual(async {
        let kept = Kept::default();
        let keeps = kept.clone();
        create_task(async move { keep(&keeps, group_that_fails(), sleep(ms(10))).await })
            .await
            .unwrap();
        sleep(ms(30)).await;
        let group = kept.take().unwrap();
        group.await;
        assert!(after_start(40));
    });
}

#[test]
fn who_is_interrupted_in_a_line_leaves_it_though_its_task_is_still_cleaning_up() {
    run_virtual(async {
        let queue = Rc::new(Queue::unbounded());
        let get = |queue: Rc<Queue<u32>>| async move { queue.get().await };
        let first = {
            let get = get(queue.clone());
            create_task(join(get, cleans_up(50)))
        };
        yield_now().await;
        let second = create_task(get(queue.clone()));
        sleep(ms(1)).await;
        first.cancel();
        sleep(ms(1)).await;
        queue.put_nowait(7).unwrap();
        assert_eq!(second.await, Ok(Ok(7)));
        assert!(after_start(2) && !first.is_done());
    });
}

#[test]
fn a_clean_up_in_a_set_is_waited_for_when_another_branch_lets_the_cancel_go_on() {
    run_virtual(async {
        let cleaned = Rc::new(Cell::new(false));
        let cleans = cleaned.clone();
        let task = create_task(async move {
            let in_a_set: Boxed = Box::pin(async move {
                assert!(catch_cancel(sleep(ms(LONG))).await.is_err());
                sleep(ms(50)).await;
                cleans.set(true);
            });
            futures::join!(set([in_a_set]), cleans_up(20));
        });
        sleep(ms(10)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(cleaned.get() && after_start(60));
    });
}

#[test]
fn a_gather_that_has_ended_cancelled_cancels_no_task_again() {
    run_virtual(async {
        let cancels = Rc::new(Cell::new(0));
        let counts = cancels.clone();
        let slow = async move {
            drop(catch_cancel(sleep(ms(LONG))).await);
            drop(catch_cancel(sleep(ms(100))).await);
            counts.set(current_task().cancelling());
        };
        let quick = sleep(ms(LONG));
        let children: [Boxed; 2] = [Box::pin(slow), Box::pin(quick)];
        let task = create_task(async { drop(join(gather(children), cleans_up(50)).await) });
        sleep(ms(10)).await;
        task.cancel();
        sleep(ms(10)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        sleep(ms(200)).await;
        assert_eq!(cancels.get(), 1);
    });
}

#[test]
fn of_limits_that_are_moved_and_up_together_the_outer_one_is_the_one() {
    run_virtual(async {
        let seen = Rc::new(RefCell::new(None));
        let place = seen.clone();
        let kept = Kept::default();
        let keeps = kept.clone();
        let limits = async move {
            let inner = async { wait_for(pending::<()>(), ms(20)).await };
            *place.borrow_mut() = Some(wait_for(inner, ms(30)).await);
        };
        create_task(async move { keep(&keeps, limits, sleep(ms(10))).await }).await.unwrap();
        sleep(ms(40)).await;
        let limits = kept.take().unwrap();
        create_task(limits).await.unwrap();
        assert_eq!(
            seen.take(),
            Some(Err(TimedOut)),
            "as in asyncio, where the inner one lets it pass"
        );
    });
}

#[test]
fn what_was_woken_in_a_set_beside_is_not_lost() {
    run_virtual(async {
        let inner: Boxed = Box::pin(async {
            let in_a_set: Boxed = Box::pin(cleans_up(50));
            assert!(wait_for(set([in_a_set, Box::pin(sleep(ms(LONG)))]), ms(10)).await.is_err());
        });
        let others = (1..40).map(|n| Box::pin(sleep(ms(n * 5))) as Boxed);
        set(others.chain([inner])).await;
        assert!(after_start(195));
        assert!(pending::<()>().now_or_never().is_none());
    });
}

// ---- found by trying to break it --------------------------------------------------------------------------------------

/// Runs a group whose child fails only when it is cancelled, and then something that would take long.
async fn group_that_fails_late_and_more() {
    let failed = TaskGroup::scope(async |group| {
        group.create_task(async {
            let _ = catch_cancel(sleep(ms(LONG))).await;
            Err::<(), _>("late")
        });
        Ok::<_, &str>(())
    });
    assert!(failed.await.is_err());
    sleep(ms(LONG)).await;
}

#[test]
fn a_limit_around_a_group_that_fails_while_it_is_cancelled_interrupts_nothing_beside_it() {
    run_virtual(async {
        let task = create_task(async {
            sleep(ms(100)).await;
            "done"
        });
        let both = futures::join!(wait_for(group_that_fails_late_and_more(), ms(10)), task);
        assert_eq!(both, (Err(TimedOut), Ok("done")));
    });
}

#[test]
fn a_group_in_a_group_that_fails_in_the_same_turn_interrupts_nothing_beside_them() {
    run_virtual(async {
        let fails = async || {
            sleep(ms(10)).await;
            Err::<(), _>("broken")
        };
        let task = create_task(sleep(ms(100)));
        let groups = TaskGroup::scope(async |outer| {
            outer.create_task(fails());
            let inner = TaskGroup::scope(async |inner| {
                inner.create_task(fails());
                sleep(ms(LONG)).await;
                Ok::<_, &str>(())
            });
            let failed = inner.await.is_err();
            assert!(
                failed && catch_cancel(sleep(ms(5))).await.is_err(),
                "its next await is interrupted"
            );
            Ok::<_, &str>(())
        });
        let (groups, beside) = futures::join!(groups, task);
        assert!(groups.is_err() && beside.is_ok());
        assert_eq!((after_start(100), current_task().cancelling()), (true, 0));
    });
}

#[test]
fn one_cancel_interrupts_each_branch_once_though_a_group_in_one_raises_it_again() {
    run_virtual(async {
        let log = Log::new();
        let seen = log.clone();
        let task = create_task(async move {
            let clean_up = async || {
                sleep(ms(50)).await;
                seen.add("cleaned up");
            };
            futures::join!(group_that_fails_late_and_more(), finally(sleep(ms(LONG)), clean_up));
        });
        sleep(ms(10)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        log.expect(&[(60, "cleaned up")]);
    });
}

#[test]
fn a_cancel_at_the_moment_of_timers_reaches_what_is_in_sets_beside_them() {
    for at in [9, 10] {
        run_virtual(async move {
            let cleaned = Rc::new(Cell::new(false));
            let cleans = cleaned.clone();
            let naps = || set([Box::pin(sleep(ms(10))) as Boxed, Box::pin(sleep(ms(LONG)))]);
            let work = finally(sleep(ms(LONG)), async move || cleans.set(true));
            let task =
                create_task(set([Box::pin(work) as Boxed, Box::pin(naps()), Box::pin(naps())]));
            sleep(ms(at)).await;
            task.cancel();
            assert!(task.await.is_err());
            assert!(cleaned.get(), "cancelled at {at} ms");
        });
    }
}

#[test]
fn a_cancel_reaches_what_is_in_a_set_beside_futures_that_wake_themselves() {
    let _watchdog = Watchdog::new("beside futures that wake themselves");
    async fn foreign_yield() {
        let mut is_first = true;
        std::future::poll_fn(|cx| {
            if std::mem::take(&mut is_first) {
                cx.waker().wake_by_ref();
                return std::task::Poll::Pending;
            }
            std::task::Poll::Ready(())
        })
        .await;
    }
    for yielders in [1, 4, 20, 100] {
        run_virtual(async move {
            let cleaned = Rc::new(Cell::new(false));
            let cleans = cleaned.clone();
            let work = finally(sleep(ms(LONG)), async move || cleans.set(true));
            let mut all = vec![Box::pin(work) as Boxed];
            all.extend((0..yielders).map(|_| {
                Box::pin(async {
                    for _ in 0..1_000_000 {
                        foreign_yield().await;
                    }
                }) as Boxed
            }));
            let task = create_task(set(all));
            for _ in 0..20 {
                yield_now().await;
            }
            task.cancel();
            assert!(task.await.is_err());
            assert!(cleaned.get(), "beside {yielders}");
        });
    }
}

#[test]
fn what_catches_around_foreign_code_counts_as_a_branch() {
    run_virtual(async {
        let cleaned = Rc::new(Cell::new(0));
        let clean = || {
            let cleaned = cleaned.clone();
            finally(pending::<()>(), async move || cleaned.set(cleaned.get() + 1))
        };
        let (one, two, three, four) = (clean(), clean(), clean(), clean());
        let group = TaskGroup::scope(async |_| pending::<Result<(), &str>>().await);
        let tasks = [
            create_task(join(one, two).map(|_| ())),
            create_task(join(three, sleep(ms(LONG))).map(|_| ())),
            create_task(async { drop(join(create_task(sleep(ms(LONG))), four).await) }),
            create_task(async { drop(join(group, sleep(ms(LONG))).await) }),
        ];
        yield_now().await;
        for task in tasks {
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
        }
        assert!(after_start(0), "at once");
        assert_eq!(cleaned.get(), 4);
    });
}

#[test]
fn what_catches_around_foreign_code_in_a_set_is_reached() {
    for channels in [3, 30, 31, 100] {
        run_virtual(async move {
            let cleaned = Rc::new(Cell::new(0));
            let (senders, receivers): (Vec<_>, Vec<_>) =
                (0..channels).map(|_| futures::channel::mpsc::unbounded::<u8>()).unzip();
            let cleans = cleaned.clone();
            let receive = receivers.into_iter().map(move |mut receiver| {
                let cleans = cleans.clone();
                async move {
                    finally(receiver.next(), async || cleans.set(cleans.get() + 1)).await;
                }
            });
            let task = create_task(futures::future::join_all(receive));
            yield_now().await;
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!(cleaned.get(), channels);
            drop(senders);
        });
    }
}

#[test]
fn a_kept_waiter_that_was_moved_gets_the_lock_though_its_first_task_is_cancelled() {
    run_virtual(async {
        let lock = Rc::new(Lock::new());
        let guard = lock.acquire().await;
        let kept: Kept = Kept::default();
        let (of_first, of_second, theirs) = (kept.clone(), kept.clone(), lock.clone());
        let first = create_task(async move {
            keep(&of_first, async move { drop(theirs.acquire().await) }, yield_now()).await;
            sleep(ms(LONG)).await;
        });
        let go = Rc::new(Event::new());
        let gone = go.clone();
        let second = create_task(async move {
            gone.wait().await;
            let waiter = of_second.take().unwrap();
            waiter.await;
        });
        sleep(ms(10)).await;
        go.set();
        first.cancel();
        drop(guard);
        assert_eq!(wait_for(second, ms(100)).await, Ok(Ok(())));
        assert!(!lock.is_locked());
    });
}

#[test]
fn tasks_without_any_time_in_a_join_are_each_left_alone_by_a_cancel_of_the_wait() {
    run_virtual(async {
        let cleaned = Rc::new(Cell::new(0));
        let clean = || {
            let cleaned = cleaned.clone();
            create_task(finally(sleep(ms(LONG)), async move || {
                sleep(ms(10)).await;
                cleaned.set(cleaned.get() + 1);
            }))
        };
        let (one, two) = (clean(), clean());
        yield_now().await;
        let no_time = std::time::Duration::ZERO;
        let task =
            create_task(
                async move { drop(join(wait_for(one, no_time), wait_for(two, no_time)).await) },
            );
        sleep(ms(5)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(after_start(5), "it waits no more");
        sleep(ms(50)).await;
        assert_eq!(cleaned.get(), 2);
    });
}

#[test]
fn what_begins_to_wait_beside_the_one_thing_that_is_interrupted_is_awaited() {
    run_virtual(async {
        let log = Log::new();
        let (of_task, flag) = (log.clone(), Rc::new(Cell::new(false)));
        let is_set = flag.clone();
        let task = create_task(async move {
            let other = async {
                // Foreign code that keeps no waker.
                poll_fn(|_| if is_set.get() { Poll::Ready(()) } else { Poll::Pending }).await;
                sleep(ms(10)).await;
                of_task.add("slept");
            };
            futures::join!(sleep(ms(LONG)), other)
        });
        sleep(ms(1)).await;
        flag.set(true);
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        log.expect(&[(11, "slept")]);
    });
}

#[test]
fn a_task_that_is_first_awaited_in_the_poll_that_delivers_takes_the_cancel() {
    run_virtual(async {
        let (flag, goes_on) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
        let (is_set, of_task) = (flag.clone(), goes_on.clone());
        let child = create_task(finally(sleep(ms(LONG)), async || sleep(ms(3)).await));
        let child_ref = child.to_ref();
        let task = create_task(async move {
            poll_fn(|_| if is_set.get() { Poll::Ready(()) } else { Poll::Pending }).await;
            drop(child.await);
            of_task.set(true);
        });
        sleep(ms(1)).await;
        flag.set(true);
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(
            (child_ref.cancelling(), goes_on.get(), now()),
            (1, false, Instant::START + ms(4))
        );
    });
}

#[test]
fn what_lost_in_the_delivery_of_a_cancel_takes_no_later_one_beside_it() {
    run_virtual(async {
        let log = Log::new();
        let of_task = log.clone();
        let task = create_task(async move {
            let slow = Box::pin(async {
                sleep(ms(10)).await;
                of_task.add("slept");
            });
            let caught = Box::pin(catch_cancel(sleep(ms(LONG))));
            match select(caught, slow).await {
                Either::Left((caught, slow)) => {
                    yield_now().await;
                    futures::join!(async { caught.unwrap_err().reraise().await }, slow);
                }
                Either::Right(_) => unreachable!("it is cancelled"),
            }
        });
        sleep(ms(1)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        log.expect(&[(10, "slept")]);
    });
}
