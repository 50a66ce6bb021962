//! # A lost wake-up
//!
//! Two tasks send a letter each to a mailbox. A reader waits for the mailbox's event, takes the letters, writes down what they were,
//! which takes an await, and clears the event for the next round.
//!
//! A letter that arrives while the reader writes sets an event that is set already. Then the reader clears it. The letter stays in the
//! mailbox, and the reader waits for an event that has happened: the wake-up is lost. A normal run does not show it, because there both
//! letters are sent before the reader is polled again.
//!
//! The mend is to clear the event *before* the letters are taken. A letter that arrives later sets it again; at worst the reader
//! wakes up once more and finds nothing.
//!
//! `cargo test -p exploring --test lost_wake_up`. What the exploration says is in `lost_wake_up.txt`, and the run that
//! it has found in `lost_wake_up.html`, for any browser.

mod found;

use std::cell::RefCell;
use std::rc::Rc;

use loopwheel::explore::{self, Fault};
use loopwheel::sync::Event;
use loopwheel::{TaskBuilder, run_test, yield_now};

struct Mailbox {
    letters: RefCell<Vec<&'static str>>,
    arrived: Event,
}

impl Mailbox {
    fn send(&self, letter: &'static str) {
        self.letters.borrow_mut().push(letter);
        self.arrived.set();
    }
}

/// Stands for a file, or a database.
async fn write_down(_letters: &[&str]) {
    yield_now().await;
}

/// Reads until two letters have come.
async fn broken(mailbox: Rc<Mailbox>) {
    let mut read = 0;
    while read < 2 {
        mailbox.arrived.wait().await;
        let letters = mailbox.letters.take();
        write_down(&letters).await;
        mailbox.arrived.clear(); // also what was set during the await
        read += letters.len();
    }
}

async fn mended(mailbox: Rc<Mailbox>) {
    let mut read = 0;
    while read < 2 {
        mailbox.arrived.wait().await;
        mailbox.arrived.clear(); // no await between this line and the next
        let letters = mailbox.letters.take();
        write_down(&letters).await;
        read += letters.len();
    }
}

/// The test: two letters are sent, and the reader has to read them.
async fn two_letters(reads: impl AsyncFn(Rc<Mailbox>) + 'static) {
    let arrived = Event::new().named("arrived");
    let mailbox = Rc::new(Mailbox { letters: RefCell::default(), arrived });
    let reader = {
        let mailbox = mailbox.clone();
        TaskBuilder::new().name("reader").create_task(async move { reads(mailbox).await })
    };
    let senders = ["ann", "bob"].map(|name| {
        let mailbox = mailbox.clone();
        TaskBuilder::new().name(name).create_task(async move { mailbox.send(name) })
    });
    for sender in senders {
        sender.await.unwrap();
    }
    reader.await.unwrap();
}

#[test]
fn a_normal_run_shows_nothing() {
    run_test(two_letters(broken));
}

#[test]
fn some_order_loses_a_wake_up() {
    let exploration = explore::all(10_000).play_to(found::folder());
    let found = exploration.try_run(|| two_letters(broken)).unwrap_err();
    assert_eq!(found.fault, Fault::Deadlock);
    found::check("lost_wake_up", &found);
}

#[test]
fn mended_it_passes_in_every_order() {
    let summary = explore::all(10_000).must_be_complete().run(|| two_letters(mended));
    println!("{summary}");
}
