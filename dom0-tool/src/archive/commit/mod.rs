//! A commit: index pack, barrier, head, barrier, anchor (DESIGN 4.4, doc/FORMAT.md section 9).
//!
//! A crash before the head is there leaves packs that no head names; the archive is as it was. A crash between the head and the anchor
//! leaves an archive that is newer than the anchor: its history contains what the anchor names, so it is accepted.

mod fresh;
mod ledger;
mod readable;
mod runs;

use std::collections::{BTreeMap, BTreeSet};

use nacre_core::entropy::{Entropy, draw};
use nacre_core::head::{Head, Home};
use nacre_core::ids::{Alias, Epoch, HeadHash, PackName, SessionSeq, VolumeId};
use nacre_core::liveness::Settled;
use nacre_core::node::ChunkEntry;
use nacre_core::object_name::ObjectName;
use nacre_core::pack::{FinishedIndex, IndexPack, PackRecord};
use nacre_core::place::{Place, Root, TreeKind};
use nacre_core::session::Session;
use nacre_core::tree::{Edit, EditTarget, Edited, RecordTree, RewriteTarget, Rewritten, rewrite};

use fresh::{FreshNodes, Keeping, Overlay};
use ledger::Ledger;
pub use ledger::SessionChanges;
use readable::check_readable;

use super::nodes::Nodes;
use super::{Archive, Error, Result};
use crate::joints::{Clock, PutOutcome, StoreError, StoreErrorKind};

/// Changes of one volume's tree.
pub struct VolumeEdit {
    /// The volume.
    pub volume: VolumeId,
    /// The session that is being written.
    pub session: SessionSeq,
    /// The tree to begin with.
    pub base: Root,
    /// New entries in rising order of chunks; `None`: zero.
    pub edits: Vec<(u64, Option<ChunkEntry>)>,
    /// The volume's size in bytes; chunks behind it are dropped.
    pub size: u64,
}

/// A commit in the making. Nothing is in the archive until `finish` returns.
pub struct Commit<'a> {
    archive: &'a mut Archive,
    entropy: Box<dyn Entropy>,
    /// What the new head will say.
    pub head: Head,
    index: IndexPack,
    /// Nodes of volumes in the index pack.
    fresh: FreshNodes,
    sessions: SessionChanges,
    packs: Ledger,
    /// Items of this commit's own packs that more than one chunk needs.
    shared: BTreeSet<Place>,
    /// Packs that may be wholly dead.
    swept: BTreeSet<Alias>,
    /// Counters as a recount has found them.
    counters: Vec<(u64, Option<Vec<u8>>)>,
    /// Epochs of which nobody knows the heads any more.
    unknown_heads: BTreeSet<u64>,
    /// Whether it mends what is damaged.
    mending: bool,
    /// Whether it corrects counters and dead ranges, so that they are right again.
    corrects: bool,
}

impl<'a> Commit<'a> {
    pub(super) fn begin(
        archive: &'a mut Archive,
        index_alias: Alias,
        mut entropy: Box<dyn Entropy>,
    ) -> Self {
        let name = PackName(draw(entropy.as_mut()));
        let mut head = archive.head().clone();
        head.next.alias = Alias(index_alias.0 + 1);
        head.writer_nonce = draw(entropy.as_mut());
        archive.name_header(&mut head);
        // Between the commits of a repair and its recount nothing may die: a healed chunk may stand on an item that is counted too low.
        let mending = head.books_in_doubt();
        let index = IndexPack::new(
            index_alias,
            name,
            archive.sealer(),
            archive.index_encoder(),
            (archive.entropy_source())(),
        );
        Self {
            archive,
            entropy,
            head,
            index,
            fresh: FreshNodes::new(),
            sessions: BTreeMap::new(),
            packs: Ledger::default(),
            shared: BTreeSet::new(),
            swept: BTreeSet::new(),
            counters: Vec::new(),
            unknown_heads: BTreeSet::new(),
            mending,
            corrects: false,
        }
    }

    /// Packs that were written and acknowledged since the last commit.
    pub fn add_packs(&mut self, packs: Vec<(Alias, PackRecord)>) {
        for (alias, record) in packs {
            self.packs.set(alias, record);
        }
    }

    /// Changes of pack records: new ones, relocations. `None`: the pack leaves the tree.
    pub fn set_packs(&mut self, packs: Vec<(Alias, Option<PackRecord>)>) {
        for (alias, record) in packs {
            match record {
                Some(record) => self.packs.set(alias, record),
                None => self.packs.remove(alias),
            }
        }
    }

    /// The head gives these packs away: void and moved ones wholly, others where their items are dead.
    pub fn give_away(&mut self, packs: impl IntoIterator<Item = Alias>) {
        for alias in packs {
            self.packs.give_away(alias);
        }
    }

    /// Packs that are given up if nothing in them lives: those that could not be while they were homes of the pack tree.
    pub fn sweep(&mut self, packs: impl IntoIterator<Item = Alias>) {
        self.swept.extend(packs);
    }

    /// Items in the packs of this commit that more than one chunk needs. Whoever lets a second chunk refer to an item that was stored since the
    /// last commit must say so: all others are taken to be needed once.
    pub fn share(&mut self, items: impl IntoIterator<Item = Place>) {
        self.shared.extend(items);
    }

    /// This commit mends what is damaged: the counters and dead ranges, which may be wrong, are neither believed nor kept, and nothing is freed, in this
    /// commit and in every later one until a recount, whose commit says `correct`. The head says so, so that a crash in between does no harm.
    pub fn mend(&mut self) {
        self.mending = true;
        self.head.set_books_in_doubt(true);
    }

    /// Writes or removes records of run counters, by alias in rising order. Only in a commit that mends.
    pub fn set_counters(&mut self, records: Vec<(u64, Option<Vec<u8>>)>) {
        self.counters = records;
    }

    /// Besides mending, this commit makes counters and dead ranges what a recount of the head before has found: what this very commit replaces is
    /// dead too then.
    pub fn correct(&mut self) {
        self.mending = true;
        self.corrects = true;
        self.head.set_books_in_doubt(false);
    }

    /// Takes out a record that cannot be read, and a lost node in which it would stand. Those of packs and sessions may be given anew after that.
    pub fn drop_record(&mut self, tree: TreeKind, key: u64) {
        match tree {
            TreeKind::Sessions => {
                self.sessions.insert(SessionSeq(key), None);
            }
            TreeKind::Counters => {
                if let Err(at) = self.counters.binary_search_by_key(&key, |(key, _)| *key) {
                    self.counters.insert(at, (key, None));
                }
            }
            // A pack without a record is one that the archive does not have.
            TreeKind::Packs => self.packs.remove(Alias(key)),
            // A head without one, one that nobody can ask for.
            TreeKind::Heads => {
                self.unknown_heads.insert(key);
            }
            TreeKind::Chunks => {}
        }
    }

    /// Writes or replaces a session.
    pub fn set_session(&mut self, seq: SessionSeq, session: Session) {
        self.head.next.session = self.head.next.session.max(SessionSeq(seq.0 + 1));
        self.sessions.insert(seq, Some(session));
    }

    /// Points a volume at its newest session.
    pub fn set_newest(&mut self, volume: VolumeId, seq: SessionSeq, size: u64, root: Root) {
        if let Some(volume) = self.head.volume_by_id_mut(volume) {
            volume.newest = Some(seq);
            volume.size = size;
            volume.root = root;
        }
    }

    /// The volume's newest session is finished, and is what the snapshot with this identity holds.
    pub fn set_snapshot(&mut self, volume: VolumeId, identity: &[u8]) {
        if let Some(volume) = self.head.volume_by_id_mut(volume) {
            volume.set_snapshot(identity);
            volume.set_finished(None);
        }
    }

    /// The volume's newest session is unfinished. Remembers the last finished one that was read from a snapshot, and the identity of that.
    pub fn set_finished(&mut self, volume: VolumeId, finished: Option<(SessionSeq, &[u8])>) {
        if let Some(volume) = self.head.volume_by_id_mut(volume) {
            volume.set_snapshot(&[]);
            volume.set_finished(finished);
        }
    }

    /// Takes a session out.
    pub fn remove_session(&mut self, seq: SessionSeq) {
        self.sessions.insert(seq, None);
    }

    /// The sessions that it writes or takes out (`None`).
    pub fn changed_sessions(&self) -> &BTreeMap<SessionSeq, Option<Session>> {
        &self.sessions
    }

    /// Points a volume at its newest session's tree where that was written again with the same content.
    pub fn set_root(&mut self, volume: VolumeId, root: Root) {
        if let Some(volume) = self.head.volume_by_id_mut(volume) {
            volume.root = root;
        }
    }

    /// Writes the trees of all sessions of a volume again with other entries for the same content, from a leaf on (`stretch.0`) until so many
    /// leaves were written (`stretch.1`).
    pub fn rewrite_volume(
        &mut self,
        volume: VolumeId,
        trees: &[(SessionSeq, Root)],
        stretch: (u64, usize),
        replace: impl FnMut(u64, &ChunkEntry) -> Option<ChunkEntry>,
    ) -> Result<Rewritten> {
        let nodes = self.archive.nodes();
        let mut source: &Nodes = &nodes;
        let target = RewriteTarget {
            volume,
            key: nodes.digests(),
            from: stretch.0,
            most: stretch.1,
        };
        let mut sink = Keeping {
            index: &mut self.index,
            fresh: &mut self.fresh,
        };
        rewrite(target, trees, &mut source, &mut sink, replace)
    }

    /// Writes the trees of volumes: all leaves, then the inner nodes level by level. Returns the new roots in the same order.
    pub fn edit_volumes(&mut self, edits: Vec<VolumeEdit>) -> Result<Vec<Root>> {
        let nodes = self.archive.nodes();
        let mut source: &Nodes = &nodes;
        let mut sink = Keeping {
            index: &mut self.index,
            fresh: &mut self.fresh,
        };
        let mut running = Vec::with_capacity(edits.len());
        for edit in edits {
            let target = EditTarget {
                tree: TreeKind::Chunks,
                volume: edit.volume,
                session: edit.session,
                key: nodes.digests(),
            };
            let cut = edit.size.div_ceil(nodes.format().chunk_size() as u64);
            let mut tree = Edit::new(target, &edit.base, Some(cut));
            for (chunk, entry) in edit.edits {
                tree.push(&mut source, &mut sink, chunk, entry)?;
            }
            tree.end_leaves(&mut source, &mut sink)?;
            running.push(tree);
        }
        let mut raised = true;
        while raised {
            raised = false;
            for tree in &mut running {
                raised |= tree.raise(&mut source, &mut sink)?;
            }
        }
        let finish = |tree: Edit<'_, ChunkEntry>| Ok(tree.finish(&mut source)?.root);
        running.into_iter().map(finish).collect()
    }

    /// Makes it so.
    pub fn finish(mut self, clock: &dyn Clock) -> Result<()> {
        let previous = (self.head.epoch, self.archive.head_hash());
        self.head.epoch = self.archive.next_epoch();
        self.head.previous = previous.1;
        self.head.time = clock.now().seconds;
        self.archive.bear_witness(&mut self.head);
        let sessions = std::mem::take(&mut self.sessions);
        let changed = self.write_trees(previous, &sessions)?;
        let index = self.index.finish();
        enter_home(&mut self.head, &index);
        let records = changed.values().flatten().chain([&index.record]);
        check_readable(&self.head, sessions.values().flatten(), records)?;
        let store = self.archive.store();
        let name = ObjectName::Pack(index.record.name);
        let stored = store.put_whole(name, &index.bytes)?;
        if stored == PutOutcome::Exists {
            return Err(exists_unasked(name));
        }
        // Everything that the head will name must survive a power cut before the head can.
        store.barrier()?;
        let object = self
            .archive
            .head_keys()
            .seal(&self.head, self.entropy.as_mut());
        let object = object.ok_or_else(|| {
            Error::refused(
                "the archive's head has become too large",
                "Use fewer volumes in one archive.",
            )
        })?;
        self.archive.put_head(&self.head, &object)?;
        let nodes = self.archive.nodes();
        nodes.fetcher().keep_tail(index.record.name, &index.bytes);
        self.archive.advance(self.head, &object, &changed, sessions)
    }

    /// Writes records and nodes of the trees that the head points to. The answer is the pack records that changed.
    fn write_trees(
        &mut self,
        previous: (Epoch, HeadHash),
        sessions: &SessionChanges,
    ) -> Result<BTreeMap<Alias, Option<PackRecord>>> {
        // What was given away before is freed first, so that this head need not name it any more.
        let freed = if self.mending {
            BTreeSet::new()
        } else {
            self.archive.free_left_over()?
        };
        let nodes = self.archive.nodes();
        let key = nodes.digests();
        let settled = self.settle(&nodes, sessions)?;
        let sessions = sessions
            .iter()
            .map(|(seq, session)| (seq.0, session.as_ref().map(Session::encode)));
        let sessions = RecordTree::stage(TreeKind::Sessions, key, sessions, &mut self.index)?;
        let counters = settled.counters;
        let counters = RecordTree::stage(TreeKind::Counters, key, counters, &mut self.index)?;
        let unknown = self.unknown_heads.range(..previous.0.0);
        let unknown = unknown.map(|epoch| (*epoch, None));
        let history = unknown.chain([(previous.0.0, Some(previous.1.0.to_vec()))]);
        let history = RecordTree::stage(TreeKind::Heads, key, history, &mut self.index)?;

        let mut source: &Nodes = &nodes;
        let mut apply = |tree, root: &mut Root, staged, index: &mut IndexPack| {
            let edited = RecordTree { tree, root: *root }.apply(key, staged, &mut source, index)?;
            *root = edited.root;
            Ok::<Edited, Error>(edited)
        };
        let (index, head) = (&mut self.index, &mut self.head);
        let mut dead = apply(TreeKind::Sessions, &mut head.sessions, sessions, index)?.dropped;
        dead.extend(apply(TreeKind::Counters, &mut head.counters, counters, index)?.dropped);
        dead.extend(apply(TreeKind::Heads, &mut head.history, history, index)?.dropped);
        dead.extend(settled.dead);
        dead.extend(settled.dead_nodes);
        if self.mending && !self.corrects {
            dead.clear();
        }

        let mut ledger = std::mem::take(&mut self.packs);
        ledger.enter_last_index(&nodes, head)?;
        ledger.drop_freed(&nodes, head, &freed)?;
        ledger.bury(&nodes, head, &dead)?;
        ledger.sweep(&nodes, head, &self.swept)?;
        let changed = ledger.finish(head);
        watch(self.archive, head, &changed);
        let packs = changed.iter();
        let packs = packs.map(|(alias, record)| (alias.0, record.as_ref().map(PackRecord::encode)));
        let packs = RecordTree::stage(TreeKind::Packs, key, packs, index)?;
        let edited = apply(TreeKind::Packs, &mut head.packs, packs, index)?;
        leave_homes(head, &edited.dropped);
        Ok(changed)
    }

    /// What dies with this commit, and the new run counters.
    fn settle(&self, nodes: &Nodes, sessions: &SessionChanges) -> Result<Settled> {
        if self.mending {
            return Ok(Settled {
                counters: self.counters.clone(),
                ..Settled::default()
            });
        }
        if sessions.is_empty() {
            return Ok(Settled::default());
        }
        // Packs are numbered in the order in which they are made: what no committed head knew has a number that none had given out.
        let head = self.archive.head();
        let first = head.next.alias;
        let is_new = |place: &Place| place.alias >= first;
        let single = |place: &Place| is_new(place) && !self.shared.contains(place);
        let source = Overlay {
            nodes,
            fresh: &self.fresh,
        };
        let runs = runs::count(source, &self.archive.sessions()?, sessions, single)?;
        let counters = RecordTree {
            tree: TreeKind::Counters,
            root: head.counters,
        };
        let mut source = nodes;
        runs.settle(&mut source, &counters, is_new)
            .map_err(|error| match error {
                // A format error of its own making: the counters do not fit the sessions.
                Error::Damaged { error, .. } => Error::damaged("the archive's run counters")(error),
                other => other,
            })
    }
}

/// Keeps the list of small and sparse packs, or begins it.
fn watch(archive: &Archive, head: &mut Head, changed: &BTreeMap<Alias, Option<PackRecord>>) {
    // Records that cannot be read are told by others; without them there is no list.
    let known = archive.head().watched();
    let mut watched = known.or_else(|| archive.find_watched().ok());
    let policy = archive.watching();
    if let Some(watched) = &mut watched {
        for (alias, record) in changed {
            match record {
                Some(record) if policy.watches(record) => watched.insert(*alias),
                _ => watched.remove(alias),
            };
        }
    }
    head.set_watched(watched.as_ref());
}

/// Nodes of the pack tree are not followed by pack records but counted at their homes.
fn leave_homes(head: &mut Head, dropped: &[Place]) {
    for place in dropped {
        let home = head.homes.iter_mut().find(|home| home.alias == place.alias);
        if let Some(home) = home {
            home.nodes = home.nodes.saturating_sub(1);
        }
    }
    head.homes.retain(|home| home.nodes > 0);
}

fn enter_home(head: &mut Head, index: &FinishedIndex) {
    head.homes.push(Home {
        alias: index.alias,
        name: index.record.name,
        key_generation: index.record.key_generation,
        size: index.record.size,
        own: index.record.own,
        nodes: index.pack_nodes,
    });
}

fn exists_unasked(name: ObjectName) -> Error {
    // A fresh random name of 128 bits cannot be taken: somebody made it so.
    let detail = "it says that a new pack is there already";
    StoreError::new(StoreErrorKind::Protocol, Some(name), detail).into()
}
