//! # L15: notes to disk
//!
//! Five notes are exported to Markdown files, each in 0.2 s: sequentially, concurrently, and concurrently with at
//! most two at a time. Then an empty list of notes is exported.
//!
//! `max_concurrent` is a [`Semaphore`]: each export holds one of its permits while it runs. `Some(1)` would be
//! sequential again, `None` means no limit at all. In asyncio: `async with asyncio.Semaphore(max_concurrent):`.
//!
//! The points to notice: five notes, two at a time, take three rounds, 0.6 s. All five tasks exist from the
//! beginning; three of them wait for a permit, in the order in which they came. And the empty list needs no special
//! case: gathering nothing gives nothing, at once.
//!
//! The files are real, in a fresh directory that is removed at the end. The 0.2 s simulate a slow disk. The writing
//! itself uses `std::fs`, which makes the whole loop wait; for small files that is all right.
//!
//! Step through it: `docs/players/l15_notes_to_disk.html`, in any browser.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use std::{env, fs, process};

use loopwheel::sync::Semaphore;
use loopwheel::{gather, now, sleep};

struct Note {
    title: &'static str,
    body: &'static str,
    tags: &'static [&'static str],
}

const NOTES: &[Note] = &[
    Note { title: "Shopping List", body: "Apples, bread, cheese.", tags: &["home", "food"] },
    Note { title: "Async, explained", body: "Waits overlap.", tags: &["rust", "async"] },
    Note { title: "Trip to Rome", body: "Take the night train.", tags: &["travel", "italy"] },
    Note { title: "What is a task?", body: "A future that the loop runs.", tags: &["async"] },
    Note { title: "Books 2025", body: "Read more of them.", tags: &["books", "plans"] },
];

impl Note {
    /// The title as a file name: `Trip to Rome` is `trip-to-rome`.
    fn slug(&self) -> String {
        let title = self.title.to_lowercase();
        let words = title.split(|c: char| !c.is_alphanumeric());
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
    }

    fn markdown(&self) -> String {
        format!("# {}\n\n{}\n\nTags: {}\n", self.title, self.body, self.tags.join(", "))
    }

    async fn export(&self, dir: &Path) -> PathBuf {
        sleep(Duration::from_millis(200)).await;
        let file = dir.join(self.slug() + ".md");
        fs::write(&file, self.markdown()).unwrap();
        file
    }
}

/// A directory that did not exist before, and is removed when this is dropped.
struct FreshDir(PathBuf);

impl FreshDir {
    fn new() -> io::Result<FreshDir> {
        let mut number = 0;
        loop {
            let name = format!("loopwheel-l15-{}-{number}", process::id());
            let path = env::temp_dir().join(name);
            match fs::create_dir(&path) {
                Ok(()) => return Ok(FreshDir(path)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn subdir(&self, name: &str) -> Rc<Path> {
        let path = self.0.join(name);
        fs::create_dir(&path).unwrap();
        path.into()
    }
}

impl Drop for FreshDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // best effort: a destructor has nobody to tell
    }
}

async fn export_one_by_one(notes: &[Note], dir: &Path) -> usize {
    let mut files = vec![];
    for note in notes {
        files.push(note.export(dir).await);
    }
    files.len()
}

async fn export_all(
    notes: &'static [Note],
    dir: &Rc<Path>,
    max_concurrent: Option<usize>,
) -> usize {
    let permits = Rc::new(Semaphore::new(max_concurrent.unwrap_or(usize::MAX)));
    let exports = notes.iter().map(|note| {
        let (dir, permits) = (dir.clone(), permits.clone());
        async move {
            let _permit = permits.acquire().await;
            note.export(&dir).await
        }
    });
    gather(exports).await.len()
}

fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Exports five notes to files in three ways, and then none.
pub async fn lesson() {
    let dir = FreshDir::new().unwrap();

    let (start, sequential) = (now(), dir.subdir("sequential"));
    let count = export_one_by_one(NOTES, &sequential).await;
    println!("Sequential: {count} notes in {:.1}s", (now() - start).as_secs_f64());

    let (start, concurrent) = (now(), dir.subdir("concurrent"));
    let count = export_all(NOTES, &concurrent, None).await;
    println!("Concurrent: {count} notes in {:.1}s", (now() - start).as_secs_f64());

    let (start, two_at_a_time) = (now(), dir.subdir("two-at-a-time"));
    let count = export_all(NOTES, &two_at_a_time, Some(2)).await;
    println!("Two at a time: {count} notes in {:.1}s", (now() - start).as_secs_f64());

    let (start, empty) = (now(), dir.subdir("empty"));
    let count = export_all(&[], &empty, None).await;
    println!("The empty list: {count} notes in {:.1}s", (now() - start).as_secs_f64());

    let names = names_in(&two_at_a_time);
    println!("On disk: {}", names.join(" "));
    let is_same = [sequential, concurrent].iter().all(|other| names_in(other) == names);
    println!("The same files each time: {is_same}; of the empty list: {}", names_in(&empty).len());
    for line in fs::read_to_string(two_at_a_time.join("trip-to-rome.md")).unwrap().lines() {
        println!("| {line}");
    }
}

fn main() {
    loopwheel::run(lesson());
}
