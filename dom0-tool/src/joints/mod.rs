//! The small traits at which the program can be taken apart. Each has a second implementation in `tests/`.

pub mod sanitise;
mod source;
mod store;

pub use nacre_core::entropy::Entropy;
pub use source::{
    Changes, FrozenVolume, RestoreGoal, SourceError, SourceErrorKind, VolumeRange, VolumeSource,
};
pub use store::{
    ByteRange, Capabilities, CopyPiece, PendingPut, PutOutcome, PutStream, Store, StoreError,
    StoreErrorKind,
};
