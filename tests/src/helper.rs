//! The real helper, as a child process.

use std::path::{Path, PathBuf};

use nacre::joints::{Store, StoreError};

/// The helper as it was built with the tests. Cargo builds it for integration tests and benches of this package.
///
/// # Panics
/// If it is not where cargo puts it.
pub fn helper_program() -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    test.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("nacre-test-helper"))
        .find(|program| program.is_file())
        .unwrap_or_else(|| panic!("nacre-test-helper is not beside {}", test.display()))
}

/// Opens an archive through a helper of its own.
pub fn open_helper(directory: &Path, create: bool) -> Result<Box<dyn Store>, StoreError> {
    nacre::store::open_local(Some(&helper_program()), directory, create)
}
