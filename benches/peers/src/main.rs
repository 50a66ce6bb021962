//! loopwheel beside the other executors. See the README of this package for what is measured, and how it is kept fair.

mod against;
mod chart;
mod choice;
mod clients;
mod cores;
mod executor;
mod executors;
mod heap;
mod hello;
mod machine;
mod measure;
mod page;
mod parts;
mod peer;
mod results;
mod rounds;
mod scale;
mod smoke;
mod table;
mod workloads;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};

use crate::choice::asked_for;
use crate::executors::languages;
use crate::machine::Machine;
use crate::peer::Peer;
use crate::results::Run;
use crate::rounds::Plan;
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
#[allow(clippy::struct_excessive_bools)] // each is a switch
struct Choice {
    /// Shorter rounds, and no hello-worlds
    #[arg(long)]
    quick: bool,
    /// So many rounds; without it nine, in a smoke test one
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// Tiny sizes, for correctness only; fails if any result is wrong
    #[arg(long, conflicts_with_all = ["quick", "svg", "json", "against", "from", "docs"])]
    smoke: bool,
    /// Only the workloads of this family (`timeout` has three), or those whose name contains this; may be given again, for more
    #[arg(long, value_name = "WORKLOAD")]
    only: Vec<String>,
    /// Only the executors of this family, or those whose name contains this; may be given again, for more
    #[arg(long, value_name = "NAME")]
    executor: Vec<String>,
    /// Draws the charts too, into this folder
    #[arg(long, value_name = "FOLDER")]
    svg: Option<PathBuf>,
    /// Saves the run, for --against and --from
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Compares the run with one that was saved
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Measures nothing: takes a run that was saved
    #[arg(long, value_name = "FILE", conflicts_with_all = ["quick", "only", "executor"])]
    from: Option<PathBuf>,
    /// Writes docs/benchmarks.md anew, its tables, its charts and the run behind them; for that the run must be of all
    #[arg(long, conflicts_with_all = ["only", "executor"])]
    docs: bool,
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
        plan: clients::Plan,
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
    if let Some(folder) = &choice.svg {
        ensure!(folder.is_dir(), "--svg: there is no folder {}", folder.display());
    }
    let before = choice.against.as_deref().map(Run::load).transpose()?; // a mistake is found before the run, not after
    if let Some(path) = &choice.from {
        let run = Run::load(path)?;
        run.machine.print();
        run.tables.iter().for_each(|table| println!("{}", table::text(table)));
        return hand_out(&run, choice, before.as_ref());
    }
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
    languages::build(&peers)?;
    let plan = Plan { scale, rounds: choice.rounds.map_or(scale.rounds(), usize::from) };
    if scale == Scale::Smoke {
        return smoke::report(&rounds::run(&workloads, &peers, plan, |_| ()));
    }
    let machine = Machine::of_run(&peers, plan.rounds)?;
    machine.print();
    let tables = rounds::run(&workloads, &peers, plan, |table| println!("{}", table::text(table)));
    if scale == Scale::Full && says_hello {
        hello::compare(&peers);
    }
    hand_out(&Run { machine, tables }, choice, before.as_ref())
}

/// What is done with a run besides the tables, which have been printed.
fn hand_out(run: &Run, choice: &Choice, before: Option<&Run>) -> Result<()> {
    if !run.tables.is_empty() {
        println!("\n{}", table::LEGEND);
    }
    if let Some(path) = &choice.json {
        run.save(path)?; // first, so that nothing that comes after can lose it
        println!("\nsaved: {}", path.display());
    }
    if let Some(before) = before {
        println!("{}", against::text(&run.tables, before));
    }
    if let Some(folder) = &choice.svg {
        println!(
            "\ndrawn in {}: {}",
            folder.display(),
            chart::draw(&run.tables, folder)?.join(", ")
        );
    }
    if choice.docs {
        page::write(run)?;
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
