//! **Kinds**: how the output of a future becomes the outcome of its task.
//!
//! Every outcome is a `Result`. If the output is one too, is its `Err` a value of the task, or does the task fail? The type of the
//! output cannot tell, so the function that spawns the task chooses.

use std::convert::Infallible;
use std::fmt;

/// Turns an output `O` into an outcome.
pub(crate) trait Kind<O> {
    type Value;
    type Error: fmt::Debug + 'static;
    fn outcome(output: O) -> Result<Self::Value, Self::Error>;
}

/// The output is the task's value.
#[derive(Debug)]
pub(crate) struct Plain;

impl<O> Kind<O> for Plain {
    type Value = O;
    type Error = Infallible;
    fn outcome(output: O) -> Result<O, Infallible> {
        Ok(output)
    }
}

/// The output is a `Result`. With an `Err` the task fails.
#[derive(Debug)]
pub(crate) struct Fallible;

impl<T, E: fmt::Debug + 'static> Kind<Result<T, E>> for Fallible {
    type Value = T;
    type Error = E;
    fn outcome(output: Result<T, E>) -> Result<T, E> {
        output
    }
}
