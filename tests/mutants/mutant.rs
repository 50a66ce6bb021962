//! The list of mutants, which is that of cargo-mutants.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;

/// The rings, in the order in which they are measured, and the folders and files of `src` that belong to each.
pub(crate) const RINGS: [(&str, &[&str]); 6] = [
    (
        "kernel",
        &[
            "kernel",
            "base",
            "fifo.rs",
            "wait_list.rs",
            "kept_waker.rs",
            "foreign.rs",
            "engine.rs",
            "cold.rs",
        ],
    ),
    ("time", &["time", "sleep", "clock.rs"]),
    (
        "cancel",
        &[
            "cancel",
            "delivery",
            "catch",
            "timeout",
            "protect",
            "scope",
            "reason",
            "open_limits.rs",
            "deaf.rs",
            "awaited.rs",
            "aside.rs",
        ],
    ),
    ("many", &["gather", "wait", "group", "race", "join", "task_set"]),
    ("sync", &["sync", "waiting"]),
    ("rest", &[]),
];

/// One small fault.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Mutant {
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) span: Span,
    pub(crate) replacement: String,
    pub(crate) genre: String,
    /// Its name without the line, so that it stays the same when lines are added above. Equal ones of a file are numbered.
    #[serde(default)]
    pub(crate) key: String,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Span {
    pub(crate) start: Place,
    pub(crate) end: Place,
}

/// Both count from one; the column counts characters.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Place {
    line: usize,
    column: usize,
}

impl Place {
    /// Turns it into a number of bytes from the start of the text.
    pub(crate) fn offset_in(self, text: &str) -> usize {
        let before: usize = text.split_inclusive('\n').take(self.line - 1).map(str::len).sum();
        let column = text[before..].char_indices().nth(self.column - 1);
        column.map_or(text.len(), |(at, _)| before + at)
    }
}

impl Mutant {
    /// The index in `RINGS`.
    pub(crate) fn ring(&self) -> usize {
        let path = self.file.strip_prefix("src/").unwrap_or(&self.file);
        let first = path.split('/').next().unwrap_or(path);
        RINGS.iter().position(|(_, parts)| parts.contains(&first)).unwrap_or(RINGS.len() - 1)
    }
}

/// Asks cargo-mutants for the mutants of the crate.
pub(crate) fn list(root: &Path) -> Result<Vec<Mutant>, String> {
    let mut command = Command::new("cargo");
    command.args([
        "mutants",
        "--list",
        "--json",
        "--package",
        "loopwheel",
        "--config",
        "tests/mutants/mutants.toml",
    ]);
    let output =
        command.current_dir(root).stderr(Stdio::inherit()).output().map_err(|it| it.to_string())?;
    if !output.status.success() {
        return Err(
            "`cargo mutants` failed; it is installed by: cargo install cargo-mutants --locked"
                .to_owned(),
        );
    }
    let mut mutants: Vec<Mutant> = serde_json::from_slice(&output.stdout)
        .map_err(|it| format!("the list of cargo-mutants: {it}"))?;
    let mut seen: HashMap<String, usize> = HashMap::new();
    for mutant in &mut mutants {
        // The name is `file:line:column: what`.
        let what = mutant.name.splitn(4, ':').nth(3).unwrap_or(&mutant.name).trim();
        let key = format!("{}: {what}", mutant.file);
        let times = seen.entry(key.clone()).or_default();
        *times += 1;
        mutant.key = if *times == 1 { key } else { format!("{key} ({times})") };
    }
    Ok(mutants)
}
