//! **A schedule as text**: the choices of a run in one line, short enough for a command line.
//!
//! ```text
//! 0*3.2/3.c1/2      three times the first option, then the third of three tasks, then a cancel of the first of one
//! ```
//!
//! A word for each choice, joined by dots: which option, and of how many. A letter says that it is not about the next task: `c` a
//! cancel, `i` one while nothing is ready, `t` an early timer, `o` the order of timers, `u` a choice of the program's own. Zeros are what a loop does by itself: they
//! are counted, and those at the end are left out. A word without `/` is not compared with how many options there are.

use std::fmt::Write;

use crate::choices::{Candidate, Kind};

/// A decision that was taken.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) kind: Kind,
    pub(crate) options: usize,
    pub(crate) chosen: usize,
    /// Kept only if the next run is compared with this one: all of a run take space with the square of its tasks.
    pub(crate) candidates: Vec<Candidate>,
}

/// A decision that is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) chosen: usize,
    /// What it is about, if that is known.
    pub(crate) kind: Option<Kind>,
    /// How many options there are, if that is known.
    pub(crate) options: Option<usize>,
}

const LETTERS: [(Kind, &str); 6] = [
    (Kind::Ready, ""),
    (Kind::Cancel, "c"),
    (Kind::IdleCancel, "i"),
    (Kind::EarlyTimer, "t"),
    (Kind::Timers, "o"),
    (Kind::User, "u"),
];

/// The text of these choices.
pub(crate) fn printed(points: &[Point]) -> String {
    let last = points.iter().rposition(|point| point.chosen > 0);
    let points = &points[..last.map_or(0, |last| last + 1)];
    let mut words = Vec::new();
    let mut zeros = 0;
    for point in points {
        if point.chosen == 0 {
            zeros += 1;
            continue;
        }
        add_zeros(&mut words, &mut zeros);
        let letter = LETTERS.iter().find(|(kind, _)| *kind == point.kind).map_or("", |it| it.1);
        words.push(format!("{letter}{}/{}", point.chosen, point.options));
    }
    if words.is_empty() { "0".to_owned() } else { words.join(".") }
}

fn add_zeros(words: &mut Vec<String>, zeros: &mut usize) {
    match *zeros {
        0 => {}
        1 => words.push("0".to_owned()),
        zeros => words.push(format!("0*{zeros}")),
    }
    *zeros = 0;
}

/// Reads that text. The error is the word that is none.
pub(crate) fn parse(text: &str) -> Result<Vec<Expected>, String> {
    let mut all = Vec::new();
    for word in text.trim().split('.') {
        let wrong = || {
            let mut said = String::new();
            let _ = write!(said, "`{word}` is no choice"); // into a string
            said
        };
        if let Some(times) = word.strip_prefix("0*") {
            let times: usize = times.parse().map_err(|_| wrong())?;
            if times > 10_000_000 {
                return Err(wrong());
            }
            all.extend((0..times).map(|_| Expected { chosen: 0, kind: None, options: None }));
            continue;
        }
        let letter = word.chars().next().filter(char::is_ascii_lowercase);
        let numbers = &word[letter.map_or(0, |_| 1)..];
        let letter = letter.map(String::from).unwrap_or_default();
        let (kind, _) = LETTERS.iter().find(|(_, it)| *it == letter).ok_or_else(wrong)?;
        let (chosen, options) = match numbers.split_once('/') {
            Some((chosen, options)) => (chosen, Some(options.parse().map_err(|_| wrong())?)),
            None => (numbers, None),
        };
        let chosen: usize = chosen.parse().map_err(|_| wrong())?;
        let kind = Some(*kind).filter(|_| options.is_some() || !letter.is_empty());
        all.push(Expected { chosen, kind, options });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(kind: Kind, chosen: usize, options: usize) -> Point {
        Point { kind, options, chosen, candidates: Vec::new() }
    }

    #[test]
    fn what_is_printed_is_read_again() {
        let mut points = vec![point(Kind::Ready, 0, 2); 3];
        points.push(point(Kind::Ready, 2, 3));
        points.push(point(Kind::User, 0, 2));
        points.push(point(Kind::Cancel, 1, 2));
        points.push(point(Kind::Ready, 0, 9));
        let text = printed(&points);
        assert_eq!(text, "0*3.2/3.0.c1/2");
        let read = parse(&text).unwrap();
        assert_eq!(read.len(), 6);
        assert_eq!(read[3], Expected { chosen: 2, kind: Some(Kind::Ready), options: Some(3) });
        assert_eq!(read[5], Expected { chosen: 1, kind: Some(Kind::Cancel), options: Some(2) });
        assert_eq!(printed(&points[..2]), "0");
        assert_eq!(parse("0.0.2.1").unwrap()[2], Expected { chosen: 2, kind: None, options: None });
        assert_eq!(parse("c1").unwrap()[0].kind, Some(Kind::Cancel));
    }

    #[test]
    fn a_word_that_is_no_choice_is_named() {
        for wrong in ["", "x1/2", "1/", "0*", "-1", "1..2", "ü", "0*99999999999"] {
            assert!(parse(wrong).unwrap_err().contains("is no choice"), "{wrong}");
        }
    }
}
