//! **Racers**: the arguments of a race, which are futures or handles of tasks, in an iterator or a tuple.
//!
//! They are the children of a gathering (`gather/children.rs`). But all racers have one output type, so a tuple becomes a list as an iterator does.

use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::Location;

use crate::base::kind::{Fallible, Plain};
use crate::error::TaskError;
use crate::gather::{Child, FromIterable, FromTuple, GatherChild, PlainChild, SpawnSite, TryChild};
use crate::kernel::record::{Flag, RecordRef};
use crate::reason::{Cause, Reason};

/// A child of a gathering that races. Sealed, as [`GatherChild`] is.
pub(super) trait Racer: GatherChild + 'static {
    /// What an await of a task gives that the race has made, and what one of a given task does.
    type Own: 'static;
    type Given: 'static;

    fn child(&self) -> &Child<Self::Own, Self::Given>;

    fn record(&self) -> &RecordRef {
        self.child().member().record
    }

    /// Its task was created by the race.
    fn is_own(&self) -> bool {
        matches!(self.child(), Child::Own(_))
    }

    /// It is a handle whose outcome was taken.
    fn is_taken(&self) -> bool {
        self.child().is_taken()
    }

    /// The racer has ended. Whether that decides the race.
    fn decides(&self) -> bool;

    /// The racer failed, and the race neither raises nor reports that.
    fn forgive(&self) {}
}

/// All that a race takes counts as its end, but for a cancel of a task that it has made: that racer is out.
impl<O: 'static> Racer for PlainChild<O> {
    type Own = Result<O, TaskError>;
    type Given = O;

    fn child(&self) -> &Child<Self::Own, O> {
        &self.0
    }

    fn decides(&self) -> bool {
        !(self.is_own() && self.record().has(Flag::CANCELLED))
    }
}

/// A success counts, and a panic of a task that the race has made. The panic of a given task is an error of its `Result`.
impl<T: 'static, E: 'static> Racer for TryChild<T, E> {
    type Own = Result<T, TaskError<E>>;
    type Given = Result<T, E>;

    fn child(&self) -> &Child<Self::Own, Self::Given> {
        &self.0
    }

    fn decides(&self) -> bool {
        let record = self.record();
        let is_error = record.has(Flag::PANICKED) && !self.is_own();
        !is_error && !record.has(Flag::FAILED | Flag::CANCELLED)
    }

    fn forgive(&self) {
        if self.record().has(Flag::FAILED) {
            self.record().set(Flag::SEEN);
        }
    }
}

/// The racers that were made so far. If the next cannot be made, they are dropped hard.
struct Made<C: Racer>(Vec<C>);

impl<C: Racer> Made<C> {
    fn done(mut self) -> Vec<C> {
        mem::take(&mut self.0)
    }
}

impl<C: Racer> Drop for Made<C> {
    fn drop(&mut self) {
        drop_hard(&self.0);
    }
}

/// The race is dropped before its end: ends the tasks that it has made, without their clean-up.
pub(super) fn drop_hard<C: Racer>(racers: &[C]) {
    for racer in racers.iter().filter(|racer| racer.is_own()) {
        let record = racer.record();
        if !record.has(Flag::DONE) {
            record.set_reason(Reason::own(Cause::RaceDropped, Some(record.spawned_at())));
            record.owner.clone().discard(record);
        }
    }
}

/// An argument of [`race`](crate::race()). `M` tells iterables from tuples; the compiler finds it.
#[diagnostic::on_unimplemented(
    message = "`race` takes an iterable of futures, or a tuple of one to eight of them, with one output type, and `{Self}` is neither",
    label = "these cannot race",
    note = "several futures go into one tuple, `race((a, b))`; all have the same output: wrap different ones in an enum",
    note = "futures become tasks, so they must be `'static`: use `async move`, and an `Rc` for what is shared"
)]
pub trait IntoRace<M> {
    /// The output of each.
    type Output: 'static;
    /// Creates the tasks, in the running loop.
    #[track_caller]
    fn into_racers(self, at: &'static Location<'static>) -> Vec<PlainChild<Self::Output>>;
}

/// An argument of [`first_ok`](crate::first_ok). `M` tells iterables from tuples; the compiler finds it.
#[diagnostic::on_unimplemented(
    message = "`first_ok` takes an iterable of futures that output a `Result`, or a tuple of one to eight of them, with one output \
               type, and `{Self}` is neither",
    label = "these cannot race",
    note = "several futures go into one tuple, `first_ok((a, b))`; all have the same output",
    note = "futures become tasks, so they must be `'static`: use `async move`, and an `Rc` for what is shared"
)]
pub trait IntoFirstOk<M> {
    /// The value of each.
    type Value: 'static;
    /// The error of each.
    type Error: fmt::Debug + 'static;
    /// Creates the tasks, in the running loop.
    #[track_caller]
    fn into_racers(self, at: &'static Location<'static>)
    -> Vec<TryChild<Self::Value, Self::Error>>;
}

impl<I: IntoIterator<Item: Future<Output: 'static> + 'static>> IntoRace<FromIterable> for I {
    type Output = <I::Item as Future>::Output;

    #[track_caller]
    fn into_racers(self, at: &'static Location<'static>) -> Vec<PlainChild<Self::Output>> {
        let (site, mut made) = (SpawnSite::new(at), Made(Vec::new()));
        for future in self {
            made.0.push(PlainChild(site.racer(Plain, future)));
        }
        made.done()
    }
}

impl<I, T: 'static, E: fmt::Debug + 'static> IntoFirstOk<FromIterable> for I
where
    I: IntoIterator<Item: Future<Output = Result<T, E>> + 'static>,
{
    type Value = T;
    type Error = E;

    #[track_caller]
    fn into_racers(self, at: &'static Location<'static>) -> Vec<TryChild<T, E>> {
        let (site, mut made) = (SpawnSite::new(at), Made(Vec::new()));
        for future in self {
            made.0.push(TryChild(site.racer(Fallible, future)));
        }
        made.done()
    }
}

macro_rules! tuples {
    ($(($($name:ident $index:tt),+);)+) => {$(
        impl<O: 'static, $($name: Future<Output = O> + 'static),+> IntoRace<FromTuple> for ($($name,)+) {
            type Output = O;

            #[track_caller]
            fn into_racers(self, at: &'static Location<'static>) -> Vec<PlainChild<O>> {
                let (site, mut made) = (SpawnSite::new(at), Made(Vec::new()));
                $(made.0.push(PlainChild(site.racer(Plain, self.$index)));)+
                made.done()
            }
        }

        impl<T: 'static, Err: fmt::Debug + 'static, $($name),+> IntoFirstOk<FromTuple> for ($($name,)+)
        where
            $($name: Future<Output = Result<T, Err>> + 'static),+
        {
            type Value = T;
            type Error = Err;

            #[track_caller]
            fn into_racers(self, at: &'static Location<'static>) -> Vec<TryChild<T, Err>> {
                let (site, mut made) = (SpawnSite::new(at), Made(Vec::new()));
                $(made.0.push(TryChild(site.racer(Fallible, self.$index)));)+
                made.done()
            }
        }
    )+};
}

// Each element: the type of the future, and its index.
tuples! {
    (A 0);
    (A 0, B 1);
    (A 0, B 1, C 2);
    (A 0, B 1, C 2, D 3);
    (A 0, B 1, C 2, D 3, F 4);
    (A 0, B 1, C 2, D 3, F 4, G 5);
    (A 0, B 1, C 2, D 3, F 4, G 5, H 6);
    (A 0, B 1, C 2, D 3, F 4, G 5, H 6, I 7);
}
