//! Tests what a dump says of locks, permits, queues and the rest: names, numbers, holders, lines.

mod common;

use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicPtr, Ordering};

use common::{ms, turns};
use loopwheel::dump::{Holder, ObjectDump};
use loopwheel::sync::{
    Barrier, BoundedSemaphore, Condition, Event, LifoQueue, Lock, PriorityQueue, Promise, Queue,
    Semaphore,
};
use loopwheel::{
    EventLoop, TaskBuilder, TaskRef, VirtualClock, create_task, dump, run_virtual, set_debug,
    sleep, wait_for, yield_now,
};

fn words(task: &TaskRef) -> String {
    let words: Vec<_> = task.waiting_for().iter().map(ToString::to_string).collect();
    words.join(" and ")
}

/// The one object of a dump.
#[track_caller]
fn object() -> ObjectDump {
    let dump = dump();
    let [object] = &dump.objects[..] else { panic!("one object: {:?}", dump.objects) };
    (**object).clone()
}

fn in_debug_mode<T>(main: impl Future<Output = T>) -> T {
    EventLoop::builder().clock(VirtualClock::new()).debug(true).build().run(main)
}

// ---- What it is

#[cfg_attr(loopwheel_traced, ignore = "a traced loop knows the holders of all objects")]
#[test]
fn each_kind_says_what_of_it_a_task_waits_for() {
    run_virtual(async {
        let lock = Rc::new(Lock::new());
        lock.acquire().await.forget();
        let semaphore = Rc::new(Semaphore::new(0));
        let bounded = Rc::new(BoundedSemaphore::new(1));
        bounded.acquire().await.forget();
        let (event, promise) = (Rc::new(Event::new()), Promise::<()>::new());
        let (empty, full) = (Rc::new(Queue::<u32>::unbounded()), Rc::new(LifoQueue::bounded(1)));
        full.put_nowait(1).unwrap();
        let (condition, barrier) = (Rc::new(Condition::new()), Rc::new(Barrier::new(2)));
        let (of_condition, of_barrier) = (condition.clone(), barrier.clone());
        let puts = full.clone();
        let tasks = [
            create_task(async move { lock.acquire().await.forget() }),
            create_task(async move { semaphore.acquire().await.forget() }),
            create_task(async move { bounded.acquire().await.forget() }),
            create_task(async move { event.wait().await }),
            create_task(async move { promise.wait().await }),
            create_task(async move { _ = empty.get().await }),
            create_task(async move { puts.put(2).await.unwrap() }),
            create_task(async move { full.join().await }),
            create_task(async move { of_condition.acquire().await.wait().await }),
            create_task(async move { _ = of_barrier.wait().await }),
        ];
        turns(2).await;
        let words: Vec<_> = tasks.iter().map(|task| words(&task.to_ref())).collect();
        assert_eq!(
            words,
            [
                "lock 1, held by 'main' (Task-1)",
                "a permit of semaphore 2",
                "a permit of semaphore 3",
                "event 4",
                "promise 5",
                "an item of queue 6",
                "room in queue 7",
                "the work on the items of queue 7: 0 items got without a `task_done()`, 1 not got",
                "condition 8",
                "the other tasks at barrier 9",
            ]
        );
    });
}

#[test]
fn a_name_is_kept_and_said_in_place_of_the_number() {
    assert_eq!(Lock::new().named("a").name().as_deref(), Some("a"));
    assert_eq!(Semaphore::new(1).named("b").name().as_deref(), Some("b"));
    assert_eq!(BoundedSemaphore::new(1).named("c").name().as_deref(), Some("c"));
    assert_eq!(Event::new().named("d").name().as_deref(), Some("d"));
    assert_eq!(Queue::<u8>::bounded(1).named("e").name().as_deref(), Some("e"));
    assert_eq!(PriorityQueue::<u8>::unbounded().named("f").name().as_deref(), Some("f"));
    assert_eq!(Condition::new().named("g").name().as_deref(), Some("g"));
    assert_eq!(Barrier::new(1).named("h").name().as_deref(), Some("h"));
    assert_eq!(Promise::<u8>::new().named("i").clone().name().as_deref(), Some("i"));
    assert_eq!(Lock::new().name(), None);
    run_virtual(async {
        let condition = Rc::new(Condition::new().named("ready"));
        let guard = condition.acquire().await;
        let task = create_task({
            let condition = condition.clone();
            async move { condition.acquire().await.wait().await }
        });
        turns(1).await;
        let its_lock = r#"the lock of the condition "ready", held by 'main' (Task-1)"#;
        assert_eq!(words(&task.to_ref()), its_lock);
        drop(guard);
        turns(2).await;
        assert_eq!(words(&task.to_ref()), r#"the condition "ready""#);
    });
}

#[test]
fn objects_are_numbered_in_the_same_way_in_each_loop_of_a_thread() {
    let number = || {
        run_virtual(async {
            let event = Rc::new(Event::new());
            let task = create_task(async move { event.wait().await });
            turns(1).await;
            words(&task.to_ref())
        })
    };
    assert_eq!([number(), number()], ["event 1", "event 1"]);
}

#[cfg_attr(loopwheel_traced, ignore = "a traced loop knows the holders of all objects")]
#[test]
fn an_object_that_is_gone_or_is_not_used_is_not_in_the_dump() {
    run_virtual(async {
        let (lock, unused) = (Rc::new(Lock::new()), Lock::new().named("unused"));
        let guard = lock.acquire().await;
        let mut waits = Box::pin(lock.acquire());
        assert!(futures::poll!(&mut waits).is_pending());
        assert_eq!(object().kind, "lock");
        drop(waits);
        assert!(dump().objects.is_empty(), "no task waits for it");
        drop(guard);
        drop(lock);
        assert!(dump().objects.is_empty());
        drop(unused);
    });
}

#[test]
fn the_line_is_in_order_and_those_of_other_executors_are_counted() {
    run_virtual(async {
        let lock = Rc::new(Lock::new());
        let _guard = lock.acquire().await;
        let take = || {
            let lock = lock.clone();
            create_task(async move { drop(lock.acquire().await) })
        };
        let _first = take();
        turns(1).await;
        let mut foreign = Box::pin(lock.acquire());
        let mut no_task = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(foreign.as_mut().poll(&mut no_task).is_pending());
        let (_third, fourth) = (take(), take());
        turns(1).await;
        fourth.cancel();
        turns(1).await;
        let object = object();
        let [line] = &object.lines[..] else { panic!() };
        let tasks: Vec<_> = line.tasks.iter().map(|task| task.number).collect();
        // The noop waker is kept by the current task, so it counts as main's.
        assert_eq!((tasks, line.others), (vec![2, 1, 3], 0));
    });
}

// ---- Holders

#[cfg_attr(loopwheel_traced, ignore = "a traced loop knows the holders of all objects")]
#[test]
fn a_lock_always_knows_its_holder() {
    run_virtual(async {
        let lock = Rc::new(Lock::new());
        let take = |name: &str| {
            let lock = lock.clone();
            TaskBuilder::new().name(name).create_task(async move {
                let _guard = lock.acquire().await;
                sleep(ms(10)).await;
            })
        };
        let (_one, two, three) = (take("one"), take("two"), take("three"));
        turns(1).await;
        for held_by in ["'one' (Task-2)", "'two' (Task-3)"] {
            assert_eq!(words(&three.to_ref()), format!("lock 1, held by {held_by}"));
            sleep(ms(10)).await;
            turns(2).await;
        }
        assert!(two.is_done());
        assert_eq!(words(&three.to_ref()), "a sleep until 30ms");
        assert!(dump().objects.is_empty(), "no task waits, and it is not watched");
    });
}

#[test]
fn a_lock_that_is_tried_released_by_hand_or_taken_outside_of_tasks_says_so() {
    let lock = Rc::new(Lock::new());
    lock.acquire_nowait().unwrap().forget(); // outside of all tasks
    run_virtual({
        let lock = lock.clone();
        async move {
            let take = || {
                let lock = lock.clone();
                create_task(async move { lock.acquire().await.forget() })
            };
            let first = take();
            turns(1).await;
            assert_eq!(words(&first.to_ref()), "lock 1, held by code outside of all tasks");
            lock.release().unwrap();
            first.await.unwrap();
            let second = take();
            turns(1).await;
            assert_eq!(words(&second.to_ref()), "lock 1, held by Task-2, which has ended");
        }
    });
}

#[test]
fn a_lock_that_a_dropped_waiter_was_called_for_is_not_held() {
    run_virtual(async {
        let lock = Rc::new(Lock::new());
        let guard = lock.acquire().await;
        let take = || {
            let lock = lock.clone();
            create_task(async move { drop(lock.acquire().await) })
        };
        let (first, second) = (take(), take());
        turns(1).await;
        drop(guard);
        let [line] = &object().lines[..] else { panic!() };
        assert_eq!(line.tasks[0].number, 3, "the first was called, and is in the line no more");
        assert_eq!(words(&second.to_ref()), "lock 1", "no task holds it now");
        first.await.unwrap();
        second.await.unwrap();
    });
}

#[test]
fn in_debug_mode_a_lost_permit_is_said_with_the_task_that_lost_it() {
    in_debug_mode(async {
        let permits = Rc::new(Semaphore::new(2).named("db pool"));
        let loses = {
            let permits = permits.clone();
            TaskBuilder::new().name("leaky").create_task(async move {
                permits.acquire().await.forget();
            })
        };
        loses.await.unwrap();
        let kept = permits.acquire().await;
        let waits = create_task({
            let permits = permits.clone();
            async move { drop(permits.acquire().await) }
        });
        turns(1).await;
        assert_eq!(
            words(&waits.to_ref()),
            r#"a permit of the semaphore "db pool", held by 'leaky' (Task-2), which has ended and 'main' (Task-1)"#
        );
        drop(kept);
        turns(2).await;
        assert!(waits.is_done());
        let object = object();
        assert!(matches!(&object.holders[..], [Holder::Ended(task)] if task.name == "leaky"));
        assert_eq!(object.free, Some(1));
    });
}

#[test]
fn in_debug_mode_each_permit_is_taken_back_from_the_task_that_took_it() {
    in_debug_mode(async {
        // A permit that goes to another task must outlive both. The leak checker sees that the semaphore is still reachable.
        static KEPT: AtomicPtr<Semaphore> = AtomicPtr::new(ptr::null_mut());
        let permits: &'static Semaphore = Box::leak(Box::new(Semaphore::new(3)));
        KEPT.store(ptr::from_ref(permits).cast_mut(), Ordering::Relaxed);
        let (give, gets) = (Rc::new(Queue::unbounded()), Rc::new(Event::new()));
        let giver = {
            let give = give.clone();
            create_task(async move { give.put(permits.acquire().await).await.unwrap() })
        };
        giver.await.unwrap();
        let _own = permits.acquire().await;
        let taker = {
            let gets = gets.clone();
            create_task(async move {
                let permit = give.get().await.unwrap();
                let _its_own = permits.acquire().await;
                drop(permit); // the giver's
                gets.wait().await;
            })
        };
        turns(2).await;
        let holders: Vec<_> =
            object_of("semaphore").holders.iter().map(ToString::to_string).collect();
        assert_eq!(holders, ["'main' (Task-1)", "Task-3"]);
        gets.set();
        taker.await.unwrap();
        assert_eq!(object_of("semaphore").holders.len(), 1);
    });
}

#[track_caller]
fn object_of(kind: &str) -> ObjectDump {
    (*dump().objects.iter().find(|object| object.kind == kind).unwrap().clone()).clone()
}

#[test]
fn in_debug_mode_a_lock_without_waiters_is_said_while_it_is_held() {
    in_debug_mode(async {
        let lock = Lock::new().named("accounts");
        let guard = lock.acquire().await;
        assert_eq!(object().holders.len(), 1);
        drop(guard);
        assert!(dump().objects.is_empty());
        drop(lock.acquire_nowait());
        assert!(dump().objects.is_empty());
    });
}

#[cfg_attr(loopwheel_traced, ignore = "a traced loop knows the holders of all objects")]
#[test]
fn debug_mode_is_left_without_a_trace() {
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).debug(true).build();
    let permits = Rc::new(Semaphore::new(2));
    let holds = |event_loop: &EventLoop| event_loop.dump().objects.len();
    let kept = permits.clone();
    event_loop.run_until_complete(async { kept.acquire().await.forget() });
    assert_eq!(holds(&event_loop), 1);
    event_loop.set_debug(false);
    event_loop.run_until_complete(async { drop(permits.acquire().await) });
    assert_eq!(holds(&event_loop), 0);
}

// ---- Queues

#[test]
fn a_queue_that_is_joined_says_how_much_is_not_done_whatever_happens_meanwhile() {
    run_virtual(async {
        let queue = Rc::new(Queue::bounded(10).named("jobs"));
        for item in 0..3 {
            queue.put_nowait(item).unwrap();
        }
        let joins = create_task({
            let queue = queue.clone();
            async move { queue.join().await }
        });
        turns(1).await;
        let unfinished = || {
            let object = object();
            assert_eq!(object.items, Some(queue.len()));
            assert_eq!(object.capacity, Some(10));
            object.unfinished.unwrap()
        };
        assert_eq!(unfinished(), 3);
        queue.get_nowait().unwrap();
        queue.task_done().unwrap();
        assert_eq!(unfinished(), 2);
        queue.put_nowait(4).unwrap();
        assert_eq!(unfinished(), 3);
        queue.shutdown(true); // two items are dropped, and count as done: one is out
        let _ = queue.task_done();
        turns(1).await;
        assert!(joins.is_done());
        assert!(dump().objects.is_empty());
    });
}

#[test]
fn an_object_that_was_used_before_the_debug_mode_has_holders_from_its_first_waiter_on() {
    run_virtual(async {
        let permits = Rc::new(Semaphore::new(1));
        let permit = permits.acquire().await;
        set_debug(true);
        let waits = || {
            let permits = permits.clone();
            create_task(async move {
                let _permit = permits.acquire().await;
                sleep(ms(5)).await;
            })
        };
        let (first, second) = (waits(), waits());
        yield_now().await;
        drop(permit);
        yield_now().await;
        let said = words(&second.to_ref());
        assert!(said.ends_with("held by Task-2"), "{said}");
        set_debug(false);
        first.await.unwrap();
        second.await.unwrap();
    });
}

#[test]
fn a_queue_with_a_line_is_dumped_as_it_is_now() {
    run_virtual(async {
        let queue = Rc::new(Queue::bounded(2));
        let puts = [1, 2, 3, 4].map(|item| {
            let queue = queue.clone();
            create_task(async move { queue.put(item).await.unwrap() })
        });
        turns(2).await;
        assert_eq!(object().items, Some(2));
        queue.get_nowait().unwrap();
        assert_eq!((object().items, object().unfinished), (Some(1), Some(2)));
        queue.get_nowait().unwrap();
        for task in puts {
            task.await.unwrap();
        }
    });
}

#[test]
fn a_queue_has_one_number_however_many_lines_it_has() {
    run_virtual(async {
        let queue = Rc::new(Queue::bounded(1));
        queue.put_nowait(0).unwrap();
        let (puts, joins) = (queue.clone(), queue.clone());
        let _puts = create_task(async move { puts.put(1).await.unwrap() });
        let _joins = create_task(async move { joins.join().await });
        turns(1).await;
        let object = object();
        let parts: Vec<_> = object.lines.iter().map(|line| line.part).collect();
        assert_eq!(parts, ["room in ", "the work on the items of "]);
        assert_eq!((object.number, object.items, object.unfinished), (1, Some(1), Some(1)));
    });
}

#[test]
fn watching_changes_no_outcome() {
    // The same program, watched and not: cancels, limits and hand-overs included.
    let program = |debug: bool| {
        let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).debug(debug).build();
        event_loop.run(async {
            let (lock, permits) = (Rc::new(Lock::new()), Rc::new(Semaphore::new(2)));
            let tasks = (0..20).map(|number| {
                let (lock, permits) = (lock.clone(), permits.clone());
                create_task(async move {
                    let limited = wait_for(
                        async {
                            let _permit = permits.acquire().await;
                            let _guard = lock.acquire().await;
                            sleep(ms(number % 3)).await;
                            yield_now().await;
                        },
                        ms(7),
                    );
                    limited.await.is_ok()
                })
            });
            let tasks: Vec<_> = tasks.collect();
            let mut ended = Vec::new();
            for task in tasks {
                ended.push((task.await, loopwheel::now()));
            }
            (ended, lock.is_locked(), permits.available())
        })
    };
    assert_eq!(program(false), program(true));
}

// ---- Objects of several loops, and of none

fn a_loop(is_debugging: bool) -> EventLoop {
    EventLoop::builder().clock(VirtualClock::new()).debug(is_debugging).build()
}

#[test]
fn an_object_says_which_line_of_the_program_has_created_it() {
    run_virtual(async {
        let (lock, line) = (Lock::new(), line!());
        let _guard = lock.acquire().await;
        let waiter = lock.acquire();
        futures::pin_mut!(waiter);
        assert!(futures::poll!(waiter.as_mut()).is_pending());
        let created_at = object().created_at.unwrap();
        assert_eq!((created_at.file(), created_at.line()), (file!(), line));
    });
}

/// In the debug mode, or while a loop is traced, an object is used in another way. Its number is the same.
#[test]
fn objects_are_numbered_in_the_order_in_which_they_are_created() {
    for is_debugging in [false, true] {
        a_loop(is_debugging).run(async {
            let (first, second, third) = (Event::new(), Lock::new(), Rc::new(Lock::new()));
            drop(second.acquire().await);
            let _third = third.acquire().await;
            let other = third.clone();
            let _waiter = create_task(async move { drop(other.acquire().await) });
            turns(1).await;
            let numbers: Vec<_> = dump().objects.iter().map(|object| object.number).collect();
            assert_eq!(numbers, [3]);
            drop(first);
        });
    }
}

#[test]
fn two_objects_of_a_loop_have_two_numbers_also_if_one_is_of_another_loop() {
    let shared = Rc::new(Lock::new());
    a_loop(true).run(async { drop(shared.acquire().await) });
    a_loop(true).run(async {
        let own = Lock::new();
        let _guards = (own.acquire().await, shared.acquire().await);
        let numbers: Vec<_> = dump().objects.iter().map(|object| object.number).collect();
        assert_eq!(numbers, [1, 2]);
    });
}

#[test]
fn what_is_released_outside_of_all_loops_has_no_holder() {
    let (permits, lock) = (Semaphore::new(2), Lock::new());
    let mut event_loop = a_loop(true);
    let held = event_loop.run(async { (permits.acquire().await, lock.acquire().await) });
    drop(held);
    event_loop.run(async {
        let _held = (permits.acquire().await, lock.acquire().await);
        let holders: Vec<_> = dump().objects.iter().map(|object| object.holders.len()).collect();
        assert_eq!(holders, [1, 1]);
    });
}

#[test]
fn what_a_loop_that_does_not_watch_does_with_a_semaphore_hides_no_holder() {
    let permits = Rc::new(Semaphore::new(3));
    let (mut watching, mut plain) = (a_loop(true), a_loop(false));
    let theirs = permits.clone();
    let holder = watching.create_task(async move {
        let _permit = theirs.acquire().await;
        sleep(ms(50)).await;
    });
    watching.run_until_stalled();
    plain.run(async { drop(permits.acquire().await) });
    let objects = watching.dump().objects;
    assert_eq!(objects[0].holders.len(), 1, "{objects:?}");
    drop(holder);
}

/// A release by hand is one of the running task's permits, or else the oldest. The search for it does not look at all holders.
#[test]
fn a_release_by_hand_ends_a_hold_of_the_task_that_releases_or_else_the_oldest() {
    in_debug_mode(async {
        let permits = Rc::new(Semaphore::new(4));
        let take = |name: &str| {
            let permits = permits.clone();
            let take = async move { permits.acquire().await.forget() };
            TaskBuilder::new().name(name).create_task(take)
        };
        for name in ["first", "second"] {
            take(name).await.unwrap();
        }
        permits.acquire().await.forget();
        let holders = || object().holders.iter().map(ToString::to_string).collect::<Vec<_>>();
        let ended = |name, number| format!("'{name}' (Task-{number}), which has ended");
        let main = "'main' (Task-1)".to_owned();
        assert_eq!(holders(), [ended("first", 2), ended("second", 3), main]);
        permits.release();
        assert_eq!(holders(), [ended("first", 2), ended("second", 3)]);
        permits.release();
        assert_eq!(holders(), [ended("second", 3)]);
    });
}
