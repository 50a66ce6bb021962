//! **The player**: a run as one page of HTML, in which it can be stepped through, forwards and back.
//!
//! The page needs no network and no library: a browser opens the file. It holds the events, and the source files that they name.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::{Recorder, lines};
use crate::trace::{Id, What};

const PAGE: &str = include_str!("player.html");

/// Where the run goes.
const PLACE: &str = "/*RUN*/";

/// The page as it is written. Comments, blank lines, indentation and the spaces around these operators are for readers of the source.
/// No text in the page has such an operator, or goes on over the end of a line.
fn written_page() -> String {
    const OPERATORS: [&str; 9] = ["=>", "===", "!==", "&&", "||", "??", "=", ":", "{"];
    let is_comment = |line: &&str| ["//", "/** ", "<!-- "].iter().any(|it| line.starts_with(it));
    let lines = PAGE.split_inclusive('\n').map(|line| line.trim_start_matches('\t'));
    let page: String = lines.filter(|line| !line.trim().is_empty() && !is_comment(line)).collect();
    let closed_up = |page: String, operator| page.replace(&format!(" {operator} "), operator);
    OPERATORS.into_iter().fold(page, closed_up)
}

impl Recorder {
    /// Writes a page in which the run can be stepped through. Any browser opens it, from a file, without a network.
    ///
    /// It shows the program too: those source files that the events name and that are below the current directory.
    ///
    /// # Errors
    /// Those of `out`.
    ///
    /// # Examples
    /// ```no_run
    /// use std::fs::File;
    /// use loopwheel::{EventLoop, Recorder, yield_now};
    ///
    /// let recorder = Recorder::new(); // with the feature `record`, `.with_lines()` adds the line of each await
    /// EventLoop::builder().trace(recorder.clone()).build().run(yield_now());
    /// recorder.write_player(File::create("run.html").unwrap()).unwrap();
    /// ```
    pub fn write_player(&self, mut out: impl io::Write) -> io::Result<()> {
        let events: Value = self.kept.borrow().events.iter().map(lines::value_of).collect();
        let run = json!({ "header": self.header(), "events": events, "sources": self.sources() });
        // A tag, or a comment, in it would change where the script element ends. In JSON a `<` is always in a string.
        let run = run.to_string().replace('<', "\\u003c");
        let page = written_page();
        let (before, after) = page.split_once(PLACE).expect("the page has a place for the run");
        write!(out, "{before}{run}{after}")
    }

    /// The text of each file that an event names.
    fn sources(&self) -> Value {
        let kept = self.kept.borrow();
        let mut files = BTreeSet::new();
        // The lines of its awaits tell the file of main. It may have been spawned by a program that only runs it.
        let has_lines = self.settings.stack.is_some();
        for recorded in &kept.events {
            if let What::Spawned { at, task } | What::Found { at, task, .. } = &recorded.event.what
                && !(has_lines && *task == Id::Task(1))
            {
                files.insert(at.file().to_owned());
            }
            files.extend(recorded.stack.iter().map(|frame| frame.file.clone()));
        }
        // Those of the standard library and of other packages have an absolute path.
        let own = files.into_iter().filter(|file| Path::new(file).is_relative());
        own.filter_map(|file| Some((file.clone(), Value::from(fs::read_to_string(file).ok()?))))
            .collect()
    }
}
