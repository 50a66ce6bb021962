//! What the tests share: a log of (virtual milliseconds, text), so that a test reads as a list of events.
#![allow(dead_code, unreachable_pub)] // each test file uses its part

use std::cell::RefCell;
use std::fmt::Debug;
use std::process;
use std::rc::Rc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use loopwheel::{EventLoop, Task, VirtualClock, gather, now, wait_for, yield_now};

/// Makes a duration of milliseconds, for brevity.
pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Logs what happened, and when it did on the loop's clock.
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

/// Lets the other tasks run for so many turns.
pub async fn turns(count: usize) {
    for _ in 0..count {
        yield_now().await;
    }
}

/// What each of these tasks ends with, as text.
pub async fn outcomes<T: Debug + 'static>(tasks: Vec<Task<T>>) -> Vec<String> {
    let ended = wait_for(gather(tasks), ms(10)).await.expect("all waiters are woken");
    ended.into_iter().map(|outcome| format!("{:?}", outcome.unwrap())).collect()
}

/// If it panics, it says what it was about.
pub struct Trace(pub String);

impl Drop for Trace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("\n=> {}", self.0);
        }
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
        .clock(VirtualClock::impatient())
        .exception_handler(move |context| sink.borrow_mut().push(context.to_string()))
        .build();
    (event_loop, reports)
}

/// After a lost wake-up a loop sleeps for ever. This reports that instead. It is the only real clock here, and asserts nothing.
pub struct Watchdog {
    _is_over: mpsc::Sender<()>,
}

impl Watchdog {
    pub fn new(test: impl Into<String>) -> Watchdog {
        let test = test.into();
        let (sender, is_over) = mpsc::channel();
        thread::spawn(move || {
            if is_over.recv_timeout(Duration::from_secs(120)) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{test} hangs: a wake-up was lost");
                process::abort();
            }
        });
        Watchdog { _is_over: sender }
    }
}
