//! What `gather` takes: futures or handles of tasks, in an iterator or a tuple.
//!
//! These traits are how the compiler tells the cases apart; one need not know them to gather.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;

use crate::engine::crowd::Members;
use crate::engine::current;
use crate::engine::reason::{Own, Reason};
use crate::engine::record::{Fallible, Flag, Plain, RecordRef};
use crate::engine::turn::Engine;
use crate::error::{NoRunningLoop, TaskError, TooManyTasks};
use crate::task::{SharedTaskOf, Task, TaskBuilder, TaskOf};

/// One child: a task made here, or one that was given. `M` is what awaiting one's own gives, `O` what is gathered.
#[derive(Debug)]
enum Child<M, O> {
    Own(TaskOf<M>),
    Given(TaskOf<O>),
    Shared(SharedTaskOf<O>),
}

/// A given handle, or the future back.
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
    handle.ok_or_else(|| future.expect("it is still there, for it was no handle"))
}

impl<M, O> Child<M, O> {
    fn record(&self) -> &RecordRef {
        match self {
            Child::Own(task) => task.record(),
            Child::Given(task) => task.record(),
            Child::Shared(task) => task.record(),
        }
    }

    fn take_given(&self) -> O {
        let output = match self {
            Child::Own(_) => None,
            Child::Given(task) => task.take(),
            Child::Shared(task) => task.result().ok(),
        };
        output.expect("a gathered task is over, and its outcome is gathered once")
    }

    fn abandon(&self) {
        if let Child::Own(task) = self {
            task.record().cancel(&Reason::own(Own::GatherDropped, 0));
        }
    }
}

/// How a child ended, for who gathers.
#[derive(Debug)]
pub enum Ending<V, E> {
    /// With a value.
    Value(V),
    /// With an error, to be raised.
    Error(E),
    /// Cancelled: so is who gathers.
    Cancelled,
}

/// One child of a gathering. Sealed: made from futures by [`gather`](crate::gather()) itself.
pub trait GatherChild: sealed::Child {
    /// What is gathered of it.
    type Value;
    /// Its own error.
    type Error;
    /// What [`return_exceptions`](crate::Gather::return_exceptions) gives for it.
    type Outcome;

    #[doc(hidden)]
    fn ending(&mut self) -> Ending<Self::Value, Self::Error>;
    #[doc(hidden)]
    fn outcome(&mut self) -> Self::Outcome;
    #[doc(hidden)]
    fn abandon(&self);
}

/// A child of [`gather`](crate::gather()).
#[derive(Debug)]
pub struct PlainChild<O>(Child<Result<O, TaskError>, O>);

/// A child of [`try_gather`](crate::try_gather).
#[derive(Debug)]
pub struct TryChild<T, E>(Child<Result<T, TaskError<E>>, Result<T, E>>);

/// Where children are made: looked up once for all of them.
pub(super) struct Nest {
    /// `None` if no loop is running, which matters only to who makes a task.
    engine: Option<Rc<Engine>>,
    at: &'static Location<'static>,
}

impl Nest {
    pub(super) fn new(at: &'static Location<'static>) -> Nest {
        Nest { engine: current::running(), at }
    }

    fn engine(&self) -> &Rc<Engine> {
        self.engine.as_ref().unwrap_or_else(|| panic!("{NoRunningLoop}"))
    }

    #[cold]
    fn is_full(&self, full: TooManyTasks) -> ! {
        panic!("{full} (gathered at {})", self.at)
    }
}

impl<O: 'static> PlainChild<O> {
    #[inline]
    pub(super) fn new<F: Future<Output = O> + 'static>(future: F, nest: &Nest) -> Self {
        PlainChild(given(future).unwrap_or_else(|future| {
            let builder = TaskBuilder::new();
            let task = builder.try_spawn_on(nest.engine(), Plain, future, nest.at);
            Child::Own(task.unwrap_or_else(|full| nest.is_full(full)))
        }))
    }
}

impl<T: 'static, E: fmt::Debug + 'static> TryChild<T, E> {
    pub(super) fn new<F>(future: F, nest: &Nest) -> Self
    where
        F: Future<Output = Result<T, E>> + 'static,
    {
        TryChild(given(future).unwrap_or_else(|future| {
            let builder = TaskBuilder::new();
            let task = builder.try_spawn_on(nest.engine(), Fallible, future, nest.at);
            Child::Own(task.unwrap_or_else(|full| nest.is_full(full)))
        }))
    }
}

impl<O> sealed::Child for PlainChild<O> {
    fn member(&self) -> sealed::Member<'_> {
        sealed::Member(self.0.record())
    }

    /// What a given task fails with is its value here.
    fn can_fail(&self) -> bool {
        matches!(self.0, Child::Own(_))
    }
}

impl<O> GatherChild for PlainChild<O> {
    type Value = O;
    type Error = Infallible;
    type Outcome = Result<O, TaskError>;

    #[inline]
    fn ending(&mut self) -> Ending<O, Infallible> {
        match &self.0 {
            Child::Own(task) => ending_of(task),
            given => Ending::Value(given.take_given()),
        }
    }

    fn outcome(&mut self) -> Result<O, TaskError> {
        match &self.0 {
            Child::Own(task) => task.take().expect("a gathered task is over, and gathered once"),
            given => Ok(given.take_given()),
        }
    }

    fn abandon(&self) {
        self.0.abandon();
    }
}

impl<T, E> sealed::Child for TryChild<T, E> {
    fn member(&self) -> sealed::Member<'_> {
        sealed::Member(self.0.record())
    }

    fn can_fail(&self) -> bool {
        true
    }
}

impl<T, E> GatherChild for TryChild<T, E> {
    type Value = T;
    type Error = E;
    type Outcome = Result<T, TaskError<E>>;

    fn ending(&mut self) -> Ending<T, E> {
        match &self.0 {
            Child::Own(task) => ending_of(task),
            given => given.take_given().map_or_else(Ending::Error, Ending::Value),
        }
    }

    fn outcome(&mut self) -> Result<T, TaskError<E>> {
        match &self.0 {
            Child::Own(task) => task.take().expect("a gathered task is over, and gathered once"),
            given => given.take_given().map_err(TaskError::Failed),
        }
    }

    fn abandon(&self) {
        self.0.abandon();
    }
}

#[inline]
fn ending_of<T, E>(task: &Task<T, E>) -> Ending<T, E> {
    match task.take_value() {
        Some(value) => Ending::Value(value),
        None => ending_without_value(task),
    }
}

#[inline(never)]
fn ending_without_value<T, E>(task: &Task<T, E>) -> Ending<T, E> {
    match task.take().expect("a gathered task is over, and gathered once") {
        Ok(value) => Ending::Value(value),
        Err(TaskError::Failed(error)) => Ending::Error(error),
        Err(TaskError::Panicked(panic)) => panic.resume(),
        Err(TaskError::Cancelled(_) | TaskError::Grouped) => Ending::Cancelled,
    }
}

/// All children of a gathering. Sealed.
pub trait Children: sealed::Children {
    /// What awaiting gives.
    type Values;
    /// What awaiting gives with [`return_exceptions`](crate::Gather::return_exceptions).
    type Outcomes;

    /// When this child was the first to fail. `None` if the gathering is cancelled.
    #[doc(hidden)]
    fn failure(&mut self, first: usize, is_cancelled: bool) -> Option<Self::Values>;
    /// When all have ended with values.
    #[doc(hidden)]
    fn values(self) -> Option<Self::Values>;
    #[doc(hidden)]
    fn outcomes(self) -> Self::Outcomes;
    #[doc(hidden)]
    fn abandon(&self);
}

/// The error of the child that failed first, if one did. `Err(())`: the gathering is cancelled.
pub(super) fn failure<C: GatherChild>(child: &mut C, is_cancelled: bool) -> Result<C::Error, ()> {
    let was_cancelled = child.member().0.has(Flag::CANCELLED);
    match child.ending() {
        Ending::Error(error) if !(was_cancelled && is_cancelled) => Ok(error),
        _ => Err(()),
    }
}

pub(super) fn value<C: GatherChild>(child: &mut C) -> Result<C::Value, Option<C::Error>> {
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

    fn each(&self, mut look: impl FnMut(usize, &RecordRef)) {
        self.iter().enumerate().for_each(|(number, child)| look(number, child.member().0));
    }

    fn can_fail(&self, number: usize) -> bool {
        self[number].can_fail()
    }
}

impl<O: 'static> Children for Vec<PlainChild<O>> {
    type Values = Vec<O>;
    type Outcomes = Vec<Result<O, TaskError>>;

    fn failure(&mut self, first: usize, is_cancelled: bool) -> Option<Vec<O>> {
        let Err(()) = failure(&mut self[first], is_cancelled);
        None
    }

    fn values(self) -> Option<Vec<O>> {
        let mut values = Vec::with_capacity(self.len());
        // Each handle goes when its value has been taken: one way through the tasks, not two.
        for mut child in self {
            values.push(value(&mut child).ok()?);
        }
        Some(values)
    }

    fn outcomes(self) -> Self::Outcomes {
        self.into_iter().map(|mut child| child.outcome()).collect()
    }

    fn abandon(&self) {
        self.iter().for_each(GatherChild::abandon);
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
        for mut child in self {
            match value(&mut child) {
                Ok(value) => values.push(value),
                Err(error) => return error.map(Err),
            }
        }
        Some(Ok(values))
    }

    fn outcomes(self) -> Self::Outcomes {
        self.into_iter().map(|mut child| child.outcome()).collect()
    }

    fn abandon(&self) {
        self.iter().for_each(GatherChild::abandon);
    }
}

/// Marks what can be iterated.
#[derive(Debug)]
pub enum FromIterable {}

/// Marks tuples.
#[derive(Debug)]
pub enum FromTuple {}

/// What [`gather`](crate::gather()) takes. `M` tells iterables from tuples; the compiler finds it.
pub trait IntoGather<M> {
    /// The children made of it.
    type Children: Children;
    #[doc(hidden)]
    fn into_children(self, at: &'static Location<'static>) -> Self::Children;
}

/// What [`try_gather`](crate::try_gather) takes. `M` tells iterables from tuples; the compiler finds it.
pub trait IntoTryGather<M> {
    /// The children made of it.
    type Children: Children;
    #[doc(hidden)]
    fn into_children(self, at: &'static Location<'static>) -> Self::Children;
}

impl<I> IntoGather<FromIterable> for I
where
    I: IntoIterator<Item: Future<Output: 'static> + 'static>,
{
    type Children = Vec<PlainChild<<I::Item as Future>::Output>>;

    fn into_children(self, at: &'static Location<'static>) -> Self::Children {
        let nest = Nest::new(at);
        self.into_iter().map(|future| PlainChild::new(future, &nest)).collect()
    }
}

impl<I, T, E> IntoTryGather<FromIterable> for I
where
    I: IntoIterator<Item: Future<Output = Result<T, E>> + 'static>,
    T: 'static,
    E: fmt::Debug + 'static,
{
    type Children = Vec<TryChild<T, E>>;

    fn into_children(self, at: &'static Location<'static>) -> Self::Children {
        let nest = Nest::new(at);
        self.into_iter().map(|future| TryChild::new(future, &nest)).collect()
    }
}

pub(super) mod sealed {
    #![allow(unreachable_pub)] // sealed: to be seen in bounds, and not to be named

    use crate::engine::crowd::Members;
    use crate::engine::record::RecordRef;

    /// A child, as the crowd sees it.
    #[derive(Debug)]
    pub struct Member<'a>(pub(crate) &'a RecordRef);

    pub trait Child {
        fn member(&self) -> Member<'_>;
        /// Whether its failure counts.
        fn can_fail(&self) -> bool;
    }

    #[allow(private_bounds)] // what a crowd asks of them is nobody else's business
    pub trait Children: Members {}
    impl<O: 'static> Children for Vec<super::PlainChild<O>> {}
    impl<T: 'static, E: 'static> Children for Vec<super::TryChild<T, E>> {}
}
