//! Headers of a tar archive (POSIX 1003.1-2008, pax): 512 bytes of text in fixed fields, and records before them for what does not fit.

use std::os::unix::ffi::OsStrExt;

use super::walk::{Kind, Saved};

/// What everything in a tar archive is a multiple of.
pub const BLOCK: u64 = 512;
/// Bytes of a header: one block.
const HEADER: usize = 512;
/// The largest number that twelve characters in octal hold.
const LARGEST: u64 = (1 << 33) - 1;
/// The largest number that eight characters hold.
const LARGEST_OWNER: u32 = (1 << 21) - 1;

/// What a header says.
struct Fields<'a> {
    name: &'a [u8],
    mode: u32,
    owner: (u32, u32),
    size: u64,
    modified: i64,
    kind: u8,
    link: &'a [u8],
}

/// The headers of a file. `first`: the path of the first name of a file that has several, and that was saved already.
pub fn headers(saved: &Saved, first: Option<&[u8]>) -> Vec<u8> {
    let mut name = saved.path.as_os_str().as_bytes().to_vec();
    let (kind, size, link) = match (&saved.kind, first) {
        (_, Some(first)) => (b'1', 0, first),
        (Kind::Folder, None) => {
            name.push(b'/');
            (b'5', 0, &[][..])
        }
        (Kind::File(size), None) => (b'0', *size, &[][..]),
        (Kind::Link(target), None) => (b'2', 0, target.as_bytes()),
        (Kind::Pipe, None) => (b'6', 0, &[][..]),
    };
    let fields = Fields {
        name: &name,
        mode: saved.mode,
        owner: saved.owner,
        size,
        modified: saved.modified,
        kind,
        link,
    };
    let mut out = Vec::new();
    let records = records(&fields, saved);
    if !records.is_empty() {
        let about = Fields {
            name: b"records",
            mode: 0o600,
            owner: (0, 0),
            size: records.len() as u64,
            modified: 0,
            kind: b'x',
            link: b"",
        };
        out.extend(about.block());
        out.extend(&records);
        fill(&mut out);
    }
    out.extend(fields.block());
    out
}

/// The block that begins `length` bytes without meaning, its own included: a comment of blanks.
pub fn filler(length: u64) -> [u8; HEADER] {
    let about = Fields {
        name: b"filler",
        mode: 0o600,
        owner: (0, 0),
        size: length.saturating_sub(BLOCK),
        modified: 0,
        kind: b'g',
        link: b"",
    };
    about.block()
}

/// How the comment behind it begins; blanks follow, and a line feed is the last.
pub fn comment(length: u64) -> Vec<u8> {
    format!("{} comment=", length.saturating_sub(BLOCK)).into_bytes()
}

/// What does not fit into the fields.
fn records(fields: &Fields<'_>, saved: &Saved) -> Vec<u8> {
    let mut out = Vec::new();
    let plain = |text: &[u8]| text.len() <= 100 && text.is_ascii();
    if !plain(fields.name) {
        record("path", fields.name, &mut out);
    }
    if !plain(fields.link) {
        record("linkpath", fields.link, &mut out);
    }
    let mut number = |key: &str, value: i128, fits: bool| {
        if !fits {
            record(key, value.to_string().as_bytes(), &mut out);
        }
    };
    let (uid, gid) = fields.owner;
    number("uid", uid.into(), uid <= LARGEST_OWNER);
    number("gid", gid.into(), gid <= LARGEST_OWNER);
    number("size", fields.size.into(), fields.size <= LARGEST);
    let fits = u64::try_from(fields.modified).is_ok_and(|time| time <= LARGEST);
    number("mtime", fields.modified.into(), fits);
    for (name, value) in &saved.attributes {
        let mut key = b"SCHILY.xattr.".to_vec();
        key.extend(escaped(name.as_bytes()));
        record_of(&key, value, &mut out);
    }
    out
}

/// The name of an attribute within a key, which ends at its first `=`: as GNU tar writes it.
fn escaped(name: &[u8]) -> Vec<u8> {
    let escaped = name.iter().flat_map(|byte| match byte {
        b'%' => b"%25",
        b'=' => b"%3D",
        other => std::slice::from_ref(other),
    });
    escaped.copied().collect()
}

fn record(key: &str, value: &[u8], out: &mut Vec<u8>) {
    record_of(key.as_bytes(), value, out);
}

/// `LENGTH KEY=VALUE` and a line feed; the length counts itself.
fn record_of(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend(length.to_string().as_bytes());
    out.push(b' ');
    out.extend(key);
    out.push(b'=');
    out.extend(value);
    out.push(b'\n');
}

/// Zeros to the next block.
pub fn fill(out: &mut Vec<u8>) {
    let end = out.len().next_multiple_of(HEADER);
    out.resize(end, 0);
}

impl Fields<'_> {
    fn block(&self) -> [u8; HEADER] {
        let mut block = [0; HEADER];
        let mut put = |at: usize, longest: usize, bytes: &[u8]| {
            let bytes = bytes.get(..longest).unwrap_or(bytes);
            if let Some(field) = block.get_mut(at..at + bytes.len()) {
                field.copy_from_slice(bytes);
            }
        };
        let octal = |value: u64, digits: usize| format!("{value:0digits$o}").into_bytes();
        let (uid, gid) = self.owner;
        let owner = |id: u32| octal(id.min(LARGEST_OWNER).into(), 7);
        let modified = u64::try_from(self.modified).unwrap_or(0).min(LARGEST);
        put(0, 100, self.name);
        put(100, 8, &octal(self.mode.into(), 7));
        put(108, 8, &owner(uid));
        put(116, 8, &owner(gid));
        put(124, 12, &octal(self.size.min(LARGEST), 11));
        put(136, 12, &octal(modified, 11));
        // The sum counts its own field as blanks.
        put(148, 8, b"        ");
        put(156, 1, &[self.kind]);
        put(157, 100, self.link);
        put(257, 8, b"ustar\x0000");
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        let text = format!("{sum:06o}\0 ");
        if let Some(field) = block.get_mut(148..156) {
            field.copy_from_slice(text.as_bytes());
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        for (length, wanted) in [(1, "9 path=x\n"), (2, "11 path=xx\n")] {
            let mut out = Vec::new();
            record("path", &b"xx"[..length], &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), wanted);
        }
        for length in 80..120 {
            let mut out = Vec::new();
            record("path", &vec![b'x'; length], &mut out);
            let text = String::from_utf8(out).unwrap();
            let (said, _) = text.split_once(' ').unwrap();
            assert_eq!(said.parse(), Ok(text.len()));
        }
    }
}
