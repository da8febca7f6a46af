//! Archives in backup qubes: through a stand-in for dom0's `qrexec-client` and the service script as it is installed.
#![allow(clippy::unwrap_used)] // Failing loudly is what these are for.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nacre::joints::{Store, StoreErrorKind};
use nacre::store::open;
use nacre_core::object_name::ObjectClass;
use nacre_tests::conformance::{Place, content, listed, pack};
use nacre_tests::qubes_world::{QubesWorld, write_script};
use nacre_tests::sshd::{Offers, Sshd};
use nacre_tests::{conformance_suite, skip};

struct Qube(QubesWorld);

impl Qube {
    fn new() -> Result<Self, String> {
        QubesWorld::new().map(Self)
    }
}

impl Place for Qube {
    fn open(&self, append_only: bool) -> Box<dyn Store> {
        // Append-only is the qube's own choice.
        let script = fs::read_to_string(self.0.service()).unwrap();
        let script = script.replace(" --append-only", "");
        let script = if append_only {
            script.replace("serve --ssh", "serve --ssh --append-only")
        } else {
            script
        };
        write_script(&self.0.service(), &script).unwrap();
        let launch = self.0.route().qube("vault", None, true);
        Box::new(open(&launch).unwrap())
    }
}

conformance_suite!(qrexec, maybe Qube::new());

#[test]
fn a_qube_without_a_path_keeps_the_archive_at_home() {
    let world = match QubesWorld::new() {
        Ok(world) => world,
        Err(why) => skip!("a_qube_without_a_path_keeps_the_archive_at_home", "{why}"),
    };
    let client = open(&world.route().qube("vault", None, true)).unwrap();
    client.put_whole(pack(1, 1), b"x").unwrap();
    assert!(client.capabilities().confined);
    client.close(Duration::from_secs(10)).unwrap();
    assert!(world.qube().join("home/nacre/header").is_dir());
    // Outside the folders of the service.
    let outside = world.qube().join("elsewhere");
    let launch = world.route().qube("vault", outside.to_str(), true);
    let error = open(&launch).err().unwrap();
    assert_eq!(error.kind, StoreErrorKind::Refused, "{error}");
    assert!(!outside.exists());
}

#[test]
fn what_is_wrong_with_the_qube_is_told() {
    let world = match QubesWorld::new() {
        Ok(world) => world,
        Err(why) => skip!("what_is_wrong_with_the_qube_is_told", "{why}"),
    };
    let reach = |qube: &str| open(&world.route().qube(qube, None, true)).err().unwrap();
    let error = reach("halted");
    assert!(error.detail.contains("does not run"), "{error}");
    let readable = fs::Permissions::from_mode(0o644);
    fs::set_permissions(world.service(), readable).unwrap();
    assert!(reach("vault").detail.contains("broken"));
    fs::remove_file(world.service()).unwrap();
    let error = reach("vault");
    assert_eq!(error.kind, StoreErrorKind::NotInstalled, "{error}");
    assert!(
        error.detail.contains("supported-rpc.nacre.Store"),
        "{error}"
    );
    assert!(error.detail.contains("not installed"), "{error}");
    // A service that floods stderr and prints before the protocol.
    let script =
        "#!/bin/sh\nyes '\u{1b}[2Jevil' | head -c 3000000 >&2\necho hello from profile\nexit 7\n";
    write_script(&world.service(), script).unwrap();
    let error = reach("vault");
    assert_eq!(error.kind, StoreErrorKind::Protocol, "{error}");
    write_script(
        &world.service(),
        "#!/bin/sh\nyes '\u{1b}[2Jevil' | head -c 3000000 >&2\nexit 126\n",
    )
    .unwrap();
    let error = reach("vault");
    assert_eq!(error.kind, StoreErrorKind::Denied, "{error}");
    assert!(
        error.detail.len() < 1000 && !error.detail.contains('\u{1b}'),
        "{error}"
    );
}

#[test]
fn a_qube_that_dies_loses_nothing_acknowledged() {
    let world = match QubesWorld::new() {
        Ok(world) => world,
        Err(why) => skip!("a_qube_that_dies_loses_nothing_acknowledged", "{why}"),
    };
    let rounds = std::env::var("NACRE_ROUNDS").ok();
    let rounds: u64 = rounds.and_then(|text| text.parse().ok()).unwrap_or(8);
    let mut kept = Vec::new();
    for round in 0..rounds {
        // Answers of a put have some tens of bytes, so that the cuts fall into hellos, credits and answers alike.
        let life = 20 + round * 7919 % 400;
        fs::write(world.qube().join("dies-after"), life.to_string()).unwrap();
        let mut put_some = || {
            let client = open(&world.route().qube("vault", None, true))?;
            for number in 0..20 {
                let name = pack(u8::try_from(round % 256).unwrap(), number);
                client.put_whole(name, &content(number, 10_000))?;
                kept.push((name, number));
            }
            Ok::<_, nacre::joints::StoreError>(())
        };
        // That it was the qube is known only from the exit code.
        if let Err(error) = put_some() {
            assert_eq!(error.kind, StoreErrorKind::Died, "{error}");
        }
    }
    fs::remove_file(world.qube().join("dies-after")).unwrap();
    let client = open(&world.route().qube("vault", None, true)).unwrap();
    assert!(!kept.is_empty());
    for (name, number) in &kept {
        let bytes = client.get_whole(*name, 1 << 20).unwrap().unwrap();
        assert!(bytes == content(*number, 10_000));
    }
    assert!(listed(&client, ObjectClass::Pack).len() >= kept.len());
}

#[test]
fn an_ssh_host_is_reached_through_a_qube() {
    let test = "an_ssh_host_is_reached_through_a_qube";
    for offers in [Offers::Helper, Offers::Sftp] {
        let (world, server) = match (QubesWorld::new(), Sshd::start(offers)) {
            (Ok(world), Ok(server)) => (world, server),
            (Err(why), _) | (_, Err(why)) => skip!(test, "{why}"),
        };
        fs::write(world.qube().join("online"), "").unwrap();
        // The keys are the qube's.
        let options: Vec<_> = server.options();
        let options = format!(
            "serve --ssh --ssh-option {} --ssh-option {}",
            options[0].display(),
            options[1].display()
        );
        let script = fs::read_to_string(world.service()).unwrap();
        write_script(&world.service(), &script.replace("serve --ssh", &options)).unwrap();
        let path = server.folder().join("archive; touch x");
        let launch = world
            .route()
            .qube_ssh("vault", &server.host(), path.to_str(), true);
        let client = open(&launch).unwrap();
        client
            .put_whole(pack(1, 1), &content(1, 3_000_000))
            .unwrap();
        client.barrier().unwrap();
        client.close(Duration::from_secs(10)).unwrap();
        let stored = path
            .join("pack/01")
            .join(pack(1, 1).to_string().rsplit('/').next().unwrap());
        assert!(
            fs::read(stored).unwrap() == content(1, 3_000_000),
            "{offers:?}"
        );
        assert_eq!(fs::read_dir(server.folder()).unwrap().count(), 1);
    }
}
