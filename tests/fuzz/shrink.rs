//! Makes a failing program smaller, as long as it fails in the same way. It works on the program's JSON, and so needs to
//! know little of what programs are: lists get shorter, statements are replaced by those inside them, words by harmless
//! ones, and numbers by zero.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::program::Program;

const TRIES: usize = 3_000;
/// The limit is in real time, because a person who has a failure waits no longer for a smaller one.
const TIME: Duration = Duration::from_secs(60);

/// Returns the smallest program found for which `fails` holds.
pub(crate) fn shrink(program: &Program, mut fails: impl FnMut(&Program) -> bool) -> Program {
    let began = Instant::now(); // the real clock is the point: see `TIME`
    let mut best = serde_json::to_value(program).expect("a program as JSON");
    let mut tries = 0;
    let mut is_smaller = true;
    while is_smaller {
        is_smaller = false;
        let mut number = 0;
        // Tries each change in turn. After one that holds, the next is tried at the same place.
        while let Some(candidate) = change(&best, number) {
            if tries == TRIES || began.elapsed() > TIME {
                return serde_json::from_value(best).expect("only programs are kept");
            }
            let is_program = serde_json::from_value::<Program>(candidate.clone());
            if let Ok(smaller) = is_program
                && candidate != best
            {
                tries += 1;
                if fails(&smaller) {
                    best = candidate;
                    is_smaller = true;
                    continue;
                }
            }
            number += 1;
        }
    }
    serde_json::from_value(best).expect("only programs are kept")
}

/// Returns the change of this number, if there are that many.
fn change(program: &Value, number: usize) -> Option<Value> {
    let mut changed = program.clone();
    let mut left = number;
    change_within(&mut changed, &mut left).then_some(changed)
}

/// Applies the change whose number is `left`, counting down those before it. Returns true if it was within this value.
fn change_within(value: &mut Value, left: &mut usize) -> bool {
    let mut is_it = || {
        let is_it = *left == 0;
        *left = left.wrapping_sub(1);
        is_it
    };
    match value {
        Value::Array(list) => {
            // Halves, then each.
            let len = list.len();
            for (from, to) in [(0, len / 2), (len / 2, len)] {
                if len > 3 && is_it() {
                    list.drain(from..to);
                    return true;
                }
            }
            for place in 0..len {
                if is_it() {
                    list.remove(place);
                    return true;
                }
            }
            // Replaces a statement with the statements inside it.
            for place in 0..len {
                for within in lists_within(&list[place]) {
                    if is_it() {
                        list.splice(place..=place, within);
                        return true;
                    }
                }
            }
            list.iter_mut().any(|value| change_within(value, left))
        }
        Value::Object(fields) => {
            for simple in [json!("Nothing"), json!({ "Value": {} })] {
                if fields.len() == 1 && is_it() {
                    *value = simple;
                    return true;
                }
            }
            let Value::Object(fields) = value else { return false };
            fields
                .iter_mut()
                .filter(|(name, _)| *name != "seed")
                .any(|(_, value)| change_within(value, left))
        }
        Value::String(text) => {
            for simple in ["Nothing", "Text", "Drop", "Dropped", "ByValue", "Yield"] {
                if text == simple {
                    return false;
                }
                if is_it() {
                    *value = json!(simple);
                    return true;
                }
            }
            false
        }
        Value::Number(number) => match number.as_u64() {
            Some(some) if some > 0 => {
                for smaller in [0, 1, some / 2, some - some / 8] {
                    if smaller < some && is_it() {
                        *value = json!(smaller);
                        return true;
                    }
                }
                false
            }
            _ => false,
        },
        Value::Bool(true) => {
            let is_it = is_it();
            if is_it {
                *value = json!(false);
            }
            is_it
        }
        Value::Bool(false) | Value::Null => false,
    }
}

/// Returns the lists of statements inside a statement.
fn lists_within(value: &Value) -> Vec<Vec<Value>> {
    match value {
        Value::Array(list) => {
            let deeper = list.iter().flat_map(lists_within);
            [list.clone()].into_iter().chain(deeper).collect()
        }
        Value::Object(fields) => fields.values().flat_map(lists_within).collect(),
        _ => vec![],
    }
}
