use loopwheel::{TaskGroup, run};

fn main() {
    run(async {
        let group = TaskGroup::<std::num::ParseIntError>::scope(async |group| {
            group.create_task(async {
                let _number: u32 = "5".parse()?;
            });
        });
        let _ = group.await;
    });
}
