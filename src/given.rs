//! **What a limit may be given as**: a `Duration`, an `Instant`, or an `Option` of one, in which `None` is no limit.
//!
//! `impl Into<Option<Duration>>` would do. But then the compiler says of `wait_for(future, 5)` that `Option<Duration>` lacks a
//! `From<i32>`, and not that a number has no unit.
//!
//! It stands on `base`.

use std::time::Duration;

use crate::base::instant::Instant;

/// How long a limit is: a `Duration`, or `None` for no limit. Sealed.
#[diagnostic::on_unimplemented(
    message = "a time limit is a `Duration`, and `{Self}` is none",
    label = "this is no `Duration`",
    note = "give a number its unit: `Duration::from_secs(5)`, `Duration::from_millis(250)`; `None` is no limit",
    note = "the order is `wait_for(future, limit)`; for a moment there is `timeout_at`"
)]
pub trait IntoLimit: sealed::Sealed<Duration> {}

impl IntoLimit for Duration {}
impl IntoLimit for Option<Duration> {}

/// When a limit is up: an [`Instant`], or `None` for never. Sealed.
#[diagnostic::on_unimplemented(
    message = "a deadline is an `Instant` of the loop's clock, and `{Self}` is none",
    label = "this is no `loopwheel::Instant`",
    note = "`loopwheel::now() + duration` is a moment; `None` is never",
    note = "for a `Duration` there are `timeout` and `wait_for`"
)]
pub trait IntoDeadline: sealed::Sealed<Instant> {}

impl IntoDeadline for Instant {}
impl IntoDeadline for Option<Instant> {}

pub(crate) mod sealed {
    #![allow(unreachable_pub)] // sealed: it appears in bounds, and cannot be named

    pub trait Sealed<T> {
        fn given(self) -> Option<T>;
    }

    impl<T> Sealed<T> for T {
        fn given(self) -> Option<T> {
            Some(self)
        }
    }

    impl<T> Sealed<T> for Option<T> {
        fn given(self) -> Option<T> {
            self
        }
    }
}
