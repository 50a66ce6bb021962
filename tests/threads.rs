//! The promises to other threads: calls, tasks and blocking work, from there and to there.

mod common;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Poll, Waker};
use std::thread;

use common::{ms, watched_loop};
use loopwheel::{
    Budget, EventLoop, Handle, LoopGone, RemoteError, RunError, TaskError, create_task, finally,
    gather, now, run, run_virtual, sleep, to_thread, try_run, wait_for, yield_now,
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

// ---- Nothing goes unnoticed -----------------------------------------------------------------------------------

/// Turns the loop until it has reported something. The threads that it waits for are real, but no time is.
fn first_report(event_loop: &mut EventLoop, reports: &Rc<RefCell<Vec<String>>>) -> String {
    while reports.borrow().is_empty() {
        event_loop.run_until_stalled();
        thread::yield_now();
    }
    let reports = reports.take();
    assert_eq!(reports.len(), 1, "{reports:?}");
    reports.into_iter().next().unwrap()
}

#[test]
fn a_panic_of_a_detached_task_is_reported_whenever_its_handle_is_dropped() {
    let (mut event_loop, reports) = watched_loop();
    let handle = event_loop.handle();
    let (line, panics) = (line!() + 1, || async { panic!("oh") });
    let create = || -> loopwheel::RemoteTask<()> { handle.create_task(panics).unwrap() };
    drop(create());
    let report = first_report(&mut event_loop, &reports);
    assert!(report.contains(&format!("threads.rs:{line}")), "{report}");
    assert!(report.ends_with("panicked and nobody took it: oh"), "{report}");
    let task = create();
    event_loop.run_until_stalled();
    assert!(task.is_done() && reports.borrow().is_empty(), "somebody could still take it");
    drop(task);
    assert!(first_report(&mut event_loop, &reports).ends_with("oh"));
    let task = create();
    event_loop.run_until_stalled();
    assert!(matches!(task.wait(), Err(RemoteError::Panicked(_))));
    event_loop.run_until_stalled();
    assert!(reports.borrow().is_empty());
}

#[test]
#[allow(clippy::async_yields_async)] // it is to leave the loop
fn a_panic_of_work_whose_wait_was_given_up_is_reported() {
    let (mut event_loop, reports) = watched_loop();
    let (release, released) = mpsc::channel::<()>();
    event_loop.run_until_complete(async {
        drop(to_thread(move || -> () {
            let _ = released.recv();
            panic!("given up before")
        }));
    });
    drop(release);
    let report = first_report(&mut event_loop, &reports);
    assert!(report.contains("threads.rs") && report.ends_with("given up before"), "{report}");

    let work =
        event_loop.run_until_complete(async { to_thread(|| -> () { panic!("never asked") }) });
    while !format!("{work:?}").contains("is_done: true") {
        thread::yield_now();
    }
    drop(work);
    assert!(first_report(&mut event_loop, &reports).ends_with("never asked"));
}

#[test]
fn a_closure_that_panics_before_it_makes_the_future_is_that_tasks_outcome() {
    let (mut event_loop, reports) = watched_loop();
    let task = event_loop
        .handle()
        .create_task(|| -> std::future::Ready<i32> { panic!("in the closure") })
        .unwrap();
    event_loop.run_until_stalled();
    let Err(RemoteError::Panicked(panic)) = task.wait() else { panic!() };
    assert_eq!(panic.message(), "in the closure");
    assert!(reports.borrow().is_empty());
}

#[test]
fn a_remote_task_is_one_task() {
    let mut event_loop = EventLoop::new();
    let task = event_loop.handle().create_task(std::future::pending::<()>).unwrap();
    event_loop.run_until_stalled();
    assert_eq!(event_loop.live_tasks(), 1);
    assert!(event_loop.all_tasks()[0].spawned_at().file().ends_with("threads.rs"));
    drop(event_loop);
    assert_eq!(task.wait(), Err(RemoteError::LoopGone(LoopGone)));
}

#[test]
fn a_call_is_reported_if_the_loop_ends_between_taking_it_in_and_making_it() {
    let (mut event_loop, reports) = watched_loop();
    event_loop.handle().call_soon(|| panic!("it is not made")).unwrap();
    event_loop.turn(Budget::unlimited()); // takes it in
    drop(event_loop);
    let reports = reports.take();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("came too late"), "{reports:?}");
}

#[test]
#[should_panic(expected = "was taken before")]
fn waiting_for_an_outcome_that_was_taken_is_no_hang() {
    let mut event_loop = EventLoop::new();
    let mut task = event_loop.handle().create_task(|| async { 1 }).unwrap();
    event_loop.run_until_stalled();
    assert_eq!(async_io::block_on(&mut task), Ok(1));
    let _ = task.wait();
}

#[test]
#[should_panic(expected = "was taken before")]
fn awaiting_work_twice_is_no_hang() {
    run(async {
        let mut work = to_thread(|| 1);
        assert_eq!((&mut work).await, Ok(1));
        let _ = work.await;
    });
}

#[test]
#[should_panic(expected = "would block the thread of the task's own loop")]
fn waiting_on_the_loops_own_thread_is_no_hang() {
    let event_loop = EventLoop::new();
    let _ = event_loop.handle().create_task(|| async { 1 }).unwrap().wait();
}

#[test]
fn a_deadlock_is_reported_after_work_has_come_back_to_the_same_task() {
    let ended = try_run(async {
        to_thread(|| 1).await.unwrap();
        std::future::pending::<()>().await;
    });
    assert!(matches!(ended, Err(RunError::Deadlock(_))), "{ended:?}");
}

#[test]
fn a_deadlock_is_reported_when_the_last_handle_is_dropped() {
    let ended = try_run(async {
        let handle = Handle::current();
        drop(thread::spawn(move || drop(handle)));
        std::future::pending::<()>().await;
    });
    assert!(matches!(ended, Err(RunError::Deadlock(_))), "{ended:?}");
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
