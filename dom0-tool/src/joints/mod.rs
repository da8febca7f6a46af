//! The small traits at which the program can be taken apart. Each has a second implementation in `tests/`.

mod aligned;
mod clock;
mod key_prompt;
mod monitor;
pub mod qubes;
mod ranges;
pub mod sanitise;
mod source;
mod state_dir;
mod store;

pub use aligned::{ALIGNMENT, AlignedBuffer};
pub use clock::{CivilTime, Clock, Moment};
pub use key_prompt::{KeyPrompt, PromptError, Purpose, Secret};
pub use monitor::{
    Activity, Counts, Level, Monitor, Outcome, Progress, Summary, Task, Unwatched, VolumeSummary,
};
pub use nacre_core::entropy::Entropy;
pub use ranges::Ranges;
pub use source::{
    Changes, Frozen, FrozenVolume, GoalStart, Harvest, Pool, RestoreGoal, SourceError,
    SourceErrorKind, VolumeNames, VolumeRange, VolumeSource,
};
pub use state_dir::{StateDir, StateError, StateErrorKind, StateLock};
pub use store::{
    ByteRange, Capabilities, CopyPiece, GetAnswer, Hazards, PendingPut, PutOutcome, PutStream,
    Store, StoreError, StoreErrorKind,
};
