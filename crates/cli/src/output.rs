//! The forms of output, and standard output.

use std::io::{self, BufWriter, StdoutLock, Write};

use anstream::AutoStream;
use clap::ValueEnum;
use serde_json::Value;

use crate::failure::Failure;

/// How to print.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table that fits the terminal.
    Table,
    /// A table with everything in full.
    Wide,
    Json,
    Yaml,
}

/// The columns of a table that goes elsewhere than to a terminal.
const WIDTH: usize = 100;

/// The columns that any table may take.
const LEAST_WIDTH: usize = 60;

impl Format {
    /// Returns `true` for the forms that programs read.
    pub(crate) fn is_document(self) -> bool {
        matches!(self, Format::Json | Format::Yaml)
    }

    /// Returns the columns that a table may take.
    pub(crate) fn width(self) -> usize {
        match (self, terminal_size::terminal_size_of(io::stdout())) {
            (Format::Wide, _) => usize::MAX,
            (_, Some((terminal_size::Width(columns), _))) => LEAST_WIDTH.max(columns.into()),
            (_, None) => WIDTH,
        }
    }

    /// Prints a document for programs: YAML if the format is YAML, else JSON.
    pub(crate) fn print_document(self, value: &Value) -> Result<(), Failure> {
        let mut out = BufWriter::new(io::stdout().lock());
        match self {
            Format::Yaml => print_yaml(value, &mut out)?,
            _ => print_json(value, &mut out)?,
        }
        Ok(out.flush()?)
    }
}

/// Prints a document as YAML.
pub(crate) fn print_yaml(value: &Value, out: &mut dyn Write) -> Result<(), Failure> {
    let text = serde_saphyr::to_string(value)
        .map_err(|error| Failure(format!("the output as YAML: {error}")))?;
    write!(out, "{text}")?;
    Ok(())
}

/// Prints a document as JSON.
pub(crate) fn print_json(value: &Value, out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(out, "{value:#}")?;
    Ok(())
}

/// Returns standard output for people: colours pass if it is a terminal, or as the environment says
/// (`NO_COLOR`, `CLICOLOR_FORCE`).
pub(crate) fn stdout() -> BufWriter<AutoStream<StdoutLock<'static>>> {
    BufWriter::new(anstream::stdout().lock())
}
