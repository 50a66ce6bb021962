//! **The programs**, compiled once for each tool: only `spawn`, `yield_now`, `Semaphore` and `Task` differ.
//!
//! Each says whether it went right, or never ends. In the order in which the loop runs it by itself it is right.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::{Semaphore, Task, spawn, yield_now};

/// A program: what it is called, and whether its fault is that it never ends.
pub(crate) type Program = (&'static str, Fault, fn() -> Pin<Box<dyn Future<Output = bool>>>);

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    None,
    Wrong,
    Deadlock,
}

pub(crate) const PROGRAMS: &[Program] = &[
    ("a lock of three tasks, right", Fault::None, || Box::pin(lock_of_three())),
    ("a bounded queue, 2 producers, 2 consumers, right", Fault::None, || Box::pin(queue(true))),
    ("the same, and room is looked for before an await", Fault::Wrong, || Box::pin(queue(false))),
    ("double spend between two awaits", Fault::Wrong, || Box::pin(double_spend())),
    ("a permit that a cancel loses", Fault::Wrong, || Box::pin(lost_permit())),
    ("a value seen half written, among six other tasks", Fault::Wrong, || Box::pin(torn())),
    ("a lost wake-up", Fault::Deadlock, || Box::pin(lost_wake_up())),
    ("two locks in two orders", Fault::Deadlock, || Box::pin(two_locks())),
    ("three dining philosophers", Fault::Deadlock, || Box::pin(philosophers())),
];

async fn yields(turns: usize) {
    for _ in 0..turns {
        yield_now().await;
    }
}

async fn lock_of_three() -> bool {
    let shared = Rc::new((Semaphore::new(1), Cell::new(0), Cell::new(true)));
    let tasks = [(); 3].map(|()| {
        let shared = shared.clone();
        spawn(async move {
            let (lock, inside, is_right) = &*shared;
            let _permit = lock.acquire().await;
            inside.set(inside.get() + 1);
            yield_now().await;
            is_right.set(is_right.get() && inside.get() == 1);
            inside.set(inside.get() - 1);
        })
    });
    for task in tasks {
        task.join().await;
    }
    shared.2.get()
}

/// A queue of one item, made of two semaphores; or one that looks whether there is room, and then waits for something else.
async fn queue(is_right: bool) -> bool {
    struct Queue {
        items: RefCell<VecDeque<usize>>,
        room: Semaphore,
        filled: Semaphore,
        most: Cell<usize>,
    }
    let queue = Rc::new(Queue {
        items: RefCell::default(),
        room: Semaphore::new(1),
        filled: Semaphore::new(0),
        most: Cell::new(0),
    });
    let produce = |item: usize| {
        let queue = queue.clone();
        spawn(async move {
            if is_right {
                queue.room.acquire().await.forget();
            } else {
                yields(6 * item).await; // usually the other one has been consumed before
                while !queue.items.borrow().is_empty() {
                    queue.room.acquire().await.forget();
                }
                yield_now().await; // a log is written
            }
            queue.items.borrow_mut().push_back(item);
            queue.most.set(queue.most.get().max(queue.items.borrow().len()));
            queue.filled.release();
        })
    };
    let consume = |_| {
        let queue = queue.clone();
        spawn(async move {
            queue.filled.acquire().await.forget();
            let item = queue.items.borrow_mut().pop_front();
            queue.room.release();
            item
        })
    };
    let (producers, consumers) = ([0, 1].map(produce), [0, 1].map(consume));
    for producer in producers {
        producer.join().await;
    }
    let mut items = Vec::new();
    for consumer in consumers {
        items.extend(consumer.join().await.flatten());
    }
    items.sort_unstable();
    items == [0, 1] && queue.most.get() == 1
}

async fn double_spend() -> bool {
    let balance = Rc::new(Cell::new(10));
    let spend = |late: usize| {
        let balance = balance.clone();
        spawn(async move {
            yields(late).await;
            if balance.get() >= 10 {
                yield_now().await; // the bank is asked
                balance.set(balance.get() - 10);
            }
        })
    };
    let tasks = [spend(0), spend(3)];
    for task in tasks {
        task.join().await;
    }
    balance.get() == 0
}

/// One task cancels the other, at some moment.
async fn lost_permit() -> bool {
    let permits = Rc::new(Semaphore::new(1));
    let worker = spawn({
        let permits = permits.clone();
        async move {
            permits.acquire().await.forget();
            yield_now().await;
            permits.release();
        }
    });
    let canceller = worker.canceller();
    let cancels = spawn(async move {
        yields(3).await;
        canceller();
    });
    cancels.join().await;
    worker.join().await;
    permits.available() == 1
}

async fn torn() -> bool {
    let state = Rc::new(Cell::new(0));
    let mut others: Vec<Task<()>> = (0..6).map(|_| spawn(yields(4))).collect();
    let reader = spawn({
        let state = state.clone();
        async move {
            let first = state.get();
            yield_now().await;
            (first, state.get())
        }
    });
    others.push(spawn(async move {
        for value in [1, 2] {
            yield_now().await;
            state.set(value);
        }
    }));
    let seen = reader.join().await;
    for other in others {
        other.join().await;
    }
    seen != Some((1, 2))
}

async fn lost_wake_up() -> bool {
    let shared = Rc::new((Cell::new(false), RefCell::new(None::<Waker>)));
    let waiter = spawn({
        let shared = shared.clone();
        async move {
            let (is_set, waker) = &*shared;
            if !is_set.get() {
                yield_now().await; // a log is written
                let mut is_parked = false;
                poll_fn(|cx| {
                    if is_parked && waker.borrow().is_none() {
                        return Poll::Ready(());
                    }
                    is_parked = true;
                    waker.replace(Some(cx.waker().clone())); // and whether it is set meanwhile is not looked at
                    Poll::Pending
                })
                .await;
            }
        }
    });
    let setter = spawn(async move {
        yields(2).await;
        shared.0.set(true);
        let waker = shared.1.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    });
    setter.join().await;
    waiter.join().await;
    true
}

async fn two_locks() -> bool {
    let locks = Rc::new([Semaphore::new(1), Semaphore::new(1)]);
    let take = |first: usize| {
        let locks = locks.clone();
        spawn(async move {
            yields(3 * first).await;
            let _one = locks[first].acquire().await;
            yield_now().await;
            let _other = locks[1 - first].acquire().await;
        })
    };
    let tasks = [take(0), take(1)];
    for task in tasks {
        task.join().await;
    }
    true
}

async fn philosophers() -> bool {
    let forks = Rc::new([(); 3].map(|()| Semaphore::new(1)));
    let dine = |seat: usize| {
        let forks = forks.clone();
        spawn(async move {
            yields(3 * seat).await;
            let _left = forks[seat].acquire().await;
            yield_now().await;
            let _right = forks[(seat + 1) % 3].acquire().await;
        })
    };
    let tasks = [dine(0), dine(1), dine(2)];
    for task in tasks {
        task.join().await;
    }
    true
}
