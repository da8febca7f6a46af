//! The text form of vectors: blocks of a title in brackets and lines `name = value`.

/// One vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub title: String,
    fields: Vec<(String, String)>,
}

impl Block {
    pub fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            fields: Vec::new(),
        }
    }

    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.fields.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn hex(self, name: &str, bytes: &[u8]) -> Self {
        self.with(name, to_hex(bytes))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(known, _)| known == name);
        field.map(|(_, value)| value.as_str())
    }

    pub fn text(&self, name: &str) -> &str {
        let missing = || panic!("{} has no {name}", self.title);
        self.get(name).unwrap_or_else(missing)
    }

    pub fn number<T: std::str::FromStr>(&self, name: &str) -> T {
        let bad = |_| panic!("{name} of {} is no number", self.title);
        self.text(name).parse().unwrap_or_else(bad)
    }

    /// Bytes in hex, or `pattern N`: N bytes, the i-th being i modulo 251.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let text = self.text(name);
        match text.strip_prefix("pattern ") {
            Some(length) => pattern(length.parse().unwrap()),
            None => from_hex(text),
        }
    }

    pub fn array<const N: usize>(&self, name: &str) -> [u8; N] {
        self.bytes(name).try_into().unwrap()
    }
}

pub fn pattern(length: usize) -> Vec<u8> {
    (0..251).cycle().take(length).collect()
}

pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn from_hex(text: &str) -> Vec<u8> {
    let pair = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(pair).collect()
}

pub fn print(blocks: &[Block]) -> String {
    let mut text = String::new();
    for block in blocks {
        text += &format!("[{}]\n", block.title);
        for (name, value) in &block.fields {
            text += &format!("{name} = {value}\n");
        }
        text.push('\n');
    }
    text
}

pub fn parse(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(title) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            blocks.push(Block::new(title));
        } else {
            let (name, value) = line
                .split_once(" = ")
                .unwrap_or_else(|| (line.trim_end_matches(" ="), ""));
            let block = blocks.last_mut().unwrap();
            block.fields.push((name.to_owned(), value.to_owned()));
        }
    }
    blocks
}
