//! **Records** as the members of a wait set: those of handles that stay with the caller.

use std::rc::Rc;

use crate::join::{Members, WaitSet, WakeAt};
use crate::kernel::record::{Flag, RecordRef};

/// Each record, until it is released.
pub(super) type Records = Vec<Option<RecordRef>>;

impl Members for Records {
    fn len(&self) -> usize {
        self.len()
    }

    fn each(&self, mut inspect: impl FnMut(usize, &RecordRef)) {
        let records = self.iter().enumerate();
        records
            .for_each(|(index, record)| _ = record.as_ref().map(|record| inspect(index, record)));
    }
}

pub(super) fn set_of(
    wake_at: WakeAt,
    records: impl Iterator<Item = RecordRef>,
) -> Rc<WaitSet<Records>> {
    WaitSet::new(wake_at, records.map(Some).collect(), Flag::NONE)
}

/// Drops the record of a member that has ended: its handle has been given back.
pub(super) fn release(wait_set: &WaitSet<Records>, index: usize) {
    let record = wait_set.with_members(|all| all[index].take());
    drop(record); // when the members are back: it may be the last reference
}
