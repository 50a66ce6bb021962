//! The signal around a scope, put back after a poll of what is in it.

use std::mem;

use super::{Deliveries, Signal};

/// The signal around a scope. If the body panics, what catches that goes on with this signal, and counts nothing that came out.
pub(crate) struct SignalAround<'a>(&'a Deliveries, Signal);

impl<'a> SignalAround<'a> {
    pub(crate) fn new(deliveries: &'a Deliveries, signal: Signal) -> SignalAround<'a> {
        SignalAround(deliveries, signal)
    }

    /// The poll has ended. Inside another delivery the signal stays as the poll has left it.
    pub(crate) fn if_quiet(self) {
        if self.1 == Signal::Quiet {
            self.0.signal.set(Signal::Quiet);
        }
        mem::forget(self);
    }
}

impl Drop for SignalAround<'_> {
    fn drop(&mut self) {
        let is_used_up = matches!(self.1, Signal::First | Signal::Forwarded | Signal::Next);
        self.0.signal.set(if is_used_up { Signal::Deliver } else { self.1 });
    }
}
