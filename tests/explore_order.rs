//! Exploration: which order is run next, and what can come between two polls.

use std::fmt;
use std::rc::Rc;

use loopwheel::explore::{self, Exploration, Found};
use loopwheel::sync::Event;
use loopwheel::{create_task, run_virtual, yield_now};

fn fault_of<T: fmt::Debug>(exploration: Exploration, main: impl AsyncFn() -> T) -> Box<Found> {
    exploration.without_page().try_run(|| main()).unwrap_err()
}

// ---- Priorities

#[test]
fn pct_lets_a_task_that_falls_later_run_before_one_that_fell_earlier() {
    // Depth 3: a1 before b1, and a2 before b2 before b3. So the last task falls after a1, and another one falls after that, and must
    // still run before it.
    let main = async || {
        let log = Rc::new(std::cell::RefCell::new(Vec::new()));
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
