//! The end of the threads of a loop's pool.
//!
//! To join a thread blocks, and the loop must not. So the last job of the pool joins all threads but its own, and the loop joins
//! that one, which has nothing left to do.

use std::panic::Location;

use super::begin;
use crate::task::running_loop;

/// Waits until the closures that were given to [`to_thread`](crate::to_thread()) are done and the threads of the loop's pool have
/// ended, with the destructors of their thread-locals. A later `to_thread` starts new ones.
///
/// A thread also ends by itself when it has been idle for a while
/// ([`EventLoopBuilder::threads`](crate::EventLoopBuilder::threads)), and `run` waits for closures, but not for threads. So this is
/// for what is not to happen beside another thread: a fork, a change of the environment, unloading a library. It does not wait for
/// threads for which another call of it waits already.
///
/// # Cancellation
/// The wait ends. The threads end all the same, when their closures are done.
///
/// # Panics
/// Without a running loop.
///
/// # Examples
/// ```
/// # loopwheel::run_virtual(async {
/// use loopwheel::{join_threads, to_thread};
///
/// to_thread(|| "some blocking work").await.unwrap();
/// join_threads().await; // no thread of the loop's is left
/// # });
/// ```
///
/// # In asyncio
/// `await loop.shutdown_default_executor()`, after which `run_in_executor` fails.
#[doc(alias = "shutdown_default_executor")]
#[track_caller]
pub fn join_threads() -> impl Future<Output = ()> {
    let called_at = Location::caller();
    let engine = running_loop();
    async move {
        let pool = engine.blocking.pool.borrow().clone();
        let Some(pool) = pool.filter(|pool| pool.is_of_this_process()) else { return };
        let last_job = pool.has_threads().then(|| {
            let pool = pool.clone();
            begin(&engine, move || pool.join_others(), called_at)
        });
        engine.blocking.pool.take();
        pool.end();
        if let Some(Ok(last_job)) = last_job {
            let _ = last_job.await;
        }
        pool.join_others(); // the thread of the last job, which is about to end
    }
}
