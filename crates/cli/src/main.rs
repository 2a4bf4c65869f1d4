//! The `poolscope` command: what one node's proxy may see of recorded or live API server answers,
//! and why.

mod diff;
mod explain;
mod failure;
mod filter;
mod output;
mod shorten;
mod source;
mod table;
mod view;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::{ENOUGH, Failure};

/// Keeps Service traffic inside a node pool: shows and filters what one node's proxy may see.
///
/// PATH is a recording (a body with NAME.meta.json beside it), a folder of recordings, or what
/// `kubectl get -o json` or `kubectl get --raw` printed; `-` is standard input. SERVICE is
/// namespace/name. Several PATHs may follow one --facts: what names a file or folder is a PATH, and
/// of `filter` the last one is BODY.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Rewrite one response body; a summary goes to standard error.
    Filter(filter::Filter),
    /// Show what the node's proxy may use, Service by Service.
    View(view::View),
    /// Show where two nodes' views differ, side by side.
    Diff(diff::Diff),
    /// Show every endpoint of a Service, kept or dropped, and why.
    Explain(explain::Explain),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Filter(args) => filter::filter(args),
        Command::View(args) => view::view(args),
        Command::Diff(args) => diff::diff(args),
        Command::Explain(args) => explain::explain(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // `poolscope view ... | head` got what it wanted.
        Err(Failure(why)) if why == ENOUGH => ExitCode::SUCCESS,
        Err(Failure(why)) => {
            // One line, whatever a file's name or content put into it.
            eprintln!("poolscope: {}", why.replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}
