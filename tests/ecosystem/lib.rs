//! The crate with the crates that programs need. The examples of `docs/ecosystem.md` run here as doc tests.

#[cfg(doctest)]
#[doc = include_str!("../../docs/ecosystem.md")]
struct Ecosystem;
