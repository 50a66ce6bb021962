//! Tests what the primitives promise: the order in which tasks are served, what is counted, and which misuse is an error.

mod common;

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::rc::Rc;

use common::{Log, ms, outcomes, turns};
use futures::FutureExt;
use loopwheel::sync::{
    AlreadySet, Barrier, BoundedSemaphore, BrokenBarrier, Condition, Event, GetNowaitError,
    LifoQueue, Lock, MinHeap, NotLocked, PriorityQueue, Promise, PutError, PutNowaitError, Queue,
    QueueOf, QueueShutDown, ReleasedTooOften, Semaphore, Store, TooManyTasksDone,
};
use loopwheel::{Task, create_task, gather, now, run_virtual, sleep, yield_now};

// ---- Order

#[test]
fn no_task_overtakes_at_a_lock_between_a_release_and_the_next_ones_turn() {
    run_virtual(async {
        let log = Log::new();
        let lock = Rc::new(Lock::new());
        let guard = lock.acquire().await;
        let take = |name: &'static str| {
            let (lock, log) = (lock.clone(), log.clone());
            create_task(async move {
                let _guard = lock.acquire().await;
                log.add(name);
                sleep(ms(1)).await;
            })
        };
        let early = take("early");
        turns(2).await;
        drop(guard);
        assert!(!lock.is_locked(), "no task holds it");
        assert!(lock.acquire_nowait().is_err(), "but it is spoken for");
        let late = take("late");
        yield_now().await;
        let guard = lock.acquire().await; // the latest
        log.add("latest");
        drop(guard);
        gather((early, late)).await.1.unwrap();
        log.expect(&[(0, "early"), (1, "late"), (2, "latest")]);
    });
}

#[test]
fn no_task_overtakes_at_a_semaphore_even_if_a_permit_is_left_over() {
    run_virtual(async {
        let log = Log::new();
        let semaphore = Rc::new(Semaphore::new(0));
        let take = |name: &'static str| {
            let (semaphore, log) = (semaphore.clone(), log.clone());
            create_task(async move {
                semaphore.acquire().await.forget();
                log.add(name);
            })
        };
        let early = take("early");
        turns(2).await;
        semaphore.release(); // for `early`, whose turn comes
        semaphore.release();
        assert_eq!(semaphore.available(), 1);
        assert!(semaphore.is_locked() && semaphore.acquire_nowait().is_err(), "not before `early`");
        semaphore.acquire().await.forget();
        log.add("late");
        early.await.unwrap();
        log.expect(&[(0, "early"), (0, "late")]);
        assert_eq!((semaphore.available(), semaphore.is_locked()), (0, true));
    });
}

#[test]
fn queues_give_in_their_order() {
    run_virtual(async {
        fn drain<S: Store<Item = i32>>(queue: &QueueOf<S>) -> Vec<i32> {
            for item in [2, 3, 1] {
                queue.put_nowait(item).unwrap();
            }
            std::iter::from_fn(|| queue.get_nowait().ok()).collect()
        }
        assert_eq!(drain(&Queue::unbounded()), [2, 3, 1]);
        assert_eq!(drain(&LifoQueue::unbounded()), [1, 3, 2]);
        assert_eq!(drain(&PriorityQueue::unbounded()), [1, 2, 3]);
        let heap = QueueOf::<BinaryHeap<Reverse<i32>>>::unbounded();
        assert_eq!(drain(&heap), [1, 2, 3]);
        assert!(heap.is_empty());
        heap.put_nowait(1).unwrap();
        heap.put_nowait(1).unwrap();
        assert_eq!(heap.len(), 2);
    });
}

#[test]
fn a_store_takes_an_item_back_as_the_next_and_can_be_emptied_in_any_order() {
    fn takes_back<S: Store<Item = i32>>(mut store: S) {
        for item in [2, 3, 1] {
            store.keep(item);
        }
        let next = store.next().unwrap();
        store.put_back(next);
        assert_eq!(store.next(), Some(next));
        let mut left: Vec<_> = std::iter::from_fn(|| store.next_unordered()).collect();
        left.push(next);
        left.sort_unstable();
        assert_eq!((left, store.count()), (vec![1, 2, 3], 0));
    }
    takes_back(VecDeque::new());
    takes_back(Vec::new());
    takes_back(BinaryHeap::<Reverse<i32>>::new());
    takes_back(MinHeap::default());
}

/// Tasks that get from a queue, and say who got what.
fn getters<const N: usize>(queue: &Rc<Queue<i32>>, log: &Log) -> [Task<()>; N] {
    std::array::from_fn(|number| {
        let (queue, log) = (queue.clone(), log.clone());
        create_task(async move {
            let item = queue.get().await.unwrap();
            log.add(format!("{number} got {item}"));
        })
    })
}

#[test]
fn a_getter_that_gives_up_costs_no_other_its_place_if_there_is_nothing_to_hand_on() {
    run_virtual(async {
        let (queue, log) = (Rc::new(Queue::unbounded()), Log::new());
        // The item that the first was called for is gone.
        let [first, _second, _third] = getters(&queue, &log);
        turns(2).await;
        queue.put_nowait(1).unwrap();
        first.cancel();
        assert_eq!(queue.get_nowait(), Ok(1));
        turns(3).await;
        assert!(first.is_cancelled());
        queue.put_nowait(2).unwrap();
        queue.put_nowait(3).unwrap();
        turns(3).await;
        log.expect(&[(0, "1 got 2"), (0, "2 got 3")]);
    });
    run_virtual(async {
        let (queue, log) = (Rc::new(Queue::unbounded()), Log::new());
        // The item is there for the first. The second was not called for it.
        let [_first, second, _third, _fourth] = getters(&queue, &log);
        turns(2).await;
        second.cancel();
        let late = queue.clone();
        let puts = create_task(async move { late.put(1).await.unwrap() });
        turns(3).await;
        assert!(second.is_cancelled() && puts.is_done());
        queue.put_nowait(2).unwrap();
        queue.put_nowait(3).unwrap();
        turns(3).await;
        log.expect(&[(0, "0 got 1"), (0, "2 got 2"), (0, "3 got 3")]);
    });
}

#[test]
fn a_task_that_gives_up_a_join_lets_no_other_go_before_the_work_is_done() {
    run_virtual(async {
        let queue = Rc::new(Queue::bounded(1));
        let join = || {
            let queue = queue.clone();
            create_task(async move { queue.join().await })
        };
        queue.put_nowait(1).unwrap();
        let first = join();
        turns(2).await;
        queue.get_nowait().unwrap();
        queue.task_done().unwrap(); // the first is called
        queue.put_nowait(2).unwrap();
        let second = join();
        first.cancel();
        turns(3).await;
        assert!(first.is_done() && !second.is_done());
        queue.get_nowait().unwrap();
        turns(3).await;
        assert!(!second.is_done(), "the work goes on");
        queue.task_done().unwrap();
        second.await.unwrap();
    });
}

// ---- Misuse

#[test]
fn releasing_what_is_not_held_is_an_error() {
    run_virtual(async {
        let lock = Lock::new();
        assert_eq!(lock.release(), Err(NotLocked));
        let guard = lock.acquire().await;
        assert_eq!(lock.release(), Ok(()), "by hand");
        drop(guard); // has nothing left to release
        assert_eq!(lock.release(), Err(NotLocked));
        assert!(NotLocked.to_string().contains("acquire it first"));

        let late = lock.acquire().await;
        assert_eq!(lock.release(), Ok(()));
        let _other = lock.acquire().await;
        drop(late);
        assert!(lock.is_locked(), "a guard releases its own acquisition only");

        let bounded = BoundedSemaphore::new(2);
        assert_eq!(bounded.release(), Err(ReleasedTooOften));
        bounded.acquire().await.forget();
        assert_eq!(bounded.release(), Ok(()));
        assert_eq!(bounded.release(), Err(ReleasedTooOften));
        assert_eq!(bounded.available(), 2);
    });
}

#[test]
fn a_condition_without_its_lock_is_an_error() {
    run_virtual(async {
        let condition = Condition::new();
        assert_eq!(condition.notify(1), Err(NotLocked));
        assert_eq!(condition.notify_all(), Err(NotLocked));
        assert_eq!(condition.release(), Err(NotLocked));
        assert_eq!(condition.wait().await, Err(NotLocked));
        condition.acquire().await.forget();
        assert_eq!(condition.notify(1), Ok(()), "without a waiter");
        assert_eq!(condition.notify_all(), Ok(()));
        assert_eq!(condition.release(), Ok(()));
    });
}

#[test]
fn more_tasks_done_than_items_put_is_an_error() {
    run_virtual(async {
        let queue = Queue::unbounded();
        assert_eq!(queue.task_done(), Err(TooManyTasksDone));
        queue.put_nowait(1).unwrap();
        assert_eq!(queue.task_done(), Ok(()));
        assert_eq!(queue.task_done(), Err(TooManyTasksDone));
    });
}

#[test]
fn a_promise_is_set_once() {
    run_virtual(async {
        let promise = Promise::new();
        assert_eq!((promise.is_set(), promise.get()), (false, None));
        assert_eq!(promise.set(1), Ok(()));
        assert_eq!(promise.clone().set(2), Err(AlreadySet(2)), "the value comes back");
        assert_eq!((promise.is_set(), promise.get(), promise.wait().await), (true, Some(1), 1));
    });
}

#[test]
#[should_panic(expected = "at least one party")]
fn a_barrier_for_zero_tasks_is_refused() {
    drop(Barrier::new(0));
}

// ---- Guards and counts

#[test]
fn guards_release_unless_they_are_forgotten() {
    run_virtual(async {
        let lock = Lock::new();
        drop(lock.acquire().await);
        assert!(!lock.is_locked());
        lock.acquire().await.forget();
        assert!(lock.is_locked());
        lock.release().unwrap();

        let semaphore = Semaphore::new(2);
        let permit = semaphore.acquire().await;
        semaphore.acquire().await.forget();
        assert!(semaphore.is_locked());
        drop(permit);
        assert_eq!(semaphore.available(), 1);
        semaphore.release();
        semaphore.release();
        assert_eq!(semaphore.available(), 3, "an unbounded one can be released into being larger");

        let condition = Condition::new();
        drop(condition.acquire().await);
        assert!(!condition.is_locked());
        condition.acquire().await.forget();
        assert!(condition.is_locked());
        condition.release().unwrap();
    });
}

#[test]
fn those_who_wait_are_counted() {
    run_virtual(async {
        let (lock, semaphore) = (Rc::new(Lock::new()), Rc::new(Semaphore::new(0)));
        let (event, condition) = (Rc::new(Event::new()), Rc::new(Condition::new()));
        let barrier = Rc::new(Barrier::new(9));
        lock.acquire().await.forget();
        let mut tasks = Vec::new();
        for round in 1..=3 {
            let (lock, semaphore) = (lock.clone(), semaphore.clone());
            let (event, condition) = (event.clone(), condition.clone());
            let barrier = barrier.clone();
            let counts = || {
                let (lock, semaphore) = (lock.waiting(), semaphore.waiting());
                [lock, semaphore, event.waiting(), condition.waiting(), barrier.waiting()]
            };
            tasks.push(create_task({
                let lock = lock.clone();
                async move { lock.acquire().await.forget() }
            }));
            tasks.push(create_task({
                let semaphore = semaphore.clone();
                async move { semaphore.acquire().await.forget() }
            }));
            tasks.push(create_task({
                let event = event.clone();
                async move { event.wait().await }
            }));
            tasks.push(create_task({
                let condition = condition.clone();
                async move { condition.acquire().await.wait().await }
            }));
            tasks.push(create_task({
                let barrier = barrier.clone();
                async move { barrier.wait().await.map(drop).unwrap() }
            }));
            turns(3).await;
            assert_eq!(counts(), [round; 5]);
        }
        for task in &tasks {
            task.cancel();
        }
        turns(8).await;
        assert_eq!((lock.waiting(), semaphore.waiting(), event.waiting()), (0, 0, 0));
        assert_eq!((condition.waiting(), barrier.waiting()), (0, 0));
        assert_eq!((barrier.parties(), barrier.is_broken()), (9, false));
    });
}

#[test]
fn a_semaphore_lets_so_many_in() {
    run_virtual(async {
        let semaphore = Rc::new(Semaphore::new(3));
        let (inside, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let workers = (0..10).map(|_| {
            let (semaphore, inside, most) = (semaphore.clone(), inside.clone(), most.clone());
            async move {
                let _permit = semaphore.acquire().await;
                inside.set(inside.get() + 1);
                most.set(most.get().max(inside.get()));
                sleep(ms(10)).await;
                inside.set(inside.get() - 1);
            }
        });
        gather(workers).await;
        assert_eq!((most.get(), now().as_nanos()), (3, 40_000_000));
    });
}

#[test]
fn an_event_lets_those_go_who_waited_even_if_it_is_cleared_at_once() {
    run_virtual(async {
        let event = Rc::new(Event::new());
        let wait = || {
            let event = event.clone();
            create_task(async move { event.wait().await })
        };
        let early = wait();
        turns(2).await;
        event.set();
        event.set(); // is no news
        event.clear();
        assert!(!event.is_set());
        let late = wait();
        early.await.unwrap();
        turns(5).await;
        assert!(!late.is_done());
        event.set();
        late.await.unwrap();
        event.wait().await; // does not wait
    });
}

#[test]
fn a_notification_wakes_as_many_as_it_says() {
    run_virtual(async {
        let condition = Rc::new(Condition::new());
        let woken = Rc::new(RefCell::new(Vec::new()));
        for number in 0..5 {
            let (condition, woken) = (condition.clone(), woken.clone());
            drop(create_task(async move {
                let guard = condition.acquire().await;
                guard.wait().await;
                assert!(condition.is_locked());
                woken.borrow_mut().push(number);
            }));
        }
        turns(8).await;
        for (notified, so_far) in [(0, 0), (2, 2), (1, 3), (99, 5)] {
            let guard = condition.acquire().await;
            guard.notify(notified);
            turns(5).await;
            assert!(woken.borrow().len() < so_far.max(1), "they need the lock");
            drop(guard);
            turns(8).await;
            assert!(woken.borrow().iter().copied().eq(0..so_far), "{:?}", woken.borrow());
        }
    });
}

#[test]
fn a_barrier_that_is_aborted_or_reset_turns_all_waiters_away() {
    run_virtual(async {
        let barrier = Rc::new(Barrier::new(3));
        let wait = || {
            let barrier = barrier.clone();
            create_task(async move { barrier.wait().await })
        };
        let turned_away = [wait(), wait()];
        turns(5).await;
        barrier.reset().await;
        for task in turned_away {
            assert_eq!(task.await, Ok(Err(BrokenBarrier)));
        }
        assert_eq!((barrier.is_broken(), barrier.waiting()), (false, 0));
        let passing = gather([wait(), wait(), wait()]).await;
        assert!(passing.into_iter().all(|index| index.unwrap().is_ok()));

        let turned_away = [wait(), wait()];
        turns(5).await;
        barrier.abort().await;
        for task in turned_away {
            assert_eq!(task.await, Ok(Err(BrokenBarrier)));
        }
        assert!(barrier.is_broken());
        assert_eq!(barrier.wait().await, Err(BrokenBarrier), "until it is reset");
        barrier.reset().await;
        assert!(!barrier.is_broken());
        assert!(gather([wait(), wait(), wait()]).await.into_iter().all(|i| i.unwrap().is_ok()));
    });
}

// ---- Queues: capacity and shutdown

#[test]
fn a_capacity_of_zero_is_no_limit() {
    run_virtual(async {
        let (zero, two) = (Queue::bounded(0), Queue::bounded(2));
        assert_eq!((zero.capacity(), two.capacity()), (None, Some(2)));
        assert_eq!(
            (Queue::<i32>::default().capacity(), Queue::<i32>::unbounded().capacity()),
            (None, None)
        );
        for number in 0..1_000 {
            zero.put_nowait(number).unwrap();
        }
        assert_eq!((zero.len(), zero.is_full()), (1_000, false));
        two.put_nowait(1).unwrap();
        two.put_nowait(2).unwrap();
        assert!(two.is_full());
        assert_eq!(two.put_nowait(3), Err(PutNowaitError::Full(3)));
        assert_eq!(two.len(), 2);
    });
}

/// How each task that waits at a queue ended.

#[test]
fn a_shutdown_lets_getters_have_what_is_left_and_turns_putters_away() {
    run_virtual(async {
        let queue = Rc::new(Queue::bounded(2));
        queue.put_nowait(1).unwrap();
        queue.put_nowait(2).unwrap();
        let putters: Vec<_> = (3..5)
            .map(|item| {
                let queue = queue.clone();
                create_task(async move { queue.put(item).await })
            })
            .collect();
        turns(2).await;
        queue.shutdown(false);
        assert!(queue.is_shut_down());
        assert_eq!(outcomes(putters).await, ["Err(PutError(3))", "Err(PutError(4))"]);
        assert_eq!(queue.put_nowait(9), Err(PutNowaitError::ShutDown(9)));
        assert_eq!(queue.put(9).await, Err(PutError(9)), "the item comes back");
        assert_eq!((queue.get().await, queue.get_nowait()), (Ok(1), Ok(2)));
        assert_eq!(queue.get_nowait(), Err(GetNowaitError::ShutDown));
        assert_eq!(queue.get().await, Err(QueueShutDown));
        assert!(queue.join().now_or_never().is_none(), "two were put and none is done");
        queue.task_done().unwrap();
        queue.task_done().unwrap();
        queue.join().await;
    });
}

#[test]
fn a_shutdown_wakes_getters_that_wait_at_an_empty_queue() {
    for immediate in [false, true] {
        run_virtual(async move {
            let queue = Rc::new(Queue::<i32>::unbounded());
            let getters: Vec<_> = (0..3)
                .map(|_| {
                    let queue = queue.clone();
                    create_task(async move { queue.get().await })
                })
                .collect();
            turns(2).await;
            queue.shutdown(immediate);
            assert_eq!(outcomes(getters).await, ["Err(QueueShutDown)"; 3]);
        });
    }
}

#[test]
fn an_immediate_shutdown_drops_the_items_and_counts_them_as_done() {
    run_virtual(async {
        let queue = Rc::new(Queue::bounded(3));
        let item = Rc::new(());
        for _ in 0..3 {
            queue.put_nowait(item.clone()).unwrap();
        }
        let in_work = queue.get().await.unwrap();
        let joiner = {
            let queue = queue.clone();
            create_task(async move { queue.join().await })
        };
        turns(2).await;
        queue.shutdown(true);
        assert_eq!(Rc::strong_count(&item), 2, "the queue has dropped its own");
        assert_eq!(queue.get().await, Err(QueueShutDown));
        turns(2).await;
        assert!(!joiner.is_done(), "one is in work");
        drop(in_work);
        queue.task_done().unwrap();
        joiner.await.unwrap();
        queue.shutdown(true); // twice is once
        queue.shutdown(false);
    });
}

#[test]
fn a_shutdown_in_the_middle_of_a_hand_over_loses_no_item() {
    run_virtual(async {
        let queue = Rc::new(Queue::bounded(1));
        let getter = {
            let queue = queue.clone();
            create_task(async move { queue.get().await })
        };
        turns(2).await;
        queue.put_nowait(7).unwrap(); // the getter is woken
        queue.shutdown(false);
        assert_eq!(getter.await, Ok(Ok(7)));
    });
}

#[test]
fn join_waits_for_the_work_and_not_for_the_queue_to_be_empty() {
    run_virtual(async {
        let log = Log::new();
        let queue = Rc::new(Queue::bounded(2));
        queue.join().await; // nothing was put
        let worker = create_task({
            let (queue, log) = (queue.clone(), log.clone());
            async move {
                while let Ok(item) = queue.get().await {
                    sleep(ms(item)).await;
                    log.add(format!("{item} done"));
                    queue.task_done().unwrap();
                }
            }
        });
        for item in [5, 6] {
            queue.put(item).await.unwrap();
        }
        queue.join().await;
        log.add("joined");
        queue.shutdown(false);
        worker.await.unwrap();
        log.expect(&[(5, "5 done"), (11, "6 done"), (11, "joined")]);
    });
}

// ---- The numbers of a barrier

#[test]
fn a_barrier_gives_each_number_once_though_one_left_while_it_filled() {
    run_virtual(async {
        let barrier = Rc::new(Barrier::new(3));
        let wait = || {
            let barrier = barrier.clone();
            create_task(async move { barrier.wait().await.expect("it is not broken") })
        };
        let (leaves, stays) = (wait(), wait());
        turns(3).await;
        leaves.cancel();
        turns(5).await;
        assert_eq!(barrier.waiting(), 1);
        let round = vec![stays, wait(), wait()];
        let numbers = outcomes(round).await;
        assert_eq!(numbers, ["1", "0", "2"], "the one that comes next has the number that is free");
        let round = (0..3).map(|_| wait()).collect();
        assert_eq!(outcomes(round).await, ["0", "1", "2"], "the next round begins anew");
    });
}
