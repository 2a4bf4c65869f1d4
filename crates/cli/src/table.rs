//! Tables for people that fit a number of columns.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use crate::shorten::{ShortWords, length};

/// An endpoint that can be used.
pub(crate) const ACTIVE: Style = AnsiColor::Green.on_default();
/// An endpoint that this node does not get.
pub(crate) const DROPPED: Style = Style::new().dimmed();
/// An answer that depends on a missing fact.
pub(crate) const DOUBT: Style = AnsiColor::Yellow.on_default();
/// Traffic goes nowhere.
pub(crate) const NO_BACKEND: Style = AnsiColor::Red.on_default().bold();

/// Rows of cells in columns.
///
/// The last column has the answer, so no row is cut: long words are shortened in every column, and
/// then the last column continues on the next line.
pub(crate) struct Table {
    rows: Vec<Row>,
}

enum Row {
    Cells(Vec<Cell>),
    /// A line of its own, which makes no column wider.
    Title(Cell),
}

/// A text with its style.
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>, style: Style) -> Cell {
        // A control character in a file must not reach the terminal.
        let text = text.into().replace(char::is_control, "\u{fffd}");
        Cell { text, style }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::new(text, Style::new())
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::new(text, Style::new())
    }
}

/// The lengths to which words may be shortened; the first with which a table fits counts.
const LIMITS: [usize; 5] = [usize::MAX, 40, 32, 24, 16];

/// The last column is at least so wide before words are shortened to the last limit.
const LEAST_LAST: usize = 24;

impl Table {
    pub(crate) fn new<const N: usize>(head: [&str; N]) -> Table {
        let head = head.map(Cell::from).into_iter().collect();
        Table { rows: vec![Row::Cells(head)] }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [impl Into<Cell>; N]) {
        self.rows.push(Row::Cells(cells.into_iter().map(Into::into).collect()));
    }

    pub(crate) fn title(&mut self, text: impl Into<Cell>) {
        self.rows.push(Row::Title(text.into()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    /// Prints the table in at most `width` columns, if its columns can be so narrow.
    pub(crate) fn print(&self, width: usize, out: &mut dyn Write) -> io::Result<()> {
        let (short, widths) = self.fit(width);
        for row in &self.rows {
            match row {
                Row::Title(title) => print_text(title, width, out)?,
                Row::Cells(cells) => print_row(cells, &short, &widths, out)?,
            }
        }
        Ok(())
    }

    /// Returns the short forms and the columns' widths.
    fn fit(&self, width: usize) -> (ShortWords<'_>, Vec<usize>) {
        let rows = || {
            self.rows.iter().filter_map(|row| match row {
                Row::Cells(cells) => Some(cells),
                Row::Title(_) => None,
            })
        };
        let mut limits = LIMITS.into_iter().peekable();
        loop {
            let limit = limits.next().unwrap_or_default();
            let texts = rows().flatten().map(|cell| &*cell.text);
            let short = ShortWords::of(texts, limit);
            let mut widths: Vec<usize> = Vec::new();
            for cells in rows() {
                widths.resize(widths.len().max(cells.len()), 0);
                for (width, cell) in widths.iter_mut().zip(cells) {
                    *width = length(&short.apply(&cell.text)).max(*width);
                }
            }
            let last = widths.pop().unwrap_or_default();
            let left: usize = widths.iter().map(|width| width + GAP.len()).sum();
            let room = width.saturating_sub(left);
            let is_last = limits.peek().is_none();
            let wraps = is_last || limit <= LIMITS[3] && room >= LEAST_LAST;
            if last <= room || wraps {
                widths.push(last.min(room.max(LEAST_LAST)));
                return (short, widths);
            }
        }
    }
}

/// Between columns.
const GAP: &str = "  ";

fn print_row(
    cells: &[Cell],
    short: &ShortWords<'_>,
    widths: &[usize],
    out: &mut dyn Write,
) -> io::Result<()> {
    let (mut start, mut column) = (0, 0);
    for (at, (Cell { text, style }, width)) in cells.iter().zip(widths).enumerate() {
        let text = short.apply(text);
        let is_last = at + 1 == cells.len();
        let lines = if is_last { wrap(&text, *width) } else { vec![text] };
        for (number, line) in lines.iter().enumerate().filter(|(_, line)| !line.is_empty()) {
            if number > 0 {
                writeln!(out)?;
                column = 0;
            }
            let pad = start - column;
            write!(out, "{:pad$}{style}{line}{style:#}", "")?;
            column = start + length(line);
        }
        start += width + GAP.len();
    }
    writeln!(out)
}

/// Prints a text that is no row, on several lines if it is longer than `width`.
pub(crate) fn print_text(text: &Cell, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let Cell { text, style } = text;
    if length(text) <= width {
        return writeln!(out, "{style}{text}{style:#}");
    }
    let words = text.trim_start();
    let mut indent = text.len() - words.len();
    for line in wrap(words, width.saturating_sub(indent + 4)) {
        writeln!(out, "{:indent$}{style}{line}{style:#}", "")?;
        indent = text.len() - words.len() + 4;
    }
    Ok(())
}

/// Splits a text at blanks into lines of at most `width` characters; longer words stay whole.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if length(line) + 1 + length(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
