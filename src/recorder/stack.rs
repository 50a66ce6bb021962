//! **The lines of a wait**: the stack of the code that is being polled.
//!
//! A future that is suspended has no stack. But while it is polled, each `async fn` that awaits another is a frame of the stack, and
//! its line is the line of the await. So the stack is taken when a checkpoint tells that it waits, inside that poll. Of its frames
//! only those of the program count: not the crate's own, and not those of other packages and of the standard library.

use std::env;
use std::path::{Path, PathBuf};

use super::Frame;

/// The frames of the program, innermost first.
pub(super) fn of_caller() -> Vec<Frame> {
    let directory = env::current_dir().unwrap_or_default();
    let (mut frames, mut is_inside) = (Vec::new(), true);
    backtrace::trace(|frame| {
        backtrace::resolve_frame(frame, |symbol| {
            let place = symbol.filename().zip(symbol.lineno()).zip(symbol.name());
            let Some(((file, line), name)) = place else { return };
            if file.ends_with("trace/mod.rs") && relative(file, &directory).is_none() {
                frames.clear(); // the frames so far are those of an observer that calls the recorder
            }
            is_inside &= !file.ends_with("kernel/record/stage.rs"); // there the loop polls the task
            if let Some(file) = relative(file, &directory).filter(|_| is_inside) {
                let function = short_name(&format!("{name:#}"));
                frames.push(Frame { function, file: file.to_string_lossy().into_owned(), line });
            }
        });
        is_inside
    });
    frames
}

/// The path from the current directory, if the file belongs to the program.
fn relative(file: &Path, directory: &Path) -> Option<PathBuf> {
    let file = if file.is_absolute() { file.strip_prefix(directory).ok()? } else { file };
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    (!directory.join(file).starts_with(own)).then(|| file.to_owned())
}

/// The function, without its path, and without what the compiler adds to the name of an `async fn`.
fn short_name(name: &str) -> String {
    let parts = name.split("::").filter(|part| !part.starts_with('{') && !part.starts_with('<'));
    parts.last().unwrap_or(name).to_owned()
}
