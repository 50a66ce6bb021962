//! **Schedules**: the decisions of a run; who takes them, and how they are written.
//!
//! | file | idea |
//! |---|---|
//! | `text` | decisions as one line of text, and back |
//! | `words` | the same for people |
//! | `strategy` | who decides: a prefix, a script, a die, priorities |
//! | `reduce` | of orders that differ in nothing that matters, one |
//!
//! It stands on `cells`, `choices`, `object` and `trace`.

mod reduce;
mod strategy;
mod text;
mod words;

pub(crate) use reduce::{Reduced, Tree, note_event};
pub(crate) use strategy::{Asked, Clamped, Follow, Pct, Random, Script, Strategy};
pub(crate) use text::{Expected, Point, parse, printed};
pub(crate) use words::{Line, Words};
