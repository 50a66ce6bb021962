//! What a tool says of a program.

use std::fmt;
use std::time::Duration;

/// A median is of so many searches, each of which gives up after so many runs.
pub(crate) const SEARCHES: usize = 20;
pub(crate) const GIVES_UP: usize = 2_000;

/// How the order of a run is chosen.
#[derive(Clone, Copy)]
pub(crate) enum Strategy {
    Random,
    Pct(u32),
}

/// All orders, depth first, as far as the limit.
pub(crate) struct All {
    /// The number of the first run that went wrong.
    pub(crate) first: Option<usize>,
    pub(crate) orders: usize,
    pub(crate) is_complete: bool,
    pub(crate) deepest: usize,
}

impl All {
    pub(crate) fn orders(&self) -> String {
        format!("{}{}", if self.is_complete { "all " } else { "" }, self.orders)
    }

    pub(crate) fn first(&self) -> String {
        self.first.map_or_else(|| "–".to_owned(), |first| first.to_string())
    }
}

/// How many runs it took to find a fault, over some searches.
pub(crate) struct Found {
    /// In ascending order, those that gave up last.
    runs: Vec<usize>,
    pub(crate) micros: f64,
}

impl Found {
    pub(crate) fn of(runs: impl IntoIterator<Item = Option<usize>>, micros: f64) -> Found {
        let mut runs: Vec<usize> = runs.into_iter().map(|run| run.unwrap_or(usize::MAX)).collect();
        runs.sort_unstable();
        Found { runs, micros }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = self.runs.iter().filter(|&&runs| runs < usize::MAX).count();
        match self.runs.get(self.runs.len() / 2) {
            Some(&median) if median < usize::MAX => write!(f, "{median}")?,
            _ => write!(f, "–")?,
        }
        if found < self.runs.len() {
            write!(f, " (found by {found} of {})", self.runs.len())?;
        }
        Ok(())
    }
}

/// What one of so many runs took.
pub(crate) fn micros_each(all: Duration, runs: usize) -> f64 {
    let runs = u32::try_from(runs).expect("some thousands");
    (all / runs).as_secs_f64() * 1e6
}
