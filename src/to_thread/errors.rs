//! The error of a loop that can start no thread.

use std::io;

use thiserror::Error;

use crate::error::NoRunningLoop;

/// No thread for blocking work could be started, and the loop has none that could do the work instead.
///
/// # In asyncio
/// `RuntimeError: can't start new thread`.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CannotStartThread {
    /// There is no loop on this thread, so there is no thread pool either.
    #[error(transparent)]
    NoRunningLoop(#[from] NoRunningLoop),
    /// The operating system refused: this process or its user has reached a limit of threads or of memory.
    #[error(
        "no thread for blocking work can be started ({0}): raise the limit of threads or of memory, \
         end other threads, or do the work without `to_thread`"
    )]
    Refused(#[source] io::Error),
}
