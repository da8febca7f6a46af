//! A volume of a pool at one point in time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::command::lvm;
use super::identity::Identity;
use super::listing::{Listing, Volume};
use super::metadata::{Difference, Metadata};
use super::names::OurName;
use super::run_file::RunFile;
use super::thin::{DeviceReader, Thin};
use crate::joints::{
    Changes, FrozenVolume, Ranges, SourceError, SourceErrorKind, VolumeNames, VolumeRange,
};
use crate::source::{Links, PlainVolume};

/// A thin snapshot, and what it was compared with.
pub struct LvmVolume {
    thin: Arc<Thin>,
    links: Links,
    names: VolumeNames,
    /// The snapshot's name.
    snapshot: String,
    identity: Identity,
    /// What was in the pool when the snapshot had just been made.
    listing: Arc<Listing>,
    /// Active from the first read on.
    content: Mutex<Option<Active>>,
    before: Mutex<Before>,
    data: Mutex<Data>,
    stays: bool,
    /// As long as somebody else has one too, older snapshots stay.
    lease: RunFile,
}

/// The snapshot that the last session was read from.
enum Before {
    Unknown,
    /// Its name and size.
    Found(String, u64),
    Opened(Active, u64),
}

/// What is known of holes.
enum Data {
    Unknown,
    /// Within the first set, only the second holds data.
    Within(Ranges, Ranges),
    /// Only this holds data.
    Only(Ranges),
}

impl LvmVolume {
    pub fn new(
        thin: &Arc<Thin>,
        links: &Links,
        names: VolumeNames,
        snapshot: &Volume,
        identity: Identity,
        listing: &Arc<Listing>,
        lease: RunFile,
    ) -> Self {
        Self {
            thin: Arc::clone(thin),
            links: links.clone(),
            names,
            snapshot: snapshot.name.clone(),
            identity,
            listing: Arc::clone(listing),
            content: Mutex::new(None),
            before: Mutex::new(Before::Unknown),
            data: Mutex::new(Data::Unknown),
            stays: false,
            lease,
        }
    }

    /// Its identity.
    pub fn own_identity(&self) -> &Identity {
        &self.identity
    }

    /// This archive's other snapshots of the volume, new ones first.
    pub fn others(&self) -> Vec<&Volume> {
        let archive = OurName::parse(&self.snapshot).map_or("", |name| name.archive);
        let found = self.listing.snapshots(archive, Some(&self.names.local));
        let others = found.into_iter().rev().map(|(.., volume)| volume);
        others
            .filter(|volume| volume.name != self.snapshot)
            .collect()
    }

    /// What changed since another snapshot of the pool, what of that holds data, and the other one's identity. The inner error says why the other
    /// cannot be trusted.
    pub fn compare(
        &self,
        metadata: &Metadata<DeviceReader>,
        other: &Volume,
    ) -> Result<Result<Compared, String>, SourceError> {
        let Some(thin_id) = other.thin_id() else {
            return Ok(Err(format!("{} is no thin volume", other.name)));
        };
        let gone = || Ok(Err(format!("the snapshot {} is gone", other.name)));
        let Some(old) = metadata.device(thin_id)? else {
            return gone();
        };
        let Some(new) = metadata.device(self.identity.thin_id)? else {
            return gone();
        };
        let identity = Identity::of(&self.thin.uuid, other, thin_id, &old);
        Ok(match metadata.difference(&old, &new)? {
            Difference::OldWasWritten => {
                Err(format!("somebody wrote to the snapshot {}", other.name))
            }
            Difference::Ranges { changed, data } => {
                let resized = Ranges::of_resize(other.size(), self.identity.size);
                Ok(Compared {
                    identity,
                    changed: changed.union(&resized).clip(self.identity.size),
                    // Data block by data block, so that what resizing adds has to be looked up.
                    known: data
                        .map(|data| (changed, data))
                        .filter(|_| resized.is_empty()),
                })
            }
        })
    }

    /// Keeps this snapshot, and removes the archive's older ones of the volume unless somebody else reads one.
    pub fn replace_older(&mut self) -> Result<(), SourceError> {
        self.stays = true;
        *self.before() = Before::Unknown;
        let older = self.others();
        let paths: Vec<String> = older.iter().map(|old| self.thin.path(&old.name)).collect();
        // A command without the archive's lock (`diff`) may read one of them; the next commit removes it.
        let removed = self.lease.alone(|| remove(&self.thin, &paths));
        removed.unwrap_or(Ok(()))
    }

    fn content(&self) -> MutexGuard<'_, Option<Active>> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn before(&self) -> MutexGuard<'_, Before> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for the snapshot with that identity, or for one to which links lead from it.
    fn find(&self, wanted: &[u8]) -> Result<Result<Found, String>, SourceError> {
        let Some(asked) = Identity::parse(wanted) else {
            return Ok(Err(
                "the last session was read from other storage".to_owned()
            ));
        };
        if asked.pool != self.thin.uuid {
            return Ok(Err(
                "the last session was read from another thin pool".to_owned()
            ));
        }
        let others = self.others();
        let mut why = if others.is_empty() {
            "the snapshot of the last session is not here any more".to_owned()
        } else {
            "the snapshots that are here are not the one of the last session".to_owned()
        };
        if others.is_empty() {
            return Ok(Err(why));
        }
        self.thin.with_metadata(|metadata| {
            for other in others {
                let compared = match self.compare(metadata, other)? {
                    Ok(compared) => compared,
                    Err(reason) => {
                        why = reason;
                        continue;
                    }
                };
                if compared.identity == asked {
                    let name = Some((other.name.clone(), other.size()));
                    return Ok(Ok(Found { name, compared }));
                }
                if compared.identity.thin_id == asked.thin_id
                    && compared.identity.transaction == asked.transaction
                {
                    why = format!("somebody changed the snapshot {}", other.name);
                    continue;
                }
                let here = compared.identity.encode();
                let Some(ranges) = self.links.between(&self.names.local, wanted, &here)? else {
                    continue;
                };
                let size = self.identity.size;
                let resized = Ranges::of_resize(asked.size, size);
                let changed = compared.changed.union(&Ranges::of(&ranges)).union(&resized);
                let compared = Compared {
                    changed: changed.clip(size),
                    known: None,
                    ..compared
                };
                return Ok(Ok(Found {
                    name: None,
                    compared,
                }));
            }
            Ok(Err(why))
        })
    }

    /// Reads the whole map of what holds data.
    fn look_for_data(&self) -> Result<Ranges, SourceError> {
        self.thin.with_metadata(|metadata| {
            let device = metadata.device(self.identity.thin_id)?.ok_or_else(|| {
                let detail = "the snapshot was removed while it was being read";
                SourceError::new(SourceErrorKind::NotFound, self.snapshot(), detail)
            })?;
            Ok(metadata.mapped(&device)?.clip(self.identity.size))
        })
    }
}

/// How the volume differs from an older snapshot.
pub struct Compared {
    /// The older one's.
    pub identity: Identity,
    /// What may differ.
    pub changed: Ranges,
    /// What differs by the mappings, and what of that holds data; not known after a resize.
    known: Option<(Ranges, Ranges)>,
}

struct Found {
    /// Name and size of the snapshot with exactly the identity that was asked for.
    name: Option<(String, u64)>,
    compared: Compared,
}

impl FrozenVolume for LvmVolume {
    fn name(&self) -> &str {
        &self.names.archive
    }

    fn size(&self) -> u64 {
        self.identity.size
    }

    fn identity(&self) -> Vec<u8> {
        self.identity.encode()
    }

    fn changes_since(&self, identity: &[u8]) -> Result<Changes, SourceError> {
        *self.before() = Before::Unknown;
        let found = match self.find(identity)? {
            Ok(found) => found,
            Err(why) => return Ok(Changes::Everything(why)),
        };
        if let Some((name, size)) = found.name {
            *self.before() = Before::Found(name, size);
        }
        let mut data = self.data();
        if let (Data::Unknown | Data::Within(..), Some((changed, mapped))) =
            (&*data, found.compared.known)
        {
            *data = Data::Within(changed, mapped);
        }
        Ok(Changes::Ranges(found.compared.changed.into_vec()))
    }

    fn read_before(&self, offset: u64, buffer: &mut [u8]) -> Result<bool, SourceError> {
        let mut before = self.before();
        if let Before::Found(name, size) = &*before {
            let opened = Active::open(&self.thin, name)?;
            *before = Before::Opened(opened, *size);
        }
        let Before::Opened(active, size) = &*before else {
            return Ok(false);
        };
        if offset >= *size {
            buffer.fill(0);
            return Ok(true);
        }
        active.volume()?.read_at(offset, buffer)?;
        Ok(true)
    }

    fn next_data(&self, from: u64) -> Result<Option<VolumeRange>, SourceError> {
        let size = self.identity.size;
        let mut data = self.data();
        if let Data::Within(changed, mapped) = &*data
            && let Some(inside) = at_or_after(changed, from).filter(|range| range.start <= from)
        {
            let next = at_or_after(mapped, from).filter(|range| range.start < inside.end);
            let end = inside.end.min(size);
            let found = next.map_or(
                // Behind this change nothing is known: a byte of data stands there, and whoever goes on asks again.
                VolumeRange {
                    start: end,
                    end: size.min(end + 1),
                },
                |range| VolumeRange {
                    start: range.start.max(from),
                    end: range.end.min(end),
                },
            );
            return Ok((found.start < found.end).then_some(found));
        }
        if !matches!(*data, Data::Only(_)) {
            *data = Data::Only(self.look_for_data()?);
        }
        let Data::Only(mapped) = &*data else {
            return Ok(None);
        };
        Ok(at_or_after(mapped, from).map(|range| VolumeRange {
            start: range.start.max(from),
            end: range.end,
        }))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), SourceError> {
        let mut content = self.content();
        if content.is_none() {
            *content = Some(Active::open(&self.thin, &self.snapshot)?);
        }
        let volume = content
            .as_ref()
            .map(Active::volume)
            .transpose()?
            .map(Arc::clone);
        // Reads run side by side.
        drop(content);
        volume.map_or(Ok(()), |volume| volume.read_at(offset, buffer))
    }

    fn snapshot(&self) -> String {
        self.thin.path(&self.snapshot)
    }

    /// The older snapshots go first, then the links. A crash between leaves links that lead nowhere.
    fn committed(&mut self) -> Result<(), SourceError> {
        self.replace_older()?;
        self.links.forget(&self.names.local)
    }
}

impl Drop for LvmVolume {
    fn drop(&mut self) {
        *self.before() = Before::Unknown;
        *self.content() = None;
        if !self.stays {
            // What cannot be removed now is found by the next run that commits.
            let _ = remove(&self.thin, &[self.snapshot()]);
        }
    }
}

/// Removes volumes in one command; those that are gone already are no error.
pub fn remove(thin: &Thin, paths: &[String]) -> Result<(), SourceError> {
    if paths.is_empty() {
        return Ok(());
    }
    let mut arguments = vec!["--force"];
    arguments.extend(paths.iter().map(String::as_str));
    let removed = lvm(&thin.place(), "lvremove", &arguments);
    if removed.is_ok() {
        return Ok(());
    }
    let listing = Listing::read(&thin.group, &thin.pool)?;
    let there = |path: &&String| {
        let name = path.rsplit_once('/').map_or("", |(_, name)| name);
        listing.volume(name).is_some()
    };
    if paths.iter().any(|path| there(&path)) {
        return removed;
    }
    Ok(())
}

/// The first range that ends behind `from`.
fn at_or_after(ranges: &Ranges, from: u64) -> Option<VolumeRange> {
    let ranges = ranges.as_slice();
    let at = ranges.partition_point(|range| range.end <= from);
    ranges.get(at).copied()
}

/// A snapshot that is active while it is read.
struct Active {
    thin: Arc<Thin>,
    name: String,
    volume: Option<Arc<PlainVolume>>,
}

impl Active {
    fn open(thin: &Arc<Thin>, name: &str) -> Result<Self, SourceError> {
        let path = thin.path(name);
        let on = ["--activate", "y", "--ignoreactivationskip", &path];
        lvm(&path, "lvchange", &on)?;
        let mut active = Self {
            thin: Arc::clone(thin),
            name: name.to_owned(),
            volume: None,
        };
        active.volume = Some(Arc::new(PlainVolume::open(name, &thin.device(name))?));
        Ok(active)
    }

    fn volume(&self) -> Result<&Arc<PlainVolume>, SourceError> {
        self.volume.as_ref().ok_or_else(|| {
            SourceError::new(SourceErrorKind::NotFound, self.name.clone(), "not active")
        })
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.volume = None;
        let path = self.thin.path(&self.name);
        // One that stays active costs nothing but a device.
        let _ = lvm(&path, "lvchange", &["--activate", "n", &path]);
    }
}
