//! **Guides**: what follows a test's run from outside, and may end it.

use std::rc::Rc;
use std::time::Duration;

use super::QUIET;
use crate::clock::VirtualClock;
use crate::engine::Engine;

/// What guides a run from outside, such as an exploration.
pub(crate) trait Guide {
    /// The clock of the loop, if the test gives it none.
    fn clock(&self) -> VirtualClock;
    /// If only a handle or a foreign waker could wake the loop, and nothing has for so long in real time, the run fails.
    fn quiet_at_most(&self) -> Duration;
    /// The loop has been made, and nothing has run.
    fn begins(&self, engine: &Rc<Engine>);
    /// The run is to end now. Asked after each turn.
    fn gives_up(&self) -> bool;
    /// What is no failure is not printed.
    fn is_quiet(&self) -> bool;
}

/// Guides nothing.
pub(super) struct AsIs;

impl Guide for AsIs {
    fn clock(&self) -> VirtualClock {
        VirtualClock::new()
    }

    fn quiet_at_most(&self) -> Duration {
        QUIET
    }

    fn begins(&self, _engine: &Rc<Engine>) {}

    fn gives_up(&self) -> bool {
        false
    }

    fn is_quiet(&self) -> bool {
        false
    }
}
