//! An orchestra: all are to play at the same moment, and the conductor counted them in from left to right.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use loopwheel::{create_task, gather, sleep};

#[test]
fn timers_of_one_moment_fire_in_the_order_in_which_they_were_set() {
    let played = Rc::new(RefCell::new(Vec::new()));
    loopwheel::run_virtual(async {
        let players = ["violin", "flute", "horn", "drum"].map(|player| {
            let played = played.clone();
            create_task(async move {
                sleep(Duration::from_secs(1)).await;
                played.borrow_mut().push(player);
            })
        });
        gather(players).await;
    });
    assert_eq!(*played.borrow(), ["violin", "flute", "horn", "drum"]);
}
