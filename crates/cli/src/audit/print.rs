//! Findings for people: lines of at most a hundred columns.

use std::io::{self, Write};

use super::codes::{Code, Level};
use super::finding::Finding;
use super::survey::Survey;
use crate::phrase::{count, names, plural};

const WIDTH: usize = 100;

/// Prints the findings by code, each with its objects. `known` is the number of those that the
/// baseline has.
pub(super) fn table(
    survey: &Survey<'_>,
    all: &[Finding],
    shown: &[&Finding],
    known: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let failed = &survey.snapshot.failed;
    if !failed.is_empty() {
        let nodes = plural(failed.len(), "node");
        wrap("", &format!("New without {nodes} {}:", names(failed)), out)?;
        writeln!(out)?;
    }
    let mut last: Option<(&Code, Level)> = None;
    for finding in shown {
        let (code, level) = (finding.code, finding.level);
        if last.is_none_or(|(last, at)| last.id != code.id || at != level) {
            if last.is_some() {
                writeln!(out)?;
            }
            writeln!(out, "{} {}: {}", level.name().to_uppercase(), code.id, code.title)?;
            wrap("    traffic: ", code.traffic, out)?;
            wrap("    change:  ", code.change, out)?;
            last = Some((code, level));
        }
        let text = format!("{}: {}", finding.object, finding.message);
        wrap("  - ", &plain(&text), out)?;
    }
    if last.is_some() {
        writeln!(out)?;
    }
    let number = |level| all.iter().filter(|finding| finding.level == level).count();
    let hidden = all.len() - shown.len();
    let counted = |number: usize, what: &str| match number {
        0 => String::new(),
        number => format!(" ({number} {what})"),
    };
    let (hidden, known) = (counted(hidden, "not shown"), counted(known, "in the baseline"));
    let pools = survey.pools.iter().filter(|pool| !pool.name.is_empty()).count();
    let filtered = survey.services.iter().filter(|judged| judged.is_filtered).count();
    writeln!(
        out,
        "{}, {}, {number} info{hidden}{known}: {}, {filtered} with topology keys, in {}.",
        count(number(Level::Error), "error"),
        count(number(Level::Warning), "warning"),
        count(survey.services.len(), "Service"),
        count(pools, "pool"),
        number = number(Level::Info),
    )
}

/// The text without control characters, which a terminal would obey.
fn plain(text: &str) -> String {
    let escape = |letter: char| match letter.is_control() {
        true => letter.escape_default().to_string(),
        false => letter.to_string(),
    };
    text.chars().map(escape).collect()
}

/// Prints a text over several lines; those after the first are indented as far as its head.
fn wrap(head: &str, text: &str, out: &mut dyn Write) -> io::Result<()> {
    let indent = " ".repeat(head.chars().count());
    let mut line = head.to_owned();
    let mut is_empty = true;
    for word in text.split_whitespace() {
        let needed = line.chars().count() + word.chars().count() + usize::from(!is_empty);
        if needed > WIDTH && !is_empty {
            writeln!(out, "{line}")?;
            line = indent.clone();
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    writeln!(out, "{line}")
}
