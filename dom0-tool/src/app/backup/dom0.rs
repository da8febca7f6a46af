//! `--dom0`: dom0's own files beside the qubes.

use crate::app::qubesd::dom0_root;
use crate::app::world::World;
use crate::qubes::dom0_files::{Dom0Volume, Problems, walk};

/// The files as a volume, for chunks of so many bytes, and where what goes wrong later is found. What goes wrong now is told, and so is what is
/// left out; the number of what is missing comes last.
pub fn files(world: &World<'_>, chunk: usize) -> (Dom0Volume, Problems, usize) {
    let root = dom0_root();
    let key = world.common.key_file.iter().cloned().collect::<Vec<_>>();
    let found = walk(&root, &key);
    for what in &found.left_out {
        let text = format!("dom0: {what} is left out");
        world.monitor().note(&text);
    }
    tell(world, &found.problems);
    let volume = Dom0Volume::new(&root, &found.saved, chunk as u64);
    let problems = volume.problems();
    (volume, problems, found.problems.len())
}

/// Names files that are not, or not wholly, in the archive.
pub fn tell(world: &World<'_>, problems: &[String]) {
    for what in problems {
        let text = format!("dom0: this file is not saved as it is: {what}.");
        world.monitor().error(&text);
    }
}
