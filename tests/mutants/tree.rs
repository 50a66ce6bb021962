//! A copy of the repository in which the mutants are put, and its build.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::mutant::Mutant;
use crate::weave::{self, Blame, Woven};

/// These say nothing of a mutant: they read the source, compile parts of it, or run for minutes to see that nothing grows.
const LEFT_OUT: [&str; 3] = ["tests/rings.rs", "tests/loom.rs", "tests/soak.rs"];

/// What a mutant became when it was woven in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Woven,
    /// It does not compile.
    Unviable,
    /// There is no way to switch it on while the program runs: it is in a constant, for example.
    Apart,
}

pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    /// Where Cargo builds it.
    target: PathBuf,
    /// The text of each file of `src`, without mutants.
    source: BTreeMap<String, String>,
    all_features: bool,
    /// Builds only these programs of tests, if there are any here.
    tests: Vec<String>,
}

/// A program of tests.
#[derive(Clone, Debug)]
pub(crate) struct Binary {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// The folder of its package.
    pub(crate) folder: PathBuf,
}

#[derive(Deserialize)]
struct Line {
    reason: String,
    message: Option<Diagnostic>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
    manifest_path: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Deserialize)]
pub(crate) struct Diagnostic {
    level: String,
    rendered: Option<String>,
    spans: Vec<Part>,
}

#[derive(Deserialize)]
pub(crate) struct Part {
    file_name: String,
    byte_start: usize,
    is_primary: bool,
}

/// What a build came to: programs, or errors.
pub(crate) type Built = Result<Vec<Binary>, Vec<Diagnostic>>;

impl Tree {
    /// Copies what Git knows of the repository, but for `src`.
    pub(crate) fn copy(
        from: &Path,
        folder: &Path,
        all_features: bool,
        tests: &[String],
    ) -> Result<Tree, String> {
        let mut git = Command::new("git");
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(from);
        let listed = git.output().map_err(|it| format!("git: {it}"))?;
        let root = folder.join("tree");
        let mut source = BTreeMap::new();
        for path in String::from_utf8_lossy(&listed.stdout).split('\0').filter(|it| !it.is_empty())
        {
            if LEFT_OUT.contains(&path) {
                continue;
            }
            let Ok(content) = fs::read(from.join(path)) else { continue };
            if path.starts_with("src/") {
                source.insert(
                    path.to_owned(),
                    String::from_utf8(content).map_err(|it| format!("{path}: {it}"))?,
                );
            } else {
                write(&root.join(path), &content)?;
            }
        }
        // The lints of the house are not for mutants.
        let wrapper = folder.join("wrapper");
        write(&wrapper, b"#!/bin/sh\nexec \"$@\" --cap-lints=allow\n")?;
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))
            .map_err(|it| it.to_string())?;
        Ok(Tree {
            root,
            target: folder.parent().unwrap_or(folder).to_owned(),
            source,
            all_features,
            tests: tests.to_owned(),
        })
    }

    /// Builds all tests, without mutants.
    pub(crate) fn plain(&self) -> Result<Built, String> {
        for (file, text) in &self.source {
            write(&self.root.join(file), text.as_bytes())?;
        }
        self.build()
    }

    fn cargo(&self, arguments: &[&str]) -> Result<Built, String> {
        let mut command = Command::new("cargo");
        command
            .args(arguments)
            .args(["--message-format=json", "--offline"])
            // The tests are run thousands of times; the other crates can stay as they are.
            .args(["--config", "profile.dev.package.loopwheel.opt-level=1"])
            .args(self.all_features.then_some("--all-features"))
            .current_dir(&self.root);
        command
            .env("RUSTC_WORKSPACE_WRAPPER", self.target.join("mutants/wrapper"))
            .env("CARGO_TARGET_DIR", &self.target);
        let output =
            command.stderr(Stdio::piped()).output().map_err(|it| format!("cargo: {it}"))?;
        let (mut binaries, mut errors) = (Vec::new(), Vec::new());
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let Ok(line) = serde_json::from_str::<Line>(line) else { continue };
            let is_test = line.profile.is_some_and(|it| it.test);
            if is_test
                && let (Some(path), Some(target), Some(manifest)) =
                    (line.executable, line.target, line.manifest_path)
            {
                let folder = manifest.parent().unwrap_or(Path::new("/")).to_owned();
                binaries.push(Binary { name: target.name, path, folder });
            }
            errors.extend(
                line.message.filter(|it| line.reason == "compiler-message" && it.level == "error"),
            );
        }
        match (output.status.success(), errors.is_empty()) {
            (true, _) => Ok(Ok(binaries)),
            (false, false) => Ok(Err(errors)),
            (false, true) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    fn build(&self) -> Result<Built, String> {
        let mut arguments = vec!["test", "--no-run", "-p", "loopwheel", "-p", "conformance"];
        for name in &self.tests {
            match name.as_str() {
                "loopwheel" => arguments.push("--lib"),
                name => arguments.extend(["--test", name]),
            }
        }
        self.cargo(&arguments)
    }

    /// Weaves all mutants in, builds the tests, and says which mutants are in them.
    pub(crate) fn weave(
        &self,
        mutants: &[Mutant],
        mut fates: Vec<Fate>,
        tell: &dyn Fn(&Mutant, Fate),
    ) -> Result<(Vec<Binary>, Vec<Fate>), String> {
        let mut of_file: HashMap<&str, Vec<usize>> = HashMap::new();
        for (number, mutant) in mutants.iter().enumerate() {
            of_file.entry(&mutant.file).or_default().push(number);
        }
        write(&self.root.join("src/mutant.rs"), include_bytes!("probe.rs"))?;
        // The compiler finds the errors of one of its passes at a time.
        loop {
            let mut woven: HashMap<&str, Woven> = HashMap::new();
            for (file, plain) in &self.source {
                let numbers = of_file.get(file.as_str()).into_iter().flatten();
                let numbers = numbers.filter(|it| fates[**it] == Fate::Woven);
                let here: Vec<_> = numbers.map(|it| (*it, &mutants[*it])).collect();
                let (mut text, left) = weave::weave(plain, &here);
                for number in left {
                    fates[number] = Fate::Apart;
                    tell(&mutants[number], Fate::Apart);
                }
                if file == "src/lib.rs" {
                    text.text.push_str("\nmod mutant;\n");
                }
                write(&self.root.join(file), text.text.as_bytes())?;
                woven.insert(file, text);
            }
            let errors = match self.cargo(&["check", "-p", "loopwheel", "--lib"])? {
                Err(errors) => errors,
                Ok(_) => match self.build()? {
                    Ok(binaries) => return Ok((binaries, fates)),
                    Err(errors) => errors,
                },
            };
            let blamed = blame(&errors, &woven, &mut fates);
            eprintln!(
                "{} errors of the compiler: {} mutants are taken out",
                errors.len(),
                blamed.len()
            );
            for number in &blamed {
                tell(&mutants[*number], fates[*number]);
            }
            if blamed.is_empty() {
                let rendered: Vec<String> =
                    errors.into_iter().filter_map(|it| it.rendered).collect();
                return Err(rendered.join("\n"));
            }
        }
    }

    /// Puts one mutant into the plain source, and builds the tests. `None` if that does not compile.
    pub(crate) fn put(&self, mutant: &Mutant) -> Result<Option<Vec<Binary>>, String> {
        let (path, text) = (self.root.join(&mutant.file), &self.source[&mutant.file]);
        write(&path, weave::put(text, mutant).as_bytes())?;
        let built = self.build();
        write(&path, text.as_bytes())?;
        built.map(Result::ok)
    }
}

/// Takes out the mutants that these errors are about.
fn blame(
    errors: &[Diagnostic],
    woven: &HashMap<&str, Woven>,
    fates: &mut [Fate],
) -> HashSet<usize> {
    let mut blamed = HashSet::new();
    let places = errors.iter().flat_map(|it| &it.spans).filter(|it| it.is_primary);
    for part in places {
        let Some(text) = woven.get(part.file_name.as_str()) else { continue };
        let (numbers, fate) = match text.blame(part.byte_start, |it| fates[it] != Fate::Woven) {
            Blame::Variant(number) => (vec![number], Fate::Unviable),
            Blame::Site(numbers) => (numbers, Fate::Apart),
            Blame::Nobody => continue,
        };
        for number in numbers {
            if fates[number] == Fate::Woven {
                fates[number] = fate;
                blamed.insert(number);
            }
        }
    }
    blamed
}

fn write(path: &Path, content: &[u8]) -> Result<(), String> {
    if fs::read(path).is_ok_and(|it| it == content) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, content))
        .map_err(|it| format!("{}: {it}", path.display()))
}
