//! Checks that loopwheel does what `CPython` 3.14's asyncio does, trace for trace.
//!
//! The scenarios in `tests/conformance/*.jsonl` were run on asyncio and their traces recorded. Here an interpreter that uses
//! only this crate's public API runs them.

mod compare;
mod interpreter;
mod objects;
mod program;
mod tasks;

fn check(text: &str, scenarios: usize) {
    let checked = compare::check_file(text).unwrap();
    for divergence in &checked.divergences {
        println!("{divergence}");
    }
    let failed: Vec<_> = checked.divergences.iter().map(|divergence| &divergence.id).collect();
    assert!(failed.is_empty(), "these diverge: {failed:?}");
    assert_eq!(checked.passed, scenarios);
}

#[test]
fn the_named_corner_cases() {
    check(include_str!("named.jsonl"), 139);
}

#[test]
fn first_come_first_served() {
    check(include_str!("order.jsonl"), 154);
}

#[test]
fn random_programs() {
    check(include_str!("random.jsonl"), 620);
}

/// `CPython` 3.12.1 and 3.13.0 have both made these traces, with 3.14's rule that a group hears of a child that ends at once in the
/// next turn, and timers of one moment in the order in which they were set.
#[test]
fn eager_tasks() {
    check(include_str!("eager.jsonl"), 154);
}

#[test]
fn what_was_found_by_comparing_more() {
    check(include_str!("found.jsonl"), 8);
}
