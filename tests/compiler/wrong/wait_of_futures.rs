use std::time::Duration;

use loopwheel::{FirstCompleted, as_completed, run, sleep, wait};

fn main() {
    run(async {
        wait([sleep(Duration::from_secs(1))], FirstCompleted).await;
        as_completed([sleep(Duration::from_secs(1))]).next().await;
    });
}
