//! Tuples of up to eight futures of different types: what [`children`](super::children) says of a `Vec`, said for each length.

use std::fmt;
use std::future::Future;
use std::panic::Location;

use super::children::{
    Children, FromTuple, GatherChild, IntoGather, IntoTryGather, Nest, PlainChild, TryChild,
    failure, sealed, value,
};
use crate::engine::crowd::Members;
use crate::engine::record::RecordRef;
use crate::error::TaskError;

macro_rules! tuples {
    ($(($($name:ident $number:tt),+);)+) => {$(
        impl<$($name: GatherChild + 'static),+> Members for ($($name,)+) {
            fn len(&self) -> usize {
                [$($number),+].len()
            }

            fn each(&self, mut look: impl FnMut(usize, &RecordRef)) {
                $(look($number, self.$number.member().0);)+
            }

            fn can_fail(&self, number: usize) -> bool {
                match number {
                    $($number => self.$number.can_fail(),)+
                    _ => false,
                }
            }
        }

        impl<$($name: 'static),+> Children for ($(PlainChild<$name>,)+) {
            type Values = ($($name,)+);
            type Outcomes = ($(Result<$name, TaskError>,)+);

            fn failure(&mut self, first: usize, is_cancelled: bool) -> Option<Self::Values> {
                match first {
                    $($number => {
                        let Err(()) = failure(&mut self.$number, is_cancelled);
                        None
                    })+
                    _ => None,
                }
            }

            fn values(mut self) -> Option<Self::Values> {
                Some(($(value(&mut self.$number).ok()?,)+))
            }

            fn outcomes(mut self) -> Self::Outcomes {
                ($(self.$number.outcome(),)+)
            }

            fn abandon(&self) {
                $(self.$number.abandon();)+
            }
        }

        impl<$($name: 'static,)+ E: 'static> Children for ($(TryChild<$name, E>,)+) {
            type Values = Result<($($name,)+), E>;
            type Outcomes = ($(Result<$name, TaskError<E>>,)+);

            fn failure(&mut self, first: usize, is_cancelled: bool) -> Option<Self::Values> {
                match first {
                    $($number => failure(&mut self.$number, is_cancelled).ok().map(Err),)+
                    _ => None,
                }
            }

            fn values(mut self) -> Option<Self::Values> {
                Some(Ok(($(value(&mut self.$number).ok()?,)+)))
            }

            fn outcomes(mut self) -> Self::Outcomes {
                ($(self.$number.outcome(),)+)
            }

            fn abandon(&self) {
                $(self.$number.abandon();)+
            }
        }

        impl<$($name: 'static),+> sealed::Children for ($(PlainChild<$name>,)+) {}
        impl<$($name: 'static,)+ E: 'static> sealed::Children for ($(TryChild<$name, E>,)+) {}

        impl<$($name),+> IntoGather<FromTuple> for ($($name,)+)
        where
            $($name: Future<Output: 'static> + 'static),+
        {
            type Children = ($(PlainChild<$name::Output>,)+);

            fn into_children(self, at: &'static Location<'static>) -> Self::Children {
                let nest = Nest::new(at);
                ($(PlainChild::new(self.$number, &nest),)+)
            }
        }
    )+};
}

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

macro_rules! try_tuples {
    ($(($($name:ident $value:ident $number:tt),+);)+) => {$(
        impl<$($name, $value,)+ E> IntoTryGather<FromTuple> for ($($name,)+)
        where
            $($name: Future<Output = Result<$value, E>> + 'static, $value: 'static,)+
            E: fmt::Debug + 'static,
        {
            type Children = ($(TryChild<$value, E>,)+);

            fn into_children(self, at: &'static Location<'static>) -> Self::Children {
                let nest = Nest::new(at);
                ($(TryChild::new(self.$number, &nest),)+)
            }
        }
    )+};
}

try_tuples! {
    (A T 0);
    (A T 0, B U 1);
    (A T 0, B U 1, C V 2);
    (A T 0, B U 1, C V 2, D W 3);
    (A T 0, B U 1, C V 2, D W 3, F X 4);
    (A T 0, B U 1, C V 2, D W 3, F X 4, G Y 5);
    (A T 0, B U 1, C V 2, D W 3, F X 4, G Y 5, H Z 6);
    (A T 0, B U 1, C V 2, D W 3, F X 4, G Y 5, H Z 6, I S 7);
}
