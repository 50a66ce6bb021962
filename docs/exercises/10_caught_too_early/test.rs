//! Two editors in one task, each with a text that is to be saved when the task is cancelled. The longer text takes longer. And one
//! editor, with a time limit, that begins to print its text while it saves it, and keeps the rest of that for later.

use std::cell::RefCell;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use futures::future::{Either, select};
use futures::stream::{FuturesUnordered, StreamExt};
use loopwheel::{catch_cancel, create_task, finally, now, sleep, wait_for};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

#[derive(Default)]
struct Disk(RefCell<Vec<&'static str>>);

async fn edit(text: &'static str, seconds_to_save: u64, disk: Rc<Disk>) {
    if let Err(cancelled) = catch_cancel(sleep(HOUR)).await {
        sleep(Duration::from_secs(seconds_to_save)).await;
        disk.0.borrow_mut().push(text);
        cancelled.reraise().await;
    }
}

async fn each_text_is_saved() {
    let disk = Rc::new(Disk::default());
    let editors = create_task({
        let disk = disk.clone();
        async move {
            let editors = [edit("a short text", 1, disk.clone()), edit("a novel", 2, disk)];
            let mut editors = FuturesUnordered::from_iter(editors);
            while editors.next().await.is_some() {}
        }
    });
    sleep(SECOND).await;
    editors.cancel();
    assert!(editors.await.unwrap_err().is_cancelled());
    assert_eq!(
        *disk.0.borrow(),
        ["a short text", "a novel"],
        "the task was dropped before all texts were saved"
    );
}

type Printing = Pin<Box<dyn Future<Output = ()>>>;

async fn what_is_kept_is_not_waited_for() {
    let (kept, began) = (RefCell::new(None), now());
    let editor = finally(sleep(HOUR), async || {
        let printing: Printing =
            Box::pin(finally(sleep(HOUR), async || sleep(Duration::ZERO).await));
        if let Either::Right(((), rest)) = select(printing, pin!(sleep(SECOND))).await {
            kept.replace(Some(rest));
        }
    });
    assert!(wait_for(editor, SECOND).await.is_err());
    let took = now() - began;
    assert_eq!(
        took,
        2 * SECOND,
        "the limit waited for a text that was saved, and for nothing else"
    );
}

#[test]
fn a_cancel_is_caught_when_all_clean_up_is_done() {
    loopwheel::run_virtual(async {
        each_text_is_saved().await;
        what_is_kept_is_not_waited_for().await;
    });
}
