//! The loop's exception handler notes what is reported, formats it, and does what hostile handlers do.

use loopwheel::{ExceptionContext, Failure};

use crate::handle::serial_of_text;
use crate::ledger::{HOST, Role};
use crate::parcel::Parcel;
use crate::program::{Make, Reflex};
use crate::reflex;
use crate::world::World;

pub(crate) fn handler(
    world: &World,
    does: Reflex,
    throws: bool,
) -> impl Fn(&ExceptionContext) + 'static {
    let owned = Parcel::of_role(&world.ledger, HOST, Make::default(), Role::Shared);
    move |context| {
        let Some(world) = World::current() else { return };
        world.log(HOST, "is reported to handler", owned.serial().into());
        std::hint::black_box(format!("{context} {context:?}"));
        note(&world, &context.failure);
        reflex::fire(does);
        if throws {
            reflex::fire(Reflex::Throw);
        }
    }
}

fn note(world: &World, failure: &Failure) {
    match failure {
        Failure::Panicked(panic) => {
            if let Some(serial) = serial_of_text(panic.message()) {
                world.ledger.reported(serial);
            } else if let Some(payload) = panic.take_payload() {
                if let Some(parcel) = payload.downcast_ref::<Parcel>() {
                    world.ledger.reported(parcel.serial());
                }
                drop(payload);
            }
        }
        Failure::Failed(text) => {
            let serial = text.strip_prefix("parcel ").and_then(|serial| serial.parse().ok());
            if let Some(serial) = serial {
                world.ledger.reported(serial);
            }
        }
        // Its documentation says that the loop forgets what is left then.
        Failure::EndlessEnd { .. } => {
            world.has_given_up.set(true);
            world.again.take().into_iter().for_each(|label| world.ledger.forget(label));
        }
        _ => {}
    }
}
