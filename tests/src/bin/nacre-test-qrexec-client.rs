//! A stand-in for dom0's `qrexec-client`, exact where nacre can see it: arguments, the service's environment and arguments,
//! half-closed streams, stderr, exit codes. The first argument is a folder with a folder for each running qube; in that,
//! `qubes-rpc` holds its services and `home` is its user's. The service runs in mount and network namespaces of its own,
//! unless the qube's folder holds a file `online`; a file `halted` means that it does not run; a file `dies-after` says after how many bytes of output the qube dies.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let texts: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [root, options @ .., "-d", qube, call] = texts.as_slice() else {
        eprintln!("usage: qrexec-client [options] -d domain_name COMMAND");
        return ExitCode::FAILURE;
    };
    if !matches!(options, [] | ["-w", _]) {
        eprintln!("qrexec-client: unknown option");
        return ExitCode::FAILURE;
    }
    let folder = Path::new(root).join(qube);
    if !folder.is_dir() || folder.join("halted").exists() {
        eprintln!("connect /var/run/qubes/qrexec.{qube}: No such file or directory");
        return ExitCode::from(125);
    }
    ExitCode::from(run(&folder, call).unwrap_or_else(|code| code))
}

/// The exit code, either way.
fn run(qube: &Path, call: &str) -> Result<u8, u8> {
    let (user, command) = call.split_once(':').ok_or(125)?;
    let words: Vec<&str> = command.split(' ').collect();
    let ["QUBESRPC", service, "dom0"] = words.as_slice() else {
        return Err(125);
    };
    let (name, argument) = service.split_once('+').unwrap_or((service, ""));
    let folder = qube.join("qubes-rpc");
    let program = [folder.join(service), folder.join(name)];
    let program = program.iter().find(|program| program.exists()).ok_or(127)?;
    let mode = fs::metadata(program).map_err(|_| 125)?.permissions().mode();
    if mode & 0o111 == 0 || !matches!(user, "DEFAULT" | "root" | "user") {
        return Err(125);
    }
    let (ours, theirs) = (UnixStream::pair(), UnixStream::pair());
    let ((input, service_input), (service_output, output)) =
        (ours.map_err(|_| 125)?, theirs.map_err(|_| 125)?);
    let child = start(qube, program, service, argument)
        .stdin(OwnedFd::from(service_input))
        .stdout(OwnedFd::from(service_output))
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|_| 125)?;
    carry(qube, child, input, output)
}

/// A service gets nothing of dom0's environment.
fn start(qube: &Path, program: &Path, service: &str, argument: &str) -> Command {
    let home = qube.join("home");
    let mut command = if qube.join("online").exists() {
        Command::new("env")
    } else {
        let mut apart = Command::new("unshare");
        apart.args(["--mount", "--net", "--"]);
        apart
    };
    command.arg(program);
    if !argument.is_empty() {
        command.arg(argument);
    }
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        .env("HOME", &home)
        .env("QREXEC_SERVICE_FULL_NAME", service)
        .env("QREXEC_REMOTE_DOMAIN", "dom0")
        .env("QREXEC_SERVICE_ARGUMENT", argument)
        .env("QREXEC_REQUESTED_TARGET_TYPE", "")
        .env("QREXEC_AGENT_PID", std::process::id().to_string())
        .current_dir(home);
    command
}

/// Carries the three streams until the service has ended and its output with it.
fn carry(
    qube: &Path,
    mut child: Child,
    mut input: UnixStream,
    mut output: UnixStream,
) -> Result<u8, u8> {
    // Ends with the process: the service may end while our input is still open.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut input);
        let _ = input.shutdown(Shutdown::Write);
    });
    let stderr = child.stderr.take();
    let stderr = std::thread::spawn(move || {
        stderr.map(|mut stderr| std::io::copy(&mut stderr, &mut std::io::stderr()))
    });
    let life = fs::read_to_string(PathBuf::from(qube).join("dies-after")).ok();
    let mut life: Option<usize> = life.and_then(|text| text.trim().parse().ok());
    let (mut stdout, mut heard) = (std::io::stdout(), true);
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = output.read(&mut buffer) {
        let read = life.map_or(read, |life| life.min(read));
        // A reader that is gone does not end the transfer: the rest is drained.
        heard = heard && stdout.write_all(&buffer[..read]).is_ok() && stdout.flush().is_ok();
        if let Some(life) = &mut life {
            *life -= read;
            if *life == 0 {
                let _ = child.kill();
                let _ = child.wait();
                eprintln!("vchan connection closed early");
                return Err(255);
            }
        }
    }
    let status = child.wait().map_err(|_| 255)?;
    let _ = stderr.join();
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(255))
}
