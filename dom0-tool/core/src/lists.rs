//! Lists that several structures share: extensions and rising aliases (doc/FORMAT.md, sections 1 and 6.1).

use crate::bytes::{Reader, Writer};
use crate::error::{FormatError, Result};
use crate::ids::Alias;

/// Largest value of an extension.
const EXTENSION_LIMIT: usize = 1 << 20;

/// Values that a structure carries beyond its fixed fields, by rising type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    list: Vec<(u64, Vec<u8>)>,
}

impl Extensions {
    /// The value of a type.
    pub fn get(&self, kind: u64) -> Option<&[u8]> {
        let at = self.list.binary_search_by_key(&kind, |(k, _)| *k).ok()?;
        self.list.get(at).map(|(_, value)| value.as_slice())
    }

    /// Sets the value of a type; an empty value removes it.
    pub fn set(&mut self, kind: u64, value: Vec<u8>) {
        self.list.retain(|(known, _)| *known != kind);
        if !value.is_empty() {
            let at = self.list.partition_point(|(known, _)| *known < kind);
            self.list.insert(at, (kind, value));
        }
    }

    /// Writes the list.
    pub fn encode(&self, writer: &mut Writer) {
        writer.count(self.list.len());
        for (kind, value) in &self.list {
            writer.varint(*kind);
            writer.blob(value);
        }
    }

    /// Reads the list. Types that this version must understand to read, and does not, are an error.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self> {
        let what = reader.what();
        let mut list: Vec<(u64, Vec<u8>)> = Vec::new();
        for _ in 0..reader.count(2)? {
            let kind = reader.varint()?;
            if list.last().is_some_and(|(last, _)| *last >= kind) {
                return Err(FormatError::OutOfOrder(what));
            }
            if kind & 3 == 3 {
                let found = format!("extension {kind}");
                return Err(FormatError::TooNew { what, found });
            }
            list.push((kind, reader.blob(EXTENSION_LIMIT)?.to_vec()));
        }
        Ok(Self { list })
    }

    /// Whether there is a type that must be understood to write, and is not in `known`.
    pub fn forbid_writing(&self, known: &[u64]) -> bool {
        self.list
            .iter()
            .any(|(kind, _)| kind & 1 == 1 && !known.contains(kind))
    }
}

/// Writes aliases in rising order.
pub fn encode_aliases(aliases: &[Alias], writer: &mut Writer) {
    writer.count(aliases.len());
    let mut next = 0_u64;
    for alias in aliases {
        writer.varint(alias.0.saturating_sub(next));
        next = alias.0.saturating_add(1);
    }
}

/// Reads aliases in rising order, `limit` at most.
pub fn parse_aliases(reader: &mut Reader<'_>, limit: usize) -> Result<Vec<Alias>> {
    let out_of_range = FormatError::OutOfRange(reader.what());
    let count = reader.count(1)?;
    if count > limit {
        return Err(out_of_range);
    }
    let mut aliases = Vec::with_capacity(count);
    let mut next = Some(0_u64);
    for _ in 0..count {
        let alias = next.and_then(|next| next.checked_add(reader.varint().ok()?));
        let alias = alias.ok_or_else(|| out_of_range.clone())?;
        aliases.push(Alias(alias));
        next = alias.checked_add(1);
    }
    Ok(aliases)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn aliases_are_read_back(set: std::collections::BTreeSet<u64>) {
            let aliases: Vec<Alias> = set.into_iter().map(Alias).collect();
            let mut writer = Writer::new();
            encode_aliases(&aliases, &mut writer);
            let bytes = writer.into_bytes();
            let mut reader = Reader::new("x", &bytes);
            prop_assert_eq!(parse_aliases(&mut reader, usize::MAX), Ok(aliases));
            prop_assert_eq!(reader.finish(), Ok(()));
        }
    }

    #[test]
    fn an_extension_that_must_be_understood_is_refused() {
        let mut extensions = Extensions::default();
        extensions.set(2, vec![1]);
        extensions.set(5, vec![2]);
        let mut writer = Writer::new();
        extensions.encode(&mut writer);
        let bytes = writer.into_bytes();
        let parsed = Extensions::parse(&mut Reader::new("x", &bytes)).unwrap();
        assert_eq!(parsed, extensions);
        assert!(parsed.forbid_writing(&[]) && !parsed.forbid_writing(&[5]));
        assert!(Extensions::parse(&mut Reader::new("x", &[1, 7, 1, 0])).is_err());
        assert!(Extensions::parse(&mut Reader::new("x", &[2, 4, 1, 0, 2, 1, 0])).is_err());
    }
}
