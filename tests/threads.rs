//! The promises to other threads: calls, tasks and blocking work, from there and to there.

mod common;

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Poll, Waker};
use std::thread;

use common::{ms, watched_loop};
use loopwheel::{
    EventLoop, Handle, LoopGone, RemoteError, TaskError, create_task, finally, gather, now, run,
    run_virtual, sleep, to_thread, wait_for, yield_now,
};

#[test]
fn calls_of_one_thread_are_made_in_their_order_on_the_loops_thread() {
    run(async {
        let handle = Handle::current();
        let home = thread::current().id();
        let (sender, receiver) = mpsc::channel();
        let thread = thread::spawn(move || {
            for number in 0..1_000 {
                let sender = sender.clone();
                handle
                    .call_soon(move || sender.send((number, thread::current().id())).unwrap())
                    .unwrap();
            }
            handle.create_task(|| async {}).unwrap().wait().unwrap(); // after all the calls
        });
        to_thread(move || thread.join().unwrap()).await.unwrap();
        let calls: Vec<_> = receiver.try_iter().collect();
        assert!(calls.iter().map(|call| call.0).eq(0..1_000));
        assert!(calls.iter().all(|call| call.1 == home));
    });
}

#[test]
fn a_task_sent_to_a_loop_may_be_of_a_kind_that_cannot_be_sent() {
    run(async {
        let handle = Handle::current();
        let work = to_thread(move || {
            let task = handle.create_task(|| async {
                let not_send = Rc::new(Cell::new(20));
                sleep(ms(1)).await;
                not_send.set(not_send.get() + 1);
                not_send.get() * 2
            });
            task.unwrap().wait()
        });
        assert_eq!(work.await.unwrap(), Ok(42));
    });
}

#[test]
fn a_task_on_another_loop_can_be_awaited_and_cancelled_from_this_one() {
    let (sender, receiver) = mpsc::channel();
    let stop = Arc::new(AtomicBool::new(false));
    let cleaned = Arc::new(AtomicBool::new(false));
    let other = thread::spawn({
        let stop = stop.clone();
        move || {
            run(async move {
                sender.send(Handle::current()).unwrap();
                while !stop.load(Ordering::SeqCst) {
                    sleep(ms(1)).await;
                }
            });
        }
    });
    let there = receiver.recv().unwrap();
    run(async {
        assert_eq!(there.create_task(|| async { 5 }).unwrap().await, Ok(5));
        let flag = cleaned.clone();
        let endless = there.create_task(move || {
            finally(std::future::pending::<()>(), async move || {
                sleep(ms(1)).await;
                flag.store(true, Ordering::SeqCst);
            })
        });
        let endless = endless.unwrap();
        there.create_task(yield_now).unwrap().await.unwrap(); // it has begun
        assert!(endless.cancel());
        assert!(matches!(endless.await, Err(RemoteError::Cancelled(_))));
        let panicking = there.create_task(|| async { panic!("over there") });
        let Err(RemoteError::Panicked(panic)) = panicking.unwrap().await else { panic!() };
        assert_eq!(panic.message(), "over there");
    });
    assert!(cleaned.load(Ordering::SeqCst));
    stop.store(true, Ordering::SeqCst);
    other.join().unwrap();
    assert!(there.is_gone());
    assert_eq!(there.call_soon(|| ()), Err(LoopGone));
    assert_eq!(there.create_task(|| async {}).err(), Some(LoopGone));
}

#[test]
fn nothing_that_was_sent_to_a_loop_that_ends_is_lost_silently() {
    let (event_loop, reports) = watched_loop();
    let handle = event_loop.handle();
    handle.call_soon(|| unreachable!("the loop never turns")).unwrap();
    let task = handle.create_task(|| async { unreachable!("the loop never turns") }).unwrap();
    drop(event_loop);
    assert_eq!(reports.borrow().len(), 1, "{reports:?}");
    assert!(reports.borrow()[0].contains("came too late"));
    assert_eq!(task.wait(), Err(RemoteError::LoopGone(LoopGone)));
}

#[test]
fn a_loop_that_waits_for_a_handle_is_no_deadlock() {
    run(async {
        let handle = Handle::current();
        let (sender, receiver) = mpsc::channel::<()>();
        let promise = loopwheel::sync::Promise::new();
        let thread = thread::spawn(move || {
            receiver.recv().unwrap();
            handle.call_soon(|| WOKEN.store(true, Ordering::SeqCst)).unwrap();
        });
        static WOKEN: AtomicBool = AtomicBool::new(false);
        let waiter = create_task({
            let promise = promise.clone();
            async move { promise.wait().await }
        });
        sender.send(()).unwrap();
        while !WOKEN.load(Ordering::SeqCst) {
            yield_now().await;
        }
        promise.set(7).unwrap();
        assert_eq!(waiter.await, Ok(7));
        thread.join().unwrap();
    });
}

#[test]
fn blocking_work_runs_beside_the_loop_and_its_panic_comes_back() {
    run(async {
        let home = thread::current().id();
        let elsewhere = to_thread(move || thread::current().id() != home).await;
        assert_eq!(elsewhere, Ok(true));
        let Err(TaskError::Panicked(panic)) = to_thread(|| -> () { panic!("in the work") }).await
        else {
            panic!()
        };
        assert_eq!(panic.message(), "in the work");
    });
}

#[test]
fn virtual_time_stands_still_while_work_is_out() {
    run_virtual(async {
        let (sender, receiver) = mpsc::channel::<()>();
        let timer = create_task(async {
            sleep(ms(1_000)).await;
            now()
        });
        yield_now().await;
        let work = to_thread(move || receiver.recv().unwrap());
        // The loop has nothing to do but a timer; it must wait for the work all the same.
        let handle = Handle::current();
        thread::spawn(move || {
            handle.create_task(|| async { now() }).unwrap().wait().unwrap();
            sender.send(()).unwrap();
        });
        work.await.unwrap();
        assert_eq!(now().as_nanos(), 0);
        assert_eq!(timer.await.unwrap().as_nanos(), 1_000_000_000);
    });
}

#[test]
fn a_wait_that_is_cancelled_detaches_the_work_and_run_waits_for_it() {
    let done = Arc::new(AtomicBool::new(false));
    let (sender, receiver) = mpsc::channel::<()>();
    let flag = done.clone();
    run(async move {
        let work = to_thread(move || {
            receiver.recv().unwrap();
            flag.store(true, Ordering::SeqCst);
        });
        assert!(wait_for(work, ms(1)).await.is_err());
        sender.send(()).unwrap();
    });
    assert!(done.load(Ordering::SeqCst));
}

#[test]
fn the_pool_has_no_more_threads_than_it_may_and_does_all_the_work() {
    let mut event_loop = EventLoop::builder().threads(3).thread_name("mine").build();
    let (now_running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let count = event_loop.run(async {
        gather((0..200).map(|_| {
            let (now_running, most) = (now_running.clone(), most.clone());
            async move {
                let work = to_thread(move || {
                    most.fetch_max(
                        now_running.fetch_add(1, Ordering::SeqCst) + 1,
                        Ordering::SeqCst,
                    );
                    thread::yield_now();
                    now_running.fetch_sub(1, Ordering::SeqCst);
                    thread::current().name() == Some("mine")
                });
                usize::from(work.await.unwrap())
            }
        }))
        .await
    });
    assert_eq!(count.into_iter().sum::<usize>(), 200);
    assert!((1..=3).contains(&most.load(Ordering::SeqCst)));
}

#[test]
fn an_idle_thread_ends_and_the_next_work_gets_a_new_one() {
    let mut event_loop = EventLoop::builder().thread_idle_timeout(ms(0)).build();
    event_loop.run(async {
        for number in 0..100 {
            assert_eq!(to_thread(move || number).await, Ok(number));
        }
    });
}

#[test]
fn what_is_sent_to_a_loop_that_is_yet_to_be_made_waits_for_it() {
    let (handle, reservation) = Handle::reserve();
    let (sender, receiver) = mpsc::channel();
    handle.call_soon(move || sender.send(thread::current().id()).unwrap()).unwrap();
    let early = handle.create_task(|| async { 20 + 1 }).unwrap();
    assert!(!handle.is_gone());
    let thread = thread::spawn(move || {
        EventLoop::builder().reservation(reservation).build().run_until_complete(sleep(ms(1)));
    });
    let home = thread.thread().id();
    assert_eq!(receiver.recv(), Ok(home));
    assert_eq!(early.wait(), Ok(21));
    thread.join().unwrap();
    assert_eq!(handle.call_soon(|| ()), Err(LoopGone));
}

#[test]
fn a_loop_that_never_comes_is_gone() {
    let (handle, reservation) = Handle::reserve();
    let task = handle.create_task(|| async {}).unwrap();
    drop(reservation);
    assert_eq!(task.wait(), Err(RemoteError::LoopGone(LoopGone)));
    assert!(handle.is_gone());
    assert_eq!(handle.call_soon(|| ()), Err(LoopGone));
}

/// Threads that send while the loop comes into being: whoever comes before or after the doorbell is heard.
#[test]
fn a_loop_that_is_made_while_others_send_to_it_hears_them_all() {
    for _ in 0..200 {
        let (handle, reservation) = Handle::reserve();
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let handle = handle.clone();
                thread::spawn(move || {
                    let tasks: Vec<_> =
                        (0..4).map(|n| handle.create_task(move || async move { n })).collect();
                    tasks.into_iter().map(|task| task.unwrap().wait().unwrap()).sum::<u32>()
                })
            })
            .collect();
        let mut event_loop = EventLoop::builder().reservation(reservation).build();
        let sums: u32 = event_loop.run(async {
            let mut sums = 0;
            for sender in senders {
                sums += to_thread(|| sender.join().unwrap()).await.unwrap();
            }
            sums
        });
        assert_eq!(sums, 12);
    }
}

/// Wakers of several earlier tenants of one slot defeat the coalescing: each wake is a letter.
#[test]
fn a_thread_that_wakes_without_end_does_not_keep_the_loop_from_its_tasks() {
    let stop = Arc::new(AtomicBool::new(false));
    run(async {
        let mut stale = Vec::new();
        for _ in 0..64 {
            let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone()));
            stale.push(create_task(waker).await.unwrap());
        }
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (stale, stop) = (stale.clone(), stop.clone());
                thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        stale.iter().for_each(Waker::wake_by_ref);
                        thread::yield_now();
                    }
                })
            })
            .collect();
        for _ in 0..20 {
            sleep(ms(1)).await;
        }
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_waker_that_was_cloned_on_another_thread_is_no_deadlock() {
    run(async {
        let mut polls = 0;
        poll_fn(|cx| {
            polls += 1;
            if polls > 1 {
                return Poll::Ready(());
            }
            let ours = cx.waker();
            let waker = thread::scope(|scope| scope.spawn(|| ours.clone()).join().unwrap());
            thread::spawn(move || waker.wake());
            Poll::Pending
        })
        .await;
    });
}
