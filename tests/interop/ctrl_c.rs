//! Tests Ctrl-C on a separate program: this test runs the example in a second process.
#![cfg(unix)]

use std::env;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

#[path = "../../docs/embedding/ctrl_c.rs"]
#[allow(dead_code)] // its `main` is for when it is run alone
mod ctrl_c;

/// Says how long the example's clean-up takes, in seconds. The tests below set it for their second process.
const GOODBYE_SECONDS: &str = "LOOPWHEEL_TEST_GOODBYE_SECONDS";

/// The second process runs this. Without the variable it has nothing to do.
#[test]
fn the_example() {
    if let Ok(seconds) = env::var(GOODBYE_SECONDS) {
        let goodbye = Duration::from_secs(seconds.parse().unwrap());
        std::process::exit(ctrl_c::work_and_say_goodbye(goodbye).into());
    }
}

/// The running example.
struct Program {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(goodbye_seconds: u32) -> Program {
        let mut process = Command::new(env::current_exe().unwrap())
            .args(["--exact", "the_example", "--nocapture"])
            .env(GOODBYE_SECONDS, goodbye_seconds.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Program { process, lines }
    }

    /// Reads until the program says so.
    #[track_caller]
    fn says(&mut self, expected: &str) {
        let said = self.lines.any(|line| line.unwrap().ends_with(expected));
        assert!(said, "it never said {expected:?}");
    }

    fn press_ctrl_c(&self) {
        let kill = format!("kill -INT {}", self.process.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Returns the rest of what it says, and its exit code.
    fn end(mut self) -> (Vec<String>, Option<i32>) {
        let rest = self.lines.map(Result::unwrap).collect();
        (rest, self.process.wait().unwrap().code())
    }
}

#[test]
fn ctrl_c_cancels_main_and_its_clean_up_runs() {
    let mut program = Program::start(0);
    program.says("working; Ctrl-C ends it");
    program.press_ctrl_c();
    program.says("saying goodbye");
    let (rest, code) = program.end();
    assert_eq!(rest, ["cleaned up", "cancelled: Ctrl-C"]);
    assert_eq!(code, Some(130));
}

#[test]
fn a_second_ctrl_c_does_not_wait_for_the_clean_up() {
    let mut program = Program::start(3600);
    program.says("working; Ctrl-C ends it");
    program.press_ctrl_c();
    program.says("saying goodbye");
    program.press_ctrl_c();
    let (rest, code) = program.end();
    assert_eq!(rest, [""; 0]);
    assert_eq!(code, Some(130));
}
