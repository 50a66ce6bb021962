//! The ledger: every value that a program makes has a number, and an entry that says what became of it.

use std::mem;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// A check that did not hold. The shrinker looks for the same `kind`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    pub(crate) kind: &'static str,
    pub(crate) detail: String,
}

/// The purpose of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Role {
    /// A task's value or error, an item of a queue, what a future or a closure owns.
    Plain,
    /// The body of a task or callback panics with it, so it must become an outcome or a report.
    Thrown,
    /// The loop itself owns it, or a task that cannot be identified does: it is never dropped if anything was forgotten.
    Shared,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The task or body that made it.
    label: u32,
    role: Role,
    drops: u8,
    seen: u8,
    reported: u8,
}

/// A task, or a body that is forgotten by itself.
#[derive(Clone, Copy, Debug)]
struct Label {
    parent: u32,
    /// The body that took its handle last.
    held_by: u32,
    /// `mem::forget` was called for it, so what it owns is never dropped.
    forgotten: bool,
    value_was_taken: bool,
}

#[derive(Default)]
struct Books {
    entries: Vec<Entry>,
    labels: Vec<Label>,
    fault: Option<Fault>,
}

impl Books {
    /// Returns which labels were forgotten, with all that they made and held.
    fn excused(&self) -> Vec<bool> {
        let mut excused: Vec<_> = self.labels.iter().map(|label| label.forgotten).collect();
        let mut more = excused.contains(&true);
        while mem::take(&mut more) {
            for (number, label) in self.labels.iter().enumerate() {
                let parent = label.parent as usize;
                if !excused[number] && (excused[parent] || excused[label.held_by as usize]) {
                    excused[number] = true;
                    more = true;
                }
            }
        }
        excused
    }
}

/// Other threads share this, so it has a lock. No foreign code runs under the lock.
#[derive(Default)]
pub(crate) struct Ledger {
    books: Mutex<Books>,
    /// Something was thrown away that is a failure by the rules and need not be reported, such as a gathered failure.
    excuses_silence: AtomicBool,
    anything_forgotten: AtomicBool,
}

/// The host is its own parent.
pub(crate) const HOST: u32 = 0;

impl Ledger {
    pub(crate) fn new() -> Ledger {
        let ledger = Ledger::default();
        ledger.label(HOST);
        ledger
    }

    fn books<R>(&self, look: impl FnOnce(&mut Books) -> R) -> R {
        look(&mut self.books.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    pub(crate) fn label(&self, parent: u32) -> u32 {
        self.books(|books| {
            books.labels.push(Label {
                parent,
                held_by: HOST,
                forgotten: false,
                value_was_taken: false,
            });
            books.labels.len() as u32 - 1
        })
    }

    pub(crate) fn forget(&self, label: u32) {
        self.anything_forgotten.store(true, Ordering::Relaxed);
        self.books(|books| books.labels[label as usize].forgotten = true);
    }

    /// Notes that the body `holder` has taken a handle, which is forgotten with it.
    pub(crate) fn held(&self, label: u32, holder: u32) {
        self.books(|books| books.labels[label as usize].held_by = holder);
    }

    pub(crate) fn anything_forgotten(&self) -> bool {
        self.anything_forgotten.load(Ordering::Relaxed)
    }

    /// Notes that the value of this task has come out, by value: that happens once.
    pub(crate) fn value_taken(&self, label: u32) {
        let again = self
            .books(|books| mem::replace(&mut books.labels[label as usize].value_was_taken, true));
        if again {
            self.fault("a value doubled", format!("the outcome of task {label} was given twice"));
        }
    }

    pub(crate) fn made(&self, label: u32, role: Role) -> u32 {
        self.books(|books| {
            books.entries.push(Entry { label, role, drops: 0, seen: 0, reported: 0 });
            books.entries.len() as u32 - 1
        })
    }

    pub(crate) fn dropped(&self, serial: u32) {
        let drops = self.books(|books| {
            let entry = &mut books.entries[serial as usize];
            entry.drops = entry.drops.saturating_add(1);
            entry.drops
        });
        if drops > 1 {
            self.fault("dropped twice", format!("parcel {serial} was dropped {drops} times"));
        }
    }

    pub(crate) fn is_dropped(&self, serial: u32) -> bool {
        self.books(|books| books.entries[serial as usize].drops > 0)
    }

    pub(crate) fn seen(&self, serial: u32) {
        self.books(|books| {
            if let Some(entry) = books.entries.get_mut(serial as usize) {
                entry.seen = entry.seen.saturating_add(1);
            }
        });
    }

    pub(crate) fn reported(&self, serial: u32) {
        let times = self.books(|books| {
            let Some(entry) = books.entries.get_mut(serial as usize) else { return 0 };
            entry.reported = entry.reported.saturating_add(1);
            entry.reported
        });
        if times > 1 {
            self.fault("reported twice", format!("parcel {serial} was reported {times} times"));
        }
    }

    pub(crate) fn excuse_silence(&self) {
        self.excuses_silence.store(true, Ordering::Relaxed);
    }

    /// Keeps the first fault, because later ones may follow from it.
    pub(crate) fn fault(&self, kind: &'static str, detail: impl Into<String>) {
        let detail = detail.into();
        self.books(|books| books.fault.get_or_insert(Fault { kind, detail }).kind);
    }

    pub(crate) fn first_fault(&self) -> Option<Fault> {
        self.books(|books| books.fault.clone())
    }

    /// Finds what was never dropped, though nothing that owns it was forgotten: its number, and the label that made it.
    pub(crate) fn leaked(&self) -> Option<(usize, u32)> {
        let forgotten = self.anything_forgotten();
        self.books(|books| {
            let excused = books.excused();
            let leaked = books.entries.iter().enumerate().find(|(_, entry)| {
                entry.drops == 0
                    && !excused[entry.label as usize]
                    && !(entry.role == Role::Shared && forgotten)
            });
            leaked.map(|(serial, entry)| (serial, entry.label))
        })
    }

    /// Finds panics that were never reported.
    fn silent(&self) -> Option<(usize, u32)> {
        self.books(|books| {
            let excused = books.excused();
            let silent = books.entries.iter().enumerate().find(|(_, entry)| {
                entry.role == Role::Thrown
                    && entry.seen + entry.reported == 0
                    && !excused[entry.label as usize]
            });
            silent.map(|(serial, entry)| (serial, entry.label))
        })
    }

    /// At the end every value has been dropped once, except those of what was forgotten, and every panic was reported.
    pub(crate) fn close(&self) {
        if let Some((serial, label)) = self.leaked() {
            self.fault(
                "never dropped",
                format!("parcel {serial} of task {label} was never dropped"),
            );
        }
        if let Some((serial, label)) = self.silent()
            && !self.excuses_silence.load(Ordering::Relaxed)
        {
            self.fault(
                "a panic lost",
                format!("panic {serial} of task {label} was neither seen nor reported"),
            );
        }
    }
}
