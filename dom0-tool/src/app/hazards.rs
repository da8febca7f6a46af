//! What whoever writes to a store is told of it beforehand.

use super::reaching::target;
use super::world::World;
use crate::cli::Target;
use crate::joints::Store;

/// Says what the store cannot promise. It is no reason to stop: a backup that a power cut over there may take is better than none.
pub fn tell(world: &World<'_>, store: &dyn Store) {
    // An archive that is opened anew in the same run has nothing new to say of itself.
    if std::mem::replace(&mut world.met().warned, true) {
        return;
    }
    let hazards = store.hazards();
    if hazards.unsynced {
        world.monitor().warning(
            "the store cannot force what it is given to its disk (SFTP without fsync@openssh.com): a power cut over there may take \
             even what this command reports as stored. Install nacre-helper on that host, and `nacre verify` after a power cut.",
        );
    }
    // Who shares a folder or a disk between machines is not here: it is one machine's at a time.
    let is_host = matches!(target(world), Ok(Target::Ssh(..) | Target::QubesSsh(..)));
    if hazards.single_writer && is_host {
        world.monitor().note(
            "the store has no way to give a name only once: let no other machine write to this archive at the same time.",
        );
    }
}
