//! What an exploration counts and says: the failure that is shrunk stays the one that was found, and a run without end is no page without end.

use std::cell::Cell;
use std::env;
use std::fs;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::path::PathBuf;
use std::rc::Rc;

use loopwheel::explore::{self, Fault};
use loopwheel::sync::Event;
use loopwheel::trace::{self, What};
use loopwheel::{EventLoop, TaskBuilder, TestRun, create_task, set_trace, yield_now};

/// Where pages go that are looked at.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("explore-report-{name}"));
    _ = fs::remove_dir_all(&folder);
    folder
}

#[test]
fn shrinking_keeps_to_the_place_of_the_failure() {
    // Both assertions say the same in their first line, and the second one fails with less.
    let main = async || {
        let (one, two) = (explore::choose(1_000), explore::choose(1_000));
        if one > 0 && two > 0 {
            assert_eq!(two, 0);
        }
        assert_eq!(one, 0);
    };
    let found = explore::seeds(10).without_page().try_run(main).unwrap_err();
    assert_eq!(found.shrunk, "u1/1000.u1/1000", "{found}");
}

#[test]
fn a_panic_that_was_caught_is_no_place_of_another_failure() {
    let caught = || {
        assert!(catch_unwind(|| panic!("is")).is_err());
        assert!(catch_unwind(|| panic!("left: 1")).is_err());
    };
    let deadlock = async || {
        caught();
        std::future::pending::<()>().await;
    };
    let found = explore::all(1).without_page().try_run(deadlock).unwrap_err();
    assert_eq!(found.fault, Fault::Deadlock);
    assert!(found.message.contains("is") && !found.message.contains("panicked at"), "{found}");

    // Of a longer text it is no place either.
    let panics = async || -> () {
        caught();
        panic!("left: 1, and this is right: 2");
    };
    let found = explore::all(1).without_page().try_run(panics).unwrap_err();
    assert!(found.message.contains("panicked at") && !found.message.contains("and at"), "{found}");

    // A task that nobody awaits: the place is that of its panic, which is told behind other words.
    let reported = async || {
        caught();
        drop(create_task(async { panic!("of a task") }));
        yield_now().await;
    };
    let found = explore::all(1).without_page().try_run(reported).unwrap_err();
    assert_eq!(found.fault, Fault::Reported);
    assert!(found.message.contains("panicked at") && !found.message.contains("and at"), "{found}");
}

#[test]
fn the_page_of_a_run_without_end_has_its_last_events() {
    let folder = folder("endless");
    let forever = async || -> () {
        loop {
            yield_now().await;
        }
    };
    let exploration = explore::all(1).max_steps(5_000).play_to(&folder);
    let found = exploration.try_run(forever).unwrap_err();
    assert_eq!(found.fault, Fault::Endless);
    let page = fs::read_to_string(found.page.as_ref().unwrap()).unwrap();
    let (_, run) = page.split_once("id=\"run\">").unwrap();
    let run: serde_json::Value =
        serde_json::from_str(run.split_once("</script>").unwrap().0).unwrap();
    assert_eq!(run["events"].as_array().unwrap().len(), 2_000);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_run_without_end_is_told_with_measure() {
    // With `pct` the loop may have the highest priority: then each of its polls is chosen, and the run fails only with all of them.
    let starves = async || {
        let done = Rc::new(Event::new());
        let sets = done.clone();
        let task = create_task(async move { sets.set() });
        while !done.is_set() {
            yield_now().await;
        }
        task.await.unwrap();
    };
    let exploration = explore::pct(1, 20).max_steps(800).without_page();
    let found = exploration.try_run(starves).unwrap_err();
    assert_eq!(found.fault, Fault::Endless);
    assert_eq!(found.schedule.len(), 801);
    let told = found.to_string();
    assert!(told.matches("\n  >").count() <= 42 && told.len() < 10_000, "{}", told.len());
    assert!(told.contains(" more lines with `>` (`found.schedule` has all)"), "{told}");
    // Its choices are longer than a line may be; its seed is not.
    let seed = format!("LOOPWHEEL_EXPLORE=seed={} ", found.seed.unwrap());
    assert!(found.rerun.starts_with(&seed) && found.shrunk.len() > 2_000, "{}", found.rerun);
}

#[test]
fn choices_of_many_options_are_shrunk() {
    let main = async || {
        let sum = (0..4).fold(0_usize, |sum, _| sum.saturating_add(explore::choose(usize::MAX)));
        assert_eq!(sum, 0);
    };
    let found = explore::seeds(1).without_page().try_run(main).unwrap_err();
    assert_eq!((found.fault, found.schedule.len()), (Fault::Panicked, 2), "{found}");
}

#[test]
fn a_name_of_tasks_to_cancel_that_no_task_has_is_no_silent_one() {
    let of = |exploration: explore::Exploration, name: &'static str| {
        let main = async move || _ = TaskBuilder::new().name("worker").create_task(async {}).await;
        let run = || exploration.cancels_only(name).cancels_only("worker").run(main).orders;
        catch_unwind(AssertUnwindSafe(run)).map_err(|it| {
            it.downcast::<String>()
                .map_or_else(|it| (*it.downcast::<&str>().unwrap()).to_owned(), |it| *it)
        })
    };
    assert_eq!(of(explore::all(100).cancels(1), "worker"), Ok(2));
    let told = of(explore::all(100).cancels(1), "typo").unwrap_err();
    assert!(told.contains("in none of the 2 orders could a task of the name [\"typo\"]"), "{told}");
    let told = of(explore::all(100), "worker").unwrap_err();
    assert!(told.contains("add `.cancels(1)`"), "{told}");
}

#[test]
fn what_is_called_wrongly_fails_at_the_line_of_the_call() {
    let line = Location::caller().line();
    let chooses = async || _ = explore::choose(0);
    let explores = async || drop(explore::all(1).run(async || ()));
    let message_of = |found: Box<explore::Found>| found.message;
    let told = message_of(explore::all(1).without_page().try_run(chooses).unwrap_err());
    assert!(told.contains("`choose(0)`: a choice needs an option"), "{told}");
    assert!(told.contains(&format!("explore_report.rs:{}:", line + 1)), "{told}");
    let told = message_of(explore::all(1).without_page().try_run(explores).unwrap_err());
    assert!(told.contains("cannot run inside"), "{told}");
    assert!(told.contains(&format!("explore_report.rs:{}:", line + 2)), "{told}");
}

/// The order in which two tasks run.
async fn order_of_two() -> String {
    let seen = Rc::new(Cell::new(String::new()));
    let tasks = ["a", "b"].map(|name| {
        let seen = seen.clone();
        create_task(async move { seen.set(seen.take() + name) })
    });
    for task in tasks {
        task.await.unwrap();
    }
    seen.take()
}

#[test]
fn the_run_that_others_are_compared_with_is_not_counted() {
    let same = || async { order_of_two().await.len() };
    assert_eq!(explore::seeds(10).deterministic().run(same).orders, 10);
    assert_eq!(explore::pct(2, 10).deterministic().run(same).orders, 10);
    let exploration = explore::seeds(10).deterministic().without_page();
    let found = exploration.try_run(order_of_two).unwrap_err();
    assert_eq!(found.fault, Fault::OutcomeDiffers);
    assert_eq!(found.order, found.seed.unwrap() + 1, "{found}");
}

#[test]
fn pct_reports_a_failure_of_the_run_that_it_measures() {
    let runs = Cell::new(0);
    let main = || {
        runs.set(runs.get() + 1);
        async { assert_ne!(order_of_two().await, "ab", "the normal order") }
    };
    let found = explore::pct(1, 0).without_page().try_run(main).unwrap_err();
    assert!(found.message.contains("the normal order"), "{found}");
    assert_eq!((found.order, found.seed, &*found.shrunk), (1, None, "0"));
}

/// A test whose loop has an observer, which counts polls.
fn observed(polls: &Rc<Cell<u32>>) -> impl Fn() -> TestRun + 'static {
    let polls = polls.clone();
    move || {
        let polls = polls.clone();
        let counts = move |event: &trace::Event| {
            if let What::PollBegan { .. } = event.what {
                polls.set(polls.get() + 1);
            }
        };
        TestRun::new().event_loop(EventLoop::builder().trace(counts))
    }
}

#[test]
fn an_observer_of_the_test_is_told_of_each_run() {
    let polls = Rc::new(Cell::new(0));
    explore::all(1).test(observed(&polls)).run(order_of_two);
    let of_one_run = polls.take();
    assert!(of_one_run > 2);
    explore::all(1).only_shares_objects().test(observed(&polls)).run(order_of_two);
    assert_eq!(polls.take(), of_one_run);

    // The run that fails, and once more with a recorder.
    let folder = folder("observed");
    let fails = || async { assert_eq!(order_of_two().await, "") };
    let found = explore::all(1).play_to(&folder).test(observed(&polls)).try_run(fails).unwrap_err();
    assert_eq!(polls.take(), 2 * of_one_run);
    assert!(found.page.is_some());
    fs::remove_dir_all(folder).unwrap();
}

/// What comes of the cancel of a task that may have ended.
async fn cancel_of_a_task() -> bool {
    let task = Rc::new(TaskBuilder::new().name("b").create_task(async {}));
    let cancels = task.clone();
    create_task(async move { cancels.cancel() }).await.unwrap()
}

#[test]
fn what_a_run_does_with_its_trace_takes_no_orders_away() {
    let explore = |begins: fn()| {
        let polls = Rc::new(Cell::new(0));
        let exploration = explore::all(100).only_shares_objects().must_be_complete();
        let summary = exploration.test(observed(&polls)).run(move || async move {
            begins();
            cancel_of_a_task().await
        });
        (summary.outcomes, polls.get())
    };
    let (outcomes, polls) = explore(|| ());
    assert_eq!(outcomes.len(), 2);
    let (stopped, told) = explore(trace::stop);
    assert_eq!(stopped, outcomes);
    assert!(told > 0 && told < polls, "its own half has ended: {told} of {polls}");
    thread_local!(static TOLD: Cell<u32> = const { Cell::new(0) });
    let (replaced, before) = explore(|| set_trace(|_: &trace::Event| TOLD.set(TOLD.get() + 1)));
    assert_eq!((replaced, before), (outcomes, told));
    assert!(TOLD.take() > 0, "it is told from the next turn on");
}

#[test]
fn the_page_has_the_whole_run_whatever_the_run_does_with_its_trace() {
    let polls_in = |begins: fn()| {
        let folder = folder("stopped");
        let fails = move || async move {
            begins();
            assert_eq!(order_of_two().await, "");
        };
        let found = explore::all(1).play_to(&folder).try_run(fails).unwrap_err();
        let page = fs::read_to_string(found.page.as_ref().unwrap()).unwrap();
        let (_, run) = page.split_once("id=\"run\">").unwrap();
        let run: serde_json::Value =
            serde_json::from_str(run.split_once("</script>").unwrap().0).unwrap();
        fs::remove_dir_all(folder).unwrap();
        run["events"].as_array().unwrap().len()
    };
    let whole = polls_in(|| ());
    assert_eq!(polls_in(trace::stop), whole);
    assert_eq!(polls_in(|| set_trace(|_: &trace::Event| ())), whole);
}
