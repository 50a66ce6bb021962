use std::error::Error;

use loopwheel::{TaskGroup, run_virtual};

fn main() {
    let failed = run_virtual(TaskGroup::<Box<dyn Error>>::scope(async |group| {
        group.create_task(async {
            let _number: u32 = "five".parse()?;
            let _text = String::from_utf8(vec![255])?;
            Ok(())
        });
    }));
    assert_eq!(failed.unwrap_err().iter().count(), 1);
}
