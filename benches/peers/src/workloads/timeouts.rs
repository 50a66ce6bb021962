//! Time limits that never strike: the usual fate of one.

use std::cell::Cell;
use std::future::{Future, ready};
use std::rc::Rc;
use std::time::Duration;

use crate::executor::Timers;
use crate::measure::{Sample, repeat};
use crate::parts::{Muster, yield_now};
use crate::scale::Scale;
use crate::workloads::{Runs, Unit, Workload};

pub(crate) const READY: Workload = Workload {
    name: "timeout",
    about: "a time limit around a future that is ready at once; an operation is one limit",
    unit: Unit::CpuNanos,
    runs: Runs::Median,
};

pub(crate) const BESIDE_TIMERS: Workload = Workload {
    name: "timeout-10k",
    about: "the same, while 10,000 other timers are pending; an operation is one limit",
    ..READY
};

/// Who polls the future first need not set a timer for one that is ready at once: here all must.
pub(crate) const ARMED: Workload = Workload {
    name: "timeout-armed",
    about: "the same, around a future that yields once, so that the timer is set; an operation is one limit",
    ..READY
};

const LIMITS: usize = 20_000;
const HOUR: Duration = Duration::from_secs(3_600);

pub(crate) fn at_once<E: Timers>(workload: &'static Workload, scale: Scale) -> Sample {
    measure::<E, _>(workload, scale, 0, ready)
}

pub(crate) fn beside_timers<E: Timers>(workload: &'static Workload, scale: Scale) -> Sample {
    measure::<E, _>(workload, scale, scale.size(10_000), ready)
}

pub(crate) fn armed<E: Timers>(workload: &'static Workload, scale: Scale) -> Sample {
    measure::<E, _>(workload, scale, scale.size(10_000), |number| async move {
        yield_now().await;
        number
    })
}

fn measure<E: Timers, F: Future<Output = usize> + 'static>(
    workload: &'static Workload,
    scale: Scale,
    others: usize,
    within: fn(usize) -> F,
) -> Sample {
    let limits = scale.size(LIMITS);
    let missing = Cell::new(others);
    repeat::<E, _>(workload, scale, limits, move || {
        let others = missing.take(); // the first repetition makes them
        async move {
            if others > 0 {
                put_to_sleep::<E>(others).await;
            }
            let mut sum = 0;
            for number in 0..limits {
                sum += E::time_out(HOUR, within(number)).await.expect("it is in time");
            }
            assert_eq!(sum, limits * (limits - 1) / 2);
        }
    })
}

/// So many tasks sleep, and no two of them for the same time.
async fn put_to_sleep<E: Timers>(others: usize) {
    let muster = Rc::new(Muster::default());
    muster.expect(others);
    for place in 0..others {
        let muster = muster.clone();
        E::spawn_detached(async move {
            muster.arrive();
            E::sleep(HOUR + Duration::from_millis(place as u64)).await;
        });
    }
    muster.complete().await;
}
