//! The way that `qvm-volume import` goes: a service of dom0 takes the whole content by a pipe. For a qubesd that does not let itself be
//! asked directly.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use super::saved::Source;
use crate::archive::{Damage, Error, Result};
use crate::joints::Progress;
use crate::joints::sanitise::sanitise;
use crate::qubes::restore::Content;
use crate::restore::{self, Watch};

/// The service (qubes-core-dom0).
const SERVICE: &str = "/etc/qubes-rpc/admin.vm.volume.ImportWithSize";
/// Names another program in its place. Counts only where the service is not there.
const SERVICE_VARIABLE: &str = "NACRE_IMPORT_SERVICE";
/// Most bytes of its answer.
const ANSWER: u64 = 64 << 10;

/// Streams a volume's content into a qube's volume.
pub fn import(
    source: &Source<'_>,
    qube: &str,
    volume: &str,
    content: &Content,
    progress: &Progress,
) -> Result<Damage> {
    let (of_archive, version) = source.version(content)?;
    let mut child = start(qube, volume)?;
    let watch = Watch {
        progress,
        stop: source.world.stop(),
    };
    let ids = source.archive.volume_ids(of_archive);
    let nodes = source.archive.nodes();
    let streamed = child
        .stdin
        .take()
        .ok_or_else(Error::internal)
        .and_then(|mut pipe| {
            let mut write = |bytes: &[u8]| pipe.write_all(bytes).map_err(|error| failed(&error));
            write(format!("{}\n", version.size).as_bytes())?;
            restore::stream(&nodes, &ids, version, watch, &mut write)
            // The pipe is closed here: the service has either all of it, or too little and says so.
        });
    let answer = answer(&mut child);
    let streamed = source.archive.unless_outrun(streamed);
    let is_ours =
        |error: &Error| error.is_damage() || matches!(error, Error::Interrupted | Error::Outrun);
    match (streamed, answer) {
        (Ok(()), Ok(())) => Ok(Damage::default()),
        // That it took no more is said better by its answer.
        (Err(error), Err(answer)) if !is_ours(&error) => Err(answer),
        (Err(error), _) | (Ok(()), Err(error)) => Err(error),
    }
}

fn start(qube: &str, volume: &str) -> Result<Child> {
    let service = if std::path::Path::new(SERVICE).exists() {
        OsString::from(SERVICE)
    } else {
        std::env::var_os(SERVICE_VARIABLE).unwrap_or_else(|| SERVICE.into())
    };
    let child = Command::new(service)
        .arg(volume)
        .env("QREXEC_REMOTE_DOMAIN", "dom0")
        .env("QREXEC_REQUESTED_TARGET_TYPE", "name")
        .env("QREXEC_REQUESTED_TARGET", qube)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    child.map_err(|error| failed(&error))
}

/// `0\0` or `2\0TYPE\0TRACEBACK\0MESSAGE\0`, as qubesd answers.
fn answer(child: &mut Child) -> Result<()> {
    let mut bytes = Vec::new();
    if let Some(out) = child.stdout.take() {
        out.take(ANSWER)
            .read_to_end(&mut bytes)
            .map_err(|error| failed(&error))?;
    }
    let status = child.wait().map_err(|error| failed(&error))?;
    if status.success() && bytes.starts_with(b"0\0") {
        return Ok(());
    }
    let message = bytes.split(|byte| *byte == 0).nth(3).unwrap_or_default();
    let message = match sanitise(message, 600) {
        text if text.is_empty() => "`journalctl -u qubesd` has the reason".to_owned(),
        text => text,
    };
    Err(Error::refused(
        format!("qubesd did not take it: {message}"),
        "",
    ))
}

fn failed(error: &std::io::Error) -> Error {
    Error::refused(
        format!("the import service {SERVICE} cannot be used: {error}"),
        "",
    )
}
