//! What a traced loop tells of locks, queues and the like: each once, with its name, whichever loop uses it.

use std::rc::Rc;

use loopwheel::sync::{Event, Lock};
use loopwheel::trace::{Event as Told, What};
use loopwheel::{EventLoop, Recorder, VirtualClock, create_task, set_trace, yield_now};

/// The objects that this run tells of, in words, and how often it tells of a lock being taken or released.
fn objects_in(recorder: &Recorder) -> (Vec<String>, usize) {
    let events = recorder.events();
    let objects = events.iter().filter(|event| matches!(event.what, What::Object { .. }));
    let taken = |event: &&Told<'_>| matches!(event.what, What::Held { .. } | What::Released { .. });
    (objects.map(|event| event.what.to_string()).collect(), events.iter().filter(taken).count())
}

#[test]
fn an_object_that_two_traced_loops_use_in_turn_is_told_of_once_in_each() {
    let shared = Rc::new(Lock::new());
    let recorders = [Recorder::new(), Recorder::new()];
    let traced = |recorder| EventLoop::builder().clock(VirtualClock::new()).trace(recorder).build();
    let mut loops = recorders.clone().map(traced);
    for _ in 0..3 {
        for event_loop in &mut loops {
            let lock = shared.clone();
            drop(event_loop.create_task(async move { drop(lock.acquire().await) }));
            event_loop.run_until_stalled();
        }
    }
    for recorder in &recorders {
        assert_eq!(objects_in(recorder), (vec!["There is the lock 1.".to_owned()], 6));
    }
}

#[test]
fn an_object_that_gets_a_name_is_told_of_again() {
    let recorder = Recorder::new();
    let event_loop = EventLoop::builder().clock(VirtualClock::new()).trace(recorder.clone());
    event_loop.build().run(async {
        let lock = Lock::new();
        drop(lock.acquire().await);
        let lock = lock.named("late");
        drop(lock.acquire().await);
    });
    let expected = ["There is the lock 1.", "There is the lock 1, 'late'."];
    assert_eq!(objects_in(&recorder).0, expected);
}

#[test]
#[cfg_attr(loopwheel_traced, ignore = "an observer was told of the object before")]
fn an_object_that_was_used_before_the_tracing_is_told_of_from_its_first_waiter_on() {
    for is_named in [false, true] {
        let recorder = Recorder::new();
        let observer = recorder.clone();
        EventLoop::builder().clock(VirtualClock::new()).build().run(async move {
            let lock = Rc::new(if is_named { Lock::new().named("it") } else { Lock::new() });
            drop(lock.acquire().await);
            set_trace(observer);
            yield_now().await;
            let guard = lock.acquire().await;
            let other = lock.clone();
            let task = create_task(async move { drop(other.acquire().await) });
            yield_now().await;
            drop(guard);
            task.await.unwrap();
        });
        assert_eq!(objects_in(&recorder).1, 3); // released, and then held and released
    }
}

#[test]
fn an_event_is_told_of_when_it_changes_and_only_then() {
    let recorder = Recorder::new();
    let event_loop = EventLoop::builder().clock(VirtualClock::new()).trace(recorder.clone());
    event_loop.build().run(async {
        let event = Event::new();
        event.clear(); // it is not set
        event.set();
        event.set();
        event.clear();
        event.clear();
    });
    let events = recorder.events();
    let changes = events.iter().filter_map(|event| match event.what {
        What::Set { .. } => Some("set"),
        What::Cleared { .. } => Some("cleared"),
        _ => None,
    });
    assert_eq!(changes.collect::<Vec<_>>(), ["set", "cleared"]);
}
