//! Programs run in this child process, because any of them may abort it, hang it, or overflow its stack. It prints to stdout
//! what it is about to do and what it found:
//!
//! ```text
//! @17                      the program of seed 17 begins
//! !a lost wake-up|…        a check did not hold; kind and detail
//! =1000 28311              so many programs and operations are done
//! ```

use std::env;
use std::panic;
use std::process;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use loopwheel::EventLoop;

use crate::counting::counts;
use crate::generate;
use crate::host::{Report, execute};
use crate::ledger::Fault;
use crate::program::Program;
use crate::switches::Switches;
use crate::world::World;

/// The crate's documented panics.
const DOCUMENTED: [&str; 9] = [
    "a task cannot await itself",
    ") was awaited although",
    "the guard of a wait that was dropped holds nothing",
    "the task group is",
    "the outcome of a `RemoteTask` was taken",
    "a semaphore cannot have more than",
    "this queue is putting its items in order",
    // A `Task` that was awaited by reference, and then made a `SharedTask` and awaited again, or gathered.
    "was taken before it was shared",
    "the outcome of a gathered task was taken before",
];

/// The panic of another thread, where none should happen.
static STRAY: Mutex<Option<String>> = Mutex::new(None);
static PROGRAMS: AtomicU64 = AtomicU64::new(0);

/// The job of a child.
pub(crate) enum Job {
    /// Runs programs from this seed on, until this many operations are done.
    Seeds { first: u64, operations: u64 },
    /// Runs this program once.
    One { program: Box<Program>, is_verbose: bool },
}

impl Job {
    pub(crate) fn from_env() -> Option<Job> {
        let number = |name: &str| env::var(name).ok()?.parse().ok();
        if let Ok(program) = env::var("FUZZ_PROGRAM") {
            let program = serde_json::from_str(&program).expect("a program as JSON");
            return Some(Job::One { program, is_verbose: env::var("FUZZ_VERBOSE").is_ok() });
        }
        Some(Job::Seeds { first: number("FUZZ_FIRST")?, operations: number("FUZZ_UNTIL")? })
    }
}

pub(crate) fn work(job: Job) {
    println!(); // the harness has begun a line
    panic::set_hook(Box::new(hook));
    begin_watchdog();
    drop((0..8).map(|_| EventLoop::new()).collect::<Vec<_>>()); // what is kept for loops for ever
    match job {
        Job::One { program, is_verbose } => {
            if let Some(fault) = try_program(&program, is_verbose).0 {
                println!("!{}|{}", fault.kind, fault.detail.replace('\n', " "));
            }
        }
        Job::Seeds { first, operations: until } => {
            let switches = Switches::from_env();
            let mut operations = 0;
            for seed in first.. {
                println!("@{seed}");
                let (fault, more) = try_program(&generate::program(seed, switches), false);
                operations += more;
                if let Some(fault) = fault {
                    println!("!{}|{}", fault.kind, fault.detail.replace('\n', " "));
                    println!("={} {operations}", seed - first + 1);
                    return;
                }
                if operations >= until {
                    println!("={} {operations}", seed - first + 1);
                    return;
                }
            }
        }
    }
}

/// Runs a program twice, to see that it does the same again and leaves no memory behind.
pub(crate) fn try_program(program: &Program, is_verbose: bool) -> (Option<Fault>, u64) {
    PROGRAMS.fetch_add(1, Ordering::Relaxed);
    let first = execute(program, is_verbose);
    let operations = first.operations;
    if let Ok(kind) = env::var("FUZZ_WRONG")
        && first.log.iter().any(|line| line.what == "gathers")
    {
        return (Some(go_wrong(&kind)), operations);
    }
    let fault = fault_of(&first)
        .or_else(|| if program.settings.threads { None } else { compare(program, &first) });
    (fault, operations)
}

/// Gathering is correct. This reports it as a fault, to test that faults are found.
fn go_wrong(kind: &str) -> Fault {
    match kind {
        "abort" => process::abort(),
        "hang" => loop {
            thread::yield_now();
        },
        _ => Fault { kind: "no program gathers", detail: "this one does".to_owned() },
    }
}

fn fault_of(report: &Report) -> Option<Fault> {
    let stray = STRAY.lock().ok().and_then(|mut stray| stray.take());
    let stray = stray.map(|detail| Fault { kind: "a panic inside", detail });
    report.fault.clone().or(stray)
}

fn compare(program: &Program, first: &Report) -> Option<Fault> {
    // A channel's memory comes and goes in blocks. A real leak shows up every time.
    let mut grown = 0;
    for _ in 0..4 {
        let before = counts().live_bytes;
        let again = execute(program, false);
        let fault = fault_of(&again);
        let difference = again.log.iter().zip(&first.log).position(|(one, two)| one != two);
        let difference = difference
            .or((again.log.len() != first.log.len()).then_some(again.log.len()))
            .map(|line| {
                let text = |report: &Report| {
                    report.log.get(line).map_or("the end".to_owned(), ToString::to_string)
                };
                format!("line {line}: {} / {}", text(first), text(&again))
            });
        let leaks = again.leaks;
        drop(again);
        if fault.is_some() {
            return fault;
        }
        if let Some(detail) = difference {
            return Some(Fault { kind: "two traces", detail });
        }
        grown = counts().live_bytes - before;
        if leaks || grown <= 0 {
            return None;
        }
    }
    Some(Fault { kind: "memory leaked", detail: format!("{grown} bytes each time") })
}

/// Hostile code panics without calling this hook. So a panic that gets here is documented, or a fault.
fn hook(info: &panic::PanicHookInfo<'_>) {
    let payload = info.payload();
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("something");
    if DOCUMENTED.iter().any(|documented| text.contains(documented)) {
        return;
    }
    let at = info.location().map(ToString::to_string).unwrap_or_default();
    let detail = format!("{text} at {at}");
    eprintln!("{detail}");
    match World::current() {
        Some(world) => world.ledger.fault("a panic inside", detail),
        None => drop(STRAY.lock().map(|mut stray| stray.get_or_insert(detail).len())),
    }
}

/// No program takes this long. The limit is on the processor's time, because other processes may have it for a while; for a program
/// that waits for what never comes, it is on real time. This needs the real clock: in a program that hangs virtual time stops.
fn begin_watchdog() {
    let seconds = env::var("FUZZ_HANG").ok().and_then(|it| it.parse().ok()).unwrap_or(20);
    let at_most = Duration::from_secs(seconds);
    thread::spawn(move || {
        let beginning = || (PROGRAMS.load(Ordering::Relaxed), processor_time(), Instant::now());
        let (mut program, mut processor, mut real) = beginning();
        loop {
            thread::sleep(Duration::from_millis(250)); // the real clock is the point: see above
            if PROGRAMS.load(Ordering::Relaxed) != program {
                (program, processor, real) = beginning();
            } else if processor_time().saturating_sub(processor) > at_most
                || real.elapsed() > 15 * at_most
            {
                println!("!hangs|no end after {seconds} s");
                process::abort();
            }
        }
    });
}

/// Returns how long this process has been at work.
#[cfg(unix)]
fn processor_time() -> Duration {
    let clock = nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID;
    nix::time::clock_gettime(clock).map_or(Duration::ZERO, Duration::from)
}

#[cfg(not(unix))]
fn processor_time() -> Duration {
    Duration::ZERO
}
