//! Packs that claim an alias.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use nacre_core::ids::{Alias, PackName};
use nacre_core::pack::{DirectoryEntry, DirectoryItem, FoundPack, Origin};

/// A pack that claims an alias with its own directory, or of which another pack says that it had the alias.
pub struct Claim {
    /// The pack's name.
    pub name: PackName,
    /// What lies there.
    pub items: HashMap<(u64, u32), DirectoryEntry>,
    /// What lies there under the name of another pack.
    pub copies: HashSet<(PackName, u64, u32)>,
    /// How often the index expects something that lies there.
    pub hits: u64,
    /// How often it expects something else.
    pub misses: u64,
    /// Whether the index is read from it as long as nothing speaks against that.
    pub tried: bool,
}

/// The packs that claim each of the lost aliases, where these are several.
pub fn claims(found: &[FoundPack], is_lost: &dyn Fn(Alias) -> bool) -> BTreeMap<Alias, Vec<Claim>> {
    let mut names: BTreeMap<Alias, BTreeSet<PackName>> = BTreeMap::new();
    for pack in found {
        let origins = pack.directory.origins.iter();
        let origins = origins.map(|origin| (origin.alias, origin.name));
        for (alias, name) in origins.chain([(pack.directory.alias, pack.name)]) {
            if is_lost(alias) {
                names.entry(alias).or_default().insert(name);
            }
        }
    }
    let several = names.into_iter().filter(|(_, names)| names.len() > 1);
    several
        .map(|(alias, names)| {
            let claims = names.into_iter().map(|name| claim(found, alias, name));
            (alias, claims.collect())
        })
        .collect()
}

fn claim(found: &[FoundPack], alias: Alias, name: PackName) -> Claim {
    let mut claim = Claim {
        name,
        items: HashMap::new(),
        copies: HashSet::new(),
        hits: 0,
        misses: 0,
        tried: false,
    };
    for pack in found {
        for item in &pack.directory.items {
            let origin = origin(pack, item);
            if pack.name == name && pack.directory.alias == alias {
                let at = (item.offset, item.length);
                claim.items.insert(at, item.entry.clone());
                let copy = origin.map(|(from, offset)| (from.name, offset, item.length));
                claim.copies.extend(copy);
            }
            if let Some((from, offset)) = origin
                && (from.alias, from.name) == (alias, name)
            {
                let at = (offset, item.length);
                claim.items.insert(at, item.entry.clone());
            }
        }
    }
    claim
}

/// What an undisputed pack holds too is not needed from one that is disputed. Only of those whose records are made anew: another may be about to go.
pub fn leave_out_held(
    found: &[FoundPack],
    is_lost: &dyn Fn(Alias) -> bool,
    disputed: &BTreeSet<(Alias, PackName)>,
    claims: &mut BTreeMap<Alias, Vec<Claim>>,
) {
    for pack in found {
        let alias = pack.directory.alias;
        if !is_lost(alias) || disputed.contains(&(alias, pack.name)) {
            continue;
        }
        for item in &pack.directory.items {
            let (from, offset) = match origin(pack, item) {
                Some((origin, offset)) => (origin.name, offset),
                None => (pack.name, item.offset),
            };
            for claim in claims.values_mut().flatten() {
                claim.copies.remove(&(from, offset, item.length));
            }
        }
    }
}

/// Where an item was first written, if it was copied.
fn origin<'a>(pack: &'a FoundPack, item: &DirectoryItem) -> Option<(&'a Origin, u64)> {
    let (index, offset) = item.origin?;
    Some((pack.directory.origins.get(index)?, offset))
}

/// Takes out packs that are not the ones that their aliases mean, and what others say of such packs.
pub fn reject(found: &mut Vec<FoundPack>, wrong: &BTreeSet<(Alias, PackName)>) {
    found.retain(|pack| !wrong.contains(&(pack.directory.alias, pack.name)));
    for pack in found {
        let directory = &mut pack.directory;
        for item in &mut directory.items {
            let origin = item.origin.and_then(|(at, _)| directory.origins.get(at));
            if origin.is_some_and(|origin| wrong.contains(&(origin.alias, origin.name))) {
                item.origin = None;
            }
        }
    }
}
