//! Counts instructions: this program again, under callgrind.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::common::paths::Path;

/// The first argument of the counted runs. A path's name and the number of rounds follow.
pub(crate) const RUN: &str = "--run";

/// The number of operations in the shorter of the two runs.
const OPERATIONS: u64 = 20_000;

/// Counts the instructions that one operation of this path executes.
pub(crate) fn count(path: &Path) -> Result<f64, String> {
    let rounds = OPERATIONS.div_ceil(path.operations);
    let (short, long) = (Counting::begin(path, rounds)?, Counting::begin(path, 2 * rounds)?);
    let (short, long) = (short.end()?, long.end()?);
    let more = long.checked_sub(short).ok_or("twice the rounds executed fewer instructions")?;
    #[allow(clippy::cast_precision_loss)] // far below 2^52
    Ok(more as f64 / (rounds * path.operations) as f64)
}

struct Counting {
    valgrind: Child,
    profile: PathBuf,
}

impl Counting {
    fn begin(path: &Path, rounds: u64) -> Result<Counting, String> {
        let profile = format!("callgrind.{}.{rounds}", path.name);
        let profile = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(profile);
        let this = env::current_exe().map_err(|error| format!("where is this program? {error}"))?;
        let valgrind = Command::new("valgrind")
            .args(["--tool=callgrind", "--quiet"])
            .arg(format!("--callgrind-out-file={}", profile.display()))
            .arg(this)
            .args([RUN, path.name, &rounds.to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| {
                format!("valgrind cannot be started ({error}): is it installed? (apt-get install valgrind)")
            })?;
        Ok(Counting { valgrind, profile })
    }

    fn end(self) -> Result<u64, String> {
        let output = self.valgrind.wait_with_output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(format!(
                "valgrind: {}\n{}",
                output.status,
                String::from_utf8_lossy(&output.stderr)
            ));
        }
        let profile = fs::read_to_string(&self.profile)
            .map_err(|error| format!("{}: {error}", self.profile.display()))?;
        let total = profile.lines().find_map(|line| line.strip_prefix("totals: "));
        let total = total.and_then(|total| total.parse().ok());
        fs::remove_file(&self.profile).map_err(|error| error.to_string())?;
        total.ok_or_else(|| "callgrind's profile has no line of totals".to_owned())
    }
}
