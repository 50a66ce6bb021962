//! An observer is told of everything, in order and with its causes; and whatever it does, the loop goes on.

mod common;
#[path = "common/counting.rs"]
mod counting;
#[path = "common/dice.rs"]
mod dice;
#[path = "common/random.rs"]
mod random;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::thread;

use common::{Trace, ms, watched_loop};
use counting::counts;
use loopwheel::trace::{Event, How, Id, Observer, Wait, What};
use loopwheel::{
    EventLoop, Recorder, TaskGroup, TaskRef, VirtualClock, as_completed, call_later, catch_cancel,
    create_task, current_task, gather, set_trace, sleep, trace, wait_for, yield_now,
};
use random::{World, program};

type Events = Vec<Event<'static>>;

/// Runs `main` on the virtual clock, and returns what an observer was told.
fn traced(main: impl Future<Output = ()>) -> Events {
    let recorder = Recorder::new();
    EventLoop::builder().clock(VirtualClock::new()).trace(recorder.clone()).build().run(main);
    recorder.events()
}

fn find(events: &Events, is_wanted: impl Fn(&What<'_>) -> bool) -> &Event<'static> {
    events.iter().find(|event| is_wanted(&event.what)).expect("such an event")
}

fn cause_of<'a>(events: &'a Events, event: &Event<'_>) -> &'a Event<'static> {
    let cause = event.cause.expect("it has a cause");
    events.iter().find(|event| event.seq == cause).expect("its cause was told")
}

fn woken(task: Id) -> impl Fn(&What<'_>) -> bool {
    move |what| matches!(what, What::Woken { task: woken, again: false } if *woken == task)
}

const MAIN: Id = Id::Task(1);
const CHILD: Id = Id::Task(2);

/// The last time that this task was woken.
fn last_wake(events: &Events, task: Id) -> &Event<'static> {
    events.iter().rev().find(|event| woken(task)(&event.what)).expect("it was woken")
}

#[test]
fn events_are_numbered_without_gaps_and_causes_come_before_what_they_lead_to() {
    let events = traced(async {
        let task = create_task(sleep(ms(5)));
        wait_for(sleep(ms(50)), ms(10)).await.unwrap_err();
        gather([1, 2, 3].map(common::turns)).await;
        task.await.unwrap();
    });
    assert!(events.len() > 50);
    for (event, seq) in events.iter().zip(1..) {
        assert_eq!(event.seq, seq);
        assert!(event.cause.is_none_or(|cause| cause < seq), "{event}");
    }
    let in_order =
        events.windows(2).all(|two| two[0].at <= two[1].at && two[0].turn <= two[1].turn);
    assert!(in_order);
}

#[test]
fn each_poll_is_told_with_its_wake_up_its_waits_and_its_end() {
    let events = traced(async { yield_now().await });
    let told: Vec<_> = events.iter().map(|event| event.what.to_string()).collect();
    let place = find(&events, |what| matches!(what, What::Spawned { .. }));
    assert!(told[0].starts_with("Task-1 is created, at tests/trace.rs"), "{place}");
    assert_eq!(
        told[1..],
        [
            "Task-1 is woken: it joins the ready queue.",
            "Task-1 is named 'main'.",
            "A turn begins; 1 in the ready queue.",
            "The loop polls Task-1.",
            "It waits for its next turn.",
            "Task-1 is woken: it joins the ready queue.",
            "Task-1 returns Pending.",
            "A turn begins; 1 in the ready queue.",
            "The loop polls Task-1.",
            "The poll of Task-1 is its last.",
            "Task-1 has ended with a value.",
            "A turn begins; 0 in the ready queue.",
        ]
    );
}

#[test]
fn a_timer_is_the_cause_of_the_wake_up_and_its_setting_the_cause_of_the_timer() {
    let events = traced(async { sleep(ms(20)).await });
    let fired = cause_of(&events, last_wake(&events, MAIN));
    assert!(matches!(fired.what, What::TimerFired { timer: 1, task: Some(MAIN) }), "{fired}");
    let set = cause_of(&events, fired);
    assert!(matches!(set.what, What::TimerSet { timer: 1, is_limit: false, .. }), "{set}");
    find(&events, |what| matches!(what, What::TimerRemoved { timer: 1 }));
    find(&events, |what| matches!(what, What::ClockJumped { .. }));
    assert!(
        events.iter().any(|event| matches!(event.what, What::Waits { on: Wait::Sleep { .. } }))
    );
}

#[test]
fn the_end_of_a_task_is_the_cause_of_the_wake_up_of_the_task_that_awaits_it() {
    let events = traced(async { create_task(async {}).await.unwrap() });
    let ended = cause_of(&events, last_wake(&events, MAIN));
    assert!(matches!(ended.what, What::Ended { task: CHILD, how: How::Value }), "{ended}");
    find(&events, |what| matches!(what, What::Waits { on: Wait::Task { task: CHILD } }));
}

#[test]
fn a_wake_up_in_a_poll_has_the_poll_as_its_cause_and_the_task_as_its_author() {
    let waker: Rc<RefCell<Option<Waker>>> = Rc::default();
    let events = traced(async {
        let kept = waker.clone();
        let child = create_task(std::future::poll_fn(move |cx| match kept.take() {
            None => {
                *kept.borrow_mut() = Some(cx.waker().clone());
                std::task::Poll::Pending
            }
            Some(_) => std::task::Poll::Ready(()),
        }));
        yield_now().await;
        waker.borrow().as_ref().unwrap().wake_by_ref();
        child.await.unwrap();
    });
    let wake = last_wake(&events, CHILD);
    assert_eq!(wake.by, Some(MAIN));
    let poll = cause_of(&events, wake);
    assert!(matches!(poll.what, What::PollBegan { task: MAIN, .. }), "{poll}");
}

#[test]
fn why_a_task_is_polled_and_why_it_is_cancelled_are_two_causes() {
    let events = traced(async {
        let child = create_task(sleep(ms(10)));
        sleep(ms(10)).await; // set after: but main is polled first, since its timer was set first
        child.cancel_with_reason("enough");
        assert!(child.await.is_err());
    });
    let poll = events
        .iter()
        .rev()
        .find(|event| matches!(event.what, What::PollBegan { task: CHILD, cancel: Some(_) }));
    let poll = poll.expect("it was polled to be cancelled");
    let What::PollBegan { cancel: Some(cancel), .. } = poll.what else { unreachable!() };
    let requested = &events[cancel as usize - 1];
    assert!(
        matches!(&requested.what, What::CancelRequested { task: CHILD, reason: Some(text) }
        if text.to_string() == "enough"),
        "{requested}"
    );
    let wake = cause_of(&events, poll);
    assert!(matches!(wake.what, What::Woken { task: CHILD, .. }), "{wake}");
    let timer = cause_of(&events, wake);
    assert!(matches!(timer.what, What::TimerFired { .. }), "it was queued by its timer: {timer}");
}

/// How the last poll of the child ended, if main cancels it after it has begun.
fn last_poll_of(child: impl Future<Output = ()> + 'static) -> trace::Poll {
    let events = traced(async {
        let child = create_task(child);
        yield_now().await;
        child.cancel();
        assert!(child.await.is_err_and(|error| error.is_cancelled()));
    });
    let ends = events.iter().rev().find_map(|event| match event.what {
        What::PollEnded { task: CHILD, how } => Some(how),
        _ => None,
    });
    ends.expect("it was polled")
}

#[test]
fn a_poll_that_a_cancel_comes_out_of_is_told_as_interrupted_however_it_is_delivered() {
    let one = last_poll_of(sleep(ms(10)));
    let several = last_poll_of(async {
        futures::join!(sleep(ms(10)), sleep(ms(20)));
    });
    let again = last_poll_of(async {
        if let Err(cancelled) = catch_cancel(sleep(ms(10))).await {
            sleep(ms(1)).await;
            cancelled.reraise().await;
        }
    });
    let expected = [trace::Poll::Interrupted; 3];
    assert_eq!([one, several, again], expected, "one await, several, a cancel that was caught");
}

#[test]
fn a_cancel_is_followed_from_the_request_to_the_end() {
    let events = traced(async {
        let inner = create_task(async {
            if catch_cancel(sleep(ms(90))).await.is_err() {
                sleep(ms(1)).await;
            }
        });
        let outer = create_task(inner);
        common::turns(2).await;
        outer.cancel();
        outer.await.unwrap().unwrap();
    });
    let (inner, outer) = (Id::Task(2), Id::Task(3));
    let requested = find(&events, |what| matches!(what, What::CancelRequested { .. }));
    assert!(matches!(requested.what, What::CancelRequested { task, .. } if task == outer));
    let forwarded = find(&events, |what| matches!(what, What::CancelForwarded { .. }));
    assert_eq!(forwarded.what, What::CancelForwarded { task: outer, to: inner });
    assert_eq!(forwarded.cause, Some(requested.seq));
    let delivered = find(&events, |what| matches!(what, What::CancelDelivered { .. }));
    assert_eq!(delivered.what, What::CancelDelivered { task: inner });
    assert_eq!(delivered.cause, Some(forwarded.seq));
    let caught = find(&events, |what| matches!(what, What::CancelCaught { .. }));
    assert_eq!(caught.what, What::CancelCaught { task: inner, catcher: "`catch_cancel`" });
}

#[test]
fn a_time_limit_is_told_from_its_timer_to_the_catch() {
    let events = traced(async { assert!(wait_for(sleep(ms(90)), ms(10)).await.is_err()) });
    let set = find(&events, |what| matches!(what, What::TimerSet { is_limit: true, .. }));
    let fired = find(&events, |what| matches!(what, What::TimerFired { .. }));
    assert_eq!(fired.cause, Some(set.seq));
    let caught = find(&events, |what| matches!(what, What::CancelCaught { .. }));
    assert!(matches!(caught.what, What::CancelCaught { catcher: "a time limit", .. }));
    find(&events, |what| matches!(what, What::CancelTakenBack { task: MAIN, left: 0 }));
}

#[test]
fn the_cancels_of_a_group_have_the_failed_child_at_the_root() {
    let events = traced(async {
        let group = TaskGroup::scope(async |group| {
            group.create_task(async { Err::<(), _>("broken") });
            group.create_task(async {
                sleep(ms(10)).await;
                Ok(())
            });
            Ok::<_, &str>(())
        });
        group.await.unwrap_err();
    });
    let cancelled = find(&events, |what| matches!(what, What::CancelRequested { .. }));
    let mut chain = vec![cancelled];
    while let Some(event) = chain.last().filter(|event| event.cause.is_some()) {
        chain.push(cause_of(&events, event));
    }
    let failed =
        |event: &&Event<'_>| matches!(event.what, What::Ended { task: CHILD, how: How::Failed });
    assert!(chain.iter().any(failed), "{chain:#?}");
}

#[test]
fn callbacks_have_numbers_of_their_own() {
    let events = traced(async {
        call_later(ms(5), || ());
        sleep(ms(10)).await;
    });
    let spawned = find(&events, |what| matches!(what, What::Spawned { task: Id::Callback(1), .. }));
    assert_eq!(spawned.by, Some(MAIN));
    let wake = last_wake(&events, Id::Callback(1));
    assert!(matches!(cause_of(&events, wake).what, What::TimerFired { .. }));
}

#[test]
fn a_wake_up_from_another_thread_is_told_as_one() {
    let recorder = Recorder::new();
    let mut event_loop = EventLoop::builder().trace(recorder.clone()).build();
    event_loop.run(async {
        let mut is_sent = false;
        std::future::poll_fn(move |cx| {
            if is_sent {
                return std::task::Poll::Ready(());
            }
            is_sent = true;
            let waker = cx.waker().clone();
            thread::spawn(move || waker.wake());
            std::task::Poll::Pending
        })
        .await;
    });
    let events = recorder.events();
    let wake = last_wake(&events, MAIN);
    let remote = cause_of(&events, wake);
    assert!(matches!(remote.what, What::RemoteWake { task: Some(MAIN) }), "{remote}");
}

#[test]
fn tracing_that_begins_in_a_poll_begins_with_the_next_turn_and_tells_what_it_finds() {
    let recorder = Recorder::new();
    let (mut event_loop, _) = watched_loop();
    let told = recorder.clone();
    event_loop.run(async move {
        let sleeper = create_task(sleep(ms(10)));
        sleeper.set_name("sleeper");
        yield_now().await;
        set_trace(told);
        sleeper.await.unwrap();
        trace::stop();
        yield_now().await;
    });
    let events = recorder.events();
    assert!(matches!(events[0].what, What::Found { task: MAIN, is_queued: false, .. }));
    assert!(matches!(events[1].what, What::Named { task: MAIN, .. }));
    assert!(
        matches!(events[2].what, What::Found { task: CHILD, is_queued: true, .. }),
        "its timer has fired"
    );
    assert!(matches!(&events[3].what, What::Named { task: CHILD, name } if name == "sleeper"));
    assert!(matches!(events[4].what, What::TurnBegan { .. }), "{}", events[4]);
    let polls = events.iter().filter(|event| matches!(event.what, What::PollBegan { .. })).count();
    assert_eq!(polls, 2, "the sleeper's last, and main's, in which the tracing ends");
    let last = &events.last().unwrap().what;
    assert!(matches!(last, What::PollBegan { task: MAIN, .. }), "{last}");
}

#[test]
fn a_second_observer_takes_the_place_of_the_first_and_counts_from_one() {
    let (first, second) = (Recorder::new(), Recorder::new());
    let event_loop = EventLoop::builder().clock(VirtualClock::new()).trace(first.clone());
    let mut event_loop = event_loop.build();
    event_loop.run(yield_now());
    let told = first.events().len();
    event_loop.set_trace(second.clone());
    event_loop.run(yield_now());
    assert_eq!(first.events().len(), told);
    assert_eq!(second.events()[0].seq, 1);
    event_loop.stop_trace();
    let told = second.events().len();
    event_loop.run(yield_now());
    assert_eq!(second.events().len(), told);
}

#[test]
fn an_observer_that_panics_is_told_no_more_and_the_loop_goes_on() {
    let (mut event_loop, reports) = watched_loop();
    let told = Rc::new(Cell::new(0));
    let counted = told.clone();
    event_loop.set_trace(move |_: &Event<'_>| {
        counted.set(counted.get() + 1);
        assert!(counted.get() < 10, "ten are enough");
    });
    event_loop.run(async {
        let tasks: Vec<_> = (0..10).map(|number| create_task(async move { number })).collect();
        assert_eq!(gather(tasks).await.len(), 10);
    });
    assert_eq!(told.get(), 10);
    let reports = reports.borrow();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(
        reports[0].contains("the observer of a trace") && reports[0].contains("ten are enough")
    );
}

/// What an observer must not do, for each kind of event: the tracing ends with a report, and the run ends as it should.
#[test]
fn an_observer_that_uses_its_loop_is_told_no_more_and_the_loop_goes_on() {
    /// Says whether it reached anything: an ended task cannot be cancelled.
    type Deed = fn(&TaskRef) -> bool;
    let deeds: [(&str, Deed); 4] = [
        ("no event loop is running", |_| {
            drop(create_task(async {}));
            true
        }),
        ("no event loop is running", |_| {
            drop(call_later(ms(1), || ()));
            true
        }),
        ("it has used the loop that it observes", TaskRef::cancel),
        ("it has used the loop that it observes", |task| {
            let lives = !task.is_done();
            task.set_name("renamed");
            lives
        }),
    ];
    for (expected, deed) in deeds {
        for at_event in 1..60 {
            let (mut event_loop, reports) = watched_loop();
            let victim: Rc<RefCell<Option<TaskRef>>> = Rc::default();
            let has_reached = Rc::new(Cell::new(false));
            let (seen, done) = (victim.clone(), Cell::new(false));
            let reached = has_reached.clone();
            event_loop.set_trace(move |event: &Event<'_>| {
                if event.seq >= at_event
                    && !done.get()
                    && let Some(victim) = &*seen.borrow()
                {
                    done.set(true);
                    reached.set(true); // as it is where the deed panics
                    reached.set(deed(victim));
                }
            });
            event_loop.run(async {
                let task = create_task(sleep(ms(5)));
                *victim.borrow_mut() = Some(task.to_ref());
                let beside = create_task(async { wait_for(sleep(ms(50)), ms(1)).await });
                let _ = task.await;
                beside.await.unwrap().unwrap_err();
            });
            let reports = reports.borrow();
            let least = usize::from(has_reached.get());
            assert!((least..=1).contains(&reports.len()), "{expected}: {reports:?}");
            assert!(reports.iter().all(|report| report.contains(expected)), "{reports:?}");
        }
    }
}

#[test]
fn a_wake_up_by_an_observer_arrives_as_a_remote_one() {
    struct Waking(RefCell<Option<Waker>>);
    impl Observer for Waking {
        fn observe(&self, event: &Event<'_>) {
            if let What::ClockJumped { .. } = event.what
                && let Some(waker) = self.0.take()
            {
                waker.wake();
            }
        }
    }
    let waker = Rc::new(Waking(RefCell::default()));
    let (told, polls) = (waker.clone(), Rc::new(Cell::new(0)));
    let counted = polls.clone();
    let (mut event_loop, reports) = watched_loop();
    event_loop.set_trace(move |event: &Event<'_>| told.observe(event));
    event_loop.run(async {
        let mut sleep = std::pin::pin!(sleep(ms(5)));
        std::future::poll_fn(|cx| {
            counted.set(counted.get() + 1);
            waker.0.borrow_mut().get_or_insert_with(|| cx.waker().clone());
            sleep.as_mut().poll(cx)
        })
        .await;
    });
    assert!(reports.borrow().is_empty(), "{reports:?}");
    assert!(polls.get() >= 2);
}

#[test]
fn a_note_is_told_and_is_not_even_formatted_without_an_observer() {
    struct Counts<'a>(&'a Cell<u32>);
    impl std::fmt::Display for Counts<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.set(self.0.get() + 1);
            f.write_str("a line")
        }
    }
    let formatted = Cell::new(0);
    trace::note(Counts(&formatted));
    if !cfg!(loopwheel_traced) {
        loopwheel::run_virtual(async { trace::note(Counts(&formatted)) });
    }
    assert_eq!(formatted.get(), 0);
    let events = traced(async { trace::note(Counts(&formatted)) });
    let note = find(&events, |what| matches!(what, What::Note { .. }));
    assert_eq!(note.what.to_string(), "> a line");
}

#[test]
fn on_a_real_clock_an_event_has_its_own_time_and_a_sleep_of_the_thread_its_length() {
    let recorder = Recorder::new();
    EventLoop::builder().trace(recorder.clone()).build().run(async {
        trace::note("before");
        thread::sleep(ms(2));
        trace::note("after");
        sleep(ms(2)).await;
    });
    let events = recorder.events();
    let notes = events.iter().filter(|event| matches!(event.what, What::Note { .. }));
    let [before, after] = notes.map(|event| event.at).collect::<Vec<_>>()[..] else {
        panic!("two notes")
    };
    assert!(after - before >= ms(2), "{before:?}, {after:?}");
    find(&events, |what| matches!(what, What::Parked { .. }));
}

#[test]
fn an_observer_that_counts_costs_no_allocation_an_event() {
    let (mut event_loop, _) = watched_loop();
    let seen = Rc::new(Cell::new(0_u64));
    event_loop.set_trace({
        let events = seen.clone();
        move |_: &Event<'_>| events.set(events.get() + 1)
    });
    event_loop.run(async {
        let rounds = async || {
            for _ in 0..100 {
                yield_now().await;
                sleep(ms(1)).await;
                wait_for(sleep(ms(1)), ms(5)).await.unwrap(); // an expired limit allocates its reason
                current_task().cancel();
                current_task().uncancel();
                trace::note("a line");
            }
        };
        rounds().await;
        let (before, told) = (counts().allocations, seen.get());
        rounds().await;
        assert!(seen.get() > told + 2_000);
        assert_eq!(counts().allocations, before);
    });
}

#[test]
fn a_recorder_keeps_the_last_and_says_how_many_it_has_forgotten() {
    let (all, last) = (Recorder::new(), Recorder::last(10));
    for recorder in [all.clone(), last.clone()] {
        let event_loop = EventLoop::builder().clock(VirtualClock::new()).trace(recorder);
        event_loop.build().run(common::turns(50));
    }
    let (all, last_ten) = (all.events(), last.events());
    assert_eq!(last_ten, all[all.len() - 10..]);
    assert_eq!(last.dropped(), all.len() as u64 - 10);
}

#[test]
fn the_same_program_gives_the_same_run() {
    let run = || {
        traced(async {
            let tasks = [3, 1, 2].map(|n| create_task(async move { sleep(ms(n)).await }));
            gather(tasks).await;
        })
    };
    assert_eq!(run(), run());
}

/// A timer, an object and a callback of an earlier run have other numbers in the next, or none.
#[test]
fn a_second_run_of_the_same_loop_tells_nothing_of_the_numbers_of_the_first() {
    let (first, second) = (Recorder::new(), Recorder::new());
    let event_loop = EventLoop::builder().clock(VirtualClock::new()).trace(first.clone());
    let mut event_loop = event_loop.build();
    let sleeper = event_loop.create_task(sleep(ms(50)));
    event_loop.run_until_complete(async { sleep(ms(5)).await });
    event_loop.set_trace(second.clone());
    event_loop.run_until_complete(async { sleep(ms(100)).await });
    assert!(sleeper.is_done());
    let events = second.events();
    let set: Vec<_> = events
        .iter()
        .filter_map(|event| match event.what {
            What::TimerSet { timer, .. } => Some(timer),
            _ => None,
        })
        .collect();
    let is_fired = |event: &&Event<'_>| matches!(event.what, What::TimerFired { .. });
    assert_eq!(events.iter().filter(is_fired).count(), set.len());
    for event in &events {
        if let What::TimerFired { timer, .. } | What::TimerRemoved { timer } = event.what {
            assert!(set.contains(&timer), "{event}");
        }
        assert!(event.cause.is_none_or(|cause| cause < event.seq), "{event}");
    }
}

/// A full queue, with a line of putters and a join beside it, is one object.
#[test]
fn an_object_with_several_lines_is_introduced_once() {
    let events = traced(async {
        let queue = Rc::new(loopwheel::sync::Queue::bounded(1).named("jobs"));
        queue.put(0).await.unwrap();
        let putter = queue.clone();
        let putter = create_task(async move { putter.put(1).await });
        let joiner = queue.clone();
        let joiner = create_task(async move { joiner.join().await });
        common::turns(2).await;
        while let Ok(_item) = queue.get_nowait() {
            queue.task_done().unwrap();
            yield_now().await;
        }
        putter.await.unwrap().unwrap();
        joiner.await.unwrap();
    });
    let introduced: Vec<_> = events
        .iter()
        .filter(|event| matches!(event.what, What::Object { .. }))
        .map(|event| event.what.clone())
        .collect();
    assert_eq!(introduced.len(), 1, "{introduced:?}");
    assert!(matches!(&introduced[0], What::Object { size: Some(1), kind: "queue", .. }));
}

/// An observer may hold what the program uses, too: an operation that tells it something is whole before.
#[test]
fn an_observer_that_takes_a_permit_in_the_middle_of_a_release_leaves_the_count_right() {
    let permits = Rc::new(loopwheel::sync::Semaphore::new(3));
    let (observed, taken) = (permits.clone(), Rc::new(Cell::new(0)));
    let count = taken.clone();
    let (mut event_loop, _) = watched_loop();
    event_loop.set_trace(move |event: &Event<'_>| {
        if let What::Released { .. } = event.what
            && let Ok(permit) = observed.acquire_nowait()
        {
            permit.forget();
            count.set(count.get() + 1);
        }
    });
    event_loop.run(async {
        drop(permits.acquire().await);
        drop(permits.acquire().await);
    });
    assert_eq!(permits.available(), 3 - taken.get());
}

#[test]
fn what_is_told_of_tasks_as_they_complete_grows_with_the_tasks_and_not_with_their_square() {
    let told = |count: u64| {
        let events = traced(async move {
            let mut completed =
                as_completed((0..count).map(|n| create_task(sleep(ms(n)))).collect::<Vec<_>>());
            while completed.next().await.is_some() {}
        });
        let listed = |event: &Event<'_>| match &event.what {
            What::Waits { on: Wait::Tasks { tasks, .. } } => tasks.len(),
            _ => 1,
        };
        events.iter().map(listed).sum::<usize>()
    };
    assert!(told(2_000) < 10 * told(250));
}

#[test]
fn as_tasks_complete_an_observer_is_told_of_each_at_first_and_when_few_are_left() {
    let events = traced(async {
        let tasks: Vec<_> = (1..=70).map(|n| create_task(sleep(ms(n)))).collect();
        let mut completed = as_completed(tasks);
        while completed.next().await.is_some() {}
    });
    let listed = events.iter().filter_map(|event| match &event.what {
        What::Waits { on: Wait::Tasks { tasks, .. } } => Some(tasks.len()),
        _ => None,
    });
    let few = (1..=64).rev();
    assert!(listed.eq([70].into_iter().chain(few)));
}

#[test]
fn each_poll_and_each_delivery_has_a_cause_of_the_right_kind() {
    for seed in 0..100 {
        let _trace = Trace(format!("seed {seed}"));
        let world = World::new(true);
        let events = traced(async {
            let tasks = program(seed, &world, create_task);
            let _ = wait_for(gather(tasks), ms(60)).await;
        });
        for (event, seq) in events.iter().zip(1..) {
            assert_eq!(event.seq, seq);
            let of = |seq: u64| &events[seq as usize - 1];
            let cause = event.cause.map(of);
            assert!(cause.is_none_or(|cause| cause.seq < seq && cause.at <= event.at), "{event}");
            let is_cancel_of = |event: &Event<'_>, task: Id| {
                matches!(event.what, What::CancelRequested { task: to, .. }
                    | What::CancelForwarded { to, .. } if to == task)
            };
            match event.what {
                What::PollBegan { task, cancel } => {
                    // A task whose limit is up, or whose group fails, may be polled at once.
                    let is_at_once = |cause: &Event<'_>| {
                        matches!(cause.what, What::TimerFired { .. } | What::PollBegan { .. })
                            && event.by.is_none()
                    };
                    let is_right = cause.is_some_and(|it| woken(task)(&it.what) || is_at_once(it));
                    assert!(is_right, "{event}, {cause:?}");
                    assert!(cancel.is_none_or(|cancel| is_cancel_of(of(cancel), task)), "{event}");
                }
                What::CancelDelivered { task } => {
                    assert!(cause.is_some_and(|cause| is_cancel_of(cause, task)), "{event}");
                }
                _ => {}
            }
        }
    }
}

#[test]
fn the_poll_by_which_a_limit_cancels_at_once_is_told_like_any_other() {
    let events = traced(async {
        let child = create_task(sleep(ms(50)));
        wait_for(child, ms(10)).await.unwrap_err();
    });
    let of_turn = events.iter().filter(|event| event.turn == 3);
    let told: Vec<_> = of_turn.map(|event| event.what.to_string()).collect();
    assert_eq!(
        told[1..10],
        [
            "The timer 1 fires.",
            "The loop polls Task-1.",
            "A cancel of Task-1 is requested: a time limit of 10ms is up, in task 'main'.",
            "The cancel interrupts what Task-1 waits for.",
            "The cancel of Task-1 is forwarded to Task-2, which it awaits.",
            "Task-2 is woken: it joins the ready queue.",
            "It waits for the end of Task-2.",
            "Task-1 returns Pending.",
            "The loop polls Task-2, to deliver the cancel of 22.",
        ]
    );
}

#[test]
fn each_observer_is_told_of_all_tasks_that_are_waited_for() {
    let (first, second) = (Recorder::new(), Recorder::new());
    let event_loop = EventLoop::builder().clock(VirtualClock::new()).trace(first.clone());
    let mut event_loop = event_loop.build();
    let _waiter = event_loop.create_task(async {
        let all = gather([(); 100].map(|()| create_task(sleep(ms(50)))));
        let polled_again = async {
            for _ in 0..20 {
                sleep(ms(1)).await;
            }
        };
        futures::join!(all, polled_again)
    });
    event_loop.run_until_complete(sleep(ms(5)));
    event_loop.set_trace(second.clone());
    event_loop.run_until_complete(sleep(ms(5)));
    for recorder in [first, second] {
        let listed = |event: &Event<'_>| match &event.what {
            What::Waits { on: Wait::Tasks { tasks, .. } } => tasks.len(),
            _ => 0,
        };
        let listed: Vec<_> = recorder.events().iter().map(listed).filter(|it| *it > 0).collect();
        assert_eq!(listed, [100], "once");
    }
}
