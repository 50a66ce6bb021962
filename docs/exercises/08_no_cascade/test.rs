//! Three alarms, a tenth of a second apart.

use std::time::Duration;

use loopwheel::{create_task, gather, now, sleep};

#[test]
fn no_timer_fires_early() {
    let rang = loopwheel::run_virtual(async {
        let start = now();
        let alarms = [1100, 1200, 1300].map(|after| {
            create_task(async move {
                sleep(Duration::from_millis(after)).await;
                (now() - start).as_millis()
            })
        });
        gather(alarms).await
    });
    let rang: Vec<_> = rang.into_iter().map(Result::unwrap).collect();
    assert_eq!(rang, [1100, 1200, 1300]);
}
