//! **The page of a run that has failed**: whether there is one, where, and what it is called.
//!
//! It stands on `recorder`.

use std::env;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf, absolute};

use crate::recorder::Recorder;

/// A file's name may have 255 bytes: of longer names the beginning is taken.
const LONGEST_NAME: usize = 200;

/// Of what an exploration is.
pub(crate) struct Names {
    /// The test that it is in.
    pub(crate) test: Option<String>,
    /// Its own.
    pub(crate) own: Option<String>,
}

impl Names {
    /// For the reader of a page.
    pub(crate) fn title(&self) -> String {
        let names: Vec<&str> = self.test.iter().chain(&self.own).map(String::as_str).collect();
        if names.is_empty() { "main".to_owned() } else { names.join(": ") }
    }

    /// For a sentence.
    pub(crate) fn of_exploration(&self) -> String {
        self.own.as_ref().map(|name| format!(" of '{name}'")).unwrap_or_default()
    }

    /// Letters, digits, `_` and `-`, and a dot for all that is between them: to some system anything else means something.
    fn of_file(&self) -> String {
        let title = self.title();
        let is_plain = |it: char| it.is_alphanumeric() || it == '_' || it == '-';
        let words = title.split(|it| !is_plain(it)).filter(|word| !word.is_empty());
        let mut name = words.collect::<Vec<_>>().join(".");
        while name.len() > LONGEST_NAME {
            name.pop();
        }
        if name.is_empty() { "main".to_owned() } else { name }
    }
}

/// Where pages are written.
#[derive(Clone, Debug)]
pub(crate) enum Pages {
    /// In `explore` in cargo's target directory, if the program is there, or else in the system's directory for temporary files.
    InTarget,
    In(PathBuf),
    None,
}

impl Pages {
    pub(crate) fn are_wanted(&self) -> bool {
        !matches!(self, Pages::None)
    }

    /// Writes a page, and returns where, as seen from everywhere: a test runs in the folder of its package, and its user is in another.
    pub(crate) fn write(&self, names: &Names, recorder: &Recorder) -> Option<PathBuf> {
        let page = absolute(self.folder()?.join(format!("{}.html", names.of_file()))).ok()?;
        write(recorder, &page).ok().map(|()| page)
    }

    fn folder(&self) -> Option<PathBuf> {
        match self {
            Pages::In(folder) => Some(folder.clone()),
            Pages::InTarget => {
                let program = env::current_exe().ok()?;
                let target = program.ancestors().find(|it| it.join("CACHEDIR.TAG").is_file());
                let temporary = || env::temp_dir().join("loopwheel");
                Some(target.map_or_else(temporary, Path::to_owned).join("explore"))
            }
            Pages::None => None,
        }
    }
}

fn write(recorder: &Recorder, page: &Path) -> io::Result<()> {
    if let Some(folder) = page.parent() {
        fs::create_dir_all(folder)?;
    }
    recorder.write_player(BufWriter::new(File::create(page)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_name_that_is_one_on_each_system() {
        let file = |test: Option<&str>, own: Option<&str>| {
            Names { test: test.map(str::to_owned), own: own.map(str::to_owned) }.of_file()
        };
        assert_eq!(file(Some("bank::adds_up"), None), "bank.adds_up");
        assert_eq!(file(Some("bank::adds_up"), Some("two readers")), "bank.adds_up.two.readers");
        assert_eq!(file(None, Some("../../etc/passwd")), "etc.passwd");
        assert_eq!(file(None, Some("C:\\x: \"y\"?\n")), "C.x.y");
        assert_eq!(file(None, Some("Käse-1")), "Käse-1");
        assert_eq!(file(None, Some("…")), "main");
        assert_eq!(file(None, None), "main");
        assert_eq!(file(None, Some(&"ä".repeat(500))), "ä".repeat(100));
    }
}
