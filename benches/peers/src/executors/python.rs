//! Python's asyncio, and uvloop where it is installed: another language, for the record.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::executor::unable;
use crate::measure::Sample;
use crate::peer::{Kind, Measure, Peer};
use crate::scale::Scale;
use crate::workloads::{self, Workload};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/workloads.py");

/// What the script has no function for: a loop of another thread's making that never sleeps, and floods.
/// Nor a server.
const NOT_IN_PYTHON: [&str; 7] =
    ["thread-busy", "thread-flood", "echo-1", "echo-100", "echo-1000", "echo-idle", "http-200"];

pub(crate) fn peers() -> [Peer; 2] {
    [
        python("Python asyncio", |workload, scale| become_python("asyncio", workload, scale)),
        python("Python uvloop", |workload, scale| become_python("uvloop", workload, scale)),
    ]
}

/// Whether `python3` is here, and can import the module. Asked once, before the rounds.
pub(crate) fn has_module(module: &str) -> bool {
    let mut python = Command::new("python3");
    python.args(["-c", &format!("import {module}")]).stderr(Stdio::null());
    python.status().is_ok_and(|status| status.success())
}

fn python(name: &'static str, measure: Measure) -> Peer {
    let in_python = |workload: &&&'static Workload| !NOT_IN_PYTHON.contains(&workload.name);
    let rows = workloads::ALL.iter().filter(in_python).map(|workload| (*workload, measure));
    Peer::other(name, "", Kind::ForTheRecord).rows(rows)
}

/// Puts Python in the place of this process: it prints the line, and it is what is killed if it hangs.
fn become_python(event_loop: &str, workload: &Workload, scale: Scale) -> Sample {
    let scale = format!("{scale:?}").to_lowercase();
    unable(Command::new("python3").args([SCRIPT, event_loop, workload.name, &scale]).exec())
}
