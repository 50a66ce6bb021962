//! What was measured where: the lines above the tables.

use std::collections::BTreeSet;
use std::thread::available_parallelism;
use std::{env, fs};

use anyhow::Result;
use cargo_lock::Lockfile;
use serde::{Deserialize, Serialize};

use crate::executors::languages;
use crate::peer::Peer;
use crate::workloads::echo;

#[derive(Serialize, Deserialize)]
pub(crate) struct Machine {
    /// The day, as 2026-11-28.
    pub(crate) date: String,
    /// The arguments of this program.
    pub(crate) command: String,
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) compiler: String,
    pub(crate) profile: String,
    pub(crate) rounds: usize,
    pub(crate) packages: Vec<String>,
    /// The other languages, with their versions, or that they are not here.
    pub(crate) languages: Vec<String>,
    /// What this machine's limits have made smaller.
    pub(crate) limits: Option<String>,
}

/// The arguments that say what was measured. Those that name a file are of the machine, and say nothing of the run.
fn without_files(mut arguments: impl Iterator<Item = String>) -> String {
    let mut kept = Vec::new();
    while let Some(argument) = arguments.next() {
        let name = argument.split('=').next().unwrap_or_default();
        if !["--json", "--against", "--from", "--svg"].contains(&name) {
            kept.push(argument);
        } else if name == argument {
            arguments.next(); // its value is an argument of its own
        }
    }
    kept.join(" ")
}

impl Machine {
    pub(crate) fn of_run(peers: &[Peer], rounds: usize) -> Result<Machine> {
        let uname = rustix::system::uname();
        let (name, release) =
            (uname.sysname().to_string_lossy(), uname.release().to_string_lossy());
        Ok(Machine {
            date: languages::first_line("date", "+%F").unwrap_or_default(),
            command: without_files(env::args().skip(1)),
            cpu: cpu_model(),
            cores: available_parallelism()?.get(),
            kernel: format!("{name} {release}"),
            compiler: languages::first_line("rustc", "--version").unwrap_or_default(),
            profile: profile().unwrap_or_default(),
            rounds,
            packages: versions(peers)?,
            languages: languages::versions(),
            limits: echo::fewer_idle(),
        })
    }

    pub(crate) fn print(&self) {
        println!("machine   {}, {} cores", self.cpu, self.cores);
        println!("kernel    {}", self.kernel);
        println!("compiler  {}", self.compiler);
        println!("profile   {}", self.profile);
        println!("versions  {}", self.packages.join(", "));
        println!("          {}", self.languages.join(", "));
        if let Some(fewer) = &self.limits {
            println!("echo-idle {fewer}");
        }
    }
}

/// By the directory that cargo has put this program in: that of `bench` is `release`, that of `dev` is `debug`.
fn profile() -> Option<String> {
    let program = env::current_exe().ok()?;
    let folder = program.parent()?.file_name()?.to_string_lossy().into_owned();
    Some(match folder.as_str() {
        "release" => "bench".to_owned(),
        "debug" => "dev".to_owned(),
        _ => folder,
    })
}

/// The name that `/proc/cpuinfo` has for it, with the number of the model: many share the name.
fn cpu_model() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        let mut values = fields.filter(|(field, _)| field.trim() == name);
        values.next().map(|(_, value)| value.trim().to_owned())
    };
    match (field("model name"), field("model")) {
        (Some(name), Some(model)) => format!("{name} (model {model})"),
        (Some(name), None) => name,
        _ => "unknown".to_owned(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_keeps_no_path_of_the_machine_it_was_made_on() {
        let arguments =
            "--quick --json /a/run.json --rounds 5 --svg=/a --docs --against /b --only yield";
        let kept = without_files(arguments.split(' ').map(str::to_owned));
        assert_eq!(kept, "--quick --rounds 5 --docs --only yield");
    }
}
