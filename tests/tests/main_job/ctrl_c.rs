//! Ctrl-C: the first one keeps what was sent, the second one ends at once.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nacre_tests::desk::{Desk, ended};
use nacre_tests::lab_image::Random;

use super::{assert_says, desk_with_archive, objects, receive, send, store_bytes};

/// Large enough that a debug build is busy with it for seconds.
const SIZE: usize = 192 << 20;

fn large_image(desk: &Desk) -> Vec<u8> {
    let mut content = vec![0; SIZE + 11];
    Random::new(1, "large").fill(&mut content);
    fs::write(desk.path("vol.img"), &content).unwrap();
    content
}

/// Starts a send and waits until some of it has reached the store.
fn begin_send(desk: &Desk) -> Child {
    let before = store_bytes(desk);
    let child = desk
        .nacre(&["send", &desk.import("vol", "vol.img"), "--threads=1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while store_bytes(desk) < before + (8 << 20) {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is sent");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

fn interrupt(child: &Child) {
    let done = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(done.unwrap().success());
}

#[test]
fn ctrl_c_keeps_what_was_sent_and_the_next_send_goes_on() {
    let desk = desk_with_archive();
    let content = large_image(&desk);
    let child = begin_send(&desk);
    interrupt(&child);
    let stopped = ended(&child.wait_with_output().unwrap());
    assert_says(&stopped, 130, &["unfinished session", "goes on"]);
    assert!(desk.done(&["list", "vol"]).contains("unfinished"));
    let kept = store_bytes(&desk);
    let part = receive(&desk, None);
    let front = part.iter().zip(&content).take_while(|(a, b)| a == b);
    assert!(part.len() == content.len() && front.count() >= 4 << 20);

    send(&desk, "rest");
    let sent = store_bytes(&desk);
    let all = (SIZE + SIZE / 50) as u64;
    assert!(
        kept > 4 << 20 && sent < all,
        "{kept} kept, {sent} in the end"
    );
    assert!(receive(&desk, None) == content);
    assert!(!desk.done(&["list", "vol"]).contains("unfinished"));
}

#[test]
fn a_second_ctrl_c_ends_at_once_and_harms_nothing() {
    let desk = desk_with_archive();
    let content = large_image(&desk);
    let child = begin_send(&desk);
    interrupt(&child);
    interrupt(&child);
    let begun = Instant::now();
    let stopped = ended(&child.wait_with_output().unwrap());
    assert_eq!(stopped.code, 130, "{stopped:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{stopped:?}");
    assert!(!objects(&desk.path("store/archive/head")).is_empty());
    send(&desk, "whole");
    assert!(receive(&desk, None) == content);
}
