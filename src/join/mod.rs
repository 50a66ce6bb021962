//! **Joining**: waiting for the end of one task, or of many.
//!
//! | file | idea |
//! |---|---|
//! | `joiners` | the list of wakers, callbacks and subscribers that one task serves at its end |
//! | `single` | the checkpoint under every handle |
//! | `subscribers` | one waiter for the ends of many tasks, without an allocation for each task |
//! | `wait_set` | many tasks awaited as one |
//!
//! It stands on `base`, `wait_list`, `reason`, the kernel, `kept_waker`, `task_local`, `trace`, `delivery`, `awaited` and
//! `cancel`.

mod joiners;
mod single;
mod subscribers;
mod wait_set;

pub(crate) use joiners::{FirstJoiner, Joiner, Joiners};
pub(crate) use single::Join;
pub(crate) use subscribers::{Subscriber, Subscribers, Subscription};
pub(crate) use wait_set::{Members, WaitSet, WakeAt};
