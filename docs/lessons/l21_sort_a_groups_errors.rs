//! # L21: sort a group's errors
//!
//! A group fails with errors of two kinds, some of them in a group inside it. Those of one kind are handled here;
//! the rest are re-raised.
//!
//! A [`TaskGroup`] fails with an [`ExceptionGroup`], a tree: several tasks may fail at the same time, and a group
//! inside may add its own tree. [`split`](ExceptionGroup::split) divides it into the errors that match and the rest.
//! Each is a tree of the same shape, or `None` if it is empty. In asyncio, `except* ValueError as group:` re-raises
//! automatically what did not match; here [`ExceptionGroup::raise`] or `return Err(rest)` does that.
//!
//! The points to notice: no error is lost. At 0.1 s the first task fails, which cancels everything else; the other
//! three fail too, while they clean up, and all four errors are in the tree. And `split` reaches into the group
//! inside: each half has one of its two errors, still inside a group.
//!
//! Step through it: `docs/players/l21_sort_a_groups_errors.html`, in any browser.

use std::fmt;
use std::time::Duration;

use loopwheel::{ExceptionGroup, TaskGroup, catch_cancel, sleep};

#[derive(Debug)]
enum Failure {
    BadValue(&'static str),
    NoConnection(&'static str),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::BadValue(value) => write!(f, "bad value: {value}"),
            Failure::NoConnection(host) => write!(f, "no connection to {host}"),
        }
    }
}

async fn fail(failure: Failure) -> Result<(), Failure> {
    sleep(Duration::from_millis(100)).await;
    Err(failure)
}

/// Works for a minute, and fails if it is cancelled before that.
async fn fail_in_clean_up(failure: Failure) -> Result<(), Failure> {
    match catch_cancel(sleep(Duration::from_secs(60))).await {
        Ok(()) => Ok(()),
        Err(_) => Err(failure),
    }
}

/// Two tasks, and a group of two more.
async fn everything() -> Result<(), ExceptionGroup<Failure>> {
    let outer = TaskGroup::scope(async |group| {
        group.create_task(fail(Failure::BadValue("-1")));
        group.create_task(fail_in_clean_up(Failure::NoConnection("mail")));
        let inner = TaskGroup::scope(async |group| {
            group.create_task(fail_in_clean_up(Failure::NoConnection("backup")));
            group.create_task(fail_in_clean_up(Failure::BadValue("twelve")));
        });
        inner.await
    });
    outer.await
}

/// Handles bad values; re-raises whatever else went wrong.
async fn without_bad_values() -> Result<(), ExceptionGroup<Failure>> {
    let Err(errors) = everything().await else { return Ok(()) };
    print_tree("Everything that was raised:", &errors);
    let (bad_values, rest) = errors.split(|failure| matches!(failure, Failure::BadValue(_)));
    if let Some(bad_values) = bad_values {
        print_tree("Dealt with:", &bad_values);
    }
    ExceptionGroup::raise(rest)
}

fn print_tree(title: &str, errors: &ExceptionGroup<Failure>) {
    println!("{title}");
    for line in errors.tree().lines() {
        println!("  {line}");
    }
}

/// Splits the errors of a group by their kind.
pub async fn lesson() {
    if let Err(rest) = without_bad_values().await {
        print_tree("Raised on:", &rest);
    }
}

fn main() {
    loopwheel::run(lesson());
}
