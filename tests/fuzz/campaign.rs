//! The campaign: lets children run programs until there were enough, and shrinks what fails.

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::generate;
use crate::ledger::Fault;
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
    /// After how many programs.
    pub(crate) after: u64,
}

/// A fault that a child found, or died of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) kind: String,
    pub(crate) detail: String,
}

impl From<Fault> for Found {
    fn from(fault: Fault) -> Found {
        Found { kind: fault.kind.to_owned(), detail: fault.detail }
    }
}

/// This very program, as a child that does one job: the test `in_a_child`.
pub(crate) fn child() -> Command {
    let mut command = Command::new(env::current_exe().expect("the path of this program"));
    command.args(["--exact", "in_a_child", "--nocapture", "--test-threads=1"]);
    command.env("FUZZ_CHILD", "1").stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Runs programs from a seed on, until so many operations are done or there are so many failures.
pub(crate) fn run(first: u64, operations: u64, failures_at_most: usize) -> Outcome {
    let mut outcome = Outcome::default();
    let mut seed = first;
    while outcome.operations < operations {
        let mut command = child();
        command.env("FUZZ_FIRST", seed.to_string());
        command.env("FUZZ_UNTIL", (operations - outcome.operations).to_string());
        let heard = hear(command.spawn().expect("a child process"));
        let last = heard.seed.unwrap_or(seed);
        outcome.programs += last - seed + 1;
        outcome.operations += heard.operations;
        let Some(found) = heard.found else { return outcome };
        // One that died could not say how much it had done.
        if heard.operations == 0 {
            outcome.operations += 20 * (last - seed + 1);
        }
        outcome.failures.push(Failure { seed: last, found, after: outcome.programs });
        if outcome.failures.len() >= failures_at_most {
            return outcome;
        }
        seed = last + 1;
    }
    outcome
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
    if !status.success() && heard.found.is_none() {
        heard.found = Some(Found { kind: "died".to_owned(), detail: status.to_string() });
    }
    heard
}

/// Runs one program in a child.
pub(crate) fn try_in_child(program: &Program, hang_after: u64) -> Option<Found> {
    let mut command = child();
    command.env("FUZZ_PROGRAM", serde_json::to_string(program).expect("a program as JSON"));
    command.env("FUZZ_HANG", hang_after.to_string());
    hear(command.spawn().expect("a child process")).found
}

/// What a failure looks like to people: small, with what it does and how to see it again.
pub(crate) fn describe(failure: &Failure, release: bool) -> String {
    let program = generate::program(failure.seed, Switches::from_env());
    let small = shrink::shrink(&program, |candidate| {
        try_in_child(candidate, 5).is_some_and(|found| found.kind == failure.found.kind)
    });
    let found = try_in_child(&small, 5).unwrap_or_else(|| failure.found.clone());
    let flag = if release { " --release" } else { "" };
    format!(
        "seed {}, program number {}: {}\n    {}\nshrunk to: {}\n{small}as JSON: {}\n\
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
