//! **A limit on how many run at once**: what a task of a limited group or set does around its future.
//!
//! The tasks over the limit could be kept back, and created when others end. Then they would have no name, could not be cancelled
//! one by one, and a dump would not show them. So each is a task at once, and waits in line for a permit before it begins.
//!
//! It stands on `base` and `sync`.

use std::future::{Future, poll_fn};
use std::panic::resume_unwind;
use std::pin::pin;
use std::rc::Rc;

use crate::base::panic;
use crate::sync::Semaphore;

/// Runs the future with a permit. The permit is given back when the future is dropped.
pub(crate) async fn limited<F: Future>(limit: Rc<Semaphore>, future: F) -> F::Output {
    let _permit = limit.acquire().await;
    let mut held = pin!(Some(future));
    let output = poll_fn(|cx| held.as_mut().as_pin_mut().expect("not ended").poll(cx)).await;
    // A panic of the future's destructor takes the place of the output, which is not leaked.
    panic::keep_during(output, || held.set(None)).unwrap_or_else(|payload| resume_unwind(payload))
}
