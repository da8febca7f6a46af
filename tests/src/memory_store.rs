//! A store in memory, with the meaning of the real one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nacre::joints::{
    ByteRange, Capabilities, CopyPiece, PendingPut, PutOutcome, PutStream, Store, StoreError,
    StoreErrorKind,
};
use nacre_core::object_name::{ObjectClass, ObjectName};

pub(crate) type Objects = BTreeMap<ObjectName, Arc<Vec<u8>>>;

/// A store in memory. Clones share the objects: one of them is what a second helper on the same directory would see.
#[derive(Clone, Default)]
pub struct MemoryStore {
    objects: Arc<Mutex<Objects>>,
    capabilities: Capabilities,
    capacity: Option<u64>,
}

impl MemoryStore {
    /// An empty store that can punch.
    pub fn new() -> Self {
        Self::with_capabilities(Capabilities {
            punch: true,
            ..Capabilities::default()
        })
    }

    /// An empty store that answers `capabilities` with these, and obeys them.
    pub fn with_capabilities(capabilities: Capabilities) -> Self {
        Self {
            objects: Arc::default(),
            capabilities,
            capacity: None,
        }
    }

    /// The same store, seen by a helper in another mode.
    #[must_use]
    pub fn seen_with(&self, capabilities: Capabilities) -> Self {
        Self {
            capabilities,
            ..self.clone()
        }
    }

    /// The same objects, in a store that is full at so many bytes.
    #[must_use]
    pub fn limited_to(&self, bytes: u64) -> Self {
        Self {
            capacity: Some(bytes),
            ..self.clone()
        }
    }

    /// A store of its own with the same objects now.
    #[must_use]
    pub fn fork(&self) -> Self {
        self.holding(self.lock().clone())
    }

    /// A store of its own, of the same make, with these objects.
    pub(crate) fn holding(&self, objects: Objects) -> Self {
        Self {
            objects: Arc::new(Mutex::new(objects)),
            ..*self
        }
    }

    /// All objects.
    pub fn objects(&self) -> BTreeMap<ObjectName, Vec<u8>> {
        let objects = self.lock();
        objects
            .iter()
            .map(|(name, bytes)| (*name, bytes.to_vec()))
            .collect()
    }

    /// Puts an object there, or other bytes into one, past all rules: what a hostile helper or a rotten disk does.
    pub fn tamper(&self, name: ObjectName, bytes: Vec<u8>) {
        self.lock().insert(name, Arc::new(bytes));
    }

    /// Removes an object past all rules.
    pub fn lose(&self, name: ObjectName) -> Option<Vec<u8>> {
        self.lock().remove(&name).map(|bytes| bytes.to_vec())
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn used(objects: &Objects) -> u64 {
        objects.values().map(|bytes| bytes.len() as u64).sum()
    }

    fn refuse_in_append_only(&self) -> Result<(), StoreError> {
        if self.capabilities.append_only {
            let detail = "the store is append-only";
            return Err(StoreError::new(StoreErrorKind::Refused, None, detail));
        }
        Ok(())
    }

    fn publish(&self, name: ObjectName, bytes: Vec<u8>) -> Result<PutOutcome, StoreError> {
        let mut objects = self.lock();
        if objects.contains_key(&name) {
            return Ok(PutOutcome::Exists);
        }
        let used = Self::used(&objects) + bytes.len() as u64;
        if self.capacity.is_some_and(|capacity| used > capacity) {
            return Err(StoreError::new(StoreErrorKind::NoSpace, Some(name), ""));
        }
        objects.insert(name, Arc::new(bytes));
        Ok(PutOutcome::Created)
    }

    fn object(&self, name: ObjectName) -> Result<Arc<Vec<u8>>, StoreError> {
        let object = self.lock().get(&name).cloned();
        object.ok_or_else(|| StoreError::new(StoreErrorKind::NotFound, Some(name), ""))
    }
}

/// The range within `bytes`, or the error that a helper would answer with.
fn slice(name: ObjectName, bytes: &[u8], range: ByteRange) -> Result<&[u8], StoreError> {
    let start = usize::try_from(range.offset).ok();
    let end = start.and_then(|start| start.checked_add(range.length as usize));
    start
        .zip(end)
        .and_then(|(start, end)| bytes.get(start..end))
        .ok_or_else(|| {
            let detail = format!(
                "{} bytes at {} of {}",
                range.length,
                range.offset,
                bytes.len()
            );
            StoreError::new(StoreErrorKind::OutOfRange, Some(name), detail)
        })
}

/// What a punch leaves in memory. Ranges beyond the end are passed over.
pub(crate) fn fill_hole(bytes: &mut [u8], range: ByteRange) {
    let start = usize::try_from(range.offset).ok();
    let end = start.and_then(|start| start.checked_add(range.length as usize));
    let range = start.zip(end).map(|(start, end)| start..end);
    if let Some(hole) = range.and_then(|range| bytes.get_mut(range)) {
        hole.fill(0xde);
    }
}

struct MemoryPut<'a> {
    store: &'a MemoryStore,
    name: ObjectName,
    bytes: Vec<u8>,
}

impl PutStream for MemoryPut<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Box<dyn PendingPut>, StoreError> {
        let outcome = self.store.publish(self.name, self.bytes);
        Ok(Box::new(Answered(outcome)))
    }
}

/// An answer that is there already.
pub(crate) struct Answered(pub(crate) Result<PutOutcome, StoreError>);

impl PendingPut for Answered {
    fn wait(self: Box<Self>) -> Result<PutOutcome, StoreError> {
        self.0
    }
}

impl Store for MemoryStore {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn put_new(&self, name: ObjectName) -> Result<Box<dyn PutStream + '_>, StoreError> {
        Ok(Box::new(MemoryPut {
            store: self,
            name,
            bytes: Vec::new(),
        }))
    }

    fn get(&self, name: ObjectName, ranges: &[ByteRange]) -> Result<Vec<Vec<u8>>, StoreError> {
        let object = self.object(name)?;
        ranges
            .iter()
            .map(|range| slice(name, &object, *range).map(<[u8]>::to_vec))
            .collect()
    }

    fn stat(&self, name: ObjectName) -> Result<Option<u64>, StoreError> {
        Ok(self.lock().get(&name).map(|bytes| bytes.len() as u64))
    }

    fn list(
        &self,
        class: ObjectClass,
        each: &mut dyn FnMut(ObjectName, u64),
    ) -> Result<(), StoreError> {
        let found: Vec<_> = self
            .lock()
            .iter()
            .filter(|(name, _)| name.class() == class)
            .map(|(name, bytes)| (*name, bytes.len() as u64))
            .collect();
        for (name, size) in found {
            each(name, size);
        }
        Ok(())
    }

    fn delete(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        self.refuse_in_append_only()?;
        let mut objects = self.lock();
        for name in names {
            objects.remove(name);
        }
        Ok(())
    }

    /// Punched bytes become 0xde, so that no test comes to rely on zeros.
    fn punch(&self, name: ObjectName, ranges: &[ByteRange]) -> Result<(), StoreError> {
        self.refuse_in_append_only()?;
        if !self.capabilities.punch {
            return Err(StoreError::new(StoreErrorKind::Unsupported, Some(name), ""));
        }
        let object = self.object(name)?;
        for range in ranges {
            slice(name, &object, *range)?;
        }
        let mut bytes = object.to_vec();
        for range in ranges {
            fill_hole(&mut bytes, *range);
        }
        self.lock().insert(name, Arc::new(bytes));
        Ok(())
    }

    fn copy(&self, name: ObjectName, pieces: &[CopyPiece]) -> Result<PutOutcome, StoreError> {
        let mut bytes = Vec::new();
        for piece in pieces {
            match piece {
                CopyPiece::Range(from, range) => {
                    bytes.extend_from_slice(slice(*from, &self.object(*from)?, *range)?);
                }
                CopyPiece::Inline(inline) => bytes.extend_from_slice(inline),
            }
        }
        self.publish(name, bytes)
    }

    fn barrier(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn free_space(&self) -> Result<u64, StoreError> {
        let capacity = self.capacity.unwrap_or(1 << 50);
        Ok(capacity.saturating_sub(Self::used(&self.lock())))
    }
}
