//! The campaign lets children run programs until enough have run, and shrinks those that fail.

use std::collections::VecDeque;
use std::env;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::generate;
use crate::program::Program;
use crate::shrink;
use crate::switches::Switches;

/// What has been done, and found.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) programs: u64,
    pub(crate) operations: u64,
    pub(crate) failures: Vec<Failure>,
}

pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) found: Found,
    /// Counts the programs that had run by then.
    pub(crate) after: u64,
}

/// A fault that a child found or died of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) kind: String,
    pub(crate) detail: String,
}

/// Says how the children are run.
#[derive(Clone, Copy, Default)]
pub(crate) struct Campaign {
    /// A deliberate fault, for the tests of this fuzzer.
    pub(crate) wrong: Option<&'static str>,
    /// Seconds after which one program counts as hung. By default the child decides.
    pub(crate) hang_after: Option<u64>,
}

impl Campaign {
    /// Returns the command that runs this same program as a child with one job: the test `in_a_child`.
    pub(crate) fn child(self) -> Command {
        let mut command = Command::new(env::current_exe().expect("the path of this program"));
        command.args(["--exact", "in_a_child", "--nocapture", "--test-threads=1"]);
        command.env("FUZZ_CHILD", "1").stdout(Stdio::piped()).stderr(Stdio::null());
        // Programs forget values on purpose. The ledger and the byte counts find other leaks; the sanitizer is not asked.
        command.env("ASAN_OPTIONS", "detect_leaks=0");
        if let Some(wrong) = self.wrong {
            command.env("FUZZ_WRONG", wrong);
        }
        if let Some(seconds) = self.hang_after {
            command.env("FUZZ_HANG", seconds.to_string());
        }
        command
    }

    /// Runs programs from a seed on, until enough operations are done or enough programs have failed.
    pub(crate) fn run(self, first: u64, operations: u64, failures_at_most: usize) -> Outcome {
        let mut outcome = Outcome::default();
        let mut seed = first;
        while outcome.operations < operations {
            let mut command = self.child();
            command.env("FUZZ_FIRST", seed.to_string());
            command.env("FUZZ_UNTIL", (operations - outcome.operations).to_string());
            command.stderr(Stdio::piped()); // what it dies of may be told there alone
            let heard = hear(command.spawn().expect("a child process"));
            let last = heard.seed.unwrap_or(seed);
            outcome.programs += last - seed + 1;
            outcome.operations += heard.operations;
            let Some(found) = heard.found else { return outcome };
            if heard.operations == 0 {
                outcome.operations += 10 * (last - seed + 1); // one that died could not say
            }
            outcome.failures.push(Failure { seed: last, found, after: outcome.programs });
            if outcome.failures.len() >= failures_at_most {
                return outcome;
            }
            seed = last + 1;
        }
        outcome
    }

    /// Runs one program in a child.
    pub(crate) fn try_program(self, program: &Program) -> Option<Found> {
        let mut command = self.child();
        command.env("FUZZ_PROGRAM", serde_json::to_string(program).expect("a program as JSON"));
        hear(command.spawn().expect("a child process")).found
    }

    /// Finds the smallest program that fails in the same way.
    pub(crate) fn shrink(self, failure: &Failure) -> Program {
        let program = generate::program(failure.seed, Switches::from_env());
        let hang_after = self.hang_after.or(Some(5));
        let quick = Campaign { hang_after, ..self };
        shrink::shrink(&program, |candidate| {
            quick.try_program(candidate).is_some_and(|found| found.kind == failure.found.kind)
        })
    }

    /// Shows a failure to people: it is small, and says what the program does and how to run it again.
    pub(crate) fn describe(self, failure: &Failure) -> String {
        let small = self.shrink(failure);
        let found = self.try_program(&small).unwrap_or_else(|| failure.found.clone());
        let flag = if cfg!(debug_assertions) { "" } else { " --release" };
        format!(
            "seed {}, program number {}: {}\n    {}\nshrunk, {}:\n{small}as JSON: {}\n\
             again: FUZZ_SEED={} cargo test{flag} --test fuzz -- --nocapture programs\n",
            failure.seed,
            failure.after,
            failure.found.kind,
            failure.found.detail,
            found.detail,
            serde_json::to_string(&small).expect("a program as JSON"),
            failure.seed,
        )
    }
}

struct Heard {
    seed: Option<u64>,
    operations: u64,
    found: Option<Found>,
}

/// Listens to a child until its end.
fn hear(mut child: Child) -> Heard {
    let mut heard = Heard { seed: None, operations: 0, found: None };
    let output = child.stdout.take().expect("it is piped");
    let errors = child.stderr.take().map(|errors| thread::spawn(|| last_lines(errors)));
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if let Some(seed) = line.strip_prefix('@') {
            heard.seed = seed.parse().ok();
        } else if let Some(found) = line.strip_prefix('!') {
            let (kind, detail) = found.split_once('|').unwrap_or((found, ""));
            let found = Found { kind: kind.to_owned(), detail: detail.to_owned() };
            heard.found.get_or_insert(found);
        } else if let Some((_, operations)) =
            line.strip_prefix('=').and_then(|line| line.split_once(' '))
        {
            heard.operations = operations.parse().unwrap_or(0);
        }
    }
    let status = child.wait().expect("a child that has ended");
    let errors = errors.and_then(|errors| errors.join().ok()).unwrap_or_default();
    if !status.success() && heard.found.is_none() {
        let detail = format!("{status}\n{errors}");
        heard.found = Some(Found { kind: "died".to_owned(), detail });
    }
    heard
}

/// The last lines that a child prints before it dies are the reason. A sanitizer prints some hundred lines.
fn last_lines(errors: impl Read) -> String {
    let mut last = VecDeque::new();
    for line in BufReader::new(errors).split(b'\n').map_while(Result::ok) {
        last.push_back(String::from_utf8_lossy(&line).into_owned());
        if last.len() > 200 {
            last.pop_front();
        }
    }
    Vec::from(last).join("\n")
}
