use std::time::Duration;

use loopwheel::{run, sleep, try_gather};

fn main() {
    run(async {
        let _ = try_gather([sleep(Duration::from_secs(1))]).await;
    });
}
