//! Archives on ssh hosts: by the helper over there, and by SFTP alone.
#![allow(clippy::unwrap_used)] // Failing loudly is what these are for.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use nacre::joints::{PutOutcome, PutStream, Store, StoreError, StoreErrorKind};
use nacre::store::{Client, Route, open};
use nacre_core::object_name::ObjectClass;
use nacre_tests::conformance::{Place, content, listed, pack};
use nacre_tests::sshd::{EXTENSIONS, Offers, Sshd};
use nacre_tests::{conformance_suite, helper_program, skip};

/// A fresh archive behind a server of its own.
struct Host(Sshd);

impl Host {
    fn with(offers: Offers) -> Result<Self, String> {
        Sshd::start(offers).map(Self)
    }

    /// One where a single login serves all that follow.
    fn entered(offers: Offers) -> Result<Self, String> {
        let mut server = Sshd::start(offers)?;
        server.share_login()?;
        Ok(Self(server))
    }

    fn route(&self) -> Route {
        Route {
            helper: Some(helper_program()),
            ssh_options: self.0.options(),
            ..Route::default()
        }
    }

    fn reach(&self, path: &str, create: bool) -> Result<Client, StoreError> {
        open(&self.route().ssh(&self.0.host(), Some(path), create)?)
    }

    fn archive(&self) -> String {
        self.0.folder().join("archive").to_str().unwrap().to_owned()
    }
}

impl Place for Host {
    fn open(&self, append_only: bool) -> Box<dyn Store> {
        let mut launch = self
            .route()
            .ssh(&self.0.host(), Some(&self.archive()), true)
            .unwrap();
        if append_only {
            launch.arguments.push("--append-only".into());
        }
        Box::new(open(&launch).unwrap())
    }
}

conformance_suite!(helper_over_ssh, maybe Host::entered(Offers::Helper));
conformance_suite!(sftp, maybe Host::entered(Offers::Sftp));
// By the plain rename, without fsync, in small pieces, and copied by way of the helper.
conformance_suite!(bare_sftp, maybe Host::entered(Offers::SftpWithout("hardlink,fsync,limits,copy-data")));

#[test]
fn each_way_says_what_it_is_and_ends_well() {
    // Whether names are given by more than one writer's care, and whether the disk is forced.
    for (offers, single_writer, unsynced) in [
        (Offers::Helper, false, false),
        (Offers::Sftp, false, false),
        (Offers::ForcedSftp, false, false),
        (Offers::SftpWithout("hardlink"), true, false),
        (Offers::SftpWithout("fsync"), false, true),
        (Offers::SftpWithout(EXTENSIONS), true, true),
    ] {
        let host = match Host::with(offers) {
            Ok(host) => host,
            Err(why) => skip!("each_way_says_what_it_is_and_ends_well", "{why}"),
        };
        let client = host.reach(&host.archive(), true).unwrap();
        let said = client.capabilities();
        assert!(said.confined, "{offers:?}");
        assert_eq!(
            (said.single_writer, said.unsynced),
            (single_writer, unsynced),
            "{offers:?}"
        );
        let hazards = client.hazards();
        assert_eq!(
            (hazards.single_writer, hazards.unsynced),
            (single_writer, unsynced)
        );
        let free = client.free_space().map_err(|error| error.kind);
        match offers {
            Offers::SftpWithout(EXTENSIONS) => assert_eq!(free, Err(StoreErrorKind::Unsupported)),
            _ => assert!(free.unwrap() > 0, "{offers:?}"),
        }
        assert_eq!(
            client.put_whole(pack(1, 1), b"x").unwrap(),
            PutOutcome::Created
        );
        for text in [b"first", b"again"] {
            client.leave_restorer(0xbeef, text).unwrap();
        }
        client.barrier().unwrap();
        client.close(Duration::from_secs(10)).unwrap();
        let folder = host.0.folder().join("archive/pack/01");
        let names: Vec<_> = fs::read_dir(folder).unwrap().collect();
        assert_eq!(names.len(), 1, "{offers:?}: no leftover");
        let archive = host.0.folder().join("archive");
        let restorer = fs::read(archive.join("emergency_restore.0000beef.py")).unwrap();
        assert_eq!(restorer, b"first", "{offers:?}");
        assert_eq!(fs::read_dir(archive).unwrap().count(), 1 + 3, "{offers:?}");
    }
}

#[test]
fn hostile_paths_are_only_paths() {
    for offers in [Offers::Helper, Offers::Sftp] {
        let host = match Host::entered(offers) {
            Ok(host) => host,
            Err(why) => skip!("hostile_paths_are_only_paths", "{why}"),
        };
        let folder = host.0.folder();
        for name in [
            "a;touch pwned",
            "$(touch pwned)",
            "`touch pwned`",
            "a b'c\"d",
            "-oProxyCommand=touch pwned",
            "*?[x]",
            "a\\b",
            "%h",
            "\u{1b}[31mred",
        ] {
            let path = folder.join(name);
            let client = host.reach(path.to_str().unwrap(), true).unwrap();
            client.put_whole(pack(1, 1), b"x").unwrap();
            drop(client);
            assert!(path.join("header").is_dir(), "{offers:?} {name}");
        }
        let up = format!("{}/../data/archive", folder.display());
        let error = host.reach(&up, true).err().unwrap();
        assert_eq!(error.kind, StoreErrorKind::Refused, "{error}");
        let found = fs::read_dir(&folder).unwrap().count();
        assert_eq!(found, 9, "{offers:?}: nothing else was made");
    }
}

#[test]
fn what_cannot_be_reached_is_told_and_nothing_hangs() {
    let test = "what_cannot_be_reached_is_told_and_nothing_hangs";
    let mut host = match Host::with(Offers::Nothing) {
        Ok(host) => host,
        Err(why) => skip!(test, "{why}"),
    };
    let error = host.reach("/tmp/a", true).err().unwrap();
    assert_eq!(error.kind, StoreErrorKind::Unsupported, "{error}");
    assert!(
        error.detail.contains("neither nacre-helper nor SFTP"),
        "{error}"
    );
    let begun = Instant::now();
    // An unknown host key, a wrong key: questions, were somebody there to answer.
    for (option, said) in [
        (
            "-oUserKnownHostsFile=/dev/null",
            "Host key verification failed",
        ),
        ("-oIdentityFile=/no/such/key", "Permission denied"),
    ] {
        let mut route = host.route();
        route.ssh_options.insert(0, option.into());
        if option.contains("Identity") {
            // Without the key of the configuration.
            route.ssh_options = vec![
                "-F".into(),
                "none".into(),
                "-oStrictHostKeyChecking=no".into(),
                "-oUserKnownHostsFile=/dev/null".into(),
                "-oIdentitiesOnly=yes".into(),
                option.into(),
            ];
        }
        let launch = route.ssh(&host.0.host(), None, true).unwrap();
        let error = open(&launch).err().unwrap();
        assert_eq!(error.kind, StoreErrorKind::Unreachable, "{error}");
        assert!(error.detail.contains(said), "{error}");
    }
    host.0.cut();
    let error = host.reach("/tmp/a", true).err().unwrap();
    assert_eq!(error.kind, StoreErrorKind::Unreachable, "{error}");
    assert!(error.detail.contains("refused"), "{error}");
    for bad in ["-oProxyCommand=touch x", "a b", "me@-x", ""] {
        let error = open(&host.route().ssh(bad, None, true).unwrap());
        let error = error.err().unwrap();
        assert_eq!(error.kind, StoreErrorKind::Refused, "{bad}: {error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn an_absent_archive_is_told_and_not_made() {
    for offers in [Offers::Helper, Offers::Sftp] {
        let host = match Host::with(offers) {
            Ok(host) => host,
            Err(why) => skip!("an_absent_archive_is_told_and_not_made", "{why}"),
        };
        let folder = host.0.folder();
        for (path, create) in [
            (folder.join("a"), false),
            (folder.clone(), false),
            (folder.join("a/b"), true),
        ] {
            let error = host.reach(path.to_str().unwrap(), create).err().unwrap();
            assert_eq!(error.kind, StoreErrorKind::NoArchive, "{offers:?} {error}");
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    }
}

#[test]
fn what_was_acknowledged_survives_a_host_that_is_switched_off() {
    for offers in [Offers::Helper, Offers::Sftp] {
        let mut host = match Host::with(offers) {
            Ok(host) => host,
            Err(why) => skip!(
                "what_was_acknowledged_survives_a_host_that_is_switched_off",
                "{why}"
            ),
        };
        let client = host.reach(&host.archive(), true).unwrap();
        for number in 0..5 {
            client
                .put_whole(pack(1, number), &content(number, 300_000))
                .unwrap();
        }
        let mut half = client.put_new(pack(1, 9)).unwrap();
        half.write(&content(9, 1 << 20)).unwrap();
        host.0.cut();
        let error = half
            .write(&content(9, 8 << 20))
            .and_then(|()| half.finish()?.wait().map(drop))
            .unwrap_err();
        assert!(
            matches!(
                error.kind,
                StoreErrorKind::Died | StoreErrorKind::Unreachable
            ),
            "{offers:?} {error}"
        );
        drop(client);
        let archive = PathBuf::from(host.archive());
        let store = nacre_tests::open_helper(&archive, false).unwrap();
        let there = listed(store.as_ref(), ObjectClass::Pack);
        assert_eq!(there.len(), 5, "{offers:?}");
        for (number, (name, _)) in there.iter().enumerate() {
            let bytes = store.get_whole(*name, 1 << 20).unwrap().unwrap();
            assert!(bytes == content(number as u64, 300_000));
        }
    }
}

#[test]
fn a_file_that_the_server_has_kept_in_part_is_never_acknowledged() {
    for (how, without) in [
        ("quota-told", "statvfs"),
        ("quota-told", "fsync"),
        ("quota-told", "hardlink"),
        ("quota-untold", "fsync"),
        ("quota-untold", "fsync,hardlink"),
    ] {
        let host = match Host::with(Offers::BrokenSftp(how, without)) {
            Ok(host) => host,
            Err(why) => skip!(
                "a_file_that_the_server_has_kept_in_part_is_never_acknowledged",
                "{why}"
            ),
        };
        let client = host.reach(&host.archive(), true).unwrap();
        let put = client.put_whole(pack(1, 1), &content(1, 1 << 20));
        let error = put.expect_err(how);
        assert_eq!(error.kind, StoreErrorKind::Io, "{how} {without}: {error}");
        let said = match how {
            "quota-told" => "quota exceeded",
            _ => "bytes",
        };
        assert!(error.detail.contains(said), "{how} {without}: {error}");
        assert_eq!(client.stat(pack(1, 1)).unwrap(), None, "{how} {without}");
        // The connection lives on, and what fits still fits.
        client.put_whole(pack(1, 2), b"small").unwrap();
        client.barrier().unwrap();
        client.close(Duration::from_secs(10)).unwrap();
        let folder = host.0.folder().join("archive/pack/01");
        let left = fs::read_dir(folder).unwrap().count();
        assert_eq!(left, 1, "{how} {without}: no leftover");
    }
}

#[test]
fn an_archive_can_be_made_where_folders_cannot_be_forced_to_the_disk() {
    let test = "an_archive_can_be_made_where_folders_cannot_be_forced_to_the_disk";
    let host = match Host::with(Offers::BrokenSftp("no-folders", "")) {
        Ok(host) => host,
        Err(why) => skip!(test, "{why}"),
    };
    let client = host.reach(&host.archive(), true).unwrap();
    assert!(client.hazards().unsynced, "which is told");
    client.put_whole(pack(1, 1), b"x").unwrap();
    client.barrier().unwrap();
}

/// Sends most of an object; the file that the other side has for it.
fn half_sent<'a>(host: &Host, client: &'a Client) -> (Box<dyn PutStream + 'a>, PathBuf) {
    let mut half = client.put_new(pack(1, 1)).unwrap();
    // More than may be on its way: some of it has been dealt with.
    half.write(&content(1, 3 << 20)).unwrap();
    let folder = host.0.folder().join("archive/pack/01");
    let file = fs::read_dir(folder).unwrap().next().unwrap().unwrap();
    (half, file.path())
}

#[test]
fn what_is_under_way_by_sftp_is_no_leftover_to_a_helper_of_the_host() {
    let test = "what_is_under_way_by_sftp_is_no_leftover_to_a_helper_of_the_host";
    let host = match Host::with(Offers::Sftp) {
        Ok(host) => host,
        Err(why) => skip!(test, "{why}"),
    };
    let client = host.reach(&host.archive(), true).unwrap();
    let (half, file) = half_sent(&host, &client);
    let leave = |path: &Path, days: u64| {
        let file = fs::File::create(path).unwrap();
        let then = SystemTime::now() - Duration::from_secs(days * 24 * 3600);
        file.set_modified(then).unwrap();
    };
    let archive = PathBuf::from(host.archive());
    let (dead, young) = (
        file.with_file_name(".sftp-put-dead"),
        archive.join("head/.sftp-put-young"),
    );
    leave(&dead, 3);
    leave(&young, 1);
    let local = nacre_tests::open_helper(&archive, false).unwrap();
    for class in [ObjectClass::Head, ObjectClass::Pack] {
        assert_eq!(listed(local.as_ref(), class), []);
    }
    assert!(file.exists() && young.exists() && !dead.exists());
    leave(&dead, 3);
    assert_eq!(listed(&client, ObjectClass::Pack), []);
    assert!(file.exists() && !dead.exists(), "listed by SFTP");
    leave(&archive.join(".sftp-put-dead"), 3);
    drop(nacre_tests::open_helper(&archive, false).unwrap());
    assert!(!archive.join(".sftp-put-dead").exists());
    let outcome = half.finish().unwrap().wait().unwrap();
    assert_eq!(outcome, PutOutcome::Created);
    let bytes = local.get_whole(pack(1, 1), 4 << 20).unwrap().unwrap();
    assert!(bytes == content(1, 3 << 20));
}

#[test]
fn a_put_whose_file_was_taken_away_is_not_said_to_be_a_missing_object() {
    for offers in [
        Offers::Helper,
        Offers::Sftp,
        Offers::SftpWithout("hardlink,fsync"),
    ] {
        let host = match Host::with(offers) {
            Ok(host) => host,
            Err(why) => skip!(
                "a_put_whose_file_was_taken_away_is_not_said_to_be_a_missing_object",
                "{why}"
            ),
        };
        let client = host.reach(&host.archive(), true).unwrap();
        let (half, file) = half_sent(&host, &client);
        fs::remove_file(file).unwrap();
        let error = half.finish().unwrap().wait().unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Io, "{offers:?}: {error}");
    }
}
