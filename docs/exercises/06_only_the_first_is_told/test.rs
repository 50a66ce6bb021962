//! Three pages wait for one download.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use loopwheel::{create_task, sleep};

#[test]
fn all_that_await_a_task_are_told_of_its_end() {
    let shown = Rc::new(RefCell::new(Vec::new()));
    loopwheel::run_virtual(async {
        let download = create_task(async {
            sleep(Duration::from_secs(1)).await;
            "a picture"
        });
        let download = download.shared();
        for page in ["first", "second", "third"] {
            let (download, shown) = (download.clone(), shown.clone());
            create_task(async move {
                download.await.unwrap();
                shown.borrow_mut().push(page);
            });
        }
        sleep(Duration::from_secs(2)).await;
    });
    assert_eq!(*shown.borrow(), ["first", "second", "third"]);
}
