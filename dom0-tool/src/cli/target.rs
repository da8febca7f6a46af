//! How a store is reached: the value of `--dest`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::error::BadValue;

/// Longest path that a helper takes, in bytes.
const LONGEST_PATH: usize = 4096;

/// Where an archive lies. Every part was checked to be harmless as an argument of another program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `file:/path`: a directory of this machine.
    File(PathBuf),
    /// `ssh://[user@]host[:port][/path]`.
    Ssh(SshHost, RemotePath),
    /// `qubes://vm[/path]`: a directory in a qube.
    Qubes(QubeName, RemotePath),
    /// `qubes-ssh://vm:[user@]host[:port][/path]`: an ssh host that a qube reaches.
    QubesSsh(QubeName, SshHost, RemotePath),
    /// `qubes-usb://vm/UUID[/path]`: a disk with that file system, in a qube.
    QubesUsb(QubeName, FileSystemUuid, RemotePath),
    /// `usb:UUID[/path]`: a disk with that file system, here.
    Usb(FileSystemUuid, RemotePath),
    /// A section of the ini.
    Named(String),
}

/// A path on the far side, absolute, or `None` for the folder that the helper has by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemotePath(pub Option<String>);

/// The name of a qube.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QubeName(pub String);

/// The UUID of a file system, as `blkid` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSystemUuid(pub String);

/// A block device by the qube that has it and its name there, as `qvm-block` prints it: `sys-usb:sda1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockPort {
    /// The qube.
    pub qube: QubeName,
    /// Its name there.
    pub port: String,
}

/// Whom ssh is to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshHost {
    /// The login name over there; ssh's own default without.
    pub user: Option<String>,
    /// Name or address; an IPv6 address without its brackets.
    pub host: String,
    /// The port; ssh's own default without.
    pub port: Option<u16>,
}

impl FromStr for Target {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if text.len() > 2 * LONGEST_PATH {
            return Err(BadValue::new("a target has at most 8192 bytes"));
        }
        if let Some(path) = text.strip_prefix("file:") {
            // file:///path is the same folder, as in other programs.
            let path = path.strip_prefix("//").unwrap_or(path);
            return checked_path(path).map(|path| Self::File(PathBuf::from(path)));
        }
        if let Some(rest) = text.strip_prefix("usb:") {
            let (uuid, path) = split_path(rest)?;
            return Ok(Self::Usb(uuid.parse()?, path));
        }
        match text.split_once("://") {
            Some(("ssh", rest)) => {
                let (host, path) = split_path(rest)?;
                Ok(Self::Ssh(host.parse()?, path))
            }
            Some(("qubes", rest)) => {
                let (qube, path) = split_path(rest)?;
                Ok(Self::Qubes(qube.parse()?, path))
            }
            Some(("qubes-ssh", rest)) => {
                let (both, path) = split_path(rest)?;
                let (qube, host) = both.split_once(':').ok_or_else(|| {
                    BadValue::new("write qubes-ssh://QUBE:USER@HOST[:PORT][/PATH]")
                })?;
                Ok(Self::QubesSsh(qube.parse()?, host.parse()?, path))
            }
            Some(("qubes-usb", rest)) => {
                let (qube, disk) = rest
                    .split_once('/')
                    .ok_or_else(|| BadValue::new("write qubes-usb://QUBE/UUID[/PATH]"))?;
                let (uuid, path) = split_path(disk)?;
                Ok(Self::QubesUsb(qube.parse()?, uuid.parse()?, path))
            }
            None if is_word(text, 64) => Ok(Self::Named(text.to_owned())),
            _ => Err(BadValue::new(
                "a target is file:/PATH, ssh://, qubes://, qubes-ssh://, qubes-usb://, usb:UUID, or a name from the ini",
            )),
        }
    }
}

/// Divides `authority/path` at the first slash.
fn split_path(text: &str) -> Result<(&str, RemotePath), BadValue> {
    let Some(at) = text.find('/') else {
        return Ok((text, RemotePath(None)));
    };
    let (authority, path) = text.split_at(at);
    let path = checked_path(path)?;
    Ok((authority, RemotePath(Some(path.to_owned()))))
}

/// Refuses what no folder is called on purpose.
fn checked_path(path: &str) -> Result<&str, BadValue> {
    if path.is_empty() || path.len() > LONGEST_PATH {
        return Err(BadValue::new("the path has 1 to 4096 bytes"));
    }
    if path.chars().any(char::is_control) {
        return Err(BadValue::new("the path has no control characters"));
    }
    Ok(path)
}

/// Letters, digits, `-`, `_` and `.`, beginning with a letter or digit: no option, no path, no shell.
fn is_word(text: &str, longest: usize) -> bool {
    text.len() <= longest
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

impl FromStr for QubeName {
    type Err = BadValue;

    /// Qubes' own rule: a letter first, then letters, digits, `_`, `.` and `-`, at most 31.
    fn from_str(text: &str) -> Result<Self, BadValue> {
        let letter_first = text.starts_with(|first: char| first.is_ascii_alphabetic());
        if letter_first && is_word(text, 31) {
            return Ok(Self(text.to_owned()));
        }
        Err(BadValue::new(
            "a qube's name has at most 31 letters, digits, '-', '_' and '.', and begins with a letter",
        ))
    }
}

impl FromStr for BlockPort {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text.split_once(':') {
            Some((qube, port)) if is_word(port, 60) => Ok(Self {
                qube: qube.parse()?,
                port: port.to_owned(),
            }),
            _ => Err(BadValue::new("write QUBE:DEVICE, such as sys-usb:sda1")),
        }
    }
}

impl FromStr for FileSystemUuid {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let digits = text.bytes().filter(u8::is_ascii_hexdigit).count();
        let well_formed = text
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
            && !text.starts_with('-')
            && (8..=32).contains(&digits)
            && text.len() <= 36;
        if well_formed {
            return Ok(Self(text.to_owned()));
        }
        Err(BadValue::new(
            "a file system's UUID is hexadecimal digits and dashes, as `blkid` prints it",
        ))
    }
}

impl FromStr for SshHost {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (user, address) = match text.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, text),
        };
        if user.is_some_and(|user| !is_word(user, 64)) {
            return Err(BadValue::new(
                "an ssh user is letters, digits, '-', '_' and '.'",
            ));
        }
        let (host, port) = split_port(address)?;
        let is_address = host.contains(':') && host.parse::<std::net::Ipv6Addr>().is_ok();
        if !is_address && !is_word(host, 253) {
            return Err(BadValue::new(
                "an ssh host is a name, an address, or an IPv6 address in brackets",
            ));
        }
        Ok(Self {
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
        })
    }
}

/// Divides `host:port` and `[address]:port`.
fn split_port(address: &str) -> Result<(&str, Option<u16>), BadValue> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) = rest
                .split_once(']')
                .ok_or_else(|| BadValue::new("the bracket of the IPv6 address is not closed"))?;
            match behind {
                "" => return Ok((host, None)),
                _ => (host, behind.strip_prefix(':').unwrap_or("")),
            }
        }
        None => match address.split_once(':') {
            Some(parts) => parts,
            None => return Ok((address, None)),
        },
    };
    match port.parse() {
        Ok(port @ 1..) => Ok((host, Some(port))),
        _ => Err(BadValue::new("a port is a number from 1 to 65535")),
    }
}

impl fmt::Display for SshHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Display for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or_default())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Ssh(host, path) => write!(f, "ssh://{host}{path}"),
            Self::Qubes(qube, path) => write!(f, "qubes://{}{path}", qube.0),
            Self::QubesSsh(qube, host, path) => write!(f, "qubes-ssh://{}:{host}{path}", qube.0),
            Self::QubesUsb(qube, uuid, path) => {
                write!(f, "qubes-usb://{}/{}{path}", qube.0, uuid.0)
            }
            Self::Usb(uuid, path) => write!(f, "usb:{}{path}", uuid.0),
            Self::Named(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_target_is_read_and_written_alike() {
        for text in [
            "file:/mnt/backup",
            "ssh://u@nas.local:2222/srv/b",
            "ssh://nas",
            "ssh://u@[fe80::1]:22/b",
            "qubes://sys-backup/home/user/b",
            "qubes://sys-backup",
            "qubes-ssh://sys-net:u@nas/b",
            "qubes-usb://sys-usb/1234-ABCD/b",
            "usb:0b5f3f0e-1111-2222-3333-444455556666/b",
            "nas",
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.to_string(), text);
        }
        assert_eq!("file:///x".parse(), Ok(Target::File(PathBuf::from("/x"))));
    }

    #[test]
    fn a_block_device_is_named_as_the_tools_of_qubes_print_it() {
        let read: BlockPort = "sys-usb:sda1".parse().unwrap();
        assert_eq!(
            (read.qube.0.as_str(), read.port.as_str()),
            ("sys-usb", "sda1")
        );
        for bad in [
            "sys-usb", "sys-usb:", ":sda1", "-x:sda1", "a:sda 1", "a:b+c", "a:-x",
        ] {
            assert!(bad.parse::<BlockPort>().is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_that_another_program_could_take_for_an_option_passes() {
        for bad in [
            "",
            "file:",
            "file:/a\nb",
            "ssh://-oProxyCommand=x",
            "ssh://u@-x/b",
            "ssh://-u@x",
            "ssh://h:0",
            "ssh://h:65536",
            "ssh://h:",
            "ssh://a b",
            "ssh://h$(x)",
            "ssh://[::1",
            "qubes://9vm",
            "qubes://",
            "qubes-ssh://vm",
            "qubes-usb://vm",
            "usb:xyz",
            "usb:-1234567",
            "ftp://x",
            "-x",
            "../x",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
