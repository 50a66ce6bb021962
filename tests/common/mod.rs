//! What the tests share: a log of (virtual milliseconds, text), so that a test reads as a list of events.
#![allow(dead_code, unreachable_pub)] // each test file uses its part

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use loopwheel::{EventLoop, VirtualClock, now};

/// Milliseconds, for brevity.
pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What happened, and when on the loop's clock.
#[derive(Clone, Default)]
pub struct Log(Rc<RefCell<Vec<(u64, String)>>>);

impl Log {
    pub fn new() -> Log {
        Log::default()
    }

    pub fn add(&self, text: impl AsRef<str>) {
        let millis = now().as_nanos() / 1_000_000;
        self.0.borrow_mut().push((millis, text.as_ref().to_owned()));
    }

    #[track_caller]
    pub fn expect(&self, expected: &[(u64, &str)]) {
        let seen = self.0.borrow();
        let seen: Vec<(u64, &str)> = seen.iter().map(|(at, text)| (*at, text.as_str())).collect();
        assert_eq!(seen, expected);
    }
}

/// Says when it is dropped.
pub struct OnDrop(pub Log, pub &'static str);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.add(self.1);
    }
}

/// A loop on virtual time whose exception handler writes into the returned list.
pub fn watched_loop() -> (EventLoop, Rc<RefCell<Vec<String>>>) {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let sink = reports.clone();
    let event_loop = EventLoop::builder()
        .clock(VirtualClock::new())
        .exception_handler(move |context| sink.borrow_mut().push(context.to_string()))
        .build();
    (event_loop, reports)
}
