//! Classes of programs that `FUZZ_WITHOUT`, a list of names, leaves out: so a fault that is found and not yet fixed does not
//! hide the next. A class marked as open has a known fault that is not fixed. It is left out unless `FUZZ_WITH` names it.

use std::env;

#[derive(Clone, Copy)]
#[allow(clippy::struct_excessive_bools)] // switches
pub(crate) struct Switches {
    /// Foreign wakers that panic when they are woken.
    pub(crate) throwing_wakes: bool,
    /// Foreign wakers that panic when they are cloned or dropped.
    pub(crate) throwing_waker_clones: bool,
    /// Values of task-locals whose destructors panic.
    pub(crate) throwing_locals: bool,
    /// Items of queues whose order panics or re-enters.
    pub(crate) hostile_order: bool,
    /// Errors whose `Debug` does anything.
    pub(crate) hostile_debug: bool,
    /// Outcomes whose `Clone` does anything.
    pub(crate) hostile_clone: bool,
    /// Tens of thousands of nested groups.
    pub(crate) deep: bool,
    /// Destructors that spawn their like while the loop is dropped.
    pub(crate) spawning_again: bool,
    pub(crate) forgetting: bool,
    pub(crate) by_hand: bool,
    pub(crate) threads: bool,
    /// Open fault: one task has two waits for one barrier, or one condition, under a foreign `join!` or `select`. When the task is
    /// cancelled, the first takes the lock again, and is not dropped with it before the other has come out, which waits for
    /// that lock (seeds 3083651 and 3104107).
    pub(crate) conditions_in_sets: bool,
}

impl Switches {
    pub(crate) fn from_env() -> Switches {
        let without = env::var("FUZZ_WITHOUT").unwrap_or_default();
        let with = |name: &str| !without.split(',').any(|off| off == name);
        let also = env::var("FUZZ_WITH").unwrap_or_default();
        let open = |name: &str| also.split(',').any(|on| on == name);
        Switches {
            throwing_wakes: with("wakes"),
            throwing_waker_clones: with("clones-of-wakers"),
            throwing_locals: with("locals"),
            hostile_order: with("order"),
            hostile_debug: with("debug"),
            hostile_clone: with("clone"),
            deep: with("deep"),
            spawning_again: with("again"),
            forgetting: with("forget"),
            by_hand: with("hand"),
            threads: with("threads"),
            conditions_in_sets: open("conditions"),
        }
    }
}
