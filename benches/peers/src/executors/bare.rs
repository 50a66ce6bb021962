//! No executor: the same futures boxed, polled and dropped by hand. Nothing can be faster; what one is slower by is its
//! own.

use crate::peer::{Kind, Peer};
use crate::workloads;

pub(crate) fn peer() -> Peer {
    Peer::other("bare work", "", Kind::Bare).rows(workloads::of_bare())
}
