//! Whatever the helper does, dom0 ends with a typed error, soon, and in little memory.
#![allow(clippy::unwrap_used)] // Failing loudly is what these are for.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use nacre::joints::{Store, StoreError, StoreErrorKind as Kind};
use nacre::store::{Client, Launch, Patience, Transport, open};
use nacre_core::ids::Epoch;
use nacre_core::object_name::{ObjectClass, ObjectName};
use nacre_tests::conformance::{content, pack, range};
use nacre_wire::Locator;

const SILENCE: Duration = Duration::from_millis(400);
const IDLING: Duration = Duration::from_millis(1200);
/// Nothing here may take longer; most takes milliseconds.
const SOON: Duration = Duration::from_secs(20);

fn launch(program: &Path, arguments: &[&str], transport: Transport) -> Launch {
    Launch {
        program: program.to_owned(),
        arguments: arguments.iter().map(OsString::from).collect(),
        transport,
        locator: Locator::Directory {
            path: b"/x".to_vec(),
        },
        create: false,
        patience: Patience {
            silence: SILENCE,
            idling: IDLING,
        },
        limit: None,
    }
}

fn hostile(mode: &str) -> Result<Client, StoreError> {
    let program = Path::new(env!("CARGO_BIN_EXE_nacre-hostile-helper"));
    open(&launch(program, &[mode], Transport::Local))
}

type Act = fn(&Client) -> Result<(), StoreError>;

fn get(client: &Client) -> Result<(), StoreError> {
    client.get(pack(1, 1), &[range(0, 100)]).map(drop)
}

fn get_much(client: &Client) -> Result<(), StoreError> {
    client.get(pack(1, 1), &[range(0, 1 << 20)]).map(drop)
}

fn stat_twice(client: &Client) -> Result<(), StoreError> {
    client.stat(pack(1, 1))?;
    client.stat(pack(1, 1)).map(drop)
}

fn list(client: &Client) -> Result<(), StoreError> {
    client.list(ObjectClass::Head, &mut |_, _| ())
}

fn put(client: &Client) -> Result<(), StoreError> {
    // More than window and pipe hold; one for all, so that what is measured is the client's memory and not this.
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| content(1, 4 << 20));
    client.put_whole(pack(1, 1), &BYTES).map(drop)
}

fn barrier(client: &Client) -> Result<(), StoreError> {
    client.barrier()
}

fn delete(client: &Client) -> Result<(), StoreError> {
    client.delete(&[pack(1, 1)])
}

/// What the helper does after a proper hello, what dom0 is at, and how that must end.
const CASES: &[(&str, Act, Kind)] = &[
    ("mute-and-deaf-after-hello", get, Kind::TimedOut),
    ("mute-and-deaf-after-hello", put, Kind::TimedOut),
    ("mute-and-deaf-after-hello", list, Kind::TimedOut),
    ("alive-for-ever", barrier, Kind::TimedOut),
    ("drip", get_much, Kind::TimedOut),
    ("gigantic-data", get, Kind::Protocol),
    ("gigantic-listing", list, Kind::Protocol),
    ("reserved-bytes", barrier, Kind::Protocol),
    ("wrong-id", barrier, Kind::Protocol),
    ("wrong-id", put, Kind::Protocol),
    ("wrong-kind", barrier, Kind::Protocol),
    ("wrong-kind", get, Kind::Protocol),
    ("wrong-kind", put, Kind::Protocol),
    ("wrong-kind", list, Kind::Protocol),
    ("request-as-reply", get, Kind::Protocol),
    ("unknown-kind", get, Kind::Protocol),
    ("second-hello", get, Kind::Protocol),
    ("short-data", get, Kind::Protocol),
    ("long-data", get, Kind::Protocol),
    ("no-data", get, Kind::Protocol),
    ("empty-data", get, Kind::Protocol),
    ("data-flood", get, Kind::Protocol),
    ("data-flood", barrier, Kind::Protocol),
    ("replay", stat_twice, Kind::Protocol),
    ("listing-flood", list, Kind::Protocol),
    ("listing-of-another-class", list, Kind::Protocol),
    ("listing-with-paths", list, Kind::Protocol),
    ("half-a-frame", get_much, Kind::Died),
    ("trailing-bytes", delete, Kind::Protocol),
    ("early-success", put, Kind::Protocol),
    ("credit-flood", put, Kind::Protocol),
    ("no-credit", put, Kind::TimedOut),
    ("deaf", put, Kind::TimedOut),
    ("fatal", barrier, Kind::Died),
    ("orphan", barrier, Kind::TimedOut),
    ("hello-too-generous", put, Kind::TimedOut),
];

#[test]
fn misbehaviour_ends_in_a_typed_error_soon() {
    // Most of them wait for a deadline, so they can do it together.
    std::thread::scope(|scope| {
        for some in CASES.chunks(CASES.len().div_ceil(6)) {
            scope.spawn(|| some.iter().for_each(misbehave));
        }
    });
    assert!(peak_memory_mib() < 64, "{} MiB", peak_memory_mib());
}

fn misbehave((mode, act, kind): &(&str, Act, Kind)) {
    let started = Instant::now();
    let client = hostile(mode).unwrap_or_else(|error| panic!("{mode}: {error}"));
    let error = act(&client)
        .err()
        .unwrap_or_else(|| panic!("{mode} went unnoticed"));
    assert_eq!(error.kind, *kind, "{mode}: {error}");
    // Later calls fail at once, with the same reason.
    let later = client.stat(pack(2, 2)).unwrap_err();
    assert_eq!(later.kind, *kind, "{mode}, later: {later}");
    drop(client);
    assert!(
        started.elapsed() < SOON,
        "{mode} took {:?}",
        started.elapsed()
    );
}

fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1024
}

#[test]
fn hellos_that_are_none_are_refused() {
    for (mode, kind) in [
        ("garbage", Kind::Protocol),
        ("greeting", Kind::Protocol),
        ("mute", Kind::TimedOut),
        ("hello-from-the-future", Kind::Protocol),
        ("hello-without-room", Kind::Protocol),
        ("too-old", Kind::TooOld),
        ("escapes", Kind::Refused),
        ("stderr-flood", Kind::NoArchive),
    ] {
        let started = Instant::now();
        let error = hostile(mode)
            .err()
            .unwrap_or_else(|| panic!("{mode} went unnoticed"));
        assert_eq!(error.kind, kind, "{mode}: {error}");
        assert!(
            started.elapsed() < SOON,
            "{mode} took {:?}",
            started.elapsed()
        );
    }
}

#[test]
fn several_threads_all_hear_of_the_end() {
    for mode in [
        "mute-and-deaf-after-hello",
        "unknown-kind",
        "half-a-frame",
        "alive-for-ever",
    ] {
        let client = hostile(mode).unwrap();
        let started = Instant::now();
        std::thread::scope(|scope| {
            for number in 0..12 {
                let client = &client;
                scope.spawn(move || match number % 4 {
                    0 => assert!(get(client).is_err()),
                    1 => assert!(put(client).is_err()),
                    2 => assert!(list(client).is_err()),
                    _ => assert!(barrier(client).is_err()),
                });
            }
        });
        assert!(started.elapsed() < SOON, "{mode}");
    }
}

#[test]
fn nothing_of_the_other_side_steers_the_terminal() {
    let error = hostile("escapes").err().unwrap().to_string();
    assert!(error.contains("owned") && error.contains("evil"), "{error}");
    for character in error.chars() {
        assert!(nacre::joints::sanitise::is_harmless(character), "{error:?}");
    }
}

#[test]
fn a_claimed_size_takes_no_memory() {
    let client = hostile("huge-size").unwrap();
    let head = ObjectName::Head(Epoch(1));
    assert_eq!(client.stat(head).unwrap(), Some(u64::MAX));
    let error = client.get_whole(head, 1 << 20).unwrap_err();
    assert_eq!(error.kind, Kind::TooLarge);
}

#[test]
fn a_missing_helper_is_told_as_such() {
    let absent = PathBuf::from("/nonexistent/nacre-helper");
    let error = open(&launch(&absent, &[], Transport::Local)).err().unwrap();
    assert_eq!(error.kind, Kind::NotInstalled, "{error}");
    let folder = open(&launch(Path::new("/tmp"), &[], Transport::Local))
        .err()
        .unwrap();
    assert_eq!(folder.kind, Kind::NotInstalled, "{folder}");
}

#[test]
fn the_exit_codes_of_qrexec_are_told_apart() {
    for (code, kind, words) in [
        (126, Kind::Denied, "policy refused"),
        (127, Kind::NotInstalled, "not installed in the backup qube"),
        (125, Kind::NotInstalled, "does not run"),
        (255, Kind::Died, "qrexec agent"),
        (7, Kind::Died, "exit code 7"),
    ] {
        let script = format!("echo 'what\x1b[2J happened' >&2; exit {code}");
        let shell = launch(Path::new("/bin/sh"), &["-c", &script], Transport::Qrexec);
        let error = open(&shell).err().unwrap();
        assert_eq!(error.kind, kind, "{error}");
        let text = error.to_string();
        assert!(text.contains(words) && text.contains("happened"), "{text}");
        assert!(!text.contains('\x1b'));
    }
}

#[test]
fn a_killed_helper_is_told_with_its_signal() {
    let shell = launch(
        Path::new("/bin/sh"),
        &["-c", "kill -9 $$"],
        Transport::Local,
    );
    let error = open(&shell).err().unwrap();
    assert_eq!(error.kind, Kind::Died);
    assert!(error.to_string().contains("signal 9"), "{error}");
}

#[test]
fn an_abandoned_client_kills_its_helper() {
    let program = Path::new(env!("CARGO_BIN_EXE_nacre-hostile-helper"));
    let patient = Launch {
        patience: Patience::default(),
        ..launch(program, &["mute-and-deaf-after-hello"], Transport::Local)
    };
    let client = open(&patient).unwrap();
    let started = Instant::now();
    drop(client);
    assert!(started.elapsed() < SOON);
}
