//! Settings belong to the volumes of their session: they stay as long as one of these does, and go with the last.

use std::collections::BTreeSet;

use nacre_core::ids::SessionSeq;

use crate::archive::{Archive, Forgotten, Sessions};
use crate::qubes::SETTINGS;

/// Sessions in which that made a difference.
#[derive(Debug, Default)]
pub struct Followed {
    /// Their settings stay, though they were to be forgotten.
    pub stayed: BTreeSet<SessionSeq>,
    /// Their settings go too.
    pub gone: BTreeSet<SessionSeq>,
}

/// Makes what is forgotten of the settings follow what is forgotten of the volumes. The newest settings never go.
pub fn follow(archive: &Archive, sessions: &Sessions, forgotten: &mut Forgotten) -> Followed {
    let mut followed = Followed::default();
    let Some(settings) = archive.head().volume(SETTINGS) else {
        return followed;
    };
    for (seq, session, _) in sessions.of_volume(settings.id) {
        let going = forgotten.get(&seq).cloned().unwrap_or_default();
        let others = session.volumes.iter().map(|at| at.volume);
        let others: Vec<_> = others.filter(|volume| *volume != settings.id).collect();
        let all_go = others.iter().all(|volume| going.contains(volume));
        let goes = going.contains(&settings.id);
        if goes && !all_go {
            if let Some(going) = forgotten.get_mut(&seq) {
                going.remove(&settings.id);
            }
            followed.stayed.insert(seq);
        } else if !goes && all_go && !others.is_empty() && settings.newest != Some(seq) {
            forgotten.entry(seq).or_default().insert(settings.id);
            followed.gone.insert(seq);
        }
    }
    forgotten.retain(|_, volumes| !volumes.is_empty());
    followed
}
