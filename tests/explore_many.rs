//! What runs several tasks, in each order of a small program, with a cancel before each poll of each task: each child ends, what it
//! owns is dropped once, its clean-up runs, and each outcome comes once.
//!
//! In a debug build it takes minutes: CI runs it in release. An exploration observes the loop itself, so a further observer is no test.
#![cfg(not(loopwheel_traced))]

#[path = "common/explored.rs"]
mod explored;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use explored::{Thing, Things, ended, proves, samples};
use loopwheel::{
    AllCompleted, FirstCompleted, FirstException, SharedTask, Task, TaskBuilder, TaskError,
    TaskGroup, TaskSet, as_completed, create_task, finally, first_ok, gather, race, sleep,
    try_create_task, try_gather, wait, yield_now,
};

/// What a program owns, and how many of its children are between their beginning and the end of their clean-up.
#[derive(Clone, Default)]
struct Shared {
    things: Things,
    unclean: Rc<Cell<usize>>,
}

impl Shared {
    /// A child that owns something, waits, and cleans up, which takes a poll more. A cancel in its clean-up cuts that.
    async fn child<T>(self, polls: usize, value: T) -> T {
        let _thing = self.things.one();
        let unclean = self.unclean;
        unclean.set(unclean.get() + 1);
        let body = async {
            for _ in 0..polls {
                yield_now().await;
            }
            value
        };
        finally(body, async move || {
            // What is cut is dropped here.
            let _clean = OnDrop(|| unclean.set(unclean.get() - 1));
            yield_now().await;
        })
        .await
    }

    /// Nothing of the program is left.
    fn nothing_is_left(&self) {
        assert_eq!(self.unclean.get(), 0, "a child has not ended");
        self.things.are_gone();
    }
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}

fn outer<F: Future + 'static>(body: F) -> Task<F::Output> {
    TaskBuilder::new().name("outer").create_task(body)
}

/// A child that was cancelled cancels what gathers it, without a request. So this is not `ended`.
async fn value_of<T: 'static>(task: Task<T>) -> Option<T> {
    let about = task.to_ref();
    match task.await {
        Ok(value) => {
            assert_eq!(about.cancelling(), 0, "a cancel was swallowed");
            Some(value)
        }
        Err(error) => {
            assert!(error.is_cancelled());
            None
        }
    }
}

/// Whatever is still cleaning up has ended when virtual time passes.
async fn settled() {
    sleep(Duration::from_secs(1)).await;
}

// ---- gather

async fn gathered(children: u32) -> bool {
    let shared = Shared::default();
    let run = shared.clone();
    let task = outer(async move {
        let values = gather((0..children).map(|n| run.clone().child(1, n))).await;
        assert_eq!(values, (0..children).collect::<Vec<_>>(), "in the order of the arguments");
        assert_eq!(run.unclean.get(), 0, "it has waited for all");
    });
    let has_ended = value_of(task).await.is_some();
    settled().await; // the first that was cancelled has ended it, and the others clean up
    shared.nothing_is_left();
    has_ended
}

#[test]
fn a_gathering_has_all_values_or_is_cancelled() {
    proves(|| gathered(2));
    samples(|| gathered(6));
}

async fn gathered_with_outcomes(children: u32) -> Option<usize> {
    let shared = Shared::default();
    let run = shared.clone();
    let task = outer(async move {
        let outcomes = gather((0..children).map(|n| run.clone().child(1, n))).return_exceptions();
        let outcomes = outcomes.await;
        assert_eq!(run.unclean.get(), 0, "it has waited for all");
        let is_right = |(n, outcome): (usize, &Result<u32, TaskError>)| match outcome {
            Ok(value) => *value as usize == n,
            Err(error) => error.is_cancelled(),
        };
        assert!(outcomes.iter().enumerate().all(is_right), "{outcomes:?}");
        outcomes.iter().filter(|outcome| outcome.is_ok()).count()
    });
    // A cancel of a child is a value, so it is cancelled only if it was itself.
    let values = ended(task).await;
    shared.nothing_is_left();
    values
}

#[test]
fn a_gathering_of_outcomes_has_the_end_of_each() {
    let summary = proves(|| gathered_with_outcomes(2));
    assert_eq!(summary.outcomes.keys().collect::<Vec<_>>(), ["None", "Some(1)", "Some(2)"]);
    samples(|| gathered_with_outcomes(6));
}

/// One of the children fails, and no other is cancelled for that.
async fn gathered_with_a_failure(others: u32) -> Option<bool> {
    let shared = Shared::default();
    let others_done = Rc::new(Cell::new(0));
    let (run, done) = (shared.clone(), others_done.clone());
    let task = outer(async move {
        let children = (0..=others).map(|n| {
            let (child, done) = (run.clone().child(1, n), done.clone());
            async move {
                let value = child.await;
                done.set(done.get() + u32::from(n > 0));
                if value == 0 { Err("broken") } else { Ok(value) }
            }
        });
        try_gather(children).await.is_err()
    });
    let about = task.to_ref();
    let failed = task.await.ok();
    settled().await;
    assert_ne!(failed, Some(false), "the first child either fails or is cancelled");
    // As in asyncio: a cancel that comes when a child has failed reaches the other children, and the error comes out.
    if failed == Some(true) && about.cancelling() == 0 {
        assert!(others_done.get() + 2 >= others, "{} of {others}", others_done.get());
    }
    shared.nothing_is_left();
    failed
}

#[test]
fn a_gathering_that_fails_cancels_no_other_child() {
    proves(|| gathered_with_a_failure(1));
    samples(|| gathered_with_a_failure(5));
}

// ---- The first of several

async fn raced(racers: usize) -> Option<usize> {
    let shared = Shared::default();
    let run = shared.clone();
    let task = outer(async move {
        let won = race((0..racers).map(|n| run.clone().child(n % 2, n))).await;
        assert_eq!(run.unclean.get(), 0, "the losers have cleaned up");
        assert_eq!(run.things.alive(), 0, "and what they had is gone");
        won
    });
    let won = ended(task).await; // with one cancel not all racers are out
    shared.nothing_is_left();
    assert!(won.is_none_or(|won| won < racers));
    won
}

#[test]
fn a_race_has_one_winner_and_waits_for_the_losers() {
    let summary = proves(|| raced(2));
    assert_eq!(summary.outcomes.keys().collect::<Vec<_>>(), ["None", "Some(0)", "Some(1)"]);
    samples(|| raced(6));
}

async fn raced_for_success(failing: usize) -> String {
    let shared = Shared::default();
    let run = shared.clone();
    let task = outer(async move {
        let racers = (0..=failing).map(|n| {
            let child = run.clone().child(usize::from(n == failing), n);
            async move { if child.await == failing { Ok("fetched") } else { Err(n) } }
        });
        let first = first_ok(racers).await;
        assert_eq!(run.unclean.get(), 0, "the losers have cleaned up");
        first.map_err(|errors| errors.iter().copied().collect::<Vec<_>>())
    });
    let first = ended(task).await;
    shared.nothing_is_left();
    if let Some(Err(errors)) = &first {
        // The one that succeeds was cancelled, so all others have failed: but for another that was cancelled.
        assert!(errors.is_sorted() && errors.len() + 1 >= failing, "{errors:?}");
    }
    format!("{first:?}")
}

#[test]
fn a_race_for_success_has_a_value_or_all_errors() {
    let summary = proves(|| raced_for_success(1));
    let outcomes: Vec<_> = summary.outcomes.keys().map(String::as_str).collect();
    assert_eq!(
        outcomes,
        [r#""None""#, r#""Some(Err([0]))""#, r#""Some(Ok(\"fetched\"))""#],
        "{summary}"
    );
    samples(|| raced_for_success(5));
}

// ---- TaskGroup

/// A group some children of which fail; its body goes on for a while.
async fn grouped(children: u32, failing: u32) -> Option<Result<(), usize>> {
    let shared = Shared::default();
    let run = shared.clone();
    let task = outer(async move {
        let group = TaskGroup::scope(async |group| {
            for n in 0..children {
                let child = run.clone().child(0, n);
                group.create_task(
                    async move { if child.await < failing { Err(n) } else { Ok(()) } },
                );
            }
            yield_now().await;
        });
        let ended = group.await;
        assert_eq!(run.unclean.get(), 0, "each child has ended");
        assert_eq!(run.things.alive(), 0);
        ended.map_err(|errors| {
            assert!(errors.panics().next().is_none());
            let distinct: BTreeSet<_> = errors.iter().copied().collect();
            assert_eq!(distinct.len(), errors.iter().count(), "each error comes once: {errors:?}");
            assert!(distinct.iter().all(|&n| n < failing));
            distinct.len()
        })
    });
    let about = task.to_ref();
    let outcome = match task.await {
        Ok(outcome) => {
            // Errors take precedence over a cancel; a value does not.
            assert!(about.cancelling() == 0 || outcome.is_err(), "a cancel was swallowed");
            Some(outcome)
        }
        Err(error) => {
            assert!(error.is_cancelled() && about.cancelling() > 0, "{error:?}");
            None
        }
    };
    shared.nothing_is_left();
    outcome
}

#[test]
fn a_group_ends_when_each_child_has_ended_with_all_their_errors() {
    let summary = proves(|| grouped(2, 0));
    assert_eq!(summary.outcomes.keys().collect::<Vec<_>>(), ["None", "Some(Ok(()))"]);
    let summary = proves(|| grouped(2, 1));
    assert!(summary.outcomes.contains_key("Some(Err(1))"), "{summary}");
    samples(|| grouped(8, 0));
    samples(|| grouped(8, 2));
}

/// A group in a group: a failure inside is a failure of the outer one, and all end.
async fn nested_groups() -> Option<bool> {
    let shared = Shared::default();
    let run = shared.clone();
    let task = outer(async move {
        let group = TaskGroup::<&str>::scope(async |group| {
            let (first, second) = (run.clone(), run.clone());
            group.create_subgroup(TaskGroup::<&str>::scope(async move |inner| {
                let child = first.child(0, ());
                inner.create_task(async move {
                    child.await;
                    Err::<(), _>("broken")
                });
            }));
            group.create_task(async move {
                second.child(0, ()).await;
                Ok(())
            });
        });
        let failed = group.await.is_err();
        assert_eq!((run.unclean.get(), run.things.alive()), (0, 0));
        failed
    });
    let failed = value_of(task).await;
    shared.nothing_is_left();
    failed
}

#[test]
fn a_failure_in_a_subgroup_ends_both_groups() {
    let summary = proves(nested_groups);
    assert!(summary.outcomes.contains_key("Some(true)"), "{summary}");
}

// ---- Handles back

/// The handles come back, each in one of the two lists, and are what the condition says.
async fn waited_for(tasks: usize, until: loopwheel::ReturnWhen) -> String {
    let shared = Shared::default();
    let run = |n: usize| {
        let child = shared.clone().child(n % 2, n);
        let run = async move { if child.await == 1 { Err("broken") } else { Ok(n) } };
        try_create_task(run).shared()
    };
    let tasks: Vec<_> = (0..tasks).map(run).collect();
    let (number, kept) = (tasks.len(), tasks.clone());
    let waiter = outer(async move {
        let (done, pending) = wait(tasks, until).await;
        assert_eq!(done.len() + pending.len(), number, "each handle comes back");
        assert!(done.iter().all(SharedTask::is_done));
        assert!(pending.iter().all(|task| !task.is_done()), "it looks when it returns");
        let failed = done.iter().any(|task| task.to_ref().is_failed());
        match until {
            FirstCompleted => assert!(!done.is_empty()),
            FirstException => assert!(failed || pending.is_empty()),
            AllCompleted => assert!(pending.is_empty()),
        }
        (done.len(), pending.len())
    });
    let counts = ended(waiter).await; // a cancel of a task that it waits for does not reach it
    settled().await; // and its own has left them alone
    let mut cancelled = 0;
    for task in kept {
        match task.await {
            Ok(_) | Err(TaskError::Failed("broken")) => {}
            Err(error) => {
                assert!(error.is_cancelled(), "{error:?}");
                cancelled += 1;
            }
        }
    }
    assert!(cancelled < 2 && (cancelled == 0 || counts.is_some()) || number > 2);
    shared.nothing_is_left();
    format!("{counts:?}")
}

#[test]
fn a_wait_gives_every_handle_back_in_one_of_two_lists() {
    for until in [FirstCompleted, FirstException, AllCompleted] {
        proves(move || waited_for(2, until));
        samples(move || waited_for(6, until));
    }
}

async fn completed(tasks: usize) -> Option<Vec<usize>> {
    let shared = Shared::default();
    let ends = Rc::new(RefCell::new(Vec::new()));
    let run = |n: usize| {
        let (child, ends) = (shared.clone().child(0, n), ends.clone());
        create_task(async move {
            child.await;
            ends.borrow_mut().push(n);
            n
        })
    };
    let tasks: Vec<_> = (0..tasks).map(run).collect();
    let names: Vec<_> = tasks.iter().map(Task::name).collect();
    let mut completed = as_completed(tasks); // from here on it sees the ends
    let waiter = outer(async move {
        let (mut order, mut seen) = (Vec::new(), BTreeSet::new());
        while let Some(task) = completed.next().await {
            assert!(task.is_done() && seen.insert(task.name()), "each comes once");
            order.extend(task.await.ok());
        }
        assert_eq!((completed.left(), seen), (0, names.into_iter().collect()), "and all come");
        order
    });
    let order = ended(waiter).await;
    settled().await;
    shared.nothing_is_left();
    assert!(
        order.as_ref().is_none_or(|order| *order == *ends.borrow()),
        "in the order of the ends"
    );
    order
}

#[test]
fn as_completed_gives_each_task_once() {
    let summary = proves(|| completed(2));
    let outcomes: Vec<_> = summary.outcomes.keys().map(String::as_str).collect();
    assert_eq!(outcomes, ["None", "Some([0, 1])", "Some([0])", "Some([1, 0])", "Some([1])"]);
    samples(|| completed(6));
}

// ---- TaskSet

/// The set grows once; one task is cancelled by its key.
async fn a_set(tasks: usize) -> Option<usize> {
    let shared = Shared::default();
    let run = shared.clone();
    let task = outer(async move {
        let mut set = TaskSet::<usize, Thing>::new();
        let add = |set: &mut TaskSet<usize, Thing>, key: usize| {
            let result = run.things.one();
            set.create_task(key, run.clone().child(1, result));
        };
        for key in 0..tasks {
            add(&mut set, key);
        }
        let (mut seen, mut values) = (BTreeSet::new(), 0);
        while let Some((key, outcome)) = set.next().await {
            assert!(seen.insert(key), "each comes once");
            values += usize::from(outcome.is_ok());
            if seen.len() == 1 {
                add(&mut set, tasks);
                set.cancel(&tasks);
            }
        }
        assert_eq!(seen.len(), tasks + 1);
        assert_eq!((set.len(), set.running(), run.unclean.get()), (0, 0, 0));
        values
    });
    let values = ended(task).await;
    settled().await; // a set that is dropped cancels its tasks
    shared.nothing_is_left();
    values
}

#[test]
fn a_set_gives_each_outcome_once_while_it_grows() {
    proves(|| a_set(1));
    samples(|| a_set(5));
}

/// A shutdown waits for the clean-up of all.
async fn a_set_that_is_shut_down(tasks: usize) -> bool {
    let shared = Shared::default();
    let run = shared.clone();
    let task = outer(async move {
        let mut set = TaskSet::<usize, ()>::new();
        for key in 0..tasks {
            set.create_task(key, run.clone().child(1, ()));
        }
        yield_now().await;
        set.shutdown().await;
        assert_eq!((set.len(), run.unclean.get(), run.things.alive()), (0, 0, 0));
    });
    let is_shut = ended(task).await.is_some();
    settled().await;
    shared.nothing_is_left();
    is_shut
}

#[test]
fn a_set_that_is_shut_down_has_waited_for_all() {
    proves(|| a_set_that_is_shut_down(2));
    samples(|| a_set_that_is_shut_down(6));
}
