//! `poolscope man`: writes the manual pages.

use std::fs;
use std::path::PathBuf;

use clap::{Args, CommandFactory};

use crate::Cli;
use crate::failure::Failure;

/// The options of `poolscope man`.
#[derive(Args)]
pub(crate) struct Man {
    /// The folder that gets a page for the command and for each verb.
    folder: PathBuf,
}

/// Runs `poolscope man`.
pub(crate) fn man(args: &Man) -> Result<(), Failure> {
    let write = || {
        fs::create_dir_all(&args.folder)?;
        clap_mangen::generate_to(Cli::command(), &args.folder)
    };
    write().map_err(|error| Failure::at(&args.folder, error.to_string()))
}
