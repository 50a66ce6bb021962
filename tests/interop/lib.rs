//! The crate with others: their reactors, channels and runtimes, unchanged. The examples of `docs/embedding.md` and
//! `docs/from-tokio.md` run here as doc tests.

#[cfg(doctest)]
#[doc = include_str!("../../docs/embedding.md")]
struct Embedding;

#[cfg(doctest)]
#[doc = include_str!("../../docs/from-tokio.md")]
struct FromTokio;
