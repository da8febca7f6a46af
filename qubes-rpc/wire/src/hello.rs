//! The first exchange: version, place, capabilities.
//!
//! Bytes after the last known field of both bodies are ignored, so that later versions can add fields.

use crate::bytes::{Cursor, Malformed, push_string};
use crate::limits::{MAX_AUTHORITY, MAX_PATH};

/// The first bytes of `Hello` and `HelloOk`.
pub const MAGIC: [u8; 8] = *b"NacreWir";
/// The oldest version of the protocol that this code speaks.
pub const VERSION_LOWEST: u16 = 1;
/// The newest version of the protocol that this code speaks.
pub const VERSION_HIGHEST: u16 = 1;

/// Where the archive lies, as the helper sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Locator {
    /// A directory of the helper's own machine.
    Directory {
        /// Absolute path; empty: the folder `nacre` in the home folder of whom the helper runs as.
        path: Vec<u8>,
    },
    /// A directory on a disk that the helper mounts.
    Usb {
        /// File system UUID.
        uuid: Vec<u8>,
        /// Path from the file system's root; empty: the folder `nacre` there.
        path: Vec<u8>,
    },
    /// A directory of a host that the helper reaches through ssh.
    Ssh {
        /// `[user@]host[:port]`
        host: Vec<u8>,
        /// Path over there; empty: the folder `nacre` where the login begins.
        path: Vec<u8>,
    },
}

impl Locator {
    fn decode(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let kind = cursor.u8()?;
        let authority = cursor.string(MAX_AUTHORITY)?.to_vec();
        let path = cursor.string(MAX_PATH)?.to_vec();
        if path.contains(&0) || authority.contains(&0) {
            return Err(Malformed("a locator contains a zero byte"));
        }
        match kind {
            1 if authority.is_empty() => Ok(Self::Directory { path }),
            2 => Ok(Self::Usb {
                uuid: authority,
                path,
            }),
            3 => Ok(Self::Ssh {
                host: authority,
                path,
            }),
            _ => Err(Malformed("a locator is of an unknown kind")),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let (kind, authority, path): (u8, &[u8], &[u8]) = match self {
            Self::Directory { path } => (1, &[], path),
            Self::Usb { uuid, path } => (2, uuid, path),
            Self::Ssh { host, path } => (3, host, path),
        };
        out.push(kind);
        push_string(out, authority, MAX_AUTHORITY);
        push_string(out, path, MAX_PATH);
    }
}

/// The client's first frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HelloRequest {
    /// Oldest version that the client speaks.
    pub lowest: u16,
    /// Newest version that the client speaks.
    pub highest: u16,
    /// Make the archive folder if it is not there (`arch-init`).
    pub create: bool,
    /// Where the archive lies.
    pub locator: Locator,
}

impl HelloRequest {
    /// The body of the frame. `None` if a string of the locator is too long for the wire.
    pub fn encode(&self) -> Option<Vec<u8>> {
        let (authority, path) = match &self.locator {
            Locator::Directory { path } => (0, path.len()),
            Locator::Usb { uuid, path } => (uuid.len(), path.len()),
            Locator::Ssh { host, path } => (host.len(), path.len()),
        };
        if authority > MAX_AUTHORITY || path > MAX_PATH {
            return None;
        }
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&self.lowest.to_le_bytes());
        out.extend_from_slice(&self.highest.to_le_bytes());
        out.push(u8::from(self.create));
        self.locator.encode(&mut out);
        Some(out)
    }

    /// Reads the body of the frame.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(body);
        if cursor.take(MAGIC.len())? != MAGIC {
            return Err(Malformed("the first frame is not a hello"));
        }
        let (lowest, highest) = (cursor.u16()?, cursor.u16()?);
        if lowest > highest {
            return Err(Malformed("a hello names no version"));
        }
        Ok(Self {
            lowest,
            highest,
            create: decode_flag(cursor.u8()?)?,
            locator: Locator::decode(&mut cursor)?,
        })
    }
}

/// What the helper and the file system are like. Sent as bits; unknown bits are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // Independent facts, not states.
pub struct Facts {
    /// `ProbePunch` may succeed: without it the file system or the mode excludes punching.
    pub punch_possible: bool,
    /// `Delete` and `Punch` are refused.
    pub append_only: bool,
    /// Create-only-if-absent holds only among the helpers of one machine.
    pub single_writer: bool,
    /// Landlock confines the helper to the archive's folder.
    pub landlock: bool,
    /// A seccomp filter keeps it from everything but reading and writing files.
    pub seccomp: bool,
    /// The place cannot be told to force its disk: a power cut over there may take what a barrier answered.
    pub unsynced: bool,
}

impl Facts {
    fn to_bits(self) -> u32 {
        u32::from(self.punch_possible)
            | u32::from(self.append_only) << 1
            | u32::from(self.single_writer) << 2
            | u32::from(self.landlock) << 3
            | u32::from(self.seccomp) << 4
            | u32::from(self.unsynced) << 5
    }

    fn from_bits(bits: u32) -> Self {
        Self {
            punch_possible: bits & 1 != 0,
            append_only: bits & 2 != 0,
            single_writer: bits & 4 != 0,
            landlock: bits & 8 != 0,
            seccomp: bits & 16 != 0,
            unsynced: bits & 32 != 0,
        }
    }
}

/// The helper's answer to `Hello`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelloReply {
    /// The version that both speak from now on.
    pub version: u16,
    /// Mode, file system, confinement.
    pub facts: Facts,
    /// Bytes of one put that may be on their way, at least `MAX_DATA`.
    pub put_window: u32,
    /// Puts that may be open at once, at least 1.
    pub max_puts: u32,
    /// Other requests that may be unanswered at once, at least 1.
    pub max_requests: u32,
}

impl HelloReply {
    /// The body of the frame.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&self.version.to_le_bytes());
        for number in [
            self.facts.to_bits(),
            self.put_window,
            self.max_puts,
            self.max_requests,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out
    }

    /// Reads the body of the frame.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(body);
        if cursor.take(MAGIC.len())? != MAGIC {
            return Err(Malformed("the first answer is not from nacre-helper"));
        }
        let reply = Self {
            version: cursor.u16()?,
            facts: Facts::from_bits(cursor.u32()?),
            put_window: cursor.u32()?,
            max_puts: cursor.u32()?,
            max_requests: cursor.u32()?,
        };
        if reply.put_window < crate::limits::MAX_DATA
            || reply.max_puts == 0
            || reply.max_requests == 0
        {
            return Err(Malformed("a hello's answer leaves no room for requests"));
        }
        Ok(reply)
    }
}

/// The newest version within both ranges.
pub fn negotiate(client: (u16, u16), helper: (u16, u16)) -> Option<u16> {
    let newest = client.1.min(helper.1);
    (newest >= client.0.max(helper.0)).then_some(newest)
}

pub(crate) fn decode_flag(byte: u8) -> Result<bool, Malformed> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed("a flag is neither 0 nor 1")),
    }
}
