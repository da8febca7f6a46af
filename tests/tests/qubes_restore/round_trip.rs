//! From `nacre backup` on one machine to `nacre restore` on another.

use std::fs;

use nacre_tests::mounts::FileSystem;
use nacre_tests::qubes_machine::Machine as Old;
use nacre_tests::qubesd::{Release, World};
use nacre_tests::skip;

use super::machine::Machine;

use Release::{R42, R43};

#[test]
fn what_was_backed_up_on_one_machine_comes_back_on_another() {
    let test = "what_was_backed_up_on_one_machine_comes_back_on_another";
    for (before, after, kind) in [(R43, R43, FileSystem::Xfs), (R42, R43, FileSystem::Btrfs)] {
        let fill = |world: &mut World| {
            *world = super::past::world(before);
            world.qubes.get_mut("sys-net").unwrap().devices.clear();
        };
        let old = match Old::new(before, kind, fill) {
            Ok(old) => old,
            Err(why) => skip!(test, "{why}"),
        };
        old.done(&["arch-init", "--compression=zstd:1"]);
        old.done(&["backup", "-i"]);
        let new = Machine::new(World::new(after));
        let ended = new.run(&old.desk, &["restore", "--all"]);
        assert_eq!(ended.code, 0, "{ended:?}");
        let now = new.system();
        let names: Vec<String> = old.qubesd.world().qubes.keys().cloned().collect();
        assert_eq!(now.qubes.keys().cloned().collect::<Vec<_>>(), names);
        let mut volumes = 0;
        for name in &names {
            let world = old.qubesd.world();
            let qube = world.qubes[name].clone();
            drop(world);
            let restored = &now.qubes[name].settings;
            for (property, value) in &qube.properties {
                // When it was backed up the session says itself.
                let lasting = value.settable && property != "backup_timestamp";
                if let (Some(value), true) = (&value.set, lasting) {
                    assert_eq!(&restored.properties[property], value, "{name} {property}");
                }
            }
            assert_eq!(restored.features, qube.features, "{name}");
            assert_eq!(restored.tags, qube.tags, "{name}");
            assert_eq!(restored.firewall, qube.firewall, "{name}");
            assert_eq!(restored.notes, qube.notes, "{name}");
            assert_eq!(restored.devices.len(), qube.devices.len(), "{name}");
            let kept = qube
                .volumes
                .iter()
                .filter(|(_, it)| it.save_on_stop && it.rw);
            for (volume, state) in kept {
                let image = fs::read(old.image(&format!("{}.img", state.vid))).unwrap();
                assert!(new.content(name, volume) == image, "{name} {volume}");
                volumes += 1;
            }
        }
        assert_eq!(volumes, 14);
    }
}
