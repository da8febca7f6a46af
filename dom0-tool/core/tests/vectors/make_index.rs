//! Makes the vectors of heads, nodes and records.

use nacre_core::counters::Counters;
use nacre_core::head::{Compression, Head, Home, Witness};
use nacre_core::ids::{
    Alias, ArchiveId, ChunkId, ChunkNumber, Digest, DomainId, Epoch, HeadHash, KeyGeneration,
    PackName, SessionSeq, VolumeId,
};
use nacre_core::node::{Bitmap, ChunkEntry, ChunkFormat, Node, Patched, RecordEntry};
use nacre_core::pack::{
    Directory, DirectoryEntry, DirectoryItem, Origin, PackKind, PackRecord, PackState, Part,
    Trailer,
};
use nacre_core::place::{Place, Pointer, Root, TreeKind};
use nacre_core::session::{Session, SessionTime, SessionVolume, Tag};

use super::blocks::{Block, from_hex, to_hex};
use super::make::{Stream, archive_block, flipped, rejected, rotated};

fn place(alias: u64, offset: u64, length: u32) -> Place {
    Place {
        alias: Alias(alias),
        offset,
        length,
    }
}

fn pointer(alias: u64, offset: u64) -> Pointer {
    Pointer {
        place: place(alias, offset, 1000),
        raw_length: 1500,
        digest: Digest([0xd1; 32]),
    }
}

fn root(offset: u64) -> Root {
    Root::Node {
        level: 1,
        pointer: pointer(3, offset),
    }
}

pub fn heads() -> Vec<Block> {
    let archive = rotated();
    let description = archive.description();
    let named = (description.generation, archive.hash());
    let seal = |title: &str, head: &Head| {
        let object = archive
            .keys()
            .head_keys()
            .seal(head, &mut Stream::new())
            .unwrap();
        Block::new(title)
            .with("type", "head")
            .with("epoch", head.epoch)
            .hex("object", &object)
            .hex("body", &head.encode())
    };
    let first = Head::first(description.archive, named, Compression::Zstd(3));
    let full = full_head(first.clone());
    let good = seal("two volumes", &full);
    let mut blocks = vec![
        archive_block(),
        seal("the first head", &first),
        good.clone(),
        seal("two volumes, with a list of small packs", &watching(&full)),
        seal("two volumes, one with former names", &renamed(&full)),
    ];
    let object = good.text("object");
    for (title, field, value) in [
        ("another epoch", "epoch", "8".to_owned()),
        ("another magic number", "object", flipped(object, 3)),
        ("another version", "object", flipped(object, 8)),
        ("another key generation", "object", flipped(object, 10)),
        ("another nonce", "object", flipped(object, 14)),
        ("another body", "object", flipped(object, 100)),
        (
            "another tag",
            "object",
            flipped(object, object.len() / 2 - 1),
        ),
        ("cut short", "object", object[..100].to_owned()),
    ] {
        blocks = rejected(blocks, title, &good, &[(field, value)]);
    }
    let body = |title: &str, head: &Head| {
        Block::new(title)
            .with("type", "head body")
            .hex("bytes", &head.encode())
    };
    let mut swapped = full.clone();
    swapped.volumes.reverse();
    let mut stray = full.clone();
    stray.volumes[0].domain.0 = 9;
    let mut climbing = full.clone();
    "a/../b".clone_into(&mut climbing.volumes[0].name);
    for (title, head) in [
        ("volumes out of order", swapped),
        ("a volume in a domain that is not there", stray),
        ("a volume name that climbs", climbing),
    ] {
        blocks = rejected(blocks, title, &body(title, &head), &[]);
    }
    let whole = body("a body", &full);
    let longer = format!("{}00", whole.text("bytes"));
    rejected(blocks, "a byte left over", &whole, &[("bytes", longer)])
}

fn full_head(mut head: Head) -> Head {
    head.epoch = Epoch(7);
    head.previous = HeadHash([0x11; 32]);
    head.writer_nonce = [0x22; 16];
    head.time = 1_790_000_000;
    let domain = head.domain_named("default", DomainId([0x33; 16]));
    for (name, sessions) in [("vm-work-private", 5), ("appvms/untrusted/private.img", 0)] {
        let id = head.add_volume(name, domain).unwrap();
        let volume = head.volume_by_id_mut(id).unwrap();
        if sessions > 0 {
            "mail".clone_into(&mut volume.description);
            volume.newest = Some(SessionSeq(sessions));
            volume.size = 2 << 30;
            volume.root = root(0);
            volume.set_snapshot(b"opaque");
        }
    }
    head.next.alias = Alias(4);
    head.next.session = SessionSeq(6);
    (head.sessions, head.packs, head.history) = (root(1000), root(2000), root(3000));
    head.homes = vec![Home {
        alias: Alias(3),
        name: PackName([0x44; 16]),
        key_generation: KeyGeneration(1),
        size: 10_000,
        own: 2_000,
        nodes: 2,
    }];
    head.freeing = vec![Alias(1)];
    head.witnesses = vec![Witness {
        archive: ArchiveId([0x55; 16]),
        epoch: Epoch(99),
        head: HeadHash([0x66; 32]),
    }];
    head
}

fn watching(head: &Head) -> Head {
    let mut head = head.clone();
    head.set_watched(Some(&[Alias(1), Alias(3)].into()));
    head
}

fn renamed(head: &Head) -> Head {
    let mut head = head.clone();
    for (session, old, new) in [
        (3, "vm-work-private", "vm-office-private"),
        (6, "vm-office-private", "vm-job-private"),
    ] {
        head.next.session = SessionSeq(session);
        head.rename_volume(old, new).unwrap();
    }
    head
}

pub fn nodes() -> Vec<Block> {
    let format = ChunkFormat::new(17).unwrap();
    let mut bitmap = Bitmap::empty(format);
    for block in [0, 9, 31] {
        bitmap.set(block);
    }
    let patched = Patched {
        id: ChunkId([2; 32]),
        base: ChunkId([1; 32]),
        base_place: place(5, 0, 60_000),
        bitmap,
        place: place(9, 60_100, 5_000),
    };
    let leaf = Node::leaf(
        TreeKind::Chunks,
        vec![
            (
                0,
                ChunkEntry::Chunk {
                    id: ChunkId([1; 32]),
                    place: place(5, 0, 60_000),
                },
            ),
            (
                1,
                ChunkEntry::Chunk {
                    id: ChunkId([7; 32]),
                    place: place(5, 60_000, 100),
                },
            ),
            (30, ChunkEntry::Patched(Box::new(patched))),
            (
                63,
                ChunkEntry::Lost {
                    id: ChunkId([3; 32]),
                },
            ),
        ],
    );
    let inner = Node::inner(
        TreeKind::Chunks,
        1,
        vec![
            (0, pointer(3, 0)),
            (5, pointer(3, 1000)),
            (6, pointer(2, 7)),
        ],
    );
    let records = Node::leaf(
        TreeKind::Sessions,
        vec![
            (1, RecordEntry::Inline(b"a record".to_vec())),
            (2, RecordEntry::Record(pointer(3, 0))),
        ],
    );
    let digests = rotated().keys().digest();
    let block = |title: &str, node: &Node| {
        let bytes = node.encode();
        Block::new(title)
            .with("type", "node")
            .with("chunk-bits", 17)
            .hex("bytes", &bytes)
            .with("digest", node.digest(&digests, &bytes))
    };
    let good = block("a leaf of a chunk tree", &leaf);
    let inner = block("an inner node", &inner);
    let mut blocks = vec![
        archive_block(),
        good.clone(),
        inner.clone(),
        block("a leaf of records", &records),
    ];
    let bytes = from_hex(good.text("bytes"));
    let with = |at: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        to_hex(&bytes)
    };
    for (title, value) in [
        ("an unknown tree", with(0, 6)),
        ("a level too high", with(1, 11)),
        ("another level", with(1, 1)),
        ("an entry too many", with(2 + 4, 1)),
        ("an alias that nobody uses", with(18, 3)),
        ("cut short", to_hex(&bytes[..bytes.len() - 1])),
        ("a byte left over", format!("{}00", to_hex(&bytes))),
    ] {
        blocks = rejected(blocks, title, &good, &[("bytes", value)]);
    }
    blocks
}

pub fn records() -> Vec<Block> {
    let block = |title: &str, kind: &str, bytes: &[u8]| {
        Block::new(title).with("type", kind).hex("bytes", bytes)
    };
    let session = block("a session", "session", &session().encode());
    let live = PackRecord::new(
        PackKind::Data,
        PackName([0x44; 16]),
        KeyGeneration(1),
        64 << 20,
        900,
    );
    let mut moved = live.clone();
    moved.state = PackState::Moved;
    moved.kill(&place(1, 0, 1000));
    moved.parts = vec![Part {
        start: 1000,
        length: 500,
        alias: Alias(9),
        offset: 40,
    }];
    moved.sources = vec![Alias(1), Alias(4)];
    let moved = block("a pack that was moved", "pack", &moved.encode());
    let mut counters = Counters::default();
    for (offset, runs) in [(0, 2), (60_000, 3)] {
        counters.set(offset, runs);
    }
    let counters = block("run counters", "run counters", &counters.encode());
    let directory = block("a directory", "directory", &directory().encode());
    let trailer = Trailer {
        directory_offset: 60_000,
        directory_length: 300,
        directory_raw: 400,
        items: 3,
        kind: PackKind::Data,
    };
    let trailer = block("a trailer", "trailer", &trailer.encode());
    let mut blocks = vec![
        session.clone(),
        block("a pack", "pack", &live.encode()),
        moved.clone(),
        counters.clone(),
        directory.clone(),
        trailer.clone(),
    ];
    for good in [&session, &moved, &counters, &directory, &trailer] {
        let bytes = good.text("bytes");
        let (short, long) = (bytes[..bytes.len() - 2].to_owned(), format!("{bytes}00"));
        blocks = rejected(
            blocks,
            &format!("{} cut short", good.title),
            good,
            &[("bytes", short)],
        );
        blocks = rejected(
            blocks,
            &format!("{} with a byte left over", good.title),
            good,
            &[("bytes", long)],
        );
    }
    let thirteenth = session
        .text("bytes")
        .replacen(&to_hex(b"20261121"), &to_hex(b"20261321"), 1);
    blocks = rejected(
        blocks,
        "a session in a thirteenth month",
        &session,
        &[("bytes", thirteenth)],
    );
    let escape = session
        .text("bytes")
        .replacen(&to_hex(b"CET"), &to_hex(b"\x1b[m"), 1);
    blocks = rejected(
        blocks,
        "a zone that is no text",
        &session,
        &[("bytes", escape)],
    );
    let state = moved.text("bytes").replacen("03", "04", 1);
    blocks = rejected(
        blocks,
        "a pack in an unknown state",
        &moved,
        &[("bytes", state)],
    );
    let once = counters.text("bytes").replacen("0002", "0001", 1);
    rejected(
        blocks,
        "a counter of one run",
        &counters,
        &[("bytes", once)],
    )
}

fn session() -> Session {
    let time = SessionTime {
        seconds: 1_795_248_000,
        utc_offset: 3600,
        zone: "CET".to_owned(),
    };
    let tags = [
        Tag::new("monthly", "").unwrap(),
        Tag::new("before-update", "Fedora 44").unwrap(),
    ];
    let mut session = Session::new("20261121-090000".parse().unwrap(), time, tags.to_vec());
    session.protected = true;
    session.set_volumes(vec![
        SessionVolume {
            volume: VolumeId(1),
            size: 2 << 30,
            stored: 123_456,
            root: root(0),
        },
        SessionVolume {
            volume: VolumeId(2),
            size: 1000,
            stored: 0,
            root: Root::Empty,
        },
    ]);
    session.set_progress(vec![(VolumeId(1), 77)]);
    session
}

fn directory() -> Directory {
    let (volume, session, chunk) = (VolumeId(1), SessionSeq(5), ChunkNumber(77));
    let entries = [
        DirectoryEntry::Chunk {
            volume,
            chunk,
            session,
            id: ChunkId([1; 32]),
        },
        DirectoryEntry::Patch {
            volume,
            chunk,
            session,
            id: ChunkId([2; 32]),
            base: ChunkId([1; 32]),
            bitmap: vec![1, 2, 0, 0x80],
        },
        DirectoryEntry::Node {
            tree: TreeKind::Chunks,
            level: 1,
            volume,
            prefix: 0,
            session,
            raw_length: 1500,
            digest: Digest([3; 32]),
        },
        DirectoryEntry::Record {
            tree: TreeKind::Sessions,
            key: 5,
            raw_length: 700,
            digest: Digest([4; 32]),
        },
    ];
    let items = entries
        .into_iter()
        .zip(0..)
        .map(|(entry, number)| DirectoryItem {
            offset: number * 10_000,
            length: 10_000,
            origin: (number == 1).then_some((0, 4096)),
            entry,
        });
    Directory {
        alias: Alias(5),
        origins: vec![Origin {
            alias: Alias(2),
            name: PackName([9; 16]),
            key_generation: KeyGeneration(0),
        }],
        items: items.collect(),
    }
}
