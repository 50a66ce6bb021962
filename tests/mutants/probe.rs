//! Tells the woven source which mutant is switched on: the one whose number is in `MUTANT`. Copied into the tree that is measured.
//!
//! With `MUTANTS_REACHED`, the name of a file, it writes there the number of each mutant that was asked for.

use std::env;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const COUNT: usize = 65_536;

/// Instead of a number: nothing has been read yet, or each that is asked for is to be written down.
const UNREAD: usize = usize::MAX;
const WRITING: usize = usize::MAX - 1;
const NONE: usize = usize::MAX - 2;

static ACTIVE: AtomicUsize = AtomicUsize::new(UNREAD);

static REACHED: LazyLock<Option<File>> = LazyLock::new(|| {
    let path = env::var_os("MUTANTS_REACHED")?;
    OpenOptions::new().append(true).create(true).open(path).ok()
});

static SEEN: [AtomicBool; COUNT] = [const { AtomicBool::new(false) }; COUNT];

pub(crate) fn is_on(number: usize) -> bool {
    let active = ACTIVE.load(Ordering::Relaxed);
    if active >= WRITING { is_on_slow_path(number) } else { number == active }
}

#[cold]
fn is_on_slow_path(number: usize) -> bool {
    let Some(mut file) = REACHED.as_ref() else {
        let active = env::var("MUTANT").ok().and_then(|it| it.parse().ok()).unwrap_or(NONE);
        ACTIVE.store(active, Ordering::Relaxed);
        return number == active;
    };
    ACTIVE.store(WRITING, Ordering::Relaxed);
    if !SEEN[number].swap(true, Ordering::Relaxed) {
        // Without an allocation, as a test counts those; in one piece, so that several processes can share the file.
        let mut line = [b' '; 8];
        let _ = writeln!(&mut line[..], "{number}");
        let _ = file.write_all(&line);
    }
    false
}
