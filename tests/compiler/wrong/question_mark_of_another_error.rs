use loopwheel::{TaskGroup, run};

fn main() {
    run(async {
        let group = TaskGroup::<String>::scope(async |group| {
            group.create_task(async {
                let _number: u32 = "5".parse()?;
                Ok(())
            });
        });
        let _ = group.await;
    });
}
