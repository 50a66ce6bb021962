//! Another thread wakes the loop: back and forth with one task, and a flood over a thousand.

use std::cell::Cell;
use std::future::poll_fn;
use std::hint;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::thread::{self, Thread};

use futures::task::AtomicWaker;

use crate::cores;
use crate::executor::Executor;
use crate::measure::{Sample, repeat};
use crate::parts::yield_now;
use crate::scale::Scale;
use crate::workloads::{Runs, Unit, Workload};

pub(crate) const PARKED: Workload = Workload {
    name: "thread-parked",
    about: "a task and a thread play ping-pong, the loop sleeps in between; an operation is there and back",
    unit: Unit::WallNanos,
    runs: Runs::PinnedMedian,
};

pub(crate) const BUSY: Workload = Workload {
    name: "thread-busy",
    about: "the same on two cores, while another task yields all the time; an operation is there and back",
    unit: Unit::WallNanos,
    runs: Runs::TwoCoresMedian,
};

pub(crate) const FLOOD: Workload = Workload {
    name: "thread-flood",
    about: "a thread wakes 1,000 waiting tasks, again when all have run; an operation is one wake",
    unit: Unit::WallNanos,
    runs: Runs::PinnedBest,
};

pub(crate) fn parked<E: Executor>(workload: &'static Workload, scale: Scale) -> Sample {
    let trips = scale.size(1_000);
    let partner = Partner::new(|| (), thread::park);
    repeat::<E, _>(workload, scale, trips, move || partner.clone().play(trips))
}

pub(crate) fn busy<E: Executor>(workload: &'static Workload, scale: Scale) -> Sample {
    let trips = scale.size(10_000);
    let partner = Partner::new(cores::move_to_the_other, hint::spin_loop);
    repeat::<E, _>(workload, scale, trips, move || {
        let partner = partner.clone();
        async move {
            let over = Rc::new(Cell::new(false));
            let yielder = E::spawn(yield_until(over.clone()));
            partner.play(trips).await;
            over.set(true);
            E::join(yielder).await;
        }
    })
}

async fn yield_until(over: Rc<Cell<bool>>) {
    while !over.get() {
        yield_now().await;
    }
}

/// Where the ball is, and who is to be told when it comes back. The thread is told by unparking it.
#[derive(Default)]
struct Ball {
    with_thread: AtomicBool,
    returned: AtomicWaker,
    hits: AtomicUsize,
}

/// A thread that hits the ball back. It begins before the first measurement and ends with the process.
#[derive(Clone)]
struct Partner {
    ball: Arc<Ball>,
    thread: Thread,
}

impl Partner {
    fn new(prepare: fn(), wait: fn()) -> Partner {
        let ball = Arc::new(Ball::default());
        let hit_back = {
            let ball = ball.clone();
            move || {
                prepare();
                loop {
                    while !ball.with_thread.load(Ordering::Acquire) {
                        wait();
                    }
                    ball.hits.fetch_add(1, Ordering::Relaxed);
                    ball.with_thread.store(false, Ordering::Release);
                    ball.returned.wake();
                }
            }
        };
        Partner { ball, thread: thread::spawn(hit_back).thread().clone() }
    }

    async fn play(self, trips: usize) {
        let Partner { ball, thread } = self;
        let before = ball.hits.load(Ordering::Relaxed);
        for _ in 0..trips {
            ball.with_thread.store(true, Ordering::Release);
            thread.unpark();
            poll_fn(|context| {
                ball.returned.register(context.waker()); // before looking, or a wake is lost
                if ball.with_thread.load(Ordering::Acquire) {
                    Poll::Pending
                } else {
                    Poll::Ready(())
                }
            })
            .await;
        }
        assert_eq!(ball.hits.load(Ordering::Relaxed) - before, trips);
    }
}

/// What one task waits for: that the round is its next one.
#[derive(Default)]
struct Signal {
    round: AtomicUsize,
    raised: AtomicWaker,
}

pub(crate) fn flood<E: Executor>(workload: &'static Workload, scale: Scale) -> Sample {
    let (tasks, rounds) = (scale.size(1_000), scale.size(20));
    repeat::<E, _>(workload, scale, tasks * rounds, move || async move {
        let signals: Arc<[Signal]> = (0..tasks).map(|_| Signal::default()).collect();
        let left = Arc::new(AtomicUsize::new(0));
        let thread = thread::spawn({
            let (signals, left) = (signals.clone(), left.clone());
            move || {
                for round in 1..=rounds {
                    left.store(signals.len(), Ordering::Release);
                    for signal in signals.iter() {
                        signal.round.store(round, Ordering::Release);
                        signal.raised.wake();
                    }
                    while left.load(Ordering::Acquire) > 0 {
                        thread::park();
                    }
                }
            }
        });
        let mut spawned = Vec::with_capacity(tasks);
        for task in 0..tasks {
            let (signals, left, thread) = (signals.clone(), left.clone(), thread.thread().clone());
            spawned.push(E::spawn(async move {
                let signal = &signals[task];
                for round in 1..=rounds {
                    poll_fn(|context| {
                        signal.raised.register(context.waker());
                        let reached = signal.round.load(Ordering::Acquire) >= round;
                        if reached { Poll::Ready(()) } else { Poll::Pending }
                    })
                    .await;
                    if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                        thread.unpark();
                    }
                }
                rounds
            }));
        }
        let mut passed = 0;
        for task in spawned {
            passed += E::join(task).await;
        }
        thread.join().expect("the thread does not panic");
        assert_eq!(passed, tasks * rounds);
    })
}
