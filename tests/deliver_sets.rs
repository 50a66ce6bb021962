//! The promises of a cancel of a task that awaits a set of futures: each future in it is interrupted, and each clean-up is waited
//! for, though such a set polls only what was woken.

mod common;

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use common::{Watchdog, ms};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::{FuturesOrdered, FuturesUnordered};
use loopwheel::{Instant, catch_cancel, create_task, finally, now, run_virtual, sleep, wait_for};

/// The time after which the tests do not wait for anything.
const LONG: u64 = 60_000;

/// What a task awaits all of.
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

/// Puts so many futures in each kind of set, cancels the task that awaits the set, and expects each clean-up to have run once,
/// and the task to have ended with the last of them.
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
fn in_a_set_what_each_time_limit_holds_is_cancelled() {
    each_cleans_up(|millis, cleaned| {
        Box::pin(async move {
            let _ = wait_for(counts(millis, cleaned), ms(LONG)).await;
        })
    });
}
