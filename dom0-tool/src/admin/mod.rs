//! The Admin API of Qubes over qubesd's socket: the real [`crate::joints::qubes::QubeRegistry`].
//!
//! One request on one connection, an answer of a known form; what arrives is bounded, sanitised where it is shown, and parsed
//! strictly. Facts are those of qubes-core-admin 4.2 and 4.3.

mod devices;
mod fuzzing;
mod parse;
mod registry;
mod socket;

use std::path::{Path, PathBuf};

pub use fuzzing::check_answers;
pub use registry::AdminApi;
pub use socket::{EXTERNAL_SOCKET, INTERNAL_SOCKET, Socket};

/// Names a folder in which both sockets are, on machines that have no qubesd at its usual place: in dom0 nobody can be led to another.
pub const FOLDER_VARIABLE: &str = "NACRE_QUBESD";

/// qubesd of this machine.
pub fn here() -> AdminApi {
    let [external, internal] = sockets();
    AdminApi::at(&external, &internal)
}

/// Whether this machine has one: whether it is dom0.
pub fn is_here() -> bool {
    let [external, _] = sockets();
    external.exists()
}

fn sockets() -> [PathBuf; 2] {
    let usual = Path::new(EXTERNAL_SOCKET);
    let folder = std::env::var_os(FOLDER_VARIABLE).filter(|_| usual.symlink_metadata().is_err());
    match folder.map(PathBuf::from) {
        Some(folder) => ["qubesd.sock", "qubesd.internal.sock"].map(|name| folder.join(name)),
        None => [EXTERNAL_SOCKET, INTERNAL_SOCKET].map(PathBuf::from),
    }
}
