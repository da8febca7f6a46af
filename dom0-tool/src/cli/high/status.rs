//! What `status` means.

use super::{Meaning, common_anywhere};
use crate::cli::low;
use crate::cli::request::{Request, Status};

pub fn status(low: low::Status) -> Meaning {
    let common = common_anywhere(low.place, low.unlock)?;
    let request = Status {
        measure: low.measure,
        prometheus: low.prometheus,
        only_named: false,
    };
    Ok((common, Request::Status(request)))
}
