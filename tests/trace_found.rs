//! What foreign code does to a traced loop, and to one whose polls are watched.

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;

use loopwheel::trace::Event;
use loopwheel::{
    EventLoop, TaskRef, VirtualClock, create_task, current_task, set_trace, yield_now,
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
