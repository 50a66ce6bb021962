//! **Tuples** of up to eight futures of different types: the impls that [`children`](super::children) has for a `Vec`, for each
//! length.

use std::fmt;
use std::future::Future;
use std::panic::Location;

use super::children::{
    Children, FromTuple, GatherChild, IntoGather, IntoTryGather, PlainChild, SpawnSite, TryChild,
    failure, sealed, value,
};
use crate::base::kind::{Fallible, Plain};
use crate::error::TaskError;
use crate::join::Members;
use crate::kernel::record::RecordRef;

macro_rules! tuples {
    ($(($($name:ident $value:ident $index:tt),+);)+) => {$(
        impl<$($name: GatherChild + 'static),+> Members for ($($name,)+) {
            fn len(&self) -> usize {
                [$($index),+].len()
            }

            fn each(&self, mut inspect: impl FnMut(usize, &RecordRef)) {
                $(inspect($index, self.$index.member().record);)+
            }

            fn can_fail(&self, index: usize) -> bool {
                [$(self.$index.can_fail()),+][index]
            }
        }

        impl<$($name: 'static),+> Children for ($(PlainChild<$name>,)+) {
            type Values = ($($name,)+);
            type Outcomes = ($(Result<$name, TaskError>,)+);

            fn failure(&mut self, first: usize, is_cancelled: bool) -> Option<Self::Values> {
                match first {
                    $($index => failure(&mut self.$index, is_cancelled).ok().map(|never| match never {}),)+
                    _ => None,
                }
            }

            fn values(self) -> Option<Self::Values> {
                Some(($(value(self.$index).ok()?,)+))
            }

            fn outcomes(mut self) -> Self::Outcomes {
                ($(self.$index.outcome(),)+)
            }
        }

        impl<$($name: 'static,)+ E: 'static> Children for ($(TryChild<$name, E>,)+) {
            type Values = Result<($($name,)+), E>;
            type Outcomes = ($(Result<$name, TaskError<E>>,)+);

            fn failure(&mut self, first: usize, is_cancelled: bool) -> Option<Self::Values> {
                match first {
                    $($index => failure(&mut self.$index, is_cancelled).ok().map(Err),)+
                    _ => None,
                }
            }

            fn values(self) -> Option<Self::Values> {
                Some(Ok(($(value(self.$index).ok()?,)+)))
            }

            fn outcomes(mut self) -> Self::Outcomes {
                ($(self.$index.outcome(),)+)
            }
        }

        impl<$($name: GatherChild + 'static),+> sealed::Children for ($($name,)+) {
            fn abandon(&self) {
                $(self.$index.abandon();)+
            }
        }

        impl<$($name),+> IntoGather<FromTuple> for ($($name,)+)
        where
            $($name: Future<Output: 'static> + 'static),+
        {
            type Children = ($(PlainChild<$name::Output>,)+);

            fn into_children(self, at: &'static Location<'static>) -> Self::Children {
                let site = SpawnSite::new(at);
                ($(PlainChild(site.child(Plain, self.$index)),)+)
            }
        }

        impl<$($name, $value: 'static,)+ E: fmt::Debug + 'static> IntoTryGather<FromTuple> for ($($name,)+)
        where
            $($name: Future<Output = Result<$value, E>> + 'static),+
        {
            type Children = ($(TryChild<$value, E>,)+);

            fn into_children(self, at: &'static Location<'static>) -> Self::Children {
                let site = SpawnSite::new(at);
                ($(TryChild(site.child(Fallible, self.$index)),)+)
            }
        }
    )+};
}

// Each element: the type of the future, the type of its value, and its index.
tuples! {
    (A T 0);
    (A T 0, B U 1);
    (A T 0, B U 1, C V 2);
    (A T 0, B U 1, C V 2, D W 3);
    (A T 0, B U 1, C V 2, D W 3, F X 4);
    (A T 0, B U 1, C V 2, D W 3, F X 4, G Y 5);
    (A T 0, B U 1, C V 2, D W 3, F X 4, G Y 5, H Z 6);
    (A T 0, B U 1, C V 2, D W 3, F X 4, G Y 5, H Z 6, I S 7);
}
