//! **Strategies**: who decides in an explored run.

use std::collections::BTreeMap;

use super::text::{Expected, Point};
use crate::choices::{Candidate, Kind};

/// A decision that is to be taken.
pub(crate) struct Asked<'a> {
    /// How many were taken before.
    pub(crate) number: usize,
    pub(crate) kind: Kind,
    pub(crate) options: usize,
    pub(crate) candidates: &'a [Candidate],
    /// How many polls there were before.
    pub(crate) polls: u64,
}

/// Takes the decisions of one run.
pub(crate) trait Strategy {
    /// An option; or why there is none, because the run is not the one that it is for.
    fn pick(&mut self, asked: &Asked<'_>) -> Result<usize, String>;

    /// A poll begins, before which there were so many; or a task ends without one.
    fn steps(&mut self, _candidate: &Candidate, _is_poll: bool, _polls: u64) {}

    /// The next poll is about to be chosen: what has been done since the last one is done.
    fn step_is_over(&mut self) {}

    /// Whether the next run is compared with this one.
    fn is_compared(&self) -> bool {
        false
    }

    /// What this run leads to was seen in another one.
    fn is_cut(&self) -> bool {
        false
    }

    /// The run has ended after so many decisions. An error as above.
    fn ends(&self, _taken: usize) -> Result<(), String> {
        Ok(())
    }
}

/// What a decision is about, for a message.
fn words(kind: Kind) -> &'static str {
    match kind {
        Kind::Ready => "the next task,",
        Kind::Cancel => "a cancel,",
        Kind::IdleCancel => "a cancel while nothing is ready,",
        Kind::EarlyTimer => "time that passes,",
        Kind::Timers => "the next timer,",
        Kind::User => "a `choose` of the test,",
    }
}

/// The tasks of a decision, for a message.
fn listed(kind: Kind, options: usize, candidates: &[Candidate]) -> String {
    let what = match kind {
        Kind::Ready => "ready",
        Kind::Cancel | Kind::IdleCancel => "to be cancelled, or none",
        Kind::EarlyTimer => return "whether time passes".to_owned(),
        Kind::Timers => "timers of",
        Kind::User => return format!("of `choose({options})`"),
    };
    let names: Vec<String> = candidates.iter().map(Candidate::to_string).collect();
    format!("{what}: {}", names.join(", "))
}

const HINT: &str = "A run must do the same each time that it is given the same choices: it must not depend on a real clock, on another \
                    thread, on the order of a `HashMap`, or on what an earlier run has left behind";

/// The choices of an earlier run, compared with it, and the first option from there on.
pub(crate) struct Follow(pub(crate) Vec<Point>);

impl Follow {
    /// The choice of an earlier run, if this is the same one.
    pub(super) fn compare(before: &Point, asked: &Asked<'_>) -> Result<usize, String> {
        let mut alike = before.candidates.iter().zip(asked.candidates);
        let is_the_same = before.kind == asked.kind
            && before.options == asked.options
            && alike.all(|(before, now)| before.is_like(now));
        if is_the_same {
            return Ok(before.chosen);
        }
        Err(format!(
            "choice {} was one of {} ({}), and with the same choices before it, it is now one of {} ({}). {HINT}",
            asked.number + 1,
            before.options,
            listed(before.kind, before.options, &before.candidates),
            asked.options,
            listed(asked.kind, asked.options, asked.candidates),
        ))
    }

    /// The run has ended after so many choices, of which so many were known.
    pub(super) fn compare_end(known: usize, taken: usize) -> Result<(), String> {
        if taken >= known {
            return Ok(());
        }
        Err(format!(
            "the run has ended after {taken} choices, and with the same choices it had more before. {HINT}"
        ))
    }
}

impl Strategy for Follow {
    fn pick(&mut self, asked: &Asked<'_>) -> Result<usize, String> {
        self.0.get(asked.number).map_or(Ok(0), |before| Follow::compare(before, asked))
    }

    fn is_compared(&self) -> bool {
        true
    }

    fn ends(&self, taken: usize) -> Result<(), String> {
        Follow::compare_end(self.0.len(), taken)
    }
}

/// A script, which is compared with the run.
pub(crate) struct Script(pub(crate) Vec<Expected>);

impl Strategy for Script {
    fn pick(&mut self, asked: &Asked<'_>) -> Result<usize, String> {
        let Some(expected) = self.0.get(asked.number) else { return Ok(0) };
        let about = expected.kind.filter(|kind| *kind != asked.kind);
        let is_other = about.is_some() || expected.options.is_some_and(|it| it != asked.options);
        if !is_other && expected.chosen < asked.options {
            return Ok(expected.chosen);
        }
        let of = expected.options.map(|options| format!(" of {options}")).unwrap_or_default();
        let about = about.map(|kind| format!(" and about {}", words(kind))).unwrap_or_default();
        Err(format!(
            "choice {} is to be option {}{of}, counted from zero,{about} but here it is one of {} ({}). The schedule is that of another \
             program, or of another exploration in this test. {HINT}",
            asked.number + 1,
            expected.chosen,
            asked.options,
            listed(asked.kind, asked.options, asked.candidates),
        ))
    }

    fn ends(&self, taken: usize) -> Result<(), String> {
        if taken >= self.0.len() {
            return Ok(());
        }
        Err(format!(
            "the schedule has {} choices, but the run has ended after {taken}. {HINT}",
            self.0.len()
        ))
    }
}

/// Choices for a program that may do something else with them: one that there is not is the first.
pub(crate) struct Clamped(pub(crate) Vec<usize>);

impl Strategy for Clamped {
    fn pick(&mut self, asked: &Asked<'_>) -> Result<usize, String> {
        Ok(self.0.get(asked.number).copied().filter(|it| *it < asked.options).unwrap_or(0))
    }
}

/// `SplitMix64`: the same numbers on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

/// Each choice is drawn at random. What is injected is rare, and how rare differs from run to run: if each place were as likely,
/// each cancel would come before one of the first polls.
pub(crate) struct Random {
    dice: Dice,
    one_in: u64,
}

impl Random {
    pub(crate) fn of_seed(seed: u64) -> Random {
        let mut dice = Dice(seed);
        let one_in = 1 << dice.below(8);
        Random { dice, one_in }
    }

    fn pick_option(&mut self, asked: &Asked<'_>) -> usize {
        let options = asked.options as u64;
        match asked.kind {
            Kind::Cancel | Kind::IdleCancel | Kind::EarlyTimer => {
                let is_none = self.dice.below(self.one_in) > 0;
                if is_none { 0 } else { 1 + self.dice.below(options - 1) as usize }
            }
            Kind::Ready | Kind::Timers | Kind::User => self.dice.below(options) as usize,
        }
    }
}

impl Strategy for Random {
    fn pick(&mut self, asked: &Asked<'_>) -> Result<usize, String> {
        Ok(self.pick_option(asked))
    }
}

/// A task that has not fallen has this priority at least: it is above each low one.
const LOWEST_OF_ITS_OWN: u64 = 1 << 32;

/// Probabilistic concurrency testing: each task has a random priority, the ready task with the highest is polled, and before some
/// polls, drawn at random, the one that would be next falls to a low priority. Each of these polls is drawn with a low priority of its
/// own: so of two tasks that fall, either may be the lower one, whichever falls first.
pub(crate) struct Pct {
    random: Random,
    /// By the word of the task's id. The higher, the sooner.
    priorities: BTreeMap<usize, u64>,
    /// Before which poll one falls, and to which priority: the last one first.
    falls: Vec<(u64, u64)>,
}

impl Pct {
    /// `steps`: how many polls a run has, about. More falls than polls are of no use.
    pub(crate) fn of_seed(seed: u64, depth: u32, steps: u64) -> Pct {
        let mut random = Random::of_seed(seed);
        let lows = 1..=u64::from(depth - 1).min(steps);
        let mut falls: Vec<(u64, u64)> = lows.map(|low| (random.dice.below(steps), low)).collect();
        falls.sort_unstable_by(|a, b| b.cmp(a));
        Pct { random, priorities: BTreeMap::new(), falls }
    }

    /// Lets this task fall if a fall is due before the poll before which there were so many.
    fn falls(&mut self, task: &Candidate, polls: u64) -> bool {
        let due = self.falls.pop_if(|(at, _)| *at <= polls);
        due.is_some_and(|(_, low)| {
            self.priorities.insert(task.id.word(), low);
            true
        })
    }

    fn best(&self, candidates: &[Candidate]) -> usize {
        let priority = |at: usize| self.priorities.get(&candidates[at].id.word());
        // Of equal priorities, which are next to impossible, the first.
        (0..candidates.len()).rev().max_by_key(|at| priority(*at)).unwrap_or(0)
    }
}

impl Strategy for Pct {
    fn pick(&mut self, asked: &Asked<'_>) -> Result<usize, String> {
        if asked.kind != Kind::Ready {
            return Ok(self.random.pick_option(asked));
        }
        for candidate in asked.candidates {
            let dice = &mut self.random.dice;
            let of_task = self.priorities.entry(candidate.id.word());
            of_task.or_insert_with(|| LOWEST_OF_ITS_OWN + (dice.next() >> 1));
        }
        let mut best = self.best(asked.candidates);
        while self.falls(&asked.candidates[best], asked.polls) {
            best = self.best(asked.candidates);
        }
        Ok(best)
    }

    fn steps(&mut self, candidate: &Candidate, is_poll: bool, polls: u64) {
        // It was the only one that was ready. It falls behind those that come later.
        while is_poll && self.falls(candidate, polls) {}
    }
}
