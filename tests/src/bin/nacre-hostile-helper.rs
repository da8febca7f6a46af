//! A helper that does what dom0 must survive: `nacre-hostile-helper MODE`.
#![allow(clippy::unwrap_used)] // It may die at any time: that is one of its modes.

use std::io::{Read, Write};
use std::time::Duration;

use nacre_wire::limits::{HEADER_LEN, MAX_DATA};
use nacre_wire::{
    ErrorCode, Facts, FrameHeader, HelloReply, Kind, ListEntry, Name, Reply, encode_frame,
};

fn main() {
    let mode = std::env::args().nth(1).unwrap();
    // Dies quietly when dom0 has had enough.
    std::panic::set_hook(Box::new(|_| ()));
    match mode.as_str() {
        "garbage" => flood(&[0xa5; 4096]),
        "greeting" => send_raw(b"Welcome to Debian GNU/Linux 12!\nLast login: never\n"),
        "mute" => sleep_for_ever(),
        "mute-and-deaf-after-hello" => hello().then_sleep(),
        "stderr-flood" => stderr_flood(),
        "hello-from-the-future" => hello_with(|reply| reply.version = 99).serve(&mode),
        "hello-without-room" => hello_with(|reply| reply.max_puts = 0).serve(&mode),
        "hello-too-generous" => {
            hello_with(|reply| {
                (reply.put_window, reply.max_puts, reply.max_requests) =
                    (u32::MAX, u32::MAX, u32::MAX);
            })
            .serve(&mode);
        }
        "too-old" => refuse(ErrorCode::HelperTooOld, b"this helper speaks version 0"),
        "escapes" => refuse(
            ErrorCode::Refused,
            "\x1b]0;owned\x07\u{202e}evil\u{200b}".as_bytes(),
        ),
        _ => hello().serve(&mode),
    }
}

struct Ready;

fn hello() -> Ready {
    hello_with(|_| ())
}

fn hello_with(change: impl FnOnce(&mut HelloReply)) -> Ready {
    let (_, id, _) = receive();
    let mut reply = HelloReply {
        version: 1,
        facts: Facts::default(),
        put_window: 2 << 20,
        max_puts: 6,
        max_requests: 64,
    };
    change(&mut reply);
    send(Kind::HelloOk, id, &reply.encode());
    Ready
}

impl Ready {
    fn then_sleep(self) {
        let Self = self;
        sleep_for_ever();
    }

    /// Misbehaves on the first request, and on those after it.
    fn serve(self, mode: &str) {
        let Self = self;
        loop {
            let (kind, id, _) = receive();
            answer(mode, kind, id);
        }
    }
}

fn answer(mode: &str, kind: Kind, id: u32) {
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
        "wrong-id" => reply(id + 1, &Reply::Done),
        "wrong-kind" => reply(id, &Reply::PunchIs(true)),
        "request-as-reply" => send(Kind::Get, id, &[]),
        "unknown-kind" => send(Kind::Unknown(0xee), id, &[]),
        "second-hello" => hello_again(id),
        "short-data" => {
            send(Kind::GetData, id, &[1; 99]);
            reply(id, &Reply::Done);
        }
        "long-data" => {
            send(Kind::GetData, id, &[1; 101]);
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
        "listing-of-another-class" => {
            reply(
                id,
                &Reply::ListPart(vec![entry(b"pack/00/00000000000000000000000000000000")]),
            );
        }
        "listing-with-paths" => {
            let name = b"head/../../etc/passwd";
            let mut body = vec![u8::try_from(name.len()).unwrap()];
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
        "orphan" => {
            // Somebody else keeps our stdout open after we are gone.
            std::process::Command::new("sleep")
                .arg("30")
                .spawn()
                .unwrap();
            std::process::exit(0);
        }
        other => panic!("no mode {other}"),
    }
}

fn hello_again(id: u32) {
    let body = HelloReply {
        version: 1,
        facts: Facts::default(),
        put_window: 2 << 20,
        max_puts: 6,
        max_requests: 64,
    };
    send(Kind::HelloOk, id, &body.encode());
}

fn refuse(code: ErrorCode, text: &[u8]) {
    let (_, id, _) = receive();
    reply(id, &Reply::Error(code, text.to_vec()));
    std::process::exit(3);
}

fn entry(name: &[u8]) -> ListEntry {
    let name = Name::parse(name).unwrap();
    ListEntry { name, size: 1 }
}

fn stderr_flood() {
    let (_, id, _) = receive();
    for _ in 0..20_000 {
        eprintln!("\x1b[31m{}", "x".repeat(1000));
    }
    reply(
        id,
        &Reply::Error(ErrorCode::NoArchive, b"not here".to_vec()),
    );
}

fn header(length: u32, kind: Kind, id: u32) -> [u8; HEADER_LEN] {
    FrameHeader { length, kind, id }.encode()
}

fn flood_after(first: &[u8]) {
    send_raw(first);
    flood(&[0; 4096]);
}

fn flood(bytes: &[u8]) {
    loop {
        send_raw(bytes);
    }
}

fn sleep_for_ever() {
    std::thread::sleep(Duration::from_secs(3600));
}

fn reply(id: u32, reply: &Reply) {
    send(reply.kind(), id, &reply.encode_body());
}

fn send(kind: Kind, id: u32, body: &[u8]) {
    send_raw(&encode_frame(kind, id, body).unwrap());
}

fn send_raw(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

fn receive() -> (Kind, u32, Vec<u8>) {
    let mut input = std::io::stdin().lock();
    let mut header = [0; HEADER_LEN];
    if input.read_exact(&mut header).is_err() {
        std::process::exit(0);
    }
    let header = FrameHeader::decode(&header).unwrap();
    let mut body = vec![0; header.length as usize];
    input.read_exact(&mut body).unwrap();
    (header.kind, header.id, body)
}
