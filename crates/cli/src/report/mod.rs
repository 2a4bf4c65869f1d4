//! `poolscope report`: the state of a cluster as one HTML page.

mod bounds;
mod findings;
mod matrix;
mod page;
mod services;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::audit::{Survey, find_all};
use crate::failure::Failure;
use crate::source::Source;

/// Uses of the verb, printed after its options.
const EXAMPLES: &str = "\
Examples:
  # Write one page about the live cluster
  poolscope report -o report.html
  # Read saved lists instead of a cluster, and say when they were saved
  poolscope report -o report.html --title \"Harbor, 1 December\" --facts lists";

/// The options of `poolscope report`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Report {
    #[command(flatten)]
    source: Source,
    /// The page to write; `-` is standard output.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The heading of the page, such as the cluster and the date.
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// More files and folders, after one --facts.
    #[arg(value_name = "PATH", requires = "facts")]
    rest: Vec<PathBuf>,
}

/// Runs `poolscope report`.
pub(crate) fn report(mut args: Report) -> Result<(), Failure> {
    args.source.facts.append(&mut args.rest);
    let snapshot = args.source.read()?;
    let agent = args.source.user_agent.as_deref();
    let survey = Survey::of(&snapshot, agent)?;
    let title = args.title.as_deref();
    let page = page::page(title, &survey, &find_all(&survey)).into_string();
    if args.output == Path::new("-") {
        let mut out = io::stdout().lock();
        out.write_all(page.as_bytes())?;
        return Ok(out.flush()?);
    }
    fs::write(&args.output, page)
        .map_err(|error| Failure::at(&args.output, format!("{error}; check --output")))
}
