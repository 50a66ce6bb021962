//! The tests of the exercises pass on the whole crate. That each fails on its broken one is what `exercise check-all` shows.

#[path = "../12_a_turn_that_is_kept/test.rs"]
mod a_turn_that_is_kept;
#[path = "../01_a_wake_while_polled/test.rs"]
mod a_wake_while_polled;
#[path = "../10_caught_too_early/test.rs"]
mod caught_too_early;
#[path = "../05_look_then_register/test.rs"]
mod look_then_register;
#[path = "../08_no_cascade/test.rs"]
mod no_cascade;
#[path = "../06_only_the_first_is_told/test.rs"]
mod only_the_first_is_told;
#[path = "../02_queued_twice/test.rs"]
mod queued_twice;
#[path = "../11_the_bell_before_the_letter/test.rs"]
mod the_bell_before_the_letter;
#[path = "../09_the_cancel_stops_here/test.rs"]
mod the_cancel_stops_here;
#[path = "../03_the_newest_first/test.rs"]
mod the_newest_first;
#[path = "../04_the_next_in_the_slot/test.rs"]
mod the_next_in_the_slot;
#[path = "../07_the_same_moment/test.rs"]
mod the_same_moment;
