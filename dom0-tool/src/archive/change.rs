//! Changes of the volume table alone: a commit without data packs.

use nacre_core::ids::SessionSeq;

use super::{Archive, Error, Result};
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

    /// Gives a volume another name; its sessions go with it.
    pub fn rename_volume(&mut self, old: &str, new: &str, clock: &dyn Clock) -> Result<()> {
        let mut commit = self.begin_small_commit();
        commit
            .head
            .rename_volume(old, new)
            .map_err(|_| Error::refused(format!("{new:?} cannot name a volume"), ""))?;
        commit.finish(clock)
    }

    /// Takes a volume out of the table and out of every session. Sessions without volumes go.
    pub fn delete_volume(&mut self, name: &str, clock: &dyn Clock) -> Result<()> {
        let sessions = self.sessions()?;
        let mut commit = self.begin_small_commit();
        let Some(volume) = commit.head.remove_volume(name) else {
            return Err(Error::internal());
        };
        let changed: Vec<SessionSeq> = sessions.of_volume(volume.id).map(|(s, ..)| s).collect();
        for seq in changed {
            let Some(session) = sessions.get(seq) else {
                continue;
            };
            let mut rest = session.clone();
            rest.volumes.retain(|member| member.volume != volume.id);
            if rest.volumes.is_empty() {
                commit.remove_session(seq);
            } else {
                commit.set_session(seq, rest);
            }
        }
        commit.finish(clock)
    }
}
