//! Wakers of the fuzzer's own: each of their four functions may run anything, and panic.
#![allow(unsafe_code)] // a waker whose `clone` panics cannot be had without

use std::mem;
use std::sync::Arc;
use std::task::{RawWaker, RawWakerVTable, Waker};

use crate::ledger::Role;
use crate::parcel::Parcel;
use crate::program::{Make, WakerSpec};
use crate::reflex;
use crate::world::World;

struct Hostile {
    spec: WakerSpec,
    real: Option<Waker>,
    /// Shows whether a clone is lost or dropped twice.
    _counted: Parcel,
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, destroy);

/// Returns a waker for the body `label`, which polls with it.
pub(crate) fn hostile(world: &World, label: u32, spec: WakerSpec, real: &Waker) -> Waker {
    let real = spec.passes_on.then(|| real.clone());
    let counted = Parcel::of_role(&world.ledger, label, Make::default(), Role::Shared);
    let hostile = Arc::into_raw(Arc::new(Hostile { spec, real, _counted: counted }));
    // SAFETY: the functions below treat it as the `Arc<Hostile>` that it came from.
    unsafe { Waker::from_raw(RawWaker::new(hostile.cast(), &VTABLE)) }
}

fn clone(hostile: *const ()) -> RawWaker {
    let hostile = hostile.cast::<Hostile>();
    // SAFETY: a waker is lent, so its `Arc` exists.
    let lent = mem::ManuallyDrop::new(unsafe { Arc::from_raw(hostile) });
    let clone = Arc::clone(&lent);
    reflex::fire(lent.spec.clone);
    RawWaker::new(Arc::into_raw(clone).cast(), &VTABLE)
}

fn wake(hostile: *const ()) {
    // SAFETY: `wake` is given the waker itself.
    let hostile = unsafe { Arc::from_raw(hostile.cast::<Hostile>()) };
    call(&hostile);
}

fn wake_by_ref(hostile: *const ()) {
    // SAFETY: a waker is lent, so its `Arc` exists.
    let hostile = mem::ManuallyDrop::new(unsafe { Arc::from_raw(hostile.cast::<Hostile>()) });
    call(&hostile);
}

fn call(hostile: &Hostile) {
    if let Some(real) = &hostile.real {
        real.wake_by_ref();
    }
    reflex::fire(hostile.spec.wake);
}

fn destroy(hostile: *const ()) {
    // SAFETY: `drop` is given the waker itself.
    let hostile = unsafe { Arc::from_raw(hostile.cast::<Hostile>()) };
    let reflex = hostile.spec.drop;
    drop(hostile);
    reflex::fire(reflex);
}
