//! Exploration: which order is run next, and what can come between two polls.

#[path = "common/counting.rs"]
mod counting;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use loopwheel::explore::{self, Exploration, Fault, Found};
use loopwheel::sync::Event;
use loopwheel::{
    EventLoop, Instant, Sleep, TaskBuilder, TestRun, VirtualClock, catch_cancel, create_task, now,
    protect, run_virtual, sleep, wait_for, yield_now,
};

const SECOND: Duration = Duration::from_secs(1);

fn fault_of<T: fmt::Debug>(exploration: Exploration, main: impl AsyncFn() -> T) -> Box<Found> {
    exploration.without_page().try_run(|| main()).unwrap_err()
}

// ---- Priorities

#[test]
fn pct_lets_a_task_that_falls_later_run_before_one_that_fell_earlier() {
    // Depth 3: a1 before b1, and a2 before b2 before b3. So the last task falls after a1, and another one falls after that, and must
    // still run before it.
    let main = async || {
        let log = Rc::new(RefCell::new(Vec::new()));
        let note = |what: &'static str| {
            let log = log.clone();
            move || log.borrow_mut().push(what)
        };
        let (v, g) = (Rc::new(Event::new()), Rc::new(Event::new()));
        let middle = create_task({
            let (v, g, b2) = (v.clone(), g.clone(), note("b2"));
            async move {
                v.set();
                g.wait().await;
                yield_now().await;
                b2();
            }
        });
        let first = create_task({
            let (b1, a2) = (note("b1"), note("a2"));
            async move {
                b1();
                g.set();
                yield_now().await;
                a2();
            }
        });
        let last = create_task({
            let (a1, b3) = (note("a1"), note("b3"));
            async move {
                v.wait().await;
                a1();
                yield_now().await;
                b3();
            }
        });
        for task in [middle, first, last] {
            task.await.unwrap();
        }
        let log = log.take();
        let at = |what| log.iter().position(|it| *it == what);
        let is_met = at("a1") < at("b1") && at("a2") < at("b2") && at("b2") < at("b3");
        assert!(!is_met, "{log:?}");
    };
    run_virtual(main());
    let found = fault_of(explore::pct(3, 3_000), main);
    assert!(found.message.contains("a1"), "{found}");
    let summary = explore::pct(2, 3_000).run(main);
    assert_eq!(summary.orders, 3_000, "two conditions are too few");
}

#[test]
fn pct_of_a_depth_beyond_all_steps_is_one_in_which_each_step_falls() {
    let main = async || {
        let tasks = [1, 2, 3].map(|number| create_task(async move { number }));
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        sum
    };
    // As many falls as that have no room in memory.
    assert_eq!(explore::pct(u32::MAX, 20).run(main).outcomes["6"], 20);
}

// ---- Cancels while nothing is ready

/// A resource is lost if the worker is cancelled in its sleep.
async fn leaks_if_cancelled_asleep() {
    let is_free = Rc::new(Cell::new(true));
    let worker = {
        let is_free = is_free.clone();
        TaskBuilder::new().name("worker").create_task(async move {
            is_free.set(false);
            let slept = catch_cancel(sleep(SECOND)).await;
            is_free.set(slept.is_ok() || now().as_secs_f64() >= 1.0);
        })
    };
    _ = worker.await;
    assert!(is_free.get(), "it leaks");
}

#[test]
fn a_task_that_sleeps_alone_is_cancelled_in_its_sleep() {
    let found = fault_of(explore::all(100).cancels(1), async || leaks_if_cancelled_asleep().await);
    let line = "a cancel of 'worker' before its 2nd poll, while nothing is ready";
    assert!(found.schedule.contains(&line.to_owned()), "{found}");
    assert!(found.message.contains("it leaks") && found.shrunk.contains('i'), "{found}");
    for exploration in [explore::seeds(200), explore::pct(1, 200)] {
        let found = fault_of(exploration.cancels(1), async || leaks_if_cancelled_asleep().await);
        assert_eq!(found.schedule.iter().filter(|it| **it == line).count(), 1, "{found}");
    }
    // The others are spared, and without cancels there is none.
    explore::all(100).must_be_complete().run(leaks_if_cancelled_asleep);
    let other = explore::all(1_000).cancels(1).cancels_only("other");
    other.must_be_complete().run(async || {
        let other = TaskBuilder::new().name("other").create_task(async {});
        leaks_if_cancelled_asleep().await;
        _ = other.await;
    });
}

#[test]
fn a_cancel_while_nothing_is_ready_is_asked_for_once_and_comes_before_time_moves() {
    // The clock also jumps to the deadline of a limit that was taken back, because it is so near to the next one: nothing is due there.
    let main = || async {
        let worker = create_task(async {
            let slept = catch_cancel(sleep(SECOND + Duration::from_millis(1))).await;
            (slept.is_ok(), now().as_secs_f64())
        });
        yield_now().await;
        wait_for(yield_now(), SECOND).await.unwrap();
        worker.await.ok()
    };
    let summary = explore::all(100).cancels(1).must_be_complete().run(main);
    let outcomes: Vec<_> = summary.outcomes.keys().map(String::as_str).collect();
    let (asleep, is_over) = ("Some((false, 0.0))", "Some((false, 1.001))");
    assert_eq!(outcomes, ["None", asleep, is_over, "Some((true, 1.001))"], "{summary}");
}

#[test]
fn what_hears_no_cancel_is_cancelled_while_it_sleeps_and_sleeps_on() {
    let main = || async {
        let worker = create_task(async {
            protect(sleep(10 * SECOND), 3600 * SECOND).await.unwrap();
        });
        (worker.await.is_ok(), now().as_secs_f64())
    };
    for cancels in [1, 2] {
        let summary = explore::all(500).cancels(cancels).must_be_complete().run(main);
        let outcomes: Vec<_> = summary.outcomes.keys().map(String::as_str).collect();
        assert_eq!(outcomes, ["(false, 0.0)", "(false, 10.0)", "(true, 10.0)"], "{summary}");
    }
}

#[test]
fn a_task_that_is_cancelled_before_it_begins_is_not_polled() {
    let worker = || TaskBuilder::new().name("worker").create_task(async {});
    let main = async || worker().await.unwrap();
    let found = fault_of(explore::all(10).cancels(1), main);
    assert_eq!(found.schedule, ["'main'", "a cancel of 'worker' before it begins", "'main'"]);
    // Neither is one that the program cancels.
    let cancels = async || {
        let worker = worker();
        worker.cancel();
        worker.await.unwrap();
    };
    let found = fault_of(explore::all(10).max_steps(2), cancels);
    assert_eq!(found.fault, Fault::Panicked, "it has two polls: {found}");
    assert_eq!(found.schedule, ["'main'", "'main'"]);
}

#[test]
fn the_end_of_a_task_that_is_not_polled_is_told_if_it_is_not_in_its_turn() {
    // The one that is cancelled before it begins drops what it has before the other one has run.
    let main = async || {
        let first = Rc::new(Cell::new(""));
        let note = |name: &'static str| {
            let first = first.clone();
            move || first.set(if first.get().is_empty() { name } else { first.get() })
        };
        let (a, b) = (note("a"), Noted(note("b")));
        let a = TaskBuilder::new().name("a").create_task(async move { a() });
        let b = TaskBuilder::new().name("b").create_task(async move { drop(b) });
        b.cancel();
        a.await.unwrap();
        _ = b.await;
        assert_eq!(first.get(), "a");
    };
    let found = fault_of(explore::all(100), main);
    let line = "'b' ends without a poll, before 'a', which was woken first";
    assert_eq!(found.schedule, ["'main'", line, "'a'", "'main'"], "{found}");
}

/// Does something when it is dropped.
struct Noted<F: FnMut()>(F);

impl<F: FnMut()> Drop for Noted<F> {
    fn drop(&mut self) {
        self.0();
    }
}

// ---- Early timers

thread_local! {
    /// A timer that sets itself again, by a waker that is no task's.
    static TICK: RefCell<Option<Pin<Box<Sleep>>>> = const { RefCell::new(None) };
    static TICKS: Cell<u32> = const { Cell::new(0) };
}

struct Ticks;

impl Wake for Ticks {
    fn wake(self: Arc<Self>) {
        TICKS.set(TICKS.get() + 1);
        let mut next = (TICKS.get() < 1_000).then(|| Box::pin(sleep(SECOND)));
        if let Some(next) = &mut next {
            let waker = Waker::from(self);
            assert!(next.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        drop(TICK.replace(next));
    }
}

#[test]
fn an_early_timer_is_one_moment_although_its_waker_sets_the_next() {
    let main = async || {
        TICKS.set(0);
        Arc::new(Ticks).wake();
        yield_now().await;
        yield_now().await;
        drop(TICK.take());
        now().as_secs_f64()
    };
    let summary = explore::all(10).early_timers(1).must_be_complete().run(main);
    let outcomes: Vec<_> = summary.outcomes.keys().map(String::as_str).collect();
    assert_eq!(outcomes, ["0.0", "1.0"], "{summary}");
}

// ---- Memory

#[test]
fn what_compares_no_choices_keeps_none_of_their_candidates() {
    // Each of so many polls is chosen from all tasks that are left.
    const TASKS: usize = 1_000;
    let most = Cell::new(0);
    let main = async || {
        let before = counting::counts().live_bytes;
        let tasks: Vec<_> = (0..TASKS).map(|_| create_task(async {})).collect();
        for task in tasks {
            task.await.unwrap();
        }
        let more = counting::counts().live_bytes - before;
        most.set(more.max(most.get()));
    };
    explore::seeds(1).run(main);
    explore::pct(3, 1).run(main); // and a run in the normal order before it
    assert!(most.get() < 1 << 20, "{most:?} bytes more");
}

#[test]
fn no_early_timer_is_at_the_end_of_time() {
    let summary = explore::all(100).early_timers(1).must_be_complete().run(async || {
        let forever = create_task(async { sleep(Duration::MAX).await });
        let limit = wait_for(yield_now(), Duration::MAX).await;
        forever.cancel();
        _ = forever.await;
        (limit.is_ok(), now() == Instant::START)
    });
    assert_eq!(summary.outcomes.keys().collect::<Vec<_>>(), ["(true, true)"]);
}

#[test]
fn no_early_timer_is_asked_for_on_a_clock_that_is_held() {
    thread_local!(static CLOCK: RefCell<Option<VirtualClock>> = const { RefCell::new(None) });
    let orders = |is_held: bool| {
        let test = || {
            let clock = VirtualClock::new();
            CLOCK.set(Some(clock.clone()));
            TestRun::new().event_loop(EventLoop::builder().clock(clock))
        };
        let main = move || async move {
            let held = CLOCK.with_borrow(|clock| is_held.then(|| clock.as_ref().unwrap().hold()));
            _ = wait_for(yield_now(), Duration::from_secs(1)).await;
            drop(held);
        };
        explore::all(100).early_timers(1).must_be_complete().test(test).run(main).orders
    };
    assert_eq!(orders(true), 1);
    assert!(orders(false) > 1);
}
