//! Runs files of scenarios and compares the traces with those of `CPython`:
//! `cargo run --release -p conformance -- FILE…`

mod compare;
mod interpreter;
mod objects;
mod program;
mod tasks;

use std::process::ExitCode;

use compare::check_file;

/// How many divergences of a file are shown.
const SHOWN: usize = 20;

fn main() -> ExitCode {
    let mut parser = lexopt::Parser::from_env();
    let mut files = Vec::new();
    loop {
        match parser.next() {
            Ok(Some(lexopt::Arg::Value(file))) => files.push(file),
            Ok(Some(argument)) => return usage(&argument.unexpected().to_string()),
            Err(error) => return usage(&error.to_string()),
            Ok(None) => break,
        }
    }
    if files.is_empty() {
        return usage("no file of scenarios is given");
    }
    let mut all_passed = true;
    for file in &files {
        let name = file.to_string_lossy();
        match std::fs::read_to_string(file)
            .map_err(|error| error.to_string())
            .and_then(|text| check_file(&text))
        {
            Err(error) => {
                eprintln!("{name}: {error}");
                all_passed = false;
            }
            Ok(checked) => {
                println!("{name}: {} passed, {} failed", checked.passed, checked.divergences.len());
                for divergence in checked.divergences.iter().take(SHOWN) {
                    println!("\n{divergence}");
                }
                all_passed &= checked.divergences.is_empty();
            }
        }
    }
    if all_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage(problem: &str) -> ExitCode {
    eprintln!(
        "conformance: {problem}\n\nusage: conformance FILE…   (each line of a FILE is a scenario)"
    );
    ExitCode::from(2)
}
