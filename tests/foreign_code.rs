//! Foreign code may do anything wherever it runs. These tests try each place with each deed.
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
#[path = "foreign_code/place.rs"]
mod place;
#[path = "foreign_code/queues.rs"]
mod queues;
#[path = "foreign_code/races.rs"]
mod races;
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

use deeds::{Code, DEEDS, Deed, discard, text_of};
use place::{Goes, Place};
use stage::World;

const PAGE: &str = include_str!("../docs/foreign-code.md");

fn places() -> Vec<Place> {
    let mut places = tasks::places();
    places.extend(bodies::places());
    places.extend(races::places());
    places.extend(calls::places());
    places.extend(queues::places());
    places.extend(wakers::places());
    places.extend(hosts::places());
    places
}

/// A fault in one cell.
fn try_cell(place: &Place, deed: Deed) -> Vec<String> {
    let world = World::enter(Code::new(deed));
    let arranged = catch_unwind(AssertUnwindSafe(|| (place.arrange)(&world)));
    if let Err(payload) = arranged {
        world.fail(format!("a panic came out: {}", text_of(&*payload)));
        discard(payload);
    }
    let left = catch_unwind(AssertUnwindSafe(|| world.leave(place.goes)));
    left.unwrap_or_else(|payload| {
        vec![format!("a panic came out at the end: {}", text_of(&*payload))]
    })
}

/// Runs a cell on a thread of its own, under a watchdog.
fn watched(place: &Arc<Place>, deed: Deed) -> Vec<String> {
    let (place, (sender, receiver)) = (place.clone(), mpsc::channel());
    thread::spawn(move || drop(sender.send(try_cell(&place, deed))));
    let tried = receiver.recv_timeout(Duration::from_secs(10));
    tried.unwrap_or_else(|_| vec!["it hangs: a wake-up was lost".to_owned()])
}

/// With `FOREIGN_CODE` set to a part of a cell's name, only those cells run.
#[test]
fn every_place_stands_every_deed() {
    let only = env::var("FOREIGN_CODE").ok();
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| ())); // thousands of panics are meant
    let (mut tried, mut failures) = (0, Vec::new());
    for place in places().into_iter().map(Arc::new) {
        for deed in DEEDS {
            let cell = format!("{} × {deed:?}", place.name);
            if only.as_ref().is_none_or(|part| cell.contains(part.as_str())) {
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

/// Reads the rows of the page: the place, and where its panic goes.
fn rows() -> Vec<(&'static str, &'static str)> {
    let row = |line: &'static str| {
        let (place, rest) = line.strip_prefix("| **")?.split_once("** |")?;
        Some((place, rest.trim_end_matches('|').rsplit('|').next()?.trim()))
    };
    PAGE.lines().filter_map(row).collect()
}

#[test]
fn the_page_lists_every_place_and_no_other() {
    let rows = rows();
    // A row that ends with dots represents one for each of the rows that begin with them.
    let mut listed: BTreeSet<String> = BTreeSet::new();
    for (place, _) in &rows {
        if let Some(beginning) = place.strip_suffix('…') {
            let ends = rows.iter().filter_map(|(place, _)| place.strip_prefix("… "));
            listed.extend(ends.map(|end| format!("{beginning}{end}")));
        } else if !place.starts_with('…') {
            assert!(listed.insert((*place).to_owned()), "{place} is listed twice");
        }
    }
    let places = places();
    let tried: BTreeSet<_> = places.iter().map(|place| place.name.clone()).collect();
    assert_eq!(tried.len(), places.len(), "a name is there twice");
    let missing: Vec<_> = tried.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&tried).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "missing: {missing:#?}\nno longer there: {gone:#?}"
    );
}

#[test]
fn the_page_says_where_each_panic_goes() {
    for (name, goes) in rows() {
        if let Some(place) = places().iter().find(|place| place.name == name) {
            let expected = match place.goes {
                Goes::Outcome => "outcome",
                Goes::Report => "report",
                Goes::OutcomeOrReport => "outcome or report",
                Goes::Caller => "caller",
                Goes::Nowhere => "nowhere",
            };
            let said = goes.split([',', ';', ':']).next().unwrap_or_default();
            assert_eq!(said, expected, "{name}");
        }
    }
}
