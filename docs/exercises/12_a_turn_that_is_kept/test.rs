//! Three tasks want one lock. The second is cancelled in the moment in which it is its turn.

use std::rc::Rc;
use std::time::Duration;

use loopwheel::sync::Lock;
use loopwheel::{create_task, wait_for, yield_now};

#[test]
fn a_waiter_that_is_called_and_cancelled_hands_its_turn_on() {
    loopwheel::run_virtual(async {
        let lock = Rc::new(Lock::new());
        let held = lock.acquire().await;
        let [second, third] = [lock.clone(), lock.clone()]
            .map(|lock| create_task(async move { drop(lock.acquire().await) }));
        yield_now().await; // both wait in line

        drop(held); // it is the second's turn
        second.cancel();
        assert!(second.await.unwrap_err().is_cancelled());

        let third = wait_for(third, Duration::from_secs(1)).await;
        assert!(third.is_ok(), "the lock is free, and the third still waits for it");
        assert!(!lock.is_locked());
    });
}
