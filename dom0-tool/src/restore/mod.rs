//! `receive` and `verify`: from a session's tree to a volume, every chunk checked against its id.

mod gather;
mod ids;
mod run;
mod stream;

pub use ids::differing_ids;
pub use run::{
    Compare, RestoreOptions, RestoreReport, Version, Watch, restore, restore_difference, verify,
    verify_difference,
};
pub use stream::stream;
