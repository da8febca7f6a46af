//! What the helper answers, after `HelloOk`.

use crate::bytes::{Cursor, Malformed, push_string};
use crate::code::ErrorCode;
use crate::frame::Kind;
use crate::hello::decode_flag;
use crate::limits::{MAX_BODY, MAX_TEXT};
use crate::name::Name;

/// An object in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListEntry {
    /// Its name.
    pub name: Name,
    /// Its size in bytes.
    pub size: u64,
}

impl ListEntry {
    /// Bytes that the longest entry takes in a `ListPart`.
    pub const MAX_LEN: usize = 1 + crate::limits::MAX_NAME + 8;
}

/// An answer other than `HelloOk` and `GetData` (whose body is an object's bytes and nothing else).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// So many more bytes of this put may be sent.
    Credit(u32),
    /// The object is there: made by this put (`true`), or there before and untouched (`false`).
    PutDone(bool),
    /// The request was carried out; the last frame of `Get` and `List`.
    Done,
    /// The object's size, if it is there.
    StatIs(Option<u64>),
    /// Some of the objects of a class.
    ListPart(Vec<ListEntry>),
    /// Bytes that can still be written.
    FreeSpaceIs(u64),
    /// Whether punching gives space back.
    PunchIs(bool),
    /// Still at work (id 0).
    Alive,
    /// The request failed; with id 0, the connection.
    Error(ErrorCode, Vec<u8>),
}

impl Reply {
    /// The kind of the reply's frame.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Credit(_) => Kind::Credit,
            Self::PutDone(_) => Kind::PutDone,
            Self::Done => Kind::Done,
            Self::StatIs(_) => Kind::StatIs,
            Self::ListPart(_) => Kind::ListPart,
            Self::FreeSpaceIs(_) => Kind::FreeSpaceIs,
            Self::PunchIs(_) => Kind::PunchIs,
            Self::Alive => Kind::Alive,
            Self::Error(..) => Kind::Error,
        }
    }

    /// The body of the reply's frame.
    pub fn encode_body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Credit(bytes) => out.extend_from_slice(&bytes.to_le_bytes()),
            Self::PutDone(flag) | Self::PunchIs(flag) => out.push(u8::from(*flag)),
            Self::Done | Self::Alive => {}
            Self::StatIs(size) => {
                out.push(u8::from(size.is_some()));
                out.extend_from_slice(&size.unwrap_or(0).to_le_bytes());
            }
            Self::ListPart(entries) => {
                for entry in entries {
                    entry.name.encode(&mut out);
                    out.extend_from_slice(&entry.size.to_le_bytes());
                }
            }
            Self::FreeSpaceIs(bytes) => out.extend_from_slice(&bytes.to_le_bytes()),
            Self::Error(code, text) => {
                out.push(code.to_byte());
                push_string(&mut out, text, MAX_TEXT);
            }
        }
        out
    }

    /// Reads a reply. Unlike a helper, a client knows all kinds of the version it has agreed on.
    pub fn decode(kind: Kind, body: &[u8]) -> Result<Self, Malformed> {
        if body.len() > MAX_BODY as usize {
            return Err(Malformed("a frame is longer than allowed"));
        }
        let mut cursor = Cursor::new(body);
        let reply = match kind {
            Kind::Credit => Self::Credit(cursor.u32()?),
            Kind::PutDone => Self::PutDone(decode_flag(cursor.u8()?)?),
            Kind::Done => Self::Done,
            Kind::StatIs => {
                let there = decode_flag(cursor.u8()?)?;
                let size = cursor.u64()?;
                if !there && size != 0 {
                    return Err(Malformed("an object that is not there has a size"));
                }
                Self::StatIs(there.then_some(size))
            }
            Kind::ListPart => Self::ListPart(decode_entries(&mut cursor)?),
            Kind::FreeSpaceIs => Self::FreeSpaceIs(cursor.u64()?),
            Kind::PunchIs => Self::PunchIs(decode_flag(cursor.u8()?)?),
            Kind::Alive => Self::Alive,
            Kind::Error => {
                let code = ErrorCode::from_byte(cursor.u8()?);
                Self::Error(code, cursor.string(MAX_TEXT)?.to_vec())
            }
            _ => return Err(Malformed("a frame of this kind is no reply")),
        };
        cursor.end()?;
        Ok(reply)
    }
}

fn decode_entries(cursor: &mut Cursor<'_>) -> Result<Vec<ListEntry>, Malformed> {
    let mut entries = Vec::new();
    while !cursor.is_empty() {
        entries.push(ListEntry {
            name: Name::decode(cursor)?,
            size: cursor.u64()?,
        });
    }
    Ok(entries)
}
