//! `None` is no limit, and needs no type.

use std::time::Duration;

use loopwheel::{now, run_virtual, sleep, timeout, timeout_at, wait_for};

fn main() {
    run_virtual(async {
        assert!(wait_for(sleep(Duration::from_secs(1)), None).await.is_ok());
        assert!(wait_for(sleep(Duration::ZERO), Some(Duration::from_secs(1))).await.is_ok());
        let moved = timeout(None, async |deadline| {
            deadline.reschedule(now()).unwrap();
            sleep(Duration::from_secs(1)).await;
        });
        assert!(moved.await.is_err());
        assert!(timeout_at(None, async |_| ()).await.is_ok());
    });
}
