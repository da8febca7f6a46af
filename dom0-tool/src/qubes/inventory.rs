//! What there is and how it is set, taken from the registry.

use std::collections::BTreeMap;

use nacre_core::settings;

use crate::joints::qubes::{
    Assignment, PoolInfo, Properties, QubeClass, QubeRegistry, QubeRow, QubeVolume, RegistryError,
    RegistryErrorKind,
};

/// A qube with everything that decides about its backup.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// Name, class, state.
    pub row: QubeRow,
    /// Its volumes.
    pub volumes: Vec<QubeVolume>,
    /// Its settings. Where its volumes are stored is not filled in yet.
    pub settings: settings::Qube,
    /// Whether it is marked for backup.
    pub included: bool,
    /// Whether disposables are made from it.
    pub for_disposables: bool,
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
}

/// Looks at the whole system. `release` is what the system calls itself.
///
/// A qube that is removed meanwhile is left out.
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
    let mut pools = BTreeMap::new();
    for name in registry.pools()? {
        let pool = registry.pool(&name)?;
        pools.insert(name, pool);
    }
    Ok(System {
        qubes,
        pools,
        settings: settings::System {
            release: release.to_owned(),
            properties: set(&registry.global_properties()?),
            labels: registry.labels()?,
        },
    })
}

/// Looks at one qube.
pub fn describe(registry: &dyn QubeRegistry, row: QubeRow) -> Result<Inventory, RegistryError> {
    let name = row.name.as_str();
    let properties = registry.properties(name)?;
    let volumes = match registry.volumes(name) {
        Ok(volumes) => volumes,
        // A RemoteVM has none.
        Err(error) if error.kind == RegistryErrorKind::Refused => Vec::new(),
        Err(error) => return Err(error),
    };
    let is_true = |name: &str| properties.get(name).is_some_and(|it| it.value == "True");
    let settings = settings::Qube {
        class: row.class.word().to_owned(),
        uuid: row.uuid.clone(),
        properties: set(&properties),
        features: registry.features(name)?,
        tags: registry.tags(name)?.into_iter().collect(),
        firewall: registry.firewall(name)?,
        notes: registry.notes(name)?.unwrap_or_default(),
        volumes: volumes
            .iter()
            .map(|volume| (volume.name.clone(), saved(volume)))
            .collect(),
        devices: registry
            .assignments(name)?
            .into_iter()
            .map(device)
            .collect(),
    };
    Ok(Inventory {
        included: is_true("include_in_backups"),
        for_disposables: is_true("template_for_dispvms"),
        row,
        volumes,
        settings,
    })
}

/// What somebody set: a default that changes with the release must not be written down as a wish.
fn set(properties: &Properties) -> BTreeMap<String, String> {
    let set = properties
        .iter()
        .filter(|(_, property)| !property.is_default);
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
