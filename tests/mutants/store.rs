//! What is known of each mutant, kept in a file so that a run can be stopped and taken up again.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::mutant::{Mutant, RINGS};
use crate::reasons::Reasons;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// A test of this program failed.
    Caught { by: String, tier: u8 },
    /// This program did not end.
    TimedOut { by: String, tier: u8 },
    /// No test of these tiers failed.
    Survived { tiers: u8, is_reached: bool },
    /// It does not compile.
    Unviable,
    /// It cannot be switched on while a program runs, and has not been tried alone yet.
    Apart,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    mutant: String,
    verdict: Verdict,
}

pub(crate) struct Store {
    path: PathBuf,
    verdicts: Mutex<BTreeMap<String, Verdict>>,
}

impl Store {
    /// Reads what is there. The last word on a mutant counts.
    pub(crate) fn open(path: PathBuf) -> Store {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let entries = text.lines().filter_map(|it| serde_json::from_str::<Entry>(it).ok());
        let verdicts = entries.map(|it| (it.mutant, it.verdict)).collect();
        Store { path, verdicts: Mutex::new(verdicts) }
    }

    pub(crate) fn get(&self, mutant: &Mutant) -> Option<Verdict> {
        self.verdicts.lock().expect("no thread panics").get(&mutant.key).cloned()
    }

    pub(crate) fn set(&self, mutant: &Mutant, verdict: Verdict) {
        let mut verdicts = self.verdicts.lock().expect("no thread panics");
        let entry = Entry { mutant: mutant.key.clone(), verdict };
        let line = serde_json::to_string(&entry).expect("it has only texts and numbers") + "\n";
        let file = OpenOptions::new().append(true).create(true).open(&self.path);
        file.and_then(|mut it| it.write_all(line.as_bytes()))
            .expect("the file of verdicts can be written");
        verdicts.insert(entry.mutant, entry.verdict);
    }

    /// Prints a row for each ring; what survived, by its reason; and what is in need of one.
    pub(crate) fn print(&self, mutants: &[Mutant], reasons: &Reasons) {
        println!(
            "| ring | mutants | do not compile | need a build each | not run | caught | caught: the test did not end | survived | \
             – with a reason | caught | caught, without those with a reason |"
        );
        println!("|{}", "---|".repeat(11));
        let mut by_reason: BTreeMap<&str, usize> = BTreeMap::new();
        let mut left = Vec::new();
        let mut survivors = HashSet::new();
        for (ring, (name, _)) in RINGS.iter().enumerate() {
            let mut counts = Counts::default();
            for mutant in mutants.iter().filter(|it| it.ring() == ring) {
                let verdict = self.get(mutant);
                counts.add(verdict.as_ref());
                let reason = reasons.of(&mutant.key);
                match verdict {
                    Some(Verdict::Survived { .. }) if reason.is_some() => {
                        counts.explained += 1;
                        *by_reason.entry(reason.unwrap_or_default()).or_default() += 1;
                        survivors.insert(mutant.key.as_str());
                    }
                    Some(verdict @ (Verdict::Survived { .. } | Verdict::Apart)) => {
                        left.push(format!("{name}: {verdict:?}: {} [{}]", mutant.name, mutant.key));
                    }
                    _ => {}
                }
            }
            if counts.caught + counts.timed_out + counts.survived > 0 {
                println!("| {name} | {counts} |");
            }
        }
        println!("\n| why they survive | mutants |\n|---|---|");
        for (why, count) in by_reason {
            println!("| {} | {count} |", why.replace('|', "\\|"));
        }
        println!("\n{}", left.join("\n"));
        for key in reasons.of_none(|key| survivors.contains(key)) {
            println!("a reason, and no survivor: {key}");
        }
    }
}

/// What came of the mutants of a ring.
#[derive(Default)]
struct Counts {
    unviable: u32,
    apart: u32,
    not_run: u32,
    caught: u32,
    timed_out: u32,
    survived: u32,
    /// Survivors with a reason.
    explained: u32,
}

impl Counts {
    fn add(&mut self, verdict: Option<&Verdict>) {
        let count = match verdict {
            Some(Verdict::Unviable) => &mut self.unviable,
            Some(Verdict::Apart) => &mut self.apart,
            Some(Verdict::Caught { .. }) => &mut self.caught,
            Some(Verdict::TimedOut { .. }) => &mut self.timed_out,
            Some(Verdict::Survived { .. }) => &mut self.survived,
            None => &mut self.not_run,
        };
        *count += 1;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { unviable, apart, not_run, caught, timed_out, survived, explained } = *self;
        let noticed = caught + timed_out;
        let all = noticed + survived + apart + unviable + not_run;
        let share = |of: u32| 100.0 * f64::from(noticed) / f64::from(of.max(1));
        write!(
            f,
            "{all} | {unviable} | {apart} | {not_run} | {caught} | {timed_out} | {survived} | {explained} | {:.1} % | {:.1} %",
            share(noticed + survived),
            share(noticed + survived - explained)
        )
    }
}
