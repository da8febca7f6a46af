//! The nodes of dm-thin's metadata: 4 KiB blocks with a checksum (Linux: drivers/md/persistent-data/dm-btree-internal.h, dm-block-manager.c).
//!
//! All numbers are little-endian. A node:
//!
//! ```text
//!  0  u32  checksum of bytes 4..4096
//!  4  u32  1: inner node, 2: leaf
//!  8  u64  its own block number
//! 16  u32  entries in use
//! 20  u32  entries there is room for
//! 24  u32  bytes of a value
//! 28       padding
//! 32       keys, u64 each, with room for all; then the values
//! ```

/// Bytes of a block of metadata.
pub const BLOCK: usize = 4096;
const HEADER: usize = 32;
/// What the checksum of a node is combined with (`BTREE_CSUM_XOR`).
pub const NODE_SALT: u32 = 121_107;
const INNER: u32 = 1;
const LEAF: u32 = 2;

/// A node that was checked.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// Whether its values are those of the tree, not blocks of further nodes.
    pub is_leaf: bool,
    keys: &'a [u8],
    values: &'a [u8],
    value_size: usize,
}

impl<'a> Node<'a> {
    /// Checks that `bytes` are the node of block `block`, in a tree with values of `value_size` bytes. Keys rise within the node.
    pub fn parse(bytes: &'a [u8], block: u64, value_size: usize) -> Result<Self, &'static str> {
        check_sum(bytes, block, 8, NODE_SALT)?;
        let is_leaf = match u32_at(bytes, 4) {
            Some(INNER) => false,
            Some(LEAF) => true,
            _ => return Err("a node that is neither leaf nor inner node"),
        };
        let value_size = if is_leaf { value_size } else { 8 };
        let number = |at| u32_at(bytes, at).and_then(|number| usize::try_from(number).ok());
        let (entries, room) = number(16).zip(number(20)).ok_or("a short node")?;
        if number(24) != Some(value_size) {
            return Err("a node with values of another size");
        }
        if entries > room || room > (BLOCK - HEADER) / (8 + value_size) {
            return Err("a node with more entries than it has room for");
        }
        if entries == 0 && !is_leaf {
            return Err("an inner node without entries");
        }
        let values_at = HEADER + room * 8;
        let keys = bytes.get(HEADER..HEADER + entries * 8);
        let values = bytes.get(values_at..values_at + entries * value_size);
        let (keys, values) = keys.zip(values).ok_or("a short node")?;
        let node = Self {
            is_leaf,
            keys,
            values,
            value_size,
        };
        if (1..entries).any(|at| node.key(at - 1) >= node.key(at)) {
            return Err("a node whose keys do not rise");
        }
        Ok(node)
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.keys.len() / 8
    }

    /// The key at a place.
    pub fn key(&self, at: usize) -> Option<u64> {
        u64_at(self.keys, at.checked_mul(8)?)
    }

    /// The bytes of the value at a place.
    pub fn value(&self, at: usize) -> Option<&'a [u8]> {
        let start = at.checked_mul(self.value_size)?;
        self.values.get(start..start.checked_add(self.value_size)?)
    }

    /// The value at a place as a number: of a block, in inner nodes.
    pub fn number(&self, at: usize) -> Option<u64> {
        u64_at(self.value(at)?, 0)
    }

    /// Keys and numbers, in order.
    pub fn entries(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        (0..self.len()).filter_map(|at| self.key(at).zip(self.number(at)))
    }

    /// The place of the greatest key that is not above `key`.
    pub fn place_of(&self, key: u64) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.key(middle)? <= key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.checked_sub(1)
    }
}

/// Checks size, checksum and the block's own number, which stands at `number_at`.
pub fn check_sum(
    bytes: &[u8],
    block: u64,
    number_at: usize,
    salt: u32,
) -> Result<(), &'static str> {
    if bytes.len() != BLOCK {
        return Err("a short block");
    }
    let sum = crc32c(bytes.get(4..).unwrap_or_default()) ^ salt;
    if u32_at(bytes, 0) != Some(sum) {
        return Err("a block with a wrong checksum");
    }
    if u64_at(bytes, number_at) != Some(block) {
        return Err("a block that belongs to another place");
    }
    Ok(())
}

/// A number of four bytes.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// A number of eight bytes.
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// CRC-32C from all ones without the final inversion, as the kernel's `crc32c(~0, …)`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| {
        let at = (sum ^ u32::from(*byte)) & 0xff;
        TABLE[at as usize] ^ (sum >> 8)
    };
    bytes.iter().fold(u32::MAX, step)
}

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte: u32 = 0;
    while byte < 256 {
        let mut sum = byte;
        let mut bit = 0;
        while bit < 8 {
            // The polynomial of Castagnoli, bits reversed.
            sum = if sum & 1 == 1 {
                (sum >> 1) ^ 0x82f6_3b78
            } else {
                sum >> 1
            };
            bit += 1;
        }
        table[byte as usize] = sum;
        byte += 1;
    }
    table
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A node as the kernel writes it.
    pub fn node(block: u64, leaf: bool, entries: &[(u64, Vec<u8>)], value_size: usize) -> Vec<u8> {
        let room = (BLOCK - HEADER) / (8 + value_size);
        let mut bytes = vec![0; BLOCK];
        let put = |bytes: &mut Vec<u8>, at: usize, what: &[u8]| {
            bytes[at..at + what.len()].copy_from_slice(what);
        };
        let number = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
        put(&mut bytes, 4, &number(if leaf { 2 } else { 1 }));
        put(&mut bytes, 8, &block.to_le_bytes());
        put(&mut bytes, 16, &number(entries.len()));
        put(&mut bytes, 20, &number(room));
        put(&mut bytes, 24, &number(value_size));
        for (at, (key, value)) in entries.iter().enumerate() {
            put(&mut bytes, HEADER + at * 8, &key.to_le_bytes());
            put(&mut bytes, HEADER + room * 8 + at * value_size, value);
        }
        seal(&mut bytes, NODE_SALT);
        bytes
    }

    /// Puts the checksum into a block.
    pub fn seal(bytes: &mut [u8], salt: u32) {
        let sum = crc32c(&bytes[4..]) ^ salt;
        bytes[..4].copy_from_slice(&sum.to_le_bytes());
    }

    #[test]
    fn the_checksum_is_that_of_castagnoli() {
        // The check value of CRC-32C, which inverts at the end.
        assert_eq!(!crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn a_node_is_read_and_everything_else_refused() {
        let value = |n: u64| n.to_le_bytes().to_vec();
        let bytes = node(7, true, &[(3, value(30)), (9, value(90))], 8);
        let parsed = Node::parse(&bytes, 7, 8).unwrap();
        assert_eq!(parsed.entries().collect::<Vec<_>>(), [(3, 30), (9, 90)]);
        assert_eq!(
            [2, 3, 8, 9, 10].map(|key| parsed.place_of(key)),
            [None, Some(0), Some(0), Some(1), Some(1)]
        );
        assert!(Node::parse(&bytes, 8, 8).is_err(), "another place");
        assert!(Node::parse(&bytes, 7, 24).is_err(), "other values");
        assert!(Node::parse(&bytes[1..], 7, 8).is_err(), "short");
        for at in 0..BLOCK {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(Node::parse(&bad, 7, 8).is_err(), "byte {at}");
        }
        let falling = node(7, true, &[(9, value(1)), (3, value(1))], 8);
        assert!(Node::parse(&falling, 7, 8).is_err());
        let mut crowded = bytes;
        crowded[16..20].copy_from_slice(&255_u32.to_le_bytes());
        seal(&mut crowded, NODE_SALT);
        assert!(Node::parse(&crowded, 7, 8).is_err());
        let empty = node(7, false, &[], 8);
        assert!(Node::parse(&empty, 7, 8).is_err());
    }
}
