//! **Timers of the same moment in another order**, if the loop has a chooser.
//!
//! Most timers only wake a task. Their order is that of the ready queue, which is asked for before each poll (`explored`). But the
//! timer of a limit may poll its task at once, and a foreign waker may run any code: so if such a one is among them, it is asked
//! which comes next.
//!
//! A question in each check would cost every check something. On virtual time timers become due by a jump, which is rare, and
//! asks whether it is watched anyway: so those that a jump makes due fire there, and not in the next turn.

use super::TimerAction;
use crate::choices::{Candidate, Kind};
use crate::engine::Engine;

impl Engine {
    /// Does the actions of all timers that are due, in the order that the chooser wants.
    #[cold]
    pub(crate) fn fire_in_any_order(&self) {
        let mut fired = self.time.fired.take();
        let now = self.now();
        self.time.wheel.borrow_mut().advance(now.as_nanos(), &mut fired);
        let only_wakes = |action: &TimerAction| {
            matches!(self.plain_action(*action), TimerAction::WakeTask { .. })
        };
        if !fired.is_empty() {
            self.choices.fired.update(|before| before + fired.len());
            self.choices.no_cancel_while_idle.set(false); // a timer may poll its task here
        }
        let is_asked = !fired.iter().all(only_wakes);
        while !fired.is_empty() {
            let next = if is_asked { self.next_of(&fired) } else { 0 };
            self.fire(fired.remove(next));
        }
        self.time.fired.set(fired);
    }

    /// The index of the timer that fires next.
    fn next_of(&self, left: &[TimerAction]) -> usize {
        let Some(chooser) = self.chooser().filter(|_| left.len() > 1) else { return 0 };
        let candidates: Vec<Candidate> =
            left.iter().filter_map(|action| self.candidate_of(*action)).collect();
        chooser.choose(Kind::Timers, left.len(), &candidates).min(left.len() - 1)
    }

    fn candidate_of(&self, action: TimerAction) -> Option<Candidate> {
        let action = self.plain_action(action);
        let id = action.concerns_one_task().then(|| action.task(self.loop_index()))?;
        self.tasks.get(id).as_ref().map(Candidate::of)
    }
}
