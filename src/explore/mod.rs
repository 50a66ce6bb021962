//! **Exploration**: a test in every order in which its tasks can run.
//!
//! A concurrent test runs in the same order every time, so a mistake that needs another order is never seen. The naive answer is to run
//! it often, with sleeps of random length: that is slow, finds little, and what it has found does not happen again.
//! Another is a model of the program for a checker with types of its own: then it is the model that is tested.
//!
//! A loop on one thread makes every choice itself. So here the same loop, with the same tasks and the same primitives, *asks* at each
//! choice what to do, in place of doing the first; and a test is run again and again with other choices, on virtual time, until one run
//! fails or there is no other. A run is its list of choices: a line of text, which makes the same run again, on any machine.
//!
//! ```
//! use std::{cell::Cell, rc::Rc};
//! use loopwheel::{create_task, explore, gather, yield_now};
//!
//! async fn deposit(account: Rc<Cell<u32>>) {
//!     let before = account.get();
//!     if before == 0 {
//!         yield_now().await; // the first deposit is written down somewhere
//!     }
//!     account.set(before + 10);
//! }
//!
//! // in a function with `#[test]`:
//! let found = explore::all(1_000)
//!     .try_run(|| async {
//!         let account = Rc::new(Cell::new(0));
//!         let deposits = (0..2).map(|_| create_task(deposit(account.clone())));
//!         gather(deposits.collect::<Vec<_>>()).await;
//!         assert_eq!(account.get(), 20);
//!     })
//!     .unwrap_err();
//! assert!(found.message.contains("left: 10"));
//! ```
//!
//! # What is chosen
//! | choice | options |
//! |---|---|
//! | the next poll | each task and callback that is ready, also one that was woken just now |
//! | timers of the same moment | if one of them is a time limit or wakes foreign code: which fires first |
//! | a cancel ([`cancels`](Exploration::cancels)) | none; of the task before its next poll; of one that waits, before a poll and before virtual time moves |
//! | an early timer ([`early_timers`](Exploration::early_timers)) | virtual time passes to the next deadline although tasks are ready: a limit expires at that poll |
//! | the test's own ([`choose`]) | what it wants: a fake of a network that answers, fails, or is cut off |
//!
//! Wake-ups from other threads and loops make tasks ready, and in which order those are polled is the first row. *When* such a wake-up
//! arrives is not chosen here: see below.
//!
//! # What is looked for
//! Each run is a [`TestRun`](crate::TestRun). So it fails by a panic of `main`, a failure that no code took, a deadlock (with the tree of
//! what waits for what), tasks that are left, and all else by which a [`run_test`](crate::run_test) fails; by a run that does not
//! [end](Exploration::max_steps); and, if asked for, by a [result that depends on the order](Exploration::deterministic), or if there are [more
//! orders](Exploration::must_be_complete) than the limit.
//!
//! # What it says
//! The failure; the seed; the schedule in words, shrunk to the fewest choices with which it was seen to fail in the same way; a line
//! that runs it again; and the page of a [`Recorder`](crate::Recorder) in which that run can be stepped through, with the line of each
//! await.
//!
//! ```text
//! order 2 leads to a panic:
//!   assertion `left == right` failed
//!   …
//! its schedule: 4 choices, 1 of them not the usual one
//!      1. 'main'
//!   >  2. Task-3, before Task-2, which was woken first
//!   …
//! again, with the features of this run: LOOPWHEEL_EXPLORE=1/2 cargo test -p bank deposits_add_up -- --exact
//! step by step: target/explore/deposits_add_up.html
//! ```
//!
//! With that variable an exploration makes this one run, and refuses to go on where the program does something else: it says which choice
//! that was, and what was to be chosen there. A value of `seed=17` is that seed's run, and
//! `seed=17..` is no run: [`seeds`] and [`pct`] begin there. Keep one exploration to a test: the variable
//! applies to all of them.
//!
//! # FIFO is the contract
//! A loop polls ready tasks in the order of their wake-ups, and a program may rely on that. So what is found here and not in a normal run is
//! a mistake only if that order can be another one. It can, wherever it comes from outside: a socket that is ready a moment earlier, a
//! thread, a timer of another length, a machine that is slow; or when somebody adds an await. A fault that rests on none of these cannot
//! happen today, and is one refactoring away. In words: the order of wake-ups is an assumption, and this finds the tests that make it.
//!
//! # What a run must not do
//! The same choices must give the same run. So each run makes all that it uses: `main` is called once for each, and what it shares with
//! other runs, by an `Rc` or a `static`, makes them depend on each other. Real clocks, random numbers without a seed, the order of a
//! `HashMap` and other threads are not chosen here. `select!` of the `futures` crate draws random numbers of its own: `select_biased!` does
//! not. A run that is not the one it should be ends the exploration with [`Fault::NotRepeatable`].
//!
//! Work of [`to_thread`](crate::to_thread()) is waited for before time jumps. But when it arrives differs from run to run, so
//! [`all`] may end with [`NotRepeatable`](Fault::NotRepeatable), now and then even if nothing else is ready. Put a fake in its place, or use
//! [`seeds`].
//!
//! # How far it reaches
//! [`all`] proves: if these [were all orders](Exploration::must_be_complete), none fails. Their number grows with the factorial of what is
//! ready at once, so it is for a handful of tasks and some ten choices. A test whose tasks share nothing but this crate's objects reaches
//! further by [`only_shares_objects`](Exploration::only_shares_objects): three tasks that take one lock have 3,339 orders, of which 149
//! differ; two waits for three sleeping tasks each have 3,888, of which 12 do. It helps nothing where all meet at one object: a queue with a
//! producer and two consumers has 12 orders, and all of them differ. A loop of [`yield_now`](crate::yield_now()) until something has
//! happened has orders without end, because it can always be chosen once more: wait for an event, or bound the loop. [`seeds`] and [`pct`]
//! are for the rest, and prove nothing.
//!
//! # What is not explored
//! The contents of foreign futures: one that is ready in the poll in which a cancel would come does not hear it, and the cancel comes out at
//! the next wait. A cancel in the middle of a sleep in which nothing else happens: it comes at the beginning, or at the end. And when a
//! real thread does something. The order of calls by one [`Handle`](crate::Handle), and of waiters in one line, which are contracts of
//! their own. Timers that a test fires by moving a [`VirtualClock`](crate::VirtualClock) itself fire in the order of their deadlines.
//! [`yield_now`](crate::yield_now()) lets others run only if they are chosen: a test that counts on it fails, and rightly.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | what is explored, and how |
//! | `builder` | the settings, and the call |
//! | `schedule` | the choices of a run, and who makes them |
//! | `one` | one run |
//! | `page` | where a run that has failed is written, to be stepped through |
//! | `search` | one run after the other; shrinking; what is said |
//!
//! It stands on `base`, `cells`, the kernel, `choices`, `test_run`, `explore/page`, `explore/schedule`, `explore/one` and `explore/search`.

mod builder;
mod one;
mod page;
mod schedule;
mod search;

use crate::cells::note;
use crate::choices::Kind;
use crate::engine::Engine;
use crate::kernel::current::with_current_loop;
use search::How;

pub use builder::Exploration;
pub use one::Fault;
pub use search::{Found, Summary};

/// Explores all orders, depth first, in at most `limit` runs. The first is the normal one.
///
/// If the [`Summary`] says that it [is complete](Summary::is_complete), these were all, and none has failed. A test that relies on that
/// calls [`must_be_complete`](Exploration::must_be_complete).
///
/// # Examples
/// ```
/// use loopwheel::{create_task, explore};
///
/// let summary = explore::all(1_000).must_be_complete().run(|| async {
///     let (a, b, c) = (create_task(async {}), create_task(async {}), create_task(async {}));
///     a.await.unwrap();
///     b.await.unwrap();
///     c.await.unwrap();
/// });
/// println!("{summary}");
/// ```
///
/// # In asyncio
/// There is none.
#[doc(alias = "loom")]
#[doc(alias = "model")]
pub fn all(limit: u64) -> Exploration {
    Exploration::new(How::All { limit })
}

/// Explores `runs` orders, in each of which every choice is random. The seeds are 0, 1, 2 …, so each call makes the same runs, and on
/// every machine. With `LOOPWHEEL_EXPLORE=seed=1000..` they begin at 1000: for a nightly job, which is to try others each time.
///
/// # Examples
/// ```
/// use loopwheel::{create_task, explore};
///
/// let summary = explore::seeds(50).run(|| async {
///     let tasks: Vec<_> = (0..20).map(|number| create_task(async move { number })).collect();
///     let mut sum = 0;
///     for task in tasks {
///         sum += task.await.unwrap();
///     }
///     sum
/// });
/// assert_eq!((summary.orders, summary.outcomes["190"]), (50, 50));
/// ```
///
/// # In asyncio
/// There is none.
#[doc(alias = "fuzz")]
#[doc(alias = "random")]
pub fn seeds(runs: u64) -> Exploration {
    Exploration::new(How::Seeds { runs })
}

/// Probabilistic concurrency testing, `runs` times: each task has a random priority, and the ready task with the highest is polled.
/// `depth - 1` random polls are drawn, each with a low priority of its own; the task that would be polled there falls to it.
///
/// # The guarantee
/// Let a run have at most `n` tasks and callbacks and `k` polls, and let the fault have *depth* `d`: there are `d` conditions of the
/// form "this poll before that one" such that each run that meets them fails. Then one run of `pct(d, …)` finds it with a probability of
/// at least `1 / (n · k^(d-1))`, whatever else the program does (Burckhardt et al., "A Randomized Scheduler with Probabilistic
/// Guarantees of Finding Bugs", 2010). Most faults have depth 1 or 2: with ten tasks and a hundred polls, a depth of 2 is found by one
/// run in a thousand, or a better share.
///
/// `k` is measured by a run in the normal order; the polls of a longer run that come after these never change a priority. Choices that are
/// not about the next poll are random as those of [`seeds`], and are not in this guarantee.
///
/// # Panics
/// If `depth` is zero.
///
/// # Examples
/// ```
/// use std::rc::Rc;
/// use loopwheel::{create_task, explore, sync::Queue, yield_now};
///
/// explore::pct(3, 100).run(|| async {
///     let queue = Rc::new(Queue::bounded(1));
///     let putter = create_task({
///         let queue = queue.clone();
///         async move {
///             for number in 0..3 {
///                 queue.put(number).await.unwrap();
///                 yield_now().await;
///             }
///         }
///     });
///     for number in 0..3 {
///         assert_eq!(queue.get().await, Ok(number));
///     }
///     putter.await.unwrap();
/// });
/// ```
///
/// # In asyncio
/// There is none.
#[track_caller]
pub fn pct(depth: u32, runs: u64) -> Exploration {
    assert!(
        depth > 0,
        "no fault has depth 0: `pct(1, …)` finds those that need one task before another"
    );
    Exploration::new(How::Pct { depth, runs })
}

/// A choice of the test's own: a number below `options`. An exploration tries each; without one it is zero.
///
/// A fake of a network calls it to decide whether a request is answered, fails, or is never answered. It is asked where the
/// current loop is the explored one: so it is zero too in another thread, in an observer, and after the run.
///
/// # Panics
/// If `options` is zero.
///
/// # Examples
/// ```
/// use loopwheel::explore;
///
/// async fn request() -> Result<u32, &'static str> {
///     match explore::choose(3) {
///         0 => Ok(200),
///         1 => Ok(500),
///         _ => Err("connection reset"),
///     }
/// }
///
/// let summary = explore::all(10).run(request);
/// assert_eq!(summary.outcomes.len(), 3);
/// assert_eq!(loopwheel::run_virtual(request()), Ok(200)); // without an exploration it is zero
/// ```
///
/// # In asyncio
/// There is none.
#[track_caller]
pub fn choose(options: usize) -> usize {
    assert!(options > 0, "`choose(0)`: a choice needs an option");
    if options == 1 {
        return 0;
    }
    let chooser = with_current_loop(Engine::chooser).flatten();
    chooser.map_or(0, |chooser| chooser.choose(Kind::User, options, &[]))
}

/// The task that is polled uses state of the program's own that has this name: for explorations of a program that
/// otherwise [shares only objects](Exploration::only_shares_objects). Polls that touch the same name are explored in both orders. Without an
/// exploration it does nothing.
///
/// # Examples
/// ```
/// use std::{cell::Cell, rc::Rc};
/// use loopwheel::{create_task, explore};
///
/// let summary = explore::all(100).only_shares_objects().run(|| async {
///     let last = Rc::new(Cell::new(0));
///     let tasks = [1, 2].map(|number| {
///         let last = last.clone();
///         create_task(async move {
///             explore::touch("last");
///             last.set(number);
///         })
///     });
///     for task in tasks {
///         task.await.unwrap();
///     }
///     last.get()
/// });
/// assert_eq!(summary.outcomes.len(), 2);
/// ```
///
/// # In asyncio
/// There is none.
pub fn touch(name: &str) {
    // FNV-1a: of two names with the same number both orders are explored, too.
    let number = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |number, byte| {
        (number ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    note(number | 3);
}

/// Whether the running loop is one that is explored.
///
/// # Examples
/// ```
/// use loopwheel::explore;
///
/// explore::all(1).run(|| async { assert!(explore::is_exploring()) });
/// assert!(!explore::is_exploring());
/// ```
///
/// # In asyncio
/// There is none.
pub fn is_exploring() -> bool {
    with_current_loop(Engine::is_explored).unwrap_or(false)
}
