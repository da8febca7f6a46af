//! Frames, on this side of the wire.

use std::io::{Read, Write};
use std::time::Duration;

use nacre_wire::limits::HEADER_LEN;
use nacre_wire::{FrameHeader, Kind, Reply, encode_frame};

/// A frame that was read.
pub struct Frame {
    pub kind: Kind,
    pub id: u32,
    pub body: Vec<u8>,
}

impl Frame {
    /// The frame as it is on the wire.
    pub fn encode(&self) -> Vec<u8> {
        encode_frame(self.kind, self.id, &self.body).unwrap_or_default()
    }
}

/// The next frame; `None` at the end.
pub fn read_frame(input: &mut impl Read) -> Option<Frame> {
    let mut header = [0; HEADER_LEN];
    input.read_exact(&mut header).ok()?;
    let header = FrameHeader::decode(&header).ok()?;
    let mut body = vec![0; header.length as usize];
    input.read_exact(&mut body).ok()?;
    Some(Frame {
        kind: header.kind,
        id: header.id,
        body,
    })
}

/// The client's next frame. Without one there is nothing left to do.
pub fn receive() -> Frame {
    read_frame(&mut std::io::stdin().lock()).unwrap_or_else(|| std::process::exit(0))
}

pub fn header(length: u32, kind: Kind, id: u32) -> [u8; HEADER_LEN] {
    FrameHeader { length, kind, id }.encode()
}

pub fn reply(id: u32, reply: &Reply) {
    send(reply.kind(), id, &reply.encode_body());
}

pub fn send(kind: Kind, id: u32, body: &[u8]) {
    send_raw(&encode_frame(kind, id, body).unwrap_or_default());
}

pub fn send_raw(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

pub fn flood_after(first: &[u8]) -> ! {
    send_raw(first);
    flood(&[0; 4096])
}

pub fn flood(bytes: &[u8]) -> ! {
    loop {
        send_raw(bytes);
    }
}

pub fn sleep_for_ever() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}
