//! The hot paths. Each is told how many rounds to make. Criterion times them, and `instructions` counts what they execute.

use std::cell::Cell;
use std::future::{Future, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use loopwheel::sync::{Lock, Queue, Semaphore};
use loopwheel::{TaskBuilder, create_task, gather, set_trace, sleep, trace, wait_for, yield_now};

use super::parts::{Baton, Gate};
use super::{HOUR, timed};

pub(crate) struct Path {
    pub(crate) name: &'static str,
    /// What one operation is.
    pub(crate) about: &'static str,
    /// The number of operations in one round.
    pub(crate) operations: u64,
    /// Makes this many rounds, checks the results, and returns how long the rounds took.
    pub(crate) run: fn(u64) -> Pin<Box<dyn Future<Output = Duration>>>,
}

pub(crate) const ALL: [&Path; 17] = [
    &SPAWN_JOIN,
    &SPAWN_EAGER,
    &YIELD_ALONE,
    &YIELD_AMONG,
    &STORM,
    &PING_PONG,
    &CANCEL,
    &SLEEP,
    &LIMIT_READY,
    &LIMIT_ARMED,
    &GATHER,
    &QUEUE,
    &SEMAPHORE,
    &SEMAPHORE_FREE,
    &LOCK,
    &LOCK_FREE,
    &TRACED,
];

/// The number of tasks of a path that measures many tasks.
const TASKS: u64 = 1_000;

pub(crate) const SPAWN_JOIN: Path = Path {
    name: "spawn-join",
    about: "a task of 1,000 is spawned, and awaited",
    operations: TASKS,
    run: |rounds| Box::pin(spawn_join(rounds)),
};

async fn spawn_join(rounds: u64) -> Duration {
    timed(async || {
        for _ in 0..rounds {
            let tasks: Vec<_> = (0..TASKS).map(|number| create_task(ready(number))).collect();
            let mut sum = 0;
            for task in tasks {
                sum += task.await.expect("it has a value");
            }
            assert_eq!(sum, TASKS * (TASKS - 1) / 2);
        }
    })
    .await
}

pub(crate) const SPAWN_EAGER: Path = Path {
    name: "spawn-eager",
    about: "a task is polled while it is spawned, and awaited, one after the other",
    operations: 1,
    run: |rounds| Box::pin(spawn_eager(rounds)),
};

async fn spawn_eager(rounds: u64) -> Duration {
    timed(async || {
        let mut sum = 0;
        for number in 0..rounds {
            let task = TaskBuilder::new().eager_start(true).create_task(async move { number });
            sum += task.await.expect("it has a value");
        }
        assert_eq!(sum, rounds * rounds.saturating_sub(1) / 2);
    })
    .await
}

pub(crate) const YIELD_ALONE: Path = Path {
    name: "yield-1",
    about: "the only task yields",
    operations: 1,
    run: |rounds| Box::pin(yield_alone(rounds)),
};

async fn yields(times: u64) -> u64 {
    for _ in 0..times {
        yield_now().await;
    }
    times
}

async fn yield_alone(rounds: u64) -> Duration {
    timed(async || assert_eq!(yields(rounds).await, rounds)).await
}

pub(crate) const TRACED: Path = Path {
    name: "traced",
    about: "one of the five events of a yield, told to an observer that counts them",
    operations: EVENTS_OF_A_YIELD,
    run: |rounds| Box::pin(traced(rounds)),
};

const EVENTS_OF_A_YIELD: u64 = 5;

async fn traced(rounds: u64) -> Duration {
    let events = Rc::new(Cell::new(0));
    let told = events.clone();
    set_trace(move |_: &trace::Event<'_>| told.set(told.get() + 1));
    yield_now().await; // it begins with the next turn
    events.set(0);
    let took = timed(async || assert_eq!(yields(rounds).await, rounds)).await;
    assert_eq!(events.get(), rounds * EVENTS_OF_A_YIELD);
    trace::stop();
    took
}

pub(crate) const YIELD_AMONG: Path = Path {
    name: "yield-1000",
    about: "one of 1,000 tasks yields, as all do",
    operations: TASKS,
    run: |rounds| Box::pin(yield_among(rounds)),
};

async fn yield_among(rounds: u64) -> Duration {
    let tasks: Vec<_> = (0..TASKS).map(|_| create_task(yields(rounds))).collect();
    timed(async || {
        for task in tasks {
            assert_eq!(task.await, Ok(rounds));
        }
    })
    .await
}

pub(crate) const STORM: Path = Path {
    name: "storm-1000",
    about: "one of 1,000 waiting tasks is woken by its waker, as all are, and polled",
    operations: TASKS,
    run: |rounds| Box::pin(storm(rounds)),
};

async fn storm(rounds: u64) -> Duration {
    let gate = Rc::new(Gate::default());
    let passes = |_| {
        let gate = gate.clone();
        create_task(async move {
            for _ in 0..rounds {
                gate.pass().await;
            }
        })
    };
    let tasks: Vec<_> = (0..TASKS).map(passes).collect();
    yield_now().await;
    let took = timed(async || {
        for _ in 0..rounds {
            gate.open();
            yield_now().await; // they are before this task in the queue
        }
    })
    .await;
    for task in tasks {
        assert!(task.is_done());
        task.await.expect("it has passed");
    }
    took
}

pub(crate) const PING_PONG: Path = Path {
    name: "ping-pong",
    about: "one of two tasks wakes the other and waits; there and back are two",
    operations: 2,
    run: |rounds| Box::pin(ping_pong(rounds)),
};

async fn ping_pong(rounds: u64) -> Duration {
    let batons: Rc<[Baton; 2]> = Rc::default();
    let play = |own: usize| {
        let batons = batons.clone();
        async move {
            for _ in 0..rounds {
                batons[own].take().await;
                batons[1 - own].leave();
            }
            rounds
        }
    };
    let (one, other) = (create_task(play(0)), create_task(play(1)));
    timed(async || {
        batons[0].leave();
        assert_eq!((one.await, other.await), (Ok(rounds), Ok(rounds)));
    })
    .await
}

pub(crate) const CANCEL: Path = Path {
    name: "cancel",
    about: "a task of 1,000 is spawned, sleeps, is cancelled and awaited",
    operations: TASKS,
    run: |rounds| Box::pin(cancel(rounds)),
};

async fn cancel(rounds: u64) -> Duration {
    timed(async || {
        for _ in 0..rounds {
            let tasks: Vec<_> = (0..TASKS).map(|_| create_task(sleep(HOUR))).collect();
            yield_now().await;
            for task in &tasks {
                assert!(task.cancel());
            }
            for task in tasks {
                assert!(task.await.is_err());
            }
        }
    })
    .await
}

pub(crate) const SLEEP: Path = Path {
    name: "sleep",
    about: "the only task sleeps; a timer is set and fires, and virtual time jumps",
    operations: 1,
    run: |rounds| Box::pin(sleeps(rounds)),
};

async fn sleeps(rounds: u64) -> Duration {
    let nap = Duration::from_millis(1);
    let begun = loopwheel::now();
    let took = timed(async || {
        for _ in 0..rounds {
            sleep(nap).await;
        }
    })
    .await;
    assert_eq!((loopwheel::now() - begun).as_millis(), u128::from(rounds));
    took
}

pub(crate) const LIMIT_READY: Path = Path {
    name: "limit-ready",
    about: "a time limit around a future that is ready",
    operations: 1,
    run: |rounds| Box::pin(limit_ready(rounds)),
};

async fn limit_ready(rounds: u64) -> Duration {
    timed(async || {
        for number in 0..rounds {
            assert_eq!(wait_for(ready(number), HOUR).await, Ok(number));
        }
    })
    .await
}

pub(crate) const LIMIT_ARMED: Path = Path {
    name: "limit-armed",
    about: "a time limit around a future that yields, so that a timer is set",
    operations: 1,
    run: |rounds| Box::pin(limit_armed(rounds)),
};

async fn limit_armed(rounds: u64) -> Duration {
    timed(async || {
        for number in 0..rounds {
            assert_eq!(wait_for(answer(number), HOUR).await, Ok(number));
        }
    })
    .await
}

/// Yields once.
pub(crate) async fn answer<T>(value: T) -> T {
    yield_now().await;
    value
}

pub(crate) const GATHER: Path = Path {
    name: "gather-10",
    about: "10 futures that yield once are gathered",
    operations: 1,
    run: |rounds| Box::pin(gather_ten(rounds)),
};

async fn gather_ten(rounds: u64) -> Duration {
    timed(async || {
        for _ in 0..rounds {
            assert_eq!(gather((0..10).map(answer)).await, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        }
    })
    .await
}

pub(crate) const QUEUE: Path = Path {
    name: "queue",
    about: "an item goes from one task to another, with 64 places between them",
    operations: 1,
    run: |rounds| Box::pin(queue(rounds)),
};

async fn queue(rounds: u64) -> Duration {
    let queue = Rc::new(Queue::bounded(64));
    let full = queue.clone();
    let producer = create_task(async move {
        for item in 0..rounds {
            full.put(item).await.expect("it is open");
        }
    });
    let consumer = create_task(async move {
        for item in 0..rounds {
            assert_eq!(queue.get().await, Ok(item));
        }
    });
    timed(async || {
        producer.await.expect("it has put everything");
        consumer.await.expect("it has got everything");
    })
    .await
}

pub(crate) const SEMAPHORE: Path = Path {
    name: "semaphore",
    about: "one of 1,000 tasks takes one of 3 permits and holds it while it yields",
    operations: TASKS,
    run: |rounds| Box::pin(semaphore(rounds)),
};

const PERMITS: usize = 3;

async fn semaphore(rounds: u64) -> Duration {
    let shared = Rc::new((Semaphore::new(PERMITS), Cell::new(0)));
    let takes = |_| {
        let shared = shared.clone();
        create_task(async move {
            let (semaphore, holders) = &*shared;
            for _ in 0..rounds {
                let permit = semaphore.acquire().await;
                holders.set(holders.get() + 1);
                assert!(holders.get() <= PERMITS);
                yield_now().await;
                holders.set(holders.get() - 1);
                drop(permit);
            }
        })
    };
    let tasks: Vec<_> = (0..TASKS).map(takes).collect();
    timed(async || {
        for task in tasks {
            task.await.expect("it has had its permits");
        }
    })
    .await
}

pub(crate) const SEMAPHORE_FREE: Path = Path {
    name: "semaphore-free",
    about: "a permit that is free is taken and given back",
    operations: 1,
    run: |rounds| Box::pin(semaphore_free(rounds)),
};

async fn semaphore_free(rounds: u64) -> Duration {
    let semaphore = Semaphore::new(PERMITS);
    let took = timed(async || {
        for _ in 0..rounds {
            drop(semaphore.acquire().await);
        }
    })
    .await;
    assert_eq!(semaphore.available(), PERMITS);
    took
}

pub(crate) const LOCK: Path = Path {
    name: "lock",
    about: "one of 1,000 tasks takes the lock and holds it while it yields",
    operations: TASKS,
    run: |rounds| Box::pin(lock(rounds)),
};

async fn lock(rounds: u64) -> Duration {
    let shared = Rc::new((Lock::new(), Cell::new(false)));
    let takes = |_| {
        let shared = shared.clone();
        create_task(async move {
            let (lock, is_held) = &*shared;
            for _ in 0..rounds {
                let guard = lock.acquire().await;
                assert!(!is_held.replace(true));
                yield_now().await;
                is_held.set(false);
                drop(guard);
            }
        })
    };
    let tasks: Vec<_> = (0..TASKS).map(takes).collect();
    timed(async || {
        for task in tasks {
            task.await.expect("it has had the lock");
        }
    })
    .await
}

pub(crate) const LOCK_FREE: Path = Path {
    name: "lock-free",
    about: "a lock that is free is taken and released",
    operations: 1,
    run: |rounds| Box::pin(lock_free(rounds)),
};

async fn lock_free(rounds: u64) -> Duration {
    let lock = Lock::new();
    let took = timed(async || {
        for _ in 0..rounds {
            drop(lock.acquire().await);
        }
    })
    .await;
    assert!(!lock.is_locked());
    took
}
