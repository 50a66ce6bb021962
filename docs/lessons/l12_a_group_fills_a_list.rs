//! # L12: a group fills a list
//!
//! Three children of a group append to one list. The line after the group is reached when all of them are done, and
//! then everything is in the list.
//!
//! In asyncio: `async with asyncio.TaskGroup() as group:` around the `create_task`s, and the list is read after it.
//!
//! The points to notice: the list needs no lock. All tasks run on one thread, and another task can run only where
//! the current one awaits; between two awaits a task has the list to itself. `Rc` says that several tasks own the
//! list, `RefCell` says that they take turns; an `Rc` cannot leave its thread. And the list has the order in which
//! the children appended, not the order in which they were created.
//!
//! Step through it: `docs/players/l12_a_group_fills_a_list.html`, in any browser.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use loopwheel::{TaskGroup, now, sleep};

type List = Rc<RefCell<Vec<String>>>;

async fn collect(list: List, item: &str, millis: u64) -> Result<(), Infallible> {
    sleep(Duration::from_millis(millis)).await;
    list.borrow_mut().push(item.to_owned());
    Ok(())
}

/// Lets the children of a group fill one list.
pub async fn lesson() {
    let start = now();
    let list = List::default();
    let group = TaskGroup::scope(async |group| {
        group.create_task(collect(list.clone(), "apples", 300));
        group.create_task(collect(list.clone(), "bread", 100));
        group.create_task(collect(list.clone(), "cheese", 200));
        println!("In the group: {:?}", list.borrow());
        Ok::<_, Infallible>(())
    });
    group.await.unwrap();
    let secs = (now() - start).as_secs_f64();
    println!("After the group: {:?}, after {secs:.2}s", list.borrow());
}

fn main() {
    loopwheel::run(lesson());
}
