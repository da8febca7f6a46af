//! Restoring qubes: from what an archive says of them and what there is here to a plan, and from the plan to qubes.
//!
//! What an archive says is data. Every name and value is checked before it becomes a step; what does not become one is named with its
//! reason. A qube that is being restored carries a tag that keeps it from starting, and keeps it if the restore fails.

mod browse;
mod carry_out;
mod check;
mod closure;
mod decide;
mod devices;
mod plan;
mod read_back;
mod settle;
mod steps;
mod what;

pub use browse::{browsing, is_half_made, temporary_name};
pub use carry_out::{Contents, Ended, QubeEnd, carry_out};
pub use plan::{Plan, QubePlan, Refused, plan};
pub use steps::Step;
pub use what::{
    Content, How, LeftOut, MARK, Noted, OURS, Present, Reason, Saved, SavedQube, What, Why, Wish,
};
