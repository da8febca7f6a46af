//! What there is and how it is set, taken from the registry.

use std::collections::{BTreeMap, BTreeSet};

use nacre_core::settings;

use crate::joints::qubes::{
    Assignment, PoolInfo, Properties, QubeClass, QubeRegistry, QubeRow, QubeVolume, RegistryError,
    RegistryErrorKind,
};

/// Tells when a qube was backed up. Written down, it would change the settings with every backup; the session has its own time.
const BACKED_UP: &str = "backup_timestamp";

/// A qube with everything that decides about its backup.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// Name, class, state.
    pub row: QubeRow,
    /// Its volumes.
    pub volumes: Vec<QubeVolume>,
    /// Its settings. Where its volumes are stored is not filled in yet.
    pub settings: settings::Qube,
    /// Whether it is marked for backup. One of which that cannot be read counts as marked.
    pub included: bool,
    /// Whether disposables are made from it.
    pub for_disposables: bool,
    /// What of it could not be read, one sentence each.
    pub unread: Vec<String>,
}

/// The whole system.
#[derive(Clone, Debug)]
pub struct System {
    /// Qubes by name, without dom0.
    pub qubes: BTreeMap<String, Inventory>,
    /// Pools by name.
    pub pools: BTreeMap<String, PoolInfo>,
    /// Settings of the system itself.
    pub settings: settings::System,
    /// What of the system itself could not be read, one sentence each.
    pub unread: Vec<String>,
}

/// Looks at the whole system. `release` is what the system calls itself.
///
/// A qube that is removed meanwhile is left out. What qubesd refuses is named where it is missing, and the rest is taken; that it is
/// gone is an error.
pub fn inventory(registry: &dyn QubeRegistry, release: &str) -> Result<System, RegistryError> {
    let mut qubes = BTreeMap::new();
    for row in registry.list()? {
        if row.class == QubeClass::Admin {
            continue;
        }
        match describe(registry, row) {
            Ok(qube) => drop(qubes.insert(qube.row.name.clone(), qube)),
            Err(error) if error.kind == RegistryErrorKind::NoQube => {}
            Err(error) => return Err(error),
        }
    }
    let mut unread = Unread::default();
    let mut pools = BTreeMap::new();
    for name in unread.or_nothing("pools", registry.pools())? {
        if let Some(pool) = unread.or_nothing("pools", registry.pool(&name).map(Some))? {
            pools.insert(name, pool);
        }
    }
    let globals = unread.or_nothing("properties", registry.global_properties())?;
    let settings = settings::System {
        release: release.to_owned(),
        properties: set(&globals),
        labels: unread.or_nothing("labels", registry.labels())?,
    };
    Ok(System {
        qubes,
        pools,
        settings,
        unread: unread.sentences,
    })
}

/// Looks at one qube. An error means that there is no such qube, or no qubesd; what else cannot be read is named.
pub fn describe(registry: &dyn QubeRegistry, row: QubeRow) -> Result<Inventory, RegistryError> {
    let name = row.name.as_str();
    let mut unread = Unread::default();
    let properties = unread.or_nothing("properties", registry.properties(name))?;
    let volumes = match registry.volumes(name) {
        // A RemoteVM has none, and is asked in vain.
        Err(error) if error.kind == RegistryErrorKind::Refused && is_elsewhere(&row.class) => {
            Vec::new()
        }
        volumes => unread.or_nothing("volumes", volumes)?,
    };
    let is_true = |name: &str| properties.get(name).is_some_and(|it| it.value == "True");
    let mut settings = settings::Qube {
        class: row.class.word().to_owned(),
        uuid: row.uuid.clone(),
        properties: set(&properties),
        features: unread.or_nothing("features", registry.features(name))?,
        tags: unread
            .or_nothing("tags", registry.tags(name))?
            .into_iter()
            .collect(),
        firewall: unread.or_nothing("firewall", registry.firewall(name))?,
        notes: unread
            .or_nothing("notes", registry.notes(name))?
            .unwrap_or_default(),
        volumes: volumes
            .iter()
            .map(|volume| (volume.name.clone(), saved(volume)))
            .collect(),
        devices: unread
            .or_nothing("devices", registry.assignments(name))?
            .into_iter()
            .map(device)
            .collect(),
        unread: BTreeSet::new(),
    };
    let unknown = unread.what.contains("properties");
    settings.unread = unread.what;
    Ok(Inventory {
        included: is_true("include_in_backups") || unknown,
        for_disposables: is_true("template_for_dispvms"),
        row,
        volumes,
        settings,
        unread: unread.sentences,
    })
}

fn is_elsewhere(class: &QubeClass) -> bool {
    matches!(class, QubeClass::Other(_))
}

/// What was refused.
#[derive(Default)]
struct Unread {
    what: BTreeSet<String>,
    sentences: Vec<String>,
}

impl Unread {
    /// What was answered; nothing, and a note of it, where the answer is that there is none.
    fn or_nothing<T: Default>(
        &mut self,
        what: &str,
        answer: Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        use RegistryErrorKind::{NoQube, TimedOut, Unreachable};
        match answer {
            Err(error) if !matches!(error.kind, NoQube | TimedOut | Unreachable) => {
                self.what.insert(what.to_owned());
                self.sentences.push(error.to_string());
                Ok(T::default())
            }
            answer => answer,
        }
    }
}

/// What somebody set: a default that changes with the release must not be written down as a wish.
fn set(properties: &Properties) -> BTreeMap<String, String> {
    let set = properties
        .iter()
        .filter(|(name, property)| !property.is_default && name.as_str() != BACKED_UP);
    set.map(|(name, property)| (name.clone(), property.value.clone()))
        .collect()
}

fn saved(volume: &QubeVolume) -> settings::Volume {
    settings::Volume {
        pool: volume.pool.clone(),
        size: volume.size,
        revisions: volume.revisions,
        stored_as: String::new(),
    }
}

fn device(assignment: Assignment) -> settings::Device {
    let Assignment {
        class,
        backend,
        port,
        device,
        mode,
        options,
    } = assignment;
    settings::Device {
        class,
        backend,
        port,
        id: device,
        mode,
        options,
    }
}
