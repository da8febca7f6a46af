//! The real program, to be run as a user would.

use std::path::PathBuf;

/// `nacre` as it was built with the tests. Cargo builds it for integration tests and benches of this package.
///
/// # Panics
/// If it is not where cargo puts it.
pub fn nacre_program() -> PathBuf {
    let test = std::env::current_exe().unwrap_or_default();
    test.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("nacre-test-program"))
        .find(|program| program.is_file())
        .unwrap_or_else(|| panic!("nacre-test-program is not beside {}", test.display()))
}
