//! A store that says that all is well where it is not.

use std::sync::{Arc, Mutex, PoisonError};

use nacre::joints::{
    ByteRange, Capabilities, CopyPiece, PutOutcome, PutStream, Store, StoreError, StoreErrorKind,
};
use nacre_core::object_name::{ObjectClass, ObjectName};

use crate::memory_store::MemoryStore;

/// What comes in the place of an object's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misread {
    /// An error.
    Fails(StoreErrorKind),
    /// The bytes, one of them another.
    OtherBytes,
    /// Its size is half of what it is.
    Shorter,
    /// It is not there, says the store that has just listed it.
    NotThere,
}

/// Which objects are read wrong: asked for each time one is.
type Misreading = Box<dyn FnMut(ObjectName) -> Option<Misread> + Send>;

/// A memory store that reads wrong and copies too little. Clones share everything.
#[derive(Clone)]
pub struct UnsoundStore {
    inner: MemoryStore,
    misread: Arc<Mutex<Misreading>>,
    dropped: usize,
}

impl UnsoundStore {
    /// It is asked by `misread` what to make of every reading of an object.
    pub fn reading(
        inner: MemoryStore,
        misread: impl FnMut(ObjectName) -> Option<Misread> + Send + 'static,
    ) -> Self {
        Self {
            inner,
            misread: Arc::new(Mutex::new(Box::new(misread))),
            dropped: 0,
        }
    }

    /// The last so many bytes of every range that it copies do not come along, and what follows stands where it should.
    pub fn copying_short(inner: MemoryStore, dropped: usize) -> Self {
        Self {
            dropped,
            ..Self::reading(inner, |_| None)
        }
    }

    fn misread(&self, name: ObjectName) -> Option<Misread> {
        let mut misread = self.misread.lock().unwrap_or_else(PoisonError::into_inner);
        (*misread)(name)
    }
}

impl Store for UnsoundStore {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn put_new(&self, name: ObjectName) -> Result<Box<dyn PutStream + '_>, StoreError> {
        self.inner.put_new(name)
    }

    fn get(&self, name: ObjectName, ranges: &[ByteRange]) -> Result<Vec<Vec<u8>>, StoreError> {
        self.inner.get(name, ranges)
    }

    fn stat(&self, name: ObjectName) -> Result<Option<u64>, StoreError> {
        self.inner.stat(name)
    }

    fn get_whole(&self, name: ObjectName, limit: u32) -> Result<Option<Vec<u8>>, StoreError> {
        let misread = self.misread(name);
        let mut whole = self.inner.get_whole(name, limit)?;
        match (misread, &mut whole) {
            (Some(Misread::Fails(kind)), _) => {
                return Err(StoreError::new(kind, Some(name), "as the test ordered"));
            }
            (Some(Misread::NotThere), _) => return Ok(None),
            (Some(Misread::Shorter), Some(bytes)) => bytes.truncate(bytes.len() / 2),
            (Some(Misread::OtherBytes), Some(bytes)) => {
                if let Some(last) = bytes.last_mut() {
                    *last ^= 1;
                }
            }
            (_, None) | (None, _) => {}
        }
        Ok(whole)
    }

    fn list(
        &self,
        class: ObjectClass,
        each: &mut dyn FnMut(ObjectName, u64),
    ) -> Result<(), StoreError> {
        self.inner.list(class, each)
    }

    fn delete(&self, names: &[ObjectName]) -> Result<(), StoreError> {
        self.inner.delete(names)
    }

    fn punch(&self, name: ObjectName, ranges: &[ByteRange]) -> Result<(), StoreError> {
        self.inner.punch(name, ranges)
    }

    fn copy(&self, name: ObjectName, pieces: &[CopyPiece]) -> Result<PutOutcome, StoreError> {
        let outcome = self.inner.copy(name, pieces)?;
        let mut made = self.inner.objects().remove(&name).unwrap_or_default();
        let mut end = 0;
        for piece in pieces {
            match piece {
                CopyPiece::Range(_, range) => {
                    end += range.length as usize;
                    made[end.saturating_sub(self.dropped)..end].fill(0);
                }
                CopyPiece::Inline(bytes) => end += bytes.len(),
            }
        }
        self.inner.tamper(name, made);
        Ok(outcome)
    }

    fn barrier(&self) -> Result<(), StoreError> {
        self.inner.barrier()
    }

    fn free_space(&self) -> Result<u64, StoreError> {
        self.inner.free_space()
    }
}
