//! What the client asks, after `Hello`.

use crate::bytes::{Cursor, Malformed};
use crate::frame::Kind;
use crate::limits::{MAX_BODY, MAX_NAMES, MAX_RANGES};
use crate::name::{Class, Name};

/// A range of bytes in one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First byte.
    pub offset: u64,
    /// Number of bytes.
    pub length: u32,
}

impl Range {
    /// The byte after the last, or `None` if there is no such number.
    pub fn end(&self) -> Option<u64> {
        self.offset.checked_add(u64::from(self.length))
    }
}

/// A request other than `Hello` and `PutData` (whose body is an object's bytes and nothing else).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Begins a new object.
    PutBegin(Name),
    /// Appends ranges of an older object to the new one.
    PutCopy(Name, Vec<Range>),
    /// The object is complete; its length, for the helper to compare.
    PutFinish(u64),
    /// Forget the object.
    PutAbort,
    /// Reads ranges: answered with their bytes in order, in `GetData` frames cut anywhere, then `Done`.
    Get(Name, Vec<Range>),
    /// The size of an object.
    Stat(Name),
    /// Names and sizes of a class, in `ListPart` frames, then `Done`.
    List(Class),
    /// Removes objects.
    Delete(Vec<Name>),
    /// Gives ranges back to the file system.
    Punch(Name, Vec<Range>),
    /// Answered when everything acknowledged before survives a power cut.
    Barrier,
    /// Bytes that can still be written.
    FreeSpace,
    /// Does punching give space back? Tried out, not guessed.
    ProbePunch,
    /// Answered with `Done`; then the helper ends.
    Bye,
    /// Keeps a script that restores the archive beside its objects, for people who have nothing else. It is as public as it is untrusted there.
    /// Its name holds the mark, which tells versions of it apart; one that is there stays.
    LeaveRestorer {
        /// The first bytes of the script's hash.
        mark: u32,
        /// The script: at most `MAX_RESTORER` bytes.
        text: Vec<u8>,
    },
}

impl Request {
    /// The kind of the request's frame.
    pub fn kind(&self) -> Kind {
        match self {
            Self::PutBegin(_) => Kind::PutBegin,
            Self::PutCopy(..) => Kind::PutCopy,
            Self::PutFinish(_) => Kind::PutFinish,
            Self::PutAbort => Kind::PutAbort,
            Self::Get(..) => Kind::Get,
            Self::Stat(_) => Kind::Stat,
            Self::List(_) => Kind::List,
            Self::Delete(_) => Kind::Delete,
            Self::Punch(..) => Kind::Punch,
            Self::Barrier => Kind::Barrier,
            Self::FreeSpace => Kind::FreeSpace,
            Self::ProbePunch => Kind::ProbePunch,
            Self::Bye => Kind::Bye,
            Self::LeaveRestorer { .. } => Kind::LeaveRestorer,
        }
    }

    /// The body of the request's frame. Callers keep lists within `MAX_RANGES` and `MAX_NAMES`.
    pub fn encode_body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::PutBegin(name) | Self::Stat(name) => name.encode(&mut out),
            Self::PutCopy(name, ranges) | Self::Get(name, ranges) | Self::Punch(name, ranges) => {
                name.encode(&mut out);
                for range in ranges {
                    out.extend_from_slice(&range.offset.to_le_bytes());
                    out.extend_from_slice(&range.length.to_le_bytes());
                }
            }
            Self::PutFinish(length) => out.extend_from_slice(&length.to_le_bytes()),
            Self::List(class) => out.push(class.to_byte()),
            Self::Delete(names) => names.iter().for_each(|name| name.encode(&mut out)),
            Self::LeaveRestorer { mark, text } => {
                out.extend_from_slice(&mark.to_le_bytes());
                out.extend_from_slice(text);
            }
            Self::PutAbort | Self::Barrier | Self::FreeSpace | Self::ProbePunch | Self::Bye => {}
        }
        out
    }

    /// Reads a request. `Ok(None)` for a kind that is not known here: to be answered with `Unsupported`.
    pub fn decode(kind: Kind, body: &[u8]) -> Result<Option<Self>, Malformed> {
        if body.len() > MAX_BODY as usize {
            return Err(Malformed("a frame is longer than allowed"));
        }
        let mut cursor = Cursor::new(body);
        let request = match kind {
            Kind::PutBegin => Self::PutBegin(Name::decode(&mut cursor)?),
            Kind::Stat => Self::Stat(Name::decode(&mut cursor)?),
            Kind::PutCopy => {
                let name = Name::decode(&mut cursor)?;
                Self::PutCopy(name, decode_ranges(&mut cursor)?)
            }
            Kind::Get => {
                let name = Name::decode(&mut cursor)?;
                Self::Get(name, decode_ranges(&mut cursor)?)
            }
            Kind::Punch => {
                let name = Name::decode(&mut cursor)?;
                Self::Punch(name, decode_ranges(&mut cursor)?)
            }
            Kind::PutFinish => Self::PutFinish(cursor.u64()?),
            Kind::PutAbort => Self::PutAbort,
            Kind::List => Self::List(Class::from_byte(cursor.u8()?)?),
            Kind::Delete => Self::Delete(decode_names(&mut cursor)?),
            Kind::Barrier => Self::Barrier,
            Kind::FreeSpace => Self::FreeSpace,
            Kind::ProbePunch => Self::ProbePunch,
            Kind::Bye => Self::Bye,
            Kind::LeaveRestorer => Self::LeaveRestorer {
                mark: cursor.u32()?,
                text: cursor.rest().to_vec(),
            },
            Kind::Unknown(byte) if byte < 0x80 => return Ok(None),
            _ => return Err(Malformed("a frame of this kind is no request")),
        };
        cursor.end()?;
        Ok(Some(request))
    }
}

fn decode_ranges(cursor: &mut Cursor<'_>) -> Result<Vec<Range>, Malformed> {
    let mut ranges = Vec::new();
    while !cursor.is_empty() {
        if ranges.len() == MAX_RANGES {
            return Err(Malformed("a request has too many ranges"));
        }
        let range = Range {
            offset: cursor.u64()?,
            length: cursor.u32()?,
        };
        range
            .end()
            .ok_or(Malformed("a range ends beyond all numbers"))?;
        ranges.push(range);
    }
    Ok(ranges)
}

fn decode_names(cursor: &mut Cursor<'_>) -> Result<Vec<Name>, Malformed> {
    let mut names = Vec::new();
    while !cursor.is_empty() {
        if names.len() == MAX_NAMES {
            return Err(Malformed("a request has too many names"));
        }
        names.push(Name::decode(cursor)?);
    }
    Ok(names)
}
