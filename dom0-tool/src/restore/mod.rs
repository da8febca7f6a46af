//! `receive` and `verify`: from a session's tree to a volume, every chunk checked against its id.

mod chunk;
mod damage;
mod gather;
mod run;
mod tasks;

pub use damage::Damage;
pub use run::{Compare, RestoreOptions, RestoreReport, Version, Watch, restore, verify};
