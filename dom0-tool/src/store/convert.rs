//! Between the joint's words and the wire's.

use nacre_core::object_name::{ObjectClass, ObjectName};
use nacre_wire::{Class, ErrorCode, Malformed, Name, Range};

use crate::joints::sanitise::sanitise;
use crate::joints::{ByteRange, StoreError, StoreErrorKind};

/// Longest text of the other side in an error.
const TEXT_LIMIT: usize = 300;

pub(super) fn to_wire(name: ObjectName) -> Result<Name, StoreError> {
    Name::parse(name.to_string().as_bytes()).ok_or_else(|| {
        let detail = "the number is too large for a name";
        StoreError::new(StoreErrorKind::Refused, Some(name), detail)
    })
}

pub(super) fn from_wire(name: Name) -> Result<ObjectName, StoreError> {
    ObjectName::parse(name.as_str()).ok_or_else(|| protocol("a name outside the scheme"))
}

pub(super) fn class_to_wire(class: ObjectClass) -> Class {
    match class {
        ObjectClass::Header => Class::Header,
        ObjectClass::Head => Class::Head,
        ObjectClass::Pack => Class::Pack,
    }
}

/// The ranges for the wire, which refuses those that end beyond all numbers.
pub(super) fn ranges_to_wire(
    name: ObjectName,
    ranges: &[ByteRange],
) -> Result<Vec<Range>, StoreError> {
    let convert = |range: &ByteRange| {
        let range = Range {
            offset: range.offset,
            length: range.length,
        };
        range.end().map(|_| range)
    };
    let ranges: Option<Vec<_>> = ranges.iter().map(convert).collect();
    ranges.ok_or_else(|| {
        let detail = "a range ends beyond all numbers";
        StoreError::new(StoreErrorKind::OutOfRange, Some(name), detail)
    })
}

/// An error that the helper reported. Its words are marked as its own: whoever has the helper could write advice of his own there.
pub(super) fn reported(code: ErrorCode, text: &[u8], object: Option<ObjectName>) -> StoreError {
    let kind = match code {
        ErrorCode::NotFound => StoreErrorKind::NotFound,
        ErrorCode::OutOfRange => StoreErrorKind::OutOfRange,
        ErrorCode::TooLarge => StoreErrorKind::TooLarge,
        ErrorCode::NoSpace => StoreErrorKind::NoSpace,
        ErrorCode::ReadOnly => StoreErrorKind::ReadOnly,
        ErrorCode::Io => StoreErrorKind::Io,
        ErrorCode::Refused => StoreErrorKind::Refused,
        ErrorCode::Unsupported => StoreErrorKind::Unsupported,
        ErrorCode::NoArchive => StoreErrorKind::NoArchive,
        ErrorCode::Protocol | ErrorCode::ClientTooOld => StoreErrorKind::Protocol,
        ErrorCode::HelperTooOld => StoreErrorKind::TooOld,
        ErrorCode::Unreachable => StoreErrorKind::Unreachable,
    };
    let words = sanitise(text, TEXT_LIMIT).replace('"', "'");
    let detail = match words.as_str() {
        "" => String::new(),
        words => format!("the helper says \"{words}\""),
    };
    StoreError::new(kind, object, detail)
}

/// The other side broke the protocol.
pub(super) fn protocol(detail: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Protocol, None, detail)
}

pub(super) fn malformed(malformed: Malformed) -> StoreError {
    protocol(malformed.0)
}
