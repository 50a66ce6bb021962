use std::time::Duration;

use loopwheel::{run, timeout_at};

fn main() {
    run(async {
        let _ = timeout_at(Duration::from_secs(1), async |_| ()).await;
    });
}
