//! The examples of `docs/exploring.md`, which run here as doc tests. The worked ones are the tests beside this file.

#[cfg(doctest)]
#[doc = include_str!("../exploring.md")]
struct Exploring;
