//! What is known of each mutant, kept in a file so that a run can be stopped and taken up again.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::mutant::{Mutant, RINGS};

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

    /// Prints a row for each ring, and each mutant that no test caught.
    pub(crate) fn print(&self, mutants: &[Mutant]) {
        println!(
            "| ring | mutants | unviable | caught: first tier | second tier | by time | survived | unreached | apart | not run | share |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|---|");
        let mut left = Vec::new();
        for (ring, (name, _)) in RINGS.iter().enumerate() {
            let mut counts = [0_u32; 9];
            for mutant in mutants.iter().filter(|it| it.ring() == ring) {
                let verdict = self.get(mutant);
                let column = match &verdict {
                    Some(Verdict::Unviable) => 1,
                    Some(Verdict::Caught { tier: 1, .. }) => 2,
                    Some(Verdict::Caught { .. }) => 3,
                    Some(Verdict::TimedOut { .. }) => 4,
                    Some(Verdict::Survived { is_reached: true, .. }) => 5,
                    Some(Verdict::Survived { .. }) => 6,
                    Some(Verdict::Apart) => 7,
                    None => 8,
                };
                counts[0] += 1;
                counts[column] += 1;
                if let 5..=7 = column {
                    let verdict = verdict.map_or(String::new(), |it| format!("{it:?}"));
                    left.push(format!("{name}: {verdict}: {} [{}]", mutant.name, mutant.key));
                }
            }
            let caught = counts[2] + counts[3] + counts[4];
            let known = caught + counts[5] + counts[6];
            if known > 0 {
                let cells: Vec<String> = counts.iter().map(u32::to_string).collect();
                println!(
                    "| {name} | {} | {:.1} % |",
                    cells.join(" | "),
                    100.0 * f64::from(caught) / f64::from(known)
                );
            }
        }
        println!("\n{}", left.join("\n"));
    }
}
