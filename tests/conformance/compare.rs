//! Compares a run with the recorded trace, and shows where they differ.

use std::fmt::{self, Write};
use std::panic::catch_unwind;

use super::interpreter;
use super::program::{Class, Scenario, Trace};

/// What came of a file.
pub(crate) struct Checked {
    pub(crate) passed: usize,
    pub(crate) divergences: Vec<Divergence>,
}

/// A scenario that did not go as recorded.
pub(crate) struct Divergence {
    pub(crate) id: String,
    ours: Result<Trace, String>,
    recorded: Trace,
}

/// Runs every scenario of a file.
pub(crate) fn check_file(text: &str) -> Result<Checked, String> {
    let mut checked = Checked { passed: 0, divergences: Vec::new() };
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let scenario =
            serde_json::from_str(line).map_err(|error| format!("line {}: {error}", number + 1))?;
        match check(scenario) {
            None => checked.passed += 1,
            Some(divergence) => checked.divergences.push(divergence),
        }
    }
    Ok(checked)
}

fn check(scenario: Scenario) -> Option<Divergence> {
    let Scenario { id, class, program, trace: recorded } = scenario;
    let ours = catch_unwind(|| interpreter::run(&program)).map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        format!(
            "the interpreter panicked: {}",
            text.or(payload.downcast_ref().copied()).unwrap_or("?")
        )
    });
    let ours = ours.map(|mut trace| {
        if class == Class::Trace {
            // At one instant the order between tasks does not matter.
            trace.events.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        }
        trace
    });
    (ours.as_ref() != Ok(&recorded)).then_some(Divergence { id, ours, recorded })
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let recorded = lines(&self.recorded);
        let ours = self.ours.as_ref().map_or_else(|error| vec![error.clone()], lines);
        writeln!(f, "{}", self.id)?;
        writeln!(f, "    {:<50}   recorded", "ours")?;
        for row in 0..ours.len().max(recorded.len()) {
            let (left, right) = (ours.get(row), recorded.get(row));
            let mark = if left == right { ' ' } else { '*' };
            let text = |side: Option<&String>| side.cloned().unwrap_or_default();
            writeln!(f, "  {mark} {:<50} | {}", text(left), text(right))?;
        }
        Ok(())
    }
}

/// A trace as lines of text.
fn lines(trace: &Trace) -> Vec<String> {
    let mut lines = vec![format!("{} at {}", trace.outcome, trace.end)];
    lines.extend(trace.events.iter().map(|(at, label, text)| format!("{at:>5} {label}: {text}")));
    for (label, (state, end)) in &trace.tasks {
        let mut line = format!("task {label}: {state}");
        if let Some(end) = end {
            let _ = write!(line, " at {end}");
        }
        lines.push(line);
    }
    lines.extend(trace.unretrieved.iter().map(|label| format!("unretrieved: {label}")));
    lines
}
