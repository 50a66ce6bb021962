//! **The settings of an exploration**, and its call.

use std::any::type_name;
use std::cell::RefCell;
use std::fmt::{self, Debug};
use std::future::Future;
use std::panic::Location;
use std::path::PathBuf;
use std::rc::Rc;
use std::thread;

use super::one::panics::is_exploring;
use super::one::{Limits, RunChooser, RunResult, run_once};
use super::page::{Names, Pages};
use super::search::{Found, How, Order, Search, Settings, Summary};
use crate::kernel::current;
use crate::test_run::TestRun;

/// How many polls a run may have, if it is not said otherwise.
const MAX_STEPS: u64 = 100_000;

/// What one of the runs is made with.
type NewTest = Rc<dyn Fn() -> TestRun>;

/// An exploration with its settings: [`all`](super::all), [`seeds`](super::seeds) or [`pct`](super::pct).
///
/// # In asyncio
/// There is none.
#[must_use = "an exploration runs nothing before `run`"]
pub struct Exploration {
    settings: Settings,
    shares_only_objects: bool,
    name: Option<String>,
    test: Option<NewTest>,
}

impl Exploration {
    pub(super) fn new(how: How) -> Exploration {
        let limits = Limits { max_polls: MAX_STEPS, ..Limits::default() };
        let settings = Settings {
            how,
            limits,
            is_deterministic: false,
            must_be_complete: false,
            shows_progress: None,
            pages: Pages::InTarget,
        };
        Exploration { settings, shares_only_objects: false, name: None, test: None }
    }

    /// Adds at most this many cancels to each run. Before each poll any one task may be cancelled: the one that is polled next, whether
    /// or not it has begun, or one that waits; and while nothing is ready, before virtual time moves, one that waits. So each task is
    /// cancelled before its first, second, third … poll, and in each of its sleeps. `main` is not, and nothing is after the end of
    /// `main`.
    ///
    /// The test must cope with it: a task that it awaits may end [cancelled](crate::TaskError::Cancelled).
    ///
    /// # Examples
    /// A permit that is lost if its task is cancelled at the wrong moment is found:
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc};
    /// use loopwheel::{create_task, explore, yield_now};
    ///
    /// let found = explore::all(1_000)
    ///     .cancels(1)
    ///     .try_run(|| async {
    ///         let permits = Rc::new(Cell::new(1));
    ///         let worker = create_task({
    ///             let permits = permits.clone();
    ///             async move {
    ///                 permits.set(permits.get() - 1);
    ///                 yield_now().await;
    ///                 permits.set(permits.get() + 1); // a guard would do this in its destructor
    ///             }
    ///         });
    ///         _ = worker.await;
    ///         assert_eq!(permits.get(), 1);
    ///     })
    ///     .unwrap_err();
    /// assert!(found.schedule.iter().any(|line| line == "a cancel of Task-2 before its 2nd poll"));
    /// ```
    pub fn cancels(mut self, at_most: usize) -> Exploration {
        self.settings.limits.cancels = at_most;
        self
    }

    /// Only tasks of this name are cancelled; with several calls, of these names. [`run`](Exploration::run) panics if no task has such a
    /// name when a cancel could come.
    ///
    /// # Examples
    /// ```
    /// use loopwheel::{TaskBuilder, explore};
    ///
    /// explore::all(100).cancels(1).cancels_only("worker").run(|| async {
    ///     let worker = TaskBuilder::new().name("worker").create_task(async {});
    ///     let other = TaskBuilder::new().name("other").create_task(async {});
    ///     _ = worker.await;
    ///     other.await.unwrap();
    /// });
    /// ```
    pub fn cancels_only(mut self, name: impl Into<String>) -> Exploration {
        self.settings.limits.only.push(name.into());
        self
    }

    /// At most this many times in each run, virtual time passes to the next deadline although tasks are ready. Usually it does not: a
    /// program on virtual time is infinitely fast, and a time limit never expires while there is anything to do. On a slow machine it
    /// does: then the limit and what it limits are done at the same moment.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use loopwheel::{explore, wait_for, yield_now};
    ///
    /// let summary = explore::all(100).early_timers(1).run(|| async {
    ///     wait_for(yield_now(), Duration::from_secs(1)).await.is_ok()
    /// });
    /// assert!(summary.outcomes.contains_key("false")); // it has expired in some order
    /// ```
    pub fn early_timers(mut self, at_most: usize) -> Exploration {
        self.settings.limits.early_timers = at_most;
        self
    }

    /// The result must not depend on the order: all results of `main` are compared, by their `Debug` text. Another one than that of
    /// the normal order is a failure.
    ///
    /// # Examples
    /// ```
    /// use std::{cell::RefCell, rc::Rc};
    /// use loopwheel::{create_task, explore};
    ///
    /// let found = explore::all(100)
    ///     .deterministic()
    ///     .try_run(|| async {
    ///         let seen = Rc::new(RefCell::new(Vec::new()));
    ///         let tasks = ["a", "b"].map(|name| {
    ///             let seen = seen.clone();
    ///             create_task(async move { seen.borrow_mut().push(name) })
    ///         });
    ///         for task in tasks {
    ///             task.await.unwrap();
    ///         }
    ///         seen.take()
    ///     })
    ///     .unwrap_err();
    /// assert_eq!(found.fault, explore::Fault::OutcomeDiffers);
    /// ```
    pub fn deterministic(mut self) -> Exploration {
        self.settings.is_deterministic = true;
        self
    }

    /// It fails, with [`Fault::Incomplete`](super::Fault::Incomplete), if [`all`](super::all) has come to its limit and there are more
    /// orders. The one run of `LOOPWHEEL_EXPLORE` is not asked for this: so a test that fails by it can be run again in one order.
    ///
    /// # Panics
    /// On [`seeds`](super::seeds) and [`pct`](super::pct), which never know whether these were all.
    ///
    /// # Examples
    /// ```
    /// use loopwheel::{create_task, explore};
    ///
    /// let main = || async {
    ///     let (one, two) = (create_task(async {}), create_task(async {}));
    ///     one.await.unwrap();
    ///     two.await.unwrap();
    /// };
    /// explore::all(3).must_be_complete().run(main);
    /// let found = explore::all(2).must_be_complete().try_run(main).unwrap_err();
    /// assert_eq!(found.fault, explore::Fault::Incomplete);
    /// ```
    #[track_caller]
    pub fn must_be_complete(mut self) -> Exploration {
        assert!(
            matches!(self.settings.how, How::All { .. }),
            "`must_be_complete` is for `all`: no number of random orders is known to be all of them"
        );
        self.settings.must_be_complete = true;
        self
    }

    /// Leaves out orders that differ from another one only in polls that do not concern each other, so that [`all`](super::all) reaches
    /// further: of two tasks that each have a lock of their own, one order is enough. It is a promise of the test's: its tasks
    /// influence each other only by what this crate has, such as tasks, locks, queues and events. State of its own that several tasks
    /// use, such as an `Rc<Cell>` or a channel of another crate, is to be [touched](super::touch) in each poll that uses it; or it is
    /// as if these polls did not concern each other, and an order that matters may be left out.
    ///
    /// It has no effect on explorations with [`cancels`](Exploration::cancels) or [`early_timers`](Exploration::early_timers), which may
    /// come before any poll, nor on [`seeds`](super::seeds) and [`pct`](super::pct). Where
    /// it has one, each turn makes one poll, so the loop looks at its clock and mailbox after every poll.
    ///
    /// # Examples
    /// ```
    /// use std::rc::Rc;
    /// use loopwheel::{create_task, explore, sync::Lock, yield_now};
    ///
    /// let main = || async {
    ///     let tasks = [0, 1, 2].map(|_| {
    ///         create_task(async {
    ///             let lock = Lock::new(); // one for each task
    ///             let _held = lock.acquire().await;
    ///             yield_now().await;
    ///         })
    ///     });
    ///     for task in tasks {
    ///         task.await.unwrap();
    ///     }
    /// };
    /// let each = explore::all(10_000).must_be_complete().run(main);
    /// let reduced = explore::all(10_000).only_shares_objects().must_be_complete().run(main);
    /// assert!(reduced.orders + reduced.pruned < each.orders);
    /// ```
    pub fn only_shares_objects(mut self) -> Exploration {
        self.shares_only_objects = true;
        self
    }

    /// Whether orders are left out.
    fn reduces(&self) -> bool {
        let is_plain = self.settings.limits.cancels == 0 && self.settings.limits.early_timers == 0;
        self.shares_only_objects && is_plain && matches!(self.settings.how, How::All { .. })
    }

    /// A run that has not ended after so many polls fails; without this call, after a hundred thousand. A poll that does not return
    /// is not noticed.
    ///
    /// # Examples
    /// ```
    /// use loopwheel::{explore, yield_now};
    ///
    /// let forever = || async {
    ///     loop {
    ///         yield_now().await;
    ///     }
    /// };
    /// let found = explore::all(1).max_steps(100).try_run::<_, _, ()>(forever).unwrap_err();
    /// assert_eq!(found.fault, explore::Fault::Endless);
    /// ```
    pub fn max_steps(mut self, polls: u64) -> Exploration {
        self.settings.limits.max_polls = polls;
        self
    }

    /// Whether a bar shows how far it is, if it takes longer than a second. Without this call it is shown if the standard error is a
    /// terminal.
    pub fn progress(mut self, is_shown: bool) -> Exploration {
        self.settings.shows_progress = Some(is_shown);
        self
    }

    /// Its name, in the report and for its page: for one of several explorations in a test, and for one that is in no test.
    ///
    /// # Examples
    /// ```
    /// use loopwheel::explore;
    ///
    /// for readers in [1, 2] {
    ///     let found = explore::all(1)
    ///         .name(format!("{readers} readers"))
    ///         .without_page()
    ///         .try_run(|| async { assert_eq!(1 + 1, 3) })
    ///         .unwrap_err();
    ///     let told = format!("order 1 of '{readers} readers' leads to a panic");
    ///     assert!(found.to_string().starts_with(&told));
    /// }
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Exploration {
        self.name = Some(name.into());
        self
    }

    /// The folder in which the page of a run that fails is written. Without this call it is `explore` in cargo's target directory, if
    /// the program is in one, or else `loopwheel/explore` in the system's directory for temporary files. A relative folder is one of
    /// the current directory, which for a test is that of its package.
    ///
    /// The page is called after the test, and after the [name](Exploration::name) of the exploration if it has one, and replaces the
    /// one before.
    pub fn play_to(mut self, folder: impl Into<PathBuf>) -> Exploration {
        self.settings.pages = Pages::In(folder.into());
        self
    }

    /// Writes no page: for a run that is expected to fail.
    pub fn without_page(mut self) -> Exploration {
        self.settings.pages = Pages::None;
        self
    }

    /// The settings of each run: which failures the test provokes, whether it leaves tasks, its loop. Its clock is virtual. An observer of
    /// that loop is told of each run, also of those that shrink a failure.
    ///
    /// # Examples
    /// ```
    /// use std::future::pending;
    /// use loopwheel::{TestRun, create_task, explore};
    ///
    /// explore::all(10).test(|| TestRun::new().allow_tasks_left()).run(|| async {
    ///     drop(create_task(pending::<()>()));
    /// });
    /// ```
    pub fn test(mut self, settings: impl Fn() -> TestRun + 'static) -> Exploration {
        self.test = Some(Rc::new(settings));
        self
    }

    /// Explores: calls `main` once for each run, and runs what it returns, on a fresh loop on virtual time, whose clock is
    /// [impatient](crate::VirtualClock::impatient). Work of [`to_thread`](crate::to_thread()) is waited for before time jumps. But when
    /// it arrives differs from run to run, so [`all`](super::all) may end with [`NotRepeatable`](super::Fault::NotRepeatable), now and
    /// then even if nothing else is ready. Put a fake in its place, or use [`seeds`](super::seeds).
    ///
    /// Panics in these runs are not printed. A run that only a
    /// [`Handle`](crate::Handle) or a foreign waker could wake fails if nothing has for a second of real time
    /// ([`stall_after`](crate::EventLoopBuilder::stall_after) of the [test's](Exploration::test) loop sets another time).
    ///
    /// # Panics
    /// With the report of the failure, if a run fails; and where [`try_run`](Exploration::try_run) does.
    #[track_caller]
    pub fn run<M, F, T>(self, main: M) -> Summary
    where
        M: Fn() -> F,
        F: Future<Output = T>,
        T: Debug,
    {
        match self.try_run(main) {
            Ok(summary) => summary,
            Err(found) => panic!("{found}"),
        }
    }

    /// The same, and returns the failure.
    ///
    /// # Errors
    /// The first failure, shrunk.
    ///
    /// # Panics
    /// Inside a running loop, or inside another exploration. If `LOOPWHEEL_EXPLORE` is no schedule. If
    /// [`cancels_only`](Exploration::cancels_only) names a task that there is not, or no cancel is asked for.
    #[track_caller]
    pub fn try_run<M, F, T>(self, main: M) -> Result<Summary, Box<Found>>
    where
        M: Fn() -> F,
        F: Future<Output = T>,
        T: Debug,
    {
        assert!(
            current::running().is_none(),
            "an exploration makes its own loops, and cannot run inside a running loop: call it outside of `run`"
        );
        assert!(!is_exploring(), "an exploration cannot run inside another one");
        let mut settings = self.settings.clone();
        settings.limits.reduces = self.reduces();
        settings.limits.unmet = Rc::new(RefCell::new(settings.limits.only.clone()));
        let limits = &settings.limits;
        assert!(
            limits.only.is_empty() || limits.cancels > 0,
            "`cancels_only` says which tasks are cancelled, and no cancel is asked for: add `.cancels(1)`"
        );
        let called_at = Location::caller();
        let once = |order: Order<'_>| -> RunResult {
            let Order { strategy, in_words, recorder } = order;
            let chooser = Rc::new(RunChooser::new(strategy, limits.clone(), in_words));
            let test = self.test.as_ref().map_or_else(TestRun::new, |settings| settings());
            run_once(&main, called_at, test, &chooser, recorder)
        };
        let names = Names { test: name_of_test::<M>(), own: self.name.clone() };
        let summary = Search::new(&settings, &once, &names).go()?;
        let unmet = limits.unmet.borrow();
        assert!(
            unmet.is_empty() || summary.is_rerun,
            "`cancels_only`: in none of the {} orders could a task of the name {unmet:?} be cancelled: is it the name that \
             `TaskBuilder::name` gives it?",
            summary.orders
        );
        drop(unmet);
        Ok(summary)
    }
}

impl fmt::Debug for Exploration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exploration").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The test harness names the thread after the test, unless it has only one thread. Then the closure is named after it too.
fn name_of_test<M>() -> Option<String> {
    let thread = thread::current();
    if let Some(name) = thread.name().filter(|name| *name != "main") {
        return Some(name.to_owned());
    }
    let path = type_name::<M>().replace("::{{closure}}", "");
    let (_, path) = path.split_once("::")?;
    let is_plain = path.chars().all(|it| it.is_alphanumeric() || "_:".contains(it));
    (is_plain && path != "main").then(|| path.to_owned())
}
