//! **Progress**: a bar and a rate, if the exploration takes long and someone looks.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// So long nothing is shown.
const SHORT: Duration = Duration::from_secs(1);

pub(super) struct Progress {
    began: Instant,
    runs: u64,
    of: u64,
    may_show: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// `is_wanted`: `None` is if there is a terminal.
    pub(super) fn new(is_wanted: Option<bool>, of: u64) -> Progress {
        let may_show = is_wanted.unwrap_or_else(|| stderr().is_terminal());
        let began = Instant::now(); // of the real clock: it shows a person how fast it goes, and decides nothing
        Progress { began, runs: 0, of, may_show, bar: None }
    }

    /// A run has ended.
    pub(super) fn advance(&mut self) {
        self.runs += 1;
        if !self.may_show {
            return;
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.runs);
        } else if self.runs.is_multiple_of(16) && self.began.elapsed() > SHORT {
            self.bar = Some(self.new_bar());
        }
    }

    fn new_bar(&self) -> ProgressBar {
        let style = "exploring {wide_bar} {human_pos} of {human_len} orders, {per_sec}, {eta} left";
        let style = ProgressStyle::with_template(style);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(self.of), ProgressDrawTarget::stderr());
        bar.with_style(style).with_position(self.runs).with_elapsed(self.began.elapsed())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
