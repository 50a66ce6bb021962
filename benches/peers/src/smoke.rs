//! The report of a smoke test: are all results right?

use anyhow::{Result, bail, ensure};

use crate::rounds::{Failure, Results};

pub(crate) fn report(results: &[Results]) -> Result<()> {
    let (mut right, mut wrong) = (0, 0);
    for Results { workload, standings } in results {
        for standing in standings {
            let what = format!("{} on {}", workload.name, standing.peer.name);
            match &standing.outcome {
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
