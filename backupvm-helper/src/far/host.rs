//! Whom ssh is to call, and how its command line is made.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use nacre_wire::ErrorCode;

use crate::failure::Failure;

/// A host whose every part was checked to be no option and nothing that ssh expands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    user: Option<String>,
    name: String,
    port: Option<u16>,
}

/// What is asked of ssh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// The helper over there.
    Helper {
        /// It shall refuse to delete.
        append_only: bool,
    },
    /// The SFTP server.
    Sftp,
}

/// Never a prompt, never a wait without end, nothing forwarded, no connection of another program. ssh takes the first
/// value that it finds for an option, so that options of the user's, which stand before these, win.
const OPTIONS: [&str; 12] = [
    "-oBatchMode=yes",
    "-oConnectTimeout=20",
    "-oServerAliveInterval=15",
    "-oServerAliveCountMax=4",
    "-oControlMaster=no",
    "-oControlPath=none",
    "-oClearAllForwardings=yes",
    "-oForwardAgent=no",
    "-oForwardX11=no",
    "-oPermitLocalCommand=no",
    "-oRemoteCommand=none",
    "-oEscapeChar=none",
];

impl Host {
    /// Reads `[user@]host[:port]`; an IPv6 address in brackets.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Failure> {
        let refused = || {
            let text = "an ssh host is [USER@]HOST[:PORT], of letters, digits, '-', '_' and '.'";
            Failure::new(ErrorCode::Refused, text)
        };
        let text = std::str::from_utf8(text).map_err(|_| refused())?;
        let (user, address) = match text.rsplit_once('@') {
            Some((user, address)) if is_word(user) => (Some(user.to_owned()), address),
            Some(_) => return Err(refused()),
            None => (None, text),
        };
        let (name, port) = match address.strip_prefix('[') {
            Some(rest) => {
                let (name, behind) = rest.split_once(']').ok_or_else(refused)?;
                name.parse::<std::net::Ipv6Addr>().map_err(|_| refused())?;
                match behind {
                    "" => (name, None),
                    _ => (name, Some(behind.strip_prefix(':').ok_or_else(refused)?)),
                }
            }
            None => {
                let (name, port) = match address.split_once(':') {
                    Some((name, port)) => (name, Some(port)),
                    None => (address, None),
                };
                if !is_word(name) {
                    return Err(refused());
                }
                (name, port)
            }
        };
        let port = match port.map(str::parse::<u16>) {
            None => None,
            Some(Ok(port @ 1..)) => Some(port),
            Some(_) => return Err(refused()),
        };
        Ok(Self {
            user,
            name: name.to_owned(),
            port,
        })
    }

    /// The command that calls the host for a service. `options` are the user's.
    pub(crate) fn command(&self, service: Service, options: &[OsString]) -> Command {
        let mut command = Command::new("ssh");
        command.args(options).arg("-T").args(OPTIONS);
        if let Some(user) = &self.user {
            command.arg("-l").arg(user);
        }
        if let Some(port) = self.port {
            command.arg("-p").arg(port.to_string());
        }
        if service == Service::Sftp {
            command.arg("-s");
        }
        command.arg("--").arg(&self.name);
        // The host's shell reads this, whichever it is: constants without anything that one would expand. Whoever can
        // log in there can reach all that the login may; a forced command in authorized_keys narrows it.
        command.arg(match service {
            Service::Helper { append_only: false } => "nacre-helper serve --base /",
            Service::Helper { append_only: true } => "nacre-helper serve --base / --append-only",
            Service::Sftp => "sftp",
        });
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// Letters, digits, `-`, `_` and `.`, beginning with a letter or digit: no option, no path, no shell, no `%`.
fn is_word(text: &str) -> bool {
    text.len() <= 253
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read() {
        for (text, user, name, port) in [
            ("nas", None, "nas", None),
            ("me@nas.local:2222", Some("me"), "nas.local", Some(2222)),
            ("me@[fe80::1]:22", Some("me"), "fe80::1", Some(22)),
            ("[::1]", None, "::1", None),
        ] {
            let host = Host::parse(text.as_bytes()).unwrap();
            let wanted = Host {
                user: user.map(str::to_owned),
                name: name.to_owned(),
                port,
            };
            assert_eq!(host, wanted);
        }
    }

    #[test]
    fn nothing_becomes_an_option_or_reaches_a_shell() {
        for bad in [
            &b""[..],
            b"-oProxyCommand=touch x",
            b"me@-oProxyCommand=x",
            b"-l@nas",
            b"nas;id",
            b"nas id",
            b"$(id)",
            b"`id`",
            b"%h",
            b"nas:0",
            b"nas:65536",
            b"nas:",
            b"nas:22x",
            b"[::1",
            b"[nas]",
            b"[::1]22",
            b"me@",
            b"@nas",
            b"a@b@c ",
            b"nas\n",
            b"nas\0",
            b"\xff",
        ] {
            assert!(Host::parse(bad).is_err(), "{}", bad.escape_ascii());
        }
        let host = Host::parse(b"me@nas:7").unwrap();
        let command = host.command(Service::Helper { append_only: true }, &["-v".into()]);
        let arguments: Vec<_> = command.get_args().collect();
        assert_eq!(arguments[0], "-v", "the user's options win");
        let end = arguments.iter().position(|arg| *arg == "--").unwrap();
        assert_eq!(
            arguments[end + 1..],
            ["nas", "nacre-helper serve --base / --append-only"]
        );
    }
}
