//! Columns of text for people, laid out as Go's `tabwriter` does with a minimum width of 12 and 3 spaces between columns.

use std::iter::once;

const MIN_WIDTH: usize = 12;
const PADDING: usize = 3;

/// The header and the rows as lines; all columns but the last are as wide as their widest cell.
pub(crate) fn render<S: AsRef<str>, const COLUMNS: usize>(header: [&str; COLUMNS], rows: &[[S; COLUMNS]]) -> String {
    let lines = || once(header).chain(rows.iter().map(|row| row.each_ref().map(AsRef::as_ref)));
    let mut widths = [MIN_WIDTH; COLUMNS];
    for line in lines() {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(length(cell) + PADDING);
        }
    }
    let mut text = String::with_capacity((rows.len() + 1) * (widths.iter().sum::<usize>() + 1));
    for line in lines() {
        add_line(&mut text, line, widths);
    }
    text
}

fn length(cell: &str) -> usize {
    cell.chars().count()
}

fn add_line<const COLUMNS: usize>(text: &mut String, cells: [&str; COLUMNS], widths: [usize; COLUMNS]) {
    for (column, (cell, width)) in cells.into_iter().zip(widths).enumerate() {
        text.push_str(cell);
        if column + 1 < COLUMNS {
            pad(text, width - length(cell));
        }
    }
    text.push('\n');
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

    #[test]
    fn an_empty_table_is_its_header() {
        assert_eq!(
            render::<&str, _>(HEADER, &[]),
            "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n"
        );
    }

    #[test]
    fn a_long_cell_widens_its_column() {
        let row = ["smp-runc", "28551", "running", "/a/bundle/dir", "2026-11-22T15:33:52.990239614Z", "root"];
        let table = render(HEADER, &[row]);
        let expected = "\
ID          PID         STATUS      BUNDLE          CREATED                          OWNER
smp-runc    28551       running     /a/bundle/dir   2026-11-22T15:33:52.990239614Z   root
";
        assert_eq!(table, expected);
    }

    #[test]
    fn width_counts_characters_not_bytes() {
        let table = render(["A", "B"], &[["éééééééééé", "b"]]);
        assert_eq!(table, "A            B\néééééééééé   b\n");
    }
}
