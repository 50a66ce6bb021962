//! The one type of value in these programs. Each value is numbered, and each of its methods may run anything.

use std::any::Any;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::ledger::{Ledger, Role};
use crate::program::{Make, Reflex};
use crate::reflex;
use crate::world::World;

pub(crate) struct Parcel {
    /// The number is on the heap, so that a sanitizer sees a read after the drop.
    serial: Box<u32>,
    label: u32,
    make: Make,
    ledger: Arc<Ledger>,
}

impl Parcel {
    pub(crate) fn new(world: &World, label: u32, make: Make) -> Parcel {
        Parcel::of_role(&world.ledger, label, make, Role::Plain)
    }

    /// Creates a value whose destructor does this.
    pub(crate) fn owned(world: &World, label: u32, drop: Reflex) -> Parcel {
        Parcel::new(world, label, Make { drop, ..Make::default() })
    }

    pub(crate) fn of_role(ledger: &Arc<Ledger>, label: u32, make: Make, role: Role) -> Parcel {
        Parcel { serial: Box::new(ledger.made(label, role)), label, make, ledger: ledger.clone() }
    }

    pub(crate) fn serial(&self) -> u32 {
        *self.serial
    }

    /// Returns the task that made it.
    pub(crate) fn label(&self) -> u32 {
        self.label
    }

    /// Notes a panic payload that was seen here, if it was one of ours.
    pub(crate) fn see_thrown(payload: &(dyn Any + Send), world: &World) {
        if let Some(parcel) = payload.downcast_ref::<Parcel>() {
            world.ledger.seen(*parcel.serial);
        }
    }

    /// Runs foreign code that was lent this value. The value must still exist afterwards.
    fn lent(&self, to: &'static str, reflex: Reflex) {
        if reflex == Reflex::Nothing {
            return;
        }
        let (serial, ledger) = (*self.serial, self.ledger.clone());
        let fault = FaultIfDropped { serial, ledger, to };
        reflex::fire(reflex);
        drop(fault);
    }
}

/// A value that is dropped while it is lent is a use after free.
struct FaultIfDropped {
    serial: u32,
    ledger: Arc<Ledger>,
    to: &'static str,
}

impl Drop for FaultIfDropped {
    fn drop(&mut self) {
        if self.ledger.is_dropped(self.serial) {
            let detail = format!("parcel {} was dropped while lent to {}", self.serial, self.to);
            self.ledger.fault("freed while lent", detail);
        }
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        self.ledger.dropped(*self.serial);
        reflex::fire(self.make.drop);
    }
}

impl Clone for Parcel {
    fn clone(&self) -> Parcel {
        self.lent("`Clone`", self.make.clone);
        Parcel::of_role(&self.ledger, self.label, self.make, Role::Plain)
    }
}

impl fmt::Debug for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lent("`Debug`", self.make.debug);
        write!(f, "parcel {}", self.serial)
    }
}

impl fmt::Display for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Parcel {}

impl PartialEq for Parcel {
    fn eq(&self, other: &Parcel) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Parcel {}

impl PartialOrd for Parcel {
    fn partial_cmp(&self, other: &Parcel) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Parcel {
    fn cmp(&self, other: &Parcel) -> Ordering {
        self.lent("`Ord`", self.make.compare);
        self.make.order.cmp(&other.make.order)
    }
}
