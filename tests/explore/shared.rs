//! What the tests of exploration share.

use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use loopwheel::explore::{self, Exploration, Found};
use loopwheel::sync::Lock;
use loopwheel::{TaskBuilder, yield_now};

/// Tasks with these names, each of which notes its name when it runs. Returns the order.
pub(crate) async fn order_of(names: &'static [&'static str]) -> String {
    let seen = Rc::new(RefCell::new(String::new()));
    let mut tasks = Vec::new();
    for name in names {
        let seen = seen.clone();
        let run = async move { seen.borrow_mut().push_str(name) };
        tasks.push(TaskBuilder::new().name(*name).create_task(run));
    }
    for task in tasks {
        task.await.unwrap();
    }
    seen.take()
}

pub(crate) fn message_of(run: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
    let text = payload.downcast_ref::<String>().cloned();
    text.or(payload.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default()
}

pub(crate) fn fault_of<T: fmt::Debug>(
    exploration: Exploration,
    main: impl AsyncFn() -> T,
) -> Box<Found> {
    exploration.without_page().try_run(|| main()).unwrap_err()
}

/// Two tasks that take two locks in opposite orders: a deadlock, if both have the first. Usually one is through by then.
pub(crate) async fn opposite_locks() {
    let (a, b) = (Rc::new(Lock::new()), Rc::new(Lock::new()));
    let take = |name: &str, first: &Rc<Lock>, second: &Rc<Lock>| {
        let (first, second) = (first.clone(), second.clone());
        TaskBuilder::new().name(name).create_task(async move {
            let _first = first.acquire().await;
            if explore::choose(2) == 1 {
                yield_now().await;
            }
            let _second = second.acquire().await;
        })
    };
    let (one, two) = (take("one", &a, &b), take("two", &b, &a));
    one.await.unwrap();
    two.await.unwrap();
}
