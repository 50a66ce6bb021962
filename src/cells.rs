//! **Cells of shared state**: what a primitive keeps its state in, so that an exploration knows which polls used the same primitive.
//!
//! Two polls that use nothing in common can be made in either order, and it is enough to explore one (`explore/schedule/reduce.rs`). To note
//! that in each method of each primitive would be easy to forget, first of all where a method only looks. So it is the cell that notes
//! it: every access goes through its `deref`. Without the feature `explore` these are std's cells.
//!
//! What is noted between two polls is a *footprint*: the cells, tasks and names that were used.
//!
//! It stands on std.

pub(crate) use std::cell::RefMut;

#[cfg(not(feature = "explore"))]
pub(crate) use std::cell::{Cell, OnceCell, RefCell};

#[cfg(feature = "explore")]
pub(crate) use noted::{
    Cell, Footprint, OnceCell, RefCell, note, note_all, start_noting, stop_noting, take_noted,
};

/// Used by all that depends on which task has ended before which.
#[cfg(feature = "explore")]
pub(crate) const ENDS: u64 = 2;

/// Something looks at the end of tasks.
#[inline]
pub(crate) fn look_at_ends() {
    #[cfg(feature = "explore")]
    note(ENDS);
}

/// Something looks at what any poll may change.
#[inline]
pub(crate) fn look_at_everything() {
    #[cfg(feature = "explore")]
    note_all();
}

#[cfg(feature = "explore")]
mod noted {
    use std::cell;
    use std::collections::BTreeSet;
    use std::fmt;
    use std::ops::{Deref, DerefMut};

    thread_local! {
        static NOTES: cell::Cell<bool> = const { cell::Cell::new(false) };
        static LAST_CELL: cell::Cell<u64> = const { cell::Cell::new(0) };
        static NOTED: cell::RefCell<Footprint> = const { cell::RefCell::new(Footprint::new()) };
    }

    pub(crate) type Cell<T> = Noted<cell::Cell<T>>;
    pub(crate) type RefCell<T> = Noted<cell::RefCell<T>>;
    pub(crate) type OnceCell<T> = Noted<cell::OnceCell<T>>;

    /// What was used.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Footprint {
        used: BTreeSet<u64>,
        /// It counts as if all were.
        is_everything: bool,
    }

    impl Footprint {
        const fn new() -> Footprint {
            Footprint { used: BTreeSet::new(), is_everything: false }
        }

        /// Whether the two may not be made in either order.
        pub(crate) fn meets(&self, other: &Footprint) -> bool {
            self.is_everything || other.is_everything || !self.used.is_disjoint(&other.used)
        }
    }

    /// From now on, on this thread. Cells are numbered from one again: the same run has the same numbers.
    pub(crate) fn start_noting() {
        NOTES.set(true);
        LAST_CELL.set(0);
        take_noted();
    }

    pub(crate) fn stop_noting() {
        NOTES.set(false);
    }

    /// What was used since the last call.
    pub(crate) fn take_noted() -> Footprint {
        NOTED.take()
    }

    #[inline]
    pub(crate) fn note(used: u64) {
        if NOTES.try_with(cell::Cell::get).unwrap_or(false) {
            NOTED.with_borrow_mut(|noted| _ = noted.used.insert(used));
        }
    }

    #[inline]
    pub(crate) fn note_all() {
        if NOTES.try_with(cell::Cell::get).unwrap_or(false) {
            NOTED.with_borrow_mut(|noted| noted.is_everything = true);
        }
    }

    /// A cell whose uses are noted.
    pub(crate) struct Noted<C> {
        cell: C,
        number: u64,
    }

    impl<C> Noted<C> {
        fn of(cell: C) -> Noted<C> {
            let number = LAST_CELL.try_with(|last| last.replace(last.get() + 1)).unwrap_or(0);
            Noted { cell, number: number * 4 }
        }
    }

    impl<T> Noted<cell::Cell<T>> {
        pub(crate) fn new(value: T) -> Noted<cell::Cell<T>> {
            Noted::of(cell::Cell::new(value))
        }
    }

    impl<T> Noted<cell::RefCell<T>> {
        pub(crate) fn new(value: T) -> Noted<cell::RefCell<T>> {
            Noted::of(cell::RefCell::new(value))
        }
    }

    impl<T> Noted<cell::OnceCell<T>> {
        pub(crate) fn new() -> Noted<cell::OnceCell<T>> {
            Noted::of(cell::OnceCell::new())
        }
    }

    impl<C: Default> Default for Noted<C> {
        fn default() -> Noted<C> {
            Noted::of(C::default())
        }
    }

    impl<C> Deref for Noted<C> {
        type Target = C;

        #[inline]
        fn deref(&self) -> &C {
            note(self.number);
            &self.cell
        }
    }

    impl<C> DerefMut for Noted<C> {
        #[inline]
        fn deref_mut(&mut self) -> &mut C {
            note(self.number);
            &mut self.cell
        }
    }

    impl<C: fmt::Debug> fmt::Debug for Noted<C> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            note(self.number);
            self.cell.fmt(f)
        }
    }
}
