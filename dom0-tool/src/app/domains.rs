//! Which dedup domain a new volume belongs to (doc/THREATS.md, "Dedup domains").

use std::collections::BTreeMap;

use super::world::World;
use crate::archive::{Archive, DomainRule};
use crate::cli::DomainWish;

/// What the user asked for; where he did not, what the name says.
pub fn rule(wishes: &[DomainWish]) -> DomainRule {
    let wishes = wishes.to_vec();
    Box::new(move |volume| {
        let asked = wishes.iter().find_map(|wish| wish.domain_of(volume));
        asked.map_or_else(|| by_name(volume), str::to_owned)
    })
}

/// The same, with domains of volumes of which more is known than their names.
pub fn rule_knowing(wishes: &[DomainWish], known: BTreeMap<String, String>) -> DomainRule {
    let wishes = wishes.to_vec();
    Box::new(move |volume| {
        let asked = wishes.iter().find_map(|wish| wish.domain_of(volume));
        let known = || known.get(volume).cloned();
        let domain = asked.map(str::to_owned).or_else(known);
        domain.unwrap_or_else(|| by_name(volume))
    })
}

/// A volume keeps the domain that it was entered with: its ids are made with that domain's key. Says so where another was asked for by name.
pub fn tell_kept<'a>(
    world: &World<'_>,
    archive: &Archive,
    wishes: &[DomainWish],
    names: impl Iterator<Item = &'a str>,
) {
    let Some(asked) = wishes.iter().find(|wish| wish.is_for_all()) else {
        return;
    };
    for name in names {
        if let Some(volume) = archive.head().volume(name)
            && let kept = archive.domain_name(volume)
            && asked.domain_of(name) != Some(kept)
        {
            world.monitor().note(&format!(
                "volume {name} stays in the dedup domain {kept:?}: only a new volume can be put into another"
            ));
        }
    }
}

/// One domain for each qube, one for the root volumes of templates, and one for each volume of which nothing is known: who may see what another
/// has is for the user to say.
fn by_name(volume: &str) -> String {
    let qube = |name: &str| format!("qube {name}");
    if let Some((name, file)) = folder(volume, "vm-templates/") {
        return if file == "root.img" {
            "templates".to_owned()
        } else {
            qube(name)
        };
    }
    if let Some((name, _)) = folder(volume, "appvms/") {
        return qube(name);
    }
    let kind = volume
        .strip_prefix("vm-")
        .filter(|_| !volume.contains('/'))
        .and_then(|rest| rest.rsplit_once('-'))
        .filter(|(name, _)| !name.is_empty());
    match kind {
        // Standalone qubes have such a volume too, and their name does not tell.
        Some((_, "root")) => "templates".to_owned(),
        Some((name, "private" | "volatile" | "modules")) => qube(name),
        _ => format!("volume {volume}"),
    }
}

/// The qube's name and the file's, below a folder.
fn folder<'a>(volume: &'a str, base: &str) -> Option<(&'a str, &'a str)> {
    let (name, file) = volume.strip_prefix(base)?.split_once('/')?;
    (!file.contains('/')).then_some((name, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qubes_share_with_themselves_and_templates_with_each_other() {
        for (volume, domain) in [
            ("vm-work-private", "qube work"),
            ("appvms/mail/private.img", "qube mail"),
            ("appvms/mail/root.img", "qube mail"),
            ("vm-my-vpn-private", "qube my-vpn"),
            ("vm-debian-12-root", "templates"),
            ("vm-templates/debian-12/root.img", "templates"),
            ("vm-templates/debian-12/private.img", "qube debian-12"),
            ("vm-private", "volume vm-private"),
            ("photos", "volume photos"),
            ("vm-work-private/x", "volume vm-work-private/x"),
        ] {
            assert_eq!(by_name(volume), domain, "{volume}");
        }
    }

    #[test]
    fn what_was_asked_for_comes_first_and_the_first_that_fits_counts() {
        let wishes = ["vm-work-*=office", "vm-*=others"].map(|wish| wish.parse().unwrap());
        let rule = rule(&wishes);
        assert_eq!(rule("vm-work-private"), "office");
        assert_eq!(rule("vm-home-private"), "others");
        assert_eq!(rule("photos"), "volume photos");
    }
}
