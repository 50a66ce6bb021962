//! What an exploration says of a failure, and how that is run again: the report, its line, the page, the seed.

#[path = "explore/shared.rs"]
mod shared;

use std::cell::Cell;
use std::env;
use std::fs;
use std::io::{self, Write};
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::rc::Rc;

use loopwheel::explore::{self, Exploration, Fault, Found};
use loopwheel::{TaskBuilder, run_virtual, yield_now};

use shared::{fault_of, message_of, opposite_locks, order_of};

/// Where pages go that are looked at.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("explore-{name}"));
    _ = fs::remove_dir_all(&folder);
    folder
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
    let told = child("child_deposits", "u1/2");
    assert!(told.contains("and about a `choose` of the test, but here it is one of 2"), "{told}");
    assert!(
        !told.contains("again: "),
        "a schedule that does not fit is no line to run again: {told}"
    );
    let told = child("child_deposits", "t1");
    assert!(
        told.contains("choice 1 is to be option 1, counted from zero, and about time"),
        "{told}"
    );
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
    // What draws nothing is as ever, and is asked for all that it is asked for.
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
    assert!(
        told.contains("tests/explore_again.rs") || told.contains("tests\\explore_again.rs"),
        "{told}"
    );
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
