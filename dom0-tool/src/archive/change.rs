//! Changes of the volume table alone: a commit without data packs.

use std::collections::{BTreeMap, BTreeSet};

use nacre_core::ids::{SessionSeq, VolumeId};
use nacre_core::session::Session;

use super::{Archive, Commit, Error, Result, Sessions};
use crate::joints::Clock;

impl Archive {
    /// Enters volumes without data.
    pub fn add_volumes(
        &mut self,
        names: &[&str],
        description: &str,
        clock: &dyn Clock,
    ) -> Result<()> {
        for name in names {
            let id = self.enter_volume(name)?.id;
            if let Some(volume) = self.head.volume_by_id_mut(id) {
                description.clone_into(&mut volume.description);
            }
        }
        self.begin_small_commit().finish(clock)
    }

    /// Replaces what sessions say of themselves; their volumes must be the same.
    pub fn set_sessions(
        &mut self,
        changed: Vec<(SessionSeq, Session)>,
        clock: &dyn Clock,
    ) -> Result<()> {
        let mut commit = self.begin_small_commit();
        for (seq, session) in changed {
            commit.set_session(seq, session);
        }
        commit.finish(clock)
    }

    /// Gives a volume another name; its sessions go with it.
    pub fn rename_volume(&mut self, old: &str, new: &str, clock: &dyn Clock) -> Result<()> {
        let mut commit = self.begin_small_commit();
        commit
            .head
            .rename_volume(old, new)
            .map_err(|_| Error::refused(format!("{new:?} cannot name a volume"), ""))?;
        commit.finish(clock)
    }

    /// Takes a volume out of the table and out of every session. Sessions without volumes go. What only they needed is given away:
    /// [`Archive::free`] frees it.
    pub fn delete_volume(&mut self, name: &str, clock: &dyn Clock) -> Result<()> {
        self.delete_volumes(&[name], &Forgotten::new(), clock)
    }

    /// The same with several volumes, and with what leaves sessions besides: all in one commit, so that nobody ever sees a part of it.
    pub fn delete_volumes(
        &mut self,
        names: &[&str],
        besides: &Forgotten,
        clock: &dyn Clock,
    ) -> Result<()> {
        let sessions = self.sessions()?;
        let mut commit = self.begin_small_commit();
        let mut every = besides.clone();
        for name in names {
            let Some(volume) = commit.head.remove_volume(name) else {
                return Err(Error::internal());
            };
            for (seq, ..) in sessions.of_volume(volume.id) {
                every.entry(seq).or_default().insert(volume.id);
            }
        }
        forget(&mut commit, &sessions, &every);
        commit.finish(clock)
    }

    /// Takes volumes out of sessions. Sessions without volumes go. What only they needed is given away: [`Archive::free`] frees it.
    ///
    /// # Errors
    /// A volume's newest session is never among them: the next send begins with it.
    pub fn prune(&mut self, forgotten: &Forgotten, clock: &dyn Clock) -> Result<()> {
        let newest = |(seq, volumes): (&SessionSeq, &BTreeSet<VolumeId>)| {
            let is = |id: &VolumeId| {
                self.head
                    .volume_by_id(*id)
                    .is_none_or(|volume| volume.newest == Some(*seq))
            };
            volumes.iter().any(is)
        };
        if forgotten.iter().any(newest) {
            return Err(Error::refused(
                "a volume's newest session is never pruned",
                "",
            ));
        }
        let sessions = self.sessions()?;
        let mut commit = self.begin_small_commit();
        forget(&mut commit, &sessions, forgotten);
        commit.finish(clock)
    }
}

/// Which volumes are to leave which sessions.
pub type Forgotten = BTreeMap<SessionSeq, BTreeSet<VolumeId>>;

fn forget(commit: &mut Commit<'_>, sessions: &Sessions, forgotten: &Forgotten) {
    for (seq, volumes) in forgotten {
        let Some(session) = sessions.get(*seq) else {
            continue;
        };
        let mut rest = session.clone();
        rest.volumes
            .retain(|member| !volumes.contains(&member.volume));
        if rest.volumes.is_empty() {
            commit.remove_session(*seq);
        } else {
            commit.set_session(*seq, rest);
        }
    }
    let left = |id: VolumeId| {
        let mut all = sessions.of_volume(id).map(|(seq, ..)| seq);
        all.find(|seq| !forgotten.get(seq).is_some_and(|gone| gone.contains(&id)))
    };
    commit.head.forget_names(left);
}
