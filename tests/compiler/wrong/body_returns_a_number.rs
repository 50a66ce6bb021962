use loopwheel::{TaskGroup, run};

fn main() {
    run(async {
        let group = TaskGroup::<String>::scope(async |group| {
            group.create_task(async {});
            5
        });
        let _ = group.await;
    });
}
