//! Columns of text for people, laid out as Go's `tabwriter` does with a minimum width of 12 and 3 spaces between columns.

use std::fmt::{Display, Write};

const MIN_WIDTH: usize = 12;
const PADDING: usize = 3;

/// Some rows. Their text is one, because a list may have thousands of cells.
#[derive(Debug, Default)]
pub(crate) struct Rows<const COLUMNS: usize> {
    text: String,
    rows: Vec<[Cell; COLUMNS]>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    /// Where it ends in the text.
    end: usize,
    characters: usize,
}

impl<const COLUMNS: usize> Rows<COLUMNS> {
    pub(crate) fn add(&mut self, cells: [&dyn Display; COLUMNS]) {
        let row = cells.map(|cell| {
            let begin = self.text.len();
            // Cannot fail: a string takes everything.
            write!(self.text, "{cell}").unwrap_or_default();
            Cell { end: self.text.len(), characters: length(&self.text[begin..]) }
        });
        self.rows.push(row);
    }
}

/// The header and the rows of all parts as lines; all columns but the last are as wide as their widest cell.
pub(crate) fn render<const COLUMNS: usize>(header: [&str; COLUMNS], parts: &[Rows<COLUMNS>]) -> String {
    let mut titles = Rows::default();
    titles.add(header.each_ref().map(|title| title as &dyn Display));
    let mut widths = [MIN_WIDTH; COLUMNS];
    for row in parts.iter().chain([&titles]).flat_map(|part| &part.rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.characters + PADDING);
        }
    }
    let lines: usize = parts.iter().map(|part| part.rows.len()).sum();
    let mut text = String::with_capacity((lines + 1) * (widths.iter().sum::<usize>() + 1));
    add_lines(&mut text, &titles, widths);
    for part in parts {
        add_lines(&mut text, part, widths);
    }
    text
}

fn length(cell: &str) -> usize {
    if cell.is_ascii() { cell.len() } else { cell.chars().count() }
}

fn add_lines<const COLUMNS: usize>(text: &mut String, part: &Rows<COLUMNS>, widths: [usize; COLUMNS]) {
    let mut begin = 0;
    for row in &part.rows {
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            text.push_str(&part.text[begin..cell.end]);
            begin = cell.end;
            if column + 1 < COLUMNS {
                pad(text, width - cell.characters);
            }
        }
        text.push('\n');
    }
}

fn pad(text: &mut String, mut count: usize) {
    const SPACES: &str = "                                ";
    while count > 0 {
        let some = &SPACES[..count.min(SPACES.len())];
        text.push_str(some);
        count -= some.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: [&str; 6] = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];

    fn rows<const COLUMNS: usize>(row: [&str; COLUMNS]) -> Rows<COLUMNS> {
        let mut rows = Rows::default();
        rows.add(row.each_ref().map(|cell| cell as &dyn Display));
        rows
    }

    #[test]
    fn an_empty_table_is_its_header() {
        assert_eq!(render(HEADER, &[]), "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n");
    }

    #[test]
    fn a_long_cell_widens_its_column() {
        let row = ["smp-runc", "28551", "running", "/a/bundle/dir", "2026-11-22T15:33:52.990239614Z", "root"];
        let table = render(HEADER, &[rows(row)]);
        let expected = "\
ID          PID         STATUS      BUNDLE          CREATED                          OWNER
smp-runc    28551       running     /a/bundle/dir   2026-11-22T15:33:52.990239614Z   root
";
        assert_eq!(table, expected);
    }

    #[test]
    fn width_counts_characters_not_bytes() {
        let table = render(["A", "B"], &[rows(["éééééééééé", "b"])]);
        assert_eq!(table, "A            B\néééééééééé   b\n");
    }

    #[test]
    fn all_parts_are_as_wide_as_the_widest() {
        let table = render(["A", "B"], &[rows(["1", "b"]), Rows::default(), rows(["1234567890", "c"])]);
        assert_eq!(table, "A            B\n1            b\n1234567890   c\n");
    }
}
