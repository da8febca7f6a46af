//! The real helper, as a child process.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use nacre::joints::{Store, StoreError};
use nacre::store::{Client, Launch, Patience, Transport, open};
use nacre_wire::Locator;

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

/// Opens an archive through a helper with these arguments after `serve`.
pub fn open_helper_with(
    arguments: &[&std::ffi::OsStr],
    directory: &Path,
    create: bool,
) -> Result<Client, StoreError> {
    let serve = OsString::from("serve");
    let arguments = arguments.iter().map(OsString::from);
    open(&Launch {
        program: helper_program(),
        arguments: std::iter::once(serve).chain(arguments).collect(),
        transport: Transport::Local,
        locator: Locator::Directory {
            path: directory.as_os_str().as_encoded_bytes().to_vec(),
        },
        create,
        patience: Patience::default(),
        limit: None,
    })
}
