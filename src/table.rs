//! Columns of text for people, laid out as Go's `tabwriter` does with a minimum width of 12 and 3 spaces between columns.

use std::fmt::Write as _;

const MIN_WIDTH: usize = 12;
const PADDING: usize = 3;

/// The header and the rows as lines; all columns but the last are as wide as their widest cell.
pub(crate) fn render(header: &[&str], rows: &[Vec<String>]) -> String {
    let header = header.iter().map(|cell| (*cell).to_owned()).collect();
    let lines: Vec<_> = std::iter::once(&header).chain(rows).collect();
    let widths: Vec<_> = (0..header.len()).map(|column| width(&lines, column)).collect();
    lines.iter().fold(String::new(), |text, line| text + &one_line(line, &widths))
}

fn width(lines: &[&Vec<String>], column: usize) -> usize {
    let widest = lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    (widest.unwrap_or(0) + PADDING).max(MIN_WIDTH)
}

fn one_line(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    let Some((last, padded)) = cells.split_last() else { return "\n".into() };
    for (cell, width) in padded.iter().zip(widths) {
        // Writing to a String cannot fail.
        write!(line, "{cell:width$}").ok();
    }
    line + last + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: [&str; 6] = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"];

    #[test]
    fn an_empty_table_is_its_header() {
        assert_eq!(render(&HEADER, &[]), "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n");
    }

    #[test]
    fn a_long_cell_widens_its_column() {
        let row = ["smp-runc", "28551", "running", "/a/bundle/dir", "2026-11-22T15:33:52.990239614Z", "root"];
        let table = render(&HEADER, &[row.map(String::from).to_vec()]);
        let expected = "\
ID          PID         STATUS      BUNDLE          CREATED                          OWNER
smp-runc    28551       running     /a/bundle/dir   2026-11-22T15:33:52.990239614Z   root
";
        assert_eq!(table, expected);
    }

    #[test]
    fn width_counts_characters_not_bytes() {
        let table = render(&["A", "B"], &[vec!["éééééééééé".into(), "b".into()]]);
        assert_eq!(table, "A            B\néééééééééé   b\n");
    }
}
