//! # A supervisor
//!
//! Keeps the parts of a program running: a child that fails or panics is begun anew, after a pause, and the others are left alone
//! ("one for one"). A child that was cancelled was meant to stop, and is not restarted. If there are too many restarts within a time,
//! a restart does not help: the supervisor gives up, cancels the other children, waits for their clean-up, and says which child it
//! was. It does the same with its children if it is cancelled itself.
//!
//! `cargo run -p ecosystem --example supervisor`

use std::cell::Cell;
use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use loopwheel::{Instant, TaskError, TaskSet, catch_cancel, now, sleep};

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Restart {
    /// Whether it failed or returned.
    Always,
    /// If it failed or panicked.
    OnFailure,
    Never,
}

pub(crate) struct Child {
    name: &'static str,
    restart: Restart,
    /// Is called for each start.
    begin: Rc<dyn Fn() -> LocalBoxFuture<'static, Result<(), String>>>,
}

impl Child {
    pub(crate) fn new<F>(
        name: &'static str,
        restart: Restart,
        begin: impl Fn() -> F + 'static,
    ) -> Child
    where
        F: Future<Output = Result<(), String>> + 'static,
    {
        Child { name, restart, begin: Rc::new(move || Box::pin(begin())) }
    }
}

/// There were too many restarts.
#[derive(Debug, PartialEq)]
pub(crate) struct GaveUp {
    pub(crate) child: &'static str,
    pub(crate) why: String,
    pub(crate) restarts: usize,
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let GaveUp { child, why, restarts } = self;
        write!(f, "gave up after {restarts} restarts: {child} {why}")
    }
}

impl Error for GaveUp {}

pub(crate) struct Supervisor {
    pub(crate) children: Vec<Child>,
    /// So many restarts, of any children, ...
    pub(crate) restarts: usize,
    /// ... within this time are not too many.
    pub(crate) within: Duration,
    /// Before each restart.
    pub(crate) pause: Duration,
}

/// The tasks of the children, each with its place in the list.
type Running = TaskSet<usize, (), String>;

impl Supervisor {
    /// Runs until no child is left, until there are too many restarts, or until it is cancelled.
    pub(crate) async fn run(&self, report: impl Fn(String)) -> Result<(), GaveUp> {
        let mut running = TaskSet::new();
        let ended = catch_cancel(self.supervise(&mut running, &report)).await;
        running.shutdown().await; // the clean-up uses what the body has borrowed, so it is no `finally`
        match ended {
            Ok(ended) => ended,
            Err(cancelled) => cancelled.reraise().await,
        }
    }

    fn begin(&self, running: &mut Running, index: usize, pause: Duration) {
        let child = &self.children[index];
        let begin = child.begin.clone();
        let task = running.try_create_task(index, async move {
            sleep(pause).await;
            begin().await // in the task, so that a panic of it is the child's, too
        });
        task.set_name(child.name);
    }

    async fn supervise(
        &self,
        running: &mut Running,
        report: &impl Fn(String),
    ) -> Result<(), GaveUp> {
        let mut restarts: VecDeque<Instant> = VecDeque::new();
        for index in 0..self.children.len() {
            self.begin(running, index, Duration::ZERO);
        }
        while let Some((index, result)) = running.next().await {
            let Child { name, restart, .. } = self.children[index];
            let (why, fits) = match result {
                Ok(()) => ("has ended".to_owned(), restart == Restart::Always),
                Err(TaskError::Cancelled(cancelled)) => match cancelled.cancelled_by() {
                    Some(by) => (format!("was stopped: {by}"), false),
                    None => ("was stopped".to_owned(), false),
                },
                Err(TaskError::Panicked(panic)) => {
                    (format!("panicked: {}", panic.message()), restart != Restart::Never)
                }
                Err(error) => (format!("failed: {error}"), restart != Restart::Never),
            };
            if !fits {
                report(format!("{name} {why}"));
                continue;
            }
            while restarts.front().is_some_and(|at| at.elapsed() >= self.within) {
                restarts.pop_front();
            }
            if restarts.len() == self.restarts {
                return Err(GaveUp { child: name, why, restarts: restarts.len() });
            }
            restarts.push_back(now());
            report(format!("{name} {why}; restart {}", restarts.len()));
            self.begin(running, index, self.pause);
        }
        Ok(())
    }
}

fn main() -> ExitCode {
    let tries = Rc::new(Cell::new(0));
    let feed = move || {
        tries.set(tries.get() + 1);
        let number = tries.get();
        async move {
            sleep(Duration::from_secs(2)).await;
            assert!(number != 2, "the first line has no price");
            Err(format!("connection {number} was lost"))
        }
    };
    let clock = async || {
        loop {
            sleep(Duration::from_secs(1)).await;
            println!("{:.0}", now());
        }
    };
    let supervisor = Supervisor {
        children: vec![
            Child::new("feed", Restart::OnFailure, feed),
            Child::new("clock", Restart::Always, clock),
        ],
        restarts: 3,
        within: Duration::from_secs(60),
        pause: Duration::from_millis(500),
    };
    match loopwheel::run(supervisor.run(|line| println!("{line}"))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(gave_up) => {
            eprintln!("{gave_up}");
            ExitCode::FAILURE
        }
    }
}
