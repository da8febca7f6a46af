//! Which trees there are now: of every volume, every session's.

use std::collections::BTreeMap;

use nacre_core::ids::{SessionSeq, VolumeId};
use nacre_core::place::Root;
use nacre_core::session::Session;

use crate::archive::Sessions;

/// The trees of an archive's sessions, kept up with its commits.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    all: BTreeMap<(VolumeId, SessionSeq), Root>,
}

impl Roots {
    /// Those of all sessions.
    pub fn new(sessions: &Sessions) -> Self {
        let mut roots = Self::default();
        for (seq, session) in sessions.iter() {
            roots.enter(seq, session);
        }
        roots
    }

    fn enter(&mut self, seq: SessionSeq, session: &Session) {
        let of_session = session.volumes.iter();
        self.all
            .extend(of_session.map(|at| ((at.volume, seq), at.root)));
    }

    /// Takes over what a commit did to sessions; `None`: it is gone.
    pub fn advance(&mut self, changed: &BTreeMap<SessionSeq, Option<Session>>) {
        self.all.retain(|(_, seq), _| !changed.contains_key(seq));
        for (seq, session) in changed {
            if let Some(session) = session {
                self.enter(*seq, session);
            }
        }
    }

    /// The oldest tree of a volume that is not older than a session. An item that a session needed is there still in the next one that is left,
    /// or the chunk has another content now and the item is nobody's business any more.
    pub fn from(&self, volume: VolumeId, seq: SessionSeq) -> Option<(SessionSeq, Root)> {
        let last = (volume, SessionSeq(u64::MAX));
        let found = self.all.range((volume, seq)..=last).next();
        found.map(|((_, seq), root)| (*seq, *root))
    }

    /// The trees of a volume, oldest first.
    pub fn of_volume(&self, volume: VolumeId) -> impl Iterator<Item = (SessionSeq, Root)> {
        let range = (volume, SessionSeq(0))..=(volume, SessionSeq(u64::MAX));
        self.all.range(range).map(|((_, seq), root)| (*seq, *root))
    }

    /// The newest tree of a volume.
    pub fn newest(&self, volume: VolumeId) -> Option<(SessionSeq, Root)> {
        let last = (volume, SessionSeq(u64::MAX));
        let found = self.all.range((volume, SessionSeq(0))..=last).next_back();
        found.map(|((_, seq), root)| (*seq, *root))
    }
}
