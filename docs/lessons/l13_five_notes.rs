//! # L13: five notes
//!
//! Five notes are exported, each in 1 s: sequentially, then gathered.
//!
//! The export is the same function both times, and does not know how it is called. The caller decides whether calls
//! overlap, with `await` in a loop or [`gather`] around all of them. In asyncio: `await export(note)`, or `await
//! asyncio.gather(*(export(note) for note in notes))`.
//!
//! The point to notice: the results are the same, and in the same order. The difference is that gathered exports all
//! begin before the first has ended. So an export that needs the result of the one before belongs in the loop.
//!
//! Step through it: `docs/players/l13_five_notes.html`, in any browser.

use std::time::Duration;

use loopwheel::{gather, now, sleep};

const NOTES: [&str; 5] = ["Shopping", "Ideas", "Recipes", "Travel", "Books"];

async fn export(title: &str) -> String {
    sleep(Duration::from_secs(1)).await;
    format!("{}.md", title.to_lowercase())
}

/// Exports five notes one by one, then all at once.
pub async fn lesson() {
    let start = now();
    let mut files = vec![];
    for title in NOTES {
        files.push(export(title).await);
    }
    println!("Sequential: {:.1}s, {}", (now() - start).as_secs_f64(), files.join(" "));

    let start = now();
    let files = gather(NOTES.map(export)).await;
    println!("Gathered: {:.1}s, {}", (now() - start).as_secs_f64(), files.join(" "));
}

fn main() {
    loopwheel::run(lesson());
}
