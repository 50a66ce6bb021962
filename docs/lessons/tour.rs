//! # The tour
//!
//! Runs the lessons, each on a new loop: all of them, or those that are named.
//!
//! ```text
//! cargo run -p lessons                  all, on the virtual clock: at once
//! cargo run -p lessons -- L22 l23       these two
//! cargo run -p lessons -- --real L23    on the real clock
//! cargo run -p lessons -- --list        what there is
//! cargo run -p lessons -- play L22      every step of the loop, as text
//! cargo run -p lessons --features record -- record L22
//!                                           a page to step through in a browser
//! cargo run -p lessons --features explore -- L33
//!                                           the one lesson that needs a feature
//! cargo run -p lessons --features explore -- explore
//!                                           which lessons depend on the order of their tasks
//! ```
//!
//! Each line of a lesson is shown with the time on the loop's clock. The lessons do not know that: they print with
//! `println!`, and the macro of that name below replaces the usual one. So each of them is also a program that can
//! be run alone: `cargo run --bin l22_clean_up_on_cancel`.
//!
//! The lessons teach how to use the loop. How it works inside is for `docs/exercises`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{self, ExitCode};

use lexopt::prelude::*;
use loopwheel::trace::note;
use loopwheel::{Clock, EventLoop, VirtualClock};

/// What `println!` is in the lessons: it shows the loop's time before the line.
///
/// A macro can be used in all that follows it in the text, submodules included, and takes precedence over the
/// prelude's.
macro_rules! println {
    ($($line:tt)*) => {
        crate::say(&::std::format!($($line)*))
    };
}

#[cfg(feature = "explore")]
#[path = "tour/explore.rs"]
mod explore;
#[path = "tour/record.rs"]
mod record;

/// Declares the modules of the lessons and the table of them.
macro_rules! lessons {
    ($($(#[$gate:meta])? $id:ident $title:literal $module:ident;)*) => {
        $(
            $(#[$gate])?
            #[allow(dead_code, unreachable_pub)] // their `main` is for when they are run alone
            mod $module;
        )*

        const LESSONS: &[Lesson] = &[
            $(
                $(#[$gate])?
                Lesson {
                    id: stringify!($id),
                    title: $title,
                    module: stringify!($module),
                    run: || Box::pin($module::lesson()),
                },
            )*
        ];
    };
}

// In the order of their ids. A new one also needs its `[[bin]]` in Cargo.toml, and its lines in tests/lessons.rs.
lessons! {
    L01 "three users"                    l01_three_users;
    L02 "API calls"                      l02_api_calls;
    L03 "weather, gathered"              l03_weather_gathered;
    L04 "weather, grouped"               l04_weather_grouped;
    L05 "fail, gathered or grouped"      l05_fail_gathered_or_grouped;
    L06 "partial success"                l06_partial_success;
    L07 "sequential or concurrent"       l07_sequential_or_concurrent;
    L08 "a failure cancels the siblings" l08_a_failure_cancels_the_siblings;
    L09 "real fetches"                   l09_real_fetches;
    L10 "named and cancelled"            l10_named_and_cancelled;
    L11 "as they complete"               l11_as_they_complete;
    L12 "a group fills a list"           l12_a_group_fills_a_list;
    L13 "five notes"                     l13_five_notes;
    L14 "background backup"              l14_background_backup;
    L15 "notes to disk"                  l15_notes_to_disk;
    L16 "predict it"                     l16_predict_it;
    L17 "three ways with one failure"    l17_three_ways_with_one_failure;
    L18 "three hundred writes"           l18_three_hundred_writes;
    L19 "a coroutine is not a task"      l19_a_coroutine_is_not_a_task;
    L20 "a value comes back"             l20_a_value_comes_back;
    L21 "sort a group's errors"          l21_sort_a_groups_errors;
    L22 "clean up on cancel"             l22_clean_up_on_cancel;
    L23 "a deadline"                     l23_a_deadline;
    L24 "wait three ways"                l24_wait_three_ways;
    L25 "fastest first"                  l25_fastest_first;
    L26 "nobody asked"                   l26_nobody_asked;
    L27 "producer and consumer"          l27_producer_and_consumer;
    L28 "three at a time"                l28_three_at_a_time;
    L29 "the best by ten seconds"        l29_the_best_by_ten_seconds;
    L30 "a crawl of a thousand"          l30_a_crawl_of_a_thousand;
    L31 "a limit beside a task"          l31_a_limit_beside_a_task;
    L32 "a handle in a select! loop"     l32_a_handle_in_a_select_loop;
    #[cfg(feature = "explore")] // it takes some twenty crates more
    L33 "every order"                    l33_every_order;
}

struct Lesson {
    id: &'static str,
    title: &'static str,
    module: &'static str,
    run: fn() -> Pin<Box<dyn Future<Output = ()>>>,
}

/// What the arguments ask for.
enum Request {
    Run { lessons: Vec<&'static Lesson>, real: bool },
    Play { lessons: Vec<&'static Lesson> },
    Record { lessons: Vec<&'static Lesson>, folder: PathBuf },
    Explore { page: PathBuf },
    List,
    Help,
}

const HELP: &str = "\
Usage: tour [--real] [LESSON]...
       tour play [LESSON]...
       tour record [--to FOLDER] [LESSON]...
       tour explore [--to FILE]

Runs the lessons that are named (L22, l23), or all of them.

Commands:
  play           shows every step of the loop, as text
  record         writes a page for each lesson, in which a browser can step through it
  explore        runs all lessons in other orders, and writes what comes of it

Options:
  --real         on the real clock; else on the virtual one, which waits for nothing
  --to PATH      where to write; docs/players or docs/exploring/lessons.md if nothing is said
  --list         show the lessons there are
  -h, --help     show this text
";

/// What the whole tour says at its end.
const NEXT: &str = "
That was the tour. What next?
  one lesson, in real time     cargo run --bin l22_clean_up_on_cancel     (its source: docs/lessons)
  every step of the loop       open docs/players/index.html in a browser
  a test in every order        cargo run -p lessons --features explore -- L33     (and docs/exploring.md)
  a program of your own        cargo new hello; cd hello; cargo add loopwheel --path <where this is>
  coming from asyncio          docs/from-asyncio.md
  how it works inside          docs/engine.md";

fn main() -> ExitCode {
    match request(std::env::args_os()) {
        Ok(Request::Run { lessons, real }) => {
            let are_all = lessons.len() == LESSONS.len();
            for (place, lesson) in lessons.into_iter().enumerate() {
                if place > 0 {
                    print(format_args!(""));
                }
                run(lesson, real);
            }
            if are_all {
                print(format_args!("{NEXT}"));
            }
        }
        Ok(Request::Play { lessons }) => lessons.into_iter().for_each(record::play),
        Ok(Request::Record { lessons, folder }) => {
            let are_all = lessons.len() == LESSONS.len();
            let pages = lessons.into_iter().try_for_each(|it| record::write_page(it, &folder));
            let index = || if are_all { record::write_index(LESSONS, &folder) } else { Ok(()) };
            if let Err(error) = pages.and_then(|()| index()) {
                eprintln!("tour: {}: {error}", folder.display());
                return ExitCode::FAILURE;
            }
        }
        Ok(Request::Explore { page }) => {
            if let Err(error) = write_explored(&page) {
                eprintln!("tour: {}: {error}", page.display());
                return ExitCode::FAILURE;
            }
        }
        Ok(Request::List) => print(format_args!("{}", list())),
        Ok(Request::Help) => print(format_args!("{}", HELP.trim_end())),
        Err(error) => {
            eprintln!("tour: {error}\n\n{HELP}\nLessons:\n{}", list());
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn request(args: impl IntoIterator<Item = OsString>) -> Result<Request, lexopt::Error> {
    let (mut chosen, mut real, mut list) = (vec![], false, false);
    let (mut command, mut to) = (None, None);
    let mut parser = lexopt::Parser::from_iter(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Long("real") => real = true,
            Long("list") => list = true,
            Long("to") => to = Some(PathBuf::from(parser.value()?)),
            Short('h') | Long("help") => return Ok(Request::Help),
            Value(word)
                if command.is_none()
                    && (word == "play" || word == "record" || word == "explore") =>
            {
                command = Some(word);
            }
            Value(id) => chosen.push(find(&id.string()?)?),
            other => return Err(other.unexpected()),
        }
    }
    if list {
        return Ok(Request::List);
    }
    let lessons = if chosen.is_empty() { LESSONS.iter().collect() } else { chosen };
    Ok(match command {
        Some(command) if command == "play" => Request::Play { lessons },
        Some(command) if command == "explore" => {
            Request::Explore { page: to.unwrap_or_else(|| "docs/exploring/lessons.md".into()) }
        }
        Some(_) => Request::Record { lessons, folder: to.unwrap_or_else(|| "docs/players".into()) },
        None => Request::Run { lessons, real },
    })
}

fn find(id: &str) -> Result<&'static Lesson, lexopt::Error> {
    let found = LESSONS.iter().find(|lesson| lesson.id.eq_ignore_ascii_case(id));
    if found.is_none() && id.eq_ignore_ascii_case("L33") {
        return Err("L33 needs a feature: cargo run -p lessons --features explore -- L33".into());
    }
    found.ok_or_else(|| format!("there is no lesson '{id}'").into())
}

fn list() -> String {
    let mut lines: Vec<_> = LESSONS.iter().map(|l| format!("  {}  {}", l.id, l.title)).collect();
    if cfg!(not(feature = "explore")) {
        lines.push("  L33  every order (with `--features explore`)".to_owned());
    }
    lines.join("\n")
}

#[cfg(feature = "explore")]
fn write_explored(page: &Path) -> io::Result<()> {
    std::fs::write(page, explore::page(LESSONS))?;
    print(format_args!("{}", page.display()));
    Ok(())
}

#[cfg(not(feature = "explore"))]
fn write_explored(_page: &Path) -> io::Result<()> {
    Err(io::Error::other("it needs a feature: cargo run -p lessons --features explore -- explore"))
}

/// Prints a line of a lesson, with the loop's time; and tells it to the observer of the loop, if there is one.
fn say(line: &str) {
    note(line);
    #[cfg(feature = "explore")]
    explore::keep(line);
    if !record::is_silent() {
        print(format_args!("{:>6.2}  {line}", loopwheel::now()));
    }
}

/// Prints a line. If nothing reads it any more, as after `tour | head`, that is the end of the program, and no error.
fn print(line: std::fmt::Arguments<'_>) {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => process::exit(0),
        written => written.expect("standard output takes a line"),
    }
}

fn run(lesson: &Lesson, real: bool) {
    print(format_args!("{} {}", lesson.id, lesson.title));
    let clock = if real { Clock::monotonic() } else { VirtualClock::new().into() };
    EventLoop::builder().clock(clock).build().run((lesson.run)());
}
