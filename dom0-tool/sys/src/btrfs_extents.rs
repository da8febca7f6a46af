//! The extents of a file as Btrfs itself keeps them (linux/btrfs.h, linux/btrfs_tree.h: BTRFS_IOC_TREE_SEARCH_V2). Says of compressed
//! extents, too, where exactly they lie, and does not look up who shares them. Needs CAP_SYS_ADMIN.

use std::os::fd::AsFd;

use rustix::io::Result;
use rustix::ioctl::{self, Opcode, Updater};

/// `struct btrfs_ioctl_search_key`.
#[repr(C)]
struct Key {
    tree_id: u64,
    min_objectid: u64,
    max_objectid: u64,
    min_offset: u64,
    max_offset: u64,
    min_transid: u64,
    max_transid: u64,
    min_type: u32,
    max_type: u32,
    nr_items: u32,
    unused: u32,
    unused_more: [u64; 4],
}

/// Bytes for answers; an item of the kind asked for is at most as long as a node, 64 KiB.
const ROOM: usize = 128 << 10;

/// `struct btrfs_ioctl_search_args_v2` without its buffer.
#[repr(C)]
struct Front {
    key: Key,
    buf_size: u64,
}

#[repr(C)]
struct Request {
    front: Front,
    buffer: [u8; ROOM],
}

/// `_IOWR(0x94, 17, struct btrfs_ioctl_search_args_v2)`; the buffer is not part of the size in the number.
const BTRFS_IOC_TREE_SEARCH_V2: Opcode = ioctl::opcode::read_write::<Front>(0x94, 17);
/// `BTRFS_EXTENT_DATA_KEY`.
const EXTENT_DATA: u32 = 108;
/// Length of `struct btrfs_ioctl_search_header`.
const SEARCH_HEADER: usize = 32;

/// `struct btrfs_file_extent_item`, of an extent that is not inline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BtrfsExtent {
    /// First byte in the file.
    pub logical: u64,
    /// What it is.
    pub kind: BtrfsExtentKind,
}

/// Kinds of extents of a file on Btrfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BtrfsExtentKind {
    /// No address: bytes within the metadata, or something this code does not know.
    Unknown,
    /// A hole, or space without data; so many bytes long.
    Zero(u64),
    /// Data.
    Data {
        /// Address of the whole extent.
        address: u64,
        /// Its length there, compressed.
        disk_length: u64,
        /// Where in the uncompressed extent the file's part begins.
        offset: u64,
        /// Length of that part.
        length: u64,
        /// How it is compressed; 0 is not at all.
        compression: u8,
    },
}

/// The extents of the inode `inode` (that of `file`) that begin at or behind `start` and before `end`, in rising order, a batch of them; none
/// when there are no more.
pub fn btrfs_extents(
    file: impl AsFd,
    inode: u64,
    start: u64,
    end: u64,
) -> Result<Vec<BtrfsExtent>> {
    let mut request = Box::new(Request {
        front: Front {
            key: Key {
                // The tree of the file itself.
                tree_id: 0,
                min_objectid: inode,
                max_objectid: inode,
                min_offset: start,
                max_offset: end.saturating_sub(1),
                min_transid: 0,
                max_transid: u64::MAX,
                min_type: EXTENT_DATA,
                max_type: EXTENT_DATA,
                nr_items: u32::MAX,
                unused: 0,
                unused_more: [0; 4],
            },
            buf_size: ROOM as u64,
        },
        buffer: [0; ROOM],
    });
    // SAFETY: BTRFS_IOC_TREE_SEARCH_V2 reads a `struct btrfs_ioctl_search_args_v2` from the pointer, writes its key back and at most `buf_size`
    // bytes behind it; `Request` has that layout (repr(C), no padding) and that room. Any bytes are valid values.
    unsafe {
        ioctl::ioctl(
            file,
            Updater::<BTRFS_IOC_TREE_SEARCH_V2, Request>::new(&mut *request),
        )?;
    }
    Ok(parse(
        &request.buffer,
        request.front.key.nr_items,
        inode,
        start,
    ))
}

/// Reads the items; stops at the first that is not whole.
fn parse(mut rest: &[u8], items: u32, inode: u64, start: u64) -> Vec<BtrfsExtent> {
    let mut extents = Vec::new();
    for _ in 0..items {
        let Some((header, behind)) = rest.split_at_checked(SEARCH_HEADER) else {
            break;
        };
        let length = usize::try_from(u32_at(header, 28)).unwrap_or(usize::MAX);
        let Some((item, behind)) = behind.split_at_checked(length) else {
            break;
        };
        rest = behind;
        let logical = u64_at(header, 16);
        if u64_at(header, 8) != inode || u32_at(header, 24) != EXTENT_DATA || logical < start {
            continue;
        }
        extents.push(BtrfsExtent {
            logical,
            kind: kind_of(item),
        });
    }
    extents
}

/// Offsets within `struct btrfs_file_extent_item`: compression 16, encryption 17, other encoding 18, type 20, address 21, length on disk 29,
/// offset 37, length 45; all little-endian.
fn kind_of(item: &[u8]) -> BtrfsExtentKind {
    if item.len() < 53 {
        return BtrfsExtentKind::Unknown;
    }
    let (address, length) = (u64_at(item, 21), u64_at(item, 45));
    let plain = item[17] == 0 && item[18] == 0 && item[19] == 0;
    match item[20] {
        // BTRFS_FILE_EXTENT_REG without an address is a hole; BTRFS_FILE_EXTENT_PREALLOC.
        1 if address == 0 => BtrfsExtentKind::Zero(length),
        2 => BtrfsExtentKind::Zero(length),
        1 if plain => BtrfsExtentKind::Data {
            address,
            disk_length: u64_at(item, 29),
            offset: u64_at(item, 37),
            length,
            compression: item[16],
        },
        _ => BtrfsExtentKind::Unknown,
    }
}

/// Zero behind the end, which callers exclude. The search header is in the byte order of the machine, which is little-endian here (x86-64 only).
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(header: (u64, u64), kind: u8, fields: [u64; 4]) -> Vec<u8> {
        let (inode, offset) = header;
        let mut bytes = [
            0_u64.to_le_bytes(),
            inode.to_le_bytes(),
            offset.to_le_bytes(),
        ]
        .concat();
        bytes.extend(EXTENT_DATA.to_le_bytes());
        bytes.extend(53_u32.to_le_bytes());
        bytes.extend([0; 16]);
        bytes.extend([2, 0, 0, 0, kind]);
        fields
            .iter()
            .for_each(|field| bytes.extend(field.to_le_bytes()));
        bytes
    }

    #[test]
    fn the_request_has_the_layout_of_the_kernel() {
        assert_eq!(size_of::<Key>(), 104);
        assert_eq!(size_of::<Request>(), 112 + ROOM);
        assert_eq!(BTRFS_IOC_TREE_SEARCH_V2, 0xc070_9411);
    }

    #[test]
    fn items_are_read_as_far_as_they_go() {
        let mut bytes = item((9, 0), 1, [4096, 8192, 100, 7000]);
        bytes.extend(item((8, 0), 1, [1, 1, 1, 1]));
        bytes.extend(item((9, 7000), 1, [0, 0, 0, 50]));
        bytes.extend(item((9, 7050), 2, [7, 7, 7, 60]));
        bytes.extend(item((9, 7110), 0, [7, 7, 7, 60]));
        let found = parse(&bytes, 99, 9, 0);
        let kinds: Vec<_> = found.iter().map(|extent| extent.kind).collect();
        let data = BtrfsExtentKind::Data {
            address: 4096,
            disk_length: 8192,
            offset: 100,
            length: 7000,
            compression: 2,
        };
        let zeros = [50, 60].map(BtrfsExtentKind::Zero);
        assert_eq!(
            kinds[..],
            [data, zeros[0], zeros[1], BtrfsExtentKind::Unknown]
        );
        for length in 0..bytes.len() {
            assert!(parse(&bytes[..length], u32::MAX, 9, 0).len() <= 4);
        }
    }
}
