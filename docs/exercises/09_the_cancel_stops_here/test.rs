//! A download may take a second. If it takes longer, its waiter gives it up, and so it ends.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use loopwheel::{create_task, sleep, wait_for};

#[test]
fn a_task_that_is_given_up_is_cancelled() {
    let downloaded = Rc::new(Cell::new(0));
    loopwheel::run_virtual(async {
        let download = create_task({
            let downloaded = downloaded.clone();
            async move {
                loop {
                    sleep(Duration::from_millis(400)).await;
                    downloaded.update(|packets| packets + 1);
                }
            }
        });
        wait_for(download, Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(downloaded.get(), 2);
        sleep(Duration::from_secs(60)).await;
    });
    assert_eq!(downloaded.get(), 2, "the download went on, and no code awaits it");
}
