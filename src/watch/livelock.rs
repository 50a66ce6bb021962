//! **Livelocks on virtual time**: tasks that wake each other without end, so that the loop never has nothing to do, and virtual
//! time never passes.
//!
//! On a real clock such tasks cost a core, but timers fire in between. A virtual clock jumps only when nothing is ready. So the
//! program hangs, and a test with it. To count polls for this would cost each poll something. But the ready queue counts its pops
//! anyway, so the loop looks at that count at every 64th check, and after each [million](MOST_POLLS) at the clock. If that shows the
//! moment of the look before, it watches its polls for a while, notes which tasks they are, and reports those.

use std::collections::HashSet;
use std::mem;

use crate::base::instant::Instant;
use crate::clock::Source;
use crate::engine::Engine;
use crate::kernel::record::RecordRef;
use crate::report::{ExceptionContext, Failure};

/// So many polls may happen at one moment of virtual time.
const MOST_POLLS: u64 = 1_000_000;

/// For so many polls it is noted which tasks they are.
const RECORDED_POLLS: u32 = 1_000;

/// The moment at which virtual time stood when a million polls had been made since the last look.
#[derive(Clone, Copy, Default)]
pub(super) struct StandsStill {
    moment: Instant,
    /// How many tasks had been popped by then.
    popped: u64,
    /// How many polls are known to have been made at this moment. Not zero: that is reported, or about to be.
    polls: u64,
}

/// The tasks of the polls that are watched.
#[derive(Default)]
pub(super) struct Livelock {
    /// How many polls are still to be noted.
    to_record: u32,
    recorded: Vec<RecordRef>,
    addresses: HashSet<usize>,
}

impl Livelock {
    pub(super) fn is_recording(&self) -> bool {
        self.to_record > 0
    }
}

impl Engine {
    /// The time on a virtual clock. It is a plain number: no foreign code runs.
    pub(crate) fn virtual_now(&self) -> Option<Instant> {
        match &self.time.clock.0 {
            Source::Virtual(clock) => Some(clock.now()),
            _ => None,
        }
    }

    /// Called at every 64th check.
    #[inline]
    pub(crate) fn look_for_livelock(&self) {
        if self.tasks.ready.popped() - self.watch.stands_still.get().popped >= MOST_POLLS {
            self.look_at_virtual_time();
        }
    }

    #[cold]
    fn look_at_virtual_time(&self) {
        let seen = self.watch.stands_still.get();
        let popped = self.tasks.ready.popped();
        let was_woken = self.mailbox.has_received.take();
        match self.virtual_now() {
            Some(moment) if moment == seen.moment && !was_woken => {
                self.watch.stands_still.set(StandsStill {
                    popped,
                    polls: seen.polls + popped - seen.popped,
                    ..seen
                });
                if seen.polls == 0 {
                    self.watch.livelock.borrow_mut().to_record = RECORDED_POLLS;
                    self.choose_loop_of_polls();
                }
            }
            moment => {
                let moment = moment.unwrap_or_default();
                self.watch.stands_still.set(StandsStill { moment, popped, polls: 0 });
            }
        }
    }

    pub(super) fn record_for_livelock(&self, record: &RecordRef) {
        let mut seen = self.watch.livelock.borrow_mut();
        if seen.is_recording() {
            seen.to_record -= 1;
            if seen.addresses.insert(record.address()) {
                seen.recorded.push(record.clone());
            }
        }
    }

    pub(super) fn report_livelock_if_recorded(&self) {
        let mut seen = self.watch.livelock.borrow_mut();
        if seen.is_recording() || seen.recorded.is_empty() {
            return;
        }
        let recorded = mem::take(&mut *seen).recorded;
        drop(seen);
        self.choose_loop_of_polls();
        let seen = self.watch.stands_still.get();
        let polls = seen.polls + self.tasks.ready.popped() - seen.popped;
        let stands_still = seen.polls > 0 && Some(seen.moment) == self.virtual_now();
        if stands_still {
            let name = |record: &RecordRef| {
                if record.is_task() {
                    format!("task '{}' (spawned at {})", record.name(), record.spawned_at())
                } else {
                    format!("callback (scheduled at {})", record.spawned_at())
                }
            };
            let polled = recorded.iter().map(name).collect();
            self.report(&ExceptionContext::of_loop(Failure::Livelock { polls, polled }));
        }
    }
}
