//! # L18: three hundred writes
//!
//! A hundred notes are exported in three formats each: three hundred files, with at most twenty writes at a time. A
//! write takes 10 ms.
//!
//! Three hundred tasks are no load for a loop; three hundred open files may be too many for the system. So the tasks
//! are all created, and a [`Semaphore`] of twenty permits decides which of them write. In asyncio: `async with
//! semaphore:` in each coroutine, and `asyncio.gather` around them.
//!
//! The points to notice: the limit is measured, not assumed. Each write counts itself in and out, and the highest
//! count is kept; that needs no lock, because there is one thread. And three hundred writes, twenty at a time, take
//! fifteen rounds of 10 ms: the loop always has twenty in progress.
//!
//! The files are real, in a fresh directory that is removed at the end.
//!
//! Step through it: `docs/players/l18_three_hundred_writes.html`, in any browser.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use std::{env, fs, process};

use loopwheel::sync::Semaphore;
use loopwheel::{gather, now, sleep};

struct Note {
    title: String,
    body: String,
    tags: [&'static str; 2],
}

#[derive(Clone, Copy)]
enum Format {
    Markdown,
    Html,
    Text,
}

impl Note {
    fn numbered(number: usize) -> Note {
        let tags = if number.is_multiple_of(2) { ["even", "note"] } else { ["odd", "note"] };
        Note { title: format!("Note {number}"), body: format!("This is note {number}."), tags }
    }

    /// The title as a file name: `Note 7` is `note-7`.
    fn slug(&self) -> String {
        let title = self.title.to_lowercase();
        let words = title.split(|c: char| !c.is_alphanumeric());
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
    }

    /// The file's name and its text.
    fn file(&self, format: Format) -> (String, String) {
        let (slug, title, body, tags) =
            (self.slug(), &self.title, &self.body, self.tags.join(", "));
        match format {
            Format::Markdown => {
                (format!("{slug}.md"), format!("# {title}\n\n{body}\n\nTags: {tags}\n"))
            }
            Format::Html => (
                format!("{slug}.html"),
                format!("<h1>{title}</h1>\n<p>{body}</p>\n<p>Tags: {tags}</p>\n"),
            ),
            Format::Text => (format!("{slug}.txt"), format!("{title}\n\n{body}\n\nTags: {tags}\n")),
        }
    }
}

/// A directory that did not exist before, and is removed when this is dropped.
struct FreshDir(PathBuf);

impl FreshDir {
    fn new() -> io::Result<FreshDir> {
        let mut number = 0;
        loop {
            let name = format!("loopwheel-l18-{}-{number}", process::id());
            let path = env::temp_dir().join(name);
            match fs::create_dir(&path) {
                Ok(()) => return Ok(FreshDir(path)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for FreshDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // best effort: a destructor has nobody to tell
    }
}

/// Where the exports write, and what they have in common.
struct Exporter {
    dir: FreshDir,
    permits: Semaphore,
    in_flight: Cell<usize>,
    most_in_flight: Cell<usize>,
}

impl Exporter {
    async fn write(&self, note: &Note, format: Format) {
        let _permit = self.permits.acquire().await;
        self.in_flight.set(self.in_flight.get() + 1);
        self.most_in_flight.set(self.most_in_flight.get().max(self.in_flight.get()));

        let (name, text) = note.file(format);
        sleep(Duration::from_millis(10)).await;
        fs::write(self.dir.0.join(name), text).unwrap();

        self.in_flight.set(self.in_flight.get() - 1);
    }
}

/// Writes three hundred files, twenty at a time.
pub async fn lesson() {
    let start = now();
    let exporter = Rc::new(Exporter {
        dir: FreshDir::new().unwrap(),
        permits: Semaphore::new(20),
        in_flight: Cell::new(0),
        most_in_flight: Cell::new(0),
    });

    let mut writes = vec![];
    for note in (1..=100).map(Note::numbered).map(Rc::new) {
        for format in [Format::Markdown, Format::Html, Format::Text] {
            let (exporter, note) = (exporter.clone(), note.clone());
            writes.push(async move { exporter.write(&note, format).await });
        }
    }
    let count = gather(writes).await.len();

    println!("{count} writes in {:.2}s", (now() - start).as_secs_f64());
    println!("Most in flight: {}", exporter.most_in_flight.get());
    println!("Files on disk: {}", fs::read_dir(&exporter.dir.0).unwrap().count());
    for line in fs::read_to_string(exporter.dir.0.join("note-42.md")).unwrap().lines() {
        println!("| {line}");
    }
}

fn main() {
    loopwheel::run(lesson());
}
