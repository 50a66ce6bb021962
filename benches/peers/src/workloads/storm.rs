//! Many tasks wait for the same thing, which happens: all are woken, all are polled once. Again and again.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Waker};

use crate::executor::Executor;
use crate::measure::{Sample, repeat, repeat_bare};
use crate::parts::{Baton, Gate, yield_now};
use crate::scale::Scale;
use crate::workloads::{Runs, Unit, Workload, boxed};

pub(crate) const STORM: Workload = Workload {
    name: "storm",
    about: "10,000 waiting tasks are all woken, again and again; an operation is one wake and its poll",
    unit: Unit::CpuNanos,
    runs: Runs::Median,
};

const TASKS: usize = 10_000;
const STORMS: usize = 10;

#[derive(Default)]
struct Crowd {
    gate: Gate,
    passed: Cell<usize>,
    /// Left by the last one through.
    all_passed: Baton,
}

pub(crate) fn measure<E: Executor>(workload: &'static Workload, scale: Scale) -> Sample {
    let tasks = scale.size(TASKS);
    let crowd = Rc::new(Crowd::default());
    repeat::<E, _>(workload, scale, tasks * STORMS, move || {
        let crowd = crowd.clone();
        async move {
            if crowd.passed.get() == 0 {
                (0..tasks).for_each(|_| E::spawn_detached(pass_for_ever(crowd.clone(), tasks)));
                while crowd.gate.waiting() < tasks {
                    yield_now().await;
                }
            }
            let before = crowd.passed.get();
            for _ in 0..STORMS {
                crowd.gate.open();
                crowd.all_passed.take().await;
            }
            assert_eq!(crowd.passed.get() - before, tasks * STORMS);
        }
    })
}

async fn pass_for_ever(crowd: Rc<Crowd>, tasks: usize) {
    loop {
        crowd.gate.pass().await;
        crowd.passed.set(crowd.passed.get() + 1);
        if crowd.passed.get().is_multiple_of(tasks) {
            crowd.all_passed.leave();
        }
    }
}

/// The same futures, each polled after the gate was opened.
pub(crate) fn bare(workload: &'static Workload, scale: Scale) -> Sample {
    let tasks = scale.size(TASKS);
    let crowd = Rc::new(Crowd::default());
    let mut futures: Vec<_> =
        (0..tasks).map(|_| boxed(pass_for_ever(crowd.clone(), tasks))).collect();
    let mut context = Context::from_waker(Waker::noop());
    let mut poll_all = move || {
        let pending = futures
            .iter_mut()
            .filter_map(|it| it.as_mut().poll(&mut context).is_pending().then_some(()));
        assert_eq!(pending.count(), tasks);
    };
    poll_all();
    repeat_bare(workload, scale, tasks * STORMS, || {
        let before = crowd.passed.get();
        for _ in 0..STORMS {
            crowd.gate.open();
            poll_all();
        }
        assert_eq!(crowd.passed.get() - before, tasks * STORMS);
    })
}
