//! Who takes part. To add an executor: one file beside these, one line here.

mod async_local_executor;
mod bare;
mod by_hand;
mod compio;
mod embassy;
mod glommio;
pub(crate) mod languages;
mod local_pool;
mod loopwheel;
mod loopwheel_eager;
mod loopwheel_sockets;
mod monoio;
mod nexus;
mod sets;
mod smol;
mod smol_house;
mod smol_static;
mod tokio_house;
mod tokio_local_runtime;
mod tokio_local_set;
mod tokio_spawn;
mod unsend;

use crate::peer::Peer;

/// Those that are on this machine.
pub(crate) fn here() -> Vec<Peer> {
    all().into_iter().filter(languages::is_here).collect()
}

/// All that are known.
pub(crate) fn all() -> Vec<Peer> {
    let mut peers = vec![
        loopwheel::peer(),
        loopwheel_eager::peer(),
        loopwheel_sockets::io(),
        loopwheel_sockets::reactor(),
        tokio_spawn::peer(),
        tokio_local_set::peer(),
        tokio_local_runtime::peer(),
        smol::peer(),
        smol_static::peer(),
        by_hand::peer(),
        unsend::peer(),
        local_pool::peer(),
        async_local_executor::peer(),
        nexus::peer(),
        monoio::peer(),
        glommio::peer(),
        compio::peer(),
        embassy::peer(),
        bare::peer(),
    ];
    peers.extend(sets::peers());
    peers.extend(languages::peers());
    peers
}
