use std::time::Duration;

use loopwheel::{run, sleep, timeout, wait_for};

fn main() {
    run(async {
        let _ = wait_for(sleep(Duration::from_secs(1)), 5).await;
        let _ = timeout(0.5, async |_| ()).await;
    });
}
