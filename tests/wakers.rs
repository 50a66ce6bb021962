//! Tests wakers: a wake, from any thread and at any time, makes the loop poll the right task, once, and no other.
//!
//! Other threads are real here, but nothing waits for them by sleeping. Where the moment matters, the loop's thread
//! joins the other one *inside a poll*. So what that thread did has always happened before the poll ends.

#![allow(clippy::waker_clone_wake)] // a clone wakes as well as what it was made from: that is to be shown

mod common;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use common::{Watchdog, ms};
use futures::channel::oneshot;
use futures::stream::{FuturesUnordered, StreamExt};
use futures::{FutureExt, join, select};
use loopwheel::{EventLoop, VirtualClock, create_task, now, run, run_virtual, sleep, yield_now};

/// A task that waits until it is told to end, and counts its polls. A clone is the same one, on any thread.
#[derive(Clone, Default)]
struct Watched(Arc<WatchedState>);

#[derive(Default)]
struct WatchedState {
    polls: AtomicUsize,
    is_told_to_end: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Watched {
    fn new() -> Watched {
        Watched::default()
    }

    /// What the task runs.
    fn future(&self) -> impl Future<Output = ()> + use<> {
        let Watched(state) = self.clone();
        poll_fn(move |cx| {
            state.polls.fetch_add(1, Ordering::Relaxed);
            state.waker.lock().unwrap().get_or_insert_with(|| cx.waker().clone());
            if state.is_told_to_end.load(Ordering::Relaxed) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
    }

    fn polls(&self) -> usize {
        self.0.polls.load(Ordering::Relaxed)
    }

    /// The waker that the first poll was given.
    fn waker(&self) -> Waker {
        self.0.waker.lock().unwrap().clone().expect("polled once")
    }

    /// The store is relaxed: the waker promises that the next poll sees it.
    fn end(&self) {
        self.0.is_told_to_end.store(true, Ordering::Relaxed);
        self.waker().wake();
    }
}

/// Runs `work` on another thread, to its end, before this thread goes on.
fn elsewhere<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| scope.spawn(work).join().unwrap())
}

/// Runs the loop until it has nothing to do: whatever was woken before has been polled. It is on virtual time.
async fn poll_all_woken() {
    sleep(ms(1)).await;
}

// ---- From another thread -----------------------------------------------------------------------------------

#[test]
fn a_wake_from_another_thread_reaches_a_parked_loop() {
    let _watchdog = Watchdog::new("a parked loop");
    let (sender, asked) = mpsc::channel::<Watched>();
    let other = thread::spawn(move || asked.iter().for_each(|watched| watched.end()));
    run(async {
        for _ in 0..10_000 {
            // Asked in the poll that ends pending: nothing is left to do then, and the loop goes to sleep, has not
            // gone yet, or is already woken.
            let watched = Watched::new();
            let mut future = pin!(watched.future());
            let mut asks = Some(&sender);
            poll_fn(|cx| {
                let poll = future.as_mut().poll(cx);
                if let Some(sender) = asks.take() {
                    sender.send(watched.clone()).unwrap();
                }
                poll
            })
            .await;
            assert_eq!(watched.polls(), 2);
        }
    });
    drop(sender);
    other.join().unwrap();
}

#[test]
fn a_wake_from_another_thread_reaches_a_loop_that_is_always_busy() {
    run_virtual(async {
        let watched = Watched::new();
        let task = create_task(watched.future());
        yield_now().await;
        elsewhere(|| watched.end());
        let mut yields = 0;
        while !task.is_done() {
            yield_now().await;
            yields += 1;
        }
        assert!(yields <= 128, "it looks every 64 polls or so, these were {yields}");
        assert_eq!(watched.polls(), 2);
    });
}

#[test]
fn virtual_time_does_not_pass_over_a_wake_from_another_thread() {
    run_virtual(async {
        let watched = Watched::new();
        let task = create_task(watched.future().map(|()| millis()));
        yield_now().await;
        elsewhere(|| watched.end());
        sleep(ms(1)).await;
        assert_eq!((task.await, millis()), (Ok(0), 1));
    });
}

#[test]
fn a_wake_from_another_loop_reaches_the_task_and_back() {
    const ROUNDS: usize = 10_000;
    let _watchdog = Watchdog::new("two loops");
    let count = AtomicUsize::new(0);
    let wakers = [Mutex::new(None::<Waker>), Mutex::new(None::<Waker>)];
    let play = |mine: usize| {
        run(poll_fn(|cx| {
            *wakers[mine].lock().unwrap() = Some(cx.waker().clone());
            let mut seen = count.load(Ordering::Acquire);
            if seen < ROUNDS && seen % 2 == mine {
                seen = count.fetch_add(1, Ordering::AcqRel) + 1;
                if let Some(waker) = &*wakers[1 - mine].lock().unwrap() {
                    waker.wake_by_ref();
                }
            }
            if seen < ROUNDS { Poll::Pending } else { Poll::Ready(()) }
        }));
    };
    thread::scope(|scope| {
        scope.spawn(|| play(0));
        scope.spawn(|| play(1));
    });
    assert_eq!(count.into_inner(), ROUNDS);
}

#[test]
fn a_wake_from_another_loop_of_the_same_thread_is_kept_until_the_loop_runs() {
    let mut one = EventLoop::builder().clock(VirtualClock::new()).build();
    let mut other = EventLoop::builder().clock(VirtualClock::new()).build();
    let watched = Watched::new();
    let task = one.create_task(watched.future());
    one.run_until_complete(yield_now());
    other.run(async { watched.end() });
    assert_eq!(watched.polls(), 1);
    one.run_until_complete(task).unwrap();
    assert_eq!(watched.polls(), 2);
}

#[test]
fn a_thread_that_ends_can_still_wake_from_its_thread_locals() {
    struct EndsAtExit(RefCell<Option<Watched>>);
    impl Drop for EndsAtExit {
        fn drop(&mut self) {
            self.0.take().expect("was set").end();
        }
    }
    thread_local! {
        static BEFORE: EndsAtExit = const { EndsAtExit(RefCell::new(None)) };
        static AFTER: EndsAtExit = const { EndsAtExit(RefCell::new(None)) };
    }
    let _watchdog = Watchdog::new("a thread's end");
    run(async {
        let (before, after) = (Watched::new(), Watched::new());
        let tasks = [create_task(before.future()), create_task(after.future())];
        yield_now().await;
        let other = thread::spawn(move || {
            // A loop has its own thread-local; whichever way they are destroyed, one of ours goes before it and
            // one after it.
            BEFORE.with(|it| it.0.replace(Some(before)));
            run(yield_now());
            AFTER.with(|it| it.0.replace(Some(after)));
        });
        for task in tasks {
            task.await.unwrap();
        }
        other.join().unwrap();
    });
}

// ---- Once ---------------------------------------------------------------------------------------------------

#[test]
fn a_wake_during_ones_own_poll_polls_exactly_once_more() {
    type WakeIt = fn(&Waker);
    let ways: [WakeIt; 4] = [
        Waker::wake_by_ref,
        |waker| waker.clone().wake(),
        |waker| (0..1_000).for_each(|_| waker.wake_by_ref()),
        |waker| elsewhere(|| waker.wake_by_ref()),
    ];
    for wake in ways {
        run_virtual(async {
            let polls = Rc::new(RefCell::new(0));
            drop(create_task({
                let polls = polls.clone();
                poll_fn(move |cx| {
                    *polls.borrow_mut() += 1;
                    if *polls.borrow() == 1 {
                        wake(cx.waker());
                    }
                    Poll::<()>::Pending
                })
            }));
            poll_all_woken().await;
            assert_eq!(*polls.borrow(), 2);
        });
    }
}

#[test]
fn a_thousand_wakes_between_two_polls_are_one_poll() {
    run_virtual(async {
        let watched = Watched::new();
        drop(create_task(watched.future()));
        poll_all_woken().await;
        let waker = watched.waker();

        (0..1_000).for_each(|_| waker.wake_by_ref());
        assert_eq!(watched.polls(), 1, "a wake never polls by itself");
        yield_now().await;
        assert_eq!(watched.polls(), 2, "a wake on the loop's own thread counts in the next turn");

        (0..1_000).for_each(|_| waker.clone().wake());
        poll_all_woken().await;
        assert_eq!(watched.polls(), 3);

        elsewhere(|| (0..1_000).for_each(|_| waker.wake_by_ref()));
        poll_all_woken().await;
        assert_eq!(watched.polls(), 4);

        // One waker, used by several threads at once: it is `Sync`.
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1_000).for_each(|_| waker.wake_by_ref()));
            }
        });
        poll_all_woken().await;
        assert_eq!(watched.polls(), 5);
    });
}

#[test]
fn wakers_of_one_task_will_wake_each_other_and_no_other_task() {
    fn assert_crosses_threads<T: Send + Sync + 'static>() {}
    assert_crosses_threads::<Waker>();

    async fn wakers_of_three_polls() -> Vec<Waker> {
        let mut wakers: Vec<Waker> = Vec::new();
        poll_fn(|cx| {
            // A task's first clone is the one by which the loop learns that there are any: it knows all but its model.
            assert!(wakers.iter().all(|waker| waker.will_wake(cx.waker())));
            wakers.push(cx.waker().clone());
            cx.waker().wake_by_ref();
            if wakers.len() < 3 { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        wakers
    }
    run_virtual(async {
        let mine = wakers_of_three_polls().await;
        let others = create_task(wakers_of_three_polls()).await.unwrap();
        let successors = create_task(wakers_of_three_polls()).await.unwrap();
        for waker in &mine {
            assert!(mine.iter().all(|same| same.will_wake(waker) && same.clone().will_wake(waker)));
            assert!(!others.iter().chain(&successors).any(|other| other.will_wake(waker)));
            assert!(!waker.will_wake(Waker::noop()));
        }
        assert!(!others[0].will_wake(&successors[0]), "although they had the same place");
    });
}

// ---- Too late -----------------------------------------------------------------------------------------------

#[test]
fn a_wake_after_the_task_is_over_does_nothing() {
    run_virtual(async {
        let watched = Watched::new();
        let task = create_task(watched.future());
        yield_now().await;
        let waker = watched.waker();
        watched.end();
        task.await.unwrap();
        waker.wake_by_ref();
        elsewhere(|| waker.wake_by_ref());
        poll_all_woken().await;
        assert_eq!(watched.polls(), 2);
    });
}

/// The second task has the first one's slot, which is what such a test is about.
#[track_caller]
fn assert_same_slot(one: &Waker, other: &Waker) {
    if cfg!(target_pointer_width = "64") {
        // See `src/kernel/waker.rs`: all but the generation.
        assert_eq!(one.data().addr() >> 24, other.data().addr() >> 24);
    }
    assert!(!one.will_wake(other));
}

#[test]
fn a_stale_waker_does_not_wake_the_next_task_in_its_slot() {
    run_virtual(async {
        let earlier = Watched::new();
        let task = create_task(earlier.future());
        yield_now().await;
        let stale = earlier.waker();
        earlier.end();
        task.await.unwrap();

        let later = Watched::new();
        let task = create_task(later.future());
        // Before its first poll, when it is queued anyway ...
        stale.wake_by_ref();
        elsewhere(|| stale.wake_by_ref());
        poll_all_woken().await;
        assert_same_slot(&stale, &later.waker());
        assert_eq!(later.polls(), 1);
        // ... after it, when it sleeps ...
        stale.wake_by_ref();
        poll_all_woken().await;
        elsewhere(|| stale.wake_by_ref());
        poll_all_woken().await;
        assert_eq!(later.polls(), 1);
        // ... and mixed with wake-ups that are meant: those are not lost, and one poll.
        let meant = later.waker();
        elsewhere(|| {
            for _ in 0..100 {
                stale.wake_by_ref();
                meant.wake_by_ref();
            }
        });
        poll_all_woken().await;
        assert_eq!(later.polls(), 2);
        later.end();
        task.await.unwrap();
    });
}

#[test]
fn a_remote_wake_in_flight_when_the_slot_is_reused_wakes_nothing() {
    run_virtual(async {
        let earlier = Watched::new();
        let task = create_task(earlier.future());
        yield_now().await;
        let stale = earlier.waker();
        elsewhere(|| stale.wake_by_ref()); // it is in the inbox now
        earlier.end();
        yield_now().await;
        assert!(task.is_done());
        let later = Watched::new();
        drop(create_task(later.future()));
        poll_all_woken().await;
        assert_same_slot(&stale, &later.waker());
        assert_eq!(later.polls(), 1);
    });
}

#[test]
fn a_waker_used_by_hand_after_the_run_does_nothing() {
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
    let waker = event_loop.run(poll_fn(|cx| Poll::Ready(cx.waker().clone())));
    waker.wake_by_ref();
    let next = Watched::new();
    event_loop.run(async {
        drop(create_task(next.future()));
        poll_all_woken().await;
        assert_eq!(next.polls(), 1);
    });
    waker.wake();
}

#[test]
fn a_wake_between_two_runs_is_not_lost() {
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
    let (one, other) = (Watched::new(), Watched::new());
    let tasks = [&one, &other].map(|watched| event_loop.create_task(watched.future()));
    event_loop.run_until_complete(poll_all_woken());
    one.end();
    elsewhere(|| other.end());
    assert_eq!([one.polls(), other.polls()], [1, 1]);
    event_loop.run_until_complete(poll_all_woken());
    assert!(tasks.iter().all(loopwheel::Task::is_done));
    assert_eq!([one.polls(), other.polls()], [2, 2]);
}

// ---- While the loop goes, and after ---------------------------------------------------------------------------

#[test]
fn destructors_may_wake_whom_they_like_while_the_loop_is_dropped() {
    struct WakesAllOnDrop(Rc<RefCell<Vec<Waker>>>);
    impl Drop for WakesAllOnDrop {
        fn drop(&mut self) {
            self.0.borrow().iter().for_each(Waker::wake_by_ref);
            elsewhere({
                let wakers = self.0.borrow().clone();
                move || wakers.into_iter().for_each(Waker::wake)
            });
        }
    }
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
    let wakers = Rc::new(RefCell::new(Vec::new()));
    let watched: Vec<_> = (0..20).map(|_| Watched::new()).collect();
    for watched in &watched {
        let (future, guard) = (watched.future(), WakesAllOnDrop(wakers.clone()));
        drop(event_loop.create_task(async move {
            let _guard = guard;
            future.await;
        }));
    }
    event_loop.run_until_complete(poll_all_woken());
    wakers.replace(watched.iter().map(Watched::waker).collect());
    drop(event_loop);
    assert_eq!(Rc::strong_count(&wakers), 1, "all destructors ran");
    assert!(watched.iter().all(|watched| watched.polls() == 1));
}

#[test]
fn other_threads_may_wake_while_the_loop_is_dropped() {
    let _watchdog = Watchdog::new("a loop's drop");
    for _ in 0..300 {
        let mut event_loop = EventLoop::new();
        let watched: Vec<_> = (0..20).map(|_| Watched::new()).collect();
        for watched in &watched {
            drop(event_loop.create_task(watched.future()));
        }
        event_loop.run_until_complete(yield_now());
        let wakers: Vec<_> = watched.iter().map(Watched::waker).collect();
        let (has_begun, is_gone) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_gone.load(Ordering::Acquire) {
                    wakers.iter().for_each(Waker::wake_by_ref);
                    has_begun.store(true, Ordering::Release);
                }
            });
            while !has_begun.load(Ordering::Acquire) {
                thread::yield_now();
            }
            drop(event_loop);
            is_gone.store(true, Ordering::Release);
        });
        // Each future is gone: what is left of its state is here, and no executor exists to poll it.
        assert!(watched.iter().all(|watched| Arc::strong_count(&watched.0) == 1));
        let polls: Vec<_> = watched.iter().map(Watched::polls).collect();
        elsewhere(|| wakers.iter().for_each(Waker::wake_by_ref));
        assert_eq!(polls, watched.iter().map(Watched::polls).collect::<Vec<_>>());
    }
}

#[test]
fn a_waker_that_outlives_its_loop_means_nothing_to_the_next_one() {
    let mut stale: Vec<Waker> = Vec::new();
    // So many that some of them have had one place in the registry: places are handed on.
    for _ in 0..200 {
        let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
        let watched = Watched::new();
        drop(event_loop.create_task(watched.future()));
        event_loop.run_until_complete(async {
            poll_all_woken().await;
            stale.iter().for_each(Waker::wake_by_ref);
            poll_all_woken().await;
            elsewhere(|| stale.iter().for_each(Waker::wake_by_ref));
            poll_all_woken().await;
        });
        assert_eq!(watched.polls(), 1);
        stale.push(watched.waker());
    }
    stale.iter().for_each(Waker::wake_by_ref);
}

#[test]
fn loops_come_and_go_while_a_thread_keeps_waking_tasks_of_those_that_are_gone() {
    let _watchdog = Watchdog::new("loops that come and go");
    let (sender, asked) = mpsc::channel::<Watched>();
    let other = thread::spawn(move || {
        let mut earlier: VecDeque<Waker> = VecDeque::new();
        for watched in asked {
            watched.end();
            // Of the last loops, whichever way round, while that one's task goes on and the next loop comes.
            earlier.push_front(watched.waker());
            earlier.truncate(64);
            earlier.iter().chain(earlier.iter().rev()).for_each(Waker::wake_by_ref);
        }
    });
    let loops = if cfg!(debug_assertions) { 2_000 } else { 10_000 };
    for _ in 0..loops {
        EventLoop::new().run(async {
            let (meant, not_meant) = (Watched::new(), Watched::new());
            let tasks = [&not_meant, &meant].map(|watched| create_task(watched.future()));
            yield_now().await;
            sender.send(meant.clone()).unwrap();
            let [stays, ends] = tasks;
            ends.await.unwrap();
            assert_eq!(meant.polls(), 2);
            assert_eq!(not_meant.polls(), 1, "the wakers of others' tasks are not for it");
            not_meant.end();
            stays.await.unwrap();
        });
    }
    drop(sender);
    other.join().unwrap();
}

// ---- Wakers that are not ours -----------------------------------------------------------------------------------

fn millis() -> u64 {
    now().as_nanos() / 1_000_000
}

#[test]
fn a_foreign_set_of_futures_sleeps_and_joins_in_the_right_order() {
    run_virtual(async {
        let sleeps = [30, 10, 20].map(|after| sleep(ms(after)).map(move |()| after));
        let mut sleeps: FuturesUnordered<_> = sleeps.into_iter().collect();
        let mut seen = Vec::new();
        while let Some(after) = sleeps.next().await {
            seen.push((after, millis()));
        }
        assert_eq!(seen, [(10, 10), (20, 20), (30, 30)]);

        let tasks = [30, 10, 20].map(|after| create_task(sleep(ms(after)).map(move |()| after)));
        let mut tasks: FuturesUnordered<_> = tasks.into_iter().collect();
        let mut seen = Vec::new();
        while let Some(after) = tasks.next().await {
            seen.push((after.unwrap(), millis()));
        }
        assert_eq!(seen, [(10, 40), (20, 50), (30, 60)]);
    });
}

#[test]
fn a_foreign_set_polls_only_those_children_that_were_woken() {
    run_virtual(async {
        let polls = Rc::new(RefCell::new(vec![0; 1_000]));
        let mut children: FuturesUnordered<_> = (0..1_000)
            .map(|child| {
                let (polls, mut sleep) =
                    (polls.clone(), Box::pin(sleep(ms(child as u64 % 10 + 1))));
                poll_fn(move |cx| {
                    polls.borrow_mut()[child] += 1;
                    sleep.poll_unpin(cx)
                })
            })
            .collect();
        while children.next().await.is_some() {}
        assert_eq!(millis(), 10);
        assert!(polls.borrow().iter().all(|&polls| polls == 2), "one to arm, one to end");
    });
}

#[test]
fn foreign_joins_and_selects_take_as_long_as_they_should() {
    run_virtual(async {
        let task = create_task(async {
            sleep(ms(30)).await;
            "task"
        });
        let joined = join!(sleep(ms(10)), task, async {
            sleep(ms(5)).await;
            join!(sleep(ms(15)), yield_now())
        });
        assert_eq!((joined.1, millis()), (Ok("task"), 30));

        let mut task = create_task(sleep(ms(20)).map(|()| millis())).fuse();
        let mut short = pin!(sleep(ms(10)).fuse());
        let first = select! {
            () = short => "sleep",
            _ = task => "task",
        };
        assert_eq!((first, millis()), ("sleep", 40));
        let second = select! {
            () = short => unreachable!("it is over"),
            at = task => at.unwrap(),
        };
        assert_eq!(second, 50);

        // A sleep that loses a `select!` leaves no timer behind: nothing is held up, and nothing is woken.
        select! {
            () = sleep(ms(1_000)).fuse() => unreachable!("too long"),
            () = sleep(ms(1)).fuse() => {}
        }
        assert_eq!(millis(), 51);
    });
}

#[test]
fn a_foreign_channel_crosses_threads_both_ways() {
    let _watchdog = Watchdog::new("a foreign channel");
    run(async {
        for number in 0..1_000 {
            let (ask, asked) = oneshot::channel();
            let (answer, answered) = oneshot::channel();
            let other = thread::spawn(move || {
                let number: u32 = run(asked).unwrap();
                answer.send(number + 1).unwrap();
            });
            ask.send(number).unwrap();
            assert_eq!(answered.await, Ok(number + 1));
            other.join().unwrap();
        }
    });
}

/// A waker that is not of any loop, and counts.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counter {
    fn wakes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

#[test]
fn a_sleep_that_was_polled_with_two_wakers_wakes_the_latter() {
    run_virtual(async {
        let counters = [(); 3].map(|()| Arc::<Counter>::default());
        let [first, latter, never] = counters.each_ref().map(|counter| counter.clone().into());
        let poll_with = |sleep: &mut loopwheel::Sleep, waker: &Waker| {
            sleep.poll_unpin(&mut Context::from_waker(waker))
        };

        let mut moved = sleep(ms(10));
        assert_eq!(poll_with(&mut moved, &first), Poll::Pending);
        assert_eq!(poll_with(&mut moved, &latter), Poll::Pending);
        assert_eq!(poll_with(&mut moved, &latter), Poll::Pending);
        let mut dropped = sleep(ms(10));
        assert_eq!(poll_with(&mut dropped, &never), Poll::Pending);
        drop(dropped);
        sleep(ms(20)).await;
        assert_eq!(counters.each_ref().map(|counter| counter.wakes()), [0, 1, 0]);
        assert_eq!(poll_with(&mut moved, &latter), Poll::Ready(()));

        drop((first, latter, never));
        assert!(counters.iter().all(|counter| Arc::strong_count(counter) == 1), "none is kept");
    });
}

#[test]
fn a_sleep_that_goes_from_one_task_to_another_wakes_the_latter() {
    run_virtual(async {
        let foreign = Arc::<Counter>::default();
        let sleeps = Rc::new(RefCell::new(sleep(ms(10))));
        let tasks: [_; 2] = [0, 1].map(|_| {
            let (sleeps, polls) = (sleeps.clone(), Rc::new(RefCell::new(0)));
            let counted = polls.clone();
            let task = create_task(poll_fn(move |cx| {
                *counted.borrow_mut() += 1;
                sleeps.borrow_mut().poll_unpin(cx)
            }));
            (task, polls)
        });
        // The order of the polls is that of creation: task 0, task 1, then one poll with a foreign waker.
        drop(create_task({
            let (sleeps, foreign) = (sleeps.clone(), Waker::from(foreign.clone()));
            async move {
                let mut cx = Context::from_waker(&foreign);
                assert!(sleeps.borrow_mut().poll_unpin(&mut cx).is_pending());
            }
        }));
        let last = create_task(poll_fn(move |cx| sleeps.borrow_mut().poll_unpin(cx)));
        last.await.unwrap();
        assert_eq!(millis(), 10);
        poll_all_woken().await;
        assert!(tasks.iter().all(|(task, polls)| !task.is_done() && *polls.borrow() == 1));
        assert_eq!(foreign.wakes(), 0);
    });
}

#[test]
fn wakers_of_many_tasks_whose_slots_were_given_back_stay_stale_when_the_slots_are_reused() {
    const TASKS: usize = 20_000;
    run_virtual(async {
        let mut stale = Vec::new();
        for _ in 0..3 {
            let tasks: Vec<_> = (0..TASKS)
                .map(|_| {
                    let watched = Watched::new();
                    (create_task(watched.future()), watched)
                })
                .collect();
            yield_now().await;
            for waker in &stale {
                Waker::wake_by_ref(waker);
            }
            yield_now().await;
            assert!(tasks.iter().all(|(_, watched)| watched.polls() == 1), "no task is woken");
            for (task, watched) in tasks {
                stale.push(watched.waker());
                watched.end();
                task.await.unwrap();
            }
            for _ in 0..100 {
                sleep(ms(1)).await; // the loop gives back memory that it does not need
            }
        }
    });
}

#[test]
fn a_waker_whose_destructor_panics_is_reported_and_harms_nobody() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let (mut event_loop, reports) = common::watched_loop();
    event_loop.run(async {
        let lock = loopwheel::sync::Lock::new();
        let _guard = lock.acquire().await;
        let mut waits = Box::pin(lock.acquire());
        let waker = Waker::from(Arc::new(Panics));
        assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        drop(waits);
        assert_eq!(lock.waiting(), 0);
    });
    let reports = reports.borrow();
    assert!(matches!(&reports[..], [one] if one.contains("dropped")), "{reports:?}");
}
