//! What the smallest program costs to have: crates in its tree, seconds to build from nothing, bytes when stripped.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::peer::{Hello, Peer};

pub(crate) const NAME: &str = "hello";
pub(crate) const ABOUT: &str =
    "a program that spawns and awaits one task: crates in the tree, CPU seconds to build, size";

const MANIFEST: &str = r#"
[package]
name = "hello"
version = "0.0.0"
edition = "2024"

[workspace] # whatever stands above the temporary directory

[profile.release]
strip = true

[dependencies]
"#;

struct Cost {
    crates: usize,
    build_seconds: f64,
    kilobytes: f64,
}

pub(crate) fn compare(peers: &[Peer]) {
    println!("\n{NAME}: {ABOUT}");
    println!("  {:<26}{:>10}{:>14}{:>10}", "", "crates", "s CPU, cold", "KB");
    for peer in peers {
        let Some(hello) = &peer.hello else { continue };
        match build(hello) {
            Ok(Cost { crates, build_seconds, kilobytes }) => {
                println!("  {:<26}{crates:>10}{build_seconds:>14.1}{kilobytes:>10.0}", peer.name);
            }
            Err(why) => println!("  {:<26}cannot be built here: {why:#}", peer.name),
        }
    }
}

/// In a directory of its own, with the versions that this workspace has locked.
fn build(hello: &Hello) -> Result<Cost> {
    let directory = TempDir::new()?;
    let home = directory.path();
    fs::create_dir(home.join("src"))?;
    fs::write(home.join("src/main.rs"), format!("fn main() {{\n{}\n}}\n", hello.main))?;
    fs::write(home.join("Cargo.toml"), format!("{MANIFEST}{}\n", hello.dependencies))?;
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock"), home.join("Cargo.lock"))?;
    cargo(home, &["fetch"])?; // the network is not what is measured

    let tree = cargo(home, &["tree", "--edges", "normal", "--prefix", "none", "--no-dedupe"])?;
    let mut crates: Vec<_> = tree.lines().collect();
    crates.sort_unstable();
    crates.dedup();

    let before = cpu_of_children()?;
    cargo(home, &["build", "--release"])?;
    let build_seconds = cpu_of_children()? - before;

    let binary = home.join("target/release/hello");
    let said = Command::new(&binary).output()?;
    ensure!(said.stdout == b"hello\n", "it does not say hello");
    let kilobytes = fs::metadata(binary)?.len() as f64 / 1_000.0;
    Ok(Cost { crates: crates.len() - 1, build_seconds, kilobytes })
}

fn cargo(home: &Path, arguments: &[&str]) -> Result<String> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(home).args(arguments).env("CARGO_TARGET_DIR", home.join("target"));
    let done = cargo.output()?;
    let complaint = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "cargo {}: {complaint}", arguments[0]);
    Ok(String::from_utf8(done.stdout)?)
}

/// Seconds that all children which have ended took, their own children included: fields 16 and 17 of `proc_pid_stat(5)`.
fn cpu_of_children() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, after_name) = stat.rsplit_once(')').context("a name in parentheses")?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = fields[13].parse::<u64>()? + fields[14].parse::<u64>()?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}
