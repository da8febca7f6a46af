//! Whatever the client sends, the helper ends or answers; it never panics, waits for ever, or touches what it should not.
#![allow(clippy::unwrap_used)] // Failing loudly is what these are for.

use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use nacre_helper::{Exit, Options, serve};
use nacre_wire::limits::{HEADER_LEN, MAX_PUTS};
use nacre_wire::{
    Class, ErrorCode, FrameHeader, HelloRequest, Kind, Locator, Name, Range, Reply, Request,
    encode_frame,
};

/// Collects what the helper answers.
#[derive(Clone, Default)]
struct Answers(Arc<Mutex<Vec<u8>>>);

impl Write for Answers {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Answers {
    /// The frames after `HelloOk`.
    fn replies(&self) -> Vec<(u32, Reply)> {
        let bytes = self.0.lock().unwrap();
        let mut rest = &bytes[..];
        let mut replies = Vec::new();
        while let Some((header, after)) = rest.split_first_chunk::<HEADER_LEN>() {
            let header = FrameHeader::decode(header).unwrap();
            let (body, after) = after.split_at(header.length as usize);
            rest = after;
            if !matches!(header.kind, Kind::HelloOk | Kind::GetData) {
                replies.push((header.id, Reply::decode(header.kind, body).unwrap()));
            }
        }
        assert!(rest.is_empty(), "whole frames only");
        replies
    }
}

fn converse(base: &Path, input: impl Read + Send) -> (Exit, Vec<(u32, Reply)>) {
    let options = Options {
        bases: vec![base.to_owned()],
        ..Options::default()
    };
    let answers = Answers::default();
    let (exit, _) = serve(input, answers.clone(), None, &options);
    (exit, answers.replies())
}

fn frame(kind: Kind, id: u32, body: &[u8]) -> Vec<u8> {
    encode_frame(kind, id, body).unwrap()
}

fn request(id: u32, request: &Request) -> Vec<u8> {
    frame(request.kind(), id, &request.encode_body())
}

fn hello(base: &Path, lowest: u16, highest: u16) -> Vec<u8> {
    let path = base.join("a").as_os_str().as_encoded_bytes().to_vec();
    let hello = HelloRequest {
        lowest,
        highest,
        create: true,
        locator: Locator::Directory { path },
    };
    frame(Kind::Hello, 1, &hello.encode().unwrap())
}

fn name(number: u8) -> Name {
    Name::parse(format!("pack/{number:02x}/{number:02x}{:030}", 0).as_bytes()).unwrap()
}

/// After a hello, these frames; the helper must end with `exit` and as last word an error with `code`.
fn refused(frames: &[Vec<u8>], exit: Exit, code: ErrorCode) {
    let place = tempfile::tempdir().unwrap();
    let mut input = hello(place.path(), 1, 1);
    input.extend(frames.concat());
    let (ended, replies) = converse(place.path(), Cursor::new(input));
    assert_eq!(ended, exit);
    let (_, last) = replies.last().unwrap();
    assert!(
        matches!(last, Reply::Error(given, _) if *given == code),
        "{last:?}"
    );
}

#[test]
fn breaking_the_protocol_ends_the_helper_with_a_reason() {
    let begin = |id| request(id, &Request::PutBegin(name(1)));
    let data = |id| frame(Kind::PutData, id, &[7; 5]);
    let cases: Vec<Vec<Vec<u8>>> = vec![
        vec![data(2)],
        vec![request(2, &Request::PutFinish(0))],
        vec![request(2, &Request::PutAbort)],
        vec![begin(2), begin(2)],
        (0..=MAX_PUTS).map(begin).collect(),
        vec![frame(Kind::Stat, 2, b"\x05short")],
        vec![frame(Kind::Stat, 2, b"\x15head/../../etc/passwd")],
        vec![frame(Kind::Barrier, 2, b"x")],
        vec![frame(Kind::List, 2, b"\x09")],
        vec![frame(Kind::Done, 2, b"")],
        vec![hello(Path::new("/"), 1, 1)],
        vec![vec![0xff; 64]],
    ];
    for case in &cases {
        refused(case, Exit::Protocol, ErrorCode::Protocol);
    }
}

#[test]
fn an_unknown_request_is_refused_and_the_next_is_answered() {
    let place = tempfile::tempdir().unwrap();
    let input = [
        hello(place.path(), 0, 7),
        frame(Kind::Unknown(0x60), 2, b"something later"),
        request(3, &Request::Stat(name(1))),
        request(4, &Request::Bye),
    ];
    let (exit, replies) = converse(place.path(), Cursor::new(input.concat()));
    assert_eq!(exit, Exit::Done);
    let unsupported = |reply: &Reply| matches!(reply, Reply::Error(ErrorCode::Unsupported, _));
    assert!(
        replies
            .iter()
            .any(|(id, reply)| *id == 2 && unsupported(reply))
    );
    assert!(replies.contains(&(3, Reply::StatIs(None))));
    assert_eq!(replies.last(), Some(&(4, Reply::Done)));
}

#[test]
fn a_client_from_another_time_is_told_so() {
    let place = tempfile::tempdir().unwrap();
    for (versions, code) in [
        ((2, 9), ErrorCode::HelperTooOld),
        ((0, 0), ErrorCode::ClientTooOld),
    ] {
        let input = hello(place.path(), versions.0, versions.1);
        let (exit, replies) = converse(place.path(), Cursor::new(input));
        assert_eq!(exit, Exit::Refused);
        assert!(matches!(&replies[..], [(1, Reply::Error(given, _))] if *given == code));
    }
    assert!(!place.path().join("a").exists(), "nothing was made");
}

#[test]
fn the_end_of_input_is_no_commit() {
    let place = tempfile::tempdir().unwrap();
    let input = [
        hello(place.path(), 1, 1),
        request(2, &Request::PutBegin(name(1))),
        frame(Kind::PutData, 2, &[1; 1000]),
    ];
    let (exit, _) = converse(place.path(), Cursor::new(input.concat()));
    assert_eq!(exit, Exit::Cut);
    assert_eq!(
        std::fs::read_dir(place.path().join("a/pack/01"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn a_wrong_length_is_no_object() {
    let place = tempfile::tempdir().unwrap();
    let input = [
        hello(place.path(), 1, 1),
        request(2, &Request::PutBegin(name(1))),
        frame(Kind::PutData, 2, &[1; 1000]),
        request(2, &Request::PutFinish(1001)),
        request(3, &Request::Bye),
    ];
    let (exit, replies) = converse(place.path(), Cursor::new(input.concat()));
    assert_eq!(exit, Exit::Done);
    let refused = |reply: &Reply| matches!(reply, Reply::Error(ErrorCode::Protocol, _));
    assert!(
        replies.iter().any(|(id, reply)| *id == 2 && refused(reply)),
        "{replies:?}"
    );
    assert_eq!(
        std::fs::read_dir(place.path().join("a/pack/01"))
            .unwrap()
            .count(),
        0
    );
}

/// SplitMix64: the same inputs on every machine.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn random_conversation(base: &Path, random: &mut u64) -> Vec<u8> {
    let mut input = hello(base, 1, 1);
    for _ in 0..next(random) % 20 {
        let id = 2 + u32::try_from(next(random) % 4).unwrap();
        let some = name(next(random).to_le_bytes()[0] % 4);
        let range = Range {
            offset: next(random) % 3000,
            length: u32::try_from(next(random) % 3000).unwrap(),
        };
        input.extend(match next(random) % 12 {
            0 | 1 => request(id, &Request::PutBegin(some)),
            2 | 3 => frame(
                Kind::PutData,
                id,
                &vec![3; usize::try_from(next(random) % 5000).unwrap()],
            ),
            4 => request(id, &Request::PutCopy(some, vec![range])),
            5 => request(id, &Request::PutFinish(next(random) % 5000)),
            6 => request(id, &Request::PutAbort),
            7 => request(id, &Request::Get(some, vec![range; 2])),
            8 => request(id, &Request::List(Class::Pack)),
            9 => request(id, &Request::Delete(vec![some])),
            10 => request(id, &Request::Barrier),
            _ => request(id, &Request::Stat(some)),
        });
    }
    if next(random).is_multiple_of(2) {
        let at = usize::try_from(next(random)).unwrap_or(0) % input.len();
        input[at] ^= 1 << (next(random) % 8);
    }
    input
}

#[test]
fn random_conversations_end() {
    let place = tempfile::tempdir().unwrap();
    let outside = place.path().join("outside");
    std::fs::write(&outside, b"untouched").unwrap();
    let base = place.path().join("base");
    std::fs::create_dir(&base).unwrap();
    let scale = std::env::var("NACRE_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let mut random = 4;
    for _ in 0..300 * scale.unwrap_or(1_u64) {
        converse(&base, Cursor::new(random_conversation(&base, &mut random)));
    }
    assert_eq!(std::fs::read(outside).unwrap(), b"untouched");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 2);
    for shard in std::fs::read_dir(base.join("a/pack")).unwrap() {
        for file in std::fs::read_dir(shard.unwrap().path()).unwrap() {
            let file = file.unwrap().file_name().into_string().unwrap();
            assert!(
                !file.starts_with(".put"),
                "a leftover of a conversation that ended"
            );
        }
    }
}
