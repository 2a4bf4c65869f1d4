//! The forms of output.

use std::io::Write;

use clap::ValueEnum;

use crate::failure::Failure;

/// How to print.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

/// Prints a document for programs.
pub(crate) fn print_json(value: &serde_json::Value, out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(out, "{value:#}")?;
    Ok(())
}
