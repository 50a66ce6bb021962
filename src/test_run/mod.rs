//! **Tests**: a run that fails if anything in it did.
//!
//! A test that is run by `run_virtual` fails if `main` does. But an assertion may fail in a task that `main` does not await: that
//! is reported, and the test is green. A task that `main` forgot is cancelled at the end, and the test is green. So here the
//! reports are kept, the tasks that are left are looked at, and the run ends with a verdict.
//!
//! A test must not hang. So a report that says that the run may go on without end ends it: tasks that keep virtual time from
//! passing, a loop that has been quiet for [a minute](QUIET), a task that swallows the cancel of the end. A loop that nothing can
//! wake is a deadlock anyway. But a task that sleeps in a loop keeps its loop from being one for ever, and the others may never go
//! on. Nothing proves that: it might wake them at its next tick. So the [jumps](MOST_JUMPS) of virtual time are counted.
//!
//! There is no attribute macro. A macro needs a crate of its own and a parser of Rust, which take longer to build than this crate,
//! and saves one line of a test.
//!
//! | file | idea |
//! |---|---|
//! | `mod` (this file) | the run |
//! | `verdict` | how it has ended, and what was reported in it |
//! | `guide` | what follows it from outside: an exploration |
//!
//! It stands on `base`, `clock`, `error`, the kernel, `report`, `dump` and `run`.

mod guide;
mod verdict;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use crate::base::instant::Instant;
use crate::base::panic::{quietly, swallow, text_of};
use crate::engine::Engine;
use crate::error::RunError;
use crate::run::{EventLoop, EventLoopBuilder};
use guide::AsIs;
use verdict::Reports;

pub(crate) use guide::Guide;
pub(crate) use verdict::{Ended, Wrong};

/// If only a handle or a foreign waker could wake the loop, and nothing has for so long in real time, the test fails.
const QUIET: Duration = Duration::from_secs(60);

/// So often may virtual time jump in a test: a second or two of real time.
const MOST_JUMPS: u64 = 1_000_000;

/// Runs a test: `main` on virtual time, like [`run_virtual`](crate::run_virtual), but it fails if anything in the run did.
///
/// It panics at the line of its call, with all that it has to say, if
///
/// - a failure was reported, because no code took it: the panic of a task, such as an assertion that failed there, the `Err` of a
///   task of [`try_create_task`](crate::try_create_task), the panic of a callback or of a destructor, a swallowed cancel, a
///   clean-up that its grace time has cut off, or any other report that the [exception handler](crate::set_exception_handler) would
///   be given, but for a slow poll, and a jump of virtual time over what may come from outside, which are only printed;
/// - `main` has ended and has forgotten tasks: they go on, and it has neither awaited nor cancelled them. The message says which,
///   where they were created, and what each waits for. A task that `main` has cancelled may still be there; to let it clean up
///   undisturbed, await it, because the end of the run cancels it again;
/// - nothing can go on: a [`Deadlock`](crate::Deadlock), with what each task waits for. This is so in the clean-up at the end, too;
/// - `main` was cancelled.
///
/// A panic of `main` goes on as it is, and what was reported beside it is printed. Where each panic happened is in the test's
/// output: the standard library prints it at that moment.
///
/// [`TestRun`] is for a test that provokes a failure, that leaves tasks on purpose, or that needs another clock.
///
/// # Tests that would hang
/// A test ends, and fails, where a program would go on: if a million polls are made and virtual time stands still; if virtual time has
/// jumped a million times ([`max_jumps`](TestRun::max_jumps) sets another number), because one task sleeps in a loop and others wait
/// for each other: the message says what each task waits for, and which are in a cycle; if only a
/// [`Handle`](crate::Handle) or a foreign waker could wake the loop and nothing has for a minute of real time
/// ([`stall_after`](EventLoopBuilder::stall_after) sets another time); and if a task swallows the cancel at the end of the run and
/// goes on. What is left is then dropped hard. What keeps a test from ending is a poll that does not return; and an exception handler of
/// its own, which is then the one that is told.
///
/// # Sockets
/// With the feature `async-io`, `TestRun::new().event_loop(loopwheel::io::builder())` is a test in which code under test talks by
/// sockets, with a server and its client as two tasks. Virtual time stands still while an answer is under way, for
/// [a second at most](crate::run_virtual#sockets-and-other-threads), and jumps when all sleep. "A server in a test" in `docs/ecosystem.md` is a whole one.
///
/// # The same each time
/// The order of the tasks and the time are the same in each run. Random numbers of your own are not, nor is the order of a `HashMap`:
/// seed the generator, and sort or use a `BTreeMap`.
///
/// # No macro
/// `#[test]` and this call are all that a test needs: there is no `#[loopwheel::test]`. It would save one line, and it would take a
/// crate for macros and a parser of Rust, which take longer to build than this crate.
///
/// # Panics
/// See above; and as [`run`](crate::run()).
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use loopwheel::{create_task, run_test, sleep};
///
/// // in a function with `#[test]`:
/// run_test(async {
///     let task = create_task(sleep(Duration::from_secs(3600)));
///     task.await.unwrap(); // without this line the test fails: the task is left
/// });
/// ```
///
/// An assertion that fails in a task fails the test, whether or not `main` looks at the task:
///
/// ```should_panic
/// use loopwheel::{create_task, run_test, yield_now};
///
/// run_test(async {
///     drop(create_task(async { assert_eq!(1 + 1, 3) }));
///     yield_now().await;
/// });
/// ```
///
/// A test may return a `Result`:
///
/// ```
/// # use loopwheel::run_test;
/// fn it_parses() -> Result<(), std::num::ParseIntError> {
///     run_test(async {
///         assert_eq!("42".parse::<u32>()?, 42);
///         Ok(())
///     })
/// }
/// # it_parses().unwrap();
/// ```
///
/// # In asyncio
/// `unittest.IsolatedAsyncioTestCase`, which fails only if the test function does, and takes real time.
#[doc(alias = "tokio::test")]
#[doc(alias = "start_paused")]
#[doc(alias = "IsolatedAsyncioTestCase")]
#[doc(alias = "pytest")]
#[track_caller]
pub fn run_test<F: Future>(main: F) -> F::Output {
    TestRun::new().run(main)
}

/// A test's run with settings: which failures the test provokes, whether it may leave tasks, and its loop. Without any it is
/// [`run_test`].
///
/// # Examples
/// ```
/// use std::future::pending;
/// use loopwheel::{TestRun, create_task, try_create_task, yield_now};
///
/// TestRun::new()
///     .expect_report("the mail server is down")
///     .allow_tasks_left()
///     .run(async {
///         drop(try_create_task(async { Err::<(), _>("the mail server is down") }));
///         drop(create_task(pending::<()>())); // a server that runs as long as the program
///         yield_now().await;
///     });
/// ```
///
/// # In asyncio
/// There is none: a test sets `loop.set_exception_handler`, and looks at `asyncio.all_tasks()`.
#[derive(Debug, Default)]
#[must_use = "a test runs nothing before `run`"]
pub struct TestRun {
    expected: Vec<String>,
    may_leave_tasks: bool,
    max_jumps: Option<u64>,
    event_loop: EventLoopBuilder,
}

impl TestRun {
    /// A test that provokes no failure and leaves no task, on a loop on virtual time.
    pub fn new() -> TestRun {
        TestRun::default()
    }

    /// The test provokes a failure: one report is to contain this text, as [`ExceptionContext`](crate::ExceptionContext) prints it, with the name of the
    /// task and what it says. That report does not fail the test. The test fails if it does not come.
    ///
    /// Each call expects one report more, in any order. If a report contains the texts of several calls, it is taken for the one
    /// with the longest. A test that wants to look at more than the text sets a handler of its own, by
    /// [`set_exception_handler`](crate::set_exception_handler) in `main` or
    /// [`exception_handler`](EventLoopBuilder::exception_handler) of its loop: what that handler is given from then on does not
    /// fail the test, and is not among the expected reports. A panic of the handler, such as an assertion of its own, fails the
    /// test.
    ///
    /// # Examples
    /// ```
    /// use loopwheel::{TaskBuilder, TestRun, yield_now};
    ///
    /// TestRun::new().expect_report("task 'send-mail'").run(async {
    ///     drop(TaskBuilder::new().name("send-mail").create_task(async { panic!("no address") }));
    ///     yield_now().await;
    /// });
    /// ```
    ///
    /// A handler of its own:
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc};
    /// use loopwheel::{Failure, call_soon, run_test, set_exception_handler, yield_now};
    ///
    /// run_test(async {
    ///     let panics = Rc::new(Cell::new(0));
    ///     let counted = panics.clone();
    ///     set_exception_handler(move |context| {
    ///         assert!(matches!(context.failure, Failure::Panicked(_)));
    ///         counted.set(counted.get() + 1);
    ///     });
    ///     call_soon(|| panic!("it is counted"));
    ///     yield_now().await;
    ///     assert_eq!(panics.get(), 1);
    /// });
    /// ```
    pub fn expect_report(mut self, text: &str) -> TestRun {
        self.expected.push(text.to_owned());
        self
    }

    /// The tasks that are left when `main` has ended are intended. As after each run they are cancelled, their clean-up runs, and what
    /// fails in it fails the test.
    pub fn allow_tasks_left(mut self) -> TestRun {
        self.may_leave_tasks = true;
        self
    }

    /// So often may virtual time jump to the next timer in this test; without this call, a million times. If it jumps once more and the
    /// test has not ended by that, it fails, with what each task waits for: some of its tasks are stuck, and another one that sleeps in a loop hides that. In a real
    /// second time jumps some million times.
    ///
    /// # Examples
    /// ```should_panic
    /// use std::{future::pending, time::Duration};
    /// use loopwheel::{TestRun, create_task, sleep};
    ///
    /// TestRun::new().max_jumps(1_000).run(async {
    ///     let _ticks = create_task(async {
    ///         loop {
    ///             sleep(Duration::from_secs(1)).await;
    ///         }
    ///     });
    ///     pending::<()>().await; // it would hang
    /// });
    /// ```
    ///
    /// # In asyncio
    /// There is none: the test hangs.
    pub fn max_jumps(mut self, at_most: u64) -> TestRun {
        self.max_jumps = Some(at_most);
        self
    }

    /// The settings of the loop: those of `loopwheel::io::builder()` for a test [with sockets](run_test#sockets). Its clock is
    /// virtual unless they have another: `Clock::monotonic()` is for a test that waits long for what is outside.
    ///
    /// # Examples
    /// ```
    /// use loopwheel::{Clock, EventLoop, TestRun};
    ///
    /// let on_real_time = EventLoop::builder().clock(Clock::monotonic()).debug(true);
    /// TestRun::new().event_loop(on_real_time).run(async {
    ///     // a server that takes longer than a second to answer
    /// });
    /// ```
    pub fn event_loop(mut self, settings: EventLoopBuilder) -> TestRun {
        self.event_loop = settings;
        self
    }

    /// Runs the test, and returns the output of `main`. When `main` has ended, the tasks that are left are cancelled, and their
    /// clean-up runs, including the part that awaits.
    ///
    /// # Panics
    /// As [`run_test`].
    #[track_caller]
    pub fn run<F: Future>(self, main: F) -> F::Output {
        match self.run_to_its_end(main, Location::caller(), &AsIs) {
            Ended::Passed(output) => output,
            Ended::Panicked { panic, beside } => {
                if let Some(verdict) = beside {
                    eprintln!("beside the panic of `main`: {verdict}");
                }
                panic.resume();
            }
            Ended::Failed { verdict, .. } => panic!("{verdict}"),
        }
    }

    /// The same, and says how it has ended. `main` is spawned at `called_at`.
    #[track_caller]
    pub(crate) fn run_to_its_end<F: Future>(
        self,
        main: F,
        called_at: &'static Location<'static>,
        guide: &dyn Guide,
    ) -> Ended<F::Output> {
        let expected = RefCell::new(self.expected);
        let is_quiet = guide.is_quiet();
        let reports = Rc::new(Reports { expected, is_quiet, ..Reports::default() });
        let taking = reports.clone();
        let mut settings = self.event_loop;
        settings.clock.get_or_insert_with(|| guide.clock().into());
        settings.exception_handler.get_or_insert(Rc::new(move |context| taking.take(context)));
        settings.watch.stall_after.get_or_insert(guide.quiet_at_most());
        let mut event_loop = settings.build();

        let engine = event_loop.engine().clone();
        guide.begins(&engine);
        let jumps = Jumps::at_most(self.max_jumps.unwrap_or(MOST_JUMPS));
        let gives_up = || {
            reports.is_endless.get() || jumps.are_too_many(&engine, &reports) || guide.gives_up()
        };
        let ended = event_loop.run_main(main, called_at, gives_up);
        let mut problems = Vec::new();
        match &ended {
            Ok(_) if !self.may_leave_tasks => {
                let forgotten = event_loop.forgotten_tasks();
                problems.extend(forgotten.map(|text| (Wrong::TasksLeft, text)));
            }
            Ok(_) | Err(RunError::Panicked(_)) => {}
            Err(RunError::Cancelled(_)) if gives_up() => {} // the report says why
            Err(error) => problems.push((Wrong::of(error), error.to_string())),
        }
        let goes_on = matches!(ended, Ok(_) | Err(RunError::Panicked(_) | RunError::Cancelled(_)));
        if goes_on
            && !gives_up()
            && let Err(deadlock) = event_loop.cancel_all_unless(gives_up)
        {
            let text = format!("in the clean-up after `main`: {deadlock}");
            problems.push((Wrong::of(&deadlock), text));
        }
        drop(engine);
        problems.extend(close(event_loop).into_iter().map(|text| (Wrong::Reported, text)));
        if let Err(RunError::Panicked(panic)) = ended {
            reports.expected.take(); // `main` did not come to all
            return Ended::Panicked { panic, beside: reports.verdict(problems).map(|it| it.1) };
        }
        match (ended.ok(), reports.verdict(problems)) {
            (Some(output), None) => Ended::Passed(output),
            (output, verdict) => {
                quietly(|| drop(output)); // the test fails for another reason
                let (wrong, verdict) = verdict.unwrap_or((Wrong::Reported, String::new()));
                Ended::Failed { wrong, verdict }
            }
        }
    }
}

/// Counts the jumps of virtual time.
struct Jumps {
    at_most: u64,
    left: Cell<u64>,
    seen: Cell<Instant>,
}

impl Jumps {
    fn at_most(at_most: u64) -> Jumps {
        Jumps { at_most, left: Cell::new(at_most), seen: Cell::new(Instant::START) }
    }

    /// Called after each turn. If it is true, the run would not end by itself.
    fn are_too_many(&self, engine: &Engine, reports: &Reports) -> bool {
        let Some(now) = engine.virtual_now().filter(|now| *now != self.seen.get()) else {
            return false;
        };
        self.seen.set(now);
        let left = self.left.get().checked_sub(1);
        left.inspect(|left| self.left.set(*left));
        let are_too_many = left.is_none() && !engine.tasks().is_empty(); // or the last jump has ended the test
        if are_too_many {
            reports.is_endless.set(true);
            let (_, tree) = engine.stuck_tasks();
            let text = format!(
                "virtual time has jumped more than {} times, by {:?}, and the test has not ended: a task that sleeps in a loop lets \
                 it go on, and the others may be stuck (if it is to take so long: `TestRun::max_jumps`){tree}",
                self.at_most,
                now - Instant::START
            );
            engine.tell_report("stall", &text);
            reports.unexpected.borrow_mut().push(text);
        }
        are_too_many
    }
}

impl EventLoop {
    /// The tasks that are left, in words, if any of them was not cancelled.
    fn forgotten_tasks(&self) -> Option<String> {
        let engine = self.engine();
        let tasks = engine.tasks();
        if tasks.iter().all(|task| task.cancel_requests() > 0) {
            return None;
        }
        // A host's clock is read, which is foreign code.
        let (_, tree) = engine.enter(|| engine.stuck_tasks());
        Some(format!(
            "`main` has ended, and tasks go on that it has neither awaited nor cancelled (if they are meant: \
             `TestRun::allow_tasks_left`){tree}"
        ))
    }
}

/// Drops the loop, and returns what went wrong in that, and in the reports.
fn close(event_loop: EventLoop) -> Vec<String> {
    let mut problems = Vec::new();
    let engine = event_loop.engine().clone();
    let closed = catch_unwind(AssertUnwindSafe(move || drop(event_loop)));
    if engine.reporting.handler_has_panicked() {
        problems.push("the exception handler panicked when it was given a report".to_owned());
    }
    // The last reference drops the clock and the handler.
    let freed = catch_unwind(AssertUnwindSafe(move || drop(engine)));
    for payload in [closed, freed].into_iter().filter_map(Result::err) {
        problems.push(format!("the drop of the loop panicked: {}", text_of(&*payload)));
        swallow(payload);
    }
    problems
}
