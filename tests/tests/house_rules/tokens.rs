//! Just enough of Rust's grammar to tell code from comments and strings.

/// One token: a name or number, or a single character of punctuation (`::` is one token).
pub type Token = String;

/// The tokens of Rust text, without comments, strings, characters and lifetimes.
pub fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let next = chars.get(at + 1).copied();
        at = match chars[at] {
            '/' if next == Some('/') => skip_line(&chars, at),
            '/' if next == Some('*') => skip_block(&chars, at),
            '"' => skip_string(&chars, at + 1),
            '\'' => skip_quote(&chars, at),
            ':' if next == Some(':') => {
                found.push("::".to_owned());
                at + 2
            }
            c if c.is_alphanumeric() || c == '_' => {
                let end = (at..chars.len())
                    .find(|i| !(chars[*i].is_alphanumeric() || chars[*i] == '_'))
                    .unwrap_or(chars.len());
                let word: String = chars[at..end].iter().collect();
                let raw = raw_string_end(&chars, &word, end);
                if raw.is_none() {
                    found.push(word);
                }
                raw.unwrap_or(end)
            }
            c => {
                if !c.is_whitespace() {
                    found.push(c.to_string());
                }
                at + 1
            }
        };
    }
    found
}

fn skip_line(chars: &[char], at: usize) -> usize {
    (at..chars.len())
        .find(|i| chars[*i] == '\n')
        .unwrap_or(chars.len())
}

fn skip_block(chars: &[char], at: usize) -> usize {
    let mut depth = 0;
    let mut at = at;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

/// From behind an opening quote to behind the closing one.
fn skip_string(chars: &[char], from: usize) -> usize {
    let mut at = from;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// A character (`'x'`, `'\n'`) is skipped whole, of a lifetime only the tick.
fn skip_quote(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => (at + 3..chars.len())
            .find(|i| chars[*i] == '\'')
            .map_or(chars.len(), |i| i + 1),
        (Some(_), Some('\'')) => at + 3,
        _ => at + 1,
    }
}

/// The end of a raw string whose prefix (`r`, `br`, `cr`) ends at `end`.
fn raw_string_end(chars: &[char], word: &str, end: usize) -> Option<usize> {
    if !matches!(word, "r" | "br" | "cr") {
        return None;
    }
    let hashes = chars[end..].iter().take_while(|c| **c == '#').count();
    if chars.get(end + hashes) != Some(&'"') {
        return None;
    }
    let closes = |i: &usize| {
        chars[*i] == '"'
            && chars.len() > i + hashes
            && chars[i + 1..=i + hashes].iter().all(|c| *c == '#')
    };
    (end + hashes + 1..chars.len())
        .find(closes)
        .map(|i| i + hashes + 1)
}

#[test]
fn comments_strings_and_characters_are_no_code() {
    let text = r##"
        // unsafe 1
        /* unsafe /* nested */ 2 */
        let a = "unsafe \" 3"; let b = r#"unsafe " 4"#; let c = '"'; let d = '\''; let e: &'static str = b"x";
        use crate::{one, two::three};
    "##;
    let found = tokens(text);
    assert!(!found.contains(&"unsafe".to_owned()), "{found:?}");
    assert!(found.windows(3).any(|w| w == ["crate", "::", "{"]));
    assert!(found.ends_with(&["}".to_owned(), ";".to_owned()]));
}
