//! A helper that does what dom0 must survive.
//!
//! `nacre-hostile-helper MODE` misbehaves from the first request on. In a desk it stands in the place of `nacre-helper` and is started like that: then it
//! forwards to the real one until it strikes (`forward`).

mod attacks;
mod forward;
mod lies;
mod wire;

use nacre_wire::{ErrorCode, HelloReply, Kind, Reply};

use attacks::{HELLO, answer};
use wire::{flood, receive, reply, send, send_raw, sleep_for_ever};

fn main() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    // Dies quietly when dom0 has had enough.
    std::panic::set_hook(Box::new(|_| ()));
    match mode.as_str() {
        "serve" => forward::run(),
        "garbage" => flood(&[0xa5; 4096]),
        "greeting" => send_raw(b"Welcome to Debian GNU/Linux 12!\nLast login: never\n"),
        "mute" => sleep_for_ever(),
        "mute-and-deaf-after-hello" => {
            hello();
            sleep_for_ever();
        }
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
    let id = receive().id;
    let mut reply = HELLO;
    change(&mut reply);
    send(Kind::HelloOk, id, &reply.encode());
    Ready
}

impl Ready {
    /// Misbehaves on the first request, and on those after it.
    fn serve(self, mode: &str) {
        let Self = self;
        loop {
            answer(mode, &receive());
        }
    }
}

fn refuse(code: ErrorCode, text: &[u8]) {
    let id = receive().id;
    reply(id, &Reply::Error(code, text.to_vec()));
    std::process::exit(3);
}

fn stderr_flood() {
    let id = receive().id;
    for _ in 0..20_000 {
        eprintln!("\x1b[31m{}", "x".repeat(1000));
    }
    reply(
        id,
        &Reply::Error(ErrorCode::NoArchive, b"not here".to_vec()),
    );
}
