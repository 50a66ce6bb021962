//! Which core a thread runs on.

use std::sync::LazyLock;

use core_affinity::{CoreId, get_core_ids, set_for_current};

/// Asked once: a thread that is pinned is told of its own core only.
static CORES: LazyLock<Vec<CoreId>> = LazyLock::new(|| get_core_ids().unwrap_or_default());

/// This thread, and all that it starts.
pub(crate) fn stay_on_one() {
    stay(CORES.last());
}

/// This thread, away from where [`stay_on_one`] put the others; where there is but one core, it stays there.
pub(crate) fn move_to_the_other() {
    stay(CORES.first());
}

fn stay(core: Option<&CoreId>) {
    let pinned = core.is_some_and(|core| set_for_current(*core));
    assert!(pinned, "threads cannot be pinned to a core here");
}
