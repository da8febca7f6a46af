//! Answers of the Admin API, line by line. Total: any bytes give values or an error.

use std::collections::BTreeMap;

use crate::joints::qubes::{Properties, Property, QubeClass, QubeRow, QubeState, QubeVolume};

/// What is wrong with an answer.
pub type Nonsense = String;

/// Most lines of an answer.
const LINES: usize = 100_000;

/// An answer as text.
pub fn text(bytes: &[u8]) -> Result<&str, Nonsense> {
    std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

/// Lines that are not empty.
pub fn lines(bytes: &[u8]) -> Result<Vec<&str>, Nonsense> {
    let lines: Vec<&str> = text(bytes)?
        .split('\n')
        .filter(|line| !line.is_empty())
        .take(LINES + 1)
        .collect();
    if lines.len() > LINES {
        return Err("it has too many lines".to_owned());
    }
    Ok(lines)
}

/// A name of a qube, as qubesd lets them be.
pub fn is_qube_name(name: &str) -> bool {
    let well = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.len() <= 31
        && name.chars().all(well)
}

/// `work class=AppVM state=Halted uuid=…`
pub fn qubes(bytes: &[u8]) -> Result<Vec<QubeRow>, Nonsense> {
    lines(bytes)?.into_iter().map(qube).collect()
}

fn qube(line: &str) -> Result<QubeRow, Nonsense> {
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default();
    let mut values = BTreeMap::new();
    for word in words {
        let (key, value) = word.split_once('=').ok_or_else(|| line.to_owned())?;
        values.insert(key, value);
    }
    let (Some(class), Some(state)) = (values.get("class"), values.get("state")) else {
        return Err(line.to_owned());
    };
    if !is_qube_name(name) {
        return Err(line.to_owned());
    }
    Ok(QubeRow {
        name: name.to_owned(),
        class: QubeClass::of(class),
        halted: *state == "Halted",
        uuid: values.get("uuid").map(|uuid| (*uuid).to_owned()),
    })
}

/// `mem=409600 mem_static_max=4096000 cputime=3 power_state=Running`
pub fn state(bytes: &[u8]) -> Result<QubeState, Nonsense> {
    let text = text(bytes)?;
    let mut words = text.split_ascii_whitespace();
    let state = words.find_map(|word| word.strip_prefix("power_state="));
    state.map(QubeState::of).ok_or_else(|| text.to_owned())
}

/// `memory default=True type=int 400`; the value is the rest of the line, with `\\` and `\n` escaped.
pub fn properties(bytes: &[u8]) -> Result<Properties, Nonsense> {
    lines(bytes)?.into_iter().map(property).collect()
}

fn property(line: &str) -> Result<(String, Property), Nonsense> {
    let wrong = || line.to_owned();
    let mut words = line.splitn(4, ' ');
    let name = words.next().unwrap_or_default();
    let is_default = match words.next() {
        Some("default=True") => true,
        Some("default=False") => false,
        _ => return Err(wrong()),
    };
    let kind = words.next().and_then(|word| word.strip_prefix("type="));
    let kind = kind.ok_or_else(wrong)?.to_owned();
    let value = unescape(words.next().unwrap_or_default()).ok_or_else(wrong)?;
    Ok((
        name.to_owned(),
        Property {
            is_default,
            kind,
            value,
        },
    ))
}

fn unescape(text: &str) -> Option<String> {
    let mut clean = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        clean.push(match character {
            '\\' => match characters.next()? {
                'n' => '\n',
                '\\' => '\\',
                _ => return None,
            },
            other => other,
        });
    }
    Some(clean)
}

/// `key=value` lines.
pub fn values(bytes: &[u8]) -> Result<BTreeMap<String, String>, Nonsense> {
    let pair = |line: &str| {
        let pair = line.split_once('=');
        let pair = pair.map(|(key, value)| (key.to_owned(), value.to_owned()));
        pair.ok_or_else(|| line.to_owned())
    };
    lines(bytes)?.into_iter().map(pair).collect()
}

/// What `admin.vm.volume.Info` tells of a volume.
pub fn volume(name: &str, bytes: &[u8]) -> Result<QubeVolume, Nonsense> {
    let values = values(bytes)?;
    let get = |key: &str| {
        let value = values.get(key);
        value.ok_or_else(|| format!("volume {name} has no {key}"))
    };
    let number = |key: &str| {
        let value = get(key)?;
        value.parse().map_err(|_| format!("{key}={value}"))
    };
    let revisions = get("revisions_to_keep")?;
    Ok(QubeVolume {
        name: name.to_owned(),
        pool: get("pool")?.clone(),
        vid: get("vid")?.clone(),
        size: number("size")?,
        used: values.get("usage").and_then(|used| used.parse().ok()),
        kept: boolean(get("save_on_stop")?)?,
        writable: boolean(get("rw")?)?,
        revisions: revisions
            .parse()
            .map_err(|_| format!("revisions_to_keep={revisions}"))?,
    })
}

fn boolean(word: &str) -> Result<bool, Nonsense> {
    match word {
        "True" => Ok(true),
        "False" => Ok(false),
        other => Err(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qubes_of_both_releases_are_read() {
        let listed = qubes(
            b"dom0 class=AdminVM state=Running uuid=00000000-0000-0000-0000-000000000000\n\
              work class=AppVM state=Halted\nodd class=NewVM state=Dying uuid=x\n",
        );
        let listed = listed.unwrap();
        let names: Vec<&str> = listed.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["dom0", "work", "odd"]);
        assert_eq!(listed[1].uuid, None);
        assert!(listed[1].halted && !listed[0].halted && !listed[2].halted);
        assert_eq!(listed[2].class, QubeClass::Other("NewVM".to_owned()));
    }

    #[test]
    fn every_power_state_is_read() {
        let read =
            |word: &str| state(format!("mem=1 mem_static_max=2 power_state={word}").as_bytes());
        for (word, wanted) in [
            ("Halted", QubeState::Halted),
            ("Transient", QubeState::Starting),
            ("Running", QubeState::Running),
            ("Paused", QubeState::Paused),
            ("Suspended", QubeState::Paused),
            ("Halting", QubeState::Stopping),
            ("Dying", QubeState::Stopping),
            ("Crashed", QubeState::Unknown),
            ("NA", QubeState::Unknown),
        ] {
            assert_eq!(read(word), Ok(wanted), "{word}");
        }
        assert!(state(b"mem=1").is_err() && state(b"\xff").is_err());
    }

    #[test]
    fn names_that_no_qube_can_have_are_refused() {
        for bad in ["", "1a", "a/b", "../x", "a\u{e9}", "-x", &"a".repeat(32)] {
            let line = format!("{bad} class=AppVM state=Halted\n");
            assert!(qubes(line.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_may_be_empty_and_hold_blanks_and_new_lines() {
        let read = properties(
            b"netvm default=False type=vm \nkernelopts default=True type=str a  b\\\\c\\nd\n\
              debug default=True type=bool False\n",
        )
        .unwrap();
        assert_eq!(read["netvm"].value, "");
        assert_eq!(read["kernelopts"].value, "a  b\\c\nd");
        assert!(!read["netvm"].is_default && read["debug"].is_default);
        for bad in [
            "x",
            "x default=Maybe type=int 1",
            "x default=True int 1",
            "x default=True type=str a\\q",
        ] {
            assert!(properties(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_volume_is_read() {
        let info = b"pool=vm-pool\nvid=qubes_dom0/vm-work-private\nsize=2147483648\nusage=5\nrw=True\nsource=\n\
            save_on_stop=True\nsnap_on_start=False\nrevisions_to_keep=-1\nephemeral=False\nis_outdated=False\n";
        let read = volume("private", info).unwrap();
        assert_eq!((read.size, read.revisions), (2 << 30, -1));
        assert!(read.kept && read.writable);
        assert!(volume("private", b"pool=x\n").is_err());
    }
}
