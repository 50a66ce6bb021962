use std::io;

use loopwheel::{TaskGroup, run};

async fn fetch() -> Result<(), io::Error> {
    Ok(())
}

async fn store() -> Result<(), String> {
    Ok(())
}

fn main() {
    run(async {
        let group = TaskGroup::scope(async |group| {
            group.create_task(fetch());
            group.create_task(store());
        });
        let _ = group.await;
    });
}
