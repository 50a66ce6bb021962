//! Exploration: the orders in which a test can run, what is found in them, and how it is said.

use std::cell::{Cell, RefCell};
use std::env;
use std::fmt;
use std::fs;
use std::future::pending;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::rc::Rc;
use std::time::Duration;

use futures::future::ready;
use loopwheel::explore::{self, Exploration, Fault, Found};
use loopwheel::sync::{Event, Lock, Queue, Semaphore};
use loopwheel::{
    Clock, EventLoop, TaskBuilder, TestRun, call_soon, catch_cancel, create_task, now, run_virtual,
    sleep, try_create_task, wait_for, yield_now,
};

/// Tasks with these names, each of which notes its name when it runs. Returns the order.
async fn order_of(names: &'static [&'static str]) -> String {
    let seen = Rc::new(RefCell::new(String::new()));
    let mut tasks = Vec::new();
    for name in names {
        let seen = seen.clone();
        let run = async move { seen.borrow_mut().push_str(name) };
        tasks.push(TaskBuilder::new().name(*name).create_task(run));
    }
    for task in tasks {
        task.await.unwrap();
    }
    seen.take()
}

/// Where pages go that are looked at.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("explore-{name}"));
    _ = fs::remove_dir_all(&folder);
    folder
}

fn message_of(run: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
    let text = payload.downcast_ref::<String>().cloned();
    text.or(payload.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default()
}

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

/// Three deposits, of which two read before either has written.
async fn deposits() {
    async fn deposit(account: Rc<Cell<u32>>) {
        let before = account.get();
        yield_now().await;
        account.set(before + 10);
    }
    let account = Rc::new(Cell::new(0));
    for names in [["ann", "bob"], ["cid", "dan"]] {
        let tasks = names.map(|name| {
            let account = account.clone();
            TaskBuilder::new().name(name).create_task(async move {
                // Usually the first is done before the second begins.
                if name == "bob" || name == "dan" {
                    yield_now().await;
                    yield_now().await;
                }
                deposit(account).await;
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
    }
    assert_eq!(account.get(), 40, "a deposit was lost");
}

/// Without paths of this machine.
fn neutral(text: &str, folder: &std::path::Path) -> String {
    text.replace(&folder.display().to_string(), "FOLDER").replace('\\', "/")
}

#[test]
fn a_failure_is_shrunk_and_told_in_words() {
    run_virtual(deposits()); // in the normal order it is right
    let folder = folder("golden");
    let found = explore::seeds(200).play_to(&folder).try_run(deposits).unwrap_err();
    let told = neutral(&found.to_string(), &folder);
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/explore/found.txt");
    if env::var_os("LOOPWHEEL_BLESS").is_some() {
        fs::write(golden, format!("{told}\n")).unwrap();
    }
    assert_eq!(format!("{told}\n"), fs::read_to_string(golden).unwrap().replace("\r\n", "\n"));
    assert_eq!(found.fault, Fault::Panicked);
    assert!(found.seed.is_some() && found.shrunk.len() <= found.choices.len());
    let page = fs::read_to_string(found.page.as_ref().unwrap()).unwrap();
    assert!(page.contains("before 'ann'") || page.contains("which was woken first"), "the notes");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_shrunk_choices_fail_in_the_same_way() {
    let folder = folder("shrunk");
    for found in [
        explore::seeds(200).play_to(&folder).try_run(deposits).unwrap_err(),
        explore::all(2_000).play_to(&folder).try_run(deposits).unwrap_err(),
    ] {
        let again = child("child_deposits", &found.shrunk);
        assert!(again.contains("a deposit was lost"), "{again}");
        assert!(again.contains(&format!("LOOPWHEEL_EXPLORE={} ", found.shrunk)), "{again}");
        let again = child("child_deposits", &found.choices);
        assert!(again.contains("a deposit was lost"), "{again}");
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
#[ignore = "it is run by other tests, with a schedule in its environment"]
fn child_deposits() {
    explore::seeds(200).without_page().run(deposits);
}

/// Runs an ignored test of this file with this schedule, and returns what it has printed.
fn child(test: &str, schedule: &str) -> String {
    printed_by(child_command(test, schedule).arg("--nocapture"))
}

fn child_command(test: &str, schedule: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([test, "--exact", "--ignored"]);
    command.env("LOOPWHEEL_EXPLORE", schedule).env("RUST_BACKTRACE", "0");
    command
}

fn printed_by(command: &mut Command) -> String {
    let output: Output = command.output().unwrap();
    let [out, err] =
        [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it).into_owned());
    out + &err
}

#[test]
fn the_line_that_runs_it_again_has_the_package_and_its_features_or_says_that_it_lacks_them() {
    let told_in = |package: Option<&str>| {
        let mut command = child_command("child_deposits", "");
        match package {
            Some(name) => command.env("CARGO_PKG_NAME", name),
            None => command.env_remove("CARGO_PKG_NAME"),
        };
        let told = printed_by(command.arg("--nocapture"));
        told.lines().find(|line| line.starts_with("again")).unwrap().to_owned()
    };
    let line = "LOOPWHEEL_EXPLORE=1/2.1/2 cargo test";
    assert_eq!(
        told_in(Some("loopwheel")),
        format!("again: {line} -p loopwheel --features explore child_deposits -- --exact")
    );
    assert_eq!(
        told_in(Some("shop")),
        format!("again, with the features of this run: {line} -p shop child_deposits -- --exact")
    );
    assert_eq!(
        told_in(None),
        format!("again, with the features of this run: {line} child_deposits -- --exact")
    );
}

#[test]
fn a_schedule_of_another_program_is_refused_at_the_first_choice_that_does_not_fit() {
    let told = child("child_deposits", "0*1.5/6");
    assert!(
        told.contains(
            "choice 2 is to be option 5 of 6, counted from zero, but here it is one of 2"
        ),
        "{told}"
    );
    assert!(told.contains("ready: 'ann', 'bob'") || told.contains("ready: 'bob'"), "{told}");
    let told = child("child_deposits", "c1/2");
    assert!(told.contains("choice 1 is to be option 1 of 2"), "{told}");
    let told = child("child_deposits", "0*900.1/2");
    assert!(told.contains("the schedule has 901 choices, but the run has ended after"), "{told}");
    let told = child("child_deposits", "nonsense");
    assert!(told.contains("LOOPWHEEL_EXPLORE=nonsense: `nonsense` is no choice"), "{told}");
    let told = child("child_deposits", "0");
    assert!(told.contains("1 passed"), "{told}");
}

#[test]
fn a_seed_is_run_again_too() {
    let folder = folder("seed");
    let found = explore::seeds(200).play_to(&folder).try_run(deposits).unwrap_err();
    let told = child("child_deposits", &format!("seed={}", found.seed.unwrap()));
    assert!(told.contains("a deposit was lost") && told.contains(&found.choices), "{told}");
    assert!(child("child_deposits", "seed=x").contains("the seed is no number"));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_seeds_begin_at_zero_or_where_the_environment_says() {
    let first_line = |test: &str, from: &str| {
        let told = child(test, from);
        let line = told.lines().find(|line| line.starts_with("order "));
        line.unwrap_or(&told).to_owned()
    };
    assert!(first_line("child_deposits", "").starts_with("order 4, of seed 3, "));
    assert!(first_line("child_deposits", "seed=3..").starts_with("order 1, of seed 3, "));
    let later = first_line("child_deposits", "seed=1000..");
    assert!(later.contains(", of seed 10"), "{later}");
    let wrapped = first_line("child_deposits", "seed=18446744073709551615..");
    assert!(wrapped.contains(", of seed "), "{wrapped}");
    // What throws nothing is as ever, and is asked for all that it is asked for.
    let told = printed_by(&mut child_command("child_counts", "seed=1000.."));
    assert!(told.contains("1 passed") && !told.contains("any more"), "{told}");
    let told = child("child_deposits", "seed=x..");
    assert!(told.contains("LOOPWHEEL_EXPLORE=seed=x..: the seed is no number"), "{told}");
}

#[test]
fn what_must_be_complete_fails_by_itself_and_is_not_asked_of_one_schedule() {
    let main = || order_of(&["a", "b", "c"]);
    assert!(explore::all(13).must_be_complete().run(main).is_complete);
    let found = explore::all(12).must_be_complete().try_run(main).unwrap_err();
    assert_eq!((found.fault, found.order), (Fault::Incomplete, 12));
    let told = found.to_string();
    assert!(
        told.starts_with("not all orders were run:\n  12 runs are the limit, and there are more"),
        "{told}"
    );
    assert!(told.contains("12 orders; 5 distinct results") && !told.contains("again"), "{told}");
    // Those that differ in nothing that matters are counted with the others.
    let reduced = explore::all(3).only_shares_objects().must_be_complete().try_run(main);
    assert_eq!(reduced.unwrap_err().fault, Fault::Incomplete);
    let told = message_of(|| drop(explore::seeds(1).must_be_complete()));
    assert!(told.contains("`must_be_complete` is for `all`"), "{told}");

    // Of one schedule it is not asked, and what the test counts does not fail without a word.
    let told = printed_by(&mut child_command("child_counts", "1/2"));
    let said = "LOOPWHEEL_EXPLORE=1/2: this schedule does not fail any more.";
    assert_eq!(told.matches(said).count(), 1, "{told}");
    assert!(told.contains("1 order, that of LOOPWHEEL_EXPLORE; "), "{told}");
    assert!(told.contains("1 passed"), "{told}");
    let told = printed_by(&mut child_command("child_counts", ""));
    assert!(told.contains("1 passed") && !told.contains("any more"), "{told}");
}

#[test]
#[ignore = "it is run by another test"]
fn child_counts() {
    let summary = explore::all(100).must_be_complete().run(|| order_of(&["a", "b"]));
    if summary.is_rerun {
        _ = writeln!(io::stderr(), "{summary}");
    } else {
        assert_eq!((summary.orders, summary.outcomes.len()), (3, 2));
    }
}

#[test]
fn two_explorations_in_a_test_have_two_names_and_two_pages_or_none() {
    let folder = folder("names");
    let fails = async || -> () { panic!("at once") };
    let page_of = |found: &Found| found.page.as_ref().unwrap().file_name().unwrap().to_owned();
    let test = "two_explorations_in_a_test_have_two_names_and_two_pages_or_none";
    for name in ["one lock", "../no/lock"] {
        let found = explore::all(1).name(name).play_to(&folder).try_run(fails).unwrap_err();
        assert_eq!(
            *page_of(&found),
            *format!("{test}.{}.html", name.replace("../", "").replace([' ', '/'], "."))
        );
        let told = found.to_string();
        assert!(told.starts_with(&format!("order 1 of '{name}' leads to a panic")), "{told}");
        assert!(found.rerun.contains(&format!(" {test} -- --exact")), "{told}");
    }
    let found = explore::all(1).play_to(&folder).try_run(fails).unwrap_err();
    assert_eq!(*page_of(&found), *format!("{test}.html"));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);

    let found = explore::all(1).play_to(&folder).without_page().try_run(fails).unwrap_err();
    assert_eq!(found.page, None);
    assert!(!found.to_string().contains("step by step") && found.schedule.len() == 1, "{found}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
    fs::remove_dir_all(folder).unwrap();

    // The names of the others.
    let told = explore::all(1).name("x").must_be_complete().try_run(|| order_of(&["a", "b"]));
    let told = told.unwrap_err().to_string();
    assert!(told.starts_with("not all orders of 'x' were run"), "{told}");
    let told = explore::seeds(1).name("x").without_page().try_run(fails).unwrap_err().to_string();
    assert!(told.starts_with("order 1 of 'x', of seed 0, leads to a panic"), "{told}");
}

#[test]
fn a_page_is_where_the_report_says_whatever_folder_it_is_read_in() {
    let folder = folder("relative");
    fs::create_dir_all(&folder).unwrap();
    let told = printed_by(child_command("child_pages", "0").current_dir(&folder));
    let line = told.lines().find_map(|line| line.strip_prefix("step by step: ")).expect(&told);
    assert_eq!(PathBuf::from(line), folder.join("pages").join("child_pages.html"));
    assert!(fs::read_to_string(line).unwrap().contains("at once"), "{told}");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_last_note_of_a_page_says_what_has_failed() {
    let folder = folder("last-note");
    let found = explore::all(1_000).play_to(&folder).try_run(opposite_locks).unwrap_err();
    let page = fs::read_to_string(found.page.as_ref().unwrap()).unwrap();
    let (_, run) = page.split_once("id=\"run\">").unwrap();
    let run: serde_json::Value =
        serde_json::from_str(run.split_once("</script>").unwrap().0).unwrap();
    let events = run["events"].as_array().unwrap();
    let [.., before, last] = &**events else { panic!("{run}") };
    assert_eq!(last["e"], "note", "{last}");
    assert_eq!(last["text"], format!("the run fails:\n{}", found.message));
    assert_eq!(last["seq"].as_u64().unwrap(), before["seq"].as_u64().unwrap() + 1);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn the_report_counts_the_choices_and_says_that_it_was_shrunk_only_if_it_was() {
    let line_of = |exploration: Exploration, fails_if: fn(usize, usize) -> bool| {
        let found = fault_of(exploration, async || {
            let (one, two) = (explore::choose(3), explore::choose(2));
            assert!(!fails_if(one, two), "it fails");
        });
        let told = found.to_string();
        let line = told.lines().find_map(|line| line.strip_prefix("its schedule: ")).unwrap();
        line.to_owned()
    };
    let all = || explore::all(10);
    assert_eq!(line_of(all(), |_, _| true), "2 choices, all of them the usual ones");
    assert_eq!(line_of(all(), |_, two| two == 1), "2 choices, 1 of them not the usual one");
    assert_eq!(
        line_of(all(), |one, two| one * two == 1),
        "2 choices, 2 of them not the usual ones"
    );
    assert_eq!(
        line_of(explore::seeds(100), |one, two| one + two > 1),
        "2 choices, 1 of them not the usual one (shrunk from 2 of 2)"
    );
    let fails = async || -> () { panic!("at once") };
    let told = fault_of(all(), fails).to_string();
    assert!(told.contains("\nits schedule: 0 choices\n      1. 'main'"), "{told}");
    let fails = async || assert_eq!(explore::choose(2), 0);
    let told = fault_of(all(), fails).to_string();
    assert!(told.contains("\nits schedule: 1 choice, not the usual one\n"), "{told}");
}

#[test]
#[ignore = "it is run by another test"]
fn child_pages() {
    explore::all(1).play_to("pages").run(async || -> () { panic!("at once") });
}

#[test]
fn the_panics_of_the_runs_are_not_printed_and_others_are() {
    let told = child("child_deposits", "");
    assert_eq!(told.matches("a deposit was lost").count(), 1, "only in the report: {told}");
    assert!(told.contains("tests/explore.rs") || told.contains("tests\\explore.rs"), "{told}");
}

fn fault_of<T: fmt::Debug>(exploration: Exploration, main: impl AsyncFn() -> T) -> Box<Found> {
    exploration.without_page().try_run(|| main()).unwrap_err()
}

/// Two tasks that take two locks in opposite orders: a deadlock, if both have the first. Usually one is through by then.
async fn opposite_locks() {
    let (a, b) = (Rc::new(Lock::new()), Rc::new(Lock::new()));
    let take = |name: &str, first: &Rc<Lock>, second: &Rc<Lock>| {
        let (first, second) = (first.clone(), second.clone());
        TaskBuilder::new().name(name).create_task(async move {
            let _first = first.acquire().await;
            if explore::choose(2) == 1 {
                yield_now().await;
            }
            let _second = second.acquire().await;
        })
    };
    let (one, two) = (take("one", &a, &b), take("two", &b, &a));
    one.await.unwrap();
    two.await.unwrap();
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
    assert_eq!(explore::all(1_000).cancels(1).cancels_only("other").run(main).outcomes.len(), 1);
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

#[test]
fn a_panic_on_another_thread_is_printed_by_the_hook_before() {
    let told = child("child_thread_panics", "");
    assert_eq!(told.matches("of the thread").count(), 1, "{told}");
    assert_eq!(told.matches("of the run").count(), 0, "{told}");
}

#[test]
#[ignore = "it is run by another test"]
fn child_thread_panics() {
    explore::all(1).run(async || {
        assert!(std::thread::spawn(|| panic!("of the thread")).join().is_err());
        assert!(catch_unwind(|| panic!("of the run")).is_err());
    });
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
