//! **The base**: small tools that know nothing of a loop.
//!
//! | file | idea |
//! |---|---|
//! | `id` | a task is named by a number |
//! | `instant` | a moment of a loop's time |
//! | `panic` | panics of foreign code: caught, passed on, and dropped safely |
//! | `kind` | how the output of a future becomes the outcome of its task |
//! | `slab` | values by a small key |
//! | `free_lists` | the memory of freed records, kept for new ones |
//! | `slack` | when a table that was large frees memory |
//! | `room` | how many tasks and callbacks a table may hold |
//! | `segments` | a table that grows while other threads read it |
//! | `unusual` | what makes a loop's spawns and polls unusual, in one byte |
//! | `sync` | the types that cross threads, in one place for the model checker |
//!
//! It stands on std and `parking_lot`.

pub(crate) mod free_lists;
pub(crate) mod id;
pub(crate) mod instant;
pub(crate) mod kind;
pub(crate) mod panic;
pub(crate) mod room;
pub(crate) mod segments;
pub(crate) mod slab;
pub(crate) mod slack;
pub(crate) mod sync;
pub(crate) mod unusual;
