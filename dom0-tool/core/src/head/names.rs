//! Volume extension 6: what a volume was called before (doc/FORMAT.md, section 8).
//!
//! Sessions know their volumes by number, but the settings of qubes in a session by the names of that time. Those may have gone to others since.

use super::{Head, MAX_NAME, Volume, is_volume_name};
use crate::bytes::{Reader, Writer};
use crate::ids::{SessionSeq, VolumeId};

const NAMES: u64 = 6;
/// Of more names the oldest are given up, but not that there were more.
const MOST: usize = 8;
/// There is no session before it.
const FIRST: SessionSeq = SessionSeq(1);

/// Which volume a name of an earlier time meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then<'a> {
    /// This one.
    Is(&'a Volume),
    /// None that the archive still has.
    Gone,
    /// Names of that time were given up.
    Unknown,
}

struct Names<'a> {
    /// Names in sessions before this one are not known.
    from: SessionSeq,
    /// Former names, each with the session from which on it did not hold any more, rising.
    former: Vec<(&'a str, SessionSeq)>,
}

impl<'a> Names<'a> {
    fn parse(today: &str, bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new("the former names of a volume", bytes);
        let from = SessionSeq(reader.varint().ok()?);
        // A writer that does not know this list may have given the volume another name.
        if reader.text(MAX_NAME).ok()? != today {
            return None;
        }
        let mut former = Vec::new();
        let mut since = from.0;
        for _ in 0..reader.count(2).ok()? {
            let name = reader.text(MAX_NAME).ok()?;
            let gap = reader.varint().ok().filter(|gap| *gap > 0)?;
            since = since.checked_add(gap)?;
            former.push((name, SessionSeq(since)));
        }
        reader.finish().ok()?;
        let sound = former.iter().all(|(name, _)| is_volume_name(name));
        sound.then_some(Self { from, former })
    }

    /// The value of the extension; empty if there is nothing to be said.
    fn encode(&self, today: &str) -> Vec<u8> {
        if self.from <= FIRST && self.former.is_empty() {
            return Vec::new();
        }
        let mut writer = Writer::new();
        writer.varint(self.from.0);
        writer.text(today);
        writer.count(self.former.len());
        let mut since = self.from;
        for (name, until) in &self.former {
            writer.text(name);
            writer.varint(until.0.saturating_sub(since.0));
            since = *until;
        }
        writer.into_bytes()
    }

    /// The session from which on today's name holds.
    fn since(&self) -> SessionSeq {
        self.former.last().map_or(self.from, |(_, until)| *until)
    }
}

impl Volume {
    /// `None`: the list cannot be believed, and nothing is known.
    fn names(&self) -> Option<Names<'_>> {
        match self.extensions.get(NAMES) {
            Some(bytes) => Names::parse(&self.name, bytes),
            None => Some(Names {
                from: FIRST,
                former: Vec::new(),
            }),
        }
    }

    /// What it was called when a session was made; `None` if that is not known any more.
    pub fn name_at(&self, seq: SessionSeq) -> Option<&str> {
        let names = self.names().filter(|names| names.from <= seq)?;
        let mut former = names.former.iter();
        let then = former.find(|(_, until)| seq < *until);
        Some(then.map_or(self.name.as_str(), |(name, _)| name))
    }

    /// Gives it another name, which holds from session `next` on.
    pub(super) fn rename(&mut self, new: &str, next: SessionSeq) {
        let mut names = self.names().unwrap_or(Names {
            from: next,
            former: Vec::new(),
        });
        // A name that no session has met is none.
        if names.since() < next {
            names.former.push((&self.name, next));
        }
        if names.former.last() == Some(&(new, next)) {
            names.former.pop();
        }
        if names.former.len() > MOST {
            let (_, until) = names.former.remove(0);
            names.from = until;
        }
        let value = names.encode(new);
        self.extensions.set(NAMES, value);
        new.clone_into(&mut self.name);
    }

    /// Gives up names that only sessions before `oldest` have met.
    fn forget_names(&mut self, oldest: SessionSeq) {
        let Some(mut names) = self.names() else {
            return;
        };
        names.former.retain(|(_, until)| *until > oldest);
        if names.from <= oldest {
            names.from = FIRST;
        }
        let value = names.encode(&self.name);
        self.extensions.set(NAMES, value);
    }
}

impl Head {
    /// The volume that a name meant when session `seq` was made. `has_version`: whether a volume is in that session or in one before it, without
    /// which it cannot be meant.
    pub fn volume_then(
        &self,
        name: &str,
        seq: SessionSeq,
        has_version: impl Fn(VolumeId) -> bool,
    ) -> Then<'_> {
        let mut found = Then::Gone;
        let mut unknown = Then::Gone;
        for volume in &self.volumes {
            match volume.name_at(seq) {
                Some(then) if then == name && has_version(volume.id) => {
                    // Two of one name there never were: somebody wrote who does not know these lists.
                    found = match found {
                        Then::Gone => Then::Is(volume),
                        _ => Then::Unknown,
                    };
                }
                None if has_version(volume.id) => unknown = Then::Unknown,
                _ => {}
            }
        }
        if found == Then::Gone { unknown } else { found }
    }

    /// Gives up former names that nothing in the archive has met. `oldest`: the oldest session that has a volume.
    pub fn forget_names(&mut self, oldest: impl Fn(VolumeId) -> Option<SessionSeq>) {
        let next = self.next.session;
        let renamed = |volume: &&mut Volume| volume.extensions.get(NAMES).is_some();
        for volume in self.volumes.iter_mut().filter(renamed) {
            volume.forget_names(oldest(volume.id).unwrap_or(next));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::head::Compression;
    use crate::ids::{ArchiveId, DomainId, Generation, HeaderHash};

    fn head(names: &[&str]) -> Head {
        let header = (Generation(1), HeaderHash([3; 32]));
        let mut head = Head::first(ArchiveId([1; 16]), header, Compression::None);
        let domain = head.domain_named("default", DomainId([4; 16]));
        for name in names {
            head.add_volume(name, domain).unwrap();
        }
        head
    }

    fn then(head: &Head, name: &str, seq: u64) -> Option<VolumeId> {
        match head.volume_then(name, SessionSeq(seq), |_| true) {
            Then::Is(volume) => Some(volume.id),
            Then::Gone => None,
            Then::Unknown => panic!("{name} in session {seq} is not known"),
        }
    }

    #[test]
    fn exchanged_names_are_told_apart_by_the_time() {
        let mut head = head(&["a", "b"]);
        let [a, b] = [1, 2].map(VolumeId);
        head.next.session = SessionSeq(5);
        for (old, new) in [("a", "x"), ("b", "a"), ("x", "b")] {
            head.rename_volume(old, new).unwrap();
        }
        assert!(!head.forbids_writing());
        let head = Head::parse(&head.encode()).unwrap();
        for (seq, called_a, called_b) in [(1, a, b), (4, a, b), (5, b, a), (9, b, a)] {
            assert_eq!(then(&head, "a", seq), Some(called_a));
            assert_eq!(then(&head, "b", seq), Some(called_b));
            assert_eq!(then(&head, "x", seq), None);
        }
    }

    #[test]
    fn a_name_that_comes_back_before_a_session_leaves_nothing() {
        let mut head = head(&["a"]);
        head.next.session = SessionSeq(5);
        let before = head.clone();
        head.rename_volume("a", "b").unwrap();
        head.rename_volume("b", "a").unwrap();
        assert_eq!(head, before);
    }

    #[test]
    fn names_that_were_given_up_are_not_known() {
        let mut head = head(&["0"]);
        for number in 1..=10_u64 {
            head.next.session = SessionSeq(number + 1);
            let old = (number - 1).to_string();
            head.rename_volume(&old, &number.to_string()).unwrap();
        }
        let at = |seq| head.volume_then("3", SessionSeq(seq), |_| true);
        assert_eq!([1, 2].map(at), [Then::Unknown; 2]);
        assert_eq!([3, 5].map(at), [Then::Gone; 2]);
        assert_eq!(then(&head, "3", 4), Some(VolumeId(1)));
        assert_eq!(
            head.volume_then("3", SessionSeq(1), |_| false),
            Then::Gone,
            "it has no version that old"
        );
    }

    #[test]
    fn a_list_is_not_believed_after_a_writer_that_does_not_know_it() {
        let mut head = head(&["a"]);
        head.next.session = SessionSeq(5);
        head.rename_volume("a", "b").unwrap();
        head.volumes[0].name = "c".to_owned();
        for (name, seq) in [("a", 4), ("b", 5), ("c", 5)] {
            let then = head.volume_then(name, SessionSeq(seq), |_| true);
            assert_eq!(then, Then::Unknown);
        }
        head.next.session = SessionSeq(7);
        head.rename_volume("c", "d").unwrap();
        assert_eq!(then(&head, "d", 7), Some(VolumeId(1)));
        let before = head.volume_then("d", SessionSeq(6), |_| true);
        assert_eq!(before, Then::Unknown);
    }

    #[test]
    fn mutated_lists_are_believed_or_nothing_is_known_but_never_a_panic() {
        let mut head = head(&["a"]);
        for (session, old, new) in [(5, "a", "b"), (7, "b", "c")] {
            head.next.session = SessionSeq(session);
            head.rename_volume(old, new).unwrap();
        }
        let value = head.volumes[0].extensions.get(NAMES).unwrap().to_vec();
        assert_eq!(value, b"\x01\x01c\x02\x01a\x04\x01b\x02");
        crate::mutation::each_mutation(&[value], |bytes| {
            head.volumes[0].extensions.set(NAMES, bytes.to_vec());
            let mut renamed = head.clone();
            renamed.rename_volume("c", "d").unwrap();
            for seq in [0, 6, 7, u64::MAX] {
                let _ = head.volume_then("a", SessionSeq(seq), |_| true);
                let _ = renamed.volume_then("a", SessionSeq(seq), |_| true);
            }
        });
    }

    #[derive(Clone, Debug)]
    enum Act {
        Add(usize),
        Rename(usize, usize),
        Delete(usize),
        Send(Vec<bool>),
        Prune(usize, Vec<bool>),
    }

    const POOL: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

    fn act() -> impl Strategy<Value = Act> {
        let some = || prop::collection::vec(any::<bool>(), POOL.len());
        prop_oneof![
            2 => (0..POOL.len()).prop_map(Act::Add),
            6 => (0..POOL.len(), 0..POOL.len()).prop_map(|(a, b)| Act::Rename(a, b)),
            1 => (0..POOL.len()).prop_map(Act::Delete),
            4 => some().prop_map(Act::Send),
            1 => (0..40_usize, some()).prop_map(|(at, some)| Act::Prune(at, some)),
        ]
    }

    /// A session: the volumes in it, and the settings: all names of its time, with the volumes that they mean.
    #[derive(Default)]
    struct Past {
        volumes: BTreeSet<VolumeId>,
        names: BTreeMap<String, VolumeId>,
    }

    fn forget(head: &mut Head, past: &BTreeMap<u64, Past>) {
        head.forget_names(|id| {
            let mut with = past.iter().filter(|(_, one)| one.volumes.contains(&id));
            with.next().map(|(seq, _)| SessionSeq(*seq))
        });
    }

    proptest! {
        #[test]
        fn a_name_of_a_session_means_the_volume_that_had_it_then_or_none(
            acts in prop::collection::vec(act(), 1..60),
        ) {
            let mut head = head(&POOL[..3]);
            let mut past: BTreeMap<u64, Past> = BTreeMap::new();
            let mut renames: BTreeMap<VolumeId, usize> = BTreeMap::new();
            for act in acts {
                match act {
                    Act::Add(name) => drop(head.add_volume(POOL[name], crate::ids::DomainNumber(1))),
                    Act::Rename(old, new) => {
                        let id = head.volume(POOL[old]).map(|volume| volume.id);
                        if head.rename_volume(POOL[old], POOL[new]).is_ok() {
                            *renames.entry(id.unwrap()).or_default() += 1;
                        }
                    }
                    Act::Delete(name) => {
                        if let Some(volume) = head.remove_volume(POOL[name]) {
                            for one in past.values_mut() {
                                one.volumes.remove(&volume.id);
                            }
                            forget(&mut head, &past);
                        }
                    }
                    Act::Send(of) => {
                        let mut one = Past::default();
                        for (volume, sent) in head.volumes.iter().zip(of) {
                            one.names.insert(volume.name.clone(), volume.id);
                            if sent {
                                one.volumes.insert(volume.id);
                            }
                        }
                        past.insert(head.next.session.0, one);
                        head.next.session.0 += 1;
                    }
                    Act::Prune(at, of) => {
                        let Some(seq) = past.keys().nth(at).copied() else { continue };
                        let volumes = head.volumes.iter().zip(of);
                        for (volume, _) in volumes.filter(|(_, gone)| *gone) {
                            past.get_mut(&seq).unwrap().volumes.remove(&volume.id);
                        }
                        forget(&mut head, &past);
                    }
                }
                head = Head::parse(&head.encode()).unwrap();
                let has = |id: VolumeId, until: u64| past.range(..=until).any(|(_, one)| one.volumes.contains(&id));
                let often = renames.values().any(|times| *times > MOST);
                for (seq, one) in &past {
                    for name in POOL {
                        let meant = one.names.get(name);
                        let meant = meant.filter(|id| has(**id, *seq));
                        match head.volume_then(name, SessionSeq(*seq), |id| has(id, *seq)) {
                            Then::Is(volume) => prop_assert_eq!(Some(&volume.id), meant),
                            Then::Gone => prop_assert_eq!(None, meant),
                            Then::Unknown => prop_assert!(often),
                        }
                    }
                }
            }
        }
    }
}
