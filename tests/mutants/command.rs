//! Measures how many small faults in the source the tests notice. The faults, "mutants", are those of cargo-mutants.
//!
//! ```sh
//! cargo install cargo-mutants --locked               # the list of mutants is its
//! cargo run -p mutants -- kernel time cancel         # these rings, as far as they are not done
//! cargo run -p mutants -- --shard 2/8 sync           # an eighth of a ring
//! cargo run -p mutants -- --again kernel             # those that survived, once more: after a test was written
//! cargo run -p mutants -- --again --test cancel kernel # with the tests of one file, which alone are built
//! cargo run -p mutants -- --tier 1 kernel            # only with the tests that take less than 0.3 s; --tier 3: with the long ones too
//! cargo run -p mutants -- --apart kernel             # those that need a build each
//! cargo run -p mutants -- --again --all-features kernel # with every feature: what exists only there, and the tests of `explore`
//! cargo run -p mutants -- --print                    # only what is known
//! ```
//!
//! What came out of it is in `docs/mutants.md`, and why some survive in `reasons.toml`.
//!
//! cargo-mutants builds the tests anew for each mutant, which takes a minute. This program weaves all mutants into a copy of the
//! source at once, each behind a switch, and then only runs the tests. It runs those that reach the mutant, the quick ones first, and
//! stops at the first failure. While the file exists that `MUTANTS_PAUSE` names, it begins no program of tests. All that it writes is in `target/mutants`, and a run that was stopped goes on where it was.

mod mutant;
mod reasons;
mod store;
mod suite;
mod tree;
mod weave;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use lexopt::Arg;

use mutant::{Mutant, RINGS};
use reasons::Reasons;
use store::{Store, Verdict};
use suite::{End, LONG, Suite};
use tree::{Binary, Fate, Tree};

#[allow(clippy::struct_excessive_bools)] // one for each option that is a word
struct Options {
    rings: Vec<usize>,
    /// Of so many parts, this one.
    shard: (usize, usize),
    jobs: usize,
    again: bool,
    /// The last one that is run.
    tier: u8,
    apart: bool,
    /// Builds the crate with every feature.
    all_features: bool,
    print: bool,
    tests: Vec<String>,
}

impl Options {
    fn read() -> Result<Options, lexopt::Error> {
        let mut options = Options {
            rings: Vec::new(),
            shard: (1, 1),
            jobs: 1,
            again: false,
            tier: 2,
            apart: false,
            all_features: false,
            print: false,
            tests: Vec::new(),
        };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("shard") => {
                    let text = parser.value()?.to_string_lossy().into_owned();
                    let parts = text.split_once('/').ok_or("a shard is K/N")?;
                    let number = |it: &str| {
                        it.parse::<usize>().ok().filter(|it| *it > 0).ok_or("a shard is K/N")
                    };
                    options.shard = (number(parts.0)?, number(parts.1)?);
                }
                Arg::Long("jobs") => {
                    options.jobs = parser
                        .value()?
                        .to_string_lossy()
                        .parse()
                        .map_err(|_| "--jobs takes a number")?;
                }
                Arg::Long("test") => {
                    options.tests.push(parser.value()?.to_string_lossy().into_owned());
                }
                Arg::Long("tier") => {
                    let tier = parser.value()?.to_string_lossy().parse().ok();
                    options.tier =
                        tier.filter(|it| (1..=LONG).contains(it)).ok_or("a tier is 1, 2 or 3")?;
                }
                Arg::Long("again") => options.again = true,
                Arg::Long("apart") => options.apart = true,
                Arg::Long("all-features") => options.all_features = true,
                Arg::Long("print") => options.print = true,
                Arg::Value(name) => {
                    let ring = RINGS.iter().position(|(ring, _)| name == *ring);
                    options
                        .rings
                        .push(ring.ok_or_else(|| format!("no ring is called {}", name.display()))?);
                }
                _ => return Err(argument.unexpected()),
            }
        }
        if options.rings.is_empty() {
            options.rings = (0..RINGS.len()).collect();
        }
        Ok(options)
    }

    /// Whether this run is about it.
    fn chooses(&self, number: usize, mutant: &Mutant) -> bool {
        self.rings.contains(&mutant.ring()) && number % self.shard.1 == self.shard.0 - 1
    }

    /// The programs of tests that are asked for, with what each reaches.
    fn suites(&self, mut binaries: Vec<Binary>, folder: &Path) -> Vec<Suite> {
        binaries.retain(|it| self.tests.is_empty() || self.tests.contains(&it.name));
        let build = if self.all_features { "all-features" } else { "default" };
        suite::suites(binaries, &folder.join(build), self.tier == LONG)
    }
}

fn main() -> ExitCode {
    let result = Options::read().map_err(|it| it.to_string()).and_then(|it| measure(&it));
    if let Err(message) = result {
        eprintln!("{message}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn measure(options: &Options) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = root.canonicalize().map_err(|it| it.to_string())?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let folder = target.join("mutants");
    fs::create_dir_all(&folder).map_err(|it| it.to_string())?;
    let mutants = mutant::list(&root)?;
    let reasons = Reasons::read(&root)?;
    let store = Store::open(folder.join("verdicts.jsonl"));
    if !options.print {
        let tree = Tree::copy(&root, &folder, options.all_features, &options.tests)?;
        if options.apart {
            try_apart(options, &folder, &tree, &mutants, &store)?;
        } else {
            try_woven(options, &folder, &tree, &mutants, &store)?;
        }
    }
    store.print(&mutants, &reasons);
    Ok(())
}

/// Tries mutants that are all in the same programs.
fn try_woven(
    options: &Options,
    folder: &Path,
    tree: &Tree,
    mutants: &[Mutant],
    store: &Store,
) -> Result<(), String> {
    let known = mutants.iter().map(|it| match store.get(it) {
        Some(Verdict::Unviable) => Fate::Unviable,
        Some(Verdict::Apart) => Fate::Apart,
        _ => Fate::Woven,
    });
    let (binaries, fates) = tree.weave(mutants, known.collect(), &|mutant, fate| match fate {
        Fate::Woven => {}
        Fate::Unviable => store.set(mutant, Verdict::Unviable),
        Fate::Apart => store.set(mutant, Verdict::Apart),
    })?;
    let suites = options.suites(binaries, folder);
    let chosen = mutants.iter().enumerate().filter(|(number, mutant)| {
        fates[*number] == Fate::Woven && options.chooses(*number, mutant)
    });
    let chosen: Vec<(usize, &Mutant)> = chosen.collect();
    // What a cheap tier catches is never run against a dear one.
    for tier in 1..=options.tier {
        let is_open = |(_, mutant): &&(usize, &Mutant)| match store.get(mutant) {
            None => !options.again,
            Some(Verdict::Survived { tiers, .. }) => tiers < tier || options.again,
            Some(_) => false,
        };
        let open: Vec<(usize, &Mutant)> = chosen.iter().filter(is_open).copied().collect();
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some((number, mutant)) = open.get(next.fetch_add(1, Ordering::Relaxed)) {
                let reaching =
                    suites.iter().filter(|it| it.tier == tier && it.reaches.contains(number));
                let verdict = judge(reaching, Some(*number), tier);
                let (done, all) = (next.load(Ordering::Relaxed), open.len());
                eprintln!("tier {tier}, {done} of {all}: {verdict:?}: {}", mutant.name);
                match (&verdict, store.get(mutant)) {
                    // Of some of the tests, only what they catch is news.
                    (Verdict::Survived { .. }, _) if !options.tests.is_empty() => {}
                    (
                        Verdict::Survived { is_reached, .. },
                        Some(Verdict::Survived { tiers, is_reached: was }),
                    ) => {
                        let tiers = tiers.max(tier);
                        store.set(
                            mutant,
                            Verdict::Survived { tiers, is_reached: *is_reached || was },
                        );
                    }
                    _ => store.set(mutant, verdict),
                }
            }
        };
        thread::scope(|scope| (0..options.jobs).for_each(|_| drop(scope.spawn(work))));
    }
    Ok(())
}

/// Tries mutants that take a build each.
fn try_apart(
    options: &Options,
    folder: &Path,
    tree: &Tree,
    mutants: &[Mutant],
    store: &Store,
) -> Result<(), String> {
    let mut suites: Option<Vec<Suite>> = None;
    for (number, mutant) in mutants.iter().enumerate() {
        let is_apart = matches!(store.get(mutant), Some(Verdict::Apart));
        if !is_apart || !options.chooses(number, mutant) {
            continue;
        }
        if suites.is_none() {
            let binaries = tree.plain()?.map_err(|_| "the plain source does not compile")?;
            suites = Some(options.suites(binaries, folder));
        }
        let verdict = match tree.put(mutant)? {
            None => Verdict::Unviable,
            Some(_) => judge(suites.iter().flatten(), None, options.tier),
        };
        eprintln!("{verdict:?}: {}", mutant.name);
        // Of some of the tests, only what they catch is news.
        if options.tests.is_empty() || !matches!(verdict, Verdict::Survived { .. }) {
            store.set(mutant, verdict);
        }
    }
    Ok(())
}

fn judge<'a>(suites: impl Iterator<Item = &'a Suite>, number: Option<usize>, tiers: u8) -> Verdict {
    let mut is_reached = false;
    for suite in suites {
        is_reached = true;
        let (by, tier) = (suite.binary.name.clone(), suite.tier);
        match suite.run(number) {
            End::Passed => {}
            End::Failed => return Verdict::Caught { by, tier },
            End::TimedOut => return Verdict::TimedOut { by, tier },
        }
    }
    Verdict::Survived { tiers, is_reached }
}
