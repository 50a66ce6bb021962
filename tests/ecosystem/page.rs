//! What `docs/ecosystem.md` names is there: its tests, and the versions that the lock file has.

use std::fs;
use std::path::Path;

const PAGE: &str = include_str!("../../docs/ecosystem.md");
const LOCK: &str = include_str!("../../Cargo.lock");

/// What is in backticks on one line, and what follows it.
fn quoted() -> impl Iterator<Item = (&'static str, &'static str)> {
    PAGE.lines().filter(|line| !line.starts_with("```")).flat_map(|line| {
        let parts: Vec<_> = line.split('`').collect();
        let pairs = parts.windows(2).skip(1).step_by(2);
        pairs.map(|pair| (pair[0], pair[1])).collect::<Vec<_>>()
    })
}

#[test]
fn every_test_that_the_page_names_is_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut named = 0;
    for (name, _) in quoted() {
        let Some((module, function)) = name.split_once("::") else { continue };
        let Ok(source) = fs::read_to_string(folder.join(module).with_extension("rs")) else {
            continue; // a path of another crate
        };
        assert!(
            source.contains(&format!("#[test]\nfn {function}("))
                || source.contains(&format!("#[cfg(unix)]\nfn {function}(")),
            "{name}"
        );
        named += 1;
    }
    assert!(named > 30, "only {named} tests are named");
}

#[test]
fn every_version_that_the_page_names_is_the_one_that_is_tested() {
    let mut named = 0;
    for (name, after) in quoted() {
        let version = after.strip_prefix(' ').unwrap_or_default();
        let version = version.split([',', ' ', '|', ';']).next().unwrap_or_default();
        if version.split('.').count() != 3
            || !version.starts_with(|first: char| first.is_ascii_digit())
        {
            continue;
        }
        let locked = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        assert!(LOCK.contains(&locked), "{name} {version} is not in Cargo.lock");
        named += 1;
    }
    assert!(named > 20, "only {named} versions are named");
}
