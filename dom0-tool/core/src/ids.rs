//! The newtypes that keep one number from being taken for another.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

macro_rules! bytes {
    ($(#[$doc:meta])* $name:ident[$len:literal]) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

number!(
    /// The head's number; goes up by one with every commit. The first is 1.
    Epoch(u64)
);
number!(
    /// The header's number; goes up by one with every change of the key slots. The first is 1.
    Generation(u64)
);
number!(
    /// The master key's number; goes up by one with every `key rotate-master`. The first is 0.
    KeyGeneration(u32)
);
number!(
    /// Short name of a pack inside index nodes, never reused in one archive. The first is 1.
    Alias(u64)
);
number!(
    /// Number of a session, in the order in which sessions were begun. The first is 1.
    SessionSeq(u64)
);
number!(
    /// Number of a volume, kept when the volume is renamed, never reused. The first is 1.
    VolumeId(u32)
);
number!(
    /// Number of a dedup domain in the head's table. The first is 1.
    DomainNumber(u32)
);
number!(
    /// Position of a chunk in its volume: byte offset divided by the chunk size.
    ChunkNumber(u64)
);

bytes!(
    /// Identity of an archive; changed by `--change-uuid`.
    ArchiveId[16]
);
bytes!(
    /// What every sealed item is bound to; fixed at `arch-init` for ever.
    OriginId[16]
);
bytes!(
    /// Name of a pack in the store: 128 fresh random bits.
    PackName[16]
);
bytes!(
    /// Random identity of a dedup domain; chunk ids of different domains cannot be compared.
    DomainId[16]
);
bytes!(
    /// Keyed hash of a chunk's content.
    ChunkId[32]
);
bytes!(
    /// Keyed digest of what a node says: for chunk trees over ids and zeros only.
    Digest[32]
);
bytes!(
    /// BLAKE3 of a whole head object as it lies in the store.
    HeadHash[32]
);
bytes!(
    /// BLAKE3 of a whole header object as it lies in the store.
    HeaderHash[32]
);
