//! For the crate's own tests: a loop whose reports are kept, and a seeded generator of random numbers, which gives the same
//! operations on every machine.

use std::cell::RefCell;
use std::rc::Rc;

use crate::clock::VirtualClock;
use crate::run::EventLoop;

/// A loop on virtual time whose exception handler adds each report to the returned list.
pub(crate) fn watched_loop() -> (EventLoop, Rc<RefCell<Vec<String>>>) {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let sink = reports.clone();
    let event_loop = EventLoop::builder()
        .clock(VirtualClock::new())
        .exception_handler(move |context| sink.borrow_mut().push(context.to_string()))
        .build();
    (event_loop, reports)
}

/// `SplitMix64`: a small generator, good enough to find the mistakes of a timer wheel.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number with a random number of bits, less than `bits`: small numbers are as frequent as large ones.
    pub(crate) fn below_some_power(&mut self, bits: u64) -> u64 {
        let power = self.below(bits);
        self.below(1 << power)
    }

    /// A number less than `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
