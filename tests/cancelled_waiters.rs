//! Tests waiters that are cancelled and have not run yet. In asyncio a cancel takes the waiter out of the line at once. Here too:
//! what is free is free, and what comes goes to the first waiter that is not cancelled.

mod common;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::Poll;

use common::ms;
use futures::FutureExt;
use loopwheel::sync::{Condition, Lock, Queue, Semaphore};
use loopwheel::{catch_cancel, create_task, run_virtual, sleep, yield_now};

async fn turns(count: usize) {
    for _ in 0..count {
        yield_now().await;
    }
}

#[test]
fn a_free_lock_whose_waiters_are_all_cancelled_can_be_taken_at_once() {
    run_virtual(async {
        let lock = Rc::new(Lock::new());
        let guard = lock.acquire().await;
        let wait = |lock: Rc<Lock>| create_task(async move { drop(lock.acquire().await) });
        let waiters = [wait(lock.clone()), wait(lock.clone())];
        turns(2).await;
        waiters[0].cancel();
        drop(guard);
        assert!(lock.acquire_nowait().is_err(), "the second still waits");
        waiters[1].cancel();
        let guard = lock.acquire().now_or_never().expect("the lock is free");
        assert!(waiters.iter().all(|waiter| !waiter.is_done()));
        let third = wait(lock.clone());
        turns(2).await;
        assert!(waiters.iter().all(loopwheel::Task::is_cancelled) && !third.is_done());
        drop(guard);
        third.await.unwrap();
        assert!(!lock.is_locked());
    });
}

#[test]
fn a_lock_whose_waiter_was_called_before_its_cancel_goes_to_the_next_in_line() {
    run_virtual(async {
        let lock = Rc::new(Lock::new());
        let guard = lock.acquire().await;
        let wait = |lock: Rc<Lock>| create_task(async move { drop(lock.acquire().await) });
        let waiter = wait(lock.clone());
        turns(2).await;
        drop(guard);
        waiter.cancel();
        assert!(lock.acquire_nowait().is_err(), "as in asyncio: it was called, and then cancelled");
        drop(lock.acquire().await);
        assert!(waiter.is_cancelled());
    });
}

#[test]
fn a_free_semaphore_whose_waiters_are_all_cancelled_is_not_locked() {
    run_virtual(async {
        let semaphore = Rc::new(Semaphore::new(1));
        let permit = semaphore.acquire().await;
        let served = Rc::new(Cell::new(0));
        let wait = |number| {
            let (semaphore, served) = (semaphore.clone(), served.clone());
            create_task(async move {
                let _permit = semaphore.acquire().await;
                served.set(number);
            })
        };
        let first = wait(1);
        turns(2).await;
        first.cancel();
        drop(permit);
        assert!(!semaphore.is_locked());
        let permit = semaphore.acquire_nowait().expect("it is free");
        turns(2).await;
        assert!(first.is_cancelled());
        // The permit goes to the first waiter that is not cancelled.
        let (second, third) = (wait(2), wait(3));
        turns(2).await;
        second.cancel();
        drop(permit);
        assert!(semaphore.is_locked() && semaphore.available() == 0);
        turns(1).await;
        assert!(second.is_cancelled() && served.get() == 3);
        third.await.unwrap();
        assert_eq!(semaphore.available(), 1);
    });
}

#[test]
fn a_condition_notifies_the_first_who_is_not_cancelled() {
    run_virtual(async {
        let condition = Rc::new(Condition::new());
        let wait = || {
            let condition = condition.clone();
            create_task(async move { condition.acquire().await.wait().await })
        };
        let (first, second) = (wait(), wait());
        turns(3).await;
        assert_eq!(condition.waiting(), 2);
        let guard = condition.acquire().await;
        first.cancel();
        guard.notify(1);
        assert_eq!(condition.waiting(), 1, "the cancelled one, which stands there until it runs");
        drop(guard);
        let guard = condition.acquire().now_or_never();
        assert!(guard.is_some(), "no task waits for the lock yet");
        drop(guard);
        second.await.unwrap();
        assert!(first.is_cancelled() && !condition.is_locked());
    });
}

#[test]
fn a_waiter_whose_task_catches_the_cancel_elsewhere_gets_the_lock_and_the_permit_all_the_same() {
    run_virtual(async {
        let (lock, semaphore) = (Rc::new(Lock::new()), Rc::new(Semaphore::new(1)));
        let (guard, permit) = (lock.acquire().await, semaphore.acquire().await);
        let task = create_task({
            let (lock, semaphore) = (lock.clone(), semaphore.clone());
            async move {
                let (mut lock, mut permit) =
                    (Box::pin(lock.acquire()), Box::pin(semaphore.acquire()));
                let joined = poll_fn(|cx| {
                    assert!(lock.as_mut().poll(cx).is_pending());
                    assert!(permit.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                });
                joined.await;
                assert!(catch_cancel(sleep(ms(50))).await.is_err());
                drop((lock.await, permit.await));
            }
        });
        sleep(ms(5)).await;
        task.cancel();
        drop((guard, permit));
        task.await.unwrap();
        assert_eq!((lock.is_locked(), semaphore.available()), (false, 1));
    });
}

#[test]
fn an_item_goes_to_the_first_getter_who_is_not_cancelled_and_room_to_the_first_such_putter() {
    run_virtual(async {
        let queue = Rc::new(Queue::bounded(1));
        let get = || {
            let queue = queue.clone();
            create_task(async move { queue.get().await })
        };
        let (first, second) = (get(), get());
        turns(2).await;
        first.cancel();
        queue.put_nowait(1).unwrap();
        turns(1).await;
        assert!(first.is_cancelled() && second.is_done(), "it need not be handed on first");
        assert_eq!(second.await, Ok(Ok(1)));

        queue.put_nowait(2).unwrap();
        let put = |item| {
            let queue = queue.clone();
            create_task(async move { queue.put(item).await })
        };
        let (first, second) = (put(3), put(4));
        turns(2).await;
        first.cancel();
        assert_eq!(queue.get_nowait(), Ok(2));
        turns(1).await;
        assert!(first.is_cancelled() && second.is_done());
        assert_eq!(queue.get_nowait(), Ok(4));
    });
}

#[test]
fn an_item_for_none_but_a_cancelled_getter_is_there_for_who_comes_next() {
    run_virtual(async {
        let queue = Rc::new(Queue::unbounded());
        let waits = queue.clone();
        let getter = create_task(async move { waits.get().await });
        turns(2).await;
        getter.cancel();
        queue.put_nowait(1).unwrap();
        assert_eq!(queue.get().now_or_never(), Some(Ok(1)));
        turns(1).await;
        assert!(getter.is_cancelled());
    });
}
