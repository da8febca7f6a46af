//! Packets of SFTP version 3 (draft-ietf-secsh-filexfer-02; extensions: OpenSSH's PROTOCOL, section 4). Numbers are
//! big-endian. What comes from the server is read by bounded code that takes no number on trust.

use nacre_wire::Malformed;

/// Largest packet that is taken from a server: OpenSSH's own limit and some.
pub const MAX_PACKET: usize = 260 * 1024;
/// The version that is spoken.
pub const VERSION: u32 = 3;

const TRUNCATED: Malformed = Malformed("an SFTP packet is shorter than it says");

/// Kinds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Named as in the draft.
pub enum Ask {
    Open = 3,
    Close = 4,
    Read = 5,
    Write = 6,
    Lstat = 7,
    Fstat = 8,
    Opendir = 11,
    Readdir = 12,
    Remove = 13,
    Mkdir = 14,
    Stat = 17,
    Rename = 18,
    Extended = 200,
}

/// A request that is being written.
pub struct Packet(Vec<u8>);

impl Packet {
    /// An empty request.
    pub fn new(ask: Ask, id: u32) -> Self {
        let mut bytes = vec![0, 0, 0, 0, ask as u8];
        bytes.extend_from_slice(&id.to_be_bytes());
        Self(bytes)
    }

    /// Appends a number.
    pub fn u32(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// Appends a number.
    pub fn u64(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// Appends a string.
    pub fn string(mut self, string: &[u8]) -> Self {
        let length = u32::try_from(string.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(string);
        self
    }

    /// The whole packet.
    pub fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len().saturating_sub(4)).unwrap_or(u32::MAX);
        if let Some(place) = self.0.get_mut(..4) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        self.0
    }
}

/// The first packet of a client.
pub fn init() -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 5, 1];
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes
}

/// What a server can do beyond version 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // Named as the extensions are.
pub struct Extensions {
    pub hardlink: bool,
    pub fsync: bool,
    pub statvfs: bool,
    pub copy_data: bool,
    pub limits: bool,
}

/// Reads a server's first packet, without its length.
pub fn decode_version(body: &[u8]) -> Result<Extensions, Malformed> {
    let mut cursor = Cursor(body);
    if cursor.u8()? != 2 {
        return Err(Malformed("the first packet is not SFTP's"));
    }
    if cursor.u32()? != VERSION {
        return Err(Malformed("the server does not speak SFTP version 3"));
    }
    let mut extensions = Extensions::default();
    while !cursor.0.is_empty() {
        let (name, version) = (cursor.string()?, cursor.string()?);
        match (name, version) {
            (b"hardlink@openssh.com", b"1") => extensions.hardlink = true,
            (b"fsync@openssh.com", b"1") => extensions.fsync = true,
            (b"statvfs@openssh.com", b"2") => extensions.statvfs = true,
            (b"copy-data", b"1") => extensions.copy_data = true,
            (b"limits@openssh.com", b"1") => extensions.limits = true,
            _ => {}
        }
    }
    Ok(extensions)
}

/// What is known of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Bytes.
    pub size: Option<u64>,
    /// Type and permissions, as in `st_mode`.
    pub mode: Option<u32>,
    /// Last change, by the server's clock, in seconds since 1970.
    pub modified: Option<u32>,
}

impl Attributes {
    /// Whether it is of this type (`S_IFMT` bits); a server that does not say counts as yes.
    pub fn is_type(&self, kind: u32) -> bool {
        self.mode.is_none_or(|mode| mode & 0o170_000 == kind)
    }
}

/// `S_IFREG`
pub const REGULAR: u32 = 0o100_000;
/// `S_IFDIR`
pub const FOLDER: u32 = 0o040_000;

/// A file of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The file's name in its folder.
    pub name: Vec<u8>,
    /// What the server says of it.
    pub attributes: Attributes,
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A code (0 is success) and a text for people.
    Status(u32, Vec<u8>),
    /// An open file or folder.
    Handle(Vec<u8>),
    /// Bytes of a file.
    Data(Vec<u8>),
    /// Files of a folder.
    Names(Vec<Entry>),
    /// What a file is like.
    Attributes(Attributes),
    /// The answer of an extension.
    Extended(Vec<u8>),
}

/// Codes of `Answer::Status`.
pub mod status {
    /// Done.
    pub const OK: u32 = 0;
    /// The end of a file or listing.
    pub const EOF: u32 = 1;
    /// No such file.
    pub const NO_SUCH_FILE: u32 = 2;
    /// Not allowed.
    pub const PERMISSION_DENIED: u32 = 3;
    /// The server cannot do it.
    pub const UNSUPPORTED: u32 = 8;
}

/// Reads an answer, without its length: the request's number and what it says.
pub fn decode(body: &[u8]) -> Result<(u32, Answer), Malformed> {
    let mut cursor = Cursor(body);
    let kind = cursor.u8()?;
    let id = cursor.u32()?;
    let answer = match kind {
        101 => {
            let code = cursor.u32()?;
            // Old servers leave the text out.
            let text = cursor.string().unwrap_or(&[]);
            Answer::Status(
                code,
                text.get(..text.len().min(300)).unwrap_or(&[]).to_vec(),
            )
        }
        102 => {
            let handle = cursor.string()?;
            if handle.len() > 256 {
                return Err(Malformed("an SFTP handle is too long"));
            }
            Answer::Handle(handle.to_vec())
        }
        103 => Answer::Data(cursor.string()?.to_vec()),
        104 => {
            // A hostile count takes no memory: entries are taken as far as there are bytes for them.
            let count = cursor.u32()?;
            let mut entries = Vec::new();
            for _ in 0..count {
                let name = cursor.string()?.to_vec();
                cursor.string()?;
                let attributes = cursor.attributes()?;
                entries.push(Entry { name, attributes });
            }
            Answer::Names(entries)
        }
        105 => Answer::Attributes(cursor.attributes()?),
        201 => Answer::Extended(cursor.0.to_vec()),
        _ => return Err(Malformed("an SFTP packet is of an unknown kind")),
    };
    Ok((id, answer))
}

/// The `number`th 64-bit number of an extension's answer.
pub fn number(extended: &[u8], number: usize) -> Option<u64> {
    let start = number.checked_mul(8)?;
    let bytes = extended.get(start..start.checked_add(8)?)?;
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(TRUNCATED)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.take(1)?.first().copied().ok_or(TRUNCATED)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        let bytes = self.take(4)?.try_into().map_err(|_| TRUNCATED)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        let bytes = self.take(8)?.try_into().map_err(|_| TRUNCATED)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn string(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.u32()?).map_err(|_| TRUNCATED)?;
        self.take(length)
    }

    fn attributes(&mut self) -> Result<Attributes, Malformed> {
        let flags = self.u32()?;
        let mut attributes = Attributes::default();
        if flags & 1 != 0 {
            attributes.size = Some(self.u64()?);
        }
        if flags & 2 != 0 {
            self.take(8)?;
        }
        if flags & 4 != 0 {
            attributes.mode = Some(self.u32()?);
        }
        if flags & 8 != 0 {
            self.take(4)?;
            attributes.modified = Some(self.u32()?);
        }
        if flags & 0x8000_0000 != 0 {
            for _ in 0..self.u32()? {
                self.string()?;
                self.string()?;
            }
        }
        Ok(attributes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_takes_memory_or_panics_that_is_cut_or_lies() {
        let mut names = vec![104, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff];
        assert!(decode(&names).is_err(), "four billion names in no bytes");
        names.splice(5..9, [0, 0, 0, 1]);
        names.extend([0, 0, 0, 1, b'x', 0, 0, 0, 0, 0, 0, 0, 13]);
        names.extend([
            0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0x81, 0xa4, 0, 0, 0, 0, 0, 0, 0, 5,
        ]);
        let wanted = Attributes {
            size: Some(9),
            mode: Some(0o100_644),
            modified: Some(5),
        };
        let entry = Entry {
            name: b"x".to_vec(),
            attributes: wanted,
        };
        assert_eq!(decode(&names), Ok((7, Answer::Names(vec![entry]))));
        for cut in 0..names.len() {
            assert!(decode(&names[..cut]).is_err(), "{cut}");
        }
        assert!(decode(&[103, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(decode_version(&[2, 0, 0, 0, 2]).is_err());
        assert!(decode_version(&[2, 0, 0, 0, 3, 0, 0, 0, 9]).is_err());
    }
}
