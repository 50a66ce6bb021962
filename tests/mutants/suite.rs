//! Runs programs of tests until one of them fails.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::tree::Binary;

/// A program that takes longer than this is in the second tier.
const LONGEST_OF_FIRST_TIER: Duration = Duration::from_millis(1500);

/// These measure real time, or other threads' progress. They come last, as a machine that is busy can make them fail.
const OF_REAL_TIME: [&str; 6] = ["host", "parking", "stress", "threads", "thread_channel", "watch"];

/// A program of tests, and what a run without mutants told of it.
pub(crate) struct Suite {
    pub(crate) binary: Binary,
    pub(crate) took: Duration,
    pub(crate) tier: u8,
    /// The numbers of the mutants that it reaches.
    pub(crate) reaches: HashSet<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Passed,
    Failed,
    /// It did not end in time.
    TimedOut,
}

/// Runs every program once without a mutant, and notes what it reaches. The quick ones come first.
pub(crate) fn suites(binaries: Vec<Binary>, folder: &Path, is_long: bool) -> Vec<Suite> {
    let mut suites = Vec::new();
    for binary in binaries.into_iter().filter(|it| is_long || !LONGEST.contains(&it.name.as_str()))
    {
        let reached = folder.join("reached");
        let _ = fs::remove_file(&reached);
        let start = Instant::now();
        let limit = Duration::from_secs(400);
        let end =
            run(&binary, limit, &[("MUTANTS_REACHED", reached.to_str().expect("a path in UTF-8"))]);
        let took = start.elapsed();
        if end != End::Passed {
            eprintln!("{} is left out: without a mutant it ended as {end:?}", binary.name);
            continue;
        }
        let reached = fs::read_to_string(&reached).unwrap_or_default();
        let reaches: HashSet<usize> =
            reached.split_whitespace().filter_map(|it| it.parse().ok()).collect();
        let is_first =
            took <= LONGEST_OF_FIRST_TIER && !OF_REAL_TIME.contains(&binary.name.as_str());
        let tier = if is_first { 1 } else { 2 };
        eprintln!(
            "tier {tier}, {:5} ms, {:5} mutants reached: {}",
            took.as_millis(),
            reaches.len(),
            binary.name
        );
        suites.push(Suite { binary, took, tier, reaches });
    }
    suites.sort_by_key(|it| (it.tier, it.took));
    suites
}

impl Suite {
    /// Runs it with this mutant switched on. What fails in a later tier has to fail twice.
    pub(crate) fn run(&self, mutant: Option<usize>) -> End {
        let number = mutant.map_or(String::new(), |it| it.to_string());
        let limit = Duration::from_secs(30) + 5 * self.took;
        let end = run(&self.binary, limit, &[("MUTANT", &number)]);
        if end == End::Failed && self.tier > 1 {
            run(&self.binary, limit, &[("MUTANT", &number)])
        } else {
            end
        }
    }
}

/// Runs a program until its end, its first failed test, or the end of this time. It gets half as much of the processor's time, and
/// eight gigabytes.
fn run(binary: &Binary, limit: Duration, variables: &[(&str, &str)]) -> End {
    let mut command = Command::new("sh");
    let seconds = limit.as_secs() / 2;
    command
        .arg("-c")
        .arg(format!("ulimit -c 0 -t {seconds} -v 8388608; exec \"$0\""))
        .arg(&binary.path);
    command
        .current_dir(&binary.folder)
        .env("CARGO_MANIFEST_DIR", &binary.folder)
        .env("RUST_BACKTRACE", "0");
    command.envs(variables.iter().copied()).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("a shell");
    let end = watch(&mut child, limit);
    // Its own children as well.
    let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
    let status = child.wait().expect("it is our child");
    match end {
        Some(end) => end,
        None if status.success() => End::Passed,
        None if status.signal() == Some(Signal::SIGXCPU as i32) => End::TimedOut,
        None => End::Failed,
    }
}

/// Reads what it prints. `None` if it ended by itself.
fn watch(child: &mut Child, limit: Duration) -> Option<End> {
    let until = Instant::now() + limit;
    let output = BufReader::new(child.stdout.take().expect("it is piped"));
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    loop {
        match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) if line.starts_with("test ") && line.ends_with("FAILED") => {
                return Some(End::Failed);
            }
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => return Some(End::TimedOut),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    // It has closed its output, and should be at its end.
    while Instant::now() < until {
        match child.try_wait() {
            Ok(None) => thread::sleep(Duration::from_millis(5)),
            _ => return None,
        }
    }
    Some(End::TimedOut)
}
