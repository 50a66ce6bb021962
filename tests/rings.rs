//! The crate is made of rings: each uses those inside it, and knows nothing of those outside. This test checks the source for that.
//!
//! `RINGS` lists them from the inside out. When the test fails, its message says what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Lists a folder or a file of `src`, from the inside out, and how many lines it may have without tests.
const RINGS: [(&str, usize); 77] = [
    ("base", 800),
    ("cells", 450),
    ("fifo", 450),
    ("lines", 450),
    ("wait_list", 450),
    ("reason", 800),
    ("error", 800),
    ("kernel", 2000),
    ("foreign", 450),
    ("event", 800),
    ("trace", 800),
    ("trace/watch", 450),
    ("choices", 450),
    ("kept_waker", 450),
    ("mailbox", 800),
    ("room", 800),
    ("task_local", 450),
    ("delivery", 800),
    ("aside", 450),
    ("clock", 450),
    ("object", 800),
    ("waiting", 800),
    ("time/wheel", 450),
    ("time", 800),
    ("open_limits", 450),
    ("deaf", 450),
    ("scope", 800),
    ("awaited", 450),
    ("cancel", 800),
    ("join", 800),
    ("task", 800),
    ("eager", 450),
    ("spawning", 450),
    ("catch", 800),
    ("report", 800),
    ("gather/await_set", 450),
    ("gather/children", 450),
    ("gather", 800),
    ("sleep", 800),
    ("callback", 450),
    ("sync/line", 800),
    ("sync/semaphore", 800),
    ("sync/meet", 800),
    ("sync/queue", 800),
    ("sync", 100),
    ("limited", 450),
    ("given", 450),
    ("timeout", 800),
    ("protect", 800),
    ("wait", 800),
    ("exception_group", 800),
    ("race", 800),
    ("group/state", 450),
    ("group", 800),
    ("task_set", 800),
    ("thread", 800),
    ("thread_channel/shared", 450),
    ("thread_channel", 800),
    ("to_thread", 800),
    ("parking", 800),
    ("dump/facts", 800),
    ("dump/tree", 450),
    ("dump", 800),
    ("watch", 800),
    ("explored", 450),
    ("close", 450),
    ("run", 800),
    ("start", 450),
    ("test_run", 800),
    ("host", 800),
    ("io", 450),
    ("recorder", 800),
    ("explore/page", 450),
    ("explore/schedule", 800),
    ("explore/one", 800),
    ("explore/search", 800),
    ("explore", 800),
];

/// The one declared circle: a record knows its loop, and a loop owns its records. So every ring may name these two structs, which
/// have one field for each ring that needs one, and name the types of many rings.
const OWNERS: [&str; 2] = ["engine", "cold"];

/// These may use anything: the crate's root, what only tests use, and the adapters of a feature.
const OUTSIDE: [&str; 3] = ["lib.rs", "testing.rs", "futures.rs"];

/// Methods of types of std's. A ring implements them for a type of an inner ring too, so their calls say nothing.
const ALSO_OF_STD: [&str; 1] = ["elapsed"];

const MOST_LINES_OF_A_FILE: usize = 450;

/// The islands: each has an invariant with a name, which its `SAFETY` comments cite.
const UNSAFE: [&str; 10] = [
    "base/free_lists.rs",
    "catch/frame.rs",
    "cold.rs",
    "fifo.rs",
    "kernel/current.rs",
    "kernel/record/mod.rs",
    "kernel/record/outcome.rs",
    "kernel/record/stage.rs",
    "kernel/waker.rs",
    "reason/mod.rs",
];

struct File {
    /// The path below `src`, with slashes.
    path: String,
    /// The text without its tests.
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

/// Reads the files of `src` that belong to the rings.
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
        for way_round in ["crate::{", "super::super::"] {
            if file.code().any(|line| line.contains(way_round)) {
                complaints.push(format!(
                    "{} writes `{way_round}`, which this test cannot follow: write each path out from `crate::`, a line for each",
                    file.path
                ));
            }
        }
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

/// Methods that a ring implements for the types of inner rings are arrows that no `use` shows: the inner ring calls `engine.name()`.
#[test]
fn what_a_ring_asks_of_an_outer_one_is_in_the_table_of_the_engine() {
    let files = house();
    let engine = files.iter().find(|file| file.path == "engine.rs").unwrap();
    let table: Vec<&str> = engine.text.lines().take_while(|line| line.starts_with("//!")).collect();
    let table = table.join("\n");
    let words: Vec<&str> = table.split('`').skip(1).step_by(2).collect();
    let is_listed = |method: &str| {
        words.iter().any(|word| match word.strip_suffix('…') {
            Some(start) => !start.is_empty() && method.starts_with(start),
            None => *word == method,
        })
    };
    // Where each type is defined; `None` for those of the owners.
    let mut defined_in: BTreeMap<&str, Option<usize>> = BTreeMap::new();
    for file in &files {
        for line in file.code() {
            let words = line.split(|it: char| !(it.is_alphanumeric() || it == '_'));
            let mut words = words.skip_while(|it| !["struct", "enum"].contains(it)).skip(1);
            if let Some(name) = words.next().filter(|_| line.starts_with("pub")) {
                defined_in.insert(name, file.ring());
            }
        }
    }
    // Of each function: the ring that implements it for a type of an inner ring, or `None` for an ordinary one.
    let mut implemented_in: BTreeMap<&str, BTreeSet<Option<usize>>> = BTreeMap::new();
    let mut asked_for: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for file in &files {
        let Some(place) = file.ring() else { continue };
        let mut is_of_an_inner_type = false;
        for line in file.code() {
            if let Some(name) = line.strip_prefix("impl ").and_then(|it| it.strip_suffix(" {")) {
                let types = defined_in.get(name);
                is_of_an_inner_type = types.is_some_and(|owner| owner.is_none_or(|it| it < place));
            } else if line == "}" {
                is_of_an_inner_type = false;
            }
            if let Some(name) = function_of(line) {
                let in_ring = is_of_an_inner_type.then_some(place);
                implemented_in.entry(name).or_default().insert(in_ring);
            }
            for name in calls_in(line) {
                asked_for.entry(name).or_default().insert(&file.path);
            }
        }
    }
    let mut complaints = Vec::new();
    for (method, paths) in asked_for {
        // A name that an ordinary function has too may mean that one: only what cannot be meant otherwise is reported.
        let Some(places) = implemented_in.get(method).filter(|it| it.len() == 1) else { continue };
        let Some(outer) = *places.first().unwrap() else { continue };
        for path in paths {
            let place = ring_of(path.trim_end_matches(".rs")).unwrap();
            if place < outer && !is_listed(method) && !ALSO_OF_STD.contains(&method) {
                complaints.push(format!(
                    "{path} calls `{method}`, which `{}`, further out, implements: move it inwards, or list it in the header of \
                     `src/engine.rs`, with when it is called",
                    RINGS[outer].0
                ));
            }
        }
    }
    expect_none(&complaints);
}

/// The name of the function whose signature begins in this line.
fn function_of(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let is_signature = before.split_whitespace().all(|word| {
        word.starts_with("pub") || ["unsafe", "const", "async", "in", "crate)"].contains(&word)
    });
    let end = after.find(|it: char| !(it.is_alphanumeric() || it == '_'))?;
    is_signature.then(|| &after[..end])
}

/// The names of the methods and associated functions that are called in this line.
fn calls_in(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices('(').filter_map(|(at, _)| {
        let before = &line[..at];
        let start = before.rfind(|it: char| !(it.is_alphanumeric() || it == '_'))?;
        let is_method = before[..=start].ends_with('.') || before[..=start].ends_with("::");
        (is_method && start + 1 < at).then(|| &before[start + 1..])
    })
}

#[test]
fn each_ring_says_what_it_stands_on() {
    let files = house();
    let mut complaints = Vec::new();
    for (place, (ring, _)) in RINGS.iter().enumerate() {
        let face = |path: &str| path == format!("{ring}.rs") || path == format!("{ring}/mod.rs");
        let said = files.iter().find(|file| face(&file.path)).and_then(|file| {
            let header = file.text.lines().take_while(|line| line.starts_with("//!"));
            let header = header.map(|line| line.trim_start_matches("//!")).collect::<String>();
            header.split_once("It stands on").map(|(_, said)| said.to_owned())
        });
        let Some(said) = said else {
            complaints.push(format!(
                "the header of the ring `{ring}` does not say what it stands on: end it with a line `//! It stands on …`"
            ));
            continue;
        };
        let named = files.iter().filter(|file| file.ring() == Some(place)).flat_map(File::names);
        let used: BTreeSet<usize> =
            named.filter_map(|name| ring_of(&name)).filter(|other| *other != place).collect();
        for (other, (name, _)) in RINGS.iter().enumerate() {
            let folder = name.split('/').next().unwrap();
            let is_said = said.contains(&format!("`{name}`"))
                || said.contains(&format!("`{folder}`"))
                || (*name == "kernel" && said.contains("the kernel"));
            if used.contains(&other) && !is_said {
                complaints.push(format!(
                    "the ring `{ring}` uses `{name}`, and its header does not say so: add that to `//! It stands on …`"
                ));
            }
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
