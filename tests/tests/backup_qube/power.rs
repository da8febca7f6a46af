//! Starting and shutting down.

use std::fs;

use nacre::state::Lease;
use nacre_tests::qubesd::Release;
use nacre_tests::skip;
use nacre_tests::sshd::{Offers, Sshd};
use rustix::process::{Pid, Signal, kill_process};

use crate::scene::{BOTH, Scene, until, wait};

const START: &str = "admin.vm.Start vault";
const SHUTDOWN: &str = "admin.vm.Shutdown vault";

macro_rules! scene {
    ($test:literal, $release:expr, $dest:expr) => {
        match Scene::new($release, $dest) {
            Ok(scene) => scene,
            Err(why) => skip!($test, "{why}"),
        }
    };
}

#[test]
fn a_halted_qube_is_started_and_shut_down_again_and_one_that_runs_is_left_alone() {
    for release in BOTH {
        let scene = scene!(
            "a_halted_qube_is_started_and_shut_down_again_and_one_that_runs_is_left_alone",
            release,
            "qubes://vault"
        );
        let made = scene.done(&["arch-init"]);
        assert!(made.err.contains("starting qube vault"), "{made:?}");
        assert!(made.err.contains("shutting down qube vault"), "{made:?}");
        let sent = scene.send();
        assert_eq!(sent.code, 0, "{sent:?}");
        assert!(scene.qubes.qube().join("home/nacre/header").is_dir());
        assert_eq!((scene.calls(START), scene.calls(SHUTDOWN)), (2, 2));
        assert!(!scene.is_running("vault"));
        scene.set_running("vault", true);
        let listed = scene.done(&["list"]);
        assert!(!listed.err.contains("qube vault"), "{listed:?}");
        scene.done(&["verify", "--all"]);
        assert_eq!((scene.calls(START), scene.calls(SHUTDOWN)), (2, 2));
        assert!(scene.is_running("vault"));
    }
}

#[test]
fn an_ssh_host_behind_a_halted_qube_is_reached() {
    let test = "an_ssh_host_behind_a_halted_qube_is_reached";
    let server = match Sshd::start(Offers::Helper) {
        Ok(server) => server,
        Err(why) => skip!(test, "{why}"),
    };
    for release in BOTH {
        let archive = server.folder().join(format!("{release:?}"));
        let dest = format!("qubes-ssh://vault:{}{}", server.host(), archive.display());
        let scene = scene!(
            "an_ssh_host_behind_a_halted_qube_is_reached",
            release,
            &dest
        );
        scene.qubes.log_in_at(&server).unwrap();
        scene.done(&["arch-init"]);
        let sent = scene.send();
        assert_eq!(sent.code, 0, "{sent:?}");
        assert!(archive.join("header").is_dir());
        assert_eq!((scene.calls(START), scene.calls(SHUTDOWN)), (2, 2));
    }
}

#[test]
fn a_qube_is_shut_down_after_errors_and_after_ctrl_c() {
    let scene = scene!(
        "a_qube_is_shut_down_after_errors_and_after_ctrl_c",
        Release::R43,
        "qubes://vault"
    );
    let ended = scene.run(&["list"]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!((scene.calls(START), scene.calls(SHUTDOWN)), (1, 1));
    scene.done(&["arch-init"]);
    // The helper waits until the signal was sent, so that it is there before anything is.
    let gate = scene.desk.path("gate");
    scene.wrap_service(
        &format!("while [ -e '{}' ]; do sleep 0.1; done;", gate.display()),
        "",
    );
    fs::write(&gate, "").unwrap();
    let child = scene.begin(&["send", &scene.desk.import("vm", "image")]);
    until("the qube is started", || scene.calls(START) == 3);
    std::thread::sleep(std::time::Duration::from_millis(300));
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));
    fs::remove_file(&gate).unwrap();
    let ended = wait(child);
    assert_eq!(ended.code, 130, "{ended:?}");
    assert_eq!(scene.calls(SHUTDOWN), 3);
    assert!(!scene.is_running("vault"));
}

#[test]
fn what_hinders_a_qube_is_told() {
    for release in BOTH {
        let scene = scene!("what_hinders_a_qube_is_told", release, "qubes://vault");
        let told = |wanted: &str| {
            let ended = scene.run(&["list"]);
            assert_eq!(ended.code, 1, "{ended:?}");
            assert!(ended.err.contains(wanted), "{wanted}: {ended:?}");
        };
        scene.fail(START, "QubesException", "Not enough memory to start domain");
        told("qube vault cannot be started: admin.vm.Start of vault: Not enough memory");
        scene.qubesd.world().failing.clear();
        let pass = |state: &str, times| {
            let mut world = scene.qubesd.world();
            let qube = world.qubes.get_mut("vault").unwrap();
            qube.passing = Some((state.to_owned(), times));
        };
        pass("Paused", u32::MAX);
        told("qube vault is paused. Let it go on with `qvm-unpause vault`.");
        pass("Crashed", u32::MAX);
        told("neither runs nor is it halted");
        scene.qubesd.world().qubes.remove("vault");
        told("there is no qube vault");
        assert_eq!(scene.calls(SHUTDOWN), 0);
    }
}

#[test]
fn a_qube_between_two_states_is_waited_for() {
    let scene = scene!(
        "a_qube_between_two_states_is_waited_for",
        Release::R42,
        "qubes://vault"
    );
    let pass = |state: &str| {
        let mut world = scene.qubesd.world();
        let qube = world.qubes.get_mut("vault").unwrap();
        qube.passing = Some((state.to_owned(), 3));
    };
    pass("Halting");
    scene.done(&["arch-init"]);
    assert_eq!((scene.calls(START), scene.calls(SHUTDOWN)), (1, 1));
    // Somebody is just starting it: it is his.
    scene.set_running("vault", true);
    pass("Transient");
    scene.done(&["list"]);
    assert_eq!((scene.calls(START), scene.calls(SHUTDOWN)), (1, 1));
}

#[test]
fn a_qube_that_cannot_be_shut_down_is_told_and_the_run_is_done() {
    let scene = scene!(
        "a_qube_that_cannot_be_shut_down_is_told_and_the_run_is_done",
        Release::R43,
        "qubes://vault"
    );
    scene.done(&["arch-init"]);
    scene.fail(
        SHUTDOWN,
        "QubesVMShutdownTimeoutError",
        "Domain shutdown timed out",
    );
    let sent = scene.send();
    assert_eq!(sent.code, 0, "{sent:?}");
    assert!(sent.err.contains("Type `qvm-shutdown vault`."), "{sent:?}");
    scene.set_running("vault", false);
    scene.fail(
        SHUTDOWN,
        "QubesVMInUseError",
        "There are other VMs connected to this VM: work",
    );
    let sent = scene.send();
    assert_eq!(sent.code, 0, "{sent:?}");
    let told = "qube vault stays on: There are other VMs connected";
    assert!(sent.err.contains(told), "{sent:?}");
}

#[test]
fn the_last_run_that_uses_a_qube_shuts_it_down() {
    let scene = scene!(
        "the_last_run_that_uses_a_qube_shuts_it_down",
        Release::R43,
        "qubes://vault"
    );
    scene.done(&["arch-init"]);
    // Another run: one that has not started the qube itself.
    let other = Lease::take(&scene.desk.path("state/qubes/vault")).unwrap();
    let sent = scene.send();
    assert_eq!(sent.code, 0, "{sent:?}");
    assert!(
        sent.err.contains("another run of nacre uses qube vault"),
        "{sent:?}"
    );
    assert!(scene.is_running("vault"));
    drop(other);
    scene.done(&["list"]);
    assert!(!scene.is_running("vault"));
    assert_eq!((scene.calls(START), scene.calls(SHUTDOWN)), (2, 2));
}

#[test]
fn what_a_killed_run_started_is_shut_down_by_the_next_one_but_never_what_the_user_started() {
    let scene = scene!(
        "what_a_killed_run_started_is_shut_down_by_the_next_one_but_never_what_the_user_started",
        Release::R42,
        "qubes://vault"
    );
    scene.done(&["arch-init"]);
    let gate = scene.desk.path("gate");
    fs::write(&gate, "").unwrap();
    scene.wrap_service(
        &format!("while [ -e '{}' ]; do sleep 0.1; done;", gate.display()),
        "",
    );
    let kill_one = |starts| {
        fs::write(&gate, "").unwrap();
        let mut child = scene.begin(&["send", &scene.desk.import("vm", "image")]);
        let record = scene.desk.path("state/qubes/vault");
        let started = || {
            let record = fs::read_to_string(&record).unwrap_or_default();
            scene.calls(START) == starts && record.contains("started")
        };
        until("the qube is started", started);
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_file(&gate).unwrap();
        assert!(scene.is_running("vault"));
    };
    kill_one(2);
    let listed = scene.done(&["list"]);
    assert!(
        listed.err.contains("shutting down qube vault"),
        "{listed:?}"
    );
    assert!(!scene.is_running("vault"));
    kill_one(3);
    scene.set_running("vault", false);
    scene.set_running("vault", true);
    scene.done(&["list"]);
    assert!(scene.is_running("vault"));
}
