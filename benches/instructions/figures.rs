//! The committed figures: instructions per operation, and the compiler that they depend on.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::process::Command;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions/figures.toml");

const HEADER: &str = "\
# Instructions per operation. `cargo bench --bench instructions` compares with them, and `-- --update` writes them.
# They hang on the compiler, the target, and the system's allocator.
";

pub(crate) struct Figures {
    counted_with: String,
    of_paths: BTreeMap<String, f64>,
}

impl Figures {
    /// Understands only the TOML that `write` writes: a line for each value.
    pub(crate) fn read() -> Result<Figures, String> {
        let text = fs::read_to_string(FILE).map_err(|error| format!("{FILE}: {error}"))?;
        let mut figures = Figures { counted_with: String::new(), of_paths: BTreeMap::new() };
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', '['])) {
            let wrong = || format!("{FILE}: what is this? {line}");
            let (name, value) = line.split_once(" = ").ok_or_else(wrong)?;
            if name == "compiler" {
                value.trim_matches('"').clone_into(&mut figures.counted_with);
            } else {
                let figure = value.parse().map_err(|_| wrong())?;
                figures.of_paths.insert(name.to_owned(), figure);
            }
        }
        Ok(figures)
    }

    pub(crate) fn of(&self, path: &str) -> Option<f64> {
        self.of_paths.get(path).copied()
    }

    pub(crate) fn set(&mut self, path: &str, instructions: f64) {
        self.of_paths.insert(path.to_owned(), instructions);
    }

    pub(crate) fn write(&self) -> Result<(), String> {
        let mut text = format!("{HEADER}compiler = \"{}\"\n\n[instructions]\n", compiler()?);
        for (name, figure) in &self.of_paths {
            writeln!(text, "{name} = {figure:.1}").expect("into a string");
        }
        fs::write(FILE, text).map_err(|error| format!("{FILE}: {error}"))
    }

    /// Returns what to say about figures that differ, if the compiler differs too.
    pub(crate) fn of_another_compiler(&self) -> Option<String> {
        let (then, now) = (&self.counted_with, compiler().ok()?);
        (*then != now).then(|| {
            format!("but the committed figures were counted with {then}, and this is {now}: compare with it first")
        })
    }
}

/// Returns the compiler's release and target.
fn compiler() -> Result<String, String> {
    let output = Command::new("rustc").arg("-vV").output();
    let output = output.map_err(|error| format!("rustc cannot be asked its version: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let value = |key| text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("?");
    Ok(format!("rustc {}, {}", value("release: "), value("host: ")))
}
