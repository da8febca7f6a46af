//! A door for the fuzzer: everything that is read of an answer of qubesd.

use super::registry::import_place;
use super::socket::{Call, understand};
use super::{devices, parse};
use crate::joints::sanitise::is_harmless;

/// Takes an answer apart in every way that there is.
pub fn check_answers(answer: &[u8]) {
    let call = Call {
        method: "admin.vm.List",
        argument: "",
        target: "dom0",
        payload: b"",
    };
    let content = match understand(&call, answer.to_vec()) {
        Ok(content) => content,
        Err(error) => return assert!(error.to_string().chars().all(is_harmless)),
    };
    if let Ok(rows) = parse::qubes(&content) {
        assert!(rows.iter().all(|row| parse::is_qube_name(&row.name)));
    }
    let _ = parse::state(&content);
    let _ = parse::properties(&content);
    let _ = parse::volume("private", &content);
    let _ = import_place(&content);
    let _ = devices::persistent("block", &content);
    for device in devices::blocks("sys-usb", &content).unwrap_or_default() {
        let shown = format!("{}{}", device.identity, device.description);
        assert!(shown.chars().all(is_harmless), "{shown:?}");
    }
    for device in devices::assigned("block", &content).unwrap_or_default() {
        // What is given back to qubesd says the same, and nothing else.
        let (backend, port, id) = (&device.backend, &device.port, &device.device);
        let line = format!("{backend}+{port}:{id} {}\n", devices::payload(&device));
        assert_eq!(
            devices::assigned("block", line.as_bytes()).as_deref(),
            Ok(&[device][..])
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, text in "[a-z =\\n\\\\'+:_-]{0,200}") {
            for content in [bytes, text.into_bytes()] {
                check_answers(&[b"0\0", content.as_slice()].concat());
                check_answers(&[b"2\0", content.as_slice()].concat());
                check_answers(&content);
            }
        }
    }
}
