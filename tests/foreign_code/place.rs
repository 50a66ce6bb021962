//! A place says where foreign code runs, and where its panic goes.

use std::future::Future;

use crate::stage::W;

/// Where a panic of the foreign code goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goes {
    /// It goes to the outcome of the task that is being polled or dropped.
    Outcome,
    /// It goes to the exception handler.
    Report,
    /// It goes to the outcome, or to the exception handler: the page says when.
    OutcomeOrReport,
    /// It comes out of the call that the foreign code was given to.
    Caller,
    /// No program can see it: it goes to stderr, or is dropped because of an earlier panic.
    Nowhere,
}

pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) goes: Goes,
    pub(crate) arrange: Box<dyn Fn(&W) + Send + Sync>,
}

/// A place that foreign code has inside a running loop.
pub(crate) fn inside<F>(
    name: impl Into<String>,
    goes: Goes,
    body: impl Fn(W) -> F + Send + Sync + 'static,
) -> Place
where
    F: Future<Output = ()> + 'static,
{
    outside(name, goes, move |w| w.run(body(w.clone())))
}

/// A place that arranges its loop itself.
pub(crate) fn outside(
    name: impl Into<String>,
    goes: Goes,
    arrange: impl Fn(&W) + Send + Sync + 'static,
) -> Place {
    Place { name: name.into(), goes, arrange: Box::new(arrange) }
}
