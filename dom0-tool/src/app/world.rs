//! The real world behind the joints: clock, randomness, signals, dom0's files, the terminal.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nacre_core::freshness::Anchor;
use nacre_core::ids::ArchiveId;
use nacre_core::keys::Secret;

use super::reached::AllReached;
use super::retrying::Tries;
use crate::archive::{EntropySource, Error, Memory, Result, parse_id};
use crate::cli::{Common, Verbosity};
use crate::clock::SystemClock;
use crate::joints::{self, Clock, Entropy, Level, Moment, Monitor, StateDir};
use crate::report;
use crate::state::{self, Directory};
use crate::unlock::Prompt;

/// The folder of the archives that were forgotten: for each an empty file with its name.
const FORGOTTEN: &str = "forgotten";

/// Everything that a command may touch besides its archive.
pub struct World<'a> {
    /// What most commands need from the command line.
    pub common: &'a Common,
    /// Where questions go.
    pub prompt: Prompt,
    /// What was reached so far.
    pub reached: Arc<AllReached>,
    monitor: Arc<dyn Monitor>,
    clock: SystemClock,
    stop: Arc<AtomicBool>,
    /// What is kept of the target while the command runs.
    met: Mutex<Met>,
}

/// What is kept of a target that was reached.
#[derive(Default)]
pub struct Met {
    /// The archive's key: it may have to be opened anew, and nobody is asked twice in one run.
    pub master: Option<Secret>,
    /// What opened it, as somebody typed it: who wraps a new master in it need not ask again.
    pub typed: Option<joints::Secret>,
    /// Whether it was said what its store cannot promise.
    pub warned: bool,
}

struct Kernel;

impl Entropy for Kernel {
    fn fill(&mut self, buffer: &mut [u8]) {
        // The kernel's generator fails only where there is none at all; nothing may be sealed without it.
        if getrandom::fill(buffer).is_err() {
            std::process::abort();
        }
    }
}

/// Randomness for every thread that wants some.
pub fn entropy() -> EntropySource {
    Arc::new(|| Box::new(Kernel) as Box<dyn Entropy>)
}

impl<'a> World<'a> {
    /// Sets it up: from here on Ctrl-C stops the work in order; a second one ends it at once.
    pub fn new(common: &'a Common) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // In this order: the first signal finds the flag unset and sets it; the second finds it set.
            signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
                .map_err(|error| Error::State(format!("signals cannot be handled: {error}")))?;
        }
        let least = match common.verbosity {
            Verbosity::Quiet => Level::Warning,
            Verbosity::Normal => Level::Note,
            Verbosity::Verbose => Level::Detail,
            Verbosity::Debug => Level::Debug,
        };
        Ok(Self {
            common,
            prompt: Prompt {
                passcmd: common.passcmd.clone(),
                unattended: common.unattended,
            },
            reached: Arc::default(),
            monitor: report::monitor(common.json, least).into(),
            clock: SystemClock::new(),
            stop,
            met: Mutex::default(),
        })
    }

    /// The same world with another target.
    pub fn beside(&self, common: &'a Common) -> Self {
        Self {
            common,
            prompt: Prompt {
                passcmd: common.passcmd.clone(),
                unattended: common.unattended,
            },
            reached: Arc::default(),
            monitor: Arc::clone(&self.monitor),
            clock: self.clock.clone(),
            stop: Arc::clone(&self.stop),
            met: Mutex::default(),
        }
    }

    /// What is kept of the target.
    pub fn met(&self) -> MutexGuard<'_, Met> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What of this is needed to reach a target again.
    pub fn ground(&self) -> Ground {
        Ground {
            monitor: Arc::clone(&self.monitor),
            stop: Arc::clone(&self.stop),
            base: self.base(),
        }
    }

    /// How often a broken connection is made anew.
    pub fn tries(&self) -> Tries {
        let (monitor, stop) = (Arc::clone(&self.monitor), Arc::clone(&self.stop));
        Tries::new(self.common.retry, monitor, stop)
    }

    /// Who watches.
    pub fn monitor(&self) -> &dyn Monitor {
        self.monitor.as_ref()
    }

    /// The time.
    pub fn clock(&self) -> &dyn Clock {
        &self.clock
    }

    /// Set when the user wants it to stop.
    pub fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    /// A link that is not made anew because the user wants to stop is no failure of the link.
    pub fn ended(&self, error: Error) -> Error {
        match &error {
            Error::Store(store)
                if store.kind.is_broken_link() && self.stop.load(Ordering::Relaxed) =>
            {
                Error::Interrupted
            }
            _ => error,
        }
    }

    /// Number of workers.
    pub fn threads(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.common
            .threads
            .map_or_else(all, |threads| usize::from(threads.get()))
    }

    /// dom0's memory of an archive.
    pub fn memory_of(&self, archive: ArchiveId) -> Result<Arc<dyn StateDir>> {
        let folder = state::folder(self.common.meta_dir.clone(), archive);
        Ok(Arc::new(Directory::create(&folder)?))
    }

    /// What dom0 remembers of all archives but one. A memory that cannot be read will be told of when its own archive is opened.
    pub fn anchors_beside(&self, archive: ArchiveId) -> Vec<Anchor> {
        let names = std::fs::read_dir(self.base())
            .into_iter()
            .flatten()
            .flatten();
        let folders = names.filter(|entry| {
            let name = entry.file_name();
            let is_id = |name: &str| name.len() == 32 && name != archive.to_string();
            name.to_str().is_some_and(is_id)
        });
        folders
            .filter_map(|entry| Directory::open(&entry.path()).ok().flatten())
            .filter_map(|folder| Memory::new(Arc::new(folder)).anchor().ok().flatten())
            .filter(|anchor| anchor.archive != archive)
            .collect()
    }

    /// Forgets archives: of each the whole memory. Other archives' heads bear witness of them no longer, until one is seen again.
    pub fn forget(&self, archives: &BTreeSet<ArchiveId>) -> Result<()> {
        let forgotten = self.folder(FORGOTTEN)?;
        for id in archives {
            forgotten.replace(&id.to_string(), b"")?;
            let folder = state::folder(self.common.meta_dir.clone(), *id);
            if let Some(folder) = Directory::open(&folder)? {
                folder.remove_whole()?;
            }
        }
        Ok(())
    }

    /// The archives that were forgotten and not seen since.
    pub fn forgotten(&self) -> Result<BTreeSet<ArchiveId>> {
        let Some(forgotten) = Directory::open(&self.base().join(FORGOTTEN))? else {
            return Ok(BTreeSet::new());
        };
        let names = forgotten.list()?;
        Ok(names.iter().filter_map(|name| parse_id(name)).collect())
    }

    /// One that is seen is not forgotten.
    pub fn remembers(&self, archive: ArchiveId) -> Result<()> {
        if self.forgotten()?.contains(&archive) {
            self.folder(FORGOTTEN)?.remove(&archive.to_string())?;
        }
        Ok(())
    }

    /// dom0's memory of targets.
    pub fn targets(&self) -> Result<Directory> {
        self.folder("targets")
    }

    /// What dom0 remembers of how things stand.
    pub fn statuses(&self) -> Result<Directory> {
        self.folder("status")
    }

    fn base(&self) -> PathBuf {
        let base = self.common.meta_dir.clone();
        base.unwrap_or_else(|| PathBuf::from(state::DEFAULT_BASE))
    }

    /// Which qubes a restore is about to make.
    pub fn begun(&self) -> Result<Directory> {
        self.folder("restoring")
    }

    /// Where it is kept who looks into a qube's past.
    pub fn browsing(&self) -> Result<PathBuf> {
        self.folder("browsing")?;
        Ok(self.base().join("browsing"))
    }

    fn folder(&self, name: &str) -> Result<Directory> {
        Ok(Directory::create(&self.base().join(name))?)
    }
}

/// What reaching a target takes of the world. Nothing of it is borrowed: a store that broke off is reached again by whoever needs it then.
pub struct Ground {
    monitor: Arc<dyn Monitor>,
    stop: Arc<AtomicBool>,
    base: PathBuf,
}

impl Ground {
    /// Who watches.
    pub fn monitor(&self) -> &dyn Monitor {
        self.monitor.as_ref()
    }

    /// Set when the user wants it to stop.
    pub fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    /// Where runs meet that use the same qube.
    pub fn leases(&self) -> Result<Directory> {
        Ok(Directory::create(&self.base.join("qubes"))?)
    }

    /// What tells disks from others, by the UUID of the file system on them.
    pub fn disks(&self) -> Result<Directory> {
        Ok(Directory::create(&self.base.join("disks"))?)
    }
}

/// A moment in local time, in the form of session names.
pub fn civil(world: &World<'_>, seconds: i64) -> String {
    let moment = Moment { seconds, nanos: 0 };
    world.clock().civil(moment).name
}
