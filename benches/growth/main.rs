//! Measures what one item costs when there are many: 10² to 10⁶ tasks, timers, waiters, items. `cargo bench --bench growth`
//!
//! Criterion times each row, and a table of nanoseconds per item is printed at the end. A row should stay level. Towards a million
//! it may rise, because the cache is too small. The *bare work* of the same group shows how much of the rise is the cache's part:
//! the same futures boxed in a `Vec` and polled in turn by hand. Anything quadratic would grow tenfold from column to column.

#[path = "../common/mod.rs"]
mod common;

mod bare;
mod beside;
mod items;
mod joins;
mod lines;
mod many;
mod table;

use table::Growth;

fn main() {
    let mut growth = Growth::default();
    many::yields(&mut growth);
    many::wakes(&mut growth);
    beside::idle_tasks(&mut growth);
    beside::timers(&mut growth);
    many::sleeps(&mut growth);
    joins::awaited(&mut growth);
    lines::served(&mut growth);
    lines::cancelled(&mut growth);
    items::queued(&mut growth);
    growth.finish();
}
