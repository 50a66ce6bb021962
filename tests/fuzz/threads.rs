//! Statements that use other threads. Their effects come at no fixed time, so programs with them are not compared.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use loopwheel::{Handle, sleep, to_thread};

use crate::handle::{see, text_thrown};
use crate::interpret::{Boxed, Place, ms};
use crate::ledger::{Ledger, Role};
use crate::parcel::Parcel;
use crate::program::{Make, Reflex, ThreadOp};
use crate::world::World;

fn throw(ledger: &Ledger, label: u32) -> ! {
    // If the loop is gone by then, the panic is written to stderr.
    let serial = ledger.made(label, Role::Plain);
    ledger.dropped(serial);
    resume_unwind(Box::new(text_thrown(serial)))
}

pub(crate) fn run<'a>(place: &'a Place, op: &'a ThreadOp) -> Boxed<'a> {
    Box::pin(async move {
        let world = World::here();
        let label = world.ledger.label(place.label);
        let ledger = world.ledger.clone();
        match *op {
            ThreadOp::ToThread { panics, awaited } => {
                // This shows that something is left, until the thread has made its value. Then the value shows it.
                let owned = Parcel::owned(&world, label, Reflex::Nothing);
                let work = to_thread(move || {
                    let _owned = owned;
                    let value = Parcel::of_role(&ledger, label, Make::default(), Role::Plain);
                    if panics {
                        throw(&ledger, label);
                    }
                    value
                });
                drop(world);
                if awaited {
                    see(place.label, label, false, work.await);
                }
            }
            ThreadOp::RemoteCall { panics } => {
                let handle = Handle::current();
                world.begin_thread(move || {
                    let owned = Parcel::of_role(&ledger, label, Make::default(), Role::Plain);
                    // If the loop is gone the closure is dropped.
                    let _ = handle.call_soon(move || {
                        drop(owned);
                        if panics {
                            throw(&ledger, label);
                        }
                    });
                });
            }
            ThreadOp::RemoteTask { sleeps, cancelled, waits } => {
                let handle = Handle::current();
                world.begin_thread(move || {
                    remote_task(&handle, &ledger, label, (sleeps, cancelled, waits));
                });
            }
            ThreadOp::RemoteWake(slot) => {
                let waker = world.wakers.look(slot, Clone::clone);
                if let Some(waker) = waker {
                    world.begin_thread(move || waker.wake());
                }
            }
        }
    })
}

fn remote_task(
    handle: &Handle,
    ledger: &Arc<Ledger>,
    label: u32,
    (sleeps, cancelled, waits): (u8, bool, bool),
) {
    let owned = Parcel::of_role(ledger, label, Make::default(), Role::Plain);
    let task = handle.create_task(move || async move {
        sleep(ms(sleeps)).await;
        owned
    });
    let Ok(task) = task else { return };
    if cancelled {
        task.cancel();
    }
    if waits {
        drop(task.wait());
    }
}

impl World {
    /// Waits for the threads when the program is over.
    fn begin_thread(&self, work: impl FnOnce() + Send + 'static) {
        self.threads.borrow_mut().push(thread::spawn(work));
    }
}
