//! A peer: one row of every table it can take part in.

use serde::{Deserialize, Serialize};

use crate::executor::{Executor, Http, Queue, Semaphore, Sockets, Timers};
use crate::measure::Sample;
use crate::scale::Scale;
use crate::workloads::{self, Workload};

/// Who may be called "the best peer".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// The one all this is about.
    Ours,
    Executor,
    /// No executor: polls its members itself within one task, so none can be spawned, named or cancelled by itself.
    Set,
    /// No executor: the least that the work itself costs.
    Bare,
    OtherLanguage,
}

pub(crate) type Measure = fn(&'static Workload, Scale) -> Sample;

/// The smallest program: a task that says hello, spawned and awaited.
pub(crate) struct Hello {
    /// The lines under `[dependencies]`.
    pub(crate) dependencies: &'static str,
    /// The body of `main`.
    pub(crate) main: &'static str,
}

pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// The package whose version stands in the header.
    pub(crate) package: &'static str,
    pub(crate) kind: Kind,
    pub(crate) rows: Vec<(&'static Workload, Measure)>,
    /// What it is known not to survive: (workload, what happens). Said in the tables, not run.
    pub(crate) unable: Vec<(&'static str, &'static str)>,
    /// What one should know of a figure: (workload, what).
    pub(crate) remarks: Vec<(&'static str, &'static str)>,
    pub(crate) hello: Option<Hello>,
}

impl Peer {
    /// An executor, with the workloads that every executor can run. Its package is for the versions that are printed:
    /// one that `Cargo.lock` knows.
    pub(crate) fn executor<E: Executor>(name: &'static str, package: &'static str) -> Peer {
        Peer::other(name, package, Kind::Executor).rows(workloads::of_executors::<E>())
    }

    /// Something else, without workloads.
    pub(crate) fn other(name: &'static str, package: &'static str, kind: Kind) -> Peer {
        Peer {
            name,
            package,
            kind,
            rows: Vec::new(),
            unable: Vec::new(),
            remarks: Vec::new(),
            hello: None,
        }
    }

    pub(crate) fn timers<E: Timers>(self) -> Peer {
        self.rows(workloads::of_timers::<E>())
    }

    pub(crate) fn queue<E: Queue>(self) -> Peer {
        self.rows(workloads::of_queues::<E>())
    }

    pub(crate) fn semaphore<E: Semaphore>(self) -> Peer {
        self.rows(workloads::of_semaphores::<E>())
    }

    pub(crate) fn sockets<E: Sockets>(self) -> Peer {
        self.rows(workloads::of_sockets::<E>())
    }

    pub(crate) fn http<E: Http>(self) -> Peer {
        self.rows(workloads::of_http::<E>())
    }

    pub(crate) fn rows(
        mut self,
        rows: impl IntoIterator<Item = (&'static Workload, Measure)>,
    ) -> Peer {
        self.rows.extend(rows);
        self
    }

    pub(crate) fn hello(self, dependencies: &'static str, main: &'static str) -> Peer {
        Peer { hello: Some(Hello { dependencies, main }), ..self }
    }

    pub(crate) fn unable(mut self, workload: &'static str, why: &'static str) -> Peer {
        self.rows.retain(|(row, _)| row.name != workload);
        self.unable.push((workload, why));
        self
    }

    pub(crate) fn remark(mut self, workload: &'static str, remark: &'static str) -> Peer {
        self.remarks.push((workload, remark));
        self
    }

    pub(crate) fn remark_on(&self, workload: &Workload) -> Option<&'static str> {
        self.remarks.iter().find(|(row, _)| *row == workload.name).map(|(_, remark)| *remark)
    }

    pub(crate) fn measure(&self, workload: &Workload) -> Option<(&'static Workload, Measure)> {
        self.rows.iter().copied().find(|(row, _)| row.name == workload.name)
    }
}
