//! Exploration that leaves out orders: it must see every result that trying all orders sees.
//!
//! CI runs it in release. An exploration observes the loop itself, so a further observer is no test.
#![cfg(not(loopwheel_traced))]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use loopwheel::explore::{self, Summary};
use loopwheel::sync::{Barrier, Condition, Event, Lock, Promise, Queue, Semaphore};
use loopwheel::{
    FirstCompleted, Handle, Task, TaskBuilder, TaskGroup, TaskRef, TaskSet, call_exception_handler,
    create_task, set_exception_handler, sleep, wait, wait_for, yield_now,
};

struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// What the tasks of a random program share.
struct Shared {
    locks: [Lock; 2],
    event: Event,
    queue: Queue<u64>,
    permits: Semaphore,
    promise: Promise<u64>,
    condition: Condition,
    tasks: RefCell<Vec<TaskRef>>,
}

/// One operation. What the task sees of it is its result.
async fn operate(operation: u64, shared: &Shared, own: u64) -> u64 {
    match operation {
        0 | 1 => {
            let _held = shared.locks[operation as usize].acquire().await;
            yield_now().await;
            shared.locks[operation as usize].waiting() as u64
        }
        2 | 3 => u64::from(shared.locks[operation as usize - 2].acquire_nowait().is_ok()),
        4 => {
            shared.event.set();
            0
        }
        5 => u64::from(shared.event.is_set()),
        6 => u64::from(wait_for(shared.event.wait(), Duration::from_secs(1)).await.is_ok()),
        7 => u64::from(shared.queue.put_nowait(own).is_ok()),
        8 => shared.queue.get_nowait().map_or(99, |item| item),
        9 => shared.queue.len() as u64,
        10 => {
            let _permit = shared.permits.acquire().await;
            yield_now().await;
            shared.permits.available() as u64
        }
        11 => u64::from(shared.promise.set(own).is_ok()),
        12 => shared.promise.get().unwrap_or(99),
        13 => {
            let other = shared.tasks.borrow().get(own as usize ^ 1).cloned();
            explore::touch("tasks");
            u64::from(other.is_some_and(|other| other.cancel()))
        }
        14 => {
            let other = shared.tasks.borrow().get(own as usize ^ 1).cloned();
            explore::touch("tasks");
            other
                .map_or(7, |other| u64::from(other.is_done()) + 2 * u64::from(other.is_cancelled()))
        }
        15 => create_task(async move { own }).await.unwrap(),
        16 => {
            let guard = shared.condition.acquire().await;
            guard.notify(1);
            shared.condition.waiting() as u64
        }
        17 => {
            let guard = shared.condition.acquire().await;
            u64::from(wait_for(guard.wait(), Duration::from_secs(1)).await.is_ok())
        }
        18 => {
            shared.event.clear();
            0
        }
        19 => explore::choose(2) as u64,
        _ => {
            sleep(Duration::from_millis(operation)).await;
            0
        }
    }
}

async fn program(operations: Vec<Vec<u64>>, how_awaited: u64) -> String {
    let shared = Rc::new(Shared {
        locks: [Lock::new(), Lock::new()],
        event: Event::new(),
        queue: Queue::bounded(1),
        permits: Semaphore::new(1),
        promise: Promise::new(),
        condition: Condition::new(),
        tasks: RefCell::default(),
    });
    let bodies = operations.into_iter().enumerate().map(|(own, operations)| {
        let shared = shared.clone();
        async move {
            let mut seen = Vec::new();
            for operation in operations {
                seen.push(operate(operation, &shared, own as u64).await);
            }
            seen
        }
    });
    match how_awaited {
        0 => {
            let mut set = TaskSet::new();
            for (own, body) in bodies.enumerate() {
                set.create_task(own, body);
            }
            let mut seen = Vec::new();
            while let Some((own, ended)) = set.next().await {
                seen.push(format!("{own}: {:?}", ended.ok()));
            }
            seen.join(", ")
        }
        how => {
            let tasks: Vec<Task<Vec<u64>>> = bodies.map(create_task).collect();
            let references = tasks.iter().map(Task::to_ref).collect();
            explore::touch("tasks");
            shared.tasks.replace(references);
            let (done, pending) =
                if how == 1 { wait(tasks, FirstCompleted).await } else { (tasks, Vec::new()) };
            let mut seen = vec![format!("{} first", done.len())];
            for task in done.into_iter().chain(pending) {
                seen.push(format!("{:?}", task.await.ok()));
            }
            seen.join(", ")
        }
    }
}

fn results(summary: &Summary) -> BTreeSet<&String> {
    summary.outcomes.keys().collect()
}

#[test]
fn each_result_that_there_is_in_all_orders_is_seen() {
    let (mut programs, mut orders, mut reduced_orders) = (0, 0, 0);
    for seed in 0..150 {
        let mut dice = Dice(seed);
        let tasks = 2 + dice.below(2);
        let operations: Vec<Vec<u64>> =
            (0..tasks).map(|_| (0..=dice.below(2)).map(|_| dice.below(22)).collect()).collect();
        let how_awaited = dice.below(3);
        let main = || program(operations.clone(), how_awaited);
        // A cancel may lose what another one waits for, so any failure is a result, too.
        let Ok(each) = explore::all(1_500).try_run(main) else { continue };
        if !each.is_complete {
            continue;
        }
        let reduced = explore::all(1_500).only_shares_objects().run(main);
        assert!(reduced.is_complete, "seed {seed}: {reduced}");
        assert_eq!(results(&each), results(&reduced), "seed {seed}, {how_awaited}: {operations:?}");
        (programs, orders) = (programs + 1, orders + each.orders);
        reduced_orders += reduced.orders + reduced.pruned;
    }
    println!("{programs} programs: {orders} orders, {reduced_orders} runs reduced");
    assert!(programs > 80 && reduced_orders < orders);
}

/// Tasks that take one lock, and work in between.
async fn lock_of_three() {
    let lock = Rc::new(Lock::new());
    let tasks = [0, 1, 2].map(|_| {
        let lock = lock.clone();
        create_task(async move {
            yield_now().await;
            let _held = lock.acquire().await;
            yield_now().await;
        })
    });
    for task in tasks {
        task.await.unwrap();
    }
}

/// As L08: of three in a group one fails, and its siblings are cancelled.
async fn a_failure_cancels_the_siblings() -> String {
    let group = TaskGroup::scope(async |group| {
        for number in 0..3_u64 {
            group.create_task(async move {
                sleep(Duration::from_millis(100 * number)).await;
                if number == 1 { Err("refused") } else { Ok(()) }
            });
        }
    });
    format!("{:?}", group.await.map_err(|error| error.to_string()))
}

/// As L24: three are awaited in three ways.
async fn wait_three_ways() -> (usize, usize) {
    let fetch = |number: u64| {
        create_task(async move {
            for _ in 0..2 {
                sleep(Duration::from_millis(10 * number)).await;
            }
        })
    };
    let (first, pending) = wait([1, 2, 3].map(fetch), FirstCompleted).await;
    wait(pending, loopwheel::AllCompleted).await;
    let (all, _) = wait([1, 1, 1].map(fetch), loopwheel::AllCompleted).await;
    (first.len(), all.len())
}

/// As L27: a producer and two consumers.
async fn producer_and_consumers() -> u64 {
    let queue = Rc::new(Queue::bounded(1));
    let consumers = ["c1", "c2"].map(|name| {
        let queue = queue.clone();
        TaskBuilder::new().name(name).create_task(async move {
            let mut sum = 0;
            while let Ok(item) = queue.get().await {
                sum += item;
            }
            sum
        })
    });
    for item in 1..=2 {
        queue.put(item).await.unwrap();
    }
    queue.shutdown(false);
    let mut sum = 0;
    for consumer in consumers {
        sum += consumer.await.unwrap();
    }
    sum
}

/// Each worker has a lock of its own.
async fn three_locks() {
    let tasks = [0, 1, 2].map(|_| {
        create_task(async {
            let lock = Lock::new();
            let _held = lock.acquire().await;
            yield_now().await;
        })
    });
    for task in tasks {
        task.await.unwrap();
    }
}

fn measure<T: std::fmt::Debug>(name: &str, main: impl AsyncFn() -> T) {
    const LIMIT: u64 = 100_000;
    let each = explore::all(LIMIT).run(|| main());
    let reduced = explore::all(LIMIT).only_shares_objects().run(|| main());
    let said = |it: &Summary| if it.is_complete { "" } else { "+" };
    println!(
        "{name}: {}{} orders, reduced to {}{} and {} that were cut short",
        each.orders,
        said(&each),
        reduced.orders,
        said(&reduced),
        reduced.pruned
    );
    assert!(reduced.orders + reduced.pruned <= each.orders);
    if each.is_complete {
        assert_eq!(results(&each), results(&reduced));
    }
}

#[test]
fn fewer_runs_are_enough() {
    measure("a lock of three", lock_of_three);
    measure("three locks", three_locks);
    measure("L08", a_failure_cancels_the_siblings);
    measure("L24", wait_three_ways);
    measure("L27", producer_and_consumers);
}

#[test]
fn a_barrier_of_two_is_complete() {
    let main = async || {
        let barrier = Rc::new(Barrier::new(2));
        let tasks = [0, 1].map(|_| {
            let barrier = barrier.clone();
            create_task(async move { barrier.wait().await.unwrap() })
        });
        let mut places = Vec::new();
        for task in tasks {
            places.push(task.await.unwrap());
        }
        places
    };
    let (each, reduced) =
        (explore::all(5_000).run(main), explore::all(5_000).only_shares_objects().run(main));
    assert_eq!(results(&each), results(&reduced));
    assert_eq!(each.outcomes.len(), 2);
}

/// Both explorations see the same results, which are so many.
fn has_results<T: std::fmt::Debug>(results_of_all: usize, main: impl AsyncFn() -> T) -> Summary {
    let each = explore::all(50_000).must_be_complete().run(|| main());
    let reduced = explore::all(50_000).only_shares_objects().must_be_complete().run(|| main());
    assert_eq!(results(&each), results(&reduced));
    assert_eq!(each.outcomes.len(), results_of_all, "{each}");
    reduced
}

#[test]
fn whether_a_remote_task_has_ended_depends_on_the_order() {
    has_results(2, async || {
        let remote = Rc::new(Handle::current().create_task(async || ()).unwrap());
        let asks = {
            let remote = remote.clone();
            create_task(async move {
                let is_done = remote.is_done();
                sleep(Duration::from_millis(1)).await;
                is_done
            })
        };
        asks.await.unwrap()
    });
}

#[test]
fn of_two_exception_handlers_the_last_one_counts() {
    has_results(2, async || {
        let log = Rc::new(RefCell::new(Vec::new()));
        let tasks = [1, 2].map(|number| {
            let log = log.clone();
            create_task(async move {
                set_exception_handler(move |_| log.borrow_mut().push(number));
                sleep(Duration::from_millis(1)).await;
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
        call_exception_handler("it is not there");
        log.take()
    });
}

#[test]
fn to_wait_for_a_group_is_not_to_look_at_everything() {
    let reduced = has_results(1, async || {
        let tasks = [0, 1].map(|_| {
            create_task(TaskGroup::<String>::scope(async |group| {
                group.create_task(sleep(Duration::from_millis(1)));
                yield_now().await; // so that the poll that begins to wait does nothing else
            }))
        });
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    });
    assert!(reduced.orders + reduced.pruned < 100, "{reduced}");
}

#[test]
fn done_callbacks_are_called_in_the_order_in_which_they_were_added() {
    has_results(2, async || {
        let log = Rc::new(RefCell::new(Vec::new()));
        let late = Rc::new(create_task(sleep(Duration::from_millis(2))));
        let tasks = [1, 2].map(|number| {
            let (log, late) = (log.clone(), late.to_ref());
            create_task(async move {
                late.add_done_callback(move |_| {
                    explore::touch("log");
                    log.borrow_mut().push(number);
                });
                sleep(Duration::from_millis(1)).await;
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
        sleep(Duration::from_millis(3)).await;
        log.take()
    });
}

#[test]
fn a_choice_of_very_many_options_costs_no_memory() {
    let main = async || explore::choose(usize::MAX);
    let reduced = explore::all(3).only_shares_objects().run(main);
    assert_eq!(reduced.outcomes.into_keys().collect::<Vec<_>>(), ["0", "1", "2"]);
}
