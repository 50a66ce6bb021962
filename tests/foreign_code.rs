//! Wherever foreign code runs it may do anything: each place is tried with each deed.
//!
//! `docs/foreign-code.md` says what holds in each place. A failure names its cell: the place, and the deed.

#[path = "foreign_code/bodies.rs"]
mod bodies;
#[path = "foreign_code/calls.rs"]
mod calls;
#[path = "foreign_code/deeds.rs"]
mod deeds;
#[path = "foreign_code/hosts.rs"]
mod hosts;
#[path = "foreign_code/queues.rs"]
mod queues;
#[path = "foreign_code/stage.rs"]
mod stage;
#[path = "foreign_code/tasks.rs"]
mod tasks;
#[path = "foreign_code/things.rs"]
mod things;
#[path = "foreign_code/wakers.rs"]
mod wakers;

use std::collections::BTreeSet;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{env, thread};

use deeds::{Code, DEEDS, Deed, text_of};
use stage::{Place, World};

/// Cells that are known to fail: (place, deed), and why. An empty deed is all of them.
const KNOWN_TODAY: &[(&str, &str, &str)] = &[];

fn places() -> Vec<Place> {
    let mut places = tasks::places();
    places.extend(bodies::places());
    places.extend(calls::places());
    places.extend(queues::places());
    places.extend(wakers::places());
    places.extend(hosts::places());
    places
}

/// What is wrong in one cell.
fn try_cell(place: &Place, deed: Deed) -> Vec<String> {
    let world = World::enter(Code::new(deed));
    let arranged = catch_unwind(AssertUnwindSafe(|| (place.arrange)(&world)));
    if let Err(payload) = arranged {
        world.fail(format!("a panic came out: {}", text_of(&*payload)));
    }
    let left = catch_unwind(AssertUnwindSafe(|| world.leave(place.goes)));
    left.unwrap_or_else(|payload| {
        vec![format!("a panic came out at the end: {}", text_of(&*payload))]
    })
}

/// On a thread of its own, under a watchdog.
fn watched(place: &Arc<Place>, deed: Deed) -> Vec<String> {
    let (place, (sender, receiver)) = (place.clone(), mpsc::channel());
    thread::spawn(move || drop(sender.send(try_cell(&place, deed))));
    let tried = receiver.recv_timeout(Duration::from_secs(10));
    tried.unwrap_or_else(|_| vec!["it hangs: a wake-up was lost".to_owned()])
}

fn is_known(place: &Place, deed: Deed) -> bool {
    let deed = format!("{deed:?}");
    KNOWN_TODAY.iter().any(|(name, of, _)| *name == place.name && (of.is_empty() || *of == deed))
}

/// With `FOREIGN_CODE` set to a part of a cell's name, only those cells, known or not.
#[test]
fn every_place_stands_every_deed() {
    let only = env::var("FOREIGN_CODE").ok();
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| ())); // thousands of panics are meant
    let (mut tried, mut failures) = (0, Vec::new());
    for place in places().into_iter().map(Arc::new) {
        for deed in DEEDS {
            let cell = format!("{} × {deed:?}", place.name);
            let is_wanted = match &only {
                Some(part) => cell.contains(part.as_str()),
                None => !is_known(&place, deed),
            };
            if is_wanted {
                if only.is_some() {
                    println!("{cell}");
                }
                tried += 1;
                failures.extend(
                    watched(&place, deed).into_iter().map(|what| format!("{cell}: {what}")),
                );
            }
        }
    }
    panic::set_hook(hook);
    println!("{tried} cells tried");
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// Every place has its heading in the page, and every heading of the page is a place.
#[test]
fn the_page_lists_every_place_and_no_other() {
    let page = include_str!("../docs/foreign-code.md");
    let listed: BTreeSet<_> = page
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| **")?.split_once("** |")?.0))
        .collect();
    let places = places();
    let tried: BTreeSet<_> = places.iter().map(|place| place.name.as_str()).collect();
    assert_eq!(tried.len(), places.len(), "a name is there twice");
    let missing: Vec<_> = tried.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&tried).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "missing: {missing:#?}\nno longer there: {gone:#?}"
    );
}
