//! The loop as the guest of `GLib`'s main loop, and of Python's asyncio: `docs/embedding/inside_glib.rs`, `inside_asyncio.rs`.
//!
//! It needs the development files of both, on Debian `libglib2.0-dev` and `python3-dev`.
