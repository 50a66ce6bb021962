//! # The exercises
//!
//! Twelve variants of the crate, each with one bug. You get the broken crate, its story, and a test that fails: find out why, and
//! mend it.
//!
//! ```text
//! cargo run -p exercises                   what there is
//! cargo run -p exercises -- 03             the story of 03, and the broken crate in target/exercises/03
//! cargo run -p exercises -- 03 --hint      where to look, and for what
//! cargo run -p exercises -- 03 --check     is it mended?
//! cargo run -p exercises -- 03 --solution  what was changed
//! cargo run -p exercises -- 03 --again     throws your copy away, and begins anew
//! cargo run -p exercises -- check-all      what CI does: each test passes on the whole crate, and fails on its broken one
//! ```

mod check;
mod copy;
mod exercise;

use std::error::Error;
use std::process::ExitCode;

use clap::{Args, Parser};

use check::{Ended, build, run_in_time};
use copy::CrateCopy;
use exercise::Exercise;

type Failure = Box<dyn Error>;

/// Twelve broken variants of loopwheel: find out why, and mend them.
#[derive(Parser)]
#[command(name = "exercise")]
struct Arguments {
    /// The number of an exercise; or `list`; or `check-all`, which is what CI does.
    #[arg(default_value = "list")]
    what: String,
    #[command(flatten)]
    wish: Wish,
}

/// What is wanted of an exercise. Nothing: its story and its broken crate.
#[derive(Args)]
#[group(multiple = false)]
#[allow(clippy::struct_excessive_bools)] // clap's flags
struct Wish {
    /// Where to look, and for what.
    #[arg(long)]
    hint: bool,
    /// Runs the test on your copy.
    #[arg(long)]
    check: bool,
    /// What was changed.
    #[arg(long)]
    solution: bool,
    /// Throws your copy away, and begins anew.
    #[arg(long)]
    again: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// False if what was checked has failed.
fn run(arguments: &Arguments) -> Result<bool, Failure> {
    let Arguments { what, wish } = arguments;
    match what.as_str() {
        "list" => {
            list()?;
            return Ok(true);
        }
        "check-all" => return check::all(),
        _ => {}
    }
    let exercise = Exercise::numbered(what)?;
    if wish.hint {
        print!("{}", exercise.hint);
    } else if wish.solution {
        print!("What was changed:\n\n{}", exercise.patch);
    } else if wish.check {
        return check_copy(&exercise);
    } else {
        begin(&exercise, wish.again)?;
    }
    Ok(true)
}

fn list() -> Result<(), Failure> {
    for exercise in Exercise::all()? {
        println!("{}", exercise.title());
    }
    println!("\nTo begin with one: cargo run -p exercises -- 01");
    Ok(())
}

/// Makes the broken crate, unless it is there already, and tells its story.
fn begin(exercise: &Exercise, again: bool) -> Result<(), Failure> {
    let copy = CrateCopy::of_student(exercise);
    let is_there = copy.exists();
    if again || !is_there {
        copy.write(Some(exercise), &[("exercise", &exercise.test)])?;
    }
    let (number, folder) = (&exercise.number, copy.folder.display());
    println!("{}", exercise.story);
    if is_there && !again {
        println!(
            "Your copy of the crate is there already, with what you have changed (--again makes it anew).\n"
        );
    }
    println!("The broken crate:   {folder}/src");
    println!("Its test:           {folder}/tests/exercise.rs");
    println!("To run it:          cd {folder} && cargo test");
    println!("Is it mended?       cargo run -p exercises -- {number} --check");
    println!("A hint:             cargo run -p exercises -- {number} --hint");
    println!("The solution:       cargo run -p exercises -- {number} --solution");
    Ok(())
}

fn check_copy(exercise: &Exercise) -> Result<bool, Failure> {
    let copy = CrateCopy::of_student(exercise);
    if !copy.exists() {
        return Err(format!("first: cargo run -p exercises -- {}", exercise.number).into());
    }
    println!("Building your copy (the first time takes a minute or two).");
    let tests = build(&copy)?;
    let (_, test) = tests.first().ok_or("the test is gone: --again brings it back")?;
    match run_in_time(test)?.0 {
        Ended::Passed => {
            println!(
                "It is mended. (Whether nothing else is broken now, the crate's own tests say.)"
            );
            Ok(true)
        }
        Ended::Failed(output) => {
            println!("{output}\nNot yet.");
            Ok(false)
        }
        Ended::TimedOut => {
            println!("The test hangs: it was stopped after {} s.", check::LIMIT.as_secs());
            Ok(false)
        }
    }
}
