//! The recovery sheet: all that somebody needs who has nothing else but a copy of the archive.

use qrcodegen::{QrCode, QrCodeEcc};

use crate::joints::sanitise::sanitise;
use crate::report::ascii_line;

/// What stands on a recovery sheet.
pub struct Sheet<'a> {
    /// The archive's identity.
    pub archive: String,
    /// Where it was when the sheet was made.
    pub target: String,
    /// When that was.
    pub day: String,
    /// Name of the key.
    pub label: &'a str,
    /// The code.
    pub code: &'a str,
    /// The script that restores without nacre.
    pub restorer: Restorer,
}

/// Where a person finds that script, and how it is told from another that somebody put in its place.
pub struct Restorer {
    /// Where the package installs it.
    pub installed: &'static str,
    /// What the copy beside the archive is called, if there is one.
    pub copy: Option<String>,
    /// SHA-256, as `sha256sum` prints it.
    pub digest: String,
}

impl Sheet<'_> {
    /// For paper, or for a terminal.
    pub fn text(&self, terminal: bool) -> String {
        let Self {
            archive,
            day,
            label,
            code,
            restorer,
            ..
        } = self;
        let copy = restorer.copy.as_ref().map_or_else(String::new, |file| {
            format!("A copy lies beside the archive: {file}\n      ")
        });
        let (installed, digest) = (restorer.installed, &restorer.digest);
        let target = sanitise(self.target.as_bytes(), 200);
        // 14 groups of four with hyphens between; the line breaks behind the seventh.
        let (first, second) = code.split_at_checked(35).unwrap_or((code, ""));
        let (first, picture) = (first.trim_end_matches('-'), picture(code, terminal));
        format!(
            "RECOVERY SHEET OF A NACRE ARCHIVE

Archive   {archive}
Place     {target}
Key       {label}
Made      {day}

    {first}
    {second}

{picture}
How to use it
  nacre list --recovery --dest=file:/PATH/OF/THE/ARCHIVE
      asks for the code above. Every command takes --recovery, and takes the
      code where it asks for a passphrase. Capital or small letters, spaces and
      hyphens do not matter; the last four symbols find slips. The picture
      holds the code too.

Without Nacre
  python3 emergency_restore.py ARCHIVE --recovery CODE list
  python3 emergency_restore.py ARCHIVE --recovery CODE restore VOLUME OUTPUT
      is installed with Nacre: {installed}
      {copy}Where the archive lies somebody may have changed it. This is the right
      one if sha256sum says so:
      {digest}

Whoever has this sheet and a copy of the archive can read everything in it.
Keep it where the archive is not.
"
        )
    }

    /// For programs.
    pub fn json(&self) -> String {
        ascii_line(&serde_json::json!({
            "archive": self.archive,
            "target": self.target,
            "label": self.label,
            "created": self.day,
            "code": self.code,
            "restorer": { "sha256": self.restorer.digest, "installed": self.restorer.installed, "copy": self.restorer.copy },
        }))
    }
}

/// The code as a QR code of half blocks, with the empty border that readers need: what is drawn is dark, as on paper. A terminal may be dark
/// itself and is told to show it black on white. Empty should the code not fit, which it does.
fn picture(code: &str, terminal: bool) -> String {
    const BORDER: i32 = 4;
    let Ok(qr) = QrCode::encode_text(code, QrCodeEcc::Medium) else {
        return String::new();
    };
    let (from, to) = (-BORDER, qr.size() + BORDER);
    let mut text = String::new();
    for y in (from..to).step_by(2) {
        text.push_str(if terminal { "\x1b[30;107m" } else { "" });
        for x in from..to {
            text.push(match (qr.get_module(x, y), qr.get_module(x, y + 1)) {
                (true, true) => '\u{2588}',
                (true, false) => '\u{2580}',
                (false, true) => '\u{2584}',
                (false, false) => ' ',
            });
        }
        text.push_str(if terminal { "\x1b[0m\n" } else { "\n" });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_says_all_there_is_to_know_and_the_whole_code() {
        let code = ["ABCD"; 14].join("-");
        let sheet = Sheet {
            archive: "00ff".to_owned(),
            target: "file:/mnt/x".to_owned(),
            day: "2026-11-21".to_owned(),
            label: "sheet of May",
            code: &code,
            restorer: Restorer {
                installed: "/usr/share/nacre/emergency_restore.py",
                copy: Some("emergency_restore.0123abcd.py".to_owned()),
                digest: "0123abcd".repeat(8),
            },
        };
        let text = sheet.text(false);
        for part in [
            "installed with Nacre: /usr/share/nacre/emergency_restore.py\n",
            "beside the archive: emergency_restore.0123abcd.py\n",
            "\n      0123abcd0123abcd0123abcd0123abcd0123abcd0123abcd0123abcd0123abcd\n",
            "00ff",
            "file:/mnt/x",
            "2026-11-21",
            "sheet of May",
            "--recovery",
        ] {
            assert!(text.contains(part), "{part}");
        }
        let lines = text.lines().map(str::trim);
        let symbols: usize = lines
            .filter(|line| line.starts_with("ABCD-"))
            .map(|line| line.replace('-', "").len())
            .sum();
        assert_eq!(symbols, 56);
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "a sheet of paper is no wider than a terminal: {text}"
        );
        assert!(sheet.json().contains(&code));
    }

    #[test]
    fn the_picture_shows_every_module_of_the_code() {
        let code = ["0WXZ"; 14].join("-");
        let qr = QrCode::encode_text(&code, QrCodeEcc::Medium).unwrap();
        for terminal in [false, true] {
            let text = picture(&code, terminal);
            let text = text.replace("\x1b[30;107m", "").replace("\x1b[0m", "");
            for (y, line) in (-4_i32..).step_by(2).zip(text.lines()) {
                assert_eq!(
                    line.chars().count(),
                    usize::try_from(qr.size() + 8).unwrap()
                );
                for (x, drawn) in (-4_i32..).zip(line.chars()) {
                    let upper = matches!(drawn, '\u{2588}' | '\u{2580}');
                    let lower = matches!(drawn, '\u{2588}' | '\u{2584}');
                    let module = |y| qr.get_module(x, y);
                    assert_eq!((upper, lower), (module(y), module(y + 1)), "{x} {y}");
                }
            }
            assert!(text.lines().count() * 2 >= usize::try_from(qr.size() + 8).unwrap());
        }
    }
}
