//! The crate is made of rings: each uses those inside it, and knows nothing of those outside. This test checks the source for that.
//!
//! `RINGS` lists them from the inside out. When the test fails, its message says what to do.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// From the inside out: a folder or a file of `src`, and how many lines it may have, tests apart.
const RINGS: [(&str, usize); 31] = [
    ("base", 800),
    ("wait_list", 450),
    ("error", 800),
    ("kernel", 2000),
    ("kept_waker", 450),
    ("mailbox", 800),
    ("room", 800),
    ("task_local", 450),
    ("delivery", 800),
    ("time", 800),
    ("scope", 800),
    ("cancel", 800),
    ("join", 800),
    ("task", 800),
    ("catch", 800),
    ("report", 800),
    ("gather", 800),
    ("sleep", 800),
    ("callback", 450),
    ("sync/line", 800),
    ("sync/meet", 800),
    ("sync/queue", 800),
    ("sync", 100),
    ("timeout", 800),
    ("wait", 800),
    ("exception_group", 800),
    ("group", 800),
    ("thread", 800),
    ("to_thread", 800),
    ("run", 800),
    ("host", 800),
];

/// The declared circle: a record knows its loop, and a loop owns its records. So these two structs, with one field for each ring, may
/// be named by every ring, and name the types of every ring.
const OWNERS: [&str; 2] = ["engine", "cold"];

/// The crate's root, what only tests use, and the adapters of a feature, which may use anything.
const OUTSIDE: [&str; 3] = ["lib.rs", "testing.rs", "futures.rs"];

const MOST_LINES_OF_A_FILE: usize = 450;

/// The islands: each has an invariant with a name, which its `SAFETY` comments cite.
const UNSAFE: [&str; 9] = [
    "base/free_lists.rs",
    "catch/frame.rs",
    "error/reason.rs",
    "kernel/current.rs",
    "kernel/record/chain.rs",
    "kernel/record/mod.rs",
    "kernel/record/outcome.rs",
    "kernel/record/stage.rs",
    "kernel/waker.rs",
];

struct File {
    /// Below `src`, with slashes.
    path: String,
    /// Without its tests.
    text: String,
}

impl File {
    fn lines(&self) -> usize {
        self.text.trim_end().lines().count()
    }

    fn code(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter(|line| !line.trim_start().starts_with("//"))
    }

    /// The place of its ring in the order; `None` for an owner, and for what is outside.
    fn ring(&self) -> Option<usize> {
        ring_of(self.path.trim_end_matches(".rs"))
    }

    fn is_owner(&self) -> bool {
        OWNERS.contains(&self.path.trim_end_matches(".rs"))
    }

    /// The paths that it names: `crate::sync::line::Wait` is `sync/line/Wait`.
    fn names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for line in self.code() {
            for (at, _) in line.match_indices("crate::") {
                if line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
                    continue;
                }
                let path = line[at + "crate::".len()..]
                    .split(|it: char| !(it.is_alphanumeric() || it == '_' || it == ':'));
                names.insert(path.take(1).collect::<String>().replace("::", "/"));
            }
        }
        names
    }
}

/// The innermost ring that this path is in, if it is in one: the longest name wins.
fn ring_of(path: &str) -> Option<usize> {
    let is_in = |ring: &str| path == ring || path.starts_with(&format!("{ring}/"));
    let rings = RINGS.iter().enumerate().filter(|(_, (ring, _))| is_in(ring));
    rings.max_by_key(|(_, (ring, _))| ring.len()).map(|(place, _)| place)
}

fn files_in(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_in(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The text without its module of tests, which ends at the next brace in the first column.
fn without_tests(text: &str) -> String {
    let Some((before, tests)) = text.split_once("\n#[cfg(test)]\nmod tests") else {
        return text.to_owned();
    };
    let after = tests.split_once("\n}\n").map_or("", |(_, after)| after);
    format!("{before}\n{after}")
}

/// The files of `src` that belong to the house.
fn house() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    files_in(&root, &mut paths);
    paths.sort();
    let files = paths.into_iter().map(|path| {
        let text = fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
        let text = without_tests(&text);
        let path = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
        File { path, text }
    });
    files.filter(|file| !OUTSIDE.contains(&file.path.as_str())).collect()
}

fn expect_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n\n{}\n", complaints.join("\n"));
}

#[test]
fn arrows_point_inwards() {
    let mut complaints = Vec::new();
    for file in house().iter().filter(|file| !file.is_owner()) {
        let Some(place) = file.ring() else {
            complaints.push(format!(
                "{} is in no ring: put it into one, or give it a place in `RINGS` and say there what it stands on",
                file.path
            ));
            continue;
        };
        for name in file.names() {
            if let Some(other) = ring_of(&name).filter(|other| *other > place) {
                complaints.push(format!(
                    "{} names {name}, which is further out ({} stands inside {}): move what it needs inwards, or ask for it by \
                     a method of the engine that the outer ring implements (see `src/engine.rs`)",
                    file.path, RINGS[place].0, RINGS[other].0
                ));
            }
        }
    }
    expect_none(&complaints);
}

#[test]
fn no_ring_and_no_file_is_longer_than_a_sitting() {
    let files = house();
    let mut complaints = Vec::new();
    for file in &files {
        if file.lines() > MOST_LINES_OF_A_FILE {
            complaints.push(format!(
                "{} has {} lines without its tests, and may have {MOST_LINES_OF_A_FILE}: find the second idea in it, and give \
                 that a file",
                file.path,
                file.lines()
            ));
        }
    }
    for (place, (ring, budget)) in RINGS.iter().enumerate() {
        let lines: usize =
            files.iter().filter(|it| it.ring() == Some(place)).map(File::lines).sum();
        println!("{lines:5} of {budget:4}  {ring}");
        if lines > *budget {
            complaints.push(format!(
                "the ring `{ring}` has {lines} lines without tests, and may have {budget}: say it shorter, or split the ring"
            ));
        }
        if lines == 0 {
            complaints.push(format!("the ring `{ring}` has no file: take it out of `RINGS`"));
        }
    }
    expect_none(&complaints);
}

#[test]
fn each_ring_says_what_it_stands_on() {
    let files = house();
    let mut complaints = Vec::new();
    for (ring, _) in RINGS {
        let face = |path: &str| path == format!("{ring}.rs") || path == format!("{ring}/mod.rs");
        let says = files.iter().find(|file| face(&file.path)).is_some_and(|file| {
            let header = file.text.lines().take_while(|line| line.starts_with("//!"));
            header.collect::<Vec<_>>().join("\n").contains("It stands on")
        });
        if !says {
            complaints.push(format!(
                "the header of the ring `{ring}` does not say what it stands on: end it with a line `//! It stands on …`"
            ));
        }
    }
    expect_none(&complaints);
}

#[test]
fn unsafe_is_in_the_named_files_and_in_no_other() {
    let mut complaints = Vec::new();
    for file in house() {
        let is_listed = UNSAFE.contains(&file.path.as_str());
        let word = |line: &str| {
            line.split(|it: char| !(it.is_alphanumeric() || it == '_')).any(|it| it == "unsafe")
        };
        let has_unsafe = file.code().any(word);
        if has_unsafe && !is_listed {
            complaints.push(format!(
                "{} has `unsafe`, and is not listed: do without, or state its invariant in the header and list it in `UNSAFE`",
                file.path
            ));
        }
        if is_listed && !has_unsafe {
            complaints
                .push(format!("{} has no `unsafe` any more: take it out of `UNSAFE`", file.path));
        }
        if is_listed && !file.text.contains("#![allow(unsafe_code)]") {
            complaints.push(format!("{} does not say `#![allow(unsafe_code)]`", file.path));
        }
    }
    expect_none(&complaints);
}
