//! What qubesd answers.

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `0\0` and this.
    Ok(Vec<u8>),
    /// `2\0` and this.
    Exception(Exception),
    /// Nothing at all.
    Refused,
}

/// An exception of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Its class.
    pub name: &'static str,
    /// Its message.
    pub message: String,
}

impl Answer {
    /// The bytes on the socket.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Ok(content) => [b"0\0".as_slice(), content].concat(),
            Self::Exception(Exception { name, message }) => {
                format!("2\0{name}\0\0{message}\0").into_bytes()
            }
            Self::Refused => Vec::new(),
        }
    }

    /// Done, with nothing to say.
    pub fn done() -> Self {
        Self::Ok(Vec::new())
    }

    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Ok(text.into().into_bytes())
    }

    /// A line for each.
    pub fn lines<T: AsRef<str>>(lines: impl IntoIterator<Item = T>) -> Self {
        let lines = lines.into_iter().map(|line| format!("{}\n", line.as_ref()));
        Self::text(lines.collect::<Vec<String>>().concat())
    }
}

impl From<Exception> for Answer {
    fn from(exception: Exception) -> Self {
        Self::Exception(exception)
    }
}

impl Exception {
    /// Any.
    pub fn new(name: &'static str, message: impl Into<String>) -> Self {
        Self {
            name,
            message: message.into(),
        }
    }

    /// No such qube.
    pub fn no_qube(name: &str) -> Self {
        Self::new("QubesVMNotFoundError", format!("No such domain: '{name}'"))
    }

    /// A value that is not accepted.
    pub fn value(message: impl Into<String>) -> Self {
        Self::new("QubesValueError", message)
    }

    /// Must be halted.
    pub fn not_halted(name: &str) -> Self {
        Self::new(
            "QubesVMNotHaltedError",
            format!("Domain is not powered off: {name}"),
        )
    }
}
