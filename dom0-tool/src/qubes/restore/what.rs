//! What is wanted, what the archive has, what is here.

use std::collections::{BTreeMap, BTreeSet};

use nacre_core::settings;

use crate::joints::qubes::{NewQube, QubeRegistry, RegistryError};
use crate::qubes::inventory::{System, inventory};

/// Keeps a qube from starting as long as it has this tag (qubes.ext.backup_restore); `qvm-backup-restore` sets it too.
pub const MARK: &str = "backup-restore-in-progress";
/// Says that the mark is ours: such a qube is what a restore of ours left, and may be gone on with.
pub const OURS: &str = "nacre-restore";

/// Which part of a qube is restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum What {
    /// Volumes and settings.
    #[default]
    Both,
    /// Settings; the volumes of a new qube are empty.
    Settings,
    /// Volumes of a qube that is here.
    Data,
}

/// What the user asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Qubes by name. Empty with `all`.
    pub named: Vec<String>,
    /// Every qube of which the archive has the content, and what these need.
    pub all: bool,
    /// What the one named qube is to be called here.
    pub rename: Option<String>,
    /// The pool of new qubes' volumes.
    pub pool: Option<String>,
    /// Volumes, settings, or both.
    pub what: What,
    /// Properties with another value than the archive's; `None`: left as the system gives it.
    pub prefs: BTreeMap<String, Option<String>>,
    /// Without what widens a qube's access.
    pub paranoid: bool,
}

/// A volume's content in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The name of the volume there.
    pub volume: String,
    /// The session it is taken from.
    pub session: String,
    /// Bytes.
    pub size: u64,
    /// Whether that session was cut short, so that what was not sent of it is older or zeros.
    pub unfinished: bool,
}

/// A qube as the archive has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedQube {
    /// Its settings.
    pub settings: settings::Qube,
    /// The session of the settings.
    pub session: String,
    /// The content of its volumes, as far as the archive has it.
    pub contents: BTreeMap<String, Content>,
    /// Volumes that were renamed in the archive so often that it is not known any more which ones there they were.
    pub unknown: BTreeSet<String>,
}

impl SavedQube {
    /// Why the archive gives no content of a volume, where that is not simply because it has none.
    pub fn why_unknown(&self, volume: &str) -> Option<String> {
        self.unknown.contains(volume).then(|| {
            format!(
                "it was renamed in the archive since session {}, and which one it was is not known any more; `nacre list` shows the volumes, `nacre receive` restores one by its name of today",
                self.session
            )
        })
    }
}

/// What the archive has.
#[derive(Clone, Debug, Default)]
pub struct Saved {
    /// Qubes by the names they had.
    pub qubes: BTreeMap<String, SavedQube>,
    /// The system they were on.
    pub system: settings::System,
}

/// What was written down of a qube before a restore began with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted {
    /// It was to be made, and is not known to have got its marks.
    pub unmarked: bool,
    /// Which part of it is not whole.
    pub what: What,
}

/// What is here.
#[derive(Clone, Debug)]
pub struct Present {
    /// Qubes, pools, labels.
    pub system: System,
    /// Properties of the system with their values, set or not.
    pub globals: BTreeMap<String, String>,
    /// What restores of ours that were cut short had begun, by the names of the qubes.
    pub begun: BTreeMap<String, Noted>,
}

impl Present {
    /// Looks at the whole system.
    pub fn read(registry: &dyn QubeRegistry) -> Result<Self, RegistryError> {
        let globals = registry.global_properties()?.into_iter();
        Ok(Self {
            system: inventory(registry, "")?,
            globals: globals.map(|(name, it)| (name, it.value)).collect(),
            begun: BTreeMap::new(),
        })
    }

    /// Whether there is a qube of this name; dom0 is one.
    pub fn has(&self, name: &str) -> bool {
        name == "dom0" || self.system.qubes.contains_key(name)
    }

    /// Whether this is R4.2, which tells no uuids. A system without qubes counts as newer.
    pub fn is_older_release(&self) -> bool {
        let mut rows = self.system.qubes.values();
        !self.system.qubes.is_empty() && rows.all(|qube| qube.row.uuid.is_none())
    }
}

/// Why a qube is in the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The user asked for it.
    Asked,
    /// This other one needs it.
    NeededBy(String),
}

/// How a qube comes to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// It is made.
    Create(NewQube),
    /// It is here and is overwritten.
    Overwrite,
    /// A restore of ours left it unfinished.
    GoOn,
}

/// Why a setting is not restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The user did not want it.
    Asked,
    /// It cannot be.
    Cannot,
}

/// A setting that is not restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Which: `property netvm`.
    pub what: String,
    /// Why, and what to do where there is something to do.
    pub why: String,
    /// Whether that was wanted.
    pub reason: Reason,
}

impl LeftOut {
    /// Something that cannot be restored.
    pub fn cannot(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            why: why.into(),
            reason: Reason::Cannot,
        }
    }

    /// Something that was not wanted.
    pub fn asked(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            why: why.into(),
            reason: Reason::Asked,
        }
    }
}
