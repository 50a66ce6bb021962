//! Three at a time: many tasks want one of few permits.

use std::cell::Cell;
use std::rc::Rc;

use crate::executor::Semaphore;
use crate::measure::{Sample, repeat};
use crate::parts::yield_now;
use crate::scale::Scale;
use crate::workloads::{Runs, Unit, Workload};

pub(crate) const SEMAPHORE: Workload = Workload {
    name: "semaphore",
    about: "1,000 tasks, 3 permits, each taken 10 times and held over a yield; an operation is one permit taken",
    unit: Unit::CpuNanos,
    runs: Runs::Median,
};

const PERMITS: usize = 3;
const TURNS: usize = 10;

/// How many hold a permit, and how many did at most.
#[derive(Default)]
struct Holders {
    now: Cell<usize>,
    most: Cell<usize>,
}

pub(crate) fn measure<E: Semaphore>(workload: &'static Workload, scale: Scale) -> Sample {
    let tasks = scale.size(1_000);
    repeat::<E, _>(workload, scale, tasks * TURNS, move || async move {
        let semaphore = Rc::new(E::semaphore(PERMITS));
        let holders = Rc::new(Holders::default());
        let worker = |_| E::spawn(take_turns::<E>(semaphore.clone(), holders.clone()));
        let spawned: Vec<_> = (0..tasks).map(worker).collect();
        let mut taken = 0;
        for task in spawned {
            taken += E::join(task).await;
        }
        assert_eq!(taken, tasks * TURNS);
        assert!(holders.most.get() <= PERMITS);
    })
}

async fn take_turns<E: Semaphore>(semaphore: Rc<E::Semaphore>, holders: Rc<Holders>) -> usize {
    for _ in 0..TURNS {
        let permit = E::acquire(&semaphore).await;
        holders.now.set(holders.now.get() + 1);
        holders.most.set(holders.most.get().max(holders.now.get()));
        yield_now().await;
        holders.now.set(holders.now.get() - 1);
        drop(permit);
    }
    TURNS
}
