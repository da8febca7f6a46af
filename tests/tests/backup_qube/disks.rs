//! Attaching and detaching.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nacre_tests::mounts::ext4_image;
use nacre_tests::qubesd::{Device, Release};
use nacre_tests::skip;

use crate::scene::{BOTH, Scene};

const ATTACH: &str = "admin.vm.device.block.Attach vault";
const DETACH: &str = "admin.vm.device.block.Detach vault";
const UUID: &str = "0b5f3f0e-1111-4222-8333-444455556666";

/// A namespace that one test makes may hold what another has mounted to look at.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn said(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program}: {}", said.trim()))
}

/// An image with ext4 that nobody has yet.
fn image(folder: &Path, uuid: &str) -> Result<PathBuf, String> {
    let image = folder.join(uuid);
    ext4_image(&image, uuid)?;
    Ok(image)
}

fn usb_scene(release: Release) -> Result<Scene, String> {
    let scene = Scene::new(release, &format!("qubes-usb://vault/{UUID}/backup"))?;
    let image = image(&scene.desk.path(""), UUID)?;
    plug(&scene, "sda1", "Stick", Some(image));
    Ok(scene)
}

/// Plugs a device into the USB qube.
fn plug(scene: &Scene, port: &str, what: &str, image: Option<PathBuf>) {
    let mut world = scene.qubesd.world();
    // As each release tells it.
    let line = match world.release {
        Release::R42 => format!("device_node=/dev/{port} mode=w size=314572800 description={what}"),
        Release::R43 => format!(
            "device_id='0951:1666:{what}' port_id='{port}' devclass='block' backend_domain='sys-usb' product='{what}' _size='314572800'"
        ),
    };
    let ident = match world.release {
        Release::R42 => port.to_owned(),
        Release::R43 => format!("{port}:0951:1666:{what}"),
    };
    let usb = world.qubes.get_mut("sys-usb").unwrap();
    usb.offers.insert(ident, line);
    if let Some(image) = image {
        world.images.insert(format!("sys-usb+{port}"), image);
    }
}

fn unplug(scene: &Scene, port: &str) {
    let mut world = scene.qubesd.world();
    let usb = world.qubes.get_mut("sys-usb").unwrap();
    usb.offers
        .retain(|ident, _| ident.split(':').next() != Some(port));
    world.images.remove(&format!("sys-usb+{port}"));
}

/// As a user does it by hand.
fn attach_by_hand(scene: &Scene, qube: &str, port: &str) {
    let mut world = scene.qubesd.world();
    let device = Device {
        class: "block".into(),
        backend: "sys-usb".into(),
        port: port.into(),
        id: "*".into(),
        mode: "manual".into(),
        options: [].into(),
    };
    world.qubes.get_mut(qube).unwrap().devices.push(device);
    world.settle();
}

macro_rules! usb_scene {
    ($test:literal, $release:expr) => {
        match usb_scene($release) {
            Ok(scene) => scene,
            Err(why) => skip!($test, "{why}"),
        }
    };
}

fn nothing_was_torn_off(scene: &Scene) {
    assert_eq!(scene.qubesd.world().torn_off, Vec::<String>::new());
}

#[test]
fn a_disk_is_attached_and_detached_when_it_is_unmounted() {
    let _turn = alone();
    for release in BOTH {
        let scene = usb_scene!(
            "a_disk_is_attached_and_detached_when_it_is_unmounted",
            release
        );
        let made = scene.done(&["arch-init"]);
        for wanted in [
            "starting qube vault",
            "attaching disk sys-usb:sda1 (Stick 300 MiB) to qube vault",
            "disk sys-usb:sda1 is unmounted and detached: it may be pulled out",
            "shutting down qube vault",
        ] {
            assert!(made.err.contains(wanted), "{wanted}: {made:?}");
        }
        assert_eq!(scene.send().code, 0);
        assert!(scene.attached("vault").is_empty());
        nothing_was_torn_off(&scene);
        // It is known again at another port, also if there are others; the running qube is left alone.
        let image = scene.desk.path(UUID);
        unplug(&scene, "sda1");
        plug(&scene, "sda1", "Camera", None);
        plug(&scene, "sdc1", "Stick", Some(image.clone()));
        scene.set_running("vault", true);
        let verified = scene.done(&["verify", "--all"]);
        let wanted = "attaching disk sys-usb:sdc1";
        assert!(verified.err.contains(wanted), "{verified:?}");
        assert!(scene.is_running("vault") && scene.attached("vault").is_empty());
        assert_eq!((scene.calls(ATTACH), scene.calls(DETACH)), (3, 3));
        // Only another one is there: that is not taken for it.
        unplug(&scene, "sdc1");
        let ended = scene.run(&["list"]);
        assert_eq!(ended.code, 1, "{ended:?}");
        let wanted = "not plugged in; there are sys-usb:sda1 (Camera 300 MiB)";
        assert!(ended.err.contains(wanted), "{ended:?}");
        nothing_was_torn_off(&scene);
        let checked = said("e2fsck", &["-fn", image.to_str().unwrap()]);
        assert!(checked.is_ok(), "{checked:?}");
    }
}

#[test]
fn a_halted_usb_qube_is_started_for_its_disk_and_shut_down_again() {
    let _turn = alone();
    for release in BOTH {
        let scene = usb_scene!(
            "a_halted_usb_qube_is_started_for_its_disk_and_shut_down_again",
            release
        );
        let device = "--usb-device=sys-usb:sda1";
        scene.set_running("sys-usb", false);
        let made = scene.done(&["arch-init", device]).err;
        for wanted in [
            "starting qube sys-usb",
            "starting qube vault",
            "disk sys-usb:sda1 is unmounted and detached: it may be pulled out",
            "shutting down qube vault",
            "shutting down qube sys-usb",
        ] {
            assert!(made.contains(wanted), "{wanted}: {made}");
        }
        assert!(!scene.is_running("sys-usb"));
        nothing_was_torn_off(&scene);
        // One that runs is left alone.
        scene.set_running("sys-usb", true);
        let listed = scene.done(&["list", device]).err;
        assert!(!listed.contains("qube sys-usb"), "{listed}");
        assert!(scene.is_running("sys-usb"));
    }
}

#[test]
fn what_the_user_attached_stays_attached() {
    let _turn = alone();
    for release in BOTH {
        let scene = usb_scene!("what_the_user_attached_stays_attached", release);
        scene.set_running("vault", true);
        attach_by_hand(&scene, "vault", "sda1");
        scene.done(&["arch-init"]);
        assert_eq!(scene.send().code, 0);
        assert_eq!(scene.attached("vault"), ["sys-usb:sda1"]);
        assert_eq!((scene.calls(ATTACH), scene.calls(DETACH)), (0, 0));
        scene.set_running("vault", false);
        scene
            .qubesd
            .world()
            .qubes
            .get_mut("vault")
            .unwrap()
            .devices
            .clear();
        // A disk that another qube has is not taken from it.
        attach_by_hand(&scene, "work", "sda1");
        let ended = scene.run(&["list", "--usb-device=sys-usb:sda1"]);
        assert_eq!(ended.code, 1, "{ended:?}");
        let wanted = "type `qvm-block detach work sys-usb:sda1`";
        assert!(ended.err.contains(wanted), "{ended:?}");
        assert_eq!(scene.attached("work"), ["sys-usb:sda1"]);
    }
}

#[test]
fn which_of_several_disks_it_is_the_user_says_once() {
    let _turn = alone();
    for release in BOTH {
        let scene = usb_scene!("which_of_several_disks_it_is_the_user_says_once", release);
        let other = image(&scene.desk.path(""), "0b5f3f0e-1111-4222-8333-444455557777");
        plug(&scene, "sdb1", "Other", Some(other.unwrap()));
        let ended = scene.run(&["arch-init"]);
        assert_eq!(ended.code, 1, "{ended:?}");
        let wanted = "sys-usb:sda1 (Stick 300 MiB), sys-usb:sdb1 (Other 300 MiB)";
        assert!(ended.err.contains(wanted), "{ended:?}");
        assert_eq!(scene.calls(ATTACH), 0);
        // The wrong one is given back at once and not remembered.
        let ended = scene.run(&["arch-init", "--usb-device=sys-usb:sdb1"]);
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(
            ended.err.contains("no disk with the file system"),
            "{ended:?}"
        );
        assert_eq!((scene.calls(ATTACH), scene.calls(DETACH)), (1, 1));
        scene.done(&["arch-init", "--usb-device=sys-usb:sda1"]);
        scene.done(&["list"]);
        assert_eq!((scene.calls(ATTACH), scene.calls(DETACH)), (3, 3));
        assert!(!scene.is_running("vault"));
        nothing_was_torn_off(&scene);
    }
}

#[test]
fn refusals_of_qubesd_are_told() {
    let _turn = alone();
    for release in BOTH {
        let scene = usb_scene!("refusals_of_qubesd_are_told", release);
        scene.fail(ATTACH, "QubesException", "device is gone");
        let ended = scene.run(&["arch-init"]);
        assert_eq!(ended.code, 1, "{ended:?}");
        let wanted = "disk sys-usb:sda1 cannot be attached to qube vault";
        assert!(ended.err.contains(wanted), "{ended:?}");
        assert!(ended.err.contains("device is gone"), "{ended:?}");
        assert!(!scene.is_running("vault"));
        scene.qubesd.world().failing.clear();
        scene.set_running("vault", true);
        scene.fail(DETACH, "QubesException", "device is busy");
        let made = scene.run(&["arch-init"]);
        assert_eq!(made.code, 0, "{made:?}");
        let wanted = "device is busy. Type `qvm-block detach vault sys-usb:sda1`.";
        assert!(made.err.contains(wanted), "{made:?}");
        assert_eq!(scene.attached("vault"), ["sys-usb:sda1"]);
    }
}

#[test]
fn a_disk_that_is_not_unmounted_stays_attached_and_the_run_is_not_done() {
    let _turn = alone();
    for release in BOTH {
        let scene = usb_scene!(
            "a_disk_that_is_not_unmounted_stays_attached_and_the_run_is_not_done",
            release
        );
        scene.done(&["arch-init"]);
        // As the helper ends when it cannot unmount (store_disk tests that it does).
        scene.wrap_service("", "echo 'unmount the disk: busy' >&2; exit 5");
        scene.set_running("vault", true);
        let sent = scene.send();
        assert_eq!(sent.code, 3, "{sent:?}");
        for wanted in [
            "nobody knows whether the disk is unmounted",
            "unmount the disk: busy",
            "type `qvm-block detach vault sys-usb:sda1`, then pull it out",
        ] {
            assert!(sent.err.contains(wanted), "{wanted}: {sent:?}");
        }
        assert_eq!(scene.attached("vault"), ["sys-usb:sda1"]);
        assert_eq!(scene.calls(DETACH), 1);
        // From now on it is the user's.
        scene.wrap_service("", "");
        scene.done(&["list"]);
        assert_eq!(scene.attached("vault"), ["sys-usb:sda1"]);
        // A qube that goes takes it along.
        scene.set_running("vault", false);
        scene
            .qubesd
            .world()
            .qubes
            .get_mut("vault")
            .unwrap()
            .devices
            .clear();
        scene.qubesd.world().settle();
        scene.wrap_service("", "exit 5");
        let listed = scene.run(&["list"]);
        assert_eq!(listed.code, 3, "{listed:?}");
        let wanted = "do not pull it out before vault has shut down";
        assert!(listed.err.contains(wanted), "{listed:?}");
        assert!(!scene.is_running("vault"));
        assert_eq!(scene.calls(DETACH), 1);
    }
}

#[test]
fn a_qube_that_has_the_disk_itself_needs_nothing_attached() {
    let _turn = alone();
    let scene = usb_scene!(
        "a_qube_that_has_the_disk_itself_needs_nothing_attached",
        Release::R43
    );
    // The backup qube is the USB qube: its disks are loop devices here as those of others are.
    let image = scene.desk.path(UUID);
    unplug(&scene, "sda1");
    let device = said("losetup", &["--find", "--show", image.to_str().unwrap()]).unwrap();
    let mut world = scene.qubesd.world();
    let vault = world.qubes.get_mut("vault").unwrap();
    vault
        .offers
        .insert("sda1:x".to_owned(), "product='Stick'".to_owned());
    drop(world);
    let made = scene.run(&["arch-init"]);
    let _ = said("losetup", &["-d", &device]);
    assert_eq!(made.code, 0, "{made:?}");
    assert_eq!((scene.calls(ATTACH), scene.calls(DETACH)), (0, 0));
}
