//! Which program this is.

/// Version of the archive format that this program reads and writes.
pub const FORMAT: u32 = 1;

/// The line behind the program's name.
pub const LINE: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (reads and writes archive format 1)"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_the_format_that_is_meant() {
        assert!(
            LINE.ends_with(&format!("archive format {FORMAT})")),
            "{LINE}"
        );
    }
}
