//! Runs programs of tests until one of them fails.

use std::collections::HashSet;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, killpg};
use nix::sys::time::TimeValLike;
use nix::unistd::Pid;

use crate::tree::Binary;

/// How much of the processor's time a program of each tier takes, but for the last.
const TIERS: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(10)];

/// The tier that is only run where it is asked for.
pub(crate) const LONG: u8 = 3;

/// Random programs take minutes. Before the last tier there are fewer of them.
const FEWER: [(&str, &str); 4] = [
    ("MODEL_PROGRAMS", "1000"),
    ("FUZZ_OPERATIONS", "50000"),
    ("FUZZ_FAILURES", "1"),
    ("FUZZ_HANG", "5"),
];

/// Single tests that take seconds, most of them because they do something a million times. They too run only where the last tier
/// is asked for.
const LONG_TESTS: [&str; 44] = [
    "a_chain_of_a_hundred_thousand_awaits_and_a_ring_need_no_recursion",
    "a_chain_of_awaits_longer_than_the_stack_is_deep_can_be_cancelled",
    "a_hundred_thousand_are_gathered",
    "a_hundred_thousand_race",
    "a_long_chain_overflows_no_stack",
    "a_loop_that_ends_while_its_polls_are_recorded_is_freed",
    "a_million_groups_inside_each_other",
    "a_million_polls_at_one_moment",
    "a_program_survives_its_text",
    "a_run_for_ends_also_on_a_clock_that_stands_still",
    "a_run_until_stalled_gives_up",
    "a_stream_of_a_hundred_thousand_keeps_nothing",
    "a_swallowed_cancel_at_the_end_fails_the_test_and_it_ends",
    "a_task_that_swallows_the_cancel_and_goes_on_is_reported_once",
    "a_traced_run_is_the_run",
    "a_waker_that_outlives_its_loop_means_nothing_to_the_next_one",
    "an_observer_that_asks_what_a_task_waits_for_changes_nothing",
    "an_observer_that_panics_at_any_event_is_reported_once",
    "each_further_cancel_of_a_restless_set",
    "eighty_thousand_handles_in_one_set",
    "every_place_stands_every_deed",
    "groups_that_nest_deeper_than_the_stack",
    "in_a_set_of_sets_each_cleans_up",
    "in_a_set_with_restless_futures",
    "in_restless_sets",
    "it_is_a_sorted_map_for_a_million_operations",
    "loops_come_and_go_while_a_thread_keeps_waking_tasks_of_those_that_are_gone",
    "many_polls_are_no_livelock",
    "many_tasks_that_come_and_go_do_not_make_the_loop_reallocate_for_each",
    "memory_of_many_sleepers",
    "no_child_outlives_a_scope_that_is_dropped_hard",
    "nothing_is_lost_and_nothing_done_twice",
    "of_a_million_groups_inside_each_other",
    "other_threads_may_wake_while_the_loop_is_dropped",
    "seventy_thousand_limits_may_be_up_at_once",
    "tasks_in_a_cycle_beside_one_that_ticks",
    "tasks_that_keep_virtual_time_from_passing",
    "the_last_of_many_sleepers_does_not_keep_the_memory",
    "thousands_of_tasks_at_one_semaphore_take_lines_in_proportion",
    "tracing_that_begins_and_ends_anywhere_changes_nothing",
    "virtual_time_does_not_wait_again_and_again_before_narrow_jumps",
    "wakers_of_many_tasks_whose_slots_were_given_back",
    "what_is_folded_from_the_events_is_what_a_dump_says",
    "what_is_wrong_is_found_and_shrunk",
];

/// These measure real time, or other threads' progress. They come late, as a machine that is busy can make them fail.
const OF_REAL_TIME: [&str; 6] = ["host", "parking", "stress", "threads", "thread_channel", "watch"];

/// A program in which no thread has run for so long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(10);

/// A program of tests, and what a run without mutants told of it.
pub(crate) struct Suite {
    pub(crate) binary: Binary,
    /// The processor's time.
    took: Duration,
    pub(crate) tier: u8,
    /// With the long tests.
    is_long: bool,
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
    for binary in binaries {
        let Some((took, reaches)) = reach(&binary, folder, is_long) else { continue };
        let is_of_real_time = u8::from(OF_REAL_TIME.contains(&binary.name.as_str()));
        let longer_than: u8 = TIERS.iter().map(|it| u8::from(took > *it)).sum();
        let tier = 1 + longer_than.max(is_of_real_time);
        let (millis, count) = (took.as_millis(), reaches.len());
        eprintln!("tier {tier}, {millis:5} ms, {count:5} mutants reached: {}", binary.name);
        suites.push(Suite { binary, took, tier, is_long, reaches });
    }
    suites.sort_by_key(|it| (it.tier, it.took));
    suites
}

/// How long the program takes, and what it reaches. Kept in a file until the program is another one.
fn reach(binary: &Binary, folder: &Path, is_long: bool) -> Option<(Duration, HashSet<usize>)> {
    let folder = folder.join(if is_long { "reach-long" } else { "reach" });
    let file = folder.join(&binary.name);
    let built = fs::metadata(&binary.path).and_then(|it| it.modified()).expect("it was built");
    let is_new =
        |it: &Path| fs::metadata(it).and_then(|it| it.modified()).is_ok_and(|it| it > built);
    let took = file.with_extension("took");
    if !(is_new(&file) && is_new(&took)) {
        let _ = fs::create_dir_all(&folder).and_then(|()| fs::write(&file, ""));
        let before = spent();
        let variable = file.to_str().expect("a path in UTF-8");
        let end = run(binary, is_long, Duration::from_secs(300), ("MUTANTS_REACHED", variable));
        if end != End::Passed {
            eprintln!("{} is left out: without a mutant it ended as {end:?}", binary.name);
            return None;
        }
        let millis = spent().saturating_sub(before).as_millis();
        fs::write(&took, millis.to_string()).expect("the folder can be written");
    }
    let millis = fs::read_to_string(&took).ok()?.parse().ok()?;
    let reached = fs::read_to_string(&file).ok()?;
    let numbers = reached.split_whitespace().filter_map(|it| it.parse().ok());
    Some((Duration::from_millis(millis), numbers.collect()))
}

/// The processor's time that all children have had that have ended.
fn spent() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("it has no way to fail");
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micros.cast_unsigned())
}

impl Suite {
    /// Runs it with this mutant switched on. What fails in a later tier has to fail twice.
    pub(crate) fn run(&self, mutant: Option<usize>) -> End {
        let number = mutant.map_or(String::new(), |it| it.to_string());
        let limit = Duration::from_secs(2) + 4 * self.took;
        let run = || run(&self.binary, self.is_long, limit, ("MUTANT", &number));
        let end = run();
        if end == End::Failed && self.tier > 1 { run() } else { end }
    }
}

/// Runs a program until its end, until its first failed test, or until it had so much of the processor's time or is stuck. It gets
/// eight gigabytes.
fn run(binary: &Binary, is_long: bool, limit: Duration, variable: (&str, &str)) -> End {
    while env::var_os("MUTANTS_PAUSE").is_some_and(|it| Path::new(&it).exists()) {
        thread::sleep(Duration::from_secs(1));
    }
    let mut command = Command::new("sh");
    // Several in one `ulimit` are understood by bash only: dash obeys the first.
    let limits = format!(
        "ulimit -c 0; ulimit -S -t {}; ulimit -v 8388608; exec \"$0\" \"$@\"",
        limit.as_secs()
    );
    command.arg("-c").arg(limits).arg(&binary.path).current_dir(&binary.folder);
    if !is_long {
        command.args(LONG_TESTS.iter().flat_map(|it| ["--skip", it])).envs(FEWER);
    }
    command.env("CARGO_MANIFEST_DIR", &binary.folder).env("RUST_BACKTRACE", "0");
    command.env(variable.0, variable.1).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("a shell");
    let end = watch(&mut child, Instant::now() + STUCK_AFTER + 6 * limit);
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
fn watch(child: &mut Child, until: Instant) -> Option<End> {
    let output = BufReader::new(child.stdout.take().expect("it is piped"));
    let (sender, lines) = mpsc::channel();
    let read = move || output.lines().map_while(Result::ok).try_for_each(|it| sender.send(it));
    thread::spawn(read);
    let mut ran = (Instant::now(), 0);
    loop {
        match lines.recv_timeout(Duration::from_secs(1)) {
            Ok(line) if line.starts_with("test ") && line.ends_with("FAILED") => {
                return Some(End::Failed);
            }
            Ok(_) => ran.0 = Instant::now(),
            Err(RecvTimeoutError::Timeout) => {
                let (is_running, ticks) = activity(child.id());
                if is_running || ticks != ran.1 {
                    ran = (Instant::now(), ticks);
                }
                if ran.0.elapsed() > STUCK_AFTER || Instant::now() > until {
                    return Some(End::TimedOut);
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    // It has closed its output, and is at its end.
    let until = Instant::now() + 3 * STUCK_AFTER;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() > until {
            return Some(End::TimedOut);
        }
        thread::sleep(Duration::from_millis(3));
    }
    None
}

/// Whether a thread of this group of processes runs or would, and the ticks that the group has had. So a process that the machine
/// has no time for is not taken for one that is stuck.
fn activity(group: u32) -> (bool, u64) {
    let (mut is_running, mut ticks) = (false, 0);
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let of_group = group_and_ticks(&process.path()).filter(|(of, _)| *of == group);
        let Some((_, had)) = of_group else { continue };
        ticks += had;
        for thread in fs::read_dir(process.path().join("task")).into_iter().flatten().flatten() {
            let text = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            let state = text.rsplit(") ").next().and_then(|it| it.chars().next());
            is_running |= matches!(state, Some('R' | 'D'));
        }
    }
    (is_running, ticks)
}

fn group_and_ticks(process: &Path) -> Option<(u32, u64)> {
    let text = fs::read_to_string(process.join("stat")).ok()?;
    let fields: Vec<&str> = text.rsplit(") ").next()?.split(' ').collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some((fields.get(2)?.parse().ok()?, ticks))
}
