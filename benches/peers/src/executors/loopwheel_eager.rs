//! loopwheel with eager start: a task is polled when it is spawned, as glommio does it and asyncio can.

use std::future::Future;

use loopwheel::{EventLoop, Task};

use crate::executor::Executor;
use crate::executors::loopwheel::{Loopwheel, tasks_of_loopwheel};
use crate::peer::{Kind, Peer};
use crate::workloads;

pub(crate) struct Eager;

/// Only where tasks are spawned: on such a loop all else is the same.
pub(crate) fn peer() -> Peer {
    Peer::other("loopwheel, eager", "loopwheel", Kind::Ours).rows(workloads::of_spawning::<Eager>())
}

tasks_of_loopwheel!(Eager, run_eagerly);

fn run_eagerly<T>(main: impl Future<Output = T>) -> T {
    EventLoop::builder().eager_start(true).build().run(main)
}
