//! Reads the index: nodes and records by pointer, items by place. Shared by all threads of a command.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use nacre_core::error::FormatError;
use nacre_core::hash::DigestKey;
use nacre_core::ids::Alias;
use nacre_core::keys::Keys;
use nacre_core::node::{ChunkEntry, ChunkFormat, Node, RecordEntry, record_digest};
use nacre_core::object_name::ObjectName;
use nacre_core::pack::PackRecord;
use nacre_core::place::{Place, Pointer, TreeKind};
use nacre_core::seal::{Decoder, ItemAddress, ItemKind, Opener};
use nacre_core::tree::{NodeSource, RecordTree};

use super::fetch::{Fetcher, Wanted};
use super::packs::{Located, PackTable};
use super::{Error, Result};
use crate::joints::Store;

/// The index of an opened archive, as a source of nodes.
pub struct Nodes {
    fetcher: Fetcher,
    opener: Arc<Opener>,
    digests: DigestKey,
    format: ChunkFormat,
    packs: PackTable,
    /// Lost nodes that read as empty while a repair writes new ones in their place, with their levels.
    stand_ins: RwLock<HashMap<Place, u8>>,
}

/// An item as the store gave it.
pub struct SealedItem {
    bytes: Vec<u8>,
    kind: ItemKind,
    located: Located,
}

impl SealedItem {
    /// What errors call it: the object that holds it, and where.
    pub fn location(&self) -> String {
        let object = ObjectName::Pack(self.located.pack);
        format!("{object} at byte {}", self.located.offset)
    }

    /// Its length in the store.
    pub fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Authenticates and decodes it; `raw_length` is what the index says. What does not open is fetched once more from `nodes` before it counts as
    /// damaged: a bit that fell over on the way is none on the disk, and a repair would give up for good what it takes for lost.
    pub fn open(
        mut self,
        nodes: &Nodes,
        raw_length: usize,
        decoder: &mut Decoder,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let first = self.open_bytes(&nodes.opener, raw_length, decoder, out);
        first.or_else(|error| {
            self.bytes = nodes
                .fetcher
                .once_more(self.located.wanted())
                .map_err(|_| error)?;
            self.open_bytes(&nodes.opener, raw_length, decoder, out)
        })
    }

    fn open_bytes(
        &mut self,
        opener: &Opener,
        raw_length: usize,
        decoder: &mut Decoder,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let address = ItemAddress {
            key_generation: self.located.key_generation,
            kind: self.kind,
            pack: self.located.origin,
            offset: self.located.origin_offset,
        };
        let opened = opener.open(&address, &mut self.bytes, raw_length, decoder, out);
        opened.map_err(|error| Error::damaged(self.location())(error))
    }
}

impl Nodes {
    /// An index that knows no packs yet.
    pub fn new(store: &Arc<dyn Store>, keys: &Keys, format: ChunkFormat) -> Self {
        Self {
            fetcher: Fetcher::new(Arc::clone(store)),
            opener: keys.opener(),
            digests: keys.digest(),
            format,
            packs: PackTable::default(),
            stand_ins: RwLock::default(),
        }
    }

    /// From here on these nodes read as empty: a repair says what is below them. Only for one that holds the lock of the archive and covers all
    /// of their keys with its next commit.
    pub fn stand_in(&self, nodes: impl IntoIterator<Item = (Place, u8)>) {
        let mut known = self
            .stand_ins
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        known.extend(nodes);
    }

    fn stood_in(&self, tree: TreeKind, pointer: &Pointer) -> Option<Arc<Node>> {
        let known = self
            .stand_ins
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let level = *known.get(&pointer.place)?;
        Some(Arc::new(match (level, tree) {
            (0, TreeKind::Chunks) => Node::leaf::<ChunkEntry>(tree, Vec::new()),
            (0, _) => Node::leaf::<RecordEntry>(tree, Vec::new()),
            _ => Node::inner(tree, level, Vec::new()),
        }))
    }

    /// Where packs are.
    pub fn packs(&self) -> &PackTable {
        &self.packs
    }

    /// Reads from the store.
    pub fn fetcher(&self) -> &Fetcher {
        &self.fetcher
    }

    /// Opens items.
    pub fn opener(&self) -> &Opener {
        &self.opener
    }

    /// Key of the digests.
    pub fn digests(&self) -> &DigestKey {
        &self.digests
    }

    /// Size of the chunks.
    pub fn format(&self) -> ChunkFormat {
        self.format
    }

    /// Reads items as they lie in the store, each with an answer of its own.
    pub fn sealed_items(&self, items: &[(ItemKind, Place)]) -> Vec<Result<SealedItem>> {
        let places: Vec<Place> = items.iter().map(|(_, place)| *place).collect();
        if let Err(error) = self.load_records(&places) {
            return items.iter().map(|_| Err(error.clone())).collect();
        }
        let located: Vec<Result<Located>> =
            places.iter().map(|place| self.locate(*place)).collect();
        let wanted: Vec<Wanted> = located.iter().flatten().map(Located::wanted).collect();
        let mut fetched = self.fetcher.items(&wanted).into_iter();
        let mut answer = |found: Result<Located>, kind| {
            let located = found?;
            let bytes = fetched.next().unwrap_or_else(|| Err(Error::internal()))?;
            Ok(SealedItem {
                bytes,
                kind,
                located,
            })
        };
        located
            .into_iter()
            .zip(items)
            .map(|(found, (kind, _))| answer(found, *kind))
            .collect()
    }

    fn locate(&self, place: Place) -> Result<Located> {
        self.packs
            .locate(place)
            .ok_or_else(|| Error::damaged(lost_pack(place.alias))(FormatError::Mismatch("a place")))
    }

    /// Makes sure that the records of all packs concerned are known.
    fn load_records(&self, places: &[Place]) -> Result<()> {
        let aliases: BTreeSet<Alias> = places.iter().map(|place| place.alias).collect();
        self.load_aliases(&self.packs.missing(&aliases))?;
        // What was moved is held by packs whose records are needed too; one hop at most.
        let holders = aliases
            .iter()
            .filter_map(|alias| self.packs.record(*alias))
            .flat_map(|record| record.part_aliases().collect::<Vec<_>>())
            .collect();
        self.load_aliases(&self.packs.missing(&holders))
    }

    fn load_aliases(&self, missing: &BTreeSet<Alias>) -> Result<()> {
        let (Some(first), Some(last)) = (missing.first(), missing.last()) else {
            return Ok(());
        };
        // Aliases that are needed together were mostly written together: what lies between them costs little more.
        let mut unknown = missing.clone();
        let mut unreadable = BTreeSet::new();
        let tree = RecordTree {
            tree: TreeKind::Packs,
            root: self.packs.root(),
        };
        let mut source = self;
        let mut lost = Vec::new();
        tree.each_tolerant(
            &mut source,
            first.0..last.0.saturating_add(1),
            &mut lost,
            |key, bytes| {
                // One that cannot be parsed stays unknown, as one that cannot be read.
                if let Ok(record) = PackRecord::parse(&bytes) {
                    unknown.remove(&Alias(key));
                    self.packs.loaded(Alias(key), Some(record));
                } else {
                    unreadable.insert(Alias(key));
                }
            },
        );
        for (keys, error) in lost {
            if !error.is_damage() {
                return Err(error);
            }
            unreadable.extend(unknown.iter().filter(|alias| keys.contains(&alias.0)));
        }
        // Nothing is known of packs whose records are lost: not even that there are none.
        unknown.retain(|alias| !unreadable.contains(alias));
        for alias in unknown {
            self.packs.loaded(alias, None);
        }
        Ok(())
    }

    /// Loads the records of some packs with one batch for each level of the pack tree; [`pack_record`](Self::pack_record) then has them at hand.
    pub fn load_packs(&self, aliases: &BTreeSet<Alias>) -> Result<()> {
        let unknown = |alias: &&Alias| self.packs.record(**alias).is_none();
        let keys: Vec<u64> = aliases
            .iter()
            .filter(unknown)
            .map(|alias| alias.0)
            .collect();
        let tree = RecordTree {
            tree: TreeKind::Packs,
            root: self.packs.root(),
        };
        let mut source = self;
        let records = tree.get_many(&mut source, &keys)?;
        for (key, bytes) in keys.into_iter().zip(records) {
            let parse = |bytes: Vec<u8>| {
                PackRecord::parse(&bytes)
                    .map_err(Error::damaged(format!("the record of pack {key}")))
            };
            self.packs.loaded(Alias(key), bytes.map(parse).transpose()?);
        }
        Ok(())
    }

    /// What the pack tree says of a pack; `None` for the index pack of the newest head, which is not in it yet. An error if it cannot be read.
    pub fn pack_record(&self, alias: Alias) -> Result<Option<PackRecord>> {
        if self.packs.record(alias).is_none() {
            self.load_aliases(&BTreeSet::from([alias]))?;
            if !self.packs.is_loaded(alias) {
                return Err(unreadable_record(alias));
            }
        }
        Ok(self.packs.record(alias).map(|record| (*record).clone()))
    }

    /// Where items lie, each with an answer of its own.
    pub fn locate_all(&self, places: &[Place]) -> Vec<Result<Located>> {
        if let Err(error) = self.load_records(places) {
            return places.iter().map(|_| Err(error.clone())).collect();
        }
        places.iter().map(|place| self.locate(*place)).collect()
    }

    /// Opens one item of the index.
    fn open_item(
        &self,
        item: SealedItem,
        pointer: &Pointer,
        decoder: &mut Decoder,
    ) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        item.open(self, pointer.raw_length as usize, decoder, &mut body)?;
        Ok(body)
    }

    fn open_node(
        &self,
        tree: TreeKind,
        pointer: &Pointer,
        item: Result<SealedItem>,
        decoder: &mut Decoder,
    ) -> Result<Arc<Node>> {
        if let Some(empty) = self.stood_in(tree, pointer) {
            return Ok(empty);
        }
        let item = item?;
        let location = item.location();
        let body = self.open_item(item, pointer, decoder)?;
        let node = Node::open(self.format, &self.digests, tree, pointer, &body);
        node.map(Arc::new).map_err(Error::damaged(location))
    }
}

impl NodeSource for &Nodes {
    type Error = Error;

    fn nodes(&mut self, tree: TreeKind, pointers: &[Pointer]) -> Result<Vec<Arc<Node>>> {
        self.each_node(tree, pointers).into_iter().collect()
    }

    fn each_node(&mut self, tree: TreeKind, pointers: &[Pointer]) -> Vec<Result<Arc<Node>>> {
        let mut decoder = Decoder::new();
        let items = self.sealed_items(&wanted(ItemKind::Node, pointers));
        let open = |(pointer, item)| self.open_node(tree, pointer, item, &mut decoder);
        pointers.iter().zip(items).map(open).collect()
    }

    fn records(&mut self, _tree: TreeKind, pointers: &[Pointer]) -> Result<Vec<Vec<u8>>> {
        let mut decoder = Decoder::new();
        let items = self.sealed_items(&wanted(ItemKind::Record, pointers));
        let mut open = |(pointer, item): (&Pointer, Result<SealedItem>)| {
            let item = item?;
            let location = item.location();
            let body = self.open_item(item, pointer, &mut decoder)?;
            if record_digest(&self.digests, &body) == pointer.digest {
                Ok(body)
            } else {
                Err(Error::damaged(location)(FormatError::Mismatch("a record")))
            }
        };
        pointers.iter().zip(items).map(&mut open).collect()
    }
}

fn wanted(kind: ItemKind, pointers: &[Pointer]) -> Vec<(ItemKind, Place)> {
    pointers.iter().map(|p| (kind, p.place)).collect()
}

fn unreadable_record(alias: Alias) -> Error {
    Error::damaged(format!("the record of pack {alias}"))(FormatError::Mismatch("a record"))
}

fn lost_pack(alias: Alias) -> String {
    format!("the index names pack {alias}, which the archive does not have")
}
