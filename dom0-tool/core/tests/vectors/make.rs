//! Makes the vectors of keys, headers and items.

use nacre_core::entropy::Entropy;
use nacre_core::hash::HashType;
use nacre_core::head::Compression;
use nacre_core::header::{NewHeader, NewSecret, NewSlot, Unlocked};
use nacre_core::ids::{ArchiveId, DomainId, OriginId, PackName};
use nacre_core::keys::{Argon2Params, Secret};
use nacre_core::node::ChunkFormat;
use nacre_core::seal::{Encoder, ItemBuffer, ItemKind};

use super::blocks::{Block, from_hex, pattern, to_hex};
use super::check::{Archive, check};

/// The output of BLAKE3, from its beginning, of the text "nacre vectors": randomness that is the same everywhere.
pub struct Stream(blake3::OutputReader);

impl Stream {
    pub fn new() -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"nacre vectors");
        Self(hasher.finalize_xof())
    }
}

impl Entropy for Stream {
    fn fill(&mut self, buffer: &mut [u8]) {
        self.0.fill(buffer);
    }
}

/// A copy of a vector that must be rejected, for the reason that reading it gives.
pub fn rejected(
    mut before: Vec<Block>,
    title: &str,
    good: &Block,
    changes: &[(&str, String)],
) -> Vec<Block> {
    let mut bad = Block::new(title);
    for name in [
        "type",
        "chunk-bits",
        "key-generation",
        "kind",
        "pack",
        "offset",
        "raw-length",
        "epoch",
        "sealed",
        "object",
        "bytes",
        "text",
        "passphrase",
        "key-file",
        "recovery-code",
    ] {
        let changed = changes.iter().find(|(changed, _)| *changed == name);
        match (changed, good.get(name)) {
            (Some((_, value)), _) => bad = bad.with(name, value),
            (None, Some(value)) => bad = bad.with(name, value),
            (None, None) => {}
        }
    }
    let mut archive = Archive::default();
    for block in before.iter().filter(|block| block.title == "the archive") {
        check(&mut archive, block).unwrap();
    }
    let why = check(&mut archive, &bad).expect_err(title);
    before.push(bad.with("reject", why));
    before
}

/// A bit of a hex value turned over.
pub fn flipped(hex: &str, byte: usize) -> String {
    let mut bytes = from_hex(hex);
    bytes[byte] ^= 1;
    to_hex(&bytes)
}

fn secret(byte: u8) -> Secret {
    Secret::from_key_file(format!("nacre-key-1:{}", to_hex(&[byte; 32])).as_bytes()).unwrap()
}

fn file_slot(secret: &Secret) -> NewSlot<'_> {
    NewSlot {
        label: "key file",
        created: 1_790_000_000,
        secret: NewSecret::KeyFile(secret),
    }
}

fn new_header(hash: HashType, encrypted: bool) -> NewHeader {
    NewHeader {
        archive: ArchiveId(*b"archive id......"),
        origin: OriginId(*b"origin id......."),
        hash,
        format: ChunkFormat::new(17).unwrap(),
        encrypted,
    }
}

fn archive(hash: HashType) -> Unlocked {
    Unlocked::create(
        &new_header(hash, true),
        &[file_slot(&secret(7))],
        &mut Stream::new(),
    )
    .unwrap()
}

/// The archive in which all sealed vectors are, with two key generations.
pub fn rotated() -> Unlocked {
    archive(HashType::Blake3)
        .rotate(&[file_slot(&secret(8))], &mut Stream::new())
        .unwrap()
}

fn header_block(title: &str, header: &Unlocked, credential: (&str, &str)) -> Block {
    Block::new(title)
        .with("type", "header")
        .hex("object", header.bytes())
        .with(credential.0, credential.1)
        .hex("pin", &header.keyring().pin())
}

/// The block that opens the archive of [`rotated`].
pub fn archive_block() -> Block {
    header_block(
        "the archive",
        &rotated(),
        ("key-file", secret(8).to_key_file().trim_end()),
    )
}

pub fn credentials() -> Vec<Block> {
    let secret =
        Secret::from_key_file(format!("nacre-key-1:{}", to_hex(&pattern(32))).as_bytes()).unwrap();
    let (file, code) = (secret.to_key_file(), secret.to_recovery_code());
    let file = file.trim_end();
    let good_file = Block::new("a key file")
        .with("type", "key file")
        .with("text", file)
        .with("recovery-code", &*code);
    let good_code = Block::new("a recovery code")
        .with("type", "recovery code")
        .with("text", &*code)
        .with("key-file", file);
    let sloppy = Block::new("a recovery code as somebody types it")
        .with("type", "recovery code")
        .with(
            "text",
            code.to_lowercase()
                .replace('-', " ")
                .replace('0', "o")
                .replace('1', "l"),
        )
        .with("key-file", file);
    let mut blocks = vec![good_file.clone(), good_code.clone(), sloppy];
    for (title, good, text) in [
        ("a key file cut short", &good_file, file[..70].to_owned()),
        (
            "a key file of another kind",
            &good_file,
            file.replace("key-1", "key-2"),
        ),
        (
            "a code with a symbol that is none",
            &good_code,
            code.replacen('0', "U", 1),
        ),
        (
            "a code with one symbol changed",
            &good_code,
            code.replacen('0', "1", 1),
        ),
        (
            "a code without its last group",
            &good_code,
            code[..code.len() - 5].to_owned(),
        ),
    ] {
        blocks = rejected(blocks, title, good, &[("text", text)]);
    }
    blocks
}

pub fn headers() -> Vec<Block> {
    let (file, code) = (secret(7), secret(9));
    let slots = [
        NewSlot {
            label: "passphrase",
            created: 1_790_000_000,
            secret: NewSecret::Passphrase(b"correct horse battery staple", Argon2Params::floor()),
        },
        file_slot(&file),
        NewSlot {
            label: "paper in the safe",
            created: 1_790_000_001,
            secret: NewSecret::RecoveryCode(&code),
        },
    ];
    let three = Unlocked::create(
        &new_header(HashType::Blake3, true),
        &slots,
        &mut Stream::new(),
    )
    .unwrap();
    let off = Unlocked::create(
        &new_header(HashType::HmacSha256, false),
        &[],
        &mut Stream::new(),
    )
    .unwrap();
    let code = code.to_recovery_code();
    let file = file.to_key_file();
    let good = header_block(
        "three keys, opened by the key file",
        &three,
        ("key-file", file.trim_end()),
    );
    let mut blocks = vec![
        header_block(
            "three keys, opened by the passphrase",
            &three,
            ("passphrase", "correct horse battery staple"),
        ),
        good.clone(),
        header_block(
            "three keys, opened by the recovery code",
            &three,
            ("recovery-code", &code),
        ),
        header_block(
            "two key generations",
            &rotated(),
            ("key-file", secret(8).to_key_file().trim_end()),
        ),
        header_block("encryption off", &off, ("note", "no key is needed")),
    ];
    let object = to_hex(three.bytes());
    let first_slot = 14 + 24 + 32 + 8 + 4 + 4;
    let cost = first_slot + 2 + "passphrase".len() + 8 + 32;
    let with = |changes: &[(usize, u8)]| {
        let mut bytes = from_hex(&object);
        for (at, value) in changes {
            bytes[*at] = *value;
        }
        to_hex(&bytes)
    };
    let set = |at: usize, value: u8| with(&[(at, value)]);
    for (title, object) in [
        ("cut short", object[..object.len() - 2].to_owned()),
        ("a byte too long", format!("{object}00")),
        ("another magic number", flipped(&object, 0)),
        ("a later version", set(8, 2)),
        ("an incompatible feature", set(30, 1)),
        ("another origin id", flipped(&object, 38)),
        ("another archive id", flipped(&object, 54)),
        ("generation 0", set(70, 0)),
        ("another generation", flipped(&object, 71)),
        ("another hash type", set(83, 2)),
        ("an unknown hash type", set(83, 3)),
        ("chunks of 4 MiB", set(84, 22)),
        ("17 slots", set(85, 17)),
        ("encryption off but slots", set(82, 0)),
        ("a slot of unknown kind", set(first_slot, 4)),
        // 65 536 KiB are 00 00 01 00; this makes them 64 512.
        (
            "63 MiB for a passphrase",
            with(&[(cost + 1, 0xfc), (cost + 2, 0)]),
        ),
        ("17 passes for a passphrase", set(cost + 4, 17)),
        ("no lanes for a passphrase", set(cost + 8, 0)),
        ("another MAC", flipped(&object, object.len() / 2 - 1)),
    ] {
        blocks = rejected(blocks, title, &good, &[("object", object)]);
    }
    let wrong = secret(1).to_key_file().trim_end().to_owned();
    rejected(blocks, "the wrong key file", &good, &[("key-file", wrong)])
}

pub fn keys() -> Vec<Block> {
    let mut blocks = Vec::new();
    for (name, hash) in [
        ("BLAKE3", HashType::Blake3),
        ("HMAC-SHA256", HashType::HmacSha256),
    ] {
        let header = archive(hash);
        let file = secret(7).to_key_file();
        blocks.push(header_block(name, &header, ("key-file", file.trim_end())));
        for domain in [DomainId([1; 16]), DomainId([2; 16])] {
            let id = header.keys().chunk_ids(domain).id(&pattern(131_072));
            let block = Block::new(&format!("{name}, domain {domain}"))
                .with("type", "chunk id")
                .with("domain", domain)
                .with("content", "pattern 131072")
                .with("id", id);
            blocks.push(block);
        }
    }
    blocks
}

pub fn items() -> Vec<Block> {
    let keys = rotated().keys();
    let pack = PackName(*b"pack name.......");
    let seal =
        |title: &str, kind: ItemKind, offset: u64, compression, encoding: &str, length: usize| {
            let mut item = ItemBuffer::default();
            item.encode(&mut Encoder::new(compression), &pattern(length));
            keys.sealer()
                .seal(&mut item, kind, pack, offset, &mut Stream::new());
            Block::new(title)
                .with("type", "item")
                .with("key-generation", 1)
                .with("kind", kind as u8)
                .with("pack", pack)
                .with("offset", offset)
                .with("raw-length", length)
                .hex("sealed", item.as_bytes())
                .with("content", format!("pattern {length}"))
                .with("encoding", encoding)
        };
    let stored = seal(
        "a node, stored",
        ItemKind::Node,
        0,
        Compression::None,
        "stored",
        100,
    );
    let frame = seal(
        "a chunk, one zstd frame",
        ItemKind::Chunk,
        4096,
        Compression::Zstd(3),
        "zstd",
        131_072,
    );
    let trailer = seal(
        "a trailer",
        ItemKind::Trailer,
        77,
        Compression::None,
        "stored",
        24,
    );
    let mut blocks = vec![archive_block(), stored.clone(), frame.clone(), trailer];
    let sealed = stored.text("sealed");
    for (title, field, value) in [
        ("another kind with the same key", "kind", "4".to_owned()),
        ("another kind with another key", "kind", "1".to_owned()),
        ("another offset", "offset", "1".to_owned()),
        ("another pack", "pack", to_hex(b"pack name......!")),
        ("another key generation", "key-generation", "0".to_owned()),
        (
            "a key generation that is not there",
            "key-generation",
            "2".to_owned(),
        ),
        ("another nonce", "sealed", flipped(sealed, 0)),
        ("another text", "sealed", flipped(sealed, 30)),
        (
            "another tag",
            "sealed",
            flipped(sealed, sealed.len() / 2 - 1),
        ),
        ("only a nonce and a tag", "sealed", sealed[..80].to_owned()),
        (
            "less than a nonce and a tag",
            "sealed",
            sealed[..78].to_owned(),
        ),
        (
            "a content longer than the index says",
            "raw-length",
            "99".to_owned(),
        ),
        (
            "a content shorter than the index says",
            "raw-length",
            "101".to_owned(),
        ),
    ] {
        blocks = rejected(blocks, title, &stored, &[(field, value)]);
    }
    for (title, length) in [
        ("a frame longer than the index says", 131_071),
        ("a frame shorter than the index says", 131_073),
    ] {
        blocks = rejected(blocks, title, &frame, &[("raw-length", length.to_string())]);
    }
    blocks
}
