//! What typed options take the place of in the ini, beside themselves.

/// Options of which what was typed beats what the ini says of the others.
const RIVALS: &[&[&str]] = &[
    &["quiet", "verbose", "debug"],
    &["sparse", "sparse-write"],
    &["local", "vols-from", "local-from", "save-to"],
];

/// What rules say, in `prune`.
const RULES: &[&str] = &[
    "autoprune",
    "keep-last",
    "keep-hourly",
    "keep-daily",
    "keep-weekly",
    "keep-monthly",
    "keep-yearly",
    "keep-within",
];

/// Whether what was typed of other options takes the place of an option that the ini sets.
pub fn beaten(command: &str, option: &str, typed: impl Fn(&str) -> bool) -> bool {
    let any = |options: &[&str]| options.iter().any(|rival| typed(rival));
    let mut groups = RIVALS.iter().filter(|group| group.contains(&option));
    if groups.any(|group| any(group)) {
        return true;
    }
    let named = ["session", "all-before"];
    match (command, option) {
        // Who names sessions wants those to go, and who gives rules wants these: the ini must neither add to it nor stand against it.
        ("prune", "retention") => any(&named) || any(RULES) || typed("apdays"),
        ("prune", "session" | "all-before") => any(&named) || any(RULES) || typed("retention"),
        ("prune", rule) if RULES.contains(&rule) => any(&named) || typed("retention"),
        ("send" | "backup", "retention") => typed("apdays"),
        _ => false,
    }
}
