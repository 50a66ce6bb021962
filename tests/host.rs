//! Tests the contract with a host that drives the loop itself, as lists of events.

mod common;

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;
use std::thread;

use common::{Watchdog, ms};
use loopwheel::sync::Event;
use loopwheel::{
    Budget, Clock, EventLoop, Handle, Instant, Next, TaskBuilder, TaskSet, VirtualClock, all_tasks,
    call_soon, create_task, now, sleep, to_thread, try_current_task, try_now, yield_now,
};

/// A host that logs what it does.
struct Host {
    event_loop: EventLoop,
    events: Rc<RefCell<Vec<String>>>,
}

impl Host {
    fn new(event_loop: EventLoop) -> Host {
        Host { event_loop, events: Rc::default() }
    }

    fn spawn(&self, name: &'static str, turns: usize) {
        let events = self.events.clone();
        drop(self.event_loop.create_task(async move {
            for _ in 0..turns {
                events.borrow_mut().push(format!("poll {name}"));
                yield_now().await;
            }
        }));
    }

    fn turn(&mut self, budget: Budget) {
        let next = self.event_loop.turn(budget);
        let text = match next {
            Next::Ready => "turn: ready".to_owned(),
            Next::At(deadline) => {
                format!("turn: next deadline {} ms", deadline.as_nanos() / 1_000_000)
            }
            Next::Idle => "turn: idle".to_owned(),
        };
        self.events.borrow_mut().push(text);
    }

    #[track_caller]
    fn expect(&self, expected: &[&str]) {
        assert_eq!(self.events.take(), expected);
    }
}

#[test]
fn a_turn_polls_the_tasks_that_were_ready_when_it_began() {
    let mut host = Host::new(EventLoop::new());
    host.spawn("a", 2);
    host.spawn("b", 1);
    for _ in 0..3 {
        host.turn(Budget::unlimited());
    }
    host.expect(&["poll a", "poll b", "turn: ready", "poll a", "turn: ready", "turn: idle"]);
}

#[test]
fn a_budget_of_polls_is_kept_and_no_task_is_passed_over() {
    let mut host = Host::new(EventLoop::new());
    for name in ["a", "b", "c"] {
        host.spawn(name, 1);
    }
    for _ in 0..3 {
        host.turn(Budget::polls(2));
    }
    assert_eq!(host.event_loop.ready_tasks(), 0);
    host.expect(&["poll a", "poll b", "turn: ready", "poll c", "turn: ready", "turn: idle"]);
}

#[test]
fn a_budget_of_time_ends_the_turn_on_the_loops_clock() {
    let clock = VirtualClock::new();
    let mut event_loop = EventLoop::builder().clock(clock.clone()).build();
    let polls = Rc::new(Cell::new(0));
    for _ in 0..10 {
        let (clock, polls) = (clock.clone(), polls.clone());
        drop(event_loop.create_task(async move {
            polls.set(polls.get() + 1);
            clock.advance(ms(1));
        }));
    }
    assert_eq!(event_loop.turn(Budget::time(ms(3))), Next::Ready);
    assert_eq!(polls.get(), 3);
    assert_eq!(event_loop.turn(Budget::time(ms(0))), Next::Ready);
    assert_eq!(polls.get(), 4, "one poll is always made");
    assert_eq!(event_loop.run_until_stalled(), Next::Idle);
    assert_eq!((polls.get(), event_loop.live_tasks()), (10, 0));
}

/// A loop with a task that yields for ever, and counts its polls.
fn spinning(clock: Clock) -> (EventLoop, Rc<Cell<u64>>) {
    let event_loop = EventLoop::builder().clock(clock).build();
    let polls = Rc::new(Cell::new(0));
    let counted = polls.clone();
    drop(event_loop.create_task(async move {
        loop {
            counted.set(counted.get() + 1);
            yield_now().await;
        }
    }));
    (event_loop, polls)
}

#[test]
fn a_run_for_uses_its_whole_budget_of_polls_over_several_turns() {
    let mut host = Host::new(EventLoop::new());
    host.spawn("a", 3);
    host.spawn("b", 1);
    assert_eq!(host.event_loop.run_for(Budget::polls(0)), Next::Ready);
    host.expect(&[]);
    // The fourth poll of "a" is its end, and so is the second of "b".
    assert_eq!(host.event_loop.run_for(Budget::polls(3)), Next::Ready);
    host.expect(&["poll a", "poll b", "poll a"]);
    assert_eq!(host.event_loop.run_for(Budget::polls(2)), Next::Ready);
    host.expect(&["poll a"]);
    assert_eq!(host.event_loop.run_for(Budget::polls(100)), Next::Idle);
    assert_eq!(host.event_loop.live_tasks(), 0);
}

#[test]
fn a_run_for_ends_when_nothing_is_ready_and_says_what_comes_next() {
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
    assert_eq!(event_loop.run_for(Budget::unlimited()), Next::Idle);
    let task = event_loop.create_task(async {
        yield_now().await;
        sleep(ms(5)).await;
    });
    let deadline = Next::At(Instant::START + ms(5));
    assert_eq!(event_loop.run_for(Budget::time(ms(1_000_000))), deadline);
    assert!(event_loop.jump_to_next_deadline());
    assert_eq!(event_loop.run_for(Budget::unlimited()), Next::Idle);
    assert!(task.is_done());
}

#[test]
fn a_run_for_ends_on_the_loops_clock() {
    let _watchdog = Watchdog::new("a_run_for_ends_on_the_loops_clock");
    let clock = VirtualClock::new();
    let (mut event_loop, polls) = spinning(clock.clone().into());
    let moves = clock.clone();
    drop(event_loop.create_task(async move {
        loop {
            moves.advance(ms(1_000));
            yield_now().await;
        }
    }));
    assert_eq!(event_loop.run_for(Budget::time(ms(1_000_000))), Next::Ready);
    assert_eq!((clock.now(), polls.get()), (Instant::START + ms(1_000_000), 1_000));
    assert_eq!(event_loop.run_for(Budget::time(ms(0))), Next::Ready);
    assert_eq!(polls.get(), 1_001, "one poll is always made");
}

#[test]
fn a_run_for_ends_also_on_a_clock_that_stands_still() {
    let _watchdog = Watchdog::new("a_run_for_ends_also_on_a_clock_that_stands_still");
    let frame = Rc::new(Cell::new(Instant::START));
    for clock in [VirtualClock::new().into(), Clock::host(move || frame.get())] {
        let (mut event_loop, polls) = spinning(clock);
        let begun = Rc::new(Cell::new(0));
        // A single turn of so many would take too long.
        for _ in 0..200_000 {
            let begun = begun.clone();
            drop(event_loop.create_task(async move { begun.set(begun.get() + 1) }));
        }
        assert_eq!(event_loop.run_for(Budget::time(ms(1))), Next::Ready); // of real time
        assert!(polls.get() > 0 && begun.get() < 200_000);
        assert_eq!(event_loop.run_for(Budget::polls(3)), Next::Ready);
    }
}

#[test]
fn a_run_for_on_real_time_takes_many_turns() {
    let _watchdog = Watchdog::new("a_run_for_on_real_time_takes_many_turns");
    let (mut event_loop, polls) = spinning(Clock::monotonic());
    // However slow the machine is: in a few of them there is time for more than one turn.
    let many = (0..1_000).any(|_| {
        let before = polls.get();
        assert_eq!(event_loop.run_for(Budget::time(ms(4))), Next::Ready);
        polls.get() > before + 1
    });
    assert!(many);
}

#[test]
fn a_timer_that_becomes_due_in_a_run_for_fires_in_it() {
    let clock = VirtualClock::new();
    let mut event_loop = EventLoop::builder().clock(clock.clone()).build();
    let slept = event_loop.create_task(sleep(ms(5)));
    drop(event_loop.create_task(async move {
        for _ in 0..10 {
            clock.advance(ms(1));
            yield_now().await;
        }
    }));
    assert_eq!(event_loop.run_for(Budget::polls(100)), Next::Idle);
    assert!(slept.is_done());
}

#[test]
fn a_run_until_stalled_gives_up_tasks_that_yield_for_ever() {
    let _watchdog = Watchdog::new("a_run_until_stalled_gives_up_tasks_that_yield_for_ever");
    let (mut event_loop, polls) = spinning(VirtualClock::new().into());
    assert_eq!(event_loop.run_until_stalled(), Next::Ready);
    assert_eq!(polls.get(), 1_000_000);
}

#[test]
fn a_run_until_stalled_gives_up_neither_many_tasks_nor_a_long_chain() {
    let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
    let count = Rc::new(Cell::new(0_u32));
    for _ in 0..1_000 {
        let count = count.clone();
        drop(event_loop.create_task(async move {
            for _ in 0..990 {
                yield_now().await;
            }
            count.set(count.get() + 1);
        }));
    }
    assert_eq!(event_loop.run_until_stalled(), Next::Idle);
    assert_eq!(count.get(), 1_000);
    for _ in 0..1_100_000 {
        let count = count.clone();
        drop(event_loop.create_task(async move { count.set(count.get() + 1) }));
    }
    assert_eq!(event_loop.run_until_stalled(), Next::Idle);
    assert_eq!(count.get(), 1_101_000);
}

#[test]
fn the_host_says_what_time_it_is() {
    let frame = Rc::new(Cell::new(Instant::START));
    let time = frame.clone();
    let mut host = Host::new(EventLoop::builder().clock(Clock::host(move || time.get())).build());
    let events = host.events.clone();
    drop(host.event_loop.create_task(async move {
        for _ in 0..2 {
            sleep(ms(20)).await;
            events.borrow_mut().push("slept".to_owned());
        }
    }));
    for _ in 0..4 {
        host.turn(Budget::unlimited());
        frame.set(frame.get() + ms(16)); // 60 frames a second, nearly
    }
    // The second sleep begins at 32 ms, in the frame that saw the end of the first.
    host.expect(&[
        "turn: next deadline 20 ms",
        "turn: next deadline 20 ms",
        "slept",
        "turn: next deadline 52 ms",
        "turn: next deadline 52 ms",
    ]);
    assert_eq!(host.event_loop.next_deadline(), Some(Instant::START + ms(52)));
}

#[test]
fn the_wake_hook_is_called_once_until_the_next_turn_from_any_thread() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let hook = move || {
        count.fetch_add(1, Ordering::SeqCst);
    };
    let mut event_loop = EventLoop::builder().wake_hook(hook).build();
    let kept: Rc<RefCell<Option<Waker>>> = Rc::default();
    let (slot, polls) = (kept.clone(), Rc::new(Cell::new(0)));
    let counted = polls.clone();
    drop(event_loop.create_task(std::future::poll_fn(move |cx| {
        counted.set(counted.get() + 1);
        *slot.borrow_mut() = Some(cx.waker().clone());
        std::task::Poll::<()>::Pending
    })));
    assert_eq!(event_loop.turn(Budget::unlimited()), Next::Idle);
    assert_eq!((polls.get(), calls.load(Ordering::SeqCst)), (1, 0));

    let waker = kept.take().unwrap();
    let handle = event_loop.handle();
    assert!(event_loop.is_idle());
    thread::spawn({
        let waker = waker.clone();
        move || {
            waker.wake_by_ref();
            waker.wake_by_ref();
            handle.call_soon(|| ()).unwrap();
        }
    })
    .join()
    .unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 1, "once until the next turn");
    assert!(!event_loop.is_idle());
    event_loop.run_until_stalled();
    assert_eq!(polls.get(), 2, "two wakes are one poll");

    waker.wake(); // on the loop's own thread, between two turns
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    drop(event_loop);
    kept.take().unwrap().wake();
    assert_eq!(calls.load(Ordering::SeqCst), 2, "a dropped loop calls no hook");
}

/// The loop takes so many wake-ups in one go and no more. A host that is told "idle" would sleep beside the others: the hook is not
/// called for what was posted before the turn.
#[test]
fn a_host_is_not_told_that_the_loop_is_idle_while_wake_ups_are_left_in_the_inbox() {
    const TASKS: usize = 5_000;
    let mut event_loop = EventLoop::new();
    let polls = Rc::new(Cell::new(0));
    let wakers: Rc<RefCell<Vec<Waker>>> = Rc::default();
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (polls, wakers) = (polls.clone(), wakers.clone());
            event_loop.create_task(std::future::poll_fn(move |cx| {
                polls.set(polls.get() + 1);
                wakers.borrow_mut().push(cx.waker().clone());
                std::task::Poll::<()>::Pending
            }))
        })
        .collect();
    event_loop.run_until_stalled();
    let in_order = wakers.take();
    let mut tasks = tasks.into_iter();
    let last = tasks.next_back();
    tasks.for_each(|task| _ = task.cancel());
    event_loop.run_until_stalled();
    assert_eq!((in_order.len(), event_loop.live_tasks()), (TASKS, 1));
    polls.set(0);
    // The tasks of all wakers but the last are gone.
    in_order.iter().for_each(Waker::wake_by_ref);
    while event_loop.turn(Budget::unlimited()) == Next::Ready {}
    assert_eq!(polls.get(), 1);
    drop(last);
}

#[test]
fn two_loops_on_one_thread_are_turned_alternately_and_pass_tasks_to_each_other() {
    let (mut one, mut other) = (EventLoop::new(), EventLoop::new());
    let there = other.handle();
    let (to_one, from_other) = (one.handle(), Rc::new(Cell::new(0)));
    let result = from_other.clone();
    drop(one.create_task(async move {
        let back = there.create_task(move || async move {
            // On the other loop: and from there to the first again.
            to_one.create_task(|| async { 20 }).unwrap().await.unwrap() + 1
        });
        result.set(back.unwrap().await.unwrap() * 2);
    }));
    for _ in 0..20 {
        one.turn(Budget::unlimited());
        other.turn(Budget::unlimited());
    }
    assert_eq!(from_other.get(), 42);
    assert_eq!((one.live_tasks(), other.live_tasks()), (0, 0));
}

#[test]
fn two_loops_on_two_threads_pass_tasks_to_each_other() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let other = thread::spawn(move || {
        loopwheel::run(async move {
            let (stop, stopped) = futures::channel::oneshot::channel::<()>();
            sender.send((Handle::current(), stop)).unwrap();
            let _ = stopped.await;
        });
    });
    let (there, stop) = receiver.recv().unwrap();
    let sum = loopwheel::run(async {
        let here = Handle::current();
        let mut sum = 0;
        for number in 0..1_000_u64 {
            let here = here.clone();
            let there_and_back = there.create_task(move || async move {
                here.create_task(move || async move { number }).unwrap().await.unwrap()
            });
            sum += there_and_back.unwrap().await.unwrap();
        }
        sum
    });
    assert_eq!(sum, (0..1_000).sum::<u64>());
    stop.send(()).unwrap();
    other.join().unwrap();
}

#[test]
#[should_panic(expected = "cannot be turned while one is running")]
fn a_loop_is_not_turned_inside_a_task() {
    let mut inner = EventLoop::new();
    loopwheel::run_virtual(async move {
        drop(create_task(async {}));
        inner.turn(Budget::unlimited());
    });
}

/// A host's turn may be a frame long: each turn checks timers and mailbox, even if a task is always ready.
#[test]
fn timers_and_remote_wakes_are_handled_in_the_next_turn_although_a_task_is_always_ready() {
    let frame = Rc::new(Cell::new(Instant::START));
    let time = frame.clone();
    let mut host = Host::new(EventLoop::builder().clock(Clock::host(move || time.get())).build());
    drop(host.event_loop.create_task(async {
        loop {
            yield_now().await;
        }
    }));
    let events = host.events.clone();
    drop(host.event_loop.create_task(async move {
        sleep(ms(10)).await;
        events.borrow_mut().push("slept".to_owned());
    }));
    let handle = host.event_loop.handle();
    host.turn(Budget::unlimited());
    frame.set(frame.get() + ms(10));
    host.turn(Budget::unlimited());
    host.expect(&["turn: ready", "slept", "turn: ready"]);

    let (sender, called) = std::sync::mpsc::channel();
    thread::spawn(move || handle.call_soon(move || sender.send(()).unwrap()).unwrap())
        .join()
        .unwrap();
    host.turn(Budget::unlimited()); // takes the call in
    host.turn(Budget::unlimited()); // and makes it
    assert_eq!(called.try_recv(), Ok(()));
}

#[test]
fn a_hook_that_panics_disturbs_no_task() {
    let panics = || panic!("the hook's own trouble");
    let mut event_loop = EventLoop::builder().threads(1).wake_hook(panics).build();
    let handle = event_loop.handle();
    thread::spawn(move || handle.call_soon(|| ()).unwrap()).join().unwrap();
    event_loop.run_until_stalled();
    for number in 0..3 {
        assert_eq!(event_loop.run(async { to_thread(move || number).await }), Ok(number));
    }
}

/// With a budget of time the clock is read after each poll.
#[test]
fn a_clock_that_panics_beside_a_poll_leaves_the_loop_whole() {
    for panicking in 0..6 {
        let readings_left = Rc::new(Cell::new(-1));
        let clock = Clock::host({
            let left = readings_left.clone();
            move || {
                assert_ne!(left.replace(left.get() - 1), 0, "the clock's own trouble");
                Instant::START
            }
        });
        let reports = Rc::new(Cell::new(0));
        let count = reports.clone();
        let mut event_loop = EventLoop::builder()
            .clock(clock)
            .exception_handler(move |_| count.set(count.get() + 1))
            .build();
        let polls = Rc::new(Cell::new(0));
        let count = polls.clone();
        let task = event_loop.create_task(async move {
            for _ in 0..3 {
                count.set(count.get() + 1);
                yield_now().await;
            }
        });
        readings_left.set(panicking);
        for _ in 0..10 {
            event_loop.turn(Budget::time(ms(1))); // it reads the clock around each poll
        }
        assert_eq!((reports.get(), polls.get(), task.is_done()), (1, 3, true));
        drop(event_loop);
    }
}

#[test]
fn a_host_cannot_jump_while_work_is_out() {
    let clock = VirtualClock::new();
    let mut event_loop = EventLoop::builder().clock(clock.clone()).build();
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    let task = event_loop.create_task(async {
        let sleep = create_task(sleep(ms(5)));
        to_thread(move || receiver.recv().unwrap()).await.unwrap();
        sleep.await.unwrap();
    });
    while event_loop.turn(Budget::unlimited()) == Next::Ready {}
    assert!(!event_loop.jump_to_next_deadline());
    sender.send(()).unwrap();
    while event_loop.all_tasks().len() > 1 {
        event_loop.turn(Budget::unlimited());
        event_loop.jump_to_next_deadline();
    }
    event_loop.run_until_stalled();
    assert!(task.is_done());
    assert_eq!(clock.now(), Instant::START + ms(5));
}

#[test]
fn a_host_can_call_code_that_was_written_for_a_task() {
    let _watchdog = Watchdog::new("a host enters its loop");
    let clock = VirtualClock::new();
    let mut event_loop = EventLoop::builder().clock(clock.clone()).build();
    let (log, go) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Event::new()));
    let mut set = TaskSet::new();
    clock.advance(ms(5));
    event_loop.enter(|| {
        assert_eq!(now(), Instant::START + ms(5));
        assert!(try_current_task().is_err() && current_loop_is_entered());
        let waits = go.clone();
        drop(set.create_task("one", async move { waits.wait().await }));
        let logs = log.clone();
        call_soon(move || logs.borrow_mut().push("callback"));
        drop(TaskBuilder::new().name("named").create_task(yield_now()));
        assert!(
            event_loop.enter(|| all_tasks().iter().any(|task| task.name() == "named")),
            "it nests"
        );
    });
    assert!(!current_loop_is_entered());
    assert_eq!(log.borrow().len(), 0, "nothing is polled or called before the next turn");
    assert_eq!(event_loop.run_until_stalled(), Next::Idle);
    assert_eq!((log.take(), set.len()), (vec!["callback"], 1));
    // What it wakes is ready.
    event_loop.enter(|| go.set());
    assert_eq!((event_loop.ready_tasks(), event_loop.turn(Budget::unlimited())), (1, Next::Idle));
    assert!(matches!(set.next_nowait(), Some(("one", Ok(())))));
    // A panic inside leaves the loop.
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        event_loop.enter(|| {
            drop(create_task(async {}));
            panic!("of the host");
        })
    }));
    assert!(panicked.is_err() && !current_loop_is_entered());
    event_loop.run(async {});
    // A set that is dropped inside cancels its tasks, as in a task.
    let mut set = TaskSet::new();
    let task = event_loop.enter(|| set.create_task((), pending::<()>()));
    event_loop.turn(Budget::unlimited());
    event_loop.enter(|| drop(set));
    event_loop.run_until_stalled();
    assert_eq!((event_loop.live_tasks(), task.is_cancelled()), (0, true));
}

fn current_loop_is_entered() -> bool {
    try_now().is_ok()
}
