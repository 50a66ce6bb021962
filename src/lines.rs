//! **Lines of the source, by number**: where the tasks of a loop were spawned.
//!
//! A record could hold the address of its line: eight bytes. But a program spawns its tasks at a few dozen lines, so a number of 16
//! bits will do. Each loop numbers the lines at which it was asked to spawn, in a list that only grows. A spawn has to turn an
//! address into its number at once: so the answers that were given last are kept by some bits of the address, and nearly each
//! spawn finds its own there, without a map.
//!
//! It stands on std.

use std::array;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::panic::Location;
use std::ptr;

/// A line of the source. It is named by its address: the same line may have two.
type Line = &'static Location<'static>;

/// How many answers are kept: a power of two.
const RECENT: usize = 64;

/// The lines of one loop.
#[derive(Debug)]
pub(crate) struct Lines {
    recent: [Cell<(Line, u16)>; RECENT],
    known: RefCell<Known>,
}

#[derive(Debug)]
struct Known {
    lines: Vec<Line>,
    numbers: HashMap<*const Location<'static>, u16>,
}

impl Default for Lines {
    fn default() -> Lines {
        let first = Location::caller();
        let known =
            Known { lines: vec![first], numbers: HashMap::from([(ptr::from_ref(first), 0)]) };
        Lines { recent: array::from_fn(|_| Cell::new((first, 0))), known: RefCell::new(known) }
    }
}

impl Lines {
    /// The number of a line.
    #[inline]
    pub(crate) fn number(&self, line: Line) -> u16 {
        let address = ptr::from_ref(line).addr();
        let recent = &self.recent[address / align_of::<Location<'static>>() % RECENT];
        let (known, number) = recent.get();
        if ptr::eq(known, line) {
            return number;
        }
        let number = self.known.borrow_mut().number(line);
        recent.set((line, number));
        number
    }

    /// The line with this number.
    pub(crate) fn line(&self, number: u16) -> Line {
        self.known.borrow().lines[usize::from(number)]
    }
}

impl Known {
    /// The last number is for all lines that come when there is no other: the first of them stands for all.
    #[cold]
    #[inline(never)]
    fn number(&mut self, line: Line) -> u16 {
        *self.numbers.entry(line).or_insert_with(|| {
            let number = u16::try_from(self.lines.len()).unwrap_or(u16::MAX);
            if usize::from(number) == self.lines.len() {
                self.lines.push(line);
            }
            number
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines at addresses of their own, more than there are numbers.
    static MANY: [Location<'static>; 70_000] = [*Location::caller(); 70_000];

    #[test]
    fn a_number_gives_back_its_line_in_whatever_order_they_are_asked_for() {
        let (lines, many) = (Lines::default(), &MANY[..3 * RECENT]);
        for _ in 0..2 {
            let numbers: Vec<_> = many.iter().map(|line| lines.number(line)).collect();
            for (line, number) in many.iter().zip(numbers) {
                assert!(ptr::eq(lines.line(number), line));
                assert_eq!([lines.number(line), lines.number(line)], [number; 2]);
            }
        }
    }

    #[test]
    fn when_the_numbers_are_used_up_the_last_one_stands_for_all_further_lines() {
        let lines = Lines::default();
        let last = MANY.iter().map(|line| lines.number(line)).last();
        assert_eq!(last, Some(u16::MAX));
        assert!(ptr::eq(lines.line(u16::MAX), &raw const MANY[usize::from(u16::MAX) - 1]));
        assert!(ptr::eq(lines.line(lines.number(&MANY[7])), &raw const MANY[7]));
    }
}
