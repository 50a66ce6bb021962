//! Tests the dump by a signal on a separate program: this test runs the example in a second process.
#![cfg(unix)]

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

#[path = "../../docs/embedding/dump_on_signal.rs"]
#[allow(dead_code)] // its `main` is for when it is run alone
mod dump_on_signal;

/// Set for the second process.
const IS_SECOND: &str = "LOOPWHEEL_TEST_DUMP_ON_SIGNAL";

/// The second process runs this. Without the variable it has nothing to do.
#[test]
fn the_example() {
    if env::var_os(IS_SECOND).is_some() {
        dump_on_signal::hang(Duration::from_secs(600));
    }
}

#[test]
fn a_program_that_hangs_says_what_it_waits_for_when_it_gets_the_signal() {
    let mut process = Command::new(env::current_exe().unwrap())
        .args(["--exact", "the_example", "--nocapture"])
        .env(IS_SECOND, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("hanging: kill -USR1")), "it never hung");
    let (mut said, mut is_asked) = (String::new(), false);
    // Its tasks may not have come to their locks at the first signal: ask until they have.
    for _ in 0..100 {
        let kill = format!("kill -USR1 {}", process.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        is_asked = true;
        let tree: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        said = tree.join("\n");
        if said.contains("\"accounts\"") && said.contains("\"audit\"") {
            break;
        }
    }
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(is_asked);
    for part in ["'main'", "'deposit'", "'report'", "\"accounts\"", "\"audit\""] {
        assert!(said.contains(part), "no {part} in:\n{said}");
    }
}
