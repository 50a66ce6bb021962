//! Tests the cancel of a task that awaits a set of futures: each future in it is interrupted, and each clean-up is awaited,
//! though such a set polls only the futures that were woken.

mod common;

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use common::{Watchdog, ms};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::{FuturesOrdered, FuturesUnordered};
use loopwheel::{
    Instant, catch_cancel, create_task, finally, gather, now, run_virtual, sleep, wait_for,
};

/// The time after which the tests do not wait for anything.
const LONG: u64 = 60_000;

/// The futures that a task awaits, all of them.
#[derive(Clone, Copy, Debug)]
enum Set {
    Unordered,
    Ordered,
    JoinAll,
}

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

async fn all_of(set: Set, futures: Vec<Boxed>) {
    match set {
        Set::Unordered => drop(FuturesUnordered::from_iter(futures).collect::<Vec<_>>().await),
        Set::Ordered => drop(FuturesOrdered::from_iter(futures).collect::<Vec<_>>().await),
        Set::JoinAll => drop(join_all(futures).await),
    }
}

/// Puts this many futures in each kind of set, cancels the task that awaits the set, and expects that each clean-up has run once,
/// and that the task has ended with the last of them.
fn each_cleans_up(make: impl Fn(u64, Rc<Cell<usize>>) -> Boxed) {
    let _watchdog = Watchdog::new("a set that is cancelled");
    for set in [Set::Unordered, Set::Ordered, Set::JoinAll] {
        for many in [3, 30, 31, 100] {
            run_virtual(async {
                let cleaned = Rc::new(Cell::new(0));
                let futures = (0..many).map(|n| make(n % 7 + 1, cleaned.clone())).collect();
                let task = create_task(all_of(set, futures));
                sleep(ms(5)).await;
                assert!(task.cancel());
                assert!(task.await.unwrap_err().is_cancelled());
                let ended = now() - Instant::START;
                assert_eq!(cleaned.get(), usize::try_from(many).unwrap(), "{set:?} of {many}");
                assert_eq!(ended, ms(5 + many.min(7)), "{set:?} of {many}");
            });
        }
    }
}

async fn counts(millis: u64, cleaned: Rc<Cell<usize>>) {
    finally(sleep(ms(LONG)), async || {
        sleep(ms(millis)).await;
        cleaned.update(|cleaned| cleaned + 1);
    })
    .await;
}

#[test]
fn in_a_set_each_catch_cancel_catches() {
    each_cleans_up(|millis, cleaned| {
        Box::pin(async move {
            let cancelled = catch_cancel(sleep(ms(LONG))).await.unwrap_err();
            sleep(ms(millis)).await;
            cleaned.update(|cleaned| cleaned + 1);
            cancelled.reraise().await;
        })
    });
}

#[test]
fn in_a_set_each_finally_runs() {
    each_cleans_up(|millis, cleaned| Box::pin(counts(millis, cleaned)));
}

#[test]
fn in_a_set_each_task_is_cancelled() {
    each_cleans_up(|millis, cleaned| {
        let task = create_task(counts(millis, cleaned));
        Box::pin(async move { drop(task.await) })
    });
}

#[test]
fn in_a_set_each_gathering_is_cancelled() {
    each_cleans_up(|millis, cleaned| {
        let gathering = gather([counts(millis, cleaned)]);
        Box::pin(async move { drop(gathering.await) })
    });
}

#[test]
fn in_a_set_what_each_time_limit_holds_is_cancelled() {
    each_cleans_up(|millis, cleaned| {
        Box::pin(async move {
            let _ = wait_for(counts(millis, cleaned), ms(LONG)).await;
        })
    });
}

/// Sets within a set, with something that catches between the two: a cancel reaches what is awaited at any depth. (A set whose
/// futures wake themselves stops early, and a set does so when it has polled all of its own.)
#[test]
fn in_a_set_of_sets_each_cleans_up() {
    let _watchdog = Watchdog::new("a set of sets that is cancelled");
    let kinds = [Set::Unordered, Set::Ordered, Set::JoinAll];
    for (outer, inner) in kinds.into_iter().flat_map(|one| kinds.map(|other| (one, other))) {
        for (many, of) in [(1, 3), (3, 1), (3, 3), (3, 31), (31, 3), (31, 1), (40, 40)] {
            for between in [Between::Nothing, Between::Catches, Between::Limit, Between::Task] {
                run_virtual(async {
                    let cleaned = Rc::new(Cell::new(0));
                    let set = |_| {
                        let all = (0..of).map(|n| clean_boxed(n % 7 + 1, cleaned.clone()));
                        between.puts(all_of(inner, all.collect()))
                    };
                    let task = create_task(all_of(outer, (0..many).map(set).collect()));
                    sleep(ms(5)).await;
                    assert!(task.cancel());
                    assert!(task.await.unwrap_err().is_cancelled());
                    let what =
                        format!("{outer:?} of {many} {inner:?} of {of}, {between:?} between");
                    assert_eq!(cleaned.get(), usize::try_from(many * of).unwrap(), "{what}");
                    assert_eq!(now() - Instant::START, ms(5 + of.min(7)), "{what}");
                });
            }
        }
    }
}

/// Does the same for a time limit that expires and holds such a set. Beside it another one goes on.
#[test]
fn a_limit_around_a_set_of_sets_reaches_each() {
    let _watchdog = Watchdog::new("a limit around a set of sets");
    for set in [Set::Unordered, Set::Ordered, Set::JoinAll] {
        run_virtual(async {
            let cleaned = Rc::new(Cell::new(0));
            let inner = |_| {
                let all = (0..31).map(|n| clean_boxed(n % 7 + 1, cleaned.clone()));
                Box::pin(all_of(set, all.collect())) as Boxed
            };
            let held = all_of(set, (0..31).map(inner).collect());
            let beside = all_of(set, (0..40).map(|n| Box::pin(sleep(ms(n))) as Boxed).collect());
            let limited = wait_for(held, ms(5));
            let (limited, ()) =
                create_task(async { futures::join!(limited, beside) }).await.unwrap();
            assert!(limited.is_err());
            assert_eq!((cleaned.get(), now() - Instant::START), (31 * 31, ms(39)), "{set:?}");
        });
    }
}

/// The same where each in the set passes the cancel on to a task, and holds until that has cleaned up.
#[test]
fn a_limit_around_a_set_of_tasks_and_gatherings_waits_for_each() {
    let _watchdog = Watchdog::new("a limit around a set of gatherings");
    for set in [Set::Unordered, Set::Ordered, Set::JoinAll] {
        for is_gathered in [false, true] {
            run_virtual(async {
                let cleaned = Rc::new(Cell::new(0));
                let held = (0..40).map(|n| {
                    let cleans_up = counts(n % 7 + 1, cleaned.clone());
                    if is_gathered {
                        let gathering = gather([cleans_up]);
                        Box::pin(async move { drop(gathering.await) }) as Boxed
                    } else {
                        let task = create_task(cleans_up);
                        Box::pin(async move { drop(task.await) })
                    }
                });
                assert!(wait_for(all_of(set, held.collect()), ms(5)).await.is_err());
                assert_eq!((cleaned.get(), now() - Instant::START), (40, ms(12)), "{set:?}");
            });
        }
    }
}

fn clean_boxed(millis: u64, cleaned: Rc<Cell<usize>>) -> Boxed {
    Box::pin(counts(millis, cleaned))
}

/// What is between a set and the set around it.
#[derive(Clone, Copy, Debug)]
enum Between {
    Nothing,
    Catches,
    Limit,
    Task,
}

impl Between {
    fn puts(self, set: impl Future<Output = ()> + 'static) -> Boxed {
        match self {
            Between::Nothing => Box::pin(set),
            Between::Catches => Box::pin(async move {
                if let Err(cancelled) = catch_cancel(set).await {
                    cancelled.reraise().await;
                }
            }),
            Between::Limit => Box::pin(async move { wait_for(set, ms(LONG)).await.unwrap_or(()) }),
            Between::Task => {
                let task = create_task(set);
                Box::pin(async move { drop(task.await) })
            }
        }
    }
}

/// The cancel was caught before the set was made, and goes on in one of its futures. That is the set's end, but not before that of the
/// other.
#[test]
fn a_cancel_that_goes_on_in_a_set_waits_for_what_is_beside_it() {
    for set in [Set::Unordered, Set::Ordered, Set::JoinAll] {
        run_virtual(async {
            let cleaned = Rc::new(Cell::new(0));
            let other = cleaned.clone();
            let task = create_task(async move {
                let cancelled = catch_cancel(sleep(ms(LONG))).await.unwrap_err();
                let goes_on = async {
                    sleep(ms(1)).await;
                    cancelled.reraise().await;
                };
                let slow = async move {
                    sleep(ms(10)).await;
                    other.set(1);
                };
                all_of(set, vec![Box::pin(goes_on), Box::pin(slow)]).await;
            });
            sleep(ms(5)).await;
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
            assert_eq!((cleaned.get(), now() - Instant::START), (1, ms(15)), "{set:?}");
        });
    }
}
