//! Qubes as their users see them: volumes and settings together (DESIGN 7).

mod choose;
pub mod dom0_files;
mod inventory;
mod place;
mod plan;
pub mod restore;
mod text;

pub use choose::{Choice, LeftOut, Wanted, choose};
pub use inventory::{Inventory, System, describe, inventory};
pub use place::{Place, Storage, Trouble, candidates, place, qube_of};
pub use plan::{Line, Plan, Problem, SETTINGS, State, settings_text};
pub use text::TextVolume;
