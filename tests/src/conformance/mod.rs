//! What every `Store` promises, as checks that any of them can be put through.
//!
//! `conformance_suite!(name, place)` makes a module of tests; `place` is an expression that gives a fresh `Place`. With `maybe` before it, it is a `Result` that says why
//! this machine has no such place; then the tests are skipped by name.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)] // Checks fail by panicking.
#![allow(missing_docs)] // Each check is named after the promise it checks.

mod copies;
mod objects;
mod races;
mod removal;

pub use copies::*;
pub use objects::*;
pub use races::*;
pub use removal::*;

use nacre::joints::{ByteRange, Store, StoreError, StoreErrorKind};
use nacre_core::ids::PackName;
use nacre_core::object_name::{ObjectClass, ObjectName};

/// A place that can be opened any number of times, each time as by another client.
pub trait Place {
    /// Opens it, made if need be.
    fn open(&self, append_only: bool) -> Box<dyn Store>;
}

/// A pack whose name begins with `first` and goes on with `rest`.
pub fn pack(first: u8, rest: u64) -> ObjectName {
    let mut bytes = [first; 16];
    bytes[8..].copy_from_slice(&rest.to_le_bytes());
    ObjectName::Pack(PackName(bytes))
}

/// Bytes that differ from place to place and from seed to seed.
pub fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let words = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(seed | 1);
        (state >> 32) as u32
    });
    words.flat_map(u32::to_le_bytes).take(length).collect()
}

/// Short for a range.
pub fn range(offset: u64, length: u32) -> ByteRange {
    ByteRange { offset, length }
}

/// All of a class, sorted.
pub fn listed(store: &dyn Store, class: ObjectClass) -> Vec<(ObjectName, u64)> {
    let mut all = Vec::new();
    store
        .list(class, &mut |name, size| all.push((name, size)))
        .unwrap();
    all.sort();
    all
}

/// The error's kind and that it names the object.
fn assert_error<T>(result: Result<T, StoreError>, kind: StoreErrorKind, object: ObjectName) {
    let error = result.err().unwrap();
    assert_eq!((error.kind, error.object), (kind, Some(object)), "{error}");
}

/// Makes one test per promise.
#[macro_export]
macro_rules! conformance_suite {
    ($suite:ident, $place:expr) => {
        $crate::conformance_suite!($suite, maybe Ok::<_, String>($place));
    };
    ($suite:ident, maybe $place:expr) => {
        $crate::conformance_suite!(@each $suite, $place,
            an_object_is_read_back_as_written
            an_empty_object_is_an_object
            an_existing_object_is_never_touched
            ranges_come_in_the_order_asked_for
            what_is_not_there_is_an_error_that_names_it
            a_dropped_put_leaves_nothing
            puts_overlap_and_are_answered_in_any_order
            a_large_object_streams_in_small_writes
            whole_objects_are_limited
            listings_hold_one_class_whole
            many_names_are_listed
            free_space_is_told
            deleted_objects_are_gone
            punching_spares_the_rest
            append_only_keeps_everything
            a_copy_is_put_together_from_pieces
            a_copy_never_replaces
            a_copy_of_what_is_not_there_leaves_nothing
            one_of_many_writers_wins
            threads_do_not_disturb_each_other
            another_client_sees_what_was_answered
            each_of_many_objects_has_an_answer_of_its_own
        );
    };
    (@each $suite:ident, $place:expr, $($promise:ident)*) => {
        mod $suite {
            #[allow(unused_imports)]
            use super::*;
            $(
                #[test]
                fn $promise() {
                    match $place {
                        Ok(place) => $crate::conformance::$promise(&place),
                        Err(why) => $crate::skip(
                            concat!(stringify!($suite), "::", stringify!($promise)),
                            &why,
                        ),
                    }
                }
            )*
        }
    };
}
