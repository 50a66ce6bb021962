//! Three workers give way to each other after each piece of work.

use std::cell::RefCell;
use std::rc::Rc;

use loopwheel::{create_task, gather, yield_now};

#[test]
fn workers_that_give_way_take_turns() {
    let log = Rc::new(RefCell::new(Vec::new()));
    loopwheel::run_virtual(async {
        let workers = ["a", "b", "c"].map(|name| {
            let log = log.clone();
            create_task(async move {
                for piece in 1..=2 {
                    log.borrow_mut().push(format!("{name}{piece}"));
                    yield_now().await;
                }
            })
        });
        gather(workers).await;
    });
    assert_eq!(*log.borrow(), ["a1", "b1", "c1", "a2", "b2", "c2"]);
}
