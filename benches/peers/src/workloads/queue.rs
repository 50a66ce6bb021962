//! A producer and a consumer with a bounded queue between them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::executor::Queue;
use crate::measure::{Sample, repeat, repeat_bare};
use crate::scale::Scale;
use crate::workloads::{Runs, Unit, Workload, boxed};

pub(crate) const QUEUE: Workload = Workload {
    name: "queue",
    about: "one task puts, one gets, 64 places between them; an operation is one item",
    unit: Unit::CpuNanos,
    runs: Runs::Median,
};

const ITEMS: usize = 100_000;
const PLACES: usize = 64;

pub(crate) fn measure<E: Queue>(workload: &'static Workload, scale: Scale) -> Sample {
    let items = scale.size(ITEMS) as u64;
    repeat::<E, _>(workload, scale, scale.size(ITEMS), move || async move {
        let (mut sender, mut receiver) = E::queue(PLACES);
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

/// Two futures with a `VecDeque` between them, polled by turns.
pub(crate) fn bare(workload: &'static Workload, scale: Scale) -> Sample {
    let items = scale.size(ITEMS) as u64;
    let mut context = Context::from_waker(Waker::noop());
    repeat_bare(workload, scale, scale.size(ITEMS), || {
        let queue = Rc::new(RefCell::new(VecDeque::with_capacity(PLACES)));
        let mut producer = boxed(put_all(queue.clone(), items));
        let mut consumer = boxed(get_all(queue, items));
        let mut is_put = false;
        let sum = loop {
            is_put = is_put || producer.as_mut().poll(&mut context).is_ready();
            if let Poll::Ready(sum) = consumer.as_mut().poll(&mut context) {
                break sum;
            }
        };
        assert_eq!(sum, items * (items - 1) / 2);
    })
}

async fn put_all(queue: Rc<RefCell<VecDeque<u64>>>, items: u64) {
    for item in 0..items {
        poll_fn(|_| {
            let mut queue = queue.borrow_mut();
            if queue.len() == PLACES {
                return Poll::Pending;
            }
            queue.push_back(item);
            Poll::Ready(())
        })
        .await;
    }
}

async fn get_all(queue: Rc<RefCell<VecDeque<u64>>>, items: u64) -> u64 {
    let mut sum = 0;
    for _ in 0..items {
        sum += poll_fn(|_| queue.borrow_mut().pop_front().map_or(Poll::Pending, Poll::Ready)).await;
    }
    sum
}
