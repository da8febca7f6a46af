//! Room at the store: what was given away is freed, packs are put together where that is worth it, and what came of it is told once.

use nacre_core::pack::MovePolicy;

use super::opening::continued;
use super::world::World;
use crate::archive::{Archive, Compacted, Error, Freed, Result};
use crate::report::text;

/// What came of it so far.
#[derive(Default)]
pub struct Room {
    /// All that was freed, and what was put together.
    sum: Compacted,
    /// Packs of which one was made.
    joined: usize,
    everywhere: bool,
    /// Whether another writer came in between: then no more packs are put together.
    outrun: bool,
}

impl Room {
    /// Also packs that are sparse without the head's knowing are put together.
    pub fn everywhere() -> Self {
        Self {
            everywhere: true,
            ..Self::default()
        }
    }

    /// Makes room, and says what came of it.
    pub fn made(mut self, world: &World<'_>, archive: &mut Archive) -> Result<()> {
        let made = self.make(world, archive);
        self.tell(world);
        made
    }

    /// Makes room, again if the connection breaks and the user wants that.
    pub fn make(&mut self, world: &World<'_>, archive: &mut Archive) -> Result<()> {
        continued(world, archive, |archive| self.once(world, archive))
    }

    fn once(&mut self, world: &World<'_>, archive: &mut Archive) -> Result<()> {
        self.sum.freed.add(&archive.free()?);
        if self.sum.freed.append_only {
            return Ok(());
        }
        if self.everywhere {
            archive.search_all_packs();
        }
        let moves = archive.plan_moves(&MovePolicy::default())?;
        let compacted = match archive.compact(&moves, world.clock()) {
            // What was asked for is done; this only makes room.
            Err(Error::Outrun) => {
                self.outrun = true;
                return Ok(());
            }
            other => other?,
        };
        if compacted.packs > 0 {
            self.joined += moves.groups.iter().map(Vec::len).sum::<usize>();
        }
        self.sum.freed.add(&compacted.freed);
        self.sum.copied += compacted.copied;
        // Those are the same ones each time.
        self.sum.damaged = compacted.damaged;
        self.sum.no_room = compacted.no_room;
        Ok(())
    }

    /// Says what came of it.
    pub fn tell(&self, world: &World<'_>) {
        let (monitor, sum) = (world.monitor(), &self.sum);
        let given = text::size(sum.freed.given_away);
        if sum.freed.append_only {
            monitor.note(
                "the store is append-only: nothing is freed until a command is run where it is not",
            );
        }
        if self.joined > 0 {
            monitor.note(&format!(
                "the store copied {} to do without {}",
                text::size(sum.copied),
                text::count(self.joined, "small or sparse pack", "small or sparse packs")
            ));
        }
        if sum.freed.given_away > 0 {
            monitor.note(&match sum.freed.measured {
                Some(bytes) => format!(
                    "{} freed, as the store says ({given} given back)",
                    text::size(bytes)
                ),
                None => format!("{given} given back; the store does not say how much that freed"),
            });
        }
        tell_untried(world, &sum.freed);
        if self.outrun {
            monitor.note(
                "another writer has changed the archive meanwhile: sparse packs are put together another time",
            );
        }
        if sum.damaged > 0 {
            monitor.warning(&format!(
                "{} lost or damaged, and stays as it is. `nacre arch-check` shows what that means, with `--repair` it mends what can be mended.",
                text::count(sum.damaged, "sparse or small pack is", "sparse or small packs are"),
            ));
        }
        if sum.no_room {
            monitor.warning(
                "The store has too little room to put all sparse packs together. \
                 Make some room and run `nacre prune` again.",
            );
        }
    }
}

/// Says what waits because the store could not try something out.
pub fn tell_untried(world: &World<'_>, freed: &Freed) {
    if freed.untried > 0 {
        world.monitor().warning(&format!(
            "{} that nothing needs any more stay for now: the store could not try out whether it can free parts of its files, perhaps for want of room. \
             Make some room there and run `nacre prune` again.",
            text::size(freed.untried)
        ));
    }
}
