//! The engine: its parts, and one conductor. To be read in this order, after `docs/engine.md`.
//!
//! A file may name a type that comes later (a waker hands its number to the turn, a record has a home): take it as a name
//! until you are there. *Does not know* means: has no code that uses what that is about.
//!
//! | file | idea | what it does not know |
//! |---|---|---|
//! | `foreign` | how code that is not ours is called | what is called |
//! | `waker` | a waker is a number, and what it does | futures |
//! | `record` | a task's one allocation: its bits and counts, its future and outcome, the chain it is in, memory for records | time |
//! | `ready` | who wants to be polled: records, each of which holds the next | time |
//! | `slack` | when a table that was large gives memory back | what is in it |
//! | `slots` | from a number to a record | the queue |
//! | `tasks` | table and queue of a loop | what tasks do |
//! | `wheel` | timers in (deadline, insertion) order, O(1) | clocks, tasks |
//! | `alarm` | what a timer does, in eight bytes | the wheel |
//! | `instant`, `clock` | a moment; monotonic, virtual, or the host's | the loop |
//! | `cold`, `waitlist` | what few tasks need; who waits | the loop |
//! | `inbox`, `hook`, `registry`, `segments`, `sync` | the door for other threads | tasks |
//! | `turn` | **the conductor**: knows them all | what tasks do |
//! | `current` | the loop of this thread, and the task that it polls | what tasks do |
//! | `frame` | a future held in place, so that it can be dropped from outside | tasks |
//! | `timers` | the wheel's side of the turn | what tasks do |
//! | `life` | a task's birth and end | how futures wait |
//! | `report` | what the exception handler is told | who tells it |
//! | `watchers`, `crowd` | who waits for many ends; many tasks awaited as one | what is done with their outcomes |
//! | `cancel`, `delivery`, `leaf` | a cancel's way in; how it is delivered; what the futures at the bottom do | what is waited for |
//! | `scope`, `look` | what catches a cancel; what is alive in there | what is waited for |
//! | `reason` | why somebody was cancelled, in one word | who was |
//!
//! **Counts.** What counts things in memory is a `usize`, or narrower and checked before anything is changed; what counts events
//! is a `u64`, or saturates, or is a name that may return (a generation, a task's number), and what happens then is said there.

pub(crate) mod alarm;
pub(crate) mod cancel;
pub(crate) mod clock;
pub(crate) mod cold;
pub(crate) mod crowd;
pub(crate) mod current;
pub(crate) mod delivery;
pub(crate) mod foreign;
pub(crate) mod frame;
pub(crate) mod hook;
pub(crate) mod inbox;
pub(crate) mod instant;
pub(crate) mod leaf;
pub(crate) mod life;
mod look;
pub(crate) mod ready;
pub(crate) mod reason;
pub(crate) mod record;
pub(crate) mod registry;
pub(crate) mod report;
pub(crate) mod scope;
pub(crate) mod segments;
pub(crate) mod slack;
pub(crate) mod slots;
pub(crate) mod sync;
pub(crate) mod tasks;
pub(crate) mod timers;
pub(crate) mod turn;
pub(crate) mod waitlist;
pub(crate) mod waker;
pub(crate) mod watchers;
pub(crate) mod wheel;

#[cfg(test)]
pub(crate) mod testing;
