//! Two editors in one task, each with a text that is to be saved when the task is cancelled. The longer text takes longer.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use loopwheel::{catch_cancel, create_task, sleep};

#[derive(Default)]
struct Disk(RefCell<Vec<&'static str>>);

async fn edit(text: &'static str, seconds_to_save: u64, disk: Rc<Disk>) {
    if let Err(cancelled) = catch_cancel(sleep(Duration::from_secs(3600))).await {
        sleep(Duration::from_secs(seconds_to_save)).await;
        disk.0.borrow_mut().push(text);
        cancelled.reraise().await;
    }
}

#[test]
fn a_cancel_is_caught_when_all_clean_up_is_done() {
    let disk = Rc::new(Disk::default());
    loopwheel::run_virtual(async {
        let editors = create_task({
            let disk = disk.clone();
            async move {
                let editors = [edit("a letter", 1, disk.clone()), edit("a novel", 2, disk)];
                let mut editors = FuturesUnordered::from_iter(editors);
                while editors.next().await.is_some() {}
            }
        });
        sleep(Duration::from_secs(1)).await;
        editors.cancel();
        assert!(editors.await.unwrap_err().is_cancelled());
    });
    assert_eq!(*disk.0.borrow(), ["a letter", "a novel"]);
}
