//! Who takes part. To add an executor: one file beside these, one line here.

mod bare;
mod compio;
mod embassy;
mod glommio;
mod local_pool;
mod loopwheel;
mod monoio;
mod sets;
mod smol;
mod smol_house;
mod smol_static;
mod tokio_house;
mod tokio_local_runtime;
mod tokio_local_set;
mod tokio_spawn;

use crate::peer::Peer;

pub(crate) fn all() -> Vec<Peer> {
    let mut peers = vec![
        loopwheel::peer(),
        tokio_spawn::peer(),
        tokio_local_set::peer(),
        tokio_local_runtime::peer(),
        smol::peer(),
        smol_static::peer(),
        local_pool::peer(),
        monoio::peer(),
        glommio::peer(),
        compio::peer(),
        embassy::peer(),
        bare::peer(),
    ];
    peers.extend(sets::peers());
    peers
}
