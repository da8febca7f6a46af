//! Reads sealed items out of packs: neighbours with one range, all packs at once, the end of the newest index pack from memory.

use std::sync::{Arc, Mutex, PoisonError};

use nacre_core::ids::PackName;
use nacre_core::object_name::ObjectName;

use super::{Error, Result};
use crate::joints::{ByteRange, Store, StoreError, StoreErrorKind};

/// Items this close together are read with what lies between them.
const GAP: u64 = 16 << 10;
/// A range is not made longer than this, unless one item is.
const RANGE: u64 = 4 << 20;
/// So much of the newest index pack is read when an archive is opened: its end holds the roots of all trees.
const TAIL: u64 = 256 << 10;

/// A sealed item, by where it really lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// The pack.
    pub pack: PackName,
    /// Offset in it.
    pub offset: u64,
    /// Sealed length.
    pub length: u32,
}

struct Tail {
    pack: PackName,
    offset: u64,
    bytes: Vec<u8>,
}

/// Reads from the store.
pub struct Fetcher {
    store: Arc<dyn Store>,
    tail: Mutex<Option<Tail>>,
}

impl Fetcher {
    /// Reads from `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            tail: Mutex::new(None),
        }
    }

    /// Keeps the end of a pack of `size` bytes in memory. That it cannot be read is not said here but when it is needed.
    pub fn load_tail(&self, pack: PackName, size: u64) {
        let offset = size.saturating_sub(TAIL);
        let Ok(length) = u32::try_from(size - offset) else {
            return;
        };
        let range = [ByteRange { offset, length }];
        let answer = self.store.get(ObjectName::Pack(pack), &range);
        let bytes = answer.ok().and_then(|mut parts| parts.pop());
        *self.lock() = bytes.map(|bytes| Tail {
            pack,
            offset,
            bytes,
        });
    }

    /// Keeps the end of a pack that was just written: what comes next reads the roots in it again.
    pub fn keep_tail(&self, pack: PackName, object: &[u8]) {
        let most = usize::try_from(TAIL).unwrap_or(usize::MAX);
        let (before, end) = object.split_at(object.len().saturating_sub(most));
        *self.lock() = Some(Tail {
            pack,
            offset: before.len() as u64,
            bytes: end.to_vec(),
        });
    }

    /// Reads items, each with an answer of its own, in the order asked for.
    pub fn items(&self, wanted: &[Wanted]) -> Vec<Result<Vec<u8>>> {
        let mut answers: Vec<Option<Result<Vec<u8>>>> = wanted
            .iter()
            .map(|item| self.in_tail(*item).map(Ok))
            .collect();
        let mut missing: Vec<usize> = (0..wanted.len())
            .filter(|at| answers.get(*at).is_some_and(Option::is_none))
            .collect();
        missing.sort_by_key(|at| wanted.get(*at));
        let requests = group(wanted, &missing);
        let calls: Vec<_> = requests
            .iter()
            .map(|request| (ObjectName::Pack(request.pack), request.ranges()))
            .collect();
        for (request, answer) in requests.iter().zip(self.store.get_many(&calls)) {
            let local = answer.as_ref().is_err_and(is_local);
            let missing = answer.as_ref().is_err_and(is_missing);
            let answer = if missing {
                // Said once, it may be a slip; nothing is given up for that.
                self.store
                    .get(ObjectName::Pack(request.pack), &request.ranges())
            } else {
                answer
            };
            request.hand_out(wanted, answer, &mut answers);
            if local {
                self.again(request, wanted, &mut answers);
            }
        }
        let gone = || Error::State("an item was not asked for".to_owned());
        answers
            .into_iter()
            .map(|answer| answer.unwrap_or_else(|| Err(gone())))
            .collect()
    }

    /// One bad sector or a lost end must not cost what was read together with it, nor one bad moment what is there the next.
    fn again(&self, request: &Request, wanted: &[Wanted], answers: &mut [Option<Result<Vec<u8>>>]) {
        for at in request.ranges.iter().flat_map(|(_, _, items)| items) {
            let (Some(item), Some(slot)) = (wanted.get(*at), answers.get_mut(*at)) else {
                continue;
            };
            *slot = Some(self.once_more(*item));
        }
    }

    /// Reads one item alone, and from the store whatever is in memory.
    pub fn once_more(&self, item: Wanted) -> Result<Vec<u8>> {
        let range = ByteRange {
            offset: item.offset,
            length: item.length,
        };
        let answer = self.store.get(ObjectName::Pack(item.pack), &[range]);
        let mut parts = answer.map_err(Error::Store)?;
        parts.pop().ok_or_else(Error::internal)
    }

    fn in_tail(&self, item: Wanted) -> Option<Vec<u8>> {
        let tail = self.lock();
        let tail = tail.as_ref().filter(|tail| tail.pack == item.pack)?;
        let start = usize::try_from(item.offset.checked_sub(tail.offset)?).ok()?;
        let end = start.checked_add(item.length as usize)?;
        tail.bytes.get(start..end).map(<[u8]>::to_vec)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Tail>> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an error may be that of one place in the object only.
fn is_local(error: &StoreError) -> bool {
    matches!(error.kind, StoreErrorKind::Io | StoreErrorKind::OutOfRange)
}

fn is_missing(error: &StoreError) -> bool {
    error.kind == StoreErrorKind::NotFound
}

/// What is read of one pack: ranges, and the items that lie in each.
struct Request {
    pack: PackName,
    ranges: Vec<(u64, u64, Vec<usize>)>,
}

/// Puts items, given by their indices in order of place, together to ranges and these to packs.
fn group(wanted: &[Wanted], order: &[usize]) -> Vec<Request> {
    let mut requests: Vec<Request> = Vec::new();
    for (at, item) in order.iter().filter_map(|at| Some((*at, wanted.get(*at)?))) {
        let end = item.offset + u64::from(item.length);
        let fresh = (item.offset, end, vec![at]);
        match requests.last_mut() {
            Some(request) if request.pack == item.pack => match request.ranges.last_mut() {
                Some((start, stop, items))
                    if item.offset <= *stop + GAP && end.max(*stop) - *start <= RANGE =>
                {
                    *stop = end.max(*stop);
                    items.push(at);
                }
                _ => request.ranges.push(fresh),
            },
            _ => requests.push(Request {
                pack: item.pack,
                ranges: vec![fresh],
            }),
        }
    }
    requests
}

impl Request {
    fn ranges(&self) -> Vec<ByteRange> {
        let range = |(start, stop, _): &(u64, u64, Vec<usize>)| ByteRange {
            offset: *start,
            length: u32::try_from(stop - start).unwrap_or(u32::MAX),
        };
        self.ranges.iter().map(range).collect()
    }

    fn hand_out(
        &self,
        wanted: &[Wanted],
        answer: Result<Vec<Vec<u8>>, StoreError>,
        answers: &mut [Option<Result<Vec<u8>>>],
    ) {
        for (index, (start, _, items)) in self.ranges.iter().enumerate() {
            for at in items {
                let part = match &answer {
                    Ok(parts) => parts
                        .get(index)
                        .and_then(|part| cut(part, *start, wanted.get(*at)?))
                        .ok_or_else(|| self.short()),
                    Err(error) => Err(error.clone()),
                };
                if let Some(slot) = answers.get_mut(*at) {
                    *slot = Some(part.map_err(Error::Store));
                }
            }
        }
    }

    fn short(&self) -> StoreError {
        let object = Some(ObjectName::Pack(self.pack));
        StoreError::new(
            StoreErrorKind::Protocol,
            object,
            "fewer bytes than asked for",
        )
    }
}

fn cut(part: &[u8], start: u64, item: &Wanted) -> Option<Vec<u8>> {
    let from = usize::try_from(item.offset.checked_sub(start)?).ok()?;
    let to = from.checked_add(item.length as usize)?;
    part.get(from..to).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(pack: u8, offset: u64, length: u32) -> Wanted {
        Wanted {
            pack: PackName([pack; 16]),
            offset,
            length,
        }
    }

    #[test]
    fn neighbours_are_read_with_one_range_and_packs_apart() {
        let wanted = [
            item(1, 0, 100),
            item(1, 100, 50),
            item(1, 10 << 20, 10),
            item(2, 0, 10),
            item(2, 3 << 20, 2 << 20),
        ];
        let requests = group(&wanted, &[0, 1, 2, 3, 4]);
        let shape: Vec<Vec<(u64, u64)>> = requests
            .iter()
            .map(|request| request.ranges.iter().map(|r| (r.0, r.1)).collect())
            .collect();
        let mib = 1 << 20;
        assert_eq!(
            shape,
            [
                vec![(0, 150), (10 * mib, 10 * mib + 10)],
                vec![(0, 10), (3 * mib, 5 * mib)]
            ]
        );
    }

    #[test]
    fn a_short_answer_is_an_error_of_the_items_it_hits() {
        let wanted = [item(1, 0, 10), item(1, 10, 10)];
        let requests = group(&wanted, &[0, 1]);
        let mut answers = vec![None, None];
        requests[0].hand_out(&wanted, Ok(vec![vec![7; 15]]), &mut answers);
        assert_eq!(answers[0].as_ref().unwrap().as_ref().unwrap(), &[7; 10]);
        assert!(answers[1].as_ref().unwrap().is_err());
    }
}
