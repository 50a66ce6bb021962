//! What the explorations of the crate's own primitives share: how far they reach, and what must be left when a program is over.
#![allow(dead_code, unreachable_pub)] // each test file uses its part

use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::future::Future;
use std::rc::Rc;

use loopwheel::explore::{self, Exploration, Summary};
use loopwheel::{Task, TaskBuilder, create_task, yield_now};

/// A small program has fewer orders than this, with a cancel before each poll of each task.
const MOST: u64 = 20_000;

/// Runs a program in each order, and in each order with a cancel before each poll of each task.
#[track_caller]
pub fn proves<M, F, T>(main: M) -> Summary
where
    M: Fn() -> F,
    F: Future<Output = T>,
    T: Debug,
{
    proved(explore::all(MOST).cancels(1), main)
}

/// The same; and virtual time also passes while tasks are ready, so that limits expire at each poll.
#[track_caller]
pub fn proves_with_time<M, F, T>(main: M) -> Summary
where
    M: Fn() -> F,
    F: Future<Output = T>,
    T: Debug,
{
    proved(explore::all(MOST).cancels(1).early_timers(1), main)
}

#[track_caller]
fn proved<M, F, T>(exploration: Exploration, main: M) -> Summary
where
    M: Fn() -> F,
    F: Future<Output = T>,
    T: Debug,
{
    agrees(&main);
    let summary = exploration.must_be_complete().run(main);
    println!("{summary}");
    summary
}

/// Without cancels the program comes to the same results if the orders are left out that differ in nothing that matters.
#[track_caller]
fn agrees<M, F, T>(main: &M)
where
    M: Fn() -> F,
    F: Future<Output = T>,
    T: Debug,
{
    let each = explore::all(MOST).must_be_complete().run(main);
    let reduced = explore::all(MOST).only_shares_objects().must_be_complete().run(main);
    let results = |summary: &Summary| summary.outcomes.keys().cloned().collect::<Vec<_>>();
    assert_eq!(results(&each), results(&reduced), "each: {each}\nreduced: {reduced}");
    let made = reduced.orders + reduced.pruned;
    println!("{} orders without cancels, {made} if they are reduced", each.orders);
}

/// Runs a program that is too big for all orders in some of them, with up to two cancels in each.
#[track_caller]
pub fn samples<M, F, T>(main: M) -> Summary
where
    M: Fn() -> F,
    F: Future<Output = T>,
    T: Debug,
{
    let summary = explore::pct(3, 150).cancels(2).run(main);
    println!("{summary}");
    summary
}

/// The same, with limits that expire early.
#[track_caller]
pub fn samples_with_time<M, F, T>(main: M) -> Summary
where
    M: Fn() -> F,
    F: Future<Output = T>,
    T: Debug,
{
    let summary = explore::pct(3, 150).cancels(2).early_timers(1).run(main);
    println!("{summary}");
    summary
}

/// A task that gets a part of what the program shares.
pub fn spawn<S, F>(name: &str, shared: &Rc<S>, body: impl FnOnce(Rc<S>) -> F) -> Task<F::Output>
where
    F: Future + 'static,
{
    TaskBuilder::new().name(name).create_task(body(shared.clone()))
}

/// Awaits a task that ends with a value unless it is cancelled: so it has one if, and only if, no cancel was requested. `None` is
/// a cancelled one.
pub async fn ended<T: 'static>(task: Task<T>) -> Option<T> {
    let about = task.to_ref();
    match task.await {
        Ok(value) => {
            assert_eq!(about.cancelling(), 0, "a cancel of '{}' was swallowed", about.name());
            Some(value)
        }
        Err(error) => {
            assert!(error.is_cancelled(), "'{}': {error:?}", about.name());
            assert!(about.cancelling() > 0, "no code has cancelled '{}'", about.name());
            None
        }
    }
}

/// Things of which each is dropped once, and none is left at the end.
#[derive(Clone, Default)]
pub struct Things(Rc<RefCell<Vec<u32>>>);

/// One of them: its number, and where its drops are counted.
#[derive(Debug)]
pub struct Thing {
    pub number: usize,
    drops: Rc<RefCell<Vec<u32>>>,
}

impl Things {
    pub fn one(&self) -> Thing {
        let number = self.0.borrow().len();
        self.0.borrow_mut().push(0);
        Thing { number, drops: self.0.clone() }
    }

    /// How many are alive.
    pub fn alive(&self) -> usize {
        self.0.borrow().iter().filter(|&&drops| drops == 0).count()
    }

    /// Each was dropped, and once.
    #[track_caller]
    pub fn are_gone(&self) {
        let drops = self.0.borrow();
        assert!(drops.iter().all(|&drops| drops == 1), "how often each was dropped: {drops:?}");
    }
}

impl Drop for Thing {
    fn drop(&mut self) {
        self.drops.borrow_mut()[self.number] += 1;
    }
}

impl PartialEq for Thing {
    fn eq(&self, other: &Thing) -> bool {
        self.number == other.number
    }
}

impl Eq for Thing {}

impl PartialOrd for Thing {
    fn partial_cmp(&self, other: &Thing) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Thing {
    fn cmp(&self, other: &Thing) -> std::cmp::Ordering {
        self.number.cmp(&other.number)
    }
}

/// A section in which there may be so many at once.
#[derive(Debug)]
pub struct Section {
    most: usize,
    inside: Cell<usize>,
    pub visits: Cell<usize>,
}

impl Section {
    pub fn for_at_most(most: usize) -> Section {
        Section { most, inside: Cell::new(0), visits: Cell::new(0) }
    }

    /// Is inside while others may run.
    pub async fn visit(&self) {
        self.inside.set(self.inside.get() + 1);
        assert!(self.inside.get() <= self.most, "{} are inside at once", self.inside.get());
        let _leaves = Leaves(self);
        yield_now().await;
        self.visits.set(self.visits.get() + 1);
    }

    #[track_caller]
    pub fn is_empty(&self) {
        assert_eq!(self.inside.get(), 0, "nobody is left inside");
    }
}

struct Leaves<'a>(&'a Section);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.inside.set(self.0.inside.get() - 1);
    }
}

/// So many polls of another task are in between.
pub fn bystander(polls: usize) -> Task<()> {
    create_task(async move {
        for _ in 1..polls {
            yield_now().await;
        }
    })
}
