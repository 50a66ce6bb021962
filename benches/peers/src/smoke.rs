//! The report of a smoke test: are all results right?

use anyhow::{Result, bail, ensure};

use crate::results::{Failure, Table};

pub(crate) fn report(tables: &[Table]) -> Result<()> {
    let (mut right, mut wrong) = (0, 0);
    for table in tables {
        for row in &table.rows {
            let what = format!("{} on {}", table.workload, row.executor);
            match &row.outcome {
                Ok(_) => right += 1,
                Err(Failure::Unable(why)) => println!("not run: {what}: {why}"),
                Err(Failure::Broken(why)) => {
                    println!("WRONG: {what}: {why}");
                    wrong += 1;
                }
            }
        }
    }
    println!("{right} right, {wrong} wrong");
    ensure!(right + wrong > 0, "nothing was run");
    if wrong > 0 {
        bail!("some results are wrong");
    }
    Ok(())
}
