//! The backup qube of a run: started if it is halted, given the disk that holds the archive, and put away by the last run that uses it.
//!
//! All that is said here to qubesd concerns the qube that the target names and one block device; what is on a disk is never looked at
//! in dom0. Which device holds the file system is known from the user, from the last time, or because there is only one.

mod attach;
mod choose;
mod power;
mod record;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::joints::Monitor;
use crate::joints::qubes::{BlockDevice, QubeRegistry, RegistryError};
use crate::state::Lease;

pub use choose::{Choice, Port, Wanted};
use record::Record;

/// How long a qube may take from one state to the next.
const SETTLING: Duration = Duration::from_secs(90);
/// How often it is looked whether it has.
const LOOKING: Duration = Duration::from_millis(300);

/// What stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// What and where, and what to do.
    Told {
        /// One sentence.
        sentence: String,
        /// The next.
        remedy: String,
    },
    /// The user stopped it.
    Interrupted,
}

impl Trouble {
    fn told(sentence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Told {
            sentence: sentence.into(),
            remedy: remedy.into(),
        }
    }
}

/// qubesd refused something that nobody expected it to refuse.
impl From<RegistryError> for Trouble {
    fn from(error: RegistryError) -> Self {
        Self::told(error.to_string(), "")
    }
}

/// Who watches, and who may stop it.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// Who watches.
    pub monitor: &'a dyn Monitor,
    /// Set when the user wants it to stop.
    pub stop: &'a AtomicBool,
}

/// A qube that this run uses.
///
/// Runs that use the same qube at the same time share a lease. What they did to it (started, attached a disk) is written beside that,
/// with the qube's start time, and undone by the last one that leaves: also what a run did that was killed. A qube that
/// was started anew since then is nobody's but its user's.
pub struct BackupQube {
    registry: Arc<dyn QubeRegistry>,
    name: String,
    lease: Lease,
    /// The disk that this run attached.
    disk: Option<BlockDevice>,
    settling: Duration,
}

impl BackupQube {
    /// Takes part in the use of a qube. `leases`: the folder in which runs of this machine meet.
    pub fn join(
        registry: Arc<dyn QubeRegistry>,
        name: &str,
        leases: &Path,
    ) -> Result<Self, Trouble> {
        let lease = Lease::take(&leases.join(name))
            .map_err(|error| Trouble::told(error.to_string(), ""))?;
        Ok(Self {
            registry,
            name: name.to_owned(),
            lease,
            disk: None,
            settling: SETTLING,
        })
    }

    /// The same with another patience.
    #[must_use]
    pub fn with_patience(self, settling: Duration) -> Self {
        Self { settling, ..self }
    }

    /// What runs did to the qube since it was last started. Where qubesd does not say when that was, nothing is anybody's.
    fn record(&self) -> Result<Record, Trouble> {
        let since = self.started_at()?;
        let text = self.lease.record();
        let text = text.map_err(|error| Trouble::told(error.to_string(), ""))?;
        Ok(Record::parse(&text).of_start(&since))
    }

    fn change_record(&self, change: impl FnOnce(&mut Record)) -> Result<(), Trouble> {
        let since = self.started_at()?;
        let changed = self.lease.change(|text| {
            let mut record = Record::parse(text).of_start(&since);
            change(&mut record);
            record.to_string()
        });
        changed.map_err(|error| Trouble::told(error.to_string(), ""))
    }

    /// When the qube was started, in qubesd's words: only compared.
    fn started_at(&self) -> Result<String, RegistryError> {
        let mut properties = self.registry.properties(&self.name)?;
        let started = properties.remove("start_time");
        Ok(started.map_or_else(String::new, |property| property.value))
    }
}
