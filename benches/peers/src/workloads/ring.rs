//! A token goes round a ring of tasks: each waits for it and wakes the next. Of two tasks it is ping-pong.

use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::executor::Executor;
use crate::measure::{Sample, repeat, repeat_bare};
use crate::parts::Baton;
use crate::scale::Scale;
use crate::workloads::{Runs, Unit, Workload, boxed};

pub(crate) const TWO: Workload = Workload {
    name: "ring-2",
    about: "two tasks play ping-pong; an operation is one hop",
    unit: Unit::CpuNanos,
    runs: Runs::Median,
};

pub(crate) const THOUSAND: Workload = Workload {
    name: "ring-1000",
    about: "a token goes round a ring of 1,000 tasks; an operation is one hop",
    ..TWO
};

const HOPS: usize = 100_000;

pub(crate) fn two<E: Executor>(workload: &'static Workload, scale: Scale) -> Sample {
    measure::<E>(workload, scale, 2)
}

pub(crate) fn thousand<E: Executor>(workload: &'static Workload, scale: Scale) -> Sample {
    measure::<E>(workload, scale, scale.size(1_000))
}

fn measure<E: Executor>(workload: &'static Workload, scale: Scale, tasks: usize) -> Sample {
    let rounds = scale.size(HOPS) / tasks;
    repeat::<E, _>(workload, scale, rounds * tasks, move || async move {
        let batons: Rc<[Baton]> = (0..tasks).map(|_| Baton::default()).collect();
        let hops = |place| pass_on(batons.clone(), place, rounds);
        let spawned: Vec<_> = (0..tasks).map(|place| E::spawn(hops(place))).collect();
        batons[0].leave();
        let mut all = 0;
        for task in spawned {
            all += E::join(task).await;
        }
        assert_eq!(all, rounds * tasks);
    })
}

async fn pass_on(batons: Rc<[Baton]>, place: usize, rounds: usize) -> usize {
    let (own, next) = (&batons[place], &batons[(place + 1) % batons.len()]);
    for _ in 0..rounds {
        own.take().await;
        next.leave();
    }
    rounds
}

pub(crate) fn bare_two(workload: &'static Workload, scale: Scale) -> Sample {
    bare(workload, scale, 2)
}

pub(crate) fn bare_thousand(workload: &'static Workload, scale: Scale) -> Sample {
    bare(workload, scale, scale.size(1_000))
}

/// The same futures, each polled when the token has come to it.
fn bare(workload: &'static Workload, scale: Scale, tasks: usize) -> Sample {
    let rounds = scale.size(HOPS) / tasks;
    let mut context = Context::from_waker(Waker::noop());
    repeat_bare(workload, scale, rounds * tasks, || {
        let batons: Rc<[Baton]> = (0..tasks).map(|_| Baton::default()).collect();
        let hops = |place| boxed(pass_on(batons.clone(), place, rounds));
        let mut ring: Vec<_> = (0..tasks).map(hops).collect();
        for future in &mut ring {
            assert!(future.as_mut().poll(&mut context).is_pending());
        }
        batons[0].leave();
        let mut all = 0;
        for _ in 0..rounds {
            for future in &mut ring {
                if let Poll::Ready(hops) = future.as_mut().poll(&mut context) {
                    all += hops;
                }
            }
        }
        assert_eq!(all, rounds * tasks);
    })
}
