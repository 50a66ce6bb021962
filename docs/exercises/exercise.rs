//! **An exercise**: a folder with four files.

use std::fs;
use std::path::{Path, PathBuf};

use diffy::Patch;

use crate::Failure;

/// The folder of this package.
pub(crate) fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of the crate.
pub(crate) fn root() -> PathBuf {
    package().join("../..")
}

pub(crate) struct Exercise {
    /// Two digits.
    pub(crate) number: String,
    /// The name of its folder, `NN_what_it_is`.
    pub(crate) name: String,
    /// Begins with the line `# NN: title`.
    pub(crate) story: String,
    pub(crate) hint: String,
    /// From the whole crate to the broken one.
    pub(crate) patch: String,
    pub(crate) test: String,
}

impl Exercise {
    /// All of them, in order.
    pub(crate) fn all() -> Result<Vec<Exercise>, Failure> {
        let mut all = Vec::new();
        for entry in fs::read_dir(package())? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with(|first: char| first.is_ascii_digit()) {
                all.push(Exercise::load(name)?);
            }
        }
        all.sort_by(|one, other| one.number.cmp(&other.number));
        Ok(all)
    }

    fn load(name: String) -> Result<Exercise, Failure> {
        let read = |file: &str| {
            let path = package().join(&name).join(file);
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
        };
        Ok(Exercise {
            number: name.chars().take(2).collect(),
            story: read("story.md")?,
            hint: read("hint.md")?,
            patch: read("broken.patch")?,
            test: read("test.rs")?,
            name,
        })
    }

    /// The one with this number, which may have one digit or two.
    pub(crate) fn numbered(number: &str) -> Result<Exercise, Failure> {
        let found = Exercise::all()?.into_iter().find(|it| it.number == format!("{number:0>2}"));
        found.ok_or_else(|| format!("there is no exercise {number}: see `list`").into())
    }

    pub(crate) fn title(&self) -> &str {
        self.story.lines().next().unwrap_or_default().trim_start_matches("# ")
    }

    /// The files that the patch changes: the path of each from the crate's root, and its own part of the patch.
    pub(crate) fn parts(&self) -> Vec<(&str, &str)> {
        let parts = self.patch.split("--- a/").skip(1);
        let parts = parts.filter_map(|part| {
            let end = part.find("\ndiff --git").map_or(part.len(), |at| at + 1); // git's header of the next file
            part[..end].split_once('\n')
        });
        parts.collect()
    }

    /// Tries whether the patch applies.
    pub(crate) fn must_apply(&self) -> Result<(), Failure> {
        for (file, _) in self.parts() {
            let whole = fs::read_to_string(root().join(file));
            self.broken(file, whole.map_err(|error| self.no_longer_applies(file, &error))?)?;
        }
        Ok(())
    }

    /// Breaks this file, named by its path from the crate's root, if the patch changes it.
    pub(crate) fn broken(&self, file: &str, whole: String) -> Result<String, Failure> {
        let Some((_, part)) = self.parts().into_iter().find(|(changed, _)| *changed == file) else {
            return Ok(whole);
        };
        let part = format!("--- a/{file}\n{part}");
        let patch = Patch::from_str(&part).map_err(|error| self.no_longer_applies(file, &error))?;
        diffy::apply(&whole, &patch).map_err(|error| self.no_longer_applies(file, &error))
    }

    fn no_longer_applies(&self, file: &str, error: &dyn std::fmt::Display) -> Failure {
        let patch = format!("docs/exercises/{}/broken.patch", self.name);
        let files: Vec<_> = self.parts().into_iter().map(|(file, _)| file).collect();
        let files = files.join(" ");
        format!(
            "{patch} no longer applies to {file} ({error}).\n\
             To refresh it: make the change of the patch by hand in the crate ({files}). Then\n    \
             git diff -U1 {files} > {patch}\n    \
             git checkout {files}\n    \
             cargo run -p exercises -- check-all"
        )
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_exercise_is_complete() {
        let all = Exercise::all().unwrap();
        assert_eq!(all.len(), 12);
        let whole = fs::read_to_string(package().join("tests/whole.rs")).unwrap();
        for (index, exercise) in all.iter().enumerate() {
            let name = &exercise.name;
            assert_eq!(exercise.number, format!("{:02}", index + 1));
            assert!(exercise.title().starts_with(&format!("{}: ", exercise.number)), "{name}");
            assert!(
                exercise.story.trim_end().ends_with('?'),
                "{name}: the story ends with a question"
            );
            assert!(exercise.hint.contains("src/"), "{name}: the hint names a file");
            assert_eq!(exercise.test.matches("#[test]").count(), 1, "{name}: one test");
            assert!(
                whole.contains(&format!("../{name}/test.rs")),
                "{name} is not in tests/whole.rs"
            );
        }
    }

    #[test]
    fn each_patch_applies() {
        for exercise in Exercise::all().unwrap() {
            assert!(!exercise.parts().is_empty(), "{}: no file is changed", exercise.name);
            exercise.must_apply().unwrap_or_else(|failure| panic!("{failure}"));
        }
    }

    #[test]
    fn a_patch_may_be_as_git_writes_it() {
        let mut exercise = Exercise::numbered("10").unwrap();
        let whole = || "one\ntwo\nthree\n".to_owned();
        let change = |file, line| {
            format!(
                "diff --git a/{file} b/{file}\nindex 1..2 100644\n--- a/{file}\n+++ b/{file}\n@@ -{line},1 +{line},1 @@\n"
            )
        };
        exercise.patch =
            change("src/a.rs", 1) + "-one\n+1\n" + &change("src/b.rs", 3) + "-three\n+3\n";
        assert_eq!(exercise.broken("src/a.rs", whole()).unwrap(), "1\ntwo\nthree\n");
        assert_eq!(exercise.broken("src/b.rs", whole()).unwrap(), "one\ntwo\n3\n");
        assert_eq!(exercise.broken("src/c.rs", whole()).unwrap(), whole());
    }

    #[test]
    fn a_patch_that_does_not_apply_says_how_to_refresh_it() {
        let exercise = Exercise::numbered("3").unwrap();
        let failure = exercise.broken("src/kernel/queue.rs", "fn other() {}\n".into()).unwrap_err();
        let failure = failure.to_string();
        assert!(
            failure.contains("docs/exercises/03_the_newest_first/broken.patch no longer applies")
        );
        assert!(failure.contains("git diff -U1 src/kernel/queue.rs > docs/exercises/03"));
    }
}
