//! Other languages, for the record: Python's asyncio (and uvloop), coroutines of C++20, Go, and Node. Each has a program of its
//! own beside `src`, which does a workload and prints the line of a sample. It takes part where its tool is.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context, Result, ensure};

use crate::choice::is_of_family;
use crate::executor::unable;
use crate::measure::Sample;
use crate::peer::{Kind, Measure, Peer};
use crate::scale::Scale;
use crate::workloads::{self, Workload};

/// Where the programs stand.
const HERE: &str = env!("CARGO_MANIFEST_DIR");

struct Language {
    name: &'static str,
    /// The tool that it takes, and how that is asked for its version.
    tool: [&'static str; 2],
    /// The families of workloads that its program has.
    families: &'static [&'static str],
    /// Whether it takes part with a million tasks too.
    long: bool,
    measure: Measure,
}

const LANGUAGES: [Language; 5] = [
    Language {
        name: "Python asyncio",
        tool: ["python3", "--version"],
        families: PYTHON,
        long: false,
        measure: |workload, scale| become_python("asyncio", workload, scale),
    },
    Language {
        name: "Python uvloop",
        tool: ["python3", "--version"],
        families: PYTHON,
        long: false,
        measure: |workload, scale| become_python("uvloop", workload, scale),
    },
    Language {
        name: CPP,
        tool: ["g++", "--version"],
        families: &[
            "spawn",
            "gather",
            "yield",
            "ring",
            "storm",
            "queue",
            "semaphore",
            "timers",
            "memory",
        ],
        long: true,
        measure: |workload, scale| become_program(Command::new(built(CPP)), workload, scale),
    },
    Language {
        name: GO,
        tool: ["go", "version"],
        families: &[
            "spawn",
            "gather",
            "yield",
            "ring",
            "storm",
            "queue",
            "semaphore",
            "timers",
            "timeout",
            "lateness",
            "memory",
        ],
        long: true,
        measure: |workload, scale| {
            let mut program = Command::new(built(GO));
            program.env("GODEBUG", "asyncpreemptoff=1");
            become_program(program, workload, scale)
        },
    },
    Language {
        name: "Node",
        tool: ["node", "--version"],
        families: &[
            "spawn", "gather", "yield", "ring", "storm", "queue", "timers", "timeout", "memory",
        ],
        long: false,
        measure: |workload, scale| {
            let mut node = Command::new("node");
            node.arg("--expose-gc").arg(Path::new(HERE).join("node/workloads.mjs"));
            become_program(node, workload, scale)
        },
    },
];

const CPP: &str = "C++20 coroutines";
const GO: &str = "Go, one processor";

/// No loop of another thread's making that never sleeps, no flood, and no server.
const PYTHON: &[&str] = &[
    "spawn",
    "gather",
    "yield",
    "ring",
    "storm",
    "queue",
    "semaphore",
    "timers",
    "timeout",
    "lateness",
    "thread-parked",
    "memory",
];

pub(crate) fn peers() -> impl Iterator<Item = Peer> {
    LANGUAGES.iter().map(|language| {
        let has = |workload: &&&'static Workload| {
            let in_family = |family: &&str| is_of_family(workload.name, family);
            language.families.iter().any(in_family) && (language.long || !workload.is_long())
        };
        let rows = workloads::ALL.iter().filter(has);
        let rows = rows.map(|workload| (*workload, language.measure));
        let peer = Peer::other(language.name, "", Kind::OtherLanguage).rows(rows);
        match language.name {
            GO => peer
                .remark("timeout", A_GOROUTINE)
                .remark("timeout-10k", A_GOROUTINE)
                .remark("timeout-armed", A_GOROUTINE),
            _ => peer,
        }
    })
}

const A_GOROUTINE: &str = "what has a limit is a goroutine of its own";

/// Whether a peer is no language, or one whose tool is on this machine.
pub(crate) fn is_here(peer: &Peer) -> bool {
    LANGUAGES.iter().find(|language| language.name == peer.name).is_none_or(is_at_hand)
}

fn is_at_hand(language: &Language) -> bool {
    let [tool, version] = language.tool;
    let module = if language.name == "Python uvloop" { "uvloop" } else { "asyncio" };
    first_line(tool, version).is_some() && (tool != "python3" || has_module(module))
}

/// What the tools say about their versions, or that they are not here.
pub(crate) fn versions() -> Vec<String> {
    let version = |language: &Language| {
        let [tool, version] = language.tool;
        let line = first_line(tool, version).filter(|_| is_at_hand(language));
        let line = line.unwrap_or_else(|| "not here".to_owned());
        format!("{}: {line}", language.name)
    };
    LANGUAGES.iter().map(version).collect()
}

/// The first line that a program prints.
pub(crate) fn first_line(program: &str, argument: &str) -> Option<String> {
    let mut command = Command::new(program);
    let done = command.arg(argument).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&done.stdout);
    done.status.success().then(|| text.lines().next().unwrap_or_default().trim().to_owned())
}

fn has_module(module: &str) -> bool {
    let mut python = Command::new("python3");
    python.args(["-c", &format!("import {module}")]).stderr(Stdio::null());
    python.status().is_ok_and(|status| status.success())
}

/// Compiles what has to be compiled for these peers: once, before the rounds.
pub(crate) fn build(peers: &[Peer]) -> Result<()> {
    for peer in peers {
        let program = built(peer.name);
        let mut compiler = match peer.name {
            CPP => Command::new("g++"),
            GO => Command::new("go"),
            _ => continue,
        };
        match peer.name {
            CPP => compiler.args(["-std=c++20", "-O3", "cpp/workloads.cpp", "-o"]).arg(&program),
            _ => compiler.args(["build", "-o"]).arg(&program).arg("go/workloads.go"),
        };
        fs::create_dir_all(program.parent().context("a folder")?)?;
        let done = compiler.current_dir(HERE).env("GO111MODULE", "off").output()?;
        let complaint = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "cannot build {}: {complaint}", peer.name);
    }
    Ok(())
}

/// The program of a language, beside this one.
fn built(name: &str) -> PathBuf {
    let program = env::current_exe().expect("Linux tells");
    let folder = program.parent().expect("a program is in a folder");
    folder.join("other-languages").join(name)
}

fn become_python(event_loop: &str, workload: &Workload, scale: Scale) -> Sample {
    let mut python = Command::new("python3");
    python.arg(Path::new(HERE).join("python/workloads.py")).arg(event_loop);
    become_program(python, workload, scale)
}

/// Puts the program in the place of this process: it prints the line, and it is what is killed if it hangs.
fn become_program(mut program: Command, workload: &Workload, scale: Scale) -> Sample {
    unable(program.arg(workload.name).arg(scale.to_string()).exec())
}
