//! The examples of `docs/exploring.md`, which run here as doc tests. The worked ones are the tests beside this file.

#[cfg(doctest)]
#[doc = include_str!("../exploring.md")]
struct Exploring;

#[cfg(test)]
mod tests {
    use loopwheel::{create_task, explore};

    const PAGE: &str = include_str!("../exploring.md");

    #[test]
    fn the_page_shows_the_report_that_is_committed() {
        let report = include_str!("double_spend.txt").replace('\r', "");
        assert!(PAGE.replace('\r', "").contains(&format!("```text\n{report}```\n")));
    }

    #[test]
    fn the_page_counts_the_orders() {
        let of_tasks = |tasks| {
            explore::all(10_000).run(move || async move {
                let tasks: Vec<_> = (0..tasks).map(|_| create_task(async {})).collect();
                for task in tasks {
                    task.await.unwrap();
                }
            })
        };
        let orders = [2, 3, 4, 5].map(|tasks| of_tasks(tasks).orders.to_string());
        assert!(PAGE.contains(&format!("| orders | {} | 4,051 |", orders.join(" | "))));
    }
}
