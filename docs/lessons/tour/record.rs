//! Lessons with an observer: every step as text, or as a page.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::pin::Pin;

use loopwheel::{EventLoop, Recorder, VirtualClock};

use super::Lesson;

thread_local! {
    /// The lesson's lines are recorded, and not printed.
    static IS_SILENT: Cell<bool> = const { Cell::new(false) };
}

pub(crate) fn is_silent() -> bool {
    IS_SILENT.get()
}

/// Runs lessons whose lines are not printed.
pub(crate) fn in_silence<T>(run: impl FnOnce() -> T) -> T {
    IS_SILENT.set(true);
    let output = run();
    IS_SILENT.set(false);
    output
}

/// The lesson; of the crawl of a thousand a hundred, which a page can show. One of them fails.
pub(crate) fn shown(lesson: &Lesson) -> Pin<Box<dyn Future<Output = ()>>> {
    if lesson.id == "L30" {
        return Box::pin(super::l30_a_crawl_of_a_thousand::crawl(151..=250));
    }
    (lesson.run)()
}

/// Runs the lesson on the virtual clock, and keeps every event.
fn record(lesson: &Lesson, recorder: Recorder) -> Recorder {
    let recorder = recorder.title(lesson.id, lesson.title);
    let event_loop = EventLoop::builder().clock(VirtualClock::new()).trace(recorder.clone());
    in_silence(|| event_loop.build().run(shown(lesson)));
    recorder
}

/// Prints every step of the loop.
pub(crate) fn play(lesson: &Lesson) {
    super::print(format_args!("{} {}", lesson.id, lesson.title));
    for event in record(lesson, Recorder::new()).events() {
        super::print(format_args!("{event}"));
    }
}

/// Writes a page in which the lesson can be stepped through, and prints its path.
#[cfg(feature = "record")]
pub(crate) fn write_page(lesson: &Lesson, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{}.html", lesson.module));
    #[cfg(feature = "explore")]
    if lesson.id == "L33" {
        return write_explored(folder, &path);
    }
    let recorder = record(lesson, Recorder::new().with_lines());
    recorder.write_player(io::BufWriter::new(std::fs::File::create(&path)?))?;
    super::print(format_args!("{}", path.display()));
    Ok(())
}

/// Writes the page of the run that the exploration of L33 finds.
#[cfg(feature = "explore")]
fn write_explored(folder: &Path, path: &Path) -> io::Result<()> {
    use super::l33_every_order::two_readers;
    let exploration = loopwheel::explore::all(1_000).play_to(folder);
    let found = exploration.try_run(|| two_readers(false)).expect_err("an order fails");
    std::fs::rename(found.page.expect("it was written"), path)?;
    super::print(format_args!("{}", path.display()));
    Ok(())
}

/// Writes the page that leads to those of all lessons.
#[cfg(feature = "record")]
pub(crate) fn write_index(lessons: &[Lesson], folder: &Path) -> io::Result<()> {
    let mut rows = String::new();
    for Lesson { id, title, module, .. } in lessons {
        let about = about(module)?;
        let link = format!("<a href=\"{module}.html\"><b>{id}</b> {title}</a>");
        rows.extend(["<li>", &link, "<p>", &about, "</p></li>\n"]);
    }
    let page = include_str!("index.html").replace("<!-- LESSONS -->\n", &rows);
    let path = folder.join("index.html");
    std::fs::write(&path, page)?;
    super::print(format_args!("{}", path.display()));
    Ok(())
}

/// The first paragraph of a lesson's header, which says what happens in it.
#[cfg(feature = "record")]
fn about(module: &str) -> io::Result<String> {
    let source = std::fs::read_to_string(format!("docs/lessons/{module}.rs"))?;
    let header = source.lines().map_while(|line| line.strip_prefix("//!")).skip(2);
    let paragraph: Vec<_> = header.map(str::trim).take_while(|line| !line.is_empty()).collect();
    let escaped = paragraph.join(" ").replace('&', "&amp;").replace('<', "&lt;");
    Ok(escaped.replace(['`', '*', '[', ']'], ""))
}

#[cfg(not(feature = "record"))]
pub(crate) fn write_index(_lessons: &[Lesson], _folder: &Path) -> io::Result<()> {
    no_recording()
}

#[cfg(not(feature = "record"))]
pub(crate) fn write_page(lesson: &Lesson, _folder: &Path) -> io::Result<()> {
    let _ = lesson.module;
    no_recording()
}

#[cfg(not(feature = "record"))]
fn no_recording() -> io::Result<()> {
    Err(io::Error::other("it needs a feature: cargo run -p lessons --features record -- record"))
}
