//! What the examples have found, beside the report and the page that are committed here. This writes both anew:
//!
//! ```text
//! LOOPWHEEL_BLESS=1 EXPLORED_PAGES=docs/exploring CARGO_PROFILE_TEST_DEBUG=full cargo test -p exploring
//! ```

use std::path::PathBuf;
use std::{env, fs, process};

use loopwheel::explore::Found;

const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Where the page is written.
pub(crate) fn folder() -> PathBuf {
    // A test begins in the folder of its package, but the compiler names files as seen from the workspace. The page has their text.
    env::set_current_dir(WORKSPACE).unwrap();
    match env::var_os("EXPLORED_PAGES") {
        Some(folder) => PathBuf::from(folder),
        None => env::temp_dir().join(format!("loopwheel-explored-{}", process::id())),
    }
}

/// The report is the one that is committed, and there is a page.
pub(crate) fn check(name: &str, found: &Found) {
    println!("{found}"); // shown by `cargo test -- --nocapture`
    let page = found.page.as_ref().expect("a page was written");
    if env::var_os("EXPLORED_PAGES").is_some() {
        fs::rename(page, page.with_file_name(format!("{name}.html"))).unwrap();
    } else {
        fs::remove_dir_all(page.parent().unwrap()).unwrap();
    }
    if found.order == 0 {
        return; // this is not what the exploration has found, but the schedule of LOOPWHEEL_EXPLORE
    }
    let committed = format!("{WORKSPACE}/docs/exploring/{name}.txt");
    let report = neutral(&found.to_string(), name);
    if env::var_os("LOOPWHEEL_BLESS").is_some() {
        fs::write(&committed, &report).unwrap();
    }
    assert_eq!(report, fs::read_to_string(&committed).unwrap().replace("\r\n", "\n"));
}

/// The report without what depends on the machine.
fn neutral(report: &str, name: &str) -> String {
    let lines = report.replace('\\', "/");
    let lines = lines.lines().map(|line| match line.strip_prefix("step by step: ") {
        Some(_) => format!("step by step: docs/exploring/{name}.html\n"),
        None => format!("{line}\n"),
    });
    lines.collect()
}
