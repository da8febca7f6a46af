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

/// What everybody is told who gets a volume from a session that was cut short, by its name.
pub fn cut_short(session: &str) -> String {
    format!(
        "session {session} is unfinished: it holds what was sent before the run was cut short, and older content behind that, zeros where there was none"
    )
}
