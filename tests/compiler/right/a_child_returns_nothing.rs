//! A child of a group, and the body of its scope, may return nothing.

use std::convert::Infallible;
use std::time::Duration;

use loopwheel::{TaskGroup, run_virtual, sleep};

fn main() {
    run_virtual(async {
        let group = TaskGroup::scope(async |group| {
            group.create_task(async { sleep(Duration::from_secs(1)).await });
            group.create_task(async { Err::<(), _>("broken") });
        });
        assert_eq!(group.await.unwrap_err().iter().count(), 1);
        let quiet = TaskGroup::<Infallible>::scope(async |group| {
            group.create_task(async {});
        });
        assert!(quiet.await.is_ok());
    });
}
