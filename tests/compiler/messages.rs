//! **What the compiler says** of the mistakes in `wrong/`: each has the compiler's output beside it. What is in `right/` compiles.
//!
//! | file in `wrong` | the mistake |
//! |---|---|
//! | `wait_of_futures` | `wait` and `as_completed` get futures, and not tasks |
//! | `limit_without_a_unit` | a time limit is given as a number |
//! | `duration_as_a_deadline` | a deadline is given as a `Duration` |
//! | `nine_in_a_tuple` | a tuple of nine is gathered |
//! | `gather_of_no_futures` | something else than futures is gathered |
//! | `try_gather_without_results` | futures that cannot fail are gathered by `try_gather` |
//! | `child_returns_a_number` | a child of a group returns neither a `Result` nor nothing |
//! | `body_returns_a_number` | the body of a scope does |
//! | `question_mark_of_another_error` | a child of a group uses `?` on an error that is not the group's |
//! | `question_mark_without_a_result` | a child that returns nothing uses `?` |
//! | `timeout_of_a_future` | `timeout` gets a future, as in tokio, and not a body |
//! | `cleanup_returns_a_number` | the clean-up of `finally` returns a value |
//! | `body_of_another_error` | the body of a scope fails with another error than its children |
//! | `children_of_two_errors` | two children of a group fail with different errors |
//! | `borrow_in_a_task` | a task borrows from the function that creates it |
//!
//! The words are those of one version of the compiler. With another the files are compiled, and their output is not compared.
//! `TRYBUILD=overwrite cargo test -p compiler` writes the output anew.

#[test]
fn the_compiler_says_what_is_wrong_and_what_to_do() {
    let cases = trybuild::TestCases::new();
    cases.pass("right/*.rs");
    if rustversion::cfg!(stable(1.95)) {
        cases.compile_fail("wrong/*.rs");
    }
}
