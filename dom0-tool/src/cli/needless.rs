//! What users of Wyng have in their scripts and need here no longer: accepted, with a notice.

/// Work-arounds, all switches. `--force-retry` made it try again what had failed after an interruption; here the next command goes on from
/// the last commit by itself, however often it failed before.
const SWITCHES: &[&str] = &["purge-tmp", "tar-bypass", "maxsync", "vouch", "force-retry"];

/// What Wyng thinned out is not kept here: no manifests, and of every cache only what the newest head still needs.
const META_REDUCE: &str = "meta-reduce";

/// The notice about an option that does nothing, if `name` (without dashes) is one.
pub fn notice(name: &str) -> Option<String> {
    if name == META_REDUCE {
        let text = "--meta-reduce does nothing here: what this machine keeps of an archive has bounds of its own, and `nacre delete --clean` removes all of it that can be made anew";
        return Some(text.to_owned());
    }
    SWITCHES
        .contains(&name)
        .then(|| format!("--{name} does nothing here: what it works around does not arise"))
}

/// Whether `next`, the word behind the needless option `name`, is its value: `--meta-reduce extra:10`. A word that cannot be one stays what it
/// is, so that `--meta-reduce list` lists.
pub fn takes(name: &str, next: &str) -> bool {
    name == META_REDUCE && (matches!(next, "off" | "on" | "extra") || next.starts_with("extra:"))
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    reason = "in a test, a panic is how a surprise is reported"
)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn what_does_nothing_says_why() {
        let said = notice("meta-reduce").unwrap();
        assert!(said.contains("`nacre delete --clean`"), "{said}");
        assert!(notice("maxsync").unwrap().contains("does not arise"));
        assert_eq!(notice("dest"), None);
    }

    #[test]
    fn nothing_is_both_an_option_and_needless() {
        let root = crate::cli::low::Low::command();
        for sub in root.get_subcommands() {
            for long in sub.get_arguments().filter_map(clap::Arg::get_long) {
                assert!(notice(long).is_none(), "{long}");
            }
        }
    }
}
