//! Reads a vector with what it says and nothing else.

use nacre_core::counters::Counters;
use nacre_core::head::Head;
use nacre_core::header::{Credential, Header, Unlocked};
use nacre_core::ids::{DomainId, Epoch, KeyGeneration, PackName};
use nacre_core::keys::{Keys, Secret};
use nacre_core::node::{ChunkFormat, Node};
use nacre_core::pack::{Directory, PackRecord, Trailer};
use nacre_core::seal::{Decoder, ItemAddress, ItemKind};
use nacre_core::session::Session;

use super::blocks::{Block, to_hex};

/// The keys of the last block with a header that opened.
#[derive(Default)]
pub struct Archive(Option<Keys>);

pub fn check(archive: &mut Archive, block: &Block) -> Result<(), String> {
    match block.text("type") {
        "key file" => key_file(block),
        "recovery code" => recovery_code(block),
        "header" => {
            let unlocked = unlock(block)?;
            assert_eq!(to_hex(&unlocked.keyring().pin()), block.text("pin"));
            archive.0 = Some(unlocked.keys());
            Ok(())
        }
        "chunk id" => {
            let ids = archive.keys().chunk_ids(DomainId(block.array("domain")));
            let id = ids.id(&block.bytes("content"));
            assert_eq!(id.to_string(), block.text("id"));
            Ok(())
        }
        "item" => item(archive.keys(), block),
        "head" => head(archive.keys(), block),
        "head body" => Head::parse(&block.bytes("bytes"))
            .map(drop)
            .map_err(|e| e.to_string()),
        "node" => node(archive.keys(), block),
        other => record(other, &block.bytes("bytes")),
    }
}

impl Archive {
    fn keys(&self) -> &Keys {
        self.0.as_ref().expect("a header before it")
    }
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

fn key_file(block: &Block) -> Result<(), String> {
    let secret = Secret::from_key_file(block.text("text").as_bytes()).map_err(text)?;
    // The other form of the same secret shows the secret without giving it away in the library.
    assert_eq!(*secret.to_recovery_code(), block.text("recovery-code"));
    Ok(())
}

fn recovery_code(block: &Block) -> Result<(), String> {
    let secret = Secret::from_recovery_code(block.text("text")).map_err(text)?;
    assert_eq!(secret.to_key_file().trim_end(), block.text("key-file"));
    Ok(())
}

fn unlock(block: &Block) -> Result<Unlocked, String> {
    let header = Header::parse(&block.bytes("object")).map_err(text)?;
    let file = block
        .get("key-file")
        .map(|text| Secret::from_key_file(text.as_bytes()).unwrap());
    let code = block
        .get("recovery-code")
        .map(|text| Secret::from_recovery_code(text).unwrap());
    let credential = match (block.get("passphrase"), &file, &code) {
        (Some(passphrase), ..) => Credential::Passphrase(passphrase.as_bytes()),
        (_, Some(secret), _) => Credential::KeyFile(secret),
        (_, _, Some(secret)) => Credential::Recovery(secret),
        _ => Credential::Published,
    };
    header.unlock(&credential).map_err(text)
}

fn item(keys: &Keys, block: &Block) -> Result<(), String> {
    let kinds = [
        ItemKind::Chunk,
        ItemKind::Patch,
        ItemKind::Node,
        ItemKind::Record,
        ItemKind::Directory,
        ItemKind::Trailer,
    ];
    let address = ItemAddress {
        key_generation: KeyGeneration(block.number("key-generation")),
        kind: kinds[block.number::<usize>("kind") - 1],
        pack: PackName(block.array("pack")),
        offset: block.number("offset"),
    };
    let mut sealed = block.bytes("sealed");
    let mut out = Vec::new();
    keys.opener()
        .open(
            &address,
            &mut sealed,
            block.number("raw-length"),
            &mut Decoder::new(),
            &mut out,
        )
        .map_err(text)?;
    assert!(out == block.bytes("content"), "content of {}", block.title);
    Ok(())
}

fn head(keys: &Keys, block: &Block) -> Result<(), String> {
    let epoch = Epoch(block.number("epoch"));
    let head = keys
        .head_keys()
        .open(epoch, &block.bytes("object"))
        .map_err(text)?;
    assert_eq!(to_hex(&head.encode()), block.text("body"));
    Ok(())
}

fn node(keys: &Keys, block: &Block) -> Result<(), String> {
    let format = ChunkFormat::new(block.number("chunk-bits")).unwrap();
    let bytes = block.bytes("bytes");
    let node = Node::parse(format, &bytes).map_err(text)?;
    assert_eq!(
        node.digest(&keys.digest(), &bytes).to_string(),
        block.text("digest")
    );
    assert_eq!(node.encode(), bytes);
    Ok(())
}

/// Records that are read and written without a key.
fn record(kind: &str, bytes: &[u8]) -> Result<(), String> {
    let again = match kind {
        "session" => Session::parse(bytes).map(|it| it.encode()),
        "pack" => PackRecord::parse(bytes).map(|it| it.encode()),
        "run counters" => Counters::parse(bytes).map(|it| it.encode()),
        "directory" => Directory::parse(bytes).map(|it| it.encode()),
        "trailer" => Trailer::parse(bytes).map(|it| it.encode().to_vec()),
        other => panic!("{other} is no type"),
    };
    assert_eq!(again.map_err(text)?, bytes);
    Ok(())
}
