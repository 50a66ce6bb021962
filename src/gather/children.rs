//! **Children**: the arguments of `gather`, which are futures or handles of tasks, in an iterator or a tuple.
//!
//! A function for each case would do, and users would have to choose one of eight. Here traits let the compiler tell the cases
//! apart; code that gathers need not know them. Traits cannot tell a handle from another future, so that is asked of its type id
//! (`given`).
//!
//! It stands on `base`, `reason`, `error`, the kernel, `join`, `task` and `spawning`.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;

use crate::base::kind::{Fallible, Kind, Plain};
use crate::engine::Engine;
use crate::error::{NoRunningLoop, TaskError};
use crate::join::Members;
use crate::kernel::current;
use crate::kernel::record::{Flag, RecordRef};
use crate::spawning::{Claim, TaskClaim, try_claim};
use crate::task::{SharedTaskOf, TaskOf};

/// One child: a task that was spawned here, or a given one. An await of the own task gives `M`; what is gathered is `O`.
#[derive(Debug)]
pub(crate) enum Child<M, O> {
    Own(Claim<M>),
    Given(TaskOf<O>),
    Shared(SharedTaskOf<O>),
}

/// The future as a handle if it is one, or else the future back.
fn given<M, F>(future: F) -> Result<Child<M, F::Output>, F>
where
    F: Future<Output: 'static> + 'static,
{
    let mut future = Some(future);
    let any: &mut dyn Any = &mut future;
    let handle = if let Some(task) = any.downcast_mut::<Option<TaskOf<F::Output>>>() {
        task.take().map(Child::Given)
    } else if let Some(task) = any.downcast_mut::<Option<SharedTaskOf<F::Output>>>() {
        task.take().map(Child::Shared)
    } else {
        None
    };
    handle.ok_or_else(|| future.expect("a future that is no handle was not taken"))
}

impl<M, O> Child<M, O> {
    pub(crate) fn member(&self) -> sealed::Member<'_> {
        match self {
            Child::Own(task) => sealed::Member { record: task.record(), is_own: true },
            Child::Given(task) => sealed::Member { record: task.record(), is_own: false },
            Child::Shared(task) => sealed::Member { record: task.record(), is_own: false },
        }
    }

    /// Whether this is a handle whose outcome was taken before it was given.
    pub(crate) fn is_taken(&self) -> bool {
        match self {
            Child::Own(_) => false,
            Child::Given(task) => task.is_taken(),
            Child::Shared(task) => task.is_taken(),
        }
    }

    fn take_given(&self) -> O {
        let output = match self {
            Child::Own(_) => None,
            Child::Given(task) => task.take(),
            Child::Shared(task) => task.result().ok(),
        };
        output.expect("the outcome of a gathered task was taken before: await it once")
    }
}

/// How a child ended.
#[derive(Debug)]
pub enum Ending<V, E> {
    /// With a value.
    Value(V),
    /// With an error, which the gathering raises.
    Error(E),
    /// As cancelled: the gathering is cancelled too.
    Cancelled,
}

/// One child of a gathering. Sealed: [`gather`](crate::gather()) creates it from a future.
pub trait GatherChild: sealed::Child {
    /// Its value.
    type Value;
    /// Its error.
    type Error;

    /// How it ended. [`Gather`](crate::Gather) asks once it has.
    fn ending(self) -> Ending<Self::Value, Self::Error>;
    /// Its outcome. [`GatherOutcomes`](crate::GatherOutcomes) asks once it has ended, and [`Gather`](crate::Gather) if it failed.
    ///
    /// # Errors
    /// How it has failed.
    fn outcome(&mut self) -> Result<Self::Value, TaskError<Self::Error>>;
}

/// A child of [`gather`](crate::gather()).
#[derive(Debug)]
pub struct PlainChild<O>(pub(crate) Child<Result<O, TaskError>, O>);

/// A child of [`try_gather`](crate::try_gather).
#[derive(Debug)]
pub struct TryChild<T, E>(pub(crate) Child<Result<T, TaskError<E>>, Result<T, E>>);

/// The child that a future of this type becomes.
type ChildOf<F, K> = Child<
    Result<
        <K as Kind<<F as Future>::Output>>::Value,
        TaskError<<K as Kind<<F as Future>::Output>>::Error>,
    >,
    <F as Future>::Output,
>;

/// Where children are spawned: looked up once for all of them.
pub(crate) struct SpawnSite {
    /// `None` if no loop is running. Given handles do not need one.
    engine: Option<Rc<Engine>>,
    spawned_at: &'static Location<'static>,
}

impl SpawnSite {
    pub(crate) fn new(spawned_at: &'static Location<'static>) -> SpawnSite {
        SpawnSite { engine: current::running(), spawned_at }
    }

    /// A given handle, or a new task.
    #[inline]
    pub(super) fn child<F, K>(&self, kind: K, future: F) -> ChildOf<F, K>
    where
        F: Future<Output: 'static> + 'static,
        K: Kind<F::Output, Value: 'static>,
    {
        given(future).unwrap_or_else(|future| {
            let engine = self.engine.as_ref().unwrap_or_else(|| panic!("{NoRunningLoop}"));
            let at = self.spawned_at;
            let task = try_claim(engine, kind, future, at);
            Child::Own(task.unwrap_or_else(|full| panic!("{full} (gathered at {at})")))
        })
    }

    /// The same, and a panic has the caller's line. (No closure has it, and without them a future is moved once more.)
    #[track_caller]
    pub(crate) fn racer<F, K>(&self, kind: K, future: F) -> ChildOf<F, K>
    where
        F: Future<Output: 'static> + 'static,
        K: Kind<F::Output, Value: 'static>,
    {
        let future = match given(future) {
            Ok(handle) => return handle,
            Err(future) => future,
        };
        let Some(engine) = &self.engine else { panic!("{NoRunningLoop}") };
        match try_claim(engine, kind, future, self.spawned_at) {
            Ok(task) => Child::Own(task),
            Err(full) => panic!("{full}"),
        }
    }
}

impl<O> sealed::Child for PlainChild<O> {
    fn member(&self) -> sealed::Member<'_> {
        self.0.member()
    }

    /// The failure of a given task is part of its value.
    fn can_fail(&self) -> bool {
        self.0.member().is_own
    }
}

impl<O> GatherChild for PlainChild<O> {
    type Value = O;
    type Error = Infallible;

    #[inline]
    fn ending(self) -> Ending<O, Infallible> {
        match self.0 {
            Child::Own(task) => ending_of(&task),
            given => Ending::Value(given.take_given()),
        }
    }

    fn outcome(&mut self) -> Result<O, TaskError> {
        match &self.0 {
            Child::Own(task) => outcome_of(task),
            given => Ok(given.take_given()),
        }
    }
}

impl<T, E> sealed::Child for TryChild<T, E> {
    fn member(&self) -> sealed::Member<'_> {
        self.0.member()
    }
}

impl<T, E> GatherChild for TryChild<T, E> {
    type Value = T;
    type Error = E;

    #[inline]
    fn ending(self) -> Ending<T, E> {
        match self.0 {
            Child::Own(task) => ending_of(&task),
            given => given.take_given().map_or_else(Ending::Error, Ending::Value),
        }
    }

    fn outcome(&mut self) -> Result<T, TaskError<E>> {
        match &self.0 {
            Child::Own(task) => outcome_of(task),
            given => given.take_given().map_err(TaskError::Failed),
        }
    }
}

fn outcome_of<O>(task: &Claim<O>) -> O {
    task.take().expect("a gathered task is over, and gathered once")
}

#[inline]
fn ending_of<T, E>(task: &TaskClaim<T, E>) -> Ending<T, E> {
    match task.take_value() {
        Some(value) => Ending::Value(value),
        None => ending_without_value(task),
    }
}

#[cold]
fn ending_without_value<T, E>(task: &TaskClaim<T, E>) -> Ending<T, E> {
    match outcome_of(task) {
        Ok(value) => Ending::Value(value),
        Err(TaskError::Failed(error)) => Ending::Error(error),
        Err(TaskError::Panicked(panic)) => panic.resume(),
        Err(TaskError::Cancelled(_) | TaskError::Grouped) => Ending::Cancelled,
    }
}

/// All children of a gathering. Sealed.
pub trait Children: sealed::Children {
    /// The output of the gathering.
    type Values;
    /// The output of the gathering with [`return_exceptions`](crate::Gather::return_exceptions).
    type Outcomes;

    /// The output if this child was the first to fail. `None` if the gathering is cancelled.
    fn failure(&mut self, first: usize, is_cancelled: bool) -> Option<Self::Values>;
    /// The output when all have ended. `None` if the gathering is cancelled.
    fn values(self) -> Option<Self::Values>;
    /// The outcomes when all have ended.
    fn outcomes(self) -> Self::Outcomes;
}

/// The error of the child that failed first. `Err(())`: the gathering is cancelled.
pub(super) fn failure<C: GatherChild>(child: &mut C, is_cancelled: bool) -> Result<C::Error, ()> {
    let was_cancelled = child.member().record.has(Flag::CANCELLED);
    match child.outcome() {
        Err(TaskError::Failed(error)) if !(was_cancelled && is_cancelled) => Ok(error),
        Err(TaskError::Panicked(panic)) => panic.resume(),
        _ => Err(()),
    }
}

#[inline]
pub(super) fn value<C: GatherChild>(child: C) -> Result<C::Value, Option<C::Error>> {
    match child.ending() {
        Ending::Value(value) => Ok(value),
        Ending::Error(error) => Err(Some(error)),
        Ending::Cancelled => Err(None),
    }
}

impl<C: GatherChild + 'static> Members for Vec<C> {
    fn len(&self) -> usize {
        self.len()
    }

    fn each(&self, mut inspect: impl FnMut(usize, &RecordRef)) {
        self.iter().enumerate().for_each(|(index, child)| inspect(index, child.member().record));
    }

    fn can_fail(&self, index: usize) -> bool {
        self[index].can_fail()
    }
}

impl<O: 'static> Children for Vec<PlainChild<O>> {
    type Values = Vec<O>;
    type Outcomes = Vec<Result<O, TaskError>>;

    fn failure(&mut self, first: usize, is_cancelled: bool) -> Option<Vec<O>> {
        failure(&mut self[first], is_cancelled).ok().map(|never| match never {})
    }

    fn values(self) -> Option<Vec<O>> {
        let mut values = Vec::with_capacity(self.len());
        // Each handle is dropped as soon as its value is taken: one pass over the tasks, not two.
        for child in self {
            values.push(value(child).ok()?);
        }
        Some(values)
    }

    fn outcomes(self) -> Self::Outcomes {
        self.into_iter().map(|mut child| child.outcome()).collect()
    }
}

impl<T: 'static, E: 'static> Children for Vec<TryChild<T, E>> {
    type Values = Result<Vec<T>, E>;
    type Outcomes = Vec<Result<T, TaskError<E>>>;

    fn failure(&mut self, first: usize, is_cancelled: bool) -> Option<Self::Values> {
        failure(&mut self[first], is_cancelled).ok().map(Err)
    }

    fn values(self) -> Option<Self::Values> {
        let mut values = Vec::with_capacity(self.len());
        for child in self {
            match value(child) {
                Ok(value) => values.push(value),
                Err(error) => return error.map(Err),
            }
        }
        Some(Ok(values))
    }

    fn outcomes(self) -> Self::Outcomes {
        self.into_iter().map(|mut child| child.outcome()).collect()
    }
}

/// Marks iterables.
#[derive(Debug)]
pub enum FromIterable {}

/// Marks tuples.
#[derive(Debug)]
pub enum FromTuple {}

/// An argument of [`gather`](crate::gather()). `M` tells iterables from tuples; the compiler finds it.
#[diagnostic::on_unimplemented(
    message = "`gather` takes an iterable of futures, or a tuple of one to eight of them, and `{Self}` is neither",
    label = "these cannot be gathered",
    note = "several futures go into one tuple, `gather((a, b))`; more than eight of different types into tuples that are gathered in turn",
    note = "futures become tasks, so they must be `'static`: use `async move`, and an `Rc` for what is shared"
)]
pub trait IntoGather<M> {
    /// The children created from it.
    type Children: Children;
    /// Creates the tasks, in the running loop.
    fn into_children(self, at: &'static Location<'static>) -> Self::Children;
}

/// An argument of [`try_gather`](crate::try_gather). `M` tells iterables from tuples; the compiler finds it.
#[diagnostic::on_unimplemented(
    message = "`try_gather` takes an iterable of futures that output a `Result`, or a tuple of one to eight of them, all with one type of error, and `{Self}` is neither",
    label = "these cannot be gathered",
    note = "errors of several types: convert with `map_err` inside each future, or use `gather`, which gives each `Result`",
    note = "several futures go into one tuple, `try_gather((a, b))`; more than eight of different types into tuples that are gathered in turn",
    note = "futures become tasks, so they must be `'static`: use `async move`, and an `Rc` for what is shared"
)]
pub trait IntoTryGather<M> {
    /// The children created from it.
    type Children: Children;
    /// Creates the tasks, in the running loop.
    fn into_children(self, at: &'static Location<'static>) -> Self::Children;
}

impl<I: IntoIterator<Item: Future<Output: 'static> + 'static>> IntoGather<FromIterable> for I {
    type Children = Vec<PlainChild<<I::Item as Future>::Output>>;

    fn into_children(self, at: &'static Location<'static>) -> Self::Children {
        let site = SpawnSite::new(at);
        self.into_iter().map(|future| PlainChild(site.child(Plain, future))).collect()
    }
}

impl<I, T: 'static, E: fmt::Debug + 'static> IntoTryGather<FromIterable> for I
where
    I: IntoIterator<Item: Future<Output = Result<T, E>> + 'static>,
{
    type Children = Vec<TryChild<T, E>>;

    fn into_children(self, at: &'static Location<'static>) -> Self::Children {
        let site = SpawnSite::new(at);
        self.into_iter().map(|future| TryChild(site.child(Fallible, future))).collect()
    }
}

pub(super) mod sealed {
    #![allow(unreachable_pub)] // sealed: it appears in bounds, and cannot be named

    use crate::join::Members;
    use crate::kernel::record::RecordRef;
    use crate::reason::{Cause, Reason};

    /// A child as a member of a wait set.
    #[derive(Debug)]
    pub struct Member<'a> {
        pub(crate) record: &'a RecordRef,
        /// Its task was spawned by the gathering, and not given.
        pub(crate) is_own: bool,
    }

    pub trait Child {
        fn member(&self) -> Member<'_>;

        /// Whether its failure ends the gathering.
        fn can_fail(&self) -> bool {
            true
        }

        /// The gathering was dropped before its end.
        fn abandon(&self) {
            let Member { record, is_own: true } = self.member() else { return };
            record.cancel(&Reason::own(Cause::GatherDropped, Some(record.spawned_at())));
        }
    }

    #[allow(private_bounds)] // `Members` is private to the crate
    pub trait Children: Members {
        fn abandon(&self);
    }

    impl<C: super::GatherChild + 'static> Children for Vec<C> {
        fn abandon(&self) {
            self.iter().for_each(Child::abandon);
        }
    }
}
