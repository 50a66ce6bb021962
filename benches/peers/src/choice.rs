//! Which workloads and which executors: by name, by family, or by a part of the name.

use anyhow::{Result, ensure};

/// The names that are asked for. For each part, without regard to case: those of its family (`timeout` is that of
/// `timeout`, `timeout-10k` and `timeout-armed`), or else those that contain it. Without any parts, all.
pub(crate) fn asked_for(
    option: &str,
    names: &[&'static str],
    parts: &[String],
) -> Result<Vec<&'static str>> {
    if parts.is_empty() {
        return Ok(names.to_vec());
    }
    let mut asked_for = Vec::new();
    for part in parts {
        let part = part.to_lowercase();
        let those = |is_meant: &dyn Fn(&str) -> bool| -> Vec<&'static str> {
            names.iter().copied().filter(|name| is_meant(&name.to_lowercase())).collect()
        };
        let mut found = those(&|name| is_of_family(name, &part));
        if found.is_empty() {
            found = those(&|name| name.contains(&part));
        }
        ensure!(!found.is_empty(), "{option}: nothing has {part:?} in its name, see --list");
        asked_for.extend(found);
    }
    Ok(asked_for)
}

/// The name itself, and those that go on with a dash: `yield-1` is no family of `yield-1000`.
pub(crate) fn is_of_family(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 6] =
        ["timeout", "timeout-10k", "timeout-armed", "yield-1", "yield-1000", "memory-sleep"];

    fn find(part: &str) -> Vec<&'static str> {
        asked_for("--only", &NAMES, &[part.to_owned()]).unwrap_or_default()
    }

    #[test]
    fn a_family_is_all_that_begin_so() {
        assert_eq!(find("timeout"), NAMES[..3]);
        assert_eq!(find("Yield"), NAMES[3..5]);
    }

    #[test]
    fn a_whole_name_is_not_the_beginning_of_a_longer_number() {
        assert_eq!(find("yield-1"), ["yield-1"]);
    }

    #[test]
    fn what_is_no_family_is_a_part_of_the_name() {
        assert_eq!(find("sleep"), ["memory-sleep"]);
    }

    #[test]
    fn what_is_in_no_name_finds_nothing() {
        assert!(find("tokio").is_empty());
    }
}
