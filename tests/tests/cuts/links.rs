//! Links that break at a random byte, in either direction, on every way to a store; and stores that are full. What was committed is not sent
//! again, and the next run makes the archive whole.

use std::collections::BTreeMap;
use std::fs;

use nacre_tests::desk::Desk;
use nacre_tests::lab_image::Random;
use nacre_tests::mounts::{FileSystem, Mounted};
use nacre_tests::qubes_world::QubesWorld;
use nacre_tests::sshd::{Offers, Sshd};
use nacre_tests::{helper_program, skip};

use super::{assert_calm, changed, go_by_ssh, look_directly, receive, rounds, sessions, sizes};

/// Volumes of one run, each with a checkpoint at its end.
const VOLUMES: usize = 5;
/// Bytes of a volume, which do not compress.
const VOLUME: usize = 8;

/// A way to the store.
enum Way {
    /// The helper of this machine; what is cut is the protocol.
    Helper,
    /// An ssh host; what is cut is ssh's connection.
    Ssh(Sshd),
    /// A qube; what is cut is the protocol at `qrexec-client`.
    Qube(QubesWorld),
}

impl Way {
    /// The folder where the archive lies.
    fn store(&self, desk: &Desk) -> std::path::PathBuf {
        match self {
            Self::Helper => desk.path("store/archive"),
            Self::Ssh(server) => server.folder().join(desk_name(desk)),
            Self::Qube(world) => world.qube().join("home").join(desk_name(desk)),
        }
    }

    /// Makes the desk's commands go this way, and break so.
    fn take(&self, desk: &Desk, cut: &str) {
        let store = self.store(desk);
        match self {
            Self::Helper => desk.link(cut, "as-is", &helper_program(), &[]),
            Self::Ssh(server) => {
                let link = helper_program().with_file_name("nacre-test-link");
                let host = server.host();
                let address = host.split_once('@').map_or("", |(_, address)| address);
                let proxy = format!("-oProxyCommand={} --tcp {address} {cut}", link.display());
                // Somebody who is silent is given up after two seconds, not after a minute.
                let more = [&proxy, "-oServerAliveInterval=1", "-oServerAliveCountMax=1"];
                go_by_ssh(desk, server, &more, &store);
            }
            Self::Qube(world) => {
                let client = world.route().qrexec_client;
                let call = ["-d", "vault", "DEFAULT:QUBESRPC nacre.Store+ dom0"];
                desk.link(
                    cut,
                    &format!("directory {}", store.display()),
                    &client,
                    &call,
                );
            }
        }
    }

    /// A cut that is likely to fall into a send.
    fn cut(&self, random: &mut Random, long: bool) -> String {
        let all = (VOLUMES * VOLUME * super::CHUNK) as u64;
        if long && !matches!(self, Self::Ssh(_)) {
            // Nobody beneath us gives up: it takes all of nacre's own patience, two minutes, until the command ends.
            return format!("up {} stall", random.below(all));
        }
        let (down, hows): (u64, &[&str]) = match self {
            Self::Ssh(_) => (12_000, &["close", "stall", "close"]),
            _ => (2_500, &["close", "kill"]),
        };
        let how = random.pick(hows);
        if random.below(2) == 0 {
            format!("up {} {how}", random.below(all + all / 20))
        } else {
            format!("down {} {how}", random.below(down))
        }
    }
}

fn desk_name(desk: &Desk) -> String {
    let folder = desk.path("");
    folder.file_name().unwrap().to_str().unwrap().to_owned()
}

fn names() -> impl Iterator<Item = String> {
    (0..VOLUMES).map(|number| format!("v{number}"))
}

/// New volumes of the desk, and the command that sends them.
fn volumes(desk: &Desk, random: &mut Random) -> (BTreeMap<String, Vec<u8>>, Vec<String>) {
    let (mut contents, mut command) = (BTreeMap::new(), vec!["send".to_owned()]);
    for name in names() {
        let mut content = changed(random, &[], VOLUME);
        random.fill(&mut content);
        fs::write(desk.path(&name), &content).unwrap();
        command.push(desk.import(&name, &name));
        contents.insert(name, content);
    }
    command.push("--tag=one".to_owned());
    (contents, command)
}

/// What the packs of the store have in all.
fn packs(folder: &std::path::Path) -> BTreeMap<std::path::PathBuf, u64> {
    sizes(&folder.join("pack"))
        .into_iter()
        .filter(|(path, _)| {
            let path = path.to_string_lossy();
            !path.contains("/.put-") && !path.contains("/.sftp-put-")
        })
        .collect()
}

/// Sends through a link that breaks, then through one that does not. Whether it broke.
fn round(way: &Way, random: &mut Random, long: bool) -> bool {
    let desk = Desk::new();
    let store = way.store(&desk);
    look_directly(&desk, &store);
    desk.done(&["arch-init"]);
    let (contents, command) = volumes(&desk, random);
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let cut = way.cut(random, long);
    println!("{cut}");
    way.take(&desk, &cut);
    let broken = desk.run(&command);
    println!(
        "  {}: {}",
        broken.code,
        broken.err.lines().last().unwrap_or_default()
    );
    assert_calm(&broken, &[0, 1, 3]);
    look_directly(&desk, &store);
    finish(&desk, &store, &contents, &command, || {
        way.take(&desk, "never");
    });
    broken.code != 0
}

/// Gives the command again: what was committed is not sent once more, and everything is there.
fn finish(
    desk: &Desk,
    store: &std::path::Path,
    contents: &BTreeMap<String, Vec<u8>>,
    command: &[&str],
    mend: impl FnOnce(),
) {
    let listed = desk.done(&["list"]);
    let committed = names().filter(|name| listed.lines().any(|line| line.starts_with(name)));
    let committed = committed.count();
    let before = packs(store);
    mend();
    desk.done(command);
    look_directly(desk, store);
    let after = packs(store);
    let new = after.iter().filter(|(path, _)| !before.contains_key(*path));
    let sent: u64 = new.map(|(_, size)| size).sum();
    let rest = ((VOLUMES - committed) * (VOLUME + 1) * super::CHUNK) as u64;
    let trees = 64 << 10;
    println!("  {committed} volumes were kept, {sent} bytes were sent after it");
    assert!(
        sent <= rest + trees,
        "{sent} bytes, where {rest} were missing"
    );
    desk.done(&["verify", "--all"]);
    for (name, content) in contents {
        assert!(receive(desk, name, "one") == *content, "{name}");
        assert_eq!(sessions(desk, name).len(), 1, "{name}");
    }
}

fn try_links(way: &Way, what: &str, share: u64) {
    let rounds = rounds(share);
    let mut random = Random::new(1, what);
    let mut broken = 0;
    for number in 0..rounds {
        print!("{what} {number}: ");
        // Only where time was given.
        let long = number == 0 && super::rounds(1) > 1;
        broken += u64::from(round(way, &mut random, long));
    }
    println!("{what}: {broken} of {rounds} links broke");
    assert!(
        broken * 2 >= rounds,
        "only {broken} of {rounds} links broke"
    );
}

#[test]
fn a_broken_pipe_to_the_helper_loses_nothing() {
    try_links(&Way::Helper, "helper", 12);
}

#[test]
fn a_broken_ssh_connection_to_a_helper_loses_nothing() {
    match Sshd::start(Offers::Helper) {
        Ok(server) => try_links(&Way::Ssh(server), "ssh", 8),
        Err(why) => skip!("a_broken_ssh_connection_to_a_helper_loses_nothing", "{why}"),
    }
}

#[test]
fn a_broken_sftp_connection_loses_nothing() {
    match Sshd::start(Offers::Sftp) {
        Ok(server) => try_links(&Way::Ssh(server), "sftp", 8),
        Err(why) => skip!("a_broken_sftp_connection_loses_nothing", "{why}"),
    }
}

#[test]
fn a_broken_qrexec_connection_loses_nothing() {
    match QubesWorld::new() {
        Ok(world) => try_links(&Way::Qube(world), "qrexec", 12),
        Err(why) => skip!("a_broken_qrexec_connection_loses_nothing", "{why}"),
    }
}

#[test]
fn a_full_disk_loses_nothing_and_the_send_goes_on_when_there_is_room() {
    let test = "a_full_disk_loses_nothing_and_the_send_goes_on_when_there_is_room";
    let mut random = Random::new(1, "full");
    for round in 0..rounds(4) {
        let desk = Desk::new();
        let disk = match Mounted::new(FileSystem::Ext4, 32) {
            Ok(disk) => disk,
            Err(why) => skip!(test, "{why}"),
        };
        let store = disk.path().join("archive");
        look_directly(&desk, &store);
        desk.done(&["arch-init"]);
        let (contents, command) = volumes(&desk, &mut random);
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let free = rustix::fs::statvfs(disk.path()).unwrap();
        let free = free.f_bavail * free.f_bsize;
        let room = random.below(3 << 20);
        let filler = disk.path().join("filler");
        fs::write(&filler, vec![7; usize::try_from(free - room).unwrap()]).unwrap();
        let full = desk.run(&command);
        println!(
            "{round}: {room} bytes free: {}",
            full.err.lines().last().unwrap_or_default()
        );
        assert_calm(&full, &[1, 3]);
        assert!(
            full.err.contains("space") || full.err.contains("full"),
            "{full:?}"
        );
        desk.done(&["list"]);
        fs::remove_file(filler).unwrap();
        finish(&desk, &store, &contents, &command, || ());
    }
}
