use std::time::Duration;

use loopwheel::{run, sleep, timeout};

fn main() {
    run(async {
        let _ = timeout(Duration::from_secs(1), sleep(Duration::from_secs(5))).await;
    });
}
