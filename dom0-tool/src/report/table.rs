//! Tables for a terminal.

use crate::joints::sanitise::sanitise;

/// Longest cell, in characters.
const WIDEST: usize = 255;

/// On which side a column's cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows under headings. Every cell passes the sanitiser on its way in.
#[derive(Clone, Debug)]
pub struct Table {
    aligns: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings and nothing below them.
    pub fn new(columns: &[(&str, Align)]) -> Self {
        Self {
            aligns: columns.iter().map(|(_, align)| *align).collect(),
            rows: vec![columns.iter().map(|(name, _)| (*name).to_owned()).collect()],
        }
    }

    /// Adds a row; cells beyond the columns are left out, missing ones stay empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl AsRef<str>>) {
        let mut row: Vec<String> = cells
            .into_iter()
            .map(|cell| sanitise(cell.as_ref().as_bytes(), WIDEST))
            .take(self.aligns.len())
            .collect();
        row.resize(self.aligns.len(), String::new());
        self.rows.push(row);
    }

    /// Whether there is nothing but the headings.
    pub fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    /// The table as lines, columns two spaces apart, no space at a line's end. Without any headings' text, without them.
    pub fn render(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.aligns.len()).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).zip(&self.aligns);
            let padded: Vec<String> = cells
                .map(|((cell, &width), align)| match align {
                    Align::Left => format!("{cell:<width$}"),
                    Align::Right => format!("{cell:>width$}"),
                })
                .collect();
            let line = padded.join("  ");
            if !line.trim().is_empty() {
                text.push_str(line.trim_end());
                text.push('\n');
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_their_headings() {
        let mut table = Table::new(&[("VOLUME", Align::Left), ("SIZE", Align::Right)]);
        assert!(table.is_empty());
        table.row(["größe", "1.0 GiB"]);
        table.row(["a"]);
        assert_eq!(table.render(), "VOLUME     SIZE\ngröße   1.0 GiB\na\n");
    }

    #[test]
    fn a_name_from_an_archive_cannot_leave_its_cell() {
        let mut table = Table::new(&[("A", Align::Left)]);
        table.row(["x\u{1b}[2J\ny"]);
        let text = table.render();
        assert!(!text.contains('\u{1b}'));
        assert_eq!(text.lines().count(), 2);
    }
}
