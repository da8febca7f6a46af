//! What the world's calls do to this machine: qubes' folders say whether they run, and what is attached becomes a loop device, which
//! all processes see.

use std::process::Command;

use super::world::World;
use super::{Qubesd, Request};

/// Brings the machine to what the world says.
pub(super) fn follow(world: &mut World) {
    for (name, qube) in &world.qubes {
        let folder = world.machines.as_ref().map(|root| root.join(name));
        if let Some(folder) = folder.filter(|folder| folder.is_dir()) {
            // It is there already, or is not: either way it is as it shall be.
            let _ = if qube.running {
                std::fs::remove_file(folder.join("halted"))
            } else {
                std::fs::write(folder.join("halted"), "")
            };
        }
    }
    let devices = world.qubes.values().flat_map(|qube| &qube.devices);
    let blocks = devices.filter(|device| device.class == "block");
    let attached: Vec<String> = blocks
        .map(|device| format!("{}+{}", device.backend, device.port))
        .collect();
    for (name, image) in &world.images {
        let there = attached.contains(name);
        match (there, world.loops.get(name).cloned()) {
            (true, None) => {
                if let Some(device) =
                    said("losetup", &["--find", "--show", &image.to_string_lossy()])
                {
                    world.loops.insert(name.clone(), device);
                }
            }
            (false, Some(device)) => {
                if is_mounted(&device) {
                    world.torn_off.push(name.clone());
                }
                let _ = said("losetup", &["-d", &device]);
                world.loops.remove(name);
            }
            _ => {}
        }
    }
}

impl World {
    /// After a change behind the API's back: what the machine shows follows.
    pub fn settle(&mut self) {
        follow(self);
    }

    /// A qube that is between two states gets on with every question about it.
    pub(super) fn pass(&mut self, request: &Request<'_>) {
        if let Some(qube) = self.qubes.get_mut(request.target)
            && request.method == "admin.vm.CurrentState"
            && let Some((_, left)) = &mut qube.passing
        {
            match left.checked_sub(1) {
                Some(less) => *left = less,
                None => qube.passing = None,
            }
        }
    }
}

impl Drop for Qubesd {
    fn drop(&mut self) {
        for device in self.world().loops.values() {
            let _ = said("losetup", &["-d", device]);
        }
    }
}

/// In any process's mounts: the helper has a namespace of its own.
fn is_mounted(device: &str) -> bool {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut mounts =
        processes.filter_map(|process| std::fs::read_to_string(process.path().join("mounts")).ok());
    mounts.any(|mounts| {
        mounts
            .lines()
            .any(|line| line.starts_with(&format!("{device} ")))
    })
}

fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}
