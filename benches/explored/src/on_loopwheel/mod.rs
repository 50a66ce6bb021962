//! The programs on loopwheel: its own tasks and its own semaphore.

use std::cell::RefCell;
use std::time::Duration;

use cpu_time::ThreadTime;
use loopwheel::explore::{self, Exploration, Summary};
use loopwheel::{TestRun, create_task, sync, wait_for};

pub(crate) use loopwheel::sync::Permit;
pub(crate) use loopwheel::yield_now;

use crate::found::{self, All, Found, GIVES_UP, SEARCHES, Strategy};

#[path = "../programs.rs"]
pub(crate) mod programs;

pub(crate) struct Task<T: 'static>(loopwheel::Task<T>);

pub(crate) fn spawn<F: Future + 'static>(future: F) -> Task<F::Output> {
    Task(create_task(future))
}

impl<T: 'static> Task<T> {
    pub(crate) async fn join(self) -> Option<T> {
        self.0.await.ok()
    }

    pub(crate) fn canceller(&self) -> impl Fn() + use<T> {
        let task = self.0.to_ref();
        move || _ = task.cancel()
    }
}

pub(crate) struct Semaphore(sync::Semaphore);

impl Semaphore {
    pub(crate) fn new(permits: usize) -> Semaphore {
        Semaphore(sync::Semaphore::new(permits))
    }

    pub(crate) async fn acquire(&self) -> Permit<'_> {
        self.0.acquire().await
    }

    pub(crate) fn release(&self) {
        self.0.release();
    }

    pub(crate) fn available(&self) -> usize {
        self.0.available()
    }
}

/// Explores a program that does not stop at its fault: a run that never ends is one whose limit expires, for virtual time passes only when
/// nothing is ready. Says for each run whether it was right.
fn runs(exploration: Exploration, program: programs::Program) -> (Summary, Vec<bool>) {
    let seen = RefCell::new(Vec::new());
    let main = || async {
        let is_right = wait_for((program.2)(), Duration::from_secs(3600)).await;
        seen.borrow_mut().push(is_right.unwrap_or(false));
    };
    let settings = || TestRun::new().allow_tasks_left();
    let summary = exploration.progress(false).test(settings).run(main);
    (summary, seen.into_inner())
}

pub(crate) fn all(program: programs::Program, limit: usize) -> All {
    let (summary, seen) = runs(explore::all(limit as u64), program);
    All {
        first: seen.iter().position(|is_right| !is_right).map(|index| index + 1),
        orders: seen.len(),
        is_complete: summary.is_complete,
        deepest: summary.deepest,
    }
}

/// How many runs it takes until the first fault. The runs go on after a fault, and what follows it is the next search: that is the same
/// as with other seeds.
pub(crate) fn sampled(program: programs::Program, strategy: Strategy) -> Found {
    let exploration = |runs: usize| match strategy {
        Strategy::Random => explore::seeds(runs as u64),
        Strategy::Pct(depth) => explore::pct(depth, runs as u64),
    };
    let (mut number, mut made) = (500, 0);
    let began = ThreadTime::now();
    loop {
        let (_, seen) = runs(exploration(number), program);
        made += seen.len();
        let searches = searches(&seen);
        if searches.len() >= SEARCHES || program.1 == programs::Fault::None {
            let micros = found::micros_each(began.elapsed(), made);
            return Found::of(searches.into_iter().take(SEARCHES), micros);
        }
        number = (number * 4).min(SEARCHES * GIVES_UP);
    }
}

/// The searches that these runs are: each ends with a fault, or gives up.
fn searches(are_right: &[bool]) -> Vec<Option<usize>> {
    let (mut searches, mut length) = (Vec::new(), 0);
    for is_right in are_right {
        length += 1;
        if !is_right || length == GIVES_UP {
            searches.push((!is_right).then_some(length));
            length = 0;
        }
    }
    searches
}
