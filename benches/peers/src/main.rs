//! loopwheel beside the other executors. See the README of this package for what is measured, and how it is kept fair.

mod chart;
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

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};

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
    /// Fewer rounds, shorter ones, and no hello-worlds: less than five minutes
    #[arg(long)]
    quick: bool,
    /// Tiny sizes, for correctness only; fails if any result is wrong
    #[arg(long, conflicts_with_all = ["quick", "svg"])]
    smoke: bool,
    /// Only the workloads whose name contains this; may be given again, for more
    #[arg(long, value_name = "WORKLOAD")]
    only: Vec<String>,
    /// Only the executors whose name contains this; may be given again, for more
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
}

fn main() -> ExitCode {
    let Command { child, choice } = Command::parse();
    let done = match child {
        Some(Child::Measure { workload, executor, scale }) => measure(&workload, &executor, scale),
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
    let (mut workloads, peers) = chosen(choice);
    if choice.list {
        list(&workloads, &peers);
        return Ok(());
    }
    let scale = match choice {
        Choice { smoke: true, .. } => Scale::Smoke,
        Choice { quick: true, .. } => Scale::Quick,
        _ => Scale::Full,
    };
    let says_hello = contains_any(hello::NAME, &choice.only);
    if workloads.is_empty() {
        ensure!(says_hello, "no workload has such a name: see --list");
        ensure!(
            scale == Scale::Full,
            "`hello` is part of the full run: neither --quick nor --smoke"
        );
    }
    ensure!(
        peers.iter().any(|peer| !peer.rows.is_empty()),
        "no executor has such a name: see --list"
    );
    let asked_for = workloads.len();
    workloads.retain(|workload| peers.iter().any(|peer| peer.measure(workload).is_some()));
    ensure!(
        asked_for == 0 || !workloads.is_empty(),
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

fn chosen(choice: &Choice) -> (Vec<&'static Workload>, Vec<Peer>) {
    let workloads = workloads::ALL.iter().copied();
    let peers = executors::here().into_iter();
    (
        workloads.filter(|workload| contains_any(workload.name, &choice.only)).collect(),
        peers.filter(|peer| contains_any(peer.name, &choice.executor)).collect(),
    )
}

/// Without regard to case; no parts are in every name.
fn contains_any(name: &str, parts: &[String]) -> bool {
    let name = name.to_lowercase();
    parts.is_empty() || parts.iter().any(|part| name.contains(&part.to_lowercase()))
}

fn list(workloads: &[&Workload], peers: &[Peer]) {
    println!("workloads");
    for workload in workloads {
        println!("  {:<16}{}", workload.name, workload.about);
    }
    println!("  {:<16}{}", hello::NAME, hello::ABOUT);
    println!("executors");
    for peer in peers {
        println!("  {}", peer.name);
    }
}
