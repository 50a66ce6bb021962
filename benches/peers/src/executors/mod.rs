//! Who takes part. To add an executor: one file beside these, one line here.

mod bare;
mod local_pool;
mod loopwheel;
mod smol;
mod smol_house;
mod tokio_house;
mod tokio_spawn;

use crate::peer::Peer;

/// In the order in which their versions are listed.
pub(crate) fn all() -> Vec<Peer> {
    vec![loopwheel::peer(), tokio_spawn::peer(), smol::peer(), local_pool::peer(), bare::peer()]
}
