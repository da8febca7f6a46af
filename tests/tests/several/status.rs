//! `nacre status`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nacre_tests::mounts::{FileSystem, Mounted};
use nacre_tests::skip;
use serde_json::Value;

use crate::room::Room;

#[test]
fn status_tells_without_reaching_the_target_what_is_old_and_what_was_never_sent() {
    let room = Room::made("");
    assert_eq!(room.send_image(&["--dest=one"]).code, 0);
    room.done(&["add", "other", "--dest=one"]);
    room.done(&["list", "--dest=one"]);
    // Neither store nor key is needed.
    fs::rename(room.store("one"), room.desk.path("away")).unwrap();
    fs::rename(room.desk.path("key-of-one"), room.desk.path("no-key")).unwrap();
    let volumes = room.status("volume", &[]);
    assert_eq!(volumes.len(), 2, "{volumes:?}");
    // Never backed up comes first.
    assert_eq!(volumes[0]["volume"], "other");
    assert_eq!(volumes[0]["current"], Value::Null);
    assert_eq!(volumes[1]["volume"], "vm");
    assert!(volumes[1]["age"].as_i64().unwrap() >= 0);
    assert_eq!(volumes[1]["outstanding"], Value::Null);
    let text = room.done(&["status"]);
    assert!(text.contains("never") && text.contains("unknown"), "{text}");
    // The ini names it, and nothing was ever done there but its making.
    assert!(text.contains("two (file:"), "{text}");
    let one = room.done(&["status", "--dest=one"]);
    assert!(!one.contains("two ("), "{one}");
}

#[test]
fn an_unchanged_volume_is_as_young_as_the_run_that_found_it_so() {
    let room = Room::made("dest = one");
    assert_eq!(room.send_image(&[]).code, 0);
    let first = room.status("volume", &[])[0].clone();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(room.send_image(&[]).code, 0);
    let second = room.status("volume", &[])[0].clone();
    assert_eq!(first["session"], second["session"]);
    assert!(second["current"].as_i64() > first["current"].as_i64());
    // To look at the archive makes nothing younger.
    room.done(&["list"]);
    assert_eq!(room.status("volume", &[])[0]["current"], second["current"]);
}

#[test]
fn the_file_for_prometheus_is_replaced_whole_and_readable_for_others() {
    let room = Room::made("dest = one");
    let path = room.desk.path("nacre.prom");
    let option = format!("--prometheus={}", path.display());
    assert_eq!(room.done(&["status", &option]), "");
    assert_eq!(room.send_image(&[]).code, 0);
    fs::rename(room.store("one"), room.desk.path("away")).unwrap();
    assert_eq!(room.send_image(&[]).code, 1);
    room.done(&["status", &option]);
    let text = fs::read_to_string(&path).unwrap();
    let last = r#"nacre_last_success_timestamp_seconds{target="one",volume="vm"} 1"#;
    assert!(text.contains(last), "{text}");
    assert!(
        text.contains("nacre_target_failed{target=\"one\"} 1\n"),
        "{text}"
    );
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o644
    );
    // Nothing else is left beside it.
    let names = fs::read_dir(path.parent().unwrap()).unwrap();
    let names: Vec<String> = names
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        names.iter().filter(|name| name.contains("prom")).count(),
        1,
        "{names:?}"
    );
    let ended = room.run(&["status", "--prometheus=/no/such/folder/x.prom"]);
    assert_eq!(ended.code, 1, "{ended:?}");
}

#[test]
fn a_memory_that_cannot_be_read_is_none_and_is_written_anew() {
    let room = Room::made("dest = one");
    assert_eq!(room.send_image(&[]).code, 0);
    for file in fs::read_dir(room.desk.path("state/status")).unwrap() {
        fs::write(file.unwrap().path(), b"{\"volumes\": 7").unwrap();
    }
    assert_eq!(room.status("volume", &[]).len(), 0);
    room.done(&["list"]);
    assert_eq!(room.status("volume", &[]).len(), 1);
}

#[test]
fn what_a_store_cannot_promise_is_in_the_status() {
    let test = "what_a_store_cannot_promise_is_in_the_status";
    let disk = match Mounted::new(FileSystem::ExfatFuse, 64) {
        Ok(disk) => disk,
        Err(why) => skip!(test, "{why}"),
    };
    let room = Room::new("dest = disk");
    let ini = fs::read_to_string(room.desk.path("nacre.ini")).unwrap();
    let archive = disk.path().join("archive");
    let section = format!("[target disk]\ndest = file:{}\n", archive.display());
    fs::write(room.desk.path("nacre.ini"), ini + &section).unwrap();
    room.done(&["arch-init"]);
    assert_eq!(room.send_image(&[]).code, 0);
    let target = &room.status("target", &["--dest=disk"])[0];
    assert_eq!(target["warnings"], serde_json::json!(["single-writer"]));
    let text = room.done(&["status", "--dest=disk"]);
    assert!(text.contains("only one machine at a time"), "{text}");
}
