//! How much of everything is done: a smoke test, a look, or the full run.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scale {
    /// Tiny sizes, once: is every result right?
    Smoke,
    /// The real sizes, repeated for a moment.
    Quick,
    /// The real sizes, repeated for longer, in more rounds.
    Full,
}

impl Scale {
    /// The size of a workload; a smoke test shrinks what is big.
    pub(crate) fn size(self, full: usize) -> usize {
        match self {
            Scale::Smoke => full.min(20 + full / 1_000),
            Scale::Quick | Scale::Full => full,
        }
    }

    /// A process repeats its workload for so long,
    pub(crate) fn time(self) -> Duration {
        match self {
            Scale::Smoke => Duration::ZERO,
            Scale::Quick => Duration::from_millis(40),
            Scale::Full => Duration::from_millis(500),
        }
    }

    /// and at least so many times.
    pub(crate) fn repetitions(self) -> usize {
        match self {
            Scale::Smoke | Scale::Quick => 1,
            Scale::Full => 5,
        }
    }

    /// So many processes measure the same thing, each in a round of its own.
    pub(crate) fn rounds(self) -> usize {
        match self {
            Scale::Smoke => 1,
            Scale::Quick | Scale::Full => 9,
        }
    }

    /// A process that takes longer hangs.
    pub(crate) fn limit(self) -> Duration {
        match self {
            Scale::Smoke => Duration::from_secs(5),
            Scale::Quick => Duration::from_secs(15),
            Scale::Full => Duration::from_secs(60),
        }
    }
}

/// As an argument of this program, and of those in other languages.
impl Display for Scale {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        formatter.write_str(match self {
            Scale::Smoke => "smoke",
            Scale::Quick => "quick",
            Scale::Full => "full",
        })
    }
}
