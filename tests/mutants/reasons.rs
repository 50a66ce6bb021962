//! Why mutants survive, as far as it is known.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

#[derive(Deserialize)]
struct Entry {
    why: String,
    /// The keys of the mutants.
    mutants: Vec<String>,
}

#[derive(Deserialize)]
struct File {
    reasons: Vec<Entry>,
}

/// From the key of a mutant to the reason.
pub(crate) struct Reasons(HashMap<String, String>);

impl Reasons {
    pub(crate) fn read(root: &Path) -> Result<Reasons, String> {
        let path = root.join("tests/mutants/reasons.toml");
        let text = fs::read_to_string(&path).map_err(|it| format!("{}: {it}", path.display()))?;
        let file: File = toml::from_str(&text).map_err(|it| format!("{}: {it}", path.display()))?;
        let mut of_key = HashMap::new();
        for Entry { why, mutants } in file.reasons {
            for key in mutants {
                if let Some(other) = of_key.insert(key.clone(), why.clone()) {
                    return Err(format!("{key} has two reasons: {other}; {why}"));
                }
            }
        }
        Ok(Reasons(of_key))
    }

    pub(crate) fn of(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// The keys of which no survivor is.
    pub(crate) fn of_none(&self, is_survivor: impl Fn(&str) -> bool) -> Vec<&str> {
        let mut keys: Vec<&str> =
            self.0.keys().map(String::as_str).filter(|it| !is_survivor(it)).collect();
        keys.sort_unstable();
        keys
    }
}
