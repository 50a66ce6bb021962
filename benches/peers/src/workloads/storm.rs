//! Many tasks wait for the same event. It happens again and again: each time all are woken, and all are polled once.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Waker};

use crate::executor::Executor;
use crate::measure::{Sample, repeat, repeat_bare};
use crate::parts::{Gate, Muster};
use crate::scale::Scale;
use crate::workloads::{Runs, Unit, Workload, boxed, size_in_name};

pub(crate) const HUNDRED: Workload = Workload {
    name: "storm-100",
    about: "100 waiting tasks are all woken, again and again; an operation is one wake and its poll",
    unit: Unit::CpuNanos,
    runs: Runs::Median,
};

pub(crate) const THOUSAND: Workload = Workload {
    name: "storm-1000",
    about: "1,000 waiting tasks are all woken, again and again; an operation is one wake and its poll",
    ..HUNDRED
};

pub(crate) const TEN_THOUSAND: Workload = Workload {
    name: "storm-10000",
    about: "10,000 waiting tasks are all woken, again and again; an operation is one wake and its poll",
    ..HUNDRED
};

pub(crate) const HUNDRED_THOUSAND: Workload = Workload {
    name: "storm-100000",
    about: "100,000 waiting tasks are all woken, again and again; an operation is one wake and its poll",
    ..HUNDRED
};

pub(crate) const MILLION: Workload = Workload {
    name: "storm-1000000",
    about: "1,000,000 waiting tasks are all woken, again and again; an operation is one wake and its poll",
    ..HUNDRED
};

/// So many storms are one repetition.
fn storms(tasks: usize) -> usize {
    (100_000 / tasks).clamp(2, 1_000)
}

#[derive(Default)]
struct Waiters {
    gate: Gate,
    muster: Muster,
    passed: Cell<usize>,
}

pub(crate) fn measure<E: Executor>(workload: &'static Workload, scale: Scale) -> Sample {
    let tasks = size_in_name(workload, scale);
    let storms = storms(tasks);
    let waiters = Rc::new(Waiters::default());
    let waiting = Cell::new(false);
    repeat::<E, _>(workload, scale, tasks * storms, move || {
        let waiters = waiters.clone();
        let begin = !waiting.replace(true);
        async move {
            if begin {
                waiters.muster.expect(tasks);
                (0..tasks).for_each(|_| E::spawn_detached(pass_for_ever(waiters.clone())));
                waiters.muster.complete().await;
            }
            let before = waiters.passed.get();
            for _ in 0..storms {
                waiters.muster.expect(tasks);
                waiters.gate.open();
                waiters.muster.complete().await;
            }
            assert_eq!(waiters.passed.get() - before, tasks * storms);
        }
    })
}

async fn pass_for_ever(waiters: Rc<Waiters>) {
    loop {
        waiters.muster.arrive();
        waiters.gate.pass().await;
        waiters.passed.set(waiters.passed.get() + 1);
    }
}

/// The same futures, each polled after the gate was opened.
pub(crate) fn bare(workload: &'static Workload, scale: Scale) -> Sample {
    let tasks = size_in_name(workload, scale);
    let storms = storms(tasks);
    let waiters = Rc::new(Waiters::default());
    let mut futures: Vec<_> = (0..tasks).map(|_| boxed(pass_for_ever(waiters.clone()))).collect();
    let mut context = Context::from_waker(Waker::noop());
    let mut poll_all = |waiters: &Waiters| {
        waiters.muster.expect(tasks);
        waiters.gate.open();
        for future in &mut futures {
            assert!(future.as_mut().poll(&mut context).is_pending());
        }
    };
    poll_all(&waiters);
    repeat_bare(workload, scale, tasks * storms, || {
        let before = waiters.passed.get();
        for _ in 0..storms {
            poll_all(&waiters);
        }
        assert_eq!(waiters.passed.get() - before, tasks * storms);
    })
}
