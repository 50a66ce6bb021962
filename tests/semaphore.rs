//! Tests several permits at once, and permits that keep their semaphore. What one permit does is tested in `sync.rs`.

mod common;
#[path = "common/dice.rs"]
mod dice;

use std::cell::Cell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::Poll;

use common::{Log, Trace, ms, turns};
use dice::Dice;
use loopwheel::sync::{BoundedSemaphore, ReleasedTooOften, Semaphore, WouldWait};
use loopwheel::{
    EventLoop, RunError, VirtualClock, catch_cancel, create_task, dump, run_virtual, sleep,
    try_run, yield_now,
};

#[test]
fn several_permits_are_taken_at_once_and_given_back_at_once() {
    run_virtual(async {
        let five = Semaphore::new(5);
        let three = five.acquire_many(3).await;
        assert_eq!((three.count(), five.available()), (3, 2));
        assert!(matches!(five.acquire_many_nowait(3), Err(WouldWait)));
        let two = five.acquire_many_nowait(2).unwrap();
        assert!(five.is_locked());
        assert_eq!(five.acquire_many(0).await.count(), 0, "no permits are always there");
        assert_eq!(five.acquire_many_nowait(0).unwrap().count(), 0);
        drop(three);
        assert_eq!(five.available(), 3);
        two.forget();
        five.release();
        five.release();
        assert_eq!(five.available(), 5);
    });
}

#[test]
fn a_task_that_wants_many_is_not_passed_over_by_those_that_want_few() {
    run_virtual(async {
        let log = Log::new();
        let semaphore = Rc::new(Semaphore::new(3));
        let user = |name: &'static str, count, millis| {
            let (semaphore, log) = (semaphore.clone(), log.clone());
            create_task(async move {
                let permits = semaphore.acquire_many(count).await;
                log.add(name);
                sleep(ms(millis)).await;
                drop(permits);
            })
        };
        // Permits come free one by one, and each time a task that wants one asks again.
        let mut tasks = vec![user("a", 1, 1), user("b", 1, 2), user("c", 1, 3), user("all", 3, 5)];
        turns(2).await;
        for (free, name) in [(1, "d"), (2, "e"), (0, "f")] {
            sleep(ms(1)).await;
            turns(1).await;
            assert_eq!(semaphore.available(), free, "they are kept for the one that wants all");
            tasks.push(user(name, 1, 1));
        }
        for task in tasks {
            task.await.unwrap();
        }
        log.expect(&[(0, "a"), (0, "b"), (0, "c"), (3, "all"), (8, "d"), (8, "e"), (8, "f")]);
    });
}

#[test]
fn permits_that_are_free_wait_for_the_first_and_go_on_to_the_next_when_it_gives_up() {
    run_virtual(async {
        for hard in [false, true] {
            let semaphore = Rc::new(Semaphore::new(2));
            let one = semaphore.acquire().await;
            let wants_two = semaphore.clone();
            let big = create_task(async move { wants_two.acquire_many(2).await.forget() });
            yield_now().await;
            let wants_one = semaphore.clone();
            let small = create_task(async move { wants_one.acquire().await.forget() });
            turns(3).await;
            assert!(!small.is_done() && semaphore.available() == 1 && semaphore.is_locked());
            assert!(semaphore.acquire_nowait().is_err());
            if hard {
                let (first, second) = (semaphore.clone(), semaphore.clone());
                let mut dropped = Box::pin(async move { first.acquire_many(2).await.forget() });
                let polled = poll_fn(|cx| Poll::Ready(dropped.as_mut().poll(cx))).await;
                assert!(polled.is_pending());
                let behind = create_task(async move { second.acquire().await.forget() });
                yield_now().await;
                drop(dropped);
                big.cancel();
                assert!(big.await.is_err());
                small.await.unwrap();
                drop(one);
                behind.await.unwrap();
                assert_eq!(semaphore.available(), 0);
            } else {
                big.cancel();
                assert!(big.await.is_err());
                small.await.unwrap();
                drop(one);
                assert_eq!(semaphore.available(), 1);
            }
            assert_eq!(semaphore.waiting(), 0);
        }
    });
}

#[test]
fn permits_that_were_granted_to_a_task_that_gives_up_go_on() {
    run_virtual(async {
        let semaphore = Rc::new(Semaphore::new(0));
        let (two, one) = (semaphore.clone(), semaphore.clone());
        let big = create_task(async move { two.acquire_many(2).await.forget() });
        yield_now().await;
        let small = create_task(async move { one.acquire().await.forget() });
        yield_now().await;
        semaphore.release();
        semaphore.release(); // the big one is called now
        big.cancel();
        assert!(big.await.is_err());
        small.await.unwrap();
        assert_eq!(semaphore.available(), 1);
    });
}

#[test]
fn permits_that_come_free_before_a_task_takes_its_own_go_to_the_next() {
    run_virtual(async {
        let semaphore = Rc::new(Semaphore::new(0));
        let wants = semaphore.clone();
        let big = create_task(async move { wants.acquire_many(2).await.forget() });
        yield_now().await;
        for _ in 0..3 {
            semaphore.release(); // two for the big one, whose turn comes
        }
        assert_eq!((semaphore.available(), semaphore.is_locked()), (1, true));
        semaphore.acquire().await.forget();
        big.await.unwrap();
        assert_eq!(semaphore.available(), 0);
    });
}

#[test]
fn a_task_that_catches_its_cancel_may_wait_on_for_many() {
    run_virtual(async {
        let semaphore = Rc::new(Semaphore::new(1));
        let wants = semaphore.clone();
        let task = create_task(async move {
            assert!(catch_cancel(wants.acquire_many(2)).await.is_err());
            wants.acquire_many(2).await.forget();
        });
        yield_now().await;
        task.cancel();
        semaphore.release();
        task.await.unwrap();
        assert_eq!(semaphore.available(), 0);
    });
}

#[test]
fn a_bounded_semaphore_refuses_what_it_can_never_give() {
    run_virtual(async {
        let three = BoundedSemaphore::new(3);
        let permits = three.acquire_many(3).await;
        let asking = catch_unwind(AssertUnwindSafe(|| drop(three.acquire_many(4))));
        let payload = asking.unwrap_err();
        let text = payload.downcast_ref::<String>().unwrap();
        assert!(text.contains("never has more than 3 permits cannot give 4 at once"), "{text}");
        assert_eq!(three.release(), Ok(()));
        drop(permits); // one of them was released by hand
        assert_eq!(three.available(), 3);
        assert_eq!(three.release(), Err(ReleasedTooOften));
    });
}

#[test]
fn a_permit_of_a_bounded_semaphore_that_was_released_by_hand_gives_none_back() {
    run_virtual(async {
        let one = Rc::new(BoundedSemaphore::new(1));
        let permit = one.acquire().await;
        assert_eq!((one.is_locked(), one.waiting()), (true, 0));
        let waits = one.clone();
        let waits = create_task(async move { drop(waits.acquire().await) });
        turns(1).await;
        assert_eq!(one.waiting(), 1);
        assert_eq!(one.release(), Ok(()));
        waits.await.unwrap();
        drop(permit);
        assert_eq!((one.available(), one.is_locked()), (1, false));
    });
}

#[test]
fn a_permit_that_keeps_its_semaphore_can_outlive_every_other_reference() {
    run_virtual(async {
        let semaphore = Rc::new(Semaphore::new(1));
        let permit = semaphore.clone().acquire_owned().await;
        assert!(format!("{permit:?}").starts_with("OwnedPermit"));
        let waiter = create_task({
            let semaphore = semaphore.clone();
            async move { semaphore.acquire_owned().await }
        });
        yield_now().await;
        let held = create_task(async move {
            sleep(ms(1)).await;
            drop(permit);
        });
        let permit = waiter.await.unwrap();
        held.await.unwrap();
        permit.forget();
        assert_eq!((semaphore.available(), Rc::strong_count(&semaphore)), (0, 1));
        let bounded = Rc::new(BoundedSemaphore::new(1));
        let weak = Rc::downgrade(&bounded);
        let permit = bounded.acquire_owned().await;
        assert_eq!(weak.upgrade().unwrap().available(), 0);
        drop(permit);
        assert!(weak.upgrade().is_none());
    });
}

#[test]
fn several_permits_that_keep_their_semaphore_come_back_together_and_go_on_if_their_task_gives_up() {
    run_virtual(async {
        let semaphore = Rc::new(Semaphore::new(3));
        let one = semaphore.clone().acquire_owned_nowait().unwrap();
        let many = |count| create_task(semaphore.clone().acquire_many_owned(count));
        let (three, two) = (many(3), many(2));
        turns(2).await;
        assert_eq!(semaphore.waiting(), 2);
        assert!(matches!(semaphore.clone().acquire_owned_nowait(), Err(WouldWait)));
        drop(one); // it is granted to the first, which gives up before it runs
        assert_eq!(semaphore.available(), 0);
        three.cancel();
        let two = two.await.unwrap();
        assert_eq!((two.count(), semaphore.available()), (2, 1));
        drop(semaphore.clone().acquire_many_owned(3)); // one that is not polled before it is dropped takes nothing
        assert_eq!(semaphore.clone().acquire_many_owned(0).await.count(), 0);
        let last = semaphore.clone().acquire_many_owned(1).await;
        drop((two, last));
        turns(2).await;
        assert_eq!((semaphore.available(), semaphore.waiting()), (3, 0));
        semaphore.clone().acquire_many_owned(2).await.forget();
        turns(1).await;
        assert_eq!((semaphore.available(), Rc::strong_count(&semaphore)), (1, 1));

        let bounded = Rc::new(BoundedSemaphore::new(2));
        let (all, one) = (bounded.clone().acquire_many_owned(2).await, bounded.clone());
        assert!(matches!(bounded.acquire_many_nowait(1), Err(WouldWait)));
        assert!(matches!(bounded.clone().acquire_owned_nowait(), Err(WouldWait)));
        let waits = create_task(one.acquire_owned());
        turns(1).await;
        assert_eq!((bounded.waiting(), all.count()), (1, 2));
        drop(all);
        drop((waits.await.unwrap(), bounded.acquire_many_nowait(1).unwrap()));
        drop(bounded.clone().acquire_owned_nowait().unwrap());
        assert_eq!((bounded.available(), bounded.release()), (2, Err(ReleasedTooOften)));
        let refused = catch_unwind(AssertUnwindSafe(|| bounded.acquire_many_owned(3)));
        assert!(refused.is_err());
    });
}

#[test]
fn holders_of_several_permits_are_known_in_debug_mode() {
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).debug(true).build();
    event_loop.run(async {
        let semaphore = Rc::new(Semaphore::new(3));
        let permits = semaphore.acquire_many(2).await;
        let owned = semaphore.clone().acquire_owned().await;
        let wants = semaphore.clone();
        let task = create_task(async move { wants.acquire_many(3).await.count() });
        yield_now().await;
        let text = dump().to_string();
        let said = "waits for a permit of semaphore 1, held by 'main' (Task-1) and 'main' (Task-1)";
        assert!(text.contains(said), "{text}");
        drop(permits);
        let text = dump().to_string();
        assert!(text.contains("semaphore 1: 2 permits free, held by 'main' (Task-1), "), "{text}");
        drop(owned);
        assert_eq!(task.await, Ok(3));
    });
}

#[test]
fn who_has_no_permits_is_no_holder() {
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).debug(true).build();
    event_loop.run(async {
        let semaphore = Rc::new(Semaphore::new(1));
        let none = semaphore.acquire_many(0).await;
        let one = semaphore.acquire().await;
        let wants = semaphore.clone();
        let task = create_task(async move { drop(wants.acquire().await) });
        yield_now().await;
        let text = dump().to_string();
        let said = "waits for a permit of semaphore 1, held by 'main' (Task-1)\n";
        assert!(text.contains(said), "{text}");
        drop((none, one));
        task.await.unwrap();
    });
}

#[test]
fn a_deadlock_says_that_a_task_waits_for_more_permits_than_there_are() {
    let ended = try_run(async { drop(Semaphore::new(2).acquire_many(3).await) });
    let Err(RunError::Deadlock(deadlock)) = ended else { unreachable!("{ended:?}") };
    assert_eq!(deadlock.waits()[0].waits_for, ["a permit of semaphore 1"]);
    assert!(deadlock.to_string().contains("2 permits free"), "{deadlock}");
}

/// Random users of a semaphore, some of which are cancelled: never more permits are out than there are, every task that is not
/// cancelled gets its own, and all permits come back.
#[test]
fn whatever_tasks_want_and_whenever_they_give_up_no_permit_is_lost() {
    const PERMITS: usize = 4;
    for seed in 0..300 {
        let _trace = Trace(format!("seed {seed}"));
        run_virtual(async {
            let mut dice = Dice::new(seed);
            let semaphore = Rc::new(Semaphore::new(PERMITS));
            let out = Rc::new(Cell::new(0));
            let mut tasks = vec![];
            for _ in 0..20 {
                let count = [1, 1, 1, 2, 3, PERMITS][usize::from(dice.below(6))];
                let (millis, pause) = (dice.below(4), dice.below(3));
                let (semaphore, out) = (semaphore.clone(), out.clone());
                tasks.push(create_task(async move {
                    let (mut one, mut several) = (None, None);
                    if count == 1 {
                        one = Some(semaphore.clone().acquire_owned().await);
                    } else {
                        several = Some(semaphore.acquire_many(count).await);
                    }
                    out.set(out.get() + count);
                    assert!(out.get() <= PERMITS);
                    let back = OnDrop(out.clone(), count);
                    sleep(ms(millis.into())).await;
                    drop(back); // before the permits
                    drop((one, several));
                }));
                for _ in 0..pause {
                    yield_now().await;
                }
                if dice.below(4) == 0 {
                    let victim = usize::from(dice.below(tasks.len() as u8));
                    tasks[victim].cancel();
                }
            }
            for task in tasks {
                let _ = task.await;
            }
            assert_eq!((semaphore.available(), semaphore.waiting()), (PERMITS, 0));
            assert!(!semaphore.is_locked());
        });
    }

    struct OnDrop(Rc<Cell<usize>>, usize);
    impl Drop for OnDrop {
        fn drop(&mut self) {
            self.0.set(self.0.get() - self.1);
        }
    }
}
