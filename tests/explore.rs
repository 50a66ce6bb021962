//! Exploration: the orders in which a test can run, what is chosen in them, and what is found.

#[path = "explore/shared.rs"]
mod shared;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use futures::future::ready;
use loopwheel::explore::{self, Fault};
use loopwheel::sync::{Event, Lock, Queue, Semaphore};
use loopwheel::{
    Clock, EventLoop, TaskBuilder, TestRun, call_soon, catch_cancel, create_task, now, run_virtual,
    sleep, try_create_task, wait_for, yield_now,
};

use shared::{fault_of, message_of, opposite_locks, order_of};

#[test]
fn all_tries_each_order_once_and_says_that_these_were_all() {
    let summary = explore::all(10_000).run(|| order_of(&["a", "b", "c"]));
    assert!(summary.is_complete);
    let orders: Vec<&str> = summary.outcomes.keys().map(String::as_str).collect();
    assert_eq!(orders, [r#""abc""#, r#""acb""#, r#""bac""#, r#""bca""#, r#""cab""#, r#""cba""#]);
    assert!(!explore::all(3).run(|| order_of(&["a", "b", "c"])).is_complete);
}

#[test]
fn the_first_order_is_the_normal_one() {
    let normal = run_virtual(order_of(&["a", "b", "c", "d"]));
    let summary = explore::all(1).run(|| order_of(&["a", "b", "c", "d"]));
    assert_eq!(summary.outcomes.into_keys().collect::<Vec<_>>(), [format!("{normal:?}")]);
}

#[test]
fn a_task_that_was_woken_just_now_may_run_before_one_that_is_ready_for_long() {
    let program = || async {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let note = |name: &'static str| {
            let seen = seen.clone();
            async move { seen.borrow_mut().push(name) }
        };
        let event = Rc::new(Event::new());
        let woken = {
            let (event, note) = (event.clone(), note("woken"));
            create_task(async move {
                event.wait().await;
                note.await;
            })
        };
        yield_now().await;
        let ready = create_task(note("ready"));
        event.set();
        ready.await.unwrap();
        woken.await.unwrap();
        seen.take()
    };
    let summary = explore::all(10_000).run(program);
    assert!(summary.is_complete && summary.outcomes.len() == 2, "{summary}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    let outcomes = || {
        let main = || order_of(&["a", "b", "c", "d", "e", "f"]);
        explore::seeds(20).run(main).outcomes.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(outcomes(), outcomes());
    // Golden: it is the same on every machine.
    let summary = explore::seeds(1).run(|| order_of(&["a", "b", "c", "d", "e", "f"]));
    assert_eq!(summary.outcomes.into_keys().collect::<Vec<_>>(), [r#""acfbde""#]);
}

#[test]
fn a_choice_of_the_test_is_zero_without_an_exploration_and_every_option_with_one() {
    let main = || async { (explore::choose(2), explore::choose(1), explore::choose(3)) };
    assert_eq!(run_virtual(main()), (0, 0, 0));
    assert_eq!(explore::choose(7), 0);
    let summary = explore::all(100).run(main);
    assert_eq!((summary.orders, summary.outcomes.len()), (6, 6));
    assert!(message_of(|| _ = explore::choose(0)).contains("a choice needs an option"));
}

#[test]
fn all_that_a_test_fails_by_is_found() {
    let found = fault_of(explore::all(1_000), opposite_locks);
    assert_eq!(found.fault, Fault::Deadlock);
    assert!(found.message.contains("a cycle: "), "with the tree: {found}");

    let found = fault_of(explore::all(100), async || {
        let event = Rc::new(Event::new());
        let waits = event.clone();
        drop(create_task(async move { waits.wait().await }));
        if explore::choose(2) == 0 {
            event.set();
            yield_now().await;
        }
    });
    assert_eq!((found.fault, &*found.choices), (Fault::TasksLeft, "u1/2"), "{found}");

    let found = fault_of(explore::all(100), async || {
        let chosen = explore::choose(2);
        let done = Rc::new(Event::new());
        let is_done = done.clone();
        let result = if chosen == 1 { Err("refused") } else { Ok(()) };
        let task = try_create_task(async move { result });
        task.add_done_callback(move |_| is_done.set());
        drop(task);
        done.wait().await;
    });
    assert_eq!(found.fault, Fault::Reported);
    assert!(found.message.contains("refused"), "{found}");

    let found = fault_of(explore::all(10).max_steps(50), async || {
        loop {
            yield_now().await;
        }
    });
    assert_eq!(found.fault, Fault::Endless);
    assert!(found.message.contains("has not ended after 50 polls"), "{found}");

    let found = fault_of(explore::all(10), async || -> () { panic!("at once") });
    assert_eq!(found.fault, Fault::Panicked);
    assert!(found.message.contains("panicked at tests") && found.order == 1, "{found}");
}

#[test]
fn what_else_may_panic_is_a_failure_of_that_run() {
    struct NoDebug;
    impl fmt::Debug for NoDebug {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("it cannot be shown")
        }
    }
    #[derive(Debug)]
    struct NoDrop;
    impl Drop for NoDrop {
        fn drop(&mut self) {
            assert!(std::thread::panicking(), "it cannot be dropped");
        }
    }
    let told = fault_of(explore::all(10), async || NoDebug).to_string();
    assert!(
        told.contains("the `Debug` of what `main` has returned panicked: it cannot be shown"),
        "{told}"
    );
    let told = fault_of(explore::all(10), async || NoDrop).to_string();
    assert!(told.contains("the destructor of what `main` has returned panicked"), "{told}");
    let told =
        fault_of(explore::all(10), async || drop(create_task(async { NoDrop }).await)).to_string();
    assert!(told.contains("it cannot be dropped"), "{told}");

    // The closure itself, which is called in each run.
    let calls = Cell::new(0);
    let main = || {
        calls.set(calls.get() + 1);
        assert!(calls.get() < 3, "called for the third time");
        async { explore::choose(5) }
    };
    let found = explore::all(10).without_page().try_run(main).unwrap_err();
    assert!(found.message.contains("called for the third time") && found.order == 3, "{found}");
}

#[test]
fn a_program_that_does_not_repeat_itself_is_refused_where_it_differs() {
    let runs = Cell::new(0_u32);
    let main = || {
        runs.set(runs.get() + 1);
        let more = runs.get() > 1;
        async move {
            if more {
                explore::choose(3);
            }
            order_of(&["a", "b", "c"]).await
        }
    };
    let found = explore::all(100).try_run(main).unwrap_err();
    assert_eq!(found.fault, Fault::NotRepeatable);
    let told = found.to_string();
    assert!(told.contains("choice 1 was one of 3 (ready: 'a', 'b', 'c')"), "{told}");
    assert!(told.contains("it is now one of 3 (of `choose(3)`)"), "{told}");

    let runs = Cell::new(0_u32);
    let main = || {
        runs.set(runs.get() + 1);
        let fewer = runs.get() > 1;
        async move { if fewer { String::new() } else { order_of(&["a", "b"]).await } }
    };
    let told = explore::all(100).try_run(main).unwrap_err().to_string();
    assert!(told.contains("the run has ended after 0 choices"), "{told}");
}

#[test]
fn an_exploration_in_a_loop_or_in_another_one_is_refused() {
    let told = message_of(|| run_virtual(async { drop(explore::all(1).run(async || ())) }));
    assert!(told.contains("cannot run inside a running loop"), "{told}");
    struct Explores;
    impl fmt::Debug for Explores {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            drop(explore::all(1).run(async || ()));
            f.write_str("explored")
        }
    }
    let told = fault_of(explore::all(1), async || Explores).to_string();
    assert!(told.contains("cannot run inside another one"), "{told}");
    drop(explore::all(1).run(async || ())); // and the next one runs
}

#[test]
fn a_run_leaves_nothing_to_the_next() {
    let alive = Rc::new(());
    let main = || {
        let held = alive.clone();
        async move {
            let kept = held.clone();
            drop(create_task(async move {
                pending::<()>().await;
                drop(kept);
            }));
            // A task and a value that know each other.
            let ring = Rc::new(RefCell::new(None));
            let inner = (ring.clone(), held);
            *ring.borrow_mut() = Some(create_task(async move {
                yield_now().await;
                drop(inner);
            }));
            yield_now().await;
        }
    };
    let summary = explore::all(50).test(|| TestRun::new().allow_tasks_left()).run(main);
    assert!(summary.orders > 3, "{summary}");
    assert_eq!(Rc::strong_count(&alive), 1);
}

#[test]
fn a_choice_in_a_destructor_is_one_too() {
    struct Chooses(Rc<Cell<usize>>);
    impl Drop for Chooses {
        fn drop(&mut self) {
            self.0.set(explore::choose(2));
        }
    }
    let main = async || {
        let chosen = Rc::new(Cell::new(9));
        drop(Chooses(chosen.clone()));
        chosen.get()
    };
    assert_eq!(explore::all(10).run(main).outcomes.len(), 2);
    // What the loop drops at its end may ask as well; and what is returned is dropped after it.
    let main = async || {
        let chosen = Rc::new(Cell::new(9));
        let chooses = Chooses(chosen);
        drop(create_task(async move {
            let _chooses = chooses;
            pending::<()>().await;
        }));
        yield_now().await;
    };
    let summary = explore::all(100).test(|| TestRun::new().allow_tasks_left()).run(main);
    assert!(summary.is_complete, "{summary}");
}

#[test]
fn the_settings_of_a_test_hold_in_each_run() {
    let main = async || {
        let panics = create_task(async { panic!("on purpose") });
        let done = Rc::new(Event::new());
        let is_done = done.clone();
        panics.add_done_callback(move |_| is_done.set());
        drop(panics);
        done.wait().await;
        order_of(&["a", "b"]).await
    };
    let summary = explore::all(100).test(|| TestRun::new().expect_report("on purpose")).run(main);
    assert!(summary.orders > 2 && summary.is_complete, "{summary}");

    let on_real_time = || TestRun::new().event_loop(EventLoop::builder().clock(Clock::monotonic()));
    let told = explore::all(1).test(on_real_time).try_run(async || ()).unwrap_err().to_string();
    assert!(told.contains("an exploration needs virtual time"), "{told}");
}

#[test]
fn a_summary_is_one_paragraph() {
    let summary = explore::all(100).run(|| order_of(&["a", "b"]));
    let told = summary.to_string();
    assert!(told.starts_with("3 orders, which are all; 2 distinct results; "), "{told}");
    assert!(told.contains("\n  \"ab\": 2 orders"), "{told}");
}

#[test]
fn a_cancel_comes_before_each_poll_of_each_task_and_of_none_but_main() {
    // What came of the worker, which is polled three times: how far it has come.
    let main = async || {
        let steps = Rc::new(Cell::new(0));
        let counted = steps.clone();
        let worker = TaskBuilder::new().name("worker").create_task(async move {
            for _ in 0..2 {
                counted.set(counted.get() + 1);
                yield_now().await;
            }
            counted.set(3);
        });
        let ended = worker.await.is_ok();
        (ended, steps.get())
    };
    let summary = explore::all(1_000).cancels(1).run(main);
    let outcomes: Vec<&str> = summary.outcomes.keys().map(String::as_str).collect();
    assert_eq!(outcomes, ["(false, 0)", "(false, 1)", "(false, 2)", "(true, 3)"], "{summary}");
    assert!(summary.is_complete);
    assert_eq!(explore::all(1_000).run(main).outcomes.len(), 1);
    assert!(explore::all(1_000).cancels(2).cancels_only("worker").run(main).outcomes.len() == 4);
}

#[test]
fn a_task_that_waits_is_cancelled_too_and_one_that_has_the_lock_gives_it_back() {
    let main = async || {
        let lock = Rc::new(Lock::new());
        let take = |name: &str| {
            let lock = lock.clone();
            TaskBuilder::new().name(name).create_task(async move {
                let _held = lock.acquire().await;
                sleep(Duration::from_secs(1)).await;
            })
        };
        let tasks = [take("a"), take("b"), take("c")];
        let mut ended = 0;
        for task in tasks {
            ended += usize::from(task.await.is_ok());
        }
        assert!(!lock.is_locked(), "it was given back, whoever was cancelled");
        ended
    };
    let summary = explore::all(20_000).cancels(1).run(main);
    assert_eq!(summary.outcomes.keys().collect::<Vec<_>>(), ["2", "3"], "{summary}");
    let summary = explore::seeds(300).cancels(3).run(main);
    assert!(summary.outcomes.len() >= 3, "{summary}");
}

#[test]
fn a_permit_that_a_cancel_loses_is_found_and_the_cancel_is_named() {
    let main = async || {
        let permits = Rc::new(Semaphore::new(1));
        let worker = {
            let permits = permits.clone();
            TaskBuilder::new().name("worker").create_task(async move {
                permits.acquire().await.forget();
                yield_now().await;
                permits.release();
            })
        };
        _ = worker.await;
        assert_eq!(permits.available(), 1);
    };
    let found = fault_of(explore::all(1_000).cancels(1), main);
    assert!(
        found.schedule.contains(&"a cancel of 'worker' before its 2nd poll".to_owned()),
        "{found}"
    );
    assert!(found.shrunk.contains('c'), "{found}");
}

#[test]
fn a_limit_expires_at_a_poll_if_time_passes_early() {
    let main = async || {
        let body = async {
            yield_now().await;
            yield_now().await;
        };
        let limited = wait_for(body, Duration::from_secs(1));
        (limited.await.is_ok(), now().as_secs_f64())
    };
    assert_eq!(explore::all(1_000).run(main).outcomes.len(), 1);
    let summary = explore::all(1_000).early_timers(1).run(main);
    let outcomes: Vec<&str> = summary.outcomes.keys().map(String::as_str).collect();
    assert_eq!(outcomes, ["(false, 1.0)", "(true, 0.0)"], "{summary}");
}

#[test]
fn limits_of_the_same_moment_expire_in_each_order() {
    // Each limit's timer polls its task at once, because that awaits one task: so the order of the timers is seen.
    let main = async || {
        let seen = Rc::new(RefCell::new(String::new()));
        let tasks = ["a", "b", "c"].map(|name| {
            let seen = seen.clone();
            create_task(async move {
                let slow = create_task(pending::<()>());
                let body = async {
                    struct Noted(Rc<RefCell<String>>, &'static str);
                    impl Drop for Noted {
                        fn drop(&mut self) {
                            self.0.borrow_mut().push_str(self.1);
                        }
                    }
                    let _noted = Noted(seen, name);
                    _ = slow.await;
                };
                _ = wait_for(body, Duration::from_secs(1)).await;
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
        seen.take()
    };
    let summary = explore::seeds(400).run(main);
    assert_eq!(summary.outcomes.len(), 6, "{summary}");
}

/// Limits that were set one after the other, and are up at the same moment: which were up, in their order.
async fn limits_of_one_moment() -> String {
    let seen = Rc::new(RefCell::new(String::new()));
    let tasks = [(1, "a"), (2, "b"), (3, "c")].map(|(millis, name)| {
        let seen = seen.clone();
        TaskBuilder::new().name(name).create_task(async move {
            sleep(Duration::from_millis(millis)).await;
            let slow = create_task(pending::<()>());
            let body = async {
                let _noted = Noted(seen, name);
                _ = slow.await;
            };
            _ = wait_for(body, Duration::from_millis(10 - millis)).await;
        })
    });
    for task in tasks {
        task.await.unwrap();
    }
    return seen.take();

    struct Noted(Rc<RefCell<String>>, &'static str);
    impl Drop for Noted {
        fn drop(&mut self) {
            self.0.borrow_mut().push_str(self.1);
        }
    }
}

#[test]
fn limits_that_were_set_in_one_order_expire_in_each_and_a_schedule_names_their_tasks() {
    let summary = explore::seeds(400).run(limits_of_one_moment);
    assert_eq!(summary.outcomes.len(), 6, "{summary}");
    let main = async || assert_ne!(limits_of_one_moment().await, "cab");
    let found = fault_of(explore::seeds(400), main);
    assert!(found.schedule.iter().any(|step| step.contains("timer of 'c'")), "{found}");
}

#[test]
fn wake_ups_from_another_thread_are_taken_in_each_order() {
    let main = async || {
        let seen = Rc::new(RefCell::new(String::new()));
        let (to_a, a) = futures::channel::oneshot::channel::<()>();
        let (to_b, b) = futures::channel::oneshot::channel::<()>();
        let tasks = [("a", a), ("b", b)].map(|(name, told)| {
            let seen = seen.clone();
            create_task(async move {
                told.await.unwrap();
                seen.borrow_mut().push_str(name);
            })
        });
        yield_now().await;
        yield_now().await;
        yield_now().await;
        // Both wake-ups are posted before the loop goes on: when they come is not left to chance.
        std::thread::spawn(move || {
            to_a.send(()).unwrap();
            to_b.send(()).unwrap();
        })
        .join()
        .unwrap();
        for task in tasks {
            task.await.unwrap();
        }
        seen.take()
    };
    let summary = explore::all(5_000).run(main);
    assert_eq!(summary.outcomes.len(), 2, "{summary}");
}

#[test]
fn callbacks_and_groups_and_queues_take_any_order() {
    let main = async || {
        let queue = Rc::new(Queue::bounded(2));
        let group = {
            let queue = queue.clone();
            loopwheel::TaskGroup::<()>::scope(async move |group| {
                for number in 0..2 {
                    let queue = queue.clone();
                    group.create_task(async move { queue.put(number).await.unwrap() });
                }
            })
        };
        call_soon(|| ());
        group.await.unwrap();
        let mut got = [queue.get().await.unwrap(), queue.get().await.unwrap()];
        got.sort_unstable();
        got
    };
    let summary = explore::all(20_000).run(main);
    assert!(summary.is_complete && summary.outcomes.len() == 1, "{summary}");
    let summary = explore::seeds(300).cancels(2).early_timers(1).test(TestRun::new).try_run(main);
    // A cancel of a child is no failure of the group; but then an item is missing, and main waits for ever.
    assert_eq!(summary.unwrap_err().fault, Fault::Deadlock);
}

#[test]
fn pct_finds_what_is_rare_and_each_seed_is_the_same() {
    // Depth 2: the one write is to come between the two reads of the other, among many tasks that are in the way.
    let main = async || {
        let cell = Rc::new(Cell::new(0));
        let reader = {
            let cell = cell.clone();
            create_task(async move {
                let before = cell.get();
                yield_now().await;
                assert_eq!(before, cell.get(), "torn");
            })
        };
        let mut tasks = vec![reader];
        for _ in 0..10 {
            tasks.push(create_task(async {
                for _ in 0..5 {
                    yield_now().await;
                }
            }));
        }
        tasks.push(create_task({
            let cell = cell.clone();
            async move {
                for _ in 0..10 {
                    yield_now().await;
                }
                cell.set(1);
            }
        }));
        for task in tasks {
            task.await.unwrap();
        }
    };
    run_virtual(main());
    let found = fault_of(explore::pct(2, 3_000), main);
    assert!(found.message.contains("torn"), "{found}");
    let again = fault_of(explore::pct(2, 3_000), main);
    assert_eq!((found.seed, &found.choices), (again.seed, &again.choices));
    assert!(message_of(|| drop(explore::pct(0, 1))).contains("no fault has depth 0"));
}

#[test]
fn a_result_that_depends_on_the_order_is_found_if_it_must_not() {
    for exploration in [explore::all(100), explore::seeds(20), explore::pct(1, 20)] {
        let found = fault_of(exploration.deterministic(), async || order_of(&["a", "b"]).await);
        assert_eq!(found.fault, Fault::OutcomeDiffers);
        let told = r#"the result depends on the order: the first order gives "ab", this one "ba""#;
        assert!(found.message.contains(told), "{found}");
    }
    let same = async || order_of(&["a", "b"]).await.len();
    assert!(explore::all(100).deterministic().run(same).is_complete);
}

// ---- What docs/exploring.md warns of

#[test]
fn a_select_with_dice_of_its_own_is_not_repeatable_and_a_biased_one_is() {
    // Two branches are ready, and what is chosen next depends on which of them is taken.
    let by_dice = || async {
        for _ in 0..8 {
            let (mut a, mut b) = (ready(()), ready(()));
            futures::select! { () = a => explore::choose(2), () = b => explore::choose(3) };
        }
    };
    let found = explore::all(1_000).without_page().try_run(by_dice).unwrap_err();
    assert_eq!(found.fault, Fault::NotRepeatable, "{found}");
    let biased = || async {
        for _ in 0..8 {
            let (mut a, mut b) = (ready(()), ready(()));
            futures::select_biased! { () = a => explore::choose(2), () = b => explore::choose(3) };
        }
    };
    assert_eq!(explore::all(1_000).must_be_complete().run(biased).orders, 256);
}

#[test]
fn a_loop_of_yield_now_has_no_last_order_and_a_wait_has_one() {
    async fn waits(is_in_loop: bool) {
        let done = Rc::new(Event::new());
        let sets = done.clone();
        let task = create_task(async move { sets.set() });
        while is_in_loop && !done.is_set() {
            yield_now().await;
        }
        done.wait().await;
        task.await.unwrap();
    }
    let found = explore::all(100).must_be_complete().without_page().try_run(|| waits(true));
    assert_eq!(found.unwrap_err().fault, Fault::Incomplete, "each order is a poll longer");
    let found = explore::pct(1, 20).max_steps(1_000).without_page().try_run(|| waits(true));
    assert_eq!(found.unwrap_err().fault, Fault::Endless, "the loop has the highest priority");
    explore::seeds(50).run(|| waits(true));
    explore::all(100).must_be_complete().run(|| waits(false));
}

#[test]
fn a_cancel_in_a_sleep_comes_when_it_has_begun_and_when_something_else_happens() {
    // A sleep of ten seconds: when it ends, if it is cancelled.
    let main = |other: u64| async move {
        let worker = TaskBuilder::new().name("worker").create_task(async {
            let slept = catch_cancel(sleep(Duration::from_secs(10))).await;
            (slept.is_ok(), now().as_secs_f64())
        });
        sleep(Duration::from_secs(other)).await;
        worker.await.ok()
    };
    let outcomes = |other| explore::all(100).cancels(1).run(move || main(other)).outcomes;
    let (at_five, at_once) = ("Some((false, 5.0))", "Some((false, 0.0))");
    assert!(outcomes(10).contains_key(at_once), "before time moves");
    assert!(!outcomes(10).contains_key(at_five), "nothing happens then");
    assert!(outcomes(5).contains_key(at_five), "main is polled then");
}

#[test]
fn a_foreign_future_that_is_ready_hears_no_cancel_in_that_poll() {
    let main = || async {
        let (to, from) = futures::channel::oneshot::channel();
        let got = Rc::new(Cell::new(0));
        let noted = got.clone();
        let worker = create_task(async move {
            noted.set(from.await.unwrap());
        });
        yield_now().await;
        _ = to.send(7); // if it was cancelled before, nobody takes it
        (worker.await.is_ok(), got.get())
    };
    let summary = explore::all(1_000).cancels(1).must_be_complete().run(main);
    assert!(summary.outcomes.contains_key("(false, 7)"), "it has gone on: {summary}");
    assert!(summary.outcomes.contains_key("(false, 0)"), "it has waited: {summary}");
}
