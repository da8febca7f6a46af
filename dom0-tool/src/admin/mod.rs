//! The Admin API of Qubes over qubesd's socket: the real [`crate::joints::qubes::QubeRegistry`].
//!
//! One request on one connection, an answer of a known form; what arrives is bounded, sanitised where it is shown, and parsed
//! strictly. Facts are those of qubes-core-admin 4.2 and 4.3.

mod devices;
mod parse;
mod registry;
mod socket;

use std::path::Path;

pub use registry::AdminApi;
pub use socket::{EXTERNAL_SOCKET, INTERNAL_SOCKET, Socket};

/// Names a folder in which both sockets are, on machines that have no qubesd at its usual place: in dom0 nobody can be led to another.
pub const FOLDER_VARIABLE: &str = "NACRE_QUBESD";

/// qubesd of this machine.
pub fn here() -> AdminApi {
    let usual = Path::new(EXTERNAL_SOCKET);
    let folder = std::env::var_os(FOLDER_VARIABLE).filter(|_| usual.symlink_metadata().is_err());
    let Some(folder) = folder else {
        return AdminApi::default();
    };
    let folder = Path::new(&folder);
    AdminApi::at(
        &folder.join("qubesd.sock"),
        &folder.join("qubesd.internal.sock"),
    )
}
