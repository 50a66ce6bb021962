//! What foreign code does to a traced loop, and to one whose polls are watched.

mod common;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use common::ms;
use loopwheel::trace::{Event, What};
use loopwheel::{
    EventLoop, Recorder, Sleep, TaskRef, VirtualClock, call_later, create_task, current_task, now,
    set_trace, sleep, yield_now,
};

/// Sets its cell when it is dropped.
struct Sentinel(Rc<Cell<bool>>);

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

// ---- the end of a loop ----

#[test]
fn a_task_that_the_destructor_of_an_observer_spawns_ends_with_the_loop() {
    struct Spawns(Rc<Cell<bool>>);
    impl Drop for Spawns {
        fn drop(&mut self) {
            let sentinel = Sentinel(self.0.clone());
            create_task(async move {
                pending::<()>().await;
                drop(sentinel);
            });
        }
    }
    let is_dropped: Rc<Cell<bool>> = Rc::default();
    let spawns = Spawns(is_dropped.clone());
    let builder = EventLoop::builder().clock(VirtualClock::new());
    drop(builder.trace(move |_: &Event<'_>| _ = &spawns).build());
    assert!(is_dropped.get());
}

/// Sets another observer when it is dropped, so many times in a row. Each holds a task, and so the loop.
struct Sets(u32, TaskRef, Rc<Sentinel>);

impl Drop for Sets {
    fn drop(&mut self) {
        if let Some(left) = self.0.checked_sub(1) {
            let next = Sets(left, self.1.clone(), self.2.clone());
            set_trace(move |_: &Event<'_>| _ = &next);
        }
    }
}

#[test]
fn observers_that_destructors_set_while_the_loop_closes_are_dropped() {
    for in_a_row in [0, 1, 2, 5] {
        let is_dropped: Rc<Cell<bool>> = Rc::default();
        let sentinel = Rc::new(Sentinel(is_dropped.clone()));
        let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
        event_loop.run(async move {
            let sets = Sets(in_a_row, current_task(), sentinel);
            set_trace(move |_: &Event<'_>| _ = &sets);
        });
        drop(event_loop);
        assert!(is_dropped.get(), "{in_a_row}");
    }
}

#[test]
fn a_loop_that_ends_while_its_polls_are_recorded_is_freed() {
    let is_dropped: Rc<Cell<bool>> = Rc::default();
    let sentinel = Sentinel(is_dropped.clone());
    let builder = EventLoop::builder().clock(VirtualClock::new());
    let mut event_loop = builder.exception_handler(move |_| _ = &sentinel).build();
    event_loop.run(async {
        for _ in 0..1_003_500 {
            yield_now().await; // a livelock, after a million
        }
    });
    drop(event_loop);
    assert!(is_dropped.get());
}

// ---- a timer that is replaced while others of its moment fire ----

type Kept = Rc<RefCell<Option<Pin<Box<Sleep>>>>>;

thread_local! {
    static ON_WAKE: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// A foreign waker that calls what is in `ON_WAKE`.
struct Calls;

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        if let Some(call) = ON_WAKE.take() {
            call();
        }
    }
}

/// Two sleeps of a moment are polled with a foreign waker. When the first is over, the second is dropped, and `call` is called.
async fn replace_the_second(call: impl FnOnce() + 'static) {
    let waker = Waker::from(Arc::new(Calls));
    let poll = |sleep: &mut Pin<Box<Sleep>>| {
        assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    };
    let (mut first, mut second) = (Box::pin(sleep(ms(10))), Box::pin(sleep(ms(10))));
    poll(&mut first);
    poll(&mut second);
    let second: Kept = Rc::new(RefCell::new(Some(second)));
    ON_WAKE.set(Some(Box::new(move || {
        let dropped = second.take();
        drop(dropped);
        call();
    })));
    sleep(ms(20)).await;
}

#[test]
fn a_traced_timer_fires_once_and_not_before_it_is_due() {
    let recorder = Recorder::new();
    let builder = EventLoop::builder().clock(VirtualClock::new()).trace(recorder.clone());
    builder.build().run(async {
        replace_the_second(|| _ = call_later(ms(100), || ())).await;
        sleep(ms(300)).await;
    });
    let (mut deadlines, mut fired) = (BTreeMap::new(), BTreeSet::new());
    for event in &recorder.events() {
        match event.what {
            What::TimerSet { timer, deadline, .. } => _ = deadlines.insert(timer, deadline),
            What::TimerFired { timer, .. } => {
                assert!(event.at >= deadlines[&timer], "too early: {event}");
                assert!(fired.insert(timer), "twice: {event}");
            }
            _ => {}
        }
    }
    assert_eq!(fired.len(), 4, "the first, the callback's, and two of main");
}

#[test]
fn a_foreign_waker_is_not_woken_before_its_timer_is_due() {
    thread_local!(static WOKEN: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) });
    struct Notes;
    impl Wake for Notes {
        fn wake(self: Arc<Self>) {
            WOKEN.with_borrow_mut(|woken| woken.push(now().as_nanos() / 1_000_000));
        }
    }
    for is_traced in [false, true] {
        let mut event_loop = EventLoop::builder().clock(VirtualClock::new()).build();
        event_loop.run(async move {
            if is_traced {
                set_trace(|_: &Event<'_>| ());
                yield_now().await;
            }
            let later: Kept = Rc::default();
            let kept = later.clone();
            replace_the_second(move || {
                let mut sleep = Box::pin(sleep(ms(100)));
                let waker = Waker::from(Arc::new(Notes));
                assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                *kept.borrow_mut() = Some(sleep);
            })
            .await;
            sleep(ms(300)).await;
        });
        assert_eq!(WOKEN.take(), [110]);
    }
}
