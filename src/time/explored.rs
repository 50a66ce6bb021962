//! **Timers of the same moment in another order**, if the loop has a chooser.
//!
//! Most timers only wake a task. Their order is that of the ready queue, which is asked for before each poll (`explored`). But the
//! timer of a limit may poll its task at once, and a foreign waker may run any code: so if such a one is among them, it is asked
//! which comes next.

use std::mem;

use super::TimerAction;
use crate::choices::{Candidate, Kind};
use crate::engine::Engine;

impl Engine {
    /// Puts the actions of timers that fire in one check into the order that the chooser wants.
    #[cold]
    #[inline(never)]
    pub(super) fn explore_timers(&self, fired: &mut Vec<TimerAction>) {
        let Some(chooser) = self.chooser() else { return };
        let only_wakes = |action: &TimerAction| {
            matches!(self.plain_action(*action), TimerAction::WakeTask { .. })
        };
        if fired.iter().all(only_wakes) {
            return;
        }
        let mut left = mem::take(fired);
        while left.len() > 1 {
            let candidates: Vec<Candidate> =
                left.iter().filter_map(|action| self.candidate_of(*action)).collect();
            let chosen = chooser.choose(Kind::Timers, left.len(), &candidates);
            fired.push(left.remove(chosen.min(left.len() - 1)));
        }
        fired.append(&mut left);
    }

    fn candidate_of(&self, action: TimerAction) -> Option<Candidate> {
        let action = self.plain_action(action);
        let id = action.concerns_one_task().then(|| action.task(self.loop_index()))?;
        self.tasks.get(id).as_ref().map(Candidate::of)
    }
}
