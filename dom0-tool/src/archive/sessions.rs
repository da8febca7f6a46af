//! The sessions of an archive, and which of them the user means.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use nacre_core::head::Volume;
use nacre_core::ids::{SessionSeq, VolumeId};
use nacre_core::place::TreeKind;
use nacre_core::session::{Session, SessionTime, SessionVolume, Tag};
use nacre_core::session_name::SessionName;
use nacre_core::tree::RecordTree;

use super::commit::SessionChanges;
use super::nodes::Nodes;
use super::session_cache::SessionCache;
use super::{Archive, Error, Result};
use crate::joints::Clock;

/// All sessions, by number.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    all: Arc<BTreeMap<SessionSeq, Session>>,
}

/// Numbers of records that cannot be read, and why.
pub type LostRecords = Vec<(Range<u64>, Error)>;

/// Which session is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The newest finished one that has the volume; an unfinished one only if there is no other.
    Newest,
    /// That of this name.
    Named(SessionName),
    /// The last one with this tag.
    Tagged(String),
}

impl Sessions {
    pub(super) fn read(archive: &Archive) -> Result<Self> {
        let tree = RecordTree {
            tree: TreeKind::Sessions,
            root: archive.head().sessions,
        };
        let mut all = BTreeMap::new();
        let nodes = archive.nodes();
        let mut source = SessionCache::load(&nodes, archive.memory());
        tree.each(&mut source, 0..u64::MAX, |seq, bytes| {
            let session =
                Session::parse(&bytes).map_err(Error::damaged(format!("session {seq}")))?;
            all.insert(SessionSeq(seq), session);
            Ok(())
        })?;
        source.save();
        Ok(Self { all: Arc::new(all) })
    }

    /// The sessions after a commit.
    pub(super) fn change(&mut self, changes: SessionChanges) {
        let all = Arc::make_mut(&mut self.all);
        for (seq, session) in changes {
            match session {
                Some(session) => all.insert(seq, session),
                None => all.remove(&seq),
            };
        }
    }

    /// Those that can be read, and the numbers and reasons of those that cannot.
    pub(super) fn read_tolerant(archive: &Archive) -> Result<(Self, LostRecords)> {
        let tree = RecordTree {
            tree: TreeKind::Sessions,
            root: archive.head().sessions,
        };
        let mut all = BTreeMap::new();
        let mut broken = Vec::new();
        let mut lost = Vec::new();
        let nodes = archive.nodes();
        let mut source: &Nodes = &nodes;
        let known = 0..archive.head().next.session.0;
        tree.each_tolerant(
            &mut source,
            known,
            &mut lost,
            |seq, bytes| match Session::parse(&bytes)
                .map_err(Error::damaged(format!("session {seq}")))
            {
                Ok(session) => {
                    all.insert(SessionSeq(seq), session);
                }
                Err(error) => broken.push((seq..seq.saturating_add(1), error)),
            },
        );
        lost.extend(broken);
        match lost.iter().find(|(_, error)| !error.is_damage()) {
            Some((_, error)) => Err(error.clone()),
            None => Ok((Self { all: Arc::new(all) }, lost)),
        }
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (SessionSeq, &Session)> {
        self.all.iter().map(|(seq, session)| (*seq, session))
    }

    /// One by number.
    pub fn get(&self, seq: SessionSeq) -> Option<&Session> {
        self.all.get(&seq)
    }

    /// The newest name there is.
    pub fn newest_name(&self) -> Option<SessionName> {
        self.all.values().map(|session| session.name).max()
    }

    /// Sessions that have a volume, oldest first.
    pub fn of_volume(
        &self,
        volume: VolumeId,
    ) -> impl DoubleEndedIterator<Item = (SessionSeq, &Session, &SessionVolume)> {
        self.iter()
            .filter_map(move |(seq, session)| Some((seq, session, session.volume(volume)?)))
    }

    /// The session of a volume that is meant. `strict`: exactly the named one; otherwise the next older that has the volume.
    pub fn choose(
        &self,
        volume: VolumeId,
        wish: &Wish,
        strict: bool,
    ) -> Option<(&Session, &SessionVolume)> {
        let mut of_volume = self.of_volume(volume).map(|(_, s, v)| (s, v));
        match wish {
            Wish::Newest => {
                let finished = self.of_volume(volume).rfind(|(_, s, _)| !s.unfinished);
                finished
                    .map(|(_, s, v)| (s, v))
                    .or_else(|| of_volume.next_back())
            }
            Wish::Named(name) if strict => of_volume.find(|(s, _)| s.name == *name),
            Wish::Named(name) => of_volume.rfind(|(s, _)| s.name <= *name),
            Wish::Tagged(tag) => of_volume.rfind(|(s, _)| s.has_tag(tag)),
        }
    }

    /// The last finished session of a volume that was read from a local snapshot, and that snapshot's identity.
    ///
    /// If the newest session is an unfinished one, the head keeps them beside it, because of an unfinished session no snapshot may be trusted:
    /// parts of it are older. The session must still be there, since what the snapshot held is known by its tree only.
    pub fn snapshot_of<'a>(
        &'a self,
        volume: &'a Volume,
    ) -> Option<(SessionSeq, &'a SessionVolume, &'a [u8])> {
        let newest = volume.newest?;
        let (seq, identity) = if self.get(newest)?.unfinished {
            volume.finished()?
        } else {
            (newest, volume.snapshot())
        };
        let session = self.get(seq).filter(|session| !session.unfinished)?;
        let at = session.volume(volume.id)?;
        (!identity.is_empty()).then_some((seq, at, identity))
    }

    /// A session that begins now, with a name greater than every other.
    pub fn begin(&self, clock: &dyn Clock, tags: Vec<Tag>) -> Result<Session> {
        let moment = clock.now();
        let civil = clock.civil(moment);
        let now = civil.name.parse().map_err(|_| Error::internal())?;
        let name = SessionName::after(now, self.newest_name());
        let time = SessionTime {
            seconds: moment.seconds,
            utc_offset: i64::from(civil.offset_seconds),
            zone: civil.zone,
        };
        Ok(Session::new(name, time, tags))
    }
}
