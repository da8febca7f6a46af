//! The Salt formula, applied by the real salt on a machine of its own: what it sets up, that a second run finds nothing to do, that it does nothing
//! in the wrong place, and that it takes away what it brought and no more.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::format_collect,
    reason = "a test fails by panicking"
)]

mod world;

use nacre_tests::skip;
use serde_json::Value;
use world::{Machine, all_well, nothing_to_do};

const PILLAR: &str = "\
nacre:
  qube:
    name: sys-backup
    create: True
    template: debian-13-minimal
    netvm: sys-firewall
    reaches:
      - {host: 192.0.2.7, port: 2222}
    size: 20GiB
  storage:
    bases: [/home/user/backup]
    ssh: True
    usb: False
    append_only: True
    host_keys:
      - '[nas.lan]:2222 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIexample'
  settings:
    dest: [nas, here]
    dedup: 1
    quiet: 1
  targets:
    nas:
      dest: qubes-ssh://sys-backup:backup@nas.lan:2222/srv/backup
    here:
      dest: file:/var/lib/nacre-archive
      key-file: /etc/nacre/here.key
      create: True
  retention:
    - vm-vault-*: keep-all
    - '*': keep-daily 7, keep-weekly 4
  timer:
    calendar: '*-*-* 12:30'
";

#[test]
fn dom0_and_the_backup_qube_are_set_up_once_and_for_all() {
    const NAME: &str = "dom0_and_the_backup_qube_are_set_up_once_and_for_all";
    if let Some(why) = world::missing() {
        skip!(NAME, "{why}");
    }
    let dom0 = Machine::new("dom0", PILLAR);
    dom0.call(&["saltutil.sync_states"]);
    all_well(&dom0.apply("nacre.qube,nacre.dom0", &[]));

    let qubes: Value =
        serde_json::from_str(&std::fs::read_to_string(dom0.path("qubes.json")).unwrap()).unwrap();
    let qube = &qubes["sys-backup"];
    assert_eq!(qube["class"], "AppVM");
    assert_eq!(qube["prefs"]["template"], "debian-13-minimal");
    assert_eq!(qube["prefs"]["netvm"], "sys-firewall");
    assert_eq!(qube["prefs"]["include_in_backups"], false);
    assert_eq!(
        qube["firewall"]["rules"],
        serde_json::json!([
            "action=accept dsthost=192.0.2.7 proto=tcp dstports=2222-2222",
            "action=drop"
        ])
    );
    assert_eq!(
        std::fs::read_to_string(dom0.path("size")).unwrap().trim(),
        (20_u64 << 30).to_string()
    );

    // The settings are the program's own words: it reads them, and opens the archive that was made by them.
    let ini = dom0.read("/etc/nacre/nacre.ini").unwrap();
    let wanted = "[retention]\nvm-vault-* = keep-all\n* = keep-daily 7, keep-weekly 4\n";
    assert!(
        ini.contains("dest =\n    nas\n    here\n") && ini.ends_with(wanted),
        "{ini}"
    );
    let timer = dom0
        .read("/etc/systemd/system/nacre-backup.timer.d/salt.conf")
        .unwrap();
    assert!(
        timer.ends_with("[Timer]\nOnCalendar=\nOnCalendar=*-*-* 12:30\n"),
        "{timer}"
    );
    let services = std::fs::read_to_string(dom0.path("services.json")).unwrap();
    assert!(
        services.contains(r#""nacre-backup.timer": {"enabled": true, "running": true}"#),
        "{services}"
    );

    // The key was made in dom0 and is nobody else's; nothing of it, nor anything else, was written below /srv.
    assert_eq!(dom0.mode("/etc/nacre/here.key"), 0o600);
    let key = dom0.read("/etc/nacre/here.key").unwrap();
    let secret = key.lines().last().unwrap();
    assert!(secret.len() >= 64, "a key and not a comment");
    for file in dom0.written("srv") {
        let text = std::fs::read(&file).unwrap();
        assert!(
            !text
                .windows(secret.len())
                .any(|part| part == secret.as_bytes()),
            "{}",
            file.display()
        );
    }

    nothing_to_do(&dom0.apply("nacre.qube,nacre.dom0", &[]));
    nothing_to_do(&dom0.apply("nacre.qube,nacre.dom0", &["test=True"]));

    // It says beforehand what it would take away, and takes nothing.
    let planned = dom0.apply("nacre.remove", &["test=True"]);
    all_well(&planned);
    let would = planned.iter().filter(|state| state.result.is_none());
    assert!(would.count() >= 3, "{planned:#?}");
    assert_eq!(dom0.read("/etc/nacre/nacre.ini").as_ref(), Some(&ini));
    all_well(&dom0.apply("nacre.remove", &[]));
    assert!(
        dom0.read("/etc/nacre/nacre.ini").is_none()
            && dom0
                .read("/etc/systemd/system/nacre-backup.timer.d/salt.conf")
                .is_none()
    );
    // What cannot be had again stays.
    assert_eq!(dom0.read("/etc/nacre/here.key"), Some(key));
    assert!(
        dom0.path("upper/var/lib/nacre-archive/header").is_dir()
            && dom0.path("upper/var/lib/nacre").is_dir()
    );
    assert!(
        std::fs::read_to_string(dom0.path("qubes.json"))
            .unwrap()
            .contains("sys-backup")
    );
    nothing_to_do(&dom0.apply("nacre.remove", &[]));
    nothing_to_do(&dom0.apply("nacre.remove", &["test=True"]));
}

#[test]
fn the_template_gets_the_helper_and_its_service() {
    const NAME: &str = "the_template_gets_the_helper_and_its_service";
    if let Some(why) = world::missing() {
        skip!(NAME, "{why}");
    }
    let template = Machine::new("debian-13-minimal", PILLAR);
    all_well(&template.apply("nacre.helper", &[]));
    assert_eq!(
        template.read("/usr/lib/qubes/nacre-helper").unwrap(),
        "the helper\n"
    );
    assert_eq!(template.mode("/usr/lib/qubes/nacre-helper"), 0o755);
    assert_eq!(template.mode("/etc/qubes-rpc/nacre.Store"), 0o755);
    assert_eq!(
        template
            .read("/etc/qubes/rpc-config/nacre.Store+usb")
            .unwrap(),
        "force-user='root'\n"
    );
    nothing_to_do(&template.apply("nacre.helper", &[]));
    all_well(&template.apply("nacre.remove", &[]));
    assert!(
        template.read("/usr/lib/qubes/nacre-helper").is_none()
            && template.read("/etc/qubes-rpc/nacre.Store").is_none()
    );
    nothing_to_do(&template.apply("nacre.remove", &["test=True"]));
}

#[test]
fn the_backup_qube_lets_dom0_use_only_what_the_pillar_allows() {
    const NAME: &str = "the_backup_qube_lets_dom0_use_only_what_the_pillar_allows";
    if let Some(why) = world::missing() {
        skip!(NAME, "{why}");
    }
    let qube = Machine::new("sys-backup", PILLAR);
    all_well(&qube.apply("nacre.storage", &[]));
    let service = qube.read("/usr/local/etc/qubes-rpc/nacre.Store").unwrap();
    assert!(
        service.contains("nacre-helper serve --append-only --ssh --base '/home/user/backup' ;;"),
        "{service}"
    );
    assert!(!service.contains("--usb"), "{service}");
    assert_eq!(qube.mode("/usr/local/etc/qubes-rpc/nacre.Store"), 0o755);
    let parsed = std::process::Command::new("sh")
        .arg("-n")
        .arg(qube.path("upper/usr/local/etc/qubes-rpc/nacre.Store"))
        .status();
    assert!(parsed.unwrap().success());
    assert_eq!(
        qube.read("/home/user/.ssh/known_hosts_nacre")
            .unwrap()
            .trim(),
        "[nas.lan]:2222 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIexample"
    );
    let config = qube.read("/home/user/.ssh/config").unwrap();
    assert!(config.contains("Host nas.lan\n    UserKnownHostsFile /home/user/.ssh/known_hosts_nacre\n    StrictHostKeyChecking yes\n"), "{config}");
    assert_eq!(qube.mode("/home/user/.ssh/config"), 0o600);
    nothing_to_do(&qube.apply("nacre.storage", &[]));
    nothing_to_do(&qube.apply("nacre.storage", &["test=True"]));
    all_well(&qube.apply("nacre.remove", &[]));
    assert!(qube.read("/usr/local/etc/qubes-rpc/nacre.Store").is_none());
    assert!(
        !qube
            .read("/home/user/.ssh/config")
            .unwrap()
            .contains("nacre")
    );
}

#[test]
fn in_the_wrong_place_and_with_an_empty_pillar_nothing_happens() {
    const NAME: &str = "in_the_wrong_place_and_with_an_empty_pillar_nothing_happens";
    if let Some(why) = world::missing() {
        skip!(NAME, "{why}");
    }
    let elsewhere = Machine::new("personal", PILLAR);
    let dom0 = Machine::new("dom0", PILLAR);
    dom0.call(&["saltutil.sync_states"]);
    for (machine, states) in [
        (
            &elsewhere,
            "nacre.dom0,nacre.qube,nacre.helper,nacre.storage,nacre.remove",
        ),
        (&dom0, "nacre.helper,nacre.storage"),
    ] {
        let before = machine.written("etc");
        let told = machine.apply(states, &[]);
        assert_eq!(told.len(), states.split(',').count());
        assert!(
            told.iter()
                .all(|state| state.result == Some(true)
                    && state.comment.contains("nothing was done in")),
            "{told:#?}"
        );
        assert_eq!(machine.written("etc"), before);
        let calls = std::fs::read_to_string(machine.path("calls")).unwrap_or_default();
        assert!(
            !calls.contains("qvm-volume") && !calls.contains("daemon-reload"),
            "{calls}"
        );
        assert!(!machine.path("qubes.json").exists());
    }

    // The pillar as it is shipped.
    let shipped = std::fs::read_to_string(world::root().join("salt/pillar/init.sls")).unwrap();
    let fresh = Machine::new("dom0", &shipped);
    let before = fresh.written("etc");
    let told = fresh.call(&["state.apply", "nacre.qube,nacre.dom0"]);
    assert!(!told.to_string().contains("\"changes\": {\""), "{told:#}");
    assert_eq!(fresh.written("etc"), before);
}

#[test]
fn the_shipped_pillar_is_one_also_where_somebody_takes_the_signs_away() {
    const NAME: &str = "the_shipped_pillar_is_one_also_where_somebody_takes_the_signs_away";
    if let Some(why) = world::missing() {
        skip!(NAME, "{why}");
    }
    let shipped = std::fs::read_to_string(world::root().join("salt/pillar/init.sls")).unwrap();
    let (_, example) = shipped.split_once("\nnacre: {}\n").unwrap();
    let pillar: String = example
        .lines()
        .map(|line| format!("{}\n", &line[1..]))
        .collect();
    let dom0 = Machine::new("dom0", &pillar);
    // The top file, as qubesctl reads it, sends each state to where it belongs.
    let top = dom0.call(&[
        "slsutil.renderer",
        "salt://nacre/init.top",
        "default_renderer=jinja|yaml",
    ]);
    assert_eq!(
        top["base"]["debian-13-minimal"],
        serde_json::json!(["nacre.helper"]),
        "{top:#}"
    );
    assert_eq!(
        top["base"]["sys-backup"],
        serde_json::json!(["nacre.storage"])
    );
    assert_eq!(
        top["base"]["dom0"],
        serde_json::json!([{"match": "nodegroup"}, "nacre.qube", "nacre.dom0"])
    );
}
