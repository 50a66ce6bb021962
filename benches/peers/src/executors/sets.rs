//! Sets of futures that poll their members themselves, within one task of an executor: here of `LocalPool`, which costs
//! them next to nothing. They gather, and can do nothing else.

use std::future::Future;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use futures_concurrency::future::Join;

use crate::executors::local_pool::Pool;
use crate::peer::{Kind, Peer};
use crate::workloads::{Set, of_sets};

pub(crate) fn peers() -> [Peer; 4] {
    let set = |name, package| Peer::other(name, package, Kind::Set);
    [
        set("LocalPool, FuturesUnordered", "futures").rows(of_sets::<Pool, Unordered>()),
        set("LocalPool, join_all", "futures").rows(of_sets::<Pool, JoinAll>()),
        set("LocalPool, futures-buffered", "futures-buffered").rows(of_sets::<Pool, Buffered>()),
        set("LocalPool, futures-concurrency", "futures-concurrency")
            .rows(of_sets::<Pool, Concurrency>()),
    ]
}

struct Unordered;

impl Set for Unordered {
    async fn gather<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
        let numbered = futures.enumerate();
        let set: FuturesUnordered<_> =
            numbered.map(|(place, future)| async move { (place, future.await) }).collect();
        let mut outputs: Vec<_> = set.collect().await;
        outputs.sort_unstable_by_key(|(place, _)| *place);
        outputs.into_iter().map(|(_, output)| output).collect()
    }
}

struct JoinAll;

impl Set for JoinAll {
    fn gather<F: Future>(futures: impl Iterator<Item = F>) -> impl Future<Output = Vec<F::Output>> {
        futures::future::join_all(futures)
    }
}

struct Buffered;

impl Set for Buffered {
    fn gather<F: Future>(futures: impl Iterator<Item = F>) -> impl Future<Output = Vec<F::Output>> {
        futures_buffered::join_all(futures)
    }
}

struct Concurrency;

impl Set for Concurrency {
    fn gather<F: Future>(futures: impl Iterator<Item = F>) -> impl Future<Output = Vec<F::Output>> {
        futures.collect::<Vec<_>>().join()
    }
}
