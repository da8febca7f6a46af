//! What is done in place of an answer.

use std::time::Duration;

use nacre_wire::limits::MAX_DATA;
use nacre_wire::{ErrorCode, Facts, HelloReply, Kind, ListEntry, Name, Reply, Request};

use crate::wire::{Frame, flood_after, header, reply, send, send_raw, sleep_for_ever};

/// What a hello is answered with.
pub const HELLO: HelloReply = HelloReply {
    version: 1,
    facts: Facts {
        punch_possible: false,
        append_only: false,
        single_writer: false,
        landlock: false,
        seccomp: false,
        unsynced: false,
    },
    put_window: 2 << 20,
    max_puts: 6,
    max_requests: 64,
};

/// What no terminal may ever get to see.
pub const ESCAPES: &str = "\x1b]0;owned\x07\x1b[2J\r\nerror: all is well\u{202e}evil\u{200b}";

/// Misbehaves on a request.
pub fn answer(mode: &str, request: &Frame) {
    let (kind, id) = (request.kind, request.id);
    match mode {
        "alive-for-ever" => loop {
            reply(0, &Reply::Alive);
            std::thread::sleep(Duration::from_millis(50));
        },
        "drip" => {
            send_raw(&header(MAX_DATA, Kind::GetData, id));
            loop {
                send_raw(&[0]);
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        "gigantic-data" => flood_after(&header(u32::MAX, Kind::GetData, id)),
        "gigantic-listing" => flood_after(&header(u32::MAX, Kind::ListPart, id)),
        "reserved-bytes" => send_raw(&[0, 0, 0, 0, 0x85, 1, 1, 1, 1, 0, 0, 0]),
        "wrong-id" => reply(id + 1000, &Reply::Done),
        "wrong-kind" if kind == Kind::ProbePunch => reply(id, &Reply::Done),
        "wrong-kind" => reply(id, &Reply::PunchIs(true)),
        "request-as-reply" => send(Kind::Get, id, &[]),
        "unknown-kind" => send(Kind::Unknown(0xee), id, &[]),
        "second-hello" => send(Kind::HelloOk, id, &HELLO.encode()),
        "short-data" => {
            send_data(id, asked_for(request).saturating_sub(1));
            reply(id, &Reply::Done);
        }
        "long-data" => {
            send_data(id, asked_for(request) + 1);
            reply(id, &Reply::Done);
        }
        "no-data" => reply(id, &Reply::Done),
        "empty-data" => send(Kind::GetData, id, &[]),
        "data-flood" => loop {
            send(Kind::GetData, id, &[1; 4096]);
        },
        "replay" => {
            reply(id, &Reply::StatIs(Some(5)));
            reply(id, &Reply::StatIs(Some(5)));
        }
        "listing-flood" => loop {
            reply(
                id,
                &Reply::ListPart(vec![entry(b"head/0000000000000001"); 1300]),
            );
        },
        "listing-of-another-class" => reply(id, &Reply::ListPart(another_class(request))),
        "listing-with-paths" => {
            let name = b"head/../../etc/passwd";
            let mut body = vec![u8::try_from(name.len()).unwrap_or(0)];
            body.extend_from_slice(name);
            body.extend_from_slice(&[0; 8]);
            send(Kind::ListPart, id, &body);
        }
        "half-a-frame" => {
            send_raw(&header(1000, Kind::GetData, id));
            send_raw(&[1; 500]);
            std::process::exit(0);
        }
        "trailing-bytes" => send(Kind::Done, id, &[0]),
        "early-success" if kind == Kind::PutBegin => reply(id, &Reply::PutDone(true)),
        "credit-flood" if kind == Kind::PutBegin => reply(id, &Reply::Credit(u32::MAX)),
        "no-credit" | "early-success" | "credit-flood" => {}
        "deaf" | "hello-too-generous" => sleep_for_ever(),
        "fatal" => reply(
            0,
            &Reply::Error(ErrorCode::Io, b"the disk is gone".to_vec()),
        ),
        "huge-size" => reply(id, &Reply::StatIs(Some(u64::MAX))),
        "close" => std::process::exit(0),
        "crash" => std::process::abort(),
        "garbage" => send_raw(&[0xa5; 4096]),
        "greeting" => send_raw(b"Welcome to Debian GNU/Linux 12!\nLast login: never\n"),
        "orphan" => {
            // Somebody else keeps our stdout open after we are gone.
            let started = std::process::Command::new("sleep").arg("30").spawn();
            std::process::exit(started.map_or(1, |_| 0));
        }
        other => refuse(other, id),
    }
}

/// `error-CODE`: a refusal with a text that is an attack of its own.
fn refuse(mode: &str, id: u32) {
    let code = mode
        .strip_prefix("error-")
        .and_then(|code| code.parse().ok());
    let Some(code) = code.map(ErrorCode::from_byte) else {
        eprintln!("no mode {mode}");
        std::process::exit(20)
    };
    reply(id, &Reply::Error(code, ESCAPES.as_bytes().to_vec()));
}

/// How many bytes the request wants; 100 for those of the wire's own tests.
fn asked_for(request: &Frame) -> u64 {
    match Request::decode(request.kind, &request.body) {
        Ok(Some(Request::Get(_, ranges))) => {
            ranges.iter().map(|range| u64::from(range.length)).sum()
        }
        _ => 100,
    }
}

fn send_data(id: u32, mut bytes: u64) {
    let piece = vec![1; MAX_DATA as usize];
    while bytes > 0 {
        let some = piece
            .get(..usize::try_from(bytes).unwrap_or(usize::MAX))
            .unwrap_or(&piece);
        send(Kind::GetData, id, some);
        bytes -= some.len() as u64;
    }
}

fn another_class(request: &Frame) -> Vec<ListEntry> {
    let packs = nacre_wire::Class::Pack;
    match Request::decode(request.kind, &request.body) {
        Ok(Some(Request::List(class))) if class == packs => vec![entry(b"head/0000000000000001")],
        _ => vec![entry(b"pack/00/00000000000000000000000000000000")],
    }
}

#[allow(clippy::unwrap_used, reason = "the names stand here")]
fn entry(name: &[u8]) -> ListEntry {
    let name = Name::parse(name).unwrap();
    ListEntry { name, size: 1 }
}
