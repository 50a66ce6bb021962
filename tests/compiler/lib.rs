//! Nothing: the tests are in `messages.rs`.
