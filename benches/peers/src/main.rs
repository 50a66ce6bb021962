//! loopwheel beside the other executors. See the README of this package for what is measured, and how it is kept fair.

mod chart;
mod clients;
mod cores;
mod executor;
mod executors;
mod header;
mod heap;
mod hello;
mod measure;
mod parts;
mod peer;
mod rounds;
mod scale;
mod smoke;
mod table;
mod workloads;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};

use crate::clients::Plan;
use crate::peer::Peer;
use crate::scale::Scale;
use crate::workloads::{Runs, Workload};

/// Measures loopwheel and the other executors, and prints a table for each workload.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Command {
    #[command(subcommand)]
    child: Option<Child>,
    #[command(flatten)]
    choice: Choice,
}

#[derive(Args)]
struct Choice {
    /// Shorter rounds, and no hello-worlds: about ten minutes
    #[arg(long)]
    quick: bool,
    /// Tiny sizes, for correctness only; fails if any result is wrong
    #[arg(long, conflicts_with_all = ["quick", "svg"])]
    smoke: bool,
    /// Only the workload of this name, or those whose name contains this; may be given again, for more
    #[arg(long, value_name = "WORKLOAD")]
    only: Vec<String>,
    /// Only the executor of this name, or those whose name contains this; may be given again, for more
    #[arg(long, value_name = "NAME")]
    executor: Vec<String>,
    /// Draws the tables too; without a path into the documentation, for which they must be all there
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = chart::DEFAULT)]
    svg: Option<PathBuf>,
    /// Lists the workloads and the executors
    #[arg(long)]
    list: bool,
}

/// What this program runs itself as.
#[derive(Subcommand)]
enum Child {
    /// One measurement, in this process; prints one line
    #[command(hide = true)]
    Measure { workload: String, executor: String, scale: Scale },
    /// The clients of a server that is measured in another process
    #[command(hide = true)]
    Clients {
        server: SocketAddr,
        #[command(flatten)]
        plan: Plan,
    },
}

fn main() -> ExitCode {
    let Command { child, choice } = Command::parse();
    let done = match child {
        Some(Child::Measure { workload, executor, scale }) => measure(&workload, &executor, scale),
        Some(Child::Clients { server, plan }) => clients::run(server, plan),
        None => compare(&choice),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(workload: &str, executor: &str, scale: Scale) -> Result<()> {
    let peers = executors::all();
    let peer = peers.iter().find(|peer| peer.name == executor).context("no such executor")?;
    let row = peer.rows.iter().find(|(row, _)| row.name == workload);
    let (workload, measure) = row.context("no such workload on it")?;
    if workload.runs != Runs::Median {
        cores::stay_on_one();
    }
    println!("{}", serde_json::to_string(&measure(workload, scale))?);
    Ok(())
}

fn compare(choice: &Choice) -> Result<()> {
    let Chosen { mut workloads, peers, says_hello } = chosen(choice)?;
    if choice.list {
        list(&workloads, &peers, says_hello);
        return Ok(());
    }
    let scale = match choice {
        Choice { smoke: true, .. } => Scale::Smoke,
        Choice { quick: true, .. } => Scale::Quick,
        _ => Scale::Full,
    };
    ensure!(
        scale == Scale::Full || !workloads.is_empty(),
        "`hello` is part of the full run: neither --quick nor --smoke"
    );
    let wanted = workloads.len();
    workloads.retain(|workload| peers.iter().any(|peer| peer.measure(workload).is_some()));
    ensure!(
        wanted == 0 || !workloads.is_empty(),
        "none of these executors can do that: see benches/peers/README.md"
    );
    let into_docs = choice.svg.as_deref() == Some(Path::new(chart::DEFAULT));
    ensure!(
        !into_docs || choice.only.is_empty() && choice.executor.is_empty(),
        "--svg needs a path with --only and --executor: the picture in the documentation is of all"
    );
    if let Some(path) = &choice.svg {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        ensure!(folder.is_none_or(Path::is_dir), "there is no folder for {}", path.display());
    }
    if scale != Scale::Smoke {
        header::print(&peers)?;
    }
    let results = rounds::run(&workloads, &peers, scale);
    if scale == Scale::Smoke {
        return smoke::report(&results);
    }
    results.iter().for_each(table::print);
    if let Some(path) = choice.svg.as_ref().filter(|_| !results.is_empty()) {
        chart::draw(&results, path)?;
    }
    if scale == Scale::Full && says_hello {
        hello::compare(&peers);
    }
    Ok(())
}

/// What is to be measured.
struct Chosen {
    workloads: Vec<&'static Workload>,
    peers: Vec<Peer>,
    says_hello: bool,
}

fn chosen(choice: &Choice) -> Result<Chosen> {
    let mut peers = executors::here();
    let names: Vec<_> = peers.iter().map(|peer| peer.name).collect();
    let executors = asked_for("--executor", &names, &choice.executor)?;
    peers.retain(|peer| executors.contains(&peer.name));
    let mut workloads = workloads::ALL.to_vec();
    let names = workloads.iter().map(|workload| workload.name);
    let only = asked_for("--only", &names.chain([hello::NAME]).collect::<Vec<_>>(), &choice.only)?;
    workloads.retain(|workload| only.contains(&workload.name));
    Ok(Chosen { workloads, peers, says_hello: only.contains(&hello::NAME) })
}

/// The names that are asked for: for each part the one that it is, or else those that contain it, without regard to case.
/// Without any parts, all.
fn asked_for(option: &str, names: &[&'static str], parts: &[String]) -> Result<Vec<&'static str>> {
    if parts.is_empty() {
        return Ok(names.to_vec());
    }
    let mut asked_for = Vec::new();
    for part in parts {
        let lower = |name: &str| name.to_lowercase();
        let is_it = |name: &&&str| lower(name) == lower(part);
        let contains_it = |name: &&&str| lower(name).contains(&lower(part));
        let exactly: Vec<_> = names.iter().filter(is_it).collect();
        let found =
            if exactly.is_empty() { names.iter().filter(contains_it).collect() } else { exactly };
        ensure!(!found.is_empty(), "{option}: nothing has {part:?} in its name, see --list");
        asked_for.extend(found);
    }
    Ok(asked_for)
}

fn list(workloads: &[&Workload], peers: &[Peer], says_hello: bool) {
    println!("workloads");
    for workload in workloads {
        println!("  {:<16}{}", workload.name, workload.about);
    }
    if says_hello {
        println!("  {:<16}{}", hello::NAME, hello::ABOUT);
    }
    println!("executors");
    for peer in peers {
        println!("  {}", peer.name);
    }
}
