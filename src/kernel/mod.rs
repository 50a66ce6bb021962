//! **The kernel**: a future, a record, a queue, a waker, a turn. Time, cancels and threads enter by calls that outer rings answer.
//!
//! The whole idea: `spawn` moves a future into a *record* and pushes the record to the *ready queue*. A *turn* pops the records
//! that are queued when it begins to poll, and polls each once. A future that has to wait keeps the task's *waker*, or its id, and
//! returns `Pending`; the task is then in no queue. A *wake-up* looks up that id and pushes the record again, even during its poll.
//! After the last poll the record holds the outcome, and its *joiners*, the tasks that await it, are woken.
//!
//! Read `base/id.rs` and `base/kind.rs` first, then these files in order. If a file names a type that comes later, take it as a name;
//! `Engine` is the loop, and *foreign code* is code that is not the crate's. `docs/glossary.md` has the words. At a first reading skip
//! the methods that the kernel calls and does not define (`engine.rs` says whose they are), and these, which only outer rings need:
//! `stop_hearing`, `hear`, `hidden`, `with_hidden`, `outside`, `peek`, `forget_future`.
//!
//! | file | idea |
//! |---|---|
//! | `record/` | what every task needs, in one allocation |
//! | `queue` | the tasks that are ready to be polled |
//! | `table` | from an id to a record |
//! | `tasks` | the table and the queue together |
//! | `current` | the loop entered last on this thread, and the task that it polls |
//! | `waker` | an id, and a table of functions |
//! | `turn` | **one turn**: everything that a loop does |
//! | `life` | how a task begins, and how it ends |
//!
//! It stands on `base`, `fifo`, `reason` and `error`; and on `engine.rs` and `cold.rs` beside it, which have a field for each ring.

pub(crate) mod current;
pub(crate) mod life;
pub(crate) mod queue;
pub(crate) mod record;
pub(crate) mod table;
pub(crate) mod tasks;
pub(crate) mod turn;
pub(crate) mod waker;
