//! A frame: twelve bytes of header and a body.

use crate::bytes::{Cursor, Malformed};
use crate::limits::{HEADER_LEN, MAX_BODY, MAX_DATA};

/// What a frame is. Requests are below 0x80, replies above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The requests and replies of the same names say it.
pub enum Kind {
    Hello,
    PutBegin,
    PutData,
    PutCopy,
    PutFinish,
    PutAbort,
    Get,
    Stat,
    List,
    Delete,
    Punch,
    Barrier,
    FreeSpace,
    ProbePunch,
    Bye,
    LeaveRestorer,
    HelloOk,
    Credit,
    PutDone,
    GetData,
    Done,
    StatIs,
    ListPart,
    FreeSpaceIs,
    PunchIs,
    Alive,
    Error,
    /// A kind of a later version. Its frame can be skipped, for its length is known.
    Unknown(u8),
}

/// The one table of kinds and their numbers.
const KINDS: [(Kind, u8); 27] = [
    (Kind::Hello, 0x01),
    (Kind::PutBegin, 0x02),
    (Kind::PutData, 0x03),
    (Kind::PutCopy, 0x04),
    (Kind::PutFinish, 0x05),
    (Kind::PutAbort, 0x06),
    (Kind::Get, 0x07),
    (Kind::Stat, 0x08),
    (Kind::List, 0x09),
    (Kind::Delete, 0x0a),
    (Kind::Punch, 0x0b),
    (Kind::Barrier, 0x0c),
    (Kind::FreeSpace, 0x0d),
    (Kind::ProbePunch, 0x0e),
    (Kind::Bye, 0x0f),
    (Kind::LeaveRestorer, 0x10),
    (Kind::HelloOk, 0x81),
    (Kind::Credit, 0x82),
    (Kind::PutDone, 0x83),
    (Kind::GetData, 0x84),
    (Kind::Done, 0x85),
    (Kind::StatIs, 0x86),
    (Kind::ListPart, 0x87),
    (Kind::FreeSpaceIs, 0x88),
    (Kind::PunchIs, 0x89),
    (Kind::Alive, 0x8a),
    (Kind::Error, 0x8f),
];

impl Kind {
    /// The kind of a number.
    pub fn from_byte(byte: u8) -> Self {
        KINDS
            .iter()
            .find(|(_, number)| *number == byte)
            .map_or(Self::Unknown(byte), |(kind, _)| *kind)
    }

    /// The number of a kind.
    pub fn to_byte(self) -> u8 {
        if let Self::Unknown(byte) = self {
            return byte;
        }
        KINDS
            .iter()
            .find(|(kind, _)| *kind == self)
            .map_or(0, |(_, number)| *number)
    }

    /// The largest body that a frame of this kind may have.
    pub fn max_body(self) -> u32 {
        match self {
            Self::PutData | Self::GetData => MAX_DATA,
            _ => MAX_BODY,
        }
    }
}

/// The header of a frame: body length (u32), kind (u8), three zero bytes, request id (u32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes of body that follow.
    pub length: u32,
    /// What the body is.
    pub kind: Kind,
    /// The request it belongs to, chosen by the client; 0 only for `Alive` and for errors that end the connection.
    pub id: u32,
}

impl FrameHeader {
    /// Reads a header and checks the length against the kind's limit.
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(bytes);
        let length = cursor.u32()?;
        let kind = Kind::from_byte(cursor.u8()?);
        if cursor.take(3)? != [0; 3] {
            return Err(Malformed("a frame's reserved bytes are not zero"));
        }
        let id = cursor.u32()?;
        if length > kind.max_body() {
            return Err(Malformed("a frame is longer than allowed"));
        }
        Ok(Self { length, kind, id })
    }

    /// The header as it is on the wire.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let [l0, l1, l2, l3] = self.length.to_le_bytes();
        let [i0, i1, i2, i3] = self.id.to_le_bytes();
        [l0, l1, l2, l3, self.kind.to_byte(), 0, 0, 0, i0, i1, i2, i3]
    }
}

/// A whole frame. `None` if the body is longer than its kind may have.
pub fn encode_frame(kind: Kind, id: u32, body: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(body.len())
        .ok()
        .filter(|length| *length <= kind.max_body())?;
    let mut frame = Vec::with_capacity(body.len().saturating_add(HEADER_LEN));
    frame.extend_from_slice(&FrameHeader { length, kind, id }.encode());
    frame.extend_from_slice(body);
    Some(frame)
}
