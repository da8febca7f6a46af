//! Head extension 6: the packs that a search for sparse and small ones must look at (doc/FORMAT.md, section 8).
//!
//! Without it the search reads the record of every pack. It is a hint: a list that names too much or too little costs time or space, and nothing else.

use std::collections::BTreeSet;

use super::Head;
use crate::bytes::{Reader, Writer};
use crate::ids::Alias;
use crate::lists::{encode_aliases, parse_aliases};

const WATCHED: u64 = 6;
/// A longer list is not kept: then every pack is looked at again. In a healthy archive there are some hundred.
const MOST: usize = 4096;

impl Head {
    /// Packs that are small or sparse. `None` if that is not known: the head has no list, or a writer that knows nothing of the list came after it.
    pub fn watched(&self) -> Option<BTreeSet<Alias>> {
        let mut reader = Reader::new("the list of small packs", self.extensions.get(WATCHED)?);
        let through = reader.varint().ok()?;
        let list = parse_aliases(&mut reader, MOST).ok()?;
        reader.finish().ok()?;
        (through == self.next.alias.0).then(|| list.into_iter().collect())
    }

    /// Keeps the list, which holds for all packs below the next alias. `None`: nothing is known.
    pub fn set_watched(&mut self, watched: Option<&BTreeSet<Alias>>) {
        let watched = watched.filter(|list| list.len() <= MOST);
        let value = watched.map_or_else(Vec::new, |list| {
            let mut writer = Writer::new();
            writer.varint(self.next.alias.0);
            let list: Vec<Alias> = list.iter().copied().collect();
            encode_aliases(&list, &mut writer);
            writer.into_bytes()
        });
        self.extensions.set(WATCHED, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Compression;
    use crate::ids::{ArchiveId, Generation, HeaderHash};

    fn head() -> Head {
        let header = (Generation(1), HeaderHash([3; 32]));
        Head::first(ArchiveId([1; 16]), header, Compression::None)
    }

    #[test]
    fn a_list_is_read_back_and_an_empty_one_is_not_none() {
        let mut head = head();
        assert_eq!(head.watched(), None);
        for list in [BTreeSet::new(), BTreeSet::from([Alias(3), Alias(700)])] {
            head.set_watched(Some(&list));
            assert!(!head.forbids_writing());
            assert_eq!(head.watched(), Some(list));
        }
        head.set_watched(None);
        assert_eq!(head.watched(), None);
    }

    #[test]
    fn a_list_is_not_believed_after_a_writer_that_does_not_know_it() {
        let mut head = head();
        head.set_watched(Some(&BTreeSet::from([Alias(3)])));
        // Such a writer keeps extensions as they are, and numbers its packs.
        head.next.alias = Alias(head.next.alias.0 + 1);
        assert_eq!(head.watched(), None);
    }

    #[test]
    fn a_list_that_makes_no_sense_or_is_too_long_is_none() {
        let mut head = head();
        for bytes in [vec![1], vec![1, 5, 1], vec![1, 1, 3, 9], vec![0x80; 12]] {
            head.extensions.set(WATCHED, bytes);
            assert_eq!(head.watched(), None);
        }
        let many = (0..=MOST as u64).map(Alias).collect();
        head.set_watched(Some(&many));
        assert_eq!(head.watched(), None);
    }
}
