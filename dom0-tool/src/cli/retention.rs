//! What is kept of which volumes: lines of the ini's `[retention]`.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::domain::fits;
use super::error::BadValue;
use super::request::Rules;

/// The words that a line of `[retention]` may begin a rule with.
pub const RETENTION_RULES: &[&str] = &[
    "keep-last",
    "keep-hourly",
    "keep-daily",
    "keep-weekly",
    "keep-monthly",
    "keep-yearly",
    "keep-within",
    "apdays",
    "keep-all",
];

/// A value of `--retention`: rules for the volumes whose names fit a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionWish {
    /// `*` stands for any characters.
    pattern: String,
    /// The rules; none at all for `keep-all`.
    rules: Rules,
}

impl RetentionWish {
    /// The rules, if they are meant for a volume of this name.
    pub fn rules_of(&self, volume: &str) -> Option<&Rules> {
        fits(&self.pattern, volume).then_some(&self.rules)
    }
}

impl FromStr for RetentionWish {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (pattern, rules) = text.split_once('=').unwrap_or_default();
        if pattern.trim().is_empty() || rules.trim().is_empty() {
            return Err(BadValue::new(
                "give PATTERN=RULES, as in vm-work-*=keep-daily 7, keep-weekly 4",
            ));
        }
        Ok(Self {
            pattern: pattern.trim().to_owned(),
            rules: rules_of(rules)?,
        })
    }
}

/// Reads `keep-daily 7, keep-within 30d`. A rule and its value may also have `=` between them.
fn rules_of(text: &str) -> Result<Rules, BadValue> {
    let mut rules = Rules::default();
    let mut seen = BTreeSet::new();
    for part in text.split(',') {
        let part = part.trim();
        let end = part.find(|c: char| c == '=' || c.is_whitespace());
        let (word, value) = part.split_at(end.unwrap_or(part.len()));
        let value = value.trim_start();
        let value = value.strip_prefix('=').unwrap_or(value).trim();
        if !seen.insert(word) {
            return Err(BadValue::new(
                "a rule stands there twice, or nothing stands behind a comma",
            ));
        }
        match word {
            "keep-within" => rules.within = Some(value.parse()?),
            "apdays" => rules.thinning = Some(value.parse()?),
            "keep-all" if value.is_empty() => {}
            _ => {
                let mut counted = RETENTION_RULES.iter().zip(&mut rules.counts);
                let (_, count) = counted.find(|(rule, _)| **rule == word).ok_or_else(|| {
                    BadValue::new(
                        "the rules are keep-last, -hourly, -daily, -weekly, -monthly, -yearly, each with a number, keep-within with a \
                         span, apdays with four numbers, and keep-all",
                    )
                })?;
                *count = value.parse().map_err(|_| {
                    BadValue::new("give a number behind the rule, as in keep-daily 7")
                })?;
            }
        }
    }
    if seen.contains("keep-all") && seen.len() > 1 {
        return Err(BadValue::new("keep-all goes with no other rule"));
    }
    if rules == Rules::default() && !seen.contains("keep-all") {
        // It could be meant as "keep nothing" as well.
        return Err(BadValue::new(
            "rules with 0 alone say nothing; write keep-all to keep everything",
        ));
    }
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::keep::{ApDays, Span};

    #[test]
    fn rules_are_those_of_the_command_line() {
        let wish: RetentionWish =
            "vm-work-* = keep-daily 7,keep-weekly=4 , keep-within 30d, apdays 0:62:1:2"
                .parse()
                .unwrap();
        let rules = wish.rules_of("vm-work-private").unwrap();
        assert_eq!(rules.counts, [0, 0, 7, 4, 0, 0]);
        assert_eq!(rules.within, Some(Span(30 * 86_400)));
        assert_eq!(rules.thinning, Some(ApDays::default()));
        assert_eq!(wish.rules_of("vm-home-private"), None);
        let all: RetentionWish = "* = keep-all".parse().unwrap();
        assert_eq!(all.rules_of("x"), Some(&Rules::default()));
    }

    #[test]
    fn every_counting_rule_has_its_own_place() {
        for (at, rule) in RETENTION_RULES.iter().take(6).enumerate() {
            let wish: RetentionWish = format!("*={rule} 3").parse().unwrap();
            assert_eq!(wish.rules.counts[at], 3, "{rule}");
            assert_eq!(wish.rules.counts.iter().sum::<u32>(), 3, "{rule}");
        }
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        for bad in [
            "",
            "x",
            "=keep-daily 1",
            "x=",
            "x=keep-daily",
            "x=keep-daily 1,",
            "x=keep-daily 1,keep-daily 2",
            "x=keep-daily 0",
            "x=keep-dayly 1",
            "x=keep-daily -1",
            "x=keep-within 3",
            "x=apdays 1:2:3",
            "x=keep-all 3",
            "x=keep-all, keep-daily 3",
        ] {
            assert!(bad.parse::<RetentionWish>().is_err(), "{bad:?}");
        }
    }
}
