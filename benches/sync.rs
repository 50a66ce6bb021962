//! Measures the primitives, when no task has to wait and when tasks have to. `cargo bench --bench sync`

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use common::{Group, paths, settings, timed};
use criterion::{Criterion, criterion_group, criterion_main};
use loopwheel::sync::{
    Barrier, BoundedSemaphore, Condition, Event, LifoQueue, Lock, PriorityQueue, Promise, Queue,
};
use loopwheel::{create_task, yield_now};

/// Runs `body` in this many tasks, tells each its number, and returns how long that takes.
async fn in_tasks<F>(tasks: u64, body: impl Fn(u64) -> F) -> Duration
where
    F: Future<Output = ()> + 'static,
{
    let tasks: Vec<_> = (0..tasks).map(|number| create_task(body(number))).collect();
    timed(async || {
        for task in tasks {
            task.await.expect("it has ended well");
        }
    })
    .await
}

fn locks(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "lock");
    group.rounds("free", 1, |rounds| async move {
        let lock = Lock::new();
        let took = timed(async || {
            for _ in 0..rounds {
                drop(lock.acquire().await);
            }
        })
        .await;
        assert!(!lock.is_locked());
        took
    });
    // Each task holds it while it yields, so that all other tasks wait.
    group.rounds("handed-over-among-100", 100, |rounds| async move {
        let shared = Rc::new((Lock::new(), Cell::new(0)));
        let taken = shared.clone();
        let took = in_tasks(100, |_| {
            let shared = shared.clone();
            async move {
                for _ in 0..rounds {
                    let guard = shared.0.acquire().await;
                    shared.1.set(shared.1.get() + 1);
                    yield_now().await;
                    drop(guard);
                }
            }
        })
        .await;
        assert_eq!(taken.1.get(), 100 * rounds);
        took
    });
}

fn semaphores(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "semaphore");
    group.path(&paths::SEMAPHORE_FREE);
    group.path(&paths::SEMAPHORE);
    group.rounds("bounded-free", 1, |rounds| async move {
        let semaphore = BoundedSemaphore::new(3);
        let took = timed(async || {
            for _ in 0..rounds {
                drop(semaphore.acquire().await);
            }
        })
        .await;
        assert_eq!(semaphore.available(), 3);
        took
    });
}

fn events(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "event");
    group.rounds("wait-for-one-that-is-set", 1, |rounds| async move {
        let event = Event::new();
        event.set();
        timed(async || {
            for _ in 0..rounds {
                event.wait().await;
            }
        })
        .await
    });
    group.rounds("set-with-1000-waiting", 1_000, |rounds| async move {
        let event = Rc::new(Event::new());
        let waits = |_| {
            let event = event.clone();
            create_task(async move {
                for _ in 0..rounds {
                    event.wait().await;
                }
            })
        };
        let tasks: Vec<_> = (0..1_000).map(waits).collect();
        yield_now().await;
        let took = timed(async || {
            for _ in 0..rounds {
                assert_eq!(event.waiting(), 1_000);
                event.set();
                event.clear();
                yield_now().await; // they stand before this task in the queue
            }
        })
        .await;
        for task in tasks {
            task.await.expect("it has seen the event");
        }
        took
    });
}

fn conditions(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "condition");
    // Two tasks take turns: each waits for a number to be even, or odd.
    group.rounds("wait-and-notify", 2, |rounds| async move {
        let shared = Rc::new((Condition::new(), Cell::new(0)));
        let number = shared.clone();
        let took = in_tasks(2, |own| {
            let shared = shared.clone();
            async move {
                let (condition, number) = &*shared;
                for _ in 0..rounds {
                    let guard = condition.acquire().await;
                    guard.wait_for(|| number.get() % 2 == own).await;
                    number.set(number.get() + 1);
                    guard.notify(1);
                }
            }
        })
        .await;
        assert_eq!(number.1.get(), 2 * rounds);
        took
    });
}

fn barriers(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "barrier");
    group.rounds("of-10", 10, |rounds| async move {
        let shared = Rc::new((Barrier::new(10), Cell::new(0)));
        let sum = shared.clone();
        let took = in_tasks(10, |_| {
            let shared = shared.clone();
            async move {
                for _ in 0..rounds {
                    let place = shared.0.wait().await.expect("it is whole");
                    shared.1.set(shared.1.get() + place);
                }
            }
        })
        .await;
        assert_eq!(sum.1.get() as u64, 45 * rounds, "each is told a place of its own");
        took
    });
}

fn queues(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "queue");
    group.path(&paths::QUEUE);
    group.rounds("put-and-get", 1, |rounds| async move {
        let queue = Queue::unbounded();
        timed(async || {
            for item in 0..rounds {
                queue.put(item).await.expect("it is open");
                assert_eq!(queue.get().await, Ok(item));
            }
        })
        .await
    });
    group.rounds("put_nowait-and-get_nowait", 1, |rounds| async move {
        let queue = Queue::unbounded();
        timed(async || {
            for item in 0..rounds {
                queue.put_nowait(item).expect("there is room");
                assert_eq!(queue.get_nowait(), Ok(item));
            }
        })
        .await
    });
    group.rounds("lifo-1000", 1_000, |rounds| async move {
        let queue = LifoQueue::unbounded();
        timed(async || {
            for _ in 0..rounds {
                for item in 0..1_000 {
                    queue.put_nowait(item).expect("there is room");
                }
                for item in (0..1_000).rev() {
                    assert_eq!(queue.get_nowait(), Ok(item));
                }
            }
        })
        .await
    });
    group.rounds("priority-1000", 1_000, |rounds| async move {
        let queue = PriorityQueue::unbounded();
        timed(async || {
            for _ in 0..rounds {
                for place in 0..1_000 {
                    queue.put_nowait((place * 7) % 1_000).expect("there is room"); // all, and none in order
                }
                for item in 0..1_000 {
                    assert_eq!(queue.get_nowait(), Ok(item));
                }
            }
        })
        .await
    });
}

fn promises(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "promise");
    group.once("set-and-wait", async || {
        let promise = Promise::new();
        promise.set(7).expect("it is new");
        assert_eq!(promise.wait().await, 7);
    });
    group.once("wait-and-set", async || {
        let promise = Promise::new();
        let waits = create_task({
            let promise = promise.clone();
            async move { promise.wait().await }
        });
        yield_now().await;
        promise.set(7).expect("it is new");
        assert_eq!(waits.await, Ok(7));
    });
}

criterion_group! {
    name = sync;
    config = settings();
    targets = locks, semaphores, events, conditions, barriers, queues, promises
}
criterion_main!(sync);
