//! Three at a time: many tasks want one of few permits.

use std::cell::Cell;
use std::rc::Rc;

use crate::executor::Semaphore;
use crate::measure::{Sample, repeat};
use crate::parts::Gate;
use crate::scale::Scale;
use crate::workloads::{Runs, Unit, Workload};

pub(crate) const SEMAPHORE: Workload = Workload {
    name: "semaphore",
    about: "1,000 tasks, 3 permits, taken 9,999 times and held until all are out; an operation is one permit taken",
    unit: Unit::CpuNanos,
    runs: Runs::Median,
};

const PERMITS: usize = 3;
const TURNS: usize = 10;

/// What the workers share besides the semaphore.
#[derive(Default)]
struct Works {
    /// How often a permit is still to be taken, in all.
    left: Cell<usize>,
    holders: Cell<usize>,
    most_holders: Cell<usize>,
    /// Those who wait, with a permit in hand, for all permits to be out.
    waiting: Cell<usize>,
    all_are_out: Gate,
}

impl Works {
    /// Holding is waiting for the other permits to be out. (With a yield in its place an executor on which a task that wakes
    /// itself goes first runs one worker after the other, and no task ever waits for a permit.)
    async fn hold(&self) {
        self.waiting.set(self.waiting.get() + 1);
        if self.waiting.get() == PERMITS {
            self.waiting.set(0);
            self.all_are_out.open();
        } else {
            self.all_are_out.pass().await;
        }
    }
}

pub(crate) fn measure<E: Semaphore>(workload: &'static Workload, scale: Scale) -> Sample {
    let tasks = scale.size(1_000);
    let turns = tasks * TURNS / PERMITS * PERMITS; // or the last would wait in vain
    repeat::<E, _>(workload, scale, turns, move || async move {
        let semaphore = Rc::new(E::semaphore(PERMITS));
        let works = Rc::new(Works { left: Cell::new(turns), ..Works::default() });
        let worker = |_| E::spawn(work::<E>(semaphore.clone(), works.clone()));
        let workers: Vec<_> = (0..tasks).map(worker).collect();
        let mut taken = 0;
        for worker in workers {
            taken += E::join(worker).await;
        }
        assert_eq!(taken, turns);
        assert_eq!(works.most_holders.get(), PERMITS);
    })
}

async fn work<E: Semaphore>(semaphore: Rc<E::Semaphore>, works: Rc<Works>) -> usize {
    let mut taken = 0;
    while works.left.get() > 0 {
        works.left.set(works.left.get() - 1);
        let permit = E::acquire(&semaphore).await;
        works.holders.set(works.holders.get() + 1);
        works.most_holders.set(works.most_holders.get().max(works.holders.get()));
        works.hold().await;
        works.holders.set(works.holders.get() - 1);
        drop(permit);
        taken += 1;
    }
    taken
}
