//! Limits, shields and protections in each order of a small program, with a cancel before each poll of each task and with limits that
//! expire at each poll: a limit expires only when its time is up, a cancel is neither lost nor swallowed, clean-up runs to its end, and
//! what is dropped is dropped once.
//!
//! In a debug build it takes minutes: CI runs it in release. An exploration observes the loop itself, so a further observer is no test.
#![cfg(not(loopwheel_traced))]

#[path = "common/explored.rs"]
mod explored;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use explored::{Things, ended, proves, proves_with_time, samples, samples_with_time, spawn};
use futures::FutureExt;
use futures::future::{Either, join, select};
use loopwheel::sync::{Event, Lock, Queue, Semaphore};
use loopwheel::{
    EventLoop, Handle, Task, TaskBuilder, TestRun, TimedOut, catch_cancel, create_task, explore,
    finally, finally_within, now, protect, shield, sleep, thread_channel, timeout, wait_for,
    yield_now,
};

const SECOND: Duration = Duration::from_secs(1);

fn worker<F: Future + 'static>(body: F) -> Task<F::Output> {
    TaskBuilder::new().name("worker").create_task(body)
}

/// Whatever is still cleaning up has ended when virtual time passes.
async fn settled() {
    sleep(3600 * SECOND).await;
}

// ---- Limits

/// A limit around some polls: it is up only when its time is, and is not up only before that.
async fn limited_polls(polls: usize) -> Option<bool> {
    let things = Things::default();
    let thing = things.one();
    let task = worker(async move {
        let start = now();
        let body = async move {
            for _ in 0..polls {
                yield_now().await;
            }
            thing
        };
        let is_in_time = wait_for(body, SECOND).await.is_ok();
        if !is_in_time {
            assert!(now() - start >= SECOND, "it has expired early");
        }
        yield_now().await; // a cancel that comes with the limit comes out here
        is_in_time
    });
    let outcome = ended(task).await;
    things.are_gone();
    outcome
}

#[test]
fn a_limit_expires_only_when_its_time_is_up() {
    let summary = proves_with_time(|| limited_polls(2));
    let outcomes: Vec<_> = summary.outcomes.keys().map(String::as_str).collect();
    assert_eq!(outcomes, ["None", "Some(false)", "Some(true)"], "{summary}");
    let summary = proves(|| limited_polls(2));
    assert!(!summary.outcomes.contains_key("Some(false)"), "time stands still: {summary}");
}

/// Limits around each kind of wait, of which the time may be up at the moment of the wake-up: what they would get is not lost.
async fn limits_at_a_lock(tasks: usize) -> (usize, usize) {
    let lock = Rc::new(Lock::new());
    let take = |_| {
        spawn("worker", &lock, |lock| async move {
            match wait_for(lock.acquire(), SECOND).await {
                Ok(_guard) => yield_now().await,
                Err(TimedOut) => return false,
            }
            true
        })
    };
    let tasks: Vec<_> = (0..tasks).map(take).collect();
    let (mut in_time, mut late) = (0, 0);
    for task in tasks {
        match ended(task).await {
            Some(true) => in_time += 1,
            Some(false) => late += 1,
            None => {}
        }
    }
    assert!(!lock.is_locked() && lock.waiting() == 0);
    (in_time, late)
}

#[test]
fn a_limit_that_expires_with_the_wake_up_hands_on() {
    let summary = proves_with_time(|| limits_at_a_lock(3));
    assert!(summary.outcomes.contains_key("(1, 2)"), "{summary}");
    samples_with_time(|| limits_at_a_lock(8));
}

/// Things go through a queue whose getters have limits. What came when the time was up stays in the queue.
async fn limits_at_a_queue(getters: usize, each: usize) -> usize {
    let things = Things::default();
    let queue = Rc::new(Queue::unbounded());
    let got = Rc::new(RefCell::new(Vec::new()));
    let get = |_| {
        let got = got.clone();
        spawn("worker", &queue, move |queue| async move {
            for _ in 0..each {
                match wait_for(queue.get(), SECOND).await {
                    Ok(thing) => got.borrow_mut().push(thing.unwrap()),
                    Err(TimedOut) => return,
                }
            }
        })
    };
    let tasks: Vec<_> = (0..getters).map(get).collect();
    let number = getters * each;
    for _ in 0..number {
        queue.put_nowait(things.one()).unwrap();
        yield_now().await;
    }
    for task in tasks {
        ended(task).await;
    }
    assert_eq!(queue.len() + got.borrow().len(), number, "what was not got is there");
    assert_eq!(things.alive(), number);
    drop((got.take(), queue));
    things.are_gone();
    number
}

#[test]
fn a_limit_at_a_queue_loses_no_item() {
    proves_with_time(|| limits_at_a_queue(1, 2));
    samples_with_time(|| limits_at_a_queue(4, 3));
}

/// A limit in a limit, and the outer one may be moved: each says for itself whether it was up.
async fn nested_limits() -> Option<(bool, bool)> {
    let task = worker(async {
        let start = now();
        let inner_is_up = Rc::new(Cell::new(false));
        let noted = inner_is_up.clone();
        let outer = timeout(2 * SECOND, async move |deadline| {
            let inner = wait_for(yield_now(), SECOND).await;
            noted.set(inner.is_err());
            deadline.reschedule(now() + SECOND).unwrap();
            yield_now().await;
        });
        let outer_is_up = outer.await.is_err();
        assert!(!inner_is_up.get() || now() - start >= SECOND);
        assert!(!outer_is_up || now() - start >= SECOND);
        (inner_is_up.get(), outer_is_up)
    });
    ended(task).await
}

#[test]
fn each_of_two_limits_says_whether_it_was_up() {
    let summary = proves_with_time(nested_limits);
    for outcome in ["Some((false, false))", "Some((false, true))", "Some((true, false))"] {
        assert!(summary.outcomes.contains_key(outcome), "{outcome} is missing: {summary}");
    }
}

/// A limit around a task, given by value: the task has ended when the limit has.
async fn a_limit_around_a_task() -> Option<bool> {
    let things = Things::default();
    let (thing, alive) = (things.one(), things.clone());
    let task = worker(async move {
        let child = create_task(async move {
            let _thing = thing;
            finally(yield_now(), async || yield_now().await).await;
        });
        let ended = wait_for(child, SECOND).await;
        assert_eq!(alive.alive(), 0, "it was waited for");
        ended.is_ok()
    });
    let outcome = ended(task).await;
    things.are_gone();
    outcome
}

#[test]
fn a_limit_around_a_task_waits_for_its_clean_up() {
    let summary = proves_with_time(a_limit_around_a_task);
    assert!(summary.outcomes.contains_key("Some(false)"), "{summary}");
}

// ---- Shields and protections

/// A shielded task goes on when what waits for it is cancelled or late. If no other is cancelled, it comes to its end.
async fn shielded(polls: usize, is_spared: bool) -> Option<bool> {
    let is_saved = Rc::new(Cell::new(false));
    let saved = is_saved.clone();
    let save = TaskBuilder::new().name("save").create_task(async move {
        for _ in 0..polls {
            yield_now().await;
        }
        saved.set(true);
    });
    let save = save.shared();
    let shielded = save.clone();
    let task = worker(async move {
        match wait_for(shield(shielded), SECOND).await {
            Ok(saved) => saved.is_ok(),
            Err(TimedOut) => false,
        }
    });
    let seen = ended(task).await;
    let about = save.to_ref();
    assert_eq!(save.await.is_ok(), is_saved.get());
    assert_eq!(about.cancelling() == 0, is_saved.get(), "only its own cancel ends it");
    assert!(seen != Some(true) || is_saved.get());
    assert!(is_saved.get() || !is_spared, "a cancel of the other has reached it");
    seen
}

#[test]
fn a_shielded_task_is_ended_by_no_cancel_but_its_own() {
    let summary = proves_with_time(|| shielded(1, false));
    assert_eq!(summary.outcomes.len(), 3, "{summary}");
    samples_with_time(|| shielded(6, false));
    let spared = explore::all(1_000).cancels(1).cancels_only("worker").early_timers(1);
    let summary = spared.run(|| shielded(2, true));
    assert!(summary.is_complete && summary.outcomes.len() == 3, "{summary}");
}

/// A protected future is whole when the protection has begun: whatever comes from outside comes after it.
async fn protected(polls: usize) -> Option<Option<bool>> {
    let (begun, whole) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
    let noted = (begun.clone(), whole.clone());
    let task = worker(async move {
        let save = async {
            noted.0.set(true);
            for _ in 0..polls {
                yield_now().await;
            }
            noted.1.set(true);
        };
        // The grace is long: within a run time passes early once, and only to the next deadline.
        let saved = wait_for(protect(save, 3600 * SECOND), SECOND).await;
        saved.ok().map(|saved| saved.is_ok())
    });
    let outcome = ended(task).await;
    assert_eq!(begun.get(), whole.get(), "it was cut");
    outcome
}

#[test]
fn what_is_protected_is_whole_or_has_not_begun() {
    let summary = proves_with_time(|| protected(3));
    let outcomes: Vec<_> = summary.outcomes.keys().map(String::as_str).collect();
    assert_eq!(outcomes, ["None", "Some(None)", "Some(Some(true))"], "{summary}");
}

/// A clean-up that nothing cuts, however its body has ended, beside a task that needs what it gives back.
async fn cleaned_up(workers: usize) -> usize {
    let shared = Rc::new((Semaphore::new(1), Cell::new(0)));
    let run = |_| {
        spawn("worker", &shared, |shared| async move {
            shared.0.acquire().await.forget();
            let cleaned = shared.clone();
            let body = async { _ = wait_for(yield_now(), SECOND).await };
            finally_within(body, 3600 * SECOND, async move || {
                yield_now().await;
                yield_now().await;
                cleaned.1.set(cleaned.1.get() + 1);
                cleaned.0.release();
            })
            .await;
        })
    };
    let tasks: Vec<_> = (0..workers).map(run).collect();
    let mut values = 0;
    for task in tasks {
        values += usize::from(ended(task).await.is_some());
    }
    assert_eq!(shared.0.available(), 1, "it was given back");
    assert!((values..=workers).contains(&shared.1.get()));
    values
}

#[test]
fn a_protected_clean_up_is_not_cut_by_a_second_cancel() {
    proves(|| cleaned_up(2));
    let twice = explore::all(20_000).cancels(3).run(|| cleaned_up(1));
    assert!(twice.is_complete, "{twice}");
    samples(|| cleaned_up(6));
}

/// A clean-up whose grace is over is cut, and not before.
async fn a_short_grace() -> Option<bool> {
    let task = worker(async {
        let start = now();
        let protected = protect(pending::<()>(), SECOND).await;
        assert!(protected.is_err() && now() - start >= SECOND);
        true
    });
    ended(task).await
}

#[test]
fn a_grace_ends_what_hangs() {
    let summary = proves_with_time(a_short_grace);
    assert_eq!(summary.outcomes.keys().collect::<Vec<_>>(), ["None", "Some(true)"]);
}

// ---- A cancel that is caught

/// A cancel is caught exactly if there was one; what the program does with it is its own.
async fn caught(polls: usize, goes_on: bool) -> String {
    let things = Things::default();
    let thing = things.one();
    let task = worker(async move {
        let body = async move {
            let _thing = thing;
            for _ in 0..polls {
                yield_now().await;
            }
        };
        match catch_cancel(body).await {
            Ok(()) => "value",
            Err(cancelled) if goes_on => cancelled.reraise().await,
            Err(_swallowed) => {
                assert_eq!(loopwheel::current_task().uncancel(), 0);
                yield_now().await; // it lives on
                "swallowed"
            }
        }
    });
    let outcome = ended(task).await;
    things.are_gone();
    format!("{outcome:?}")
}

#[test]
fn a_cancel_is_caught_if_and_only_if_there_was_one() {
    let outcomes = |goes_on| {
        let summary = proves(|| caught(2, goes_on));
        summary.outcomes.into_keys().collect::<Vec<_>>()
    };
    // Before it begins a task catches nothing.
    let (none, value) = (r#""None""#, r#""Some(\"value\")""#);
    assert_eq!(outcomes(true), [none, value]);
    assert_eq!(outcomes(false), [none, r#""Some(\"swallowed\")""#, value]);
}

/// Clean-up after clean-up: each runs once, inside out.
async fn in_several_layers() -> String {
    let order = Rc::new(RefCell::new(String::new()));
    let (inner, outer) = (order.clone(), order.clone());
    let task = worker(async move {
        let body = finally(yield_now(), async move || {
            inner.borrow_mut().push('i');
            yield_now().await;
        });
        finally(body, async move || {
            outer.borrow_mut().push('o');
            yield_now().await;
        })
        .await;
    });
    let has_value = ended(task).await.is_some();
    let order = order.take();
    assert!(order == "io" || (order.is_empty() && !has_value), "{order}");
    order
}

#[test]
fn layers_of_clean_up_run_once_each_and_inside_out() {
    let summary = proves(in_several_layers);
    assert_eq!(summary.outcomes.len(), 2, "{summary}");
    assert!(explore::all(20_000).cancels(2).run(in_several_layers).is_complete);
}

// ---- select! and join! of the futures crate

/// A getter that loses against an event takes no item with it.
async fn selected(rounds: usize) -> usize {
    let things = Things::default();
    let shared = Rc::new((Queue::unbounded(), Event::new(), things.clone()));
    let got = Rc::new(Cell::new(0));
    let counted = got.clone();
    let task = spawn("worker", &shared, |shared| async move {
        let (queue, stop, _) = &*shared;
        loop {
            let (get, stopped) = (std::pin::pin!(queue.get()), std::pin::pin!(stop.wait()));
            match select(get, stopped).await {
                Either::Left((thing, _)) => drop(thing.unwrap()),
                Either::Right(((), _)) => return,
            }
            counted.set(counted.get() + 1);
        }
    });
    let putter = spawn("putter", &shared, move |shared| async move {
        for _ in 0..rounds {
            shared.0.put_nowait(shared.2.one()).unwrap();
            yield_now().await;
        }
        shared.1.set();
    });
    ended(putter).await;
    shared.1.set();
    ended(task).await;
    assert_eq!(shared.0.len(), things.alive(), "what was not got is in the queue");
    while shared.0.get_nowait().is_ok() {}
    things.are_gone();
    got.get()
}

#[test]
fn a_branch_that_loses_takes_nothing_with_it() {
    proves(|| selected(2));
    samples(|| selected(8));
}

/// Two branches that hold and want permits: both branches of a cancelled task give theirs back.
async fn joined(workers: usize) -> usize {
    let permits = Rc::new(Semaphore::new(2));
    let run = |_| {
        spawn("worker", &permits, |permits| async move {
            let branch = async || {
                let _permit = permits.acquire().await;
                finally(yield_now(), async || yield_now().await).await;
            };
            join(branch(), branch()).await;
        })
    };
    let tasks: Vec<_> = (0..workers).map(run).collect();
    let mut values = 0;
    for task in tasks {
        values += usize::from(ended(task).await.is_some());
    }
    assert_eq!((permits.available(), permits.waiting()), (2, 0));
    values
}

#[test]
fn both_branches_of_a_join_are_cancelled() {
    proves(|| joined(2));
    samples(|| joined(6));
}

/// A limit in one branch of a join: the other one goes on.
async fn a_limit_in_a_join() -> Option<(bool, bool)> {
    let task = worker(async {
        let limited = wait_for(pending::<()>(), SECOND);
        let other = async {
            yield_now().await;
            sleep(2 * SECOND).await;
            true
        };
        let (limited, other) = join(limited, other).await;
        (limited.is_err(), other)
    });
    let outcome = ended(task).await;
    settled().await;
    outcome
}

#[test]
fn a_limit_in_a_join_ends_its_own_branch() {
    let summary = proves_with_time(a_limit_in_a_join);
    let outcomes: Vec<_> = summary.outcomes.keys().map(String::as_str).collect();
    assert_eq!(outcomes, ["None", "Some((true, true))"], "{summary}");
}

/// The macro, with a limit and a task as its branches. (`select!` throws dice of its own, which no seed repeats.)
async fn selected_by_macro() -> Option<&'static str> {
    let task = worker(async {
        let mut child = create_task(async {
            yield_now().await;
            yield_now().await;
        });
        let mut limit = std::pin::pin!(sleep(SECOND).fuse());
        let won = {
            let mut child = (&mut child).fuse();
            futures::select_biased! {
                ended = child => if ended.is_ok() { "child" } else { "cancelled" },
                () = limit => "limit",
            }
        };
        if won == "limit" {
            drop(child.await); // it was not cancelled by losing
        }
        won
    });
    let won = ended(task).await;
    settled().await;
    won
}

#[test]
fn a_select_of_a_task_and_a_sleep() {
    let summary = proves_with_time(selected_by_macro);
    assert_eq!(summary.outcomes.len(), 4, "{summary}");
}

// ---- What comes from outside

/// Only the outside could wake such a run: by a handle, by the sender of a channel, by a waker that some code has. Nothing does.
async fn waits_for_nobody(kind: usize) {
    match kind {
        0 => {
            let _handle = Handle::current();
            pending::<()>().await;
        }
        1 => {
            let (sender, receiver) = thread_channel::<()>(1);
            receiver.recv().await;
            drop(sender);
        }
        _ => {
            let mut kept = None;
            poll_fn(|cx| {
                kept = Some(cx.waker().clone());
                Poll::<()>::Pending
            })
            .await;
        }
    }
}

#[test]
fn a_run_that_only_the_outside_could_wake_fails_after_a_second_and_not_after_a_minute() {
    for kind in 0..3 {
        let began = Instant::now(); // the real clock is the point: what is outside knows no other
        let exploration = explore::all(1).without_page();
        let found = exploration.try_run(|| waits_for_nobody(kind)).unwrap_err();
        assert_eq!(found.fault, explore::Fault::Reported, "{found}");
        assert!(found.message.contains("'main' (Task-1), waiting"), "with the tree: {found}");
        // Of two runs: that which fails, and the one that is told. With a minute each it would be two, however slow the machine.
        let took = began.elapsed();
        assert!((2 * SECOND..120 * SECOND).contains(&took), "{took:?}: {found}");
    }
    // A test that knows better says so. No upper bound is asserted: a slow machine may take any time.
    let (stall_after, began) = (Duration::from_millis(1_300), Instant::now()); // the real clock is the point
    let settings = move || {
        let event_loop = EventLoop::builder().stall_after(stall_after);
        TestRun::new().event_loop(event_loop)
    };
    let exploration = explore::all(1).test(settings).without_page();
    exploration.try_run(|| waits_for_nobody(0)).unwrap_err();
    assert!(began.elapsed() >= 2 * stall_after, "{:?}", began.elapsed());
}
