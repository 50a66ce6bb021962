//! A producer and a consumer with a bounded queue between them.

use crate::executor::Queue;
use crate::measure::{Sample, repeat};
use crate::scale::Scale;
use crate::workloads::{Runs, Unit, Workload};

pub(crate) const QUEUE: Workload = Workload {
    name: "queue",
    about: "one task puts, one gets, 64 places between them; an operation is one item",
    unit: Unit::CpuNanos,
    runs: Runs::Median,
};

pub(crate) fn measure<E: Queue>(workload: &'static Workload, scale: Scale) -> Sample {
    let items = scale.size(100_000) as u64;
    repeat::<E, _>(workload, scale, scale.size(100_000), move || async move {
        let (mut sender, mut receiver) = E::queue(64);
        let producer = E::spawn(async move {
            for item in 0..items {
                E::put(&mut sender, item).await;
            }
        });
        let consumer = E::spawn(async move {
            let mut sum = 0;
            for _ in 0..items {
                sum += E::get(&mut receiver).await;
            }
            sum
        });
        E::join(producer).await;
        assert_eq!(E::join(consumer).await, items * (items - 1) / 2);
    })
}
