//! The small traits at which the program can be taken apart. Each has a second implementation in `tests/`.

mod store;

pub use nacre_core::entropy::Entropy;
pub use store::{
    ByteRange, Capabilities, CopyPiece, PendingPut, PutOutcome, PutStream, Store, StoreError,
    StoreErrorKind,
};
