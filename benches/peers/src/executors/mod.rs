//! Who takes part. To add an executor: one file beside these, one line here.

mod bare;
mod local_pool;
mod loopwheel;
mod sets;
mod smol;
mod smol_house;
mod tokio_house;
mod tokio_spawn;

use crate::peer::Peer;

pub(crate) fn all() -> Vec<Peer> {
    let mut peers = vec![
        loopwheel::peer(),
        tokio_spawn::peer(),
        smol::peer(),
        local_pool::peer(),
        bare::peer(),
    ];
    peers.extend(sets::peers());
    peers
}
