//! **A copy of the crate**, whole or broken, with a test: a package of its own in `target/exercises`.
//!
//! The copies have one target directory, so what the crate depends on is built once. In there two packages of one name, each at the
//! root of its workspace, would take each other's results for their own. So each copy has a name of its own. Its library is called
//! `loopwheel` all the same, and the tests do not see a difference.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::Failure;
use crate::exercise::{Exercise, package, root};

pub(crate) struct CrateCopy {
    pub(crate) folder: PathBuf,
    name: String,
}

/// `target/exercises`.
fn copies() -> PathBuf {
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let target = fs::canonicalize(&target).unwrap_or(target);
    target.join("exercises")
}

/// Where all copies are built.
pub(crate) fn target() -> PathBuf {
    copies().join("build")
}

impl CrateCopy {
    /// The one that is given to a student.
    pub(crate) fn of_student(exercise: &Exercise) -> CrateCopy {
        CrateCopy::named(&exercise.number)
    }

    /// The one that is broken and made whole again in `check-all`.
    pub(crate) fn to_check() -> CrateCopy {
        CrateCopy::named("checked")
    }

    fn named(name: &str) -> CrateCopy {
        CrateCopy { folder: copies().join(name), name: name.to_owned() }
    }

    pub(crate) fn exists(&self) -> bool {
        self.folder.join("Cargo.toml").exists()
    }

    /// Writes the crate, broken as the exercise says, with these tests: the name and the text of each. A file that is there, and is
    /// the same, keeps its time, and a file that is of neither the crate nor the tests is removed.
    pub(crate) fn write(
        &self,
        exercise: Option<&Exercise>,
        tests: &[(&str, &str)],
    ) -> Result<(), Failure> {
        let mut files = vec![("Cargo.toml".to_owned(), self.manifest()?)];
        files.extend(
            fs::read_to_string(root().join("Cargo.lock")).map(|it| ("Cargo.lock".to_owned(), it)),
        );
        for path in files_below("src")? {
            let whole = fs::read_to_string(root().join(&path))?;
            let text =
                exercise.map_or_else(|| Ok(whole.clone()), |it| it.broken(&path, whole.clone()))?;
            files.push((path, text));
        }
        files.extend(
            tests.iter().map(|(name, text)| (format!("tests/{name}.rs"), (*text).to_owned())),
        );
        for old in ["src", "tests"] {
            remove_others(&self.folder.join(old), &self.folder, &files)?;
        }
        for (path, text) in files {
            write_if_new(&self.folder.join(path), &text)?;
        }
        // So that a `cargo test` in the folder of a copy builds to the same place.
        write_if_new(&copies().join(".cargo/config.toml"), "[build]\ntarget-dir = \"build\"\n")
    }

    /// The crate's own manifest, with what its tests need in place of what the exercises' tests need.
    fn manifest(&self) -> Result<String, Failure> {
        let mut manifest: Table = fs::read_to_string(root().join("Cargo.toml"))?.parse()?;
        let tests: Table = fs::read_to_string(package().join("Cargo.toml"))?.parse()?;
        let mut of_tests = tests["dev-dependencies"].clone();
        of_tests.as_table_mut().and_then(|it| it.remove("loopwheel"));
        for part in ["workspace", "target", "test", "profile", "lints"] {
            manifest.remove(part);
        }
        let package = manifest["package"].as_table_mut().ok_or("the crate has no package")?;
        package.insert("name".to_owned(), format!("exercise-{}", self.name).into());
        package.remove("readme");
        package.remove("include");
        manifest.insert("dev-dependencies".to_owned(), of_tests);
        manifest.extend(OF_A_COPY.parse::<Table>()?);
        Ok(toml::to_string(&Value::Table(manifest))?)
    }
}

/// A change may leave code without a use: warnings would give it away.
const OF_A_COPY: &str = r#"
    [workspace]
    [lib]
    name = "loopwheel"
    test = false
    doctest = false
    [lints.rust]
    warnings = "allow"
    [profile.dev]
    debug = "line-tables-only"
"#;

/// The files in a folder of the crate, each by its path from the root, with slashes.
fn files_below(folder: &str) -> Result<Vec<String>, Failure> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root().join(folder))? {
        let entry = entry?;
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

fn remove_others(folder: &Path, copy: &Path, files: &[(String, String)]) -> Result<(), Failure> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, copy, files)?;
        } else if !files.iter().any(|(wanted, _)| copy.join(wanted) == path) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn write_if_new(path: &Path, text: &str) -> Result<(), Failure> {
    if fs::read_to_string(path).is_ok_and(|before| before == text) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().ok_or("no folder")?)?;
    fs::write(path, text)?;
    Ok(())
}
