//! Every lesson prints what it promises, when it promises it.
//!
//! The lessons are compiled into this test under a `println!` that keeps each line with the virtual clock's time, and
//! the whole of it is compared. Nothing is run in real time.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What `println!` is in the lessons: it keeps the line, with the loop's time.
macro_rules! println {
    ($($line:tt)*) => {
        $crate::keep(::std::format!($($line)*))
    };
}

/// Declares the modules of the lessons, a test for each, and their names.
macro_rules! lessons {
    ($($lesson:ident prints { $($millis:literal $line:literal)* })*) => {
        #[path = "../docs/lessons"]
        mod lessons {
            $(
                #[allow(dead_code, unreachable_pub)] // their `main` is for when they are run alone
                pub(crate) mod $lesson;
            )*
        }

        $(
            #[test]
            fn $lesson() {
                loopwheel::run_virtual(lessons::$lesson::lesson());
                let expected: &[(u64, &str)] = &[$(($millis, $line),)*];
                let (printed, expected) = (as_text(kept()), as_text(expected.iter().copied()));
                assert!(printed == expected, "printed:\n{printed}\nexpected:\n{expected}");
            }
        )*

        const TESTED: &[&str] = &[$(stringify!($lesson),)*];
    };
}

// Milliseconds, and the line that is printed then.
lessons! {
    l01_three_users prints {
        1000 "Results: User-1, User-2, User-3"
        1000 "As tasks: 1.00s"
        4000 "Results: User-1, User-2, User-3"
        4000 "One by one: 3.00s"
    }

    l02_api_calls prints {
        0 "Fetching A..."
        0 "Fetching B..."
        0 "Fetching C..."
        1000 "done A"
        1000 "done C"
        1500 "done B"
        1500 "Total: 1.50s"
    }

    l10_named_and_cancelled prints {
        0 "fetch-1: begins"
        0 "fetch-2: begins"
        100 "fetch-1: cancelled, after 0.10s"
        1000 "fetch-2: the data, after 1.00s"
    }

    l14_background_backup prints {
        0 "Checking the status..."
        0 "Backup started"
        500 "Status: all is well, after 0.50s"
        3000 "Backup: 120 notes saved, after 3.00s"
    }

    l16_predict_it prints {
        3000 r#"["A done", "B done", "C done"]"#
        3000 "Total: 3.00s"
        5000 r#"["A done", "B done", "C done"]"#
        5000 "Total: 2.00s"
    }

    l19_a_coroutine_is_not_a_task prints {
        0 "Made a future; waiting a second..."
        1000 "...and it printed nothing"
        1000 "Made a task; waiting a second..."
        1100 "Hello from the task!"
        2000 "...and it ran: is_done() is true"
    }

    l20_a_value_comes_back prints {
        1000 "42"
    }

    l22_clean_up_on_cancel prints {
        0 "Working..."
        100 "Working..."
        200 "Working..."
        300 "Task was cancelled! Cleaning up..."
        400 "Confirmed: task is cancelled"
    }

    l23_a_deadline prints {
        0 "Operation started"
        200 "Operation timed out!"
        200 "Waited 0.20s"
    }

    l26_nobody_asked prints {
        500 "Report: task 'send-mail' (spawned at l26_nobody_asked.rs) failed and nobody took its error: \
             \"the mail server is down\""
        1000 "Nobody asked; reports so far: 1"
        1500 "send-again: the task failed: the mail server is down"
        1500 "Somebody asked; reports so far: 1"
    }
}

/// A lesson that somebody forgot in one of the places where it has to stand fails here.
#[test]
fn every_lesson_is_everywhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tested: BTreeSet<String> = TESTED.iter().map(ToString::to_string).collect();

    let files = fs::read_dir(root.join("docs/lessons")).unwrap();
    let mut files: BTreeSet<String> = files
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert!(files.remove("tour"), "the tour is gone");
    assert_eq!(files, tested, "the files in docs/lessons (left) are those tested here (right)");

    let tour = fs::read_to_string(root.join("docs/lessons/tour.rs")).unwrap();
    let table = tour.split_once("\nlessons! {\n").unwrap().1.split_once("\n}").unwrap().0;
    let rows: Vec<(&str, &str)> = table
        .lines()
        .map(|row| {
            let words = row.trim().trim_end_matches(';').split_once(' ').unwrap();
            (words.0, words.1.rsplit(' ').next().unwrap())
        })
        .collect();
    let toured = rows.iter().map(|(_, module)| (*module).to_owned()).collect();
    assert_eq!(files, toured, "the files in docs/lessons (left) are those of the tour (right)");
    for (id, module) in &rows {
        assert!(module.starts_with(&format!("{}_", id.to_lowercase())), "{id} is {module}");
    }
    assert!(rows.is_sorted(), "the tour is in the order of the ids: {rows:?}");

    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    for lesson in files.iter().map(String::as_str).chain(["tour"]) {
        let example = format!("name = \"{lesson}\"\npath = \"docs/lessons/{lesson}.rs\"\n");
        assert!(manifest.replace('\r', "").contains(&example), "no [[example]] for {lesson}");
    }
}

thread_local! {
    /// The lines of the lesson that this test runs, each with its time in nanoseconds.
    static KEPT: RefCell<Vec<(u64, String)>> = const { RefCell::new(Vec::new()) };
}

fn keep(line: String) {
    KEPT.with_borrow_mut(|kept| kept.push((loopwheel::now().as_nanos(), line)));
}

/// What has been kept, in milliseconds, and with the file alone of a place in the source.
fn kept() -> Vec<(u64, String)> {
    let in_millis = |nanos: u64| {
        assert_eq!(nanos % 1_000_000, 0, "the virtual clock is exact");
        nanos / 1_000_000
    };
    KEPT.take().into_iter().map(|(at, line)| (in_millis(at), with_file_alone(line))).collect()
}

/// `(spawned at docs/lessons/a.rs:1:2)` becomes `(spawned at a.rs)`: the rest depends on who compiles it.
fn with_file_alone(line: String) -> String {
    let Some((before, rest)) = line.split_once("(spawned at ") else { return line };
    let (place, after) = rest.split_once(')').unwrap();
    let file = place.rsplit(['/', '\\']).next().unwrap().split(':').next().unwrap();
    format!("{before}(spawned at {file}){after}")
}

/// As a page: a failing test shows two of them, not a list of tuples.
fn as_text(lines: impl IntoIterator<Item = (u64, impl AsRef<str>)>) -> String {
    let lines = lines.into_iter().map(|(at, line)| format!("{at:>6} ms  {}", line.as_ref()));
    lines.collect::<Vec<_>>().join("\n")
}
