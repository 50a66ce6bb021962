//! Tests calls, tasks and blocking work between the loop and other threads, in both directions.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use common::{Watchdog, ms, watched_loop};
use loopwheel::errors::{CannotStartThread, LoopGone, RemoteError};
use loopwheel::{
    Budget, EventLoop, Handle, RunError, TaskError, create_task, finally, gather, join_threads,
    now, run, run_virtual, sleep, to_thread, try_run, try_to_thread, wait_for, yield_now,
};

#[test]
fn calls_of_one_thread_are_made_in_their_order_on_the_loops_thread() {
    run(async {
        let handle = Handle::current();
        let loop_thread = thread::current().id();
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
        assert!(calls.iter().all(|call| call.1 == loop_thread));
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
        let loop_thread = thread::current().id();
        let elsewhere = to_thread(move || thread::current().id() != loop_thread).await;
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
    let loop_thread = thread.thread().id();
    assert_eq!(receiver.recv(), Ok(loop_thread));
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

/// Threads that send while the loop is created: a call that comes before or after the notifier is set is made.
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
    assert!(report.ends_with("panicked and no code took the panic: oh"), "{report}");
    let task = create();
    event_loop.run_until_stalled();
    assert!(task.is_done() && reports.borrow().is_empty(), "the outcome could still be taken");
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
    assert_eq!(futures::executor::block_on(&mut task), Ok(1));
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

/// Wakers of several earlier tasks of one slot defeat the coalescing: each wake is sent.
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

// ---- Destructors, panics and other code that is not ours, on either thread ------------------------------------

/// Panics when it is dropped.
struct Bomb(&'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

/// Does this when it is dropped.
struct Then<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Then<F> {
    fn new(then: F) -> Then<F> {
        Then(Some(then))
    }
}

impl<F: FnOnce()> Drop for Then<F> {
    fn drop(&mut self) {
        self.0.take().unwrap()();
    }
}

#[test]
fn a_value_of_abandoned_work_that_panics_when_it_is_dropped_is_reported_and_run_ends() {
    let _watchdog = Watchdog::new("a run that waits for work whose value panics");
    let (mut event_loop, reports) = watched_loop();
    let (release, released) = mpsc::channel::<()>();
    event_loop.run(async {
        drop(to_thread(move || {
            let _ = released.recv();
            Bomb("on the thread")
        }));
        drop(release);
    });
    let report = reports.take().concat();
    assert!(report.contains("threads.rs") && report.ends_with("on the thread"), "{report}");

    event_loop.run(async {
        let work = to_thread(|| Bomb("with the future"));
        while !format!("{work:?}").contains("is_done: true") {
            yield_now().await;
        }
        drop(work);
    });
    assert!(reports.take().concat().ends_with("with the future"));
}

#[test]
fn an_unclaimed_value_is_dropped_under_no_lock() {
    struct Stopped(Mutex<Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>>);
    impl Wake for Stopped {
        fn wake(self: Arc<Self>) {
            let (is_here, go_on) = self.0.lock().unwrap().take().unwrap();
            is_here.send(()).unwrap();
            let _ = go_on.recv();
        }
    }
    let _watchdog = Watchdog::new("a value whose destructor waits for the pool's only thread");
    let mut event_loop = EventLoop::builder().threads(1).build();
    let (start, started) = mpsc::channel::<()>();
    let (here, is_here) = mpsc::channel();
    let (go_on, goes_on) = mpsc::channel();
    let (done, is_done) = mpsc::channel();
    event_loop.run(async move {
        // The destructor waits until the thread has gone on and done something else.
        let value = Then::new(move || {
            drop(go_on);
            is_done.recv().unwrap();
        });
        let mut work = Box::pin(to_thread(move || {
            started.recv().unwrap();
            value
        }));
        let next = to_thread(move || done.send(()).unwrap());
        let waker = Waker::from(Arc::new(Stopped(Mutex::new(Some((here, goes_on))))));
        assert!(work.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        start.send(()).unwrap();
        is_here.recv().unwrap(); // the outcome is there, and the thread not through with it
        drop(work);
        next.await.unwrap();
    });
}

#[test]
fn a_value_of_a_detached_task_that_panics_when_it_is_dropped_is_reported_wherever_that_is() {
    let _watchdog = Watchdog::new("a loop that waits for the report of a destructor");
    let (mut event_loop, reports) = watched_loop();
    let handle = event_loop.handle();
    drop(handle.create_task(|| async { Bomb("at the task's end") }).unwrap());
    assert!(first_report(&mut event_loop, &reports).ends_with("at the task's end"));
    let task = handle.create_task(|| async { Bomb("with its handle") }).unwrap();
    event_loop.run_until_stalled();
    thread::spawn(move || drop(task)).join().unwrap();
    assert!(first_report(&mut event_loop, &reports).ends_with("with its handle"));
}

#[test]
fn calls_that_are_lost_and_panic_when_they_are_dropped_are_all_reported() {
    let (event_loop, reports) = watched_loop();
    let handle = event_loop.handle();
    for text in ["one", "two"] {
        let bomb = Bomb(text);
        handle.call_soon(move || drop(bomb)).unwrap();
    }
    let bomb = Bomb("three");
    let task = handle
        .create_task(move || {
            drop(bomb);
            async {}
        })
        .unwrap();
    drop(event_loop);
    let reports = reports.take();
    assert_eq!(reports.len(), 5, "{reports:?}");
    assert!(reports[0].contains("came too late: the loop has ended"), "{reports:?}");
    assert!(reports[1].ends_with("panicked and no code took the panic: one"), "{reports:?}");
    assert!(reports[2].contains("came too late: the loop has ended"), "{reports:?}");
    assert!(reports[3].ends_with("panicked and no code took the panic: two"), "{reports:?}");
    assert!(reports[4].ends_with("panicked and no code took the panic: three"), "{reports:?}");
    assert_eq!(task.wait(), Err(RemoteError::LoopGone(LoopGone)));
}

#[test]
fn a_destructor_may_come_back_to_the_loop_that_it_is_lost_with() {
    let (event_loop, reports) = watched_loop();
    let handle = event_loop.handle();
    let answer = Arc::new(Mutex::new(None));
    let (there, again) = (answer.clone(), handle.clone());
    let last_words = Then::new(move || {
        *there.lock().unwrap() = Some((again.is_gone(), again.call_soon(|| ())));
    });
    handle.call_soon(move || drop(last_words)).unwrap();
    drop(event_loop);
    assert_eq!(*answer.lock().unwrap(), Some((true, Err(LoopGone))));
    assert_eq!(reports.take().len(), 1);
}

#[test]
fn the_last_handle_may_be_dropped_by_a_call_and_work_begun_by_a_destructor() {
    let _watchdog = Watchdog::new("a loop whose calls and destructors come back to it");
    let (mut event_loop, reports) = watched_loop();
    let done = Arc::new(AtomicUsize::new(0));
    let count = done.clone();
    let handle = event_loop.handle();
    let last = handle.clone();
    handle.call_soon(move || drop(last)).unwrap();
    drop(handle);
    event_loop.run(async {
        let value = to_thread(move || {
            Then::new(move || {
                drop(to_thread(move || count.fetch_add(1, Ordering::SeqCst)));
            })
        });
        drop(value.await.unwrap());
        // And once more on a thread, where no loop is running: that is a panic in a destructor.
        let (release, released) = mpsc::channel::<()>();
        drop(to_thread(move || {
            let _ = released.recv();
            Then::new(|| drop(to_thread(|| unreachable!("there is no loop"))))
        }));
        drop(release);
    });
    assert_eq!(done.load(Ordering::SeqCst), 1);
    let reports = reports.take();
    assert!(reports.len() == 1 && reports[0].contains("no event loop is running"), "{reports:?}");
}

#[test]
#[allow(clippy::async_yields_async)] // it is to leave the loop
fn a_panic_is_reported_to_the_loop_that_it_belongs_to() {
    let _watchdog = Watchdog::new("a loop that waits for a report that another got");
    let ((mut one, reports), (mut other, none)) = (watched_loop(), watched_loop());
    let work = one.run_until_complete(async { to_thread(|| -> () { panic!("of the first") }) });
    while !format!("{work:?}").contains("is_done: true") {
        thread::yield_now();
    }
    other.run(async move { drop(work) });
    assert!(first_report(&mut one, &reports).ends_with("of the first"));
    assert!(none.borrow().is_empty(), "{none:?}");
}

#[test]
fn what_a_wake_hook_throws_ends_at_the_hook_whatever_it_is() {
    let hook = || panic_any(Bomb("thrown by the hook"));
    let mut event_loop = EventLoop::builder().wake_hook(hook).build();
    let handle = event_loop.handle();
    let called = thread::spawn(move || handle.call_soon(|| ())).join();
    assert!(matches!(called, Ok(Ok(()))));
    event_loop.run_until_stalled();
}

// ---- Threads that cannot be had -------------------------------------------------------------------------------

#[test]
fn a_name_that_no_thread_can_have_is_refused_where_it_is_given() {
    let Err(payload) = catch_unwind(|| EventLoop::builder().thread_name("a\0b")) else {
        panic!("it was taken")
    };
    let text = payload.downcast_ref::<String>().unwrap();
    assert!(text.contains("cannot contain a NUL byte") && text.contains(r#""a\0b""#), "{text}");
}

#[test]
fn trying_to_start_a_thread_without_a_loop_is_an_error_and_no_panic() {
    let error = try_to_thread(|| ()).unwrap_err();
    assert!(matches!(error, CannotStartThread::NoRunningLoop(_)));
    assert!(error.to_string().contains("no event loop is running"));
}

/// What needs a process of its own: the process is forked, or all its threads are taken.
#[cfg(target_os = "linux")]
mod alone {
    use std::error::Error;
    use std::panic::{Location, PanicHookInfo};
    use std::process::Command;
    use std::{env, fs, io, panic};

    use nix::libc::_exit;
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, alarm, fork};

    use super::*;

    /// Set in the second process.
    const ALONE: &str = "LOOPWHEEL_TEST_ALONE";

    /// Runs the test again in a process where it is alone, and says whether this is that one.
    fn is_alone() -> bool {
        /// So that it cannot hang. A forked process has none before it sets its own.
        const SECONDS: u32 = 60;
        if env::var_os(ALONE).is_some() {
            alarm::set(SECONDS);
            return true;
        }
        let this = thread::current();
        let second = Command::new(env::current_exe().unwrap())
            .args(["--exact", this.name().unwrap(), "--nocapture"])
            .env(ALONE, "1")
            .env("RUST_BACKTRACE", "0")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&second.stdout);
        let complained = String::from_utf8_lossy(&second.stderr);
        assert!(second.status.success(), "{}\n{said}\n{complained}", second.status);
        assert!(said.contains("1 passed"), "{said}");
        false
    }

    /// Where the next panic of this process comes from.
    fn place_of_panic(panics: impl FnOnce()) -> (String, u32) {
        static PLACE: Mutex<Option<(String, u32)>> = Mutex::new(None);
        let note = |info: &PanicHookInfo<'_>| {
            let place = info.location().map(Location::to_owned).unwrap();
            *PLACE.lock().unwrap() = Some((info.to_string(), place.line()));
        };
        let usual = panic::take_hook();
        panic::set_hook(Box::new(note));
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        panic::set_hook(usual);
        PLACE.lock().unwrap().take().unwrap()
    }

    /// Until it is dropped the system gives this process no memory for another thread's stack.
    struct NoMoreThreads {
        before: (u64, u64),
    }

    impl NoMoreThreads {
        fn new() -> NoMoreThreads {
            let before = getrlimit(Resource::RLIMIT_AS).unwrap();
            let status = fs::read_to_string("/proc/self/status").unwrap();
            let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
            let size: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
            setrlimit(Resource::RLIMIT_AS, (size + 512) * 1024, before.1).unwrap();
            assert!(thread::Builder::new().spawn(|| ()).is_err(), "a thread was to be had");
            NoMoreThreads { before }
        }
    }

    impl Drop for NoMoreThreads {
        fn drop(&mut self) {
            setrlimit(Resource::RLIMIT_AS, self.before.0, self.before.1).unwrap();
        }
    }

    #[test]
    fn a_name_that_no_thread_can_have_is_refused_at_the_callers_line() {
        if !is_alone() {
            return;
        }
        let line = line!() + 1;
        let (said, place) = place_of_panic(|| drop(EventLoop::builder().thread_name("a\0b")));
        assert!(said.contains("NUL") && place == line, "{said}");
    }

    #[test]
    fn work_that_no_thread_can_be_started_for_is_an_error_at_the_call_and_leaves_nothing_behind() {
        if !is_alone() {
            return;
        }
        fn is_send<T: Send + 'static>(_: &T) {}
        let (mut event_loop, reports) = watched_loop();
        let dropped = Arc::new(AtomicUsize::new(0));
        event_loop.run(async {
            let no_more = NoMoreThreads::new();
            let count = dropped.clone();
            let value = Then::new(move || {
                count.fetch_add(1, Ordering::SeqCst);
            });
            let error = try_to_thread(move || drop(value)).unwrap_err();
            assert_eq!(dropped.load(Ordering::SeqCst), 1);
            is_send(&error);
            assert!(matches!(error, CannotStartThread::Refused(_)));
            assert!(error.source().unwrap().downcast_ref::<io::Error>().is_some());
            assert!(error.to_string().contains("no thread for blocking work can be started"));

            let line = line!() + 1;
            let (said, place) = place_of_panic(|| drop(to_thread(|| unreachable!("not here"))));
            assert!(said.contains("no thread for blocking work can be started"), "{said}");
            assert_eq!(place, line, "{said}");

            // Whatever the closure does when it is dropped.
            let again = Then::new(|| assert!(try_to_thread(|| ()).is_err()));
            let bomb = Bomb("captured");
            assert!(try_to_thread(move || drop((again, bomb))).is_err());
            drop(no_more);
            sleep(ms(5)).await; // virtual time does not stand still
            assert_eq!(to_thread(|| 5).await, Ok(5));
        });
        let reports = reports.take();
        assert_eq!(reports.len(), 1, "{reports:?}");
        assert!(
            reports[0].ends_with("panicked and no code took the panic: captured"),
            "{reports:?}"
        );
    }

    #[test]
    fn work_waits_for_a_thread_of_the_pool_if_no_further_one_can_be_started() {
        if !is_alone() {
            return;
        }
        run(async {
            let (release, released) = mpsc::channel::<()>();
            let (here, is_here) = mpsc::channel::<()>();
            let first = to_thread(move || {
                here.send(()).unwrap();
                let _ = released.recv();
                thread::current().id()
            });
            is_here.recv().unwrap();
            let no_more = NoMoreThreads::new();
            let second = to_thread(|| thread::current().id());
            drop(no_more);
            drop(release);
            assert_eq!(first.await, second.await);
        });
    }

    /// Waits until all threads but this one are asleep, so that none of them is in the middle of something.
    fn wait_until_the_others_sleep() {
        let state_of = |task: &str| {
            let stat = fs::read_to_string(format!("/proc/self/task/{task}/stat")).ok()?;
            stat.rsplit_once(") ")?.1.chars().next()
        };
        let is_awake = || {
            let tasks = fs::read_dir("/proc/self/task").unwrap();
            let tasks = tasks.map(|task| task.unwrap().file_name().into_string().unwrap());
            tasks.filter(|task| state_of(task).is_some_and(|state| state != 'S')).count() > 1
        };
        let mut quiet = 0;
        while quiet < 100 {
            quiet = if is_awake() { 0 } else { quiet + 1 };
            thread::yield_now();
        }
    }

    /// Forks. Returns true in the child, which cannot hang.
    #[allow(unsafe_code)]
    fn is_fork() -> Option<nix::unistd::Pid> {
        wait_until_the_others_sleep();
        // SAFETY: the other threads are asleep, so none of them holds a lock of the allocator or of std.
        match unsafe { fork() }.unwrap() {
            ForkResult::Parent { child } => Some(child),
            ForkResult::Child => {
                alarm::set(30);
                None
            }
        }
    }

    /// Ends a forked process. Its threads' stacks and the test harness belong to the other process.
    #[allow(unsafe_code)]
    fn exit(ended: &thread::Result<()>) -> ! {
        // SAFETY: it runs no code of this process, and does not return.
        unsafe { _exit(i32::from(ended.is_err())) }
    }

    #[track_caller]
    fn in_a_fork(child: impl FnOnce()) {
        match is_fork() {
            Some(child) => assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0))),
            None => exit(&catch_unwind(AssertUnwindSafe(child))),
        }
    }

    #[test]
    fn a_forked_process_starts_threads_of_its_own() {
        if !is_alone() {
            return;
        }
        let mut event_loop = EventLoop::builder().threads(2).build();
        let mut work = |number| event_loop.run(async move { to_thread(move || number).await });
        assert_eq!(work(1), Ok(1));
        in_a_fork(|| {
            for number in 0..100 {
                assert_eq!(work(number), Ok(number));
            }
            in_a_fork(|| assert_eq!(work(7), Ok(7)));
            assert_eq!(work(8), Ok(8));
        });
        assert_eq!(work(9), Ok(9));
    }

    #[test]
    fn work_that_was_out_when_the_process_was_forked_is_lost_in_the_child_and_no_run_waits_for_it()
    {
        if !is_alone() {
            return;
        }
        let (mut event_loop, reports) = watched_loop();
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let blocks = || {
            let released = released.clone();
            move || assert!(released.lock().unwrap().recv().is_err())
        };
        #[allow(clippy::async_yields_async)] // they are to leave the loop
        let (awaited, taken, given_up) = event_loop.run_until_complete(async {
            let given_up = to_thread(blocks());
            drop(to_thread(blocks())); // and this one is detached
            let mut back = to_thread(|| 1);
            (&mut back).await.unwrap();
            (to_thread(blocks()), back, given_up)
        });
        in_a_fork(|| {
            drop((taken, given_up));
            event_loop.run(async {
                let lost = wait_for(awaited, ms(1_000)).await.expect("it is lost at once");
                let Err(TaskError::Panicked(panic)) = lost else { panic!("{lost:?}") };
                assert!(panic.message().contains("this process was forked"), "{panic}");
                assert_eq!(to_thread(|| 5).await, Ok(5));
            });
            let reports = reports.take();
            assert_eq!(reports.len(), 2, "{reports:?}");
            assert!(reports.iter().all(|report| report.contains("the work is lost")));
        });
        drop(release);
        event_loop.run(async { sleep(ms(1)).await }); // waits for the two that are not awaited
        assert!(reports.borrow().is_empty());
    }

    #[test]
    fn a_loop_that_forks_while_it_runs_goes_on_in_both_processes() {
        if !is_alone() {
            return;
        }
        let (release, released) = mpsc::channel::<()>();
        let mut child = None;
        let ended = catch_unwind(AssertUnwindSafe(|| {
            run(async {
                let mut work = pin!(to_thread(move || released.recv().is_err()));
                assert!(wait_for(work.as_mut(), ms(1)).await.is_err());
                child = is_fork();
                if child.is_some() {
                    drop(release);
                    assert_eq!(work.await, Ok(true));
                } else {
                    assert!(matches!(work.await, Err(TaskError::Panicked(_))));
                    assert_eq!(to_thread(|| 5).await, Ok(5));
                }
            });
        }));
        let Some(child) = child else { exit(&ended) };
        assert!(ended.is_ok());
        assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
    }
}

/// A value of a thread that says when the thread has ended.
struct OnThreadEnd(Arc<AtomicUsize>);

impl Drop for OnThreadEnd {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

thread_local! {
    static ON_THREAD_END: RefCell<Option<OnThreadEnd>> = const { RefCell::new(None) };
}

#[test]
fn join_threads_waits_for_the_closures_and_for_the_ends_of_their_threads() {
    let _watchdog = Watchdog::new("join_threads");
    for threads in [1, 2, 4] {
        let mut event_loop = EventLoop::builder().threads(threads).build();
        event_loop.run(async {
            join_threads().await; // there is none yet
            let (ended, worked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            for round in 1..=3 {
                let work = (0..20).map(|_| {
                    let (ended, worked) = (ended.clone(), worked.clone());
                    to_thread(move || {
                        ON_THREAD_END
                            .with_borrow_mut(|here| _ = here.get_or_insert(OnThreadEnd(ended)));
                        thread::yield_now();
                        worked.fetch_add(1, Ordering::SeqCst);
                    })
                });
                let work: Vec<_> = work.collect();
                join_threads().await;
                assert_eq!(worked.load(Ordering::SeqCst), 20 * round, "what was begun is done");
                let alive = Arc::strong_count(&ended) - 1;
                assert_eq!(alive, 0, "each thread has dropped its locals");
                assert!(ended.load(Ordering::SeqCst) >= round);
                for work in work {
                    assert!(work.await.is_ok());
                }
            }
        });
    }
}

#[test]
fn threads_end_though_the_wait_for_them_is_cancelled_or_dropped() {
    let _watchdog = Watchdog::new("threads_end_though_the_wait_for_them_is_cancelled");
    run(async {
        for hard in [false, true] {
            let ended = Arc::new(AtomicUsize::new(0));
            let (go_on, is_told) = mpsc::channel::<()>();
            let local = OnThreadEnd(ended.clone());
            let work = to_thread(move || {
                ON_THREAD_END.set(Some(local));
                is_told.recv().unwrap();
            });
            if hard {
                let mut waits = Box::pin(join_threads());
                let polled = poll_fn(|cx| Poll::Ready(waits.as_mut().poll(cx))).await;
                assert!(polled.is_pending());
                drop(waits);
            } else {
                let waits = create_task(join_threads());
                yield_now().await;
                waits.cancel();
                assert!(waits.await.is_err());
            }
            assert_eq!(to_thread(|| "another pool").await, Ok("another pool"));
            go_on.send(()).unwrap();
            work.await.unwrap();
            while ended.load(Ordering::SeqCst) == 0 {
                yield_now().await;
            }
            join_threads().await;
        }
    });
}
