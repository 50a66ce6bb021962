//! What an executor must be able to do to take part, and what it may be able to do besides.
//!
//! The bodies of all workloads are written against these traits, once, so every executor runs the same ones. An executor's
//! file says how *its own* documentation would have it done; nothing here helps one or hinders another.

use std::fmt::Display;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::process;
use std::time::Duration;

/// What a process ends with that cannot run its executor on this machine, as `EX_UNAVAILABLE` of sysexits.h.
pub(crate) const UNABLE: i32 = 69;

/// Ends the process: the kernel or its limits do not let this executor run. No mistake of anybody's.
pub(crate) fn unable(why: impl Display) -> ! {
    eprintln!("{why}");
    process::exit(UNABLE)
}

/// Runs tasks on one thread.
pub(crate) trait Executor: 'static {
    /// The handle of a task. What dropping it means differs (some cancel, some detach), so no workload drops one.
    type Task<T: 'static>: 'static;

    /// Makes a loop on this thread, with its real driver, and runs `main` to its end. Called once in a process.
    fn run<T: 'static>(main: impl Future<Output = T> + 'static) -> T;

    /// Spawns a task on the loop that runs here.
    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Self::Task<T>;

    /// Waits for a task and takes its output.
    fn join<T: 'static>(task: Self::Task<T>) -> impl Future<Output = T>;

    /// Spawns a task that is never joined.
    fn spawn_detached(future: impl Future<Output = ()> + 'static);

    /// Runs a set of futures at the same time and gives their outputs in order: this executor's own best way. Nothing is
    /// faster on most than spawning all and awaiting one handle after the other.
    fn gather<F>(futures: impl Iterator<Item = F>) -> impl Future<Output = Vec<F::Output>>
    where
        F: Future<Output: 'static> + 'static,
    {
        let tasks: Vec<_> = futures.map(Self::spawn).collect();
        async {
            let mut outputs = Vec::with_capacity(tasks.len());
            for task in tasks {
                outputs.push(Self::join(task).await);
            }
            outputs
        }
    }
}

/// Has timers of its own, or those of its house.
pub(crate) trait Timers: Executor {
    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static;

    /// What `future` gives, or `None` if it takes longer.
    fn time_out<T>(
        limit: Duration,
        future: impl Future<Output = T>,
    ) -> impl Future<Output = Option<T>>;
}

/// Has a bounded queue of its own, or its house has one.
pub(crate) trait Queue: Executor {
    type Sender: 'static;
    type Receiver: 'static;

    fn queue(capacity: usize) -> (Self::Sender, Self::Receiver);
    fn put(sender: &mut Self::Sender, item: u64) -> impl Future<Output = ()>;
    fn get(receiver: &mut Self::Receiver) -> impl Future<Output = u64>;
}

/// Has a semaphore of its own, or its house has one.
pub(crate) trait Semaphore: Executor {
    type Semaphore: 'static;

    fn semaphore(permits: usize) -> Self::Semaphore;

    /// The permit goes back when what this gives is dropped.
    fn acquire(semaphore: &Self::Semaphore) -> impl Future<Output = impl Sized>;
}

/// Has TCP sockets of its own, or those of its house.
pub(crate) trait Sockets: Executor {
    type Listener: 'static;
    type Stream: 'static;

    /// As `run`, where a loop that waits for sockets has to be asked for.
    fn run_with_sockets<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
        Self::run(main)
    }

    /// Listens on a port of 127.0.0.1. Called on the loop.
    fn listen() -> io::Result<(Self::Listener, SocketAddr)>;

    /// The stream does not delay what it sends (`TCP_NODELAY`).
    fn accept(listener: &mut Self::Listener) -> impl Future<Output = io::Result<Self::Stream>>;

    /// Reads once, into a buffer that is given away and comes back, as `io_uring` needs it.
    fn read(
        stream: &mut Self::Stream,
        buffer: Vec<u8>,
    ) -> impl Future<Output = io::Result<(usize, Vec<u8>)>>;

    /// Writes the first `length` bytes.
    fn write_all(
        stream: &mut Self::Stream,
        buffer: Vec<u8>,
        length: usize,
    ) -> impl Future<Output = io::Result<Vec<u8>>>;
}

/// Has sockets that hyper takes.
pub(crate) trait Http: Sockets {
    fn for_hyper(stream: Self::Stream)
    -> impl hyper::rt::Read + hyper::rt::Write + Unpin + 'static;
}
