//! Checks that every lesson prints what it promises, when it promises it.
//!
//! The lessons are compiled into this test with a `println!` that keeps each line and the virtual clock's time. The test
//! compares the whole output. Nothing runs in real time.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Replaces `println!` in the lessons: it keeps the line, with the loop's time.
macro_rules! println {
    ($($line:tt)*) => {
        $crate::keep(::std::format!($($line)*))
    };
}

/// Declares the modules of the lessons, a test for each, and their names.
macro_rules! lessons {
    ($($(#[$gate:meta])? $lesson:ident prints { $($millis:literal $line:literal)* })*) => {
        #[path = ".."]
        mod lessons {
            $(
                $(#[$gate])?
                #[allow(dead_code, unreachable_pub)] // their `main` is for when they are run alone
                pub(crate) mod $lesson;
            )*
        }

        $(
            $(#[$gate])?
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

// Each row is the time in milliseconds, and the line that is printed then.
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

    l03_weather_gathered prints {
        1500 "Fetched from 4 services in 1.50s"
        1500 "OpenWeatherMap: 18 degrees, cloudy"
        1500 "WeatherAPI: 19 degrees, cloudy"
        1500 "NOAA: 18 degrees, light rain"
        1500 "LocalRadar: 17 degrees, rain from the west"
    }

    l04_weather_grouped prints {
        1500 "Fetched from 4 services in 1.50s"
        1500 "OpenWeatherMap: 18 degrees, cloudy"
        1500 "WeatherAPI: 19 degrees, cloudy"
        1500 "NOAA: 18 degrees, light rain"
        1500 "LocalRadar: 17 degrees, rain from the west"
    }

    l05_fail_gathered_or_grouped prints {
        1000 "Gathered, after 1.00s:"
        1000 "API1: data of API1"
        1000 "API2: timed out"
        1000 "API3: data of API3"
        1000 "Grouped, after 0.00s: unhandled errors in a TaskGroup (1 error)"
        1000 "The error: timed out"
        1000 "API1: cancelled: Task-6 of the same group failed"
        1000 "API2: the task failed, and its error went to its group: \
              see the error of `TaskGroup::scope`"
        1000 "API3: cancelled: Task-6 of the same group failed"
    }

    l06_partial_success prints {
        1000 "[1] Success: ServiceA"
        1000 "[2] Failed: Could not reach ServiceB"
        1000 "[3] Success: ServiceC"
    }

    l07_sequential_or_concurrent prints {
        5000 "Sequential: [1, 4, 9, 16, 25] in 5.00s"
        6000 "Concurrent: [1, 4, 9, 16, 25] in 1.00s"
        6000 "Speedup: 5.0x"
    }

    l08_a_failure_cancels_the_siblings prints {
        0 "Task 1: begins"
        0 "Task 2: begins"
        0 "Task 3: begins"
        1000 "Task 1: stopped before its end"
        1000 "Task 3: stopped before its end"
        1000 "The group failed after 1.00s: unhandled errors in a TaskGroup (1 error)"
        1000 "The error: task 2 has failed"
    }

    l09_real_fetches prints {
        0 "[200, 200, 200, 200, 200]"
    }

    l10_named_and_cancelled prints {
        0 "fetch-1: begins"
        0 "fetch-2: begins"
        100 "fetch-1: cancelled, after 0.10s"
        1000 "fetch-2: the data, after 1.00s"
    }

    l11_as_they_complete prints {
        100 "photo: 100 kB, after 0.10s"
        100 "The photo can be shown already"
        200 "song: 200 kB, after 0.20s"
        300 "report: 300 kB, after 0.30s"
        300 "All are there"
    }

    l12_a_group_fills_a_list prints {
        0 "In the group: []"
        300 r#"After the group: ["bread", "cheese", "apples"], after 0.30s"#
    }

    l13_five_notes prints {
        5000 "Sequential: 5.0s, shopping.md ideas.md recipes.md travel.md books.md"
        6000 "Gathered: 1.0s, shopping.md ideas.md recipes.md travel.md books.md"
    }

    l14_background_backup prints {
        0 "Checking the status..."
        0 "Backup started"
        500 "Status: all is well, after 0.50s"
        3000 "Backup: 120 notes saved, after 3.00s"
    }

    l15_notes_to_disk prints {
        1000 "Sequential: 5 notes in 1.0s"
        1200 "Concurrent: 5 notes in 0.2s"
        1800 "Two at a time: 5 notes in 0.6s"
        1800 "The empty list: 0 notes in 0.0s"
        1800 "On disk: async-explained.md books-2025.md shopping-list.md \
              trip-to-rome.md what-is-a-task.md"
        1800 "The same files each time: true; of the empty list: 0"
        1800 "| # Trip to Rome"
        1800 "| "
        1800 "| Take the night train."
        1800 "| "
        1800 "| Tags: travel, italy"
    }

    l16_predict_it prints {
        3000 r#"["A done", "B done", "C done"]"#
        3000 "Total: 3.00s"
        5000 r#"["A done", "B done", "C done"]"#
        5000 "Total: 2.00s"
    }

    l17_three_ways_with_one_failure prints {
        700 "Raised after 0.7s: note 7 cannot be read"
        700 "Finished by then: 6"
        1200 "Finished half a second later: 9"
        2200 "Collected after 1.0s: 9 values, 1 error"
        2200 "Finished by then: 9"
        2900 "Log: note 7 cannot be read"
        3200 "Carried on to the end, 1.0s"
        3200 "Finished by then: 9"
    }

    l18_three_hundred_writes prints {
        150 "300 writes in 0.15s"
        150 "Most in flight: 20"
        150 "Files on disk: 300"
        150 "| # Note 42"
        150 "| "
        150 "| This is note 42."
        150 "| "
        150 "| Tags: even, note"
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

    l21_sort_a_groups_errors prints {
        100 "Everything that was raised:"
        100 "  unhandled errors in a TaskGroup (3 errors)"
        100 "  ├─ bad value: -1"
        100 "  ├─ no connection to mail"
        100 "  └─ unhandled errors in a TaskGroup (2 errors)"
        100 "     ├─ no connection to backup"
        100 "     └─ bad value: twelve"
        100 "Dealt with:"
        100 "  unhandled errors in a TaskGroup (2 errors)"
        100 "  ├─ bad value: -1"
        100 "  └─ unhandled errors in a TaskGroup (1 error)"
        100 "     └─ bad value: twelve"
        100 "Raised on:"
        100 "  unhandled errors in a TaskGroup (2 errors)"
        100 "  ├─ no connection to mail"
        100 "  └─ unhandled errors in a TaskGroup (1 error)"
        100 "     └─ no connection to backup"
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

    l24_wait_three_ways prints {
        100 "FirstCompleted, no limit: 1 done, 2 pending, after 0.10s"
        300 "AllCompleted, no limit: 2 done, 0 pending, after 0.20s"
        350 "FirstCompleted, at most 50ms: 0 done, 3 pending, after 0.05s"
        550 "AllCompleted, at most 200ms: 2 done, 1 pending, after 0.20s"
        700 "FirstException, at most 150ms: 1 done, 2 pending, after 0.15s"
        750 "FirstException, no limit: 2 done, 1 pending, after 0.05s"
        850 "A is well"
        850 "B is well"
        850 "C is broken"
    }

    l25_fastest_first prints {
        100 "B, after 0.1s"
        200 "C, after 0.2s"
        300 "A, after 0.3s"
        300 "Order: B, C, A"
        550 "In 0.25s: B, C; still running: 1"
        600 "A was worth waiting for"
    }

    l26_nobody_asked prints {
        500 "Report: task 'send-mail' (spawned at l26_nobody_asked.rs) failed and no code took its error: \
             \"the mail server is down\""
        1000 "Nobody asked; reports so far: 1"
        1500 "send-again: the mail server is down"
        1500 "Somebody asked; reports so far: 1"
    }

    l27_producer_and_consumer prints {
        1400 "All have been put after 1.4s"
        1400 "Most in the queue: 5"
        2000 "Processed 20 items in 2.0s"
        2000 "Each of them once: true"
        2000 "Left in the queue: 0"
        2000 "Consumer: cancelled"
    }

    l28_three_at_a_time prints {
        400 "Fetched [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"
        400 "Total: 0.40s"
        400 "Most in flight: 3"
    }

    l29_the_best_by_ten_seconds prints {
        10000 "The board, after 10.0s:"
        10000 "OpenWeatherMap: 18 degrees, cloudy"
        10000 "WeatherAPI: down (connection refused)"
        10000 "LocalRadar: 17 degrees, rain from the west"
        10000 "NOAA: too late, cancelled"
        10000 "Airport: too late, cancelled"
        10000 "Total: 10.0s"
    }

    l30_a_crawl_of_a_thousand prints {
        6172 "Best effort: 995 fetched, 5 failed, in 6.17s"
        6172 "Most in flight: 50"
        7605 "Fail fast: 217 fetched, 1 failed, in 1.43s"
        7605 "Most in flight: 50"
        7605 "The end of it: https://example.com/202 is gone"
        7605 "Stopped or never begun: 782; still in flight: 0"
    }

    l31_a_limit_beside_a_task prints {
        250 "download: connection closed"
        500 "report: put away"
        500 r#"Err(TimedOut), Ok("the report")"#
        600 "report: put away"
        650 "download: connection closed"
        650 "cancelled"
    }

    l32_a_handle_in_a_select_loop prints {
        200 "still waiting"
        400 "still waiting"
        500 "the worker is done"
        600 "cancelled after 100 ms: cancelled"
        600 "the worker is cancelled, after 100ms"
        800 "still waiting"
        850 "cancelled after 250 ms: cancelled"
        1100 "the worker is done, after 500ms"
    }

    #[cfg(feature = "explore")]
    l33_every_order prints {
        0 "One run: the page is loaded once"
        0 "Order 3 fails:"
        0 "  assertion `left == right` failed: times that the page was loaded"
        0 "    left: 2"
        0 "   right: 1"
        0 "    'main'"
        0 "    'ann'"
        0 "    'bob'"
        0 "    'bob', before 'ann', which was woken first"
        0 "    'ann'"
        0 "    'bob'"
        0 "    'main'"
        0 "These choices run it again: 0*2.1/2"
        0 "Mended: 13 orders, and none fails"
        0 "Were these all? true"
    }
}

/// A lesson that is missing in one of the places that list the lessons fails here.
#[test]
fn every_lesson_is_everywhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tested: BTreeSet<String> = TESTED.iter().map(ToString::to_string).collect();

    let files = fs::read_dir(root).unwrap();
    let mut files: BTreeSet<String> = files
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert!(files.remove("tour"), "the tour is gone");
    assert_eq!(files, tested, "the files in docs/lessons (left) are those tested here (right)");

    let tour = fs::read_to_string(root.join("tour.rs")).unwrap();
    let table = tour.split_once("\nlessons! {\n").unwrap().1.split_once("\n}").unwrap().0;
    let rows: Vec<(&str, &str)> = table
        .lines()
        .filter(|row| !row.trim().starts_with('#'))
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
        let program = format!("name = \"{lesson}\"\npath = \"{lesson}.rs\"\n");
        assert!(manifest.replace('\r', "").contains(&program), "no [[bin]] for {lesson}");
    }
}

thread_local! {
    /// The lines of the lesson that this test runs, each with its time in nanoseconds.
    static KEPT: RefCell<Vec<(u64, String)>> = const { RefCell::new(Vec::new()) };
}

fn keep(line: String) {
    KEPT.with_borrow_mut(|kept| kept.push((loopwheel::now().as_nanos(), line)));
}

/// Returns what has been kept, in milliseconds, and only with the file of a place in the source.
fn kept() -> Vec<(u64, String)> {
    let in_millis = |nanos: u64| {
        assert_eq!(nanos % 1_000_000, 0, "the virtual clock is exact");
        nanos / 1_000_000
    };
    KEPT.take().into_iter().map(|(at, line)| (in_millis(at), with_file_alone(line))).collect()
}

/// `(spawned at docs/lessons/a.rs:1:2)` becomes `(spawned at a.rs)`: the rest depends on how it is compiled.
fn with_file_alone(line: String) -> String {
    let Some((before, rest)) = line.split_once("(spawned at ") else { return line };
    let (place, after) = rest.split_once(')').unwrap();
    let file = place.rsplit(['/', '\\']).next().unwrap().split(':').next().unwrap();
    format!("{before}(spawned at {file}){after}")
}

/// Formats it as a page: a failing test shows two of them, not a list of tuples.
fn as_text(lines: impl IntoIterator<Item = (u64, impl AsRef<str>)>) -> String {
    let lines = lines.into_iter().map(|(at, line)| format!("{at:>6} ms  {}", line.as_ref()));
    lines.collect::<Vec<_>>().join("\n")
}
