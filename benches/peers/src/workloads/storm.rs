//! Many tasks wait for the same thing, which happens: all are woken, all are polled once. Again and again.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Waker};

use crate::executor::Executor;
use crate::measure::{Sample, repeat, repeat_bare};
use crate::parts::{Gate, Muster};
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
    muster: Muster,
    passed: Cell<usize>,
}

pub(crate) fn measure<E: Executor>(workload: &'static Workload, scale: Scale) -> Sample {
    let tasks = scale.size(TASKS);
    let crowd = Rc::new(Crowd::default());
    let waiting = Cell::new(false);
    repeat::<E, _>(workload, scale, tasks * STORMS, move || {
        let crowd = crowd.clone();
        let begin = !waiting.replace(true);
        async move {
            if begin {
                crowd.muster.expect(tasks);
                (0..tasks).for_each(|_| E::spawn_detached(pass_for_ever(crowd.clone())));
                crowd.muster.complete().await;
            }
            let before = crowd.passed.get();
            for _ in 0..STORMS {
                crowd.muster.expect(tasks);
                crowd.gate.open();
                crowd.muster.complete().await;
            }
            assert_eq!(crowd.passed.get() - before, tasks * STORMS);
        }
    })
}

async fn pass_for_ever(crowd: Rc<Crowd>) {
    loop {
        crowd.muster.arrive();
        crowd.gate.pass().await;
        crowd.passed.set(crowd.passed.get() + 1);
    }
}

/// The same futures, each polled after the gate was opened.
pub(crate) fn bare(workload: &'static Workload, scale: Scale) -> Sample {
    let tasks = scale.size(TASKS);
    let crowd = Rc::new(Crowd::default());
    let mut futures: Vec<_> = (0..tasks).map(|_| boxed(pass_for_ever(crowd.clone()))).collect();
    let mut context = Context::from_waker(Waker::noop());
    let mut poll_all = |crowd: &Crowd| {
        crowd.muster.expect(tasks);
        crowd.gate.open();
        for future in &mut futures {
            assert!(future.as_mut().poll(&mut context).is_pending());
        }
    };
    poll_all(&crowd);
    repeat_bare(workload, scale, tasks * STORMS, || {
        let before = crowd.passed.get();
        for _ in 0..STORMS {
            poll_all(&crowd);
        }
        assert_eq!(crowd.passed.get() - before, tasks * STORMS);
    })
}
