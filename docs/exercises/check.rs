//! **Checking**: a copy is built, and its test is run, for a limited time.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use wait_timeout::ChildExt;

use crate::Failure;
use crate::copy::{CrateCopy, target};
use crate::exercise::Exercise;

/// How long a test may run.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// How a test has ended.
pub(crate) enum Ended {
    Passed,
    /// With this output.
    Failed(String),
    TimedOut,
}

/// Builds the tests of a copy. Returns the name and the program of each.
pub(crate) fn build(copy: &CrateCopy) -> Result<Vec<(String, PathBuf)>, Failure> {
    let built = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["test", "--no-run", "--quiet", "--message-format=json-render-diagnostics"])
        .current_dir(&copy.folder)
        .env("CARGO_TARGET_DIR", target())
        .env("CARGO_INCREMENTAL", "1") // the next variant differs in a few lines
        .stderr(Stdio::inherit())
        .output()?;
    if !built.status.success() {
        return Err(format!("{} does not compile", copy.folder.display()).into());
    }
    let mut tests = Vec::new();
    for line in String::from_utf8(built.stdout)?.lines() {
        let message: Value = serde_json::from_str(line)?;
        if let (Some(name), Some(program)) =
            (message["target"]["name"].as_str(), message["executable"].as_str())
        {
            tests.push((name.to_owned(), program.into()));
        }
    }
    Ok(tests)
}

/// Runs a test, and returns how long that took.
pub(crate) fn run_in_time(test: &Path) -> Result<(Ended, Duration), Failure> {
    let said = target().join("said");
    let (out, err) = {
        let file = File::create(&said)?;
        (file.try_clone()?, file)
    };
    let began = Instant::now();
    let mut running = Command::new(test)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()?;
    let status = running.wait_timeout(LIMIT)?;
    let took = began.elapsed();
    let ended = match status {
        Some(status) if status.success() => Ended::Passed,
        Some(_) => Ended::Failed(String::from_utf8_lossy(&fs::read(&said)?).into_owned()),
        None => {
            running.kill()?;
            running.wait()?;
            Ended::TimedOut
        }
    };
    Ok((ended, took))
}

/// What CI does: each test passes on the whole crate, and fails on its broken one.
pub(crate) fn all() -> Result<bool, Failure> {
    let exercises = Exercise::all()?;
    exercises.iter().try_for_each(Exercise::must_apply)?;
    let copy = CrateCopy::to_check();
    let mut is_right = true;
    let began = Instant::now();

    let tests: Vec<_> = exercises.iter().map(|it| (it.name.as_str(), it.test.as_str())).collect();
    copy.write(None, &tests)?;
    let built = build(&copy)?;
    if built.len() != exercises.len() {
        return Err(format!("{} tests were built, of {}", built.len(), exercises.len()).into());
    }
    for (name, test) in built {
        if !matches!(run_in_time(&test)?.0, Ended::Passed) {
            println!("{name}: the test fails on the whole crate");
            is_right = false;
        }
    }
    println!("The whole crate was built and tested in {:.1} s.", began.elapsed().as_secs_f64());

    for exercise in &exercises {
        let began = Instant::now();
        copy.write(Some(exercise), &[("exercise", &exercise.test)])?;
        let built = build(&copy)?;
        let (_, test) = built.first().ok_or("no test was built")?;
        let built_in = began.elapsed();
        let (ended, took) = run_in_time(test)?;
        let how = match ended {
            Ended::TimedOut => "hangs".to_owned(),
            Ended::Failed(output) => failure_of_test(&output).unwrap_or_else(|| {
                is_right = false;
                format!("NOT AS IT SHOULD: it is not the test that fails\n{output}")
            }),
            Ended::Passed => {
                is_right = false;
                "NOT AS IT SHOULD: the test passes on the broken crate".to_owned()
            }
        };
        println!(
            "{} (built in {:.1} s, run in {:.2} s)\n    {how}",
            exercise.title(),
            built_in.as_secs_f64(),
            took.as_secs_f64()
        );
    }
    println!("All of it took {:.0} s.", began.elapsed().as_secs_f64());
    Ok(is_right)
}

/// What the first panic says in its first lines. `None` if it is not the test that has failed.
fn failure_of_test(output: &str) -> Option<String> {
    let mut lines = output.lines().skip_while(|line| !line.contains(" panicked at "));
    lines.next().filter(|line| line.contains(" panicked at tests/exercise.rs:"))?;
    let is_empty = |line: &&str| line.is_empty() || line.starts_with("note:");
    let lines: Vec<_> = lines.take_while(|line| !is_empty(line)).take(3).map(str::trim).collect();
    Some(lines.join("\n    "))
}
