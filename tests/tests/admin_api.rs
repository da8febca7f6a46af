//! The Admin API's client against the double of qubesd, on both releases.

#![allow(clippy::unwrap_used)] // Failing loudly is what these are for.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use nacre::admin::{AdminApi, Socket};
use nacre::joints::qubes::{
    Assignment, BlockDevice, NewQube, QubeClass, QubeRegistry, QubeState, RegistryErrorKind,
};
use nacre_tests::qubesd::{Qubesd, Release, World};

const BOTH: [Release; 2] = [Release::R42, Release::R43];

fn system(release: Release) -> (Qubesd, AdminApi) {
    let mut world = World::new(release);
    world.add("debian-13", "TemplateVM", None, "black");
    world.add("work", "AppVM", Some("debian-13"), "blue");
    let usb = world.add("sys-usb", "AppVM", Some("debian-13"), "red");
    usb.running = true;
    usb.offers
        .insert("sda1".to_owned(), "size=31457280 device_id='x'".to_owned());
    let qubesd = Qubesd::start(world);
    let api = AdminApi::at(&qubesd.external(), &qubesd.internal());
    (qubesd, api)
}

fn new_qube(name: &str, class: QubeClass, template: Option<&str>) -> NewQube {
    NewQube {
        name: name.to_owned(),
        class,
        template: template.map(str::to_owned),
        label: "green".to_owned(),
        pools: BTreeMap::new(),
    }
}

#[test]
fn every_qube_is_listed_with_what_is_set() {
    for release in BOTH {
        let (_qubesd, api) = system(release);
        let rows = api.list().unwrap();
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["dom0", "debian-13", "sys-usb", "work"]);
        assert!(rows[3].halted && !rows[2].halted);
        assert_eq!(rows[1].uuid.is_some(), release == Release::R43);
        let properties = api.properties("work").unwrap();
        assert_eq!(properties["template"].value, "debian-13");
        assert!(!properties["template"].is_default && properties["memory"].is_default);
        let volumes = api.volumes("work").unwrap();
        let kept: Vec<&str> = volumes
            .iter()
            .filter(|volume| volume.kept && volume.writable)
            .map(|volume| volume.vid.as_str())
            .collect();
        assert_eq!(kept, ["qubes_dom0/vm-work-private"]);
        let pool = api.pool(&volumes[1].pool).unwrap();
        assert_eq!(pool.driver, "lvm_thin");
        assert_eq!(pool.values["thin_pool"], "vm-pool");
        assert_eq!(api.labels().unwrap().len(), 8);
        assert_eq!(
            api.global_properties().unwrap()["default_pool"].value,
            "vm-pool"
        );
    }
}

#[test]
fn what_is_set_is_read_back() {
    for release in BOTH {
        let (_qubesd, api) = system(release);
        api.create(&new_qube("new", QubeClass::App, Some("debian-13")))
            .unwrap();
        api.set_property("new", "netvm", "sys-usb").unwrap();
        api.set_property("new", "memory", "777").unwrap();
        api.set_feature("new", "service.cups", "1").unwrap();
        api.set_feature("new", "menu-items", "a b; c=d").unwrap();
        api.add_tag("new", "mine").unwrap();
        api.remove_tag("new", "created-by-dom0").unwrap();
        let rules = "action=accept dsthost=example.org proto=tcp dstports=443-443\naction=drop comment=no more\n";
        api.set_firewall("new", rules).unwrap();
        api.set_revisions("new", "private", 5).unwrap();
        let device = Assignment {
            class: "pci".to_owned(),
            backend: "dom0".to_owned(),
            port: "00_1a.0".to_owned(),
            device: if release == Release::R43 {
                "0x8086:0x1"
            } else {
                ""
            }
            .to_owned(),
            mode: "required".to_owned(),
            options: [("no-strict-reset".to_owned(), "True".to_owned())].into(),
        };
        api.assign("new", &device).unwrap();

        let properties = api.properties("new").unwrap();
        assert_eq!(properties["netvm"].value, "sys-usb");
        assert_eq!(properties["memory"].value, "777");
        let features = api.features("new").unwrap();
        assert_eq!(features["menu-items"], "a b; c=d");
        assert_eq!(api.tags("new").unwrap(), ["mine"]);
        assert_eq!(api.firewall("new").unwrap(), rules);
        let volumes = api.volumes("new").unwrap();
        let private = volumes.iter().find(|volume| volume.name == "private");
        assert_eq!(private.unwrap().revisions, 5);
        let assigned = api.assignments("new").unwrap();
        let expected = Assignment {
            device: if release == Release::R43 {
                "0x8086:0x1"
            } else {
                ""
            }
            .to_owned(),
            ..device
        };
        assert_eq!(assigned, [expected]);

        let notes = api.notes("new").unwrap();
        if release == Release::R43 {
            assert_eq!(notes.as_deref(), Some(""));
            api.set_notes("new", "for\nwork").unwrap();
            assert_eq!(api.notes("new").unwrap().unwrap(), "for\nwork");
        } else {
            assert_eq!(notes, None);
        }
        api.remove("new").unwrap();
        assert_eq!(
            api.tags("new").map_err(|error| error.kind),
            Err(RegistryErrorKind::NoQube)
        );
    }
}

#[test]
fn refusals_are_told_apart_with_the_apis_own_words() {
    let (qubesd, api) = system(Release::R43);
    let kind = |result: Result<(), nacre::joints::qubes::RegistryError>| {
        let error = result.unwrap_err();
        (error.kind, error.to_string())
    };
    let (got, text) = kind(api.set_property("work", "nosuch", "1"));
    assert_eq!(got, RegistryErrorKind::NoSuchThing);
    assert_eq!(
        text,
        "admin.vm.property.Set of work: Invalid property 'nosuch' of work"
    );
    let (got, _) = kind(api.set_property("work", "netvm", "gone"));
    assert_eq!(got, RegistryErrorKind::BadValue);
    let (got, _) = kind(api.set_property("work", "qid", "7"));
    assert_eq!(got, RegistryErrorKind::Refused);
    let (got, _) = kind(api.create(&new_qube("work", QubeClass::App, Some("debian-13"))));
    assert_eq!(got, RegistryErrorKind::BadValue);
    let (got, _) = kind(api.create(&new_qube("other", QubeClass::App, Some("gone"))));
    assert_eq!(got, RegistryErrorKind::NoQube);
    let (got, _) = kind(api.remove("debian-13"));
    assert_eq!(got, RegistryErrorKind::InUse);
    let (got, _) = kind(api.set_feature("work", "x", "zwei\nZeilen"));
    assert_eq!(got, RegistryErrorKind::BadValue);
    qubesd.world().refused.insert("admin.vm.List".to_owned());
    let (got, text) = kind(api.list().map(drop));
    assert_eq!(got, RegistryErrorKind::Refused);
    assert!(text.contains("journalctl -u qubesd"), "{text}");
}

#[test]
fn a_block_device_is_attached_until_it_is_detached() {
    for release in BOTH {
        let (_qubesd, api) = system(release);
        let offered = api.block_devices("sys-usb").unwrap();
        assert_eq!(offered[0].port, "sda1");
        let error = api.attach_block("work", &offered[0]).unwrap_err();
        assert_eq!(error.kind, RegistryErrorKind::NotRunning);
        assert_eq!(api.state("work").unwrap(), QubeState::Halted);
        api.start("work").unwrap();
        assert_eq!(api.state("work").unwrap(), QubeState::Running);
        api.start("work").unwrap();
        api.attach_block("work", &offered[0]).unwrap();
        let attached = api.attached_blocks("work").unwrap();
        let ports: Vec<(&str, &str)> = attached
            .iter()
            .map(|block| (block.backend.as_str(), block.port.as_str()))
            .collect();
        assert_eq!(ports, [("sys-usb", "sda1")]);
        api.detach_block("work", &offered[0]).unwrap();
        assert_eq!(
            api.attached_blocks("work").unwrap(),
            Vec::<BlockDevice>::new()
        );
        assert_eq!(api.assignments("work").unwrap(), []);
        api.shutdown("work").unwrap();
        assert!(
            api.list()
                .unwrap()
                .iter()
                .any(|row| row.name == "work" && row.halted)
        );
    }
}

#[test]
fn an_import_replaces_the_volume_whole_or_not_at_all() {
    let (qubesd, api) = system(Release::R43);
    let folder = qubesd.folder().to_owned();
    qubesd.world().volumes_at = Some(folder);
    let place = api.import_begin("work", "private", 8192).unwrap();
    assert_eq!(place.size, 8192);
    std::fs::write(&place.path, b"new").unwrap();
    api.import_end("work", "private", Some("the store ended"))
        .unwrap();
    assert_eq!(qubesd.world().qubes["work"].volumes["private"].file, None);

    let place = api.import_begin("work", "private", 8192).unwrap();
    std::fs::write(&place.path, b"new").unwrap();
    api.import_end("work", "private", None).unwrap();
    let file = qubesd.world().qubes["work"].volumes["private"].file.clone();
    assert_eq!(std::fs::read(file.unwrap()).unwrap(), b"new");

    let refused = |volume: &str| api.import_begin("work", volume, 1).unwrap_err().kind;
    assert_eq!(refused("root"), RegistryErrorKind::Refused);
    api.start("work").unwrap();
    assert_eq!(refused("private"), RegistryErrorKind::NotHalted);
}

#[test]
fn a_restore_mark_keeps_the_qube_from_starting() {
    let (_qubesd, api) = system(Release::R43);
    api.add_tag("work", "backup-restore-in-progress").unwrap();
    assert!(api.start("work").is_err());
    api.remove_tag("work", "backup-restore-in-progress")
        .unwrap();
    api.start("work").unwrap();
}

#[test]
fn silence_and_nonsense_end_in_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sock");
    let api = || {
        let socket = Socket::new(&path).with_patience(Duration::from_millis(200));
        AdminApi::over(socket.clone(), socket)
    };
    assert_eq!(
        api().list().unwrap_err().kind,
        RegistryErrorKind::Unreachable
    );
    let listener = UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || {
        let answers: [&[u8]; 3] = [b"0\0work\n", b"0\0\xff\xfe", b"yes"];
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            stream.read_to_end(&mut request).unwrap();
            stream.write_all(answer).unwrap();
        }
        // The last caller is never answered.
        let (_stream, _) = listener.accept().unwrap();
        std::thread::sleep(Duration::from_millis(600));
    });
    for _ in 0..3 {
        assert_eq!(api().list().unwrap_err().kind, RegistryErrorKind::Protocol);
    }
    let begun = Instant::now();
    assert_eq!(api().list().unwrap_err().kind, RegistryErrorKind::TimedOut);
    assert!(begun.elapsed() < Duration::from_millis(550));
    server.join().unwrap();
}

#[test]
fn after_silence_the_next_answer_is_not_waited_for_as_long() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sock");
    let _listener = UnixListener::bind(&path).unwrap();
    let socket = Socket::new(&path).with_patience(Duration::from_secs(2));
    let api = AdminApi::over(socket.clone(), socket);
    let wait = || {
        let begun = Instant::now();
        assert_eq!(api.list().unwrap_err().kind, RegistryErrorKind::TimedOut);
        begun.elapsed()
    };
    let (first, second) = (wait(), wait());
    assert!(first >= Duration::from_secs(2), "{first:?}");
    assert!(second < first / 2, "{second:?} after {first:?}");
}
