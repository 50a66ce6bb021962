//! Nests thousands of one thing. The innermost waits for event 0, which the janitor sets.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use loopwheel::{TaskGroup, create_task, gather};

use crate::parcel::Parcel;
use crate::program::Deep;
use crate::world::World;

pub(crate) fn begin(world: &Rc<World>, depth: u32, of: Deep) {
    drop(create_task(nest(depth, of)));
    world.log(0, "begins a depth of", depth.into());
}

fn nest(depth: u32, of: Deep) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async move {
        if depth == 0 {
            let event = World::here().events[0].clone();
            return event.wait().await;
        }
        match of {
            Deep::Groups => {
                let ended = TaskGroup::<Parcel>::scope(async |group| {
                    drop(group.create_task(async move {
                        nest(depth - 1, of).await;
                        Ok(())
                    }));
                    Ok::<_, Parcel>(())
                });
                drop(ended.await);
            }
            Deep::Joins => drop(create_task(nest(depth - 1, of)).await),
            Deep::Gathers => drop(gather([nest(depth - 1, of)]).await),
        }
    })
}
