//! The session while it is being made: which volumes it has, how far they are, what the next commit must write.

use std::collections::BTreeMap;

use nacre_core::ids::{DomainId, SessionSeq, VolumeId};
use nacre_core::node::ChunkEntry;
use nacre_core::place::{FAN_BITS, Root};
use nacre_core::session::{Session, SessionVolume};

use super::basis::{self, Finished};
use super::report::VolumeOutcome;
use super::run::{SendOptions, Surroundings};
use super::worker::Done;
use crate::archive::{Archive, Commit, Result, VolumeEdit};
use crate::joints::FrozenVolume;

/// What the pipeline must know about the volume it is fed with.
#[derive(Clone, Debug)]
pub struct Compared {
    /// The volume.
    pub volume: VolumeId,
    /// Its dedup domain.
    pub domain: DomainId,
    /// The newest session's tree, with which it is compared.
    pub base: Root,
    /// The last finished session that was read from a local snapshot.
    pub finished: Option<Finished>,
}

/// A volume of the session.
struct Part {
    volume: VolumeId,
    size: u64,
    root: Root,
    /// Whether the archive's newest session of it is an unfinished one, or there is none.
    was_unfinished: bool,
    edits: Vec<(u64, Option<ChunkEntry>)>,
    /// Whether the tree must be cut at the volume's size with the next commit.
    cut: bool,
    state: State,
    next_chunk: u64,
    identity: Vec<u8>,
    /// The last finished session that was read from a local snapshot; kept beside what this run leaves unfinished.
    finished: Option<Finished>,
    /// Whether its snapshot is to be remembered even if nothing changed: there is none yet that later runs can begin with.
    adopt: bool,
    /// Whether any chunk differs from the newest session.
    changed: bool,
    stored: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Stored,
    Unchanged,
    /// Read in part only.
    Left,
}

/// The session being made.
pub struct Draft {
    seq: SessionSeq,
    session: Session,
    parts: Vec<Part>,
    /// Leaves of trees in which the changes lie.
    leaves: usize,
    /// Whether this session is in the archive, finished or as a checkpoint.
    kept: bool,
    /// Sessions that earlier runs left unfinished, without the volumes that this one has taken over.
    leftovers: BTreeMap<SessionSeq, Session>,
    /// For each volume the last finished session that was read from a local snapshot.
    finished: BTreeMap<VolumeId, Finished>,
}

impl Draft {
    /// A session without volumes, named by the clock.
    pub fn begin(
        archive: &Archive,
        around: &Surroundings<'_>,
        options: &SendOptions,
    ) -> Result<Self> {
        let sessions = archive.sessions()?;
        let leftovers = sessions.iter().filter(|(_, session)| session.unfinished);
        Ok(Self {
            seq: archive.head().next.session,
            session: sessions.begin(around.clock, options.tags.clone())?,
            parts: Vec::new(),
            leaves: 0,
            kept: false,
            leftovers: leftovers.map(|(seq, s)| (seq, s.clone())).collect(),
            finished: basis::finished(archive, &sessions),
        })
    }

    /// Its number.
    pub fn seq(&self) -> SessionSeq {
        self.seq
    }

    /// Its number and name, if the archive has it; or will have it, if it `commits` once more.
    pub fn kept(&self, commits: bool) -> Option<(SessionSeq, String)> {
        let kept = self.kept || commits && self.parts.iter().any(Part::has_something);
        kept.then(|| (self.seq, self.session.name.to_string()))
    }

    /// Begins with a volume; one that the archive does not know is entered.
    pub fn open_volume(
        &mut self,
        archive: &mut Archive,
        frozen: &dyn FrozenVolume,
    ) -> Result<Compared> {
        let entry = archive.enter_volume(frozen.name())?;
        let chunks = frozen.size().div_ceil(archive.chunk_size() as u64);
        let unfinished = entry
            .newest
            .is_none_or(|seq| self.leftovers.contains_key(&seq));
        let finished = self.finished.get(&entry.id).cloned();
        self.parts.push(Part {
            volume: entry.id,
            size: frozen.size(),
            root: entry.root,
            // A volume whose size changed has changed, whatever it holds.
            was_unfinished: unfinished || entry.size != frozen.size(),
            edits: Vec::new(),
            cut: entry.size.div_ceil(archive.chunk_size() as u64) > chunks,
            state: State::Reading,
            next_chunk: 0,
            identity: frozen.identity(),
            finished: finished.clone(),
            adopt: false,
            changed: false,
            stored: 0,
        });
        Ok(Compared {
            volume: entry.id,
            domain: entry.domain,
            base: entry.root,
            finished,
        })
    }

    /// The volume had to be compared as a whole: its new snapshot spares the next run that.
    pub fn adopt_snapshot(&mut self) {
        if let Some(part) = self.parts.last_mut() {
            part.adopt = !part.identity.is_empty();
        }
    }

    /// Chunks that are zero now.
    pub fn emptied(&mut self, chunks: &[u64]) {
        self.leaves += leaves(chunks.iter().copied());
        if let Some(part) = self.parts.last_mut() {
            part.changed |= !chunks.is_empty();
            part.edits.extend(chunks.iter().map(|chunk| (*chunk, None)));
        }
    }

    /// What a worker found.
    pub fn take(&mut self, done: &mut Done) {
        self.leaves += leaves(done.edits.iter().map(|(chunk, _)| *chunk));
        if let Some(part) = self.parts.last_mut() {
            part.stored += done.stored;
            part.changed |= !done.edits.is_empty() || done.changed > 0;
            part.edits.append(&mut done.edits);
        }
    }

    /// So many bytes of the volume would be sent.
    pub fn estimated(&mut self, changed: u64) {
        if let Some(part) = self.parts.last_mut() {
            part.changed |= changed > 0;
        }
    }

    /// How far the volume being read was looked at.
    pub fn reached(&mut self, next_chunk: u64) {
        if let Some(part) = self.parts.last_mut() {
            part.next_chunk = next_chunk;
        }
    }

    /// The volume was read to its end.
    pub fn close_volume(&mut self, send_unchanged: bool) -> VolumeOutcome {
        let Some(part) = self.parts.last_mut() else {
            return VolumeOutcome::Unchanged;
        };
        let changed = part.was_unfinished || part.changed;
        if changed || send_unchanged {
            part.state = State::Stored;
            VolumeOutcome::Stored
        } else {
            part.state = State::Unchanged;
            VolumeOutcome::Unchanged
        }
    }

    /// The volume was not read to its end.
    pub fn leave_volume(&mut self) {
        if let Some(part) = self.parts.last_mut() {
            part.state = State::Left;
        }
    }

    /// Number of leaves that wait for a commit; those that were met several times count each time.
    pub fn pending_leaves(&self) -> usize {
        self.leaves
    }

    /// Number of changed chunks that wait for a commit.
    pub fn pending(&self) -> usize {
        self.parts.iter().map(|part| part.edits.len()).sum()
    }

    /// Whether there is something that the archive does not have yet.
    pub fn has_changes(&self) -> bool {
        let kept = self.kept;
        self.parts
            .iter()
            .filter(|part| part.has_something())
            .any(|part| !part.edits.is_empty() || part.cut || part.state == State::Stored && !kept)
    }

    /// Whether there is anything to commit at the end: a finished session would have volumes in it or leave an unfinished one behind, or a
    /// snapshot is to be remembered.
    pub fn has_volumes(&self) -> bool {
        let worth = |part: &Part| part.state == State::Stored || part.adopted();
        self.kept || self.has_changes() || self.parts.iter().any(worth)
    }

    /// Once the finished session is committed: for each volume, in the order opened, whether its new snapshot is the one to keep.
    pub fn keeps_snapshot(&self) -> Vec<bool> {
        let keeps = |part: &Part| part.state == State::Stored || part.adopted();
        self.parts.iter().map(keeps).collect()
    }

    /// Writes the session as far as it is. `finished`: volumes that were read to their end are finished with it; others stay in
    /// an unfinished session of their own, behind it. Without any that was read to its end the session itself stays unfinished.
    ///
    /// What earlier runs left unfinished of these volumes goes: this run began with it, so all that it had is here. That happens in
    /// the same commit, so that a crash leaves the one or the other.
    pub fn write(&mut self, commit: &mut Commit<'_>, finished: bool) -> Result<()> {
        self.write_trees(commit)?;
        // Not with a checkpoint: the snapshot would be gone after an interrupted run.
        let adopted = |part: &&Part| finished && part.adopted();
        for part in self.parts.iter().filter(adopted) {
            commit.set_snapshot(part.volume, &part.identity);
        }
        let finished = finished && self.parts.iter().any(|part| part.state == State::Stored);
        let (whole, begun): (Vec<&Part>, Vec<&Part>) = self
            .parts
            .iter()
            .filter(|part| part.has_something())
            .partition(|part| !finished || part.state == State::Stored);
        let mut session = self.session.clone();
        session.unfinished = !finished;
        enter(commit, self.seq, session, &whole);
        let mut rest = self.session.clone();
        rest.name = self.session.name.plus_one_second();
        rest.unfinished = true;
        enter(commit, SessionSeq(self.seq.0 + 1), rest, &begun);
        let taken_over = whole.iter().chain(&begun).map(|part| part.volume);
        replace(&mut self.leftovers, &taken_over.collect::<Vec<_>>(), commit);
        Ok(())
    }

    fn write_trees(&mut self, commit: &mut Commit<'_>) -> Result<()> {
        self.leaves = 0;
        let mut changed: Vec<&mut Part> = self
            .parts
            .iter_mut()
            // Of the others nothing is entered: a tree of theirs would be nobody's.
            .filter(|part| part.has_something() && (!part.edits.is_empty() || part.cut))
            .collect();
        let mut edits = Vec::new();
        for part in &mut changed {
            // If the commit fails, so does the run: nobody will ask for them again.
            let mut sorted = std::mem::take(&mut part.edits);
            sorted.sort_by_key(|(chunk, _)| *chunk);
            edits.push(VolumeEdit {
                volume: part.volume,
                session: self.seq,
                base: part.root,
                edits: sorted,
                size: part.size,
            });
        }
        let roots = commit.edit_volumes(edits)?;
        for (part, root) in changed.into_iter().zip(roots) {
            part.root = root;
            part.cut = false;
        }
        Ok(())
    }

    /// The commit is in the archive.
    pub fn committed(&mut self) {
        self.kept |= self.parts.iter().any(Part::has_something);
    }
}

/// Writes a session with these volumes, and makes it their newest. One without volumes is none.
fn enter(commit: &mut Commit<'_>, seq: SessionSeq, mut session: Session, parts: &[&Part]) {
    if parts.is_empty() {
        return;
    }
    session.set_volumes(parts.iter().map(|part| part.in_session()).collect());
    for part in parts {
        commit.set_newest(part.volume, seq, part.size, part.root);
        if session.unfinished {
            // Its snapshot goes with this run, and of a volume that was read in part it would stand for a mixture.
            let finished = part.finished.as_ref();
            commit.set_finished(
                part.volume,
                finished.map(|f| (f.seq, f.identity.as_slice())),
            );
        } else {
            commit.set_snapshot(part.volume, &part.identity);
        }
    }
    commit.set_session(seq, session);
}

/// Takes volumes out of older unfinished sessions; those that become empty go.
fn replace(
    leftovers: &mut BTreeMap<SessionSeq, Session>,
    volumes: &[VolumeId],
    commit: &mut Commit<'_>,
) {
    leftovers.retain(|seq, session| {
        let before = session.volumes.len();
        session.volumes.retain(|one| !volumes.contains(&one.volume));
        if session.volumes.is_empty() {
            commit.remove_session(*seq);
        } else if session.volumes.len() < before {
            commit.set_session(*seq, session.clone());
        }
        !session.volumes.is_empty()
    });
}

impl Part {
    /// Whether there is anything of it that its newest finished session does not have.
    fn has_something(&self) -> bool {
        match self.state {
            State::Stored => true,
            State::Unchanged => false,
            State::Reading | State::Left => {
                self.next_chunk > 0 && (self.changed || self.was_unfinished)
            }
        }
    }

    /// Whether its snapshot is to be remembered without a session.
    fn adopted(&self) -> bool {
        self.state == State::Unchanged && self.adopt
    }

    fn in_session(&self) -> SessionVolume {
        SessionVolume {
            volume: self.volume,
            size: self.size,
            stored: self.stored,
            root: self.root,
        }
    }
}

/// Leaves that hold these chunks, of which neighbours come one after another.
fn leaves(chunks: impl Iterator<Item = u64>) -> usize {
    let mut last = None;
    let mut is_new = |chunk: u64| last.replace(chunk >> FAN_BITS) != Some(chunk >> FAN_BITS);
    chunks.filter(|chunk| is_new(*chunk)).count()
}
