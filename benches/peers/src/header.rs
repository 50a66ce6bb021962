//! What was measured where: the lines above the tables.

use std::collections::BTreeSet;
use std::process::Command;
use std::thread::available_parallelism;
use std::{env, fs};

use anyhow::Result;
use cargo_lock::Lockfile;

use crate::peer::Peer;
use crate::workloads::echo;

pub(crate) fn print(peers: &[Peer]) -> Result<()> {
    let uname = rustix::system::uname();
    println!("machine   {}, {} cores", cpu_model(), available_parallelism()?);
    println!(
        "kernel    {} {}",
        uname.sysname().to_string_lossy(),
        uname.release().to_string_lossy()
    );
    println!("compiler  {}", first_line("rustc")?);
    println!("profile   {}", profile().unwrap_or_default());
    println!("versions  {}", versions(peers)?.join(", "));
    println!("          {}", first_line("python3").unwrap_or_default());
    if let Some(fewer) = echo::fewer_idle() {
        println!("echo-idle {fewer}");
    }
    Ok(())
}

/// The directory that cargo has put this program in.
fn profile() -> Option<String> {
    let program = env::current_exe().ok()?;
    Some(program.parent()?.file_name()?.to_string_lossy().into_owned())
}

fn cpu_model() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
    model.map_or("unknown", |model| model.trim_start_matches([' ', '\t', ':'])).to_owned()
}

/// What a program says about its version.
fn first_line(program: &str) -> Result<String> {
    let version = Command::new(program).arg("--version").output()?;
    Ok(String::from_utf8_lossy(&version.stdout).trim().to_owned())
}

/// As cargo has locked them, not as they were once written down.
fn versions(peers: &[Peer]) -> Result<Vec<String>> {
    let lock = Lockfile::load(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock"))?;
    let names: BTreeSet<_> = peers.iter().map(|peer| peer.package).collect();
    let newest = |name: &&str| {
        let versions = lock.packages.iter().filter(|package| package.name.as_str() == *name);
        versions.max_by(|a, b| a.version.cmp(&b.version))
    };
    let packages = names.iter().filter_map(newest);
    Ok(packages.map(|package| format!("{} {}", package.name, package.version)).collect())
}
