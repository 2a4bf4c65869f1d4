//! The `poolscope` command: what one node's proxy may see of recorded or live API server answers,
//! and why.

mod audit;
mod completion;
mod diff;
mod explain;
mod failure;
mod filter;
mod man;
mod output;
mod phrase;
mod report;
mod shorten;
mod source;
#[cfg(feature = "live")]
mod status;
mod table;
mod verify;
mod view;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::failure::{Answer, ENOUGH, Failure};

/// Keeps Service traffic inside a node pool: shows and filters what one node's proxy may see.
///
/// Without --facts the live cluster of the kubeconfig is read. PATH is a recording (a body with
/// NAME.meta.json beside it), a folder of recordings, or what `kubectl get -o json` or `kubectl get
/// --raw` printed; `-` is standard input. SERVICE is namespace/name. Several PATHs may follow one
/// --facts: what names a file or folder is a PATH, and of `filter` the last one is BODY.
#[derive(Parser)]
#[command(name = "poolscope", version, max_term_width = 100)]
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
    /// Find faults of the cluster: pools without endpoints, keys that are not read, and more.
    Audit(audit::Audit),
    /// Write the state of the cluster as one HTML page.
    Report(report::Report),
    /// Compare what a node's data plane holds with what the node's view has.
    Verify(Box<verify::Verify>),
    /// Check what filtering needs: API server, rights, pools, and the filter of each node.
    #[cfg(feature = "live")]
    Status(status::Status),
    /// Print the script that completes this command in a shell.
    Completion(completion::Completion),
    /// Write manual pages.
    #[command(hide = true)]
    Man(man::Man),
}

fn main() -> ExitCode {
    match completion::answer() {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => {}
        Err(_) => return ExitCode::FAILURE,
    }
    let result = match parse().command {
        Command::Filter(args) => filter::filter(args),
        Command::View(args) => view::view(args),
        Command::Diff(args) => diff::diff(args),
        Command::Explain(args) => explain::explain(args),
        #[cfg(feature = "live")]
        Command::Status(args) => return answered(status::status(args)),
        Command::Audit(args) => return answered(audit::audit(args)),
        Command::Report(args) => report::report(args),
        Command::Verify(args) => return answered(verify::verify(*args)),
        Command::Completion(args) => completion::completion(&args),
        Command::Man(args) => man::man(&args),
    };
    ended(result, 1)
}

/// A verb that looks for faults exits with 1 if there are some, and with 2 if it cannot tell.
fn answered(result: Result<Answer, Failure>) -> ExitCode {
    match result {
        Ok(Answer::Faults(what)) => ended(Err(Failure(what)), 1),
        result => ended(result.map(|_| ()), 2),
    }
}

/// Prints why a verb failed, which makes the command exit with `status`.
fn ended(result: Result<(), Failure>, status: u8) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // `poolscope view ... | head` got what it wanted.
        Err(Failure(why)) if why == ENOUGH => ExitCode::SUCCESS,
        Err(Failure(why)) => {
            // One line, whatever a file's name or content put into it.
            eprintln!("poolscope: {}", why.replace('\n', " "));
            ExitCode::from(status)
        }
    }
}

/// Parses the arguments. As `kubectl-poolscope` the command is kubectl's plugin.
fn parse() -> Cli {
    let program = std::env::args_os().next().unwrap_or_default();
    let is_plugin = Path::new(&program).file_stem() == Some(OsStr::new("kubectl-poolscope"));
    let mut command = Cli::command();
    if is_plugin {
        command = command.bin_name("kubectl poolscope").display_name("kubectl poolscope");
    }
    let matches = command.get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "live")]
    #[test]
    fn each_verb_shows_examples_that_it_understands() {
        for verb in Cli::command().get_subcommands() {
            if ["completion", "man", "help"].contains(&verb.get_name()) {
                continue;
            }
            let text = verb.get_after_help().expect("examples").to_string();
            let commands = text.lines().filter(|line| !line.trim_start().starts_with('#'));
            let commands: Vec<&str> =
                commands.filter_map(|line| Some(line.split_once("poolscope ")?.1)).collect();
            assert!(commands.iter().any(|line| line.starts_with(verb.get_name())), "{text}");
            for line in commands {
                let words = std::iter::once("poolscope").chain(line.split_whitespace());
                if let Err(error) = Cli::try_parse_from(words) {
                    panic!("{line}: {error}");
                }
            }
        }
    }

    #[test]
    fn options_of_a_live_cluster_stand_apart() {
        let command = Cli::command();
        let view = command.find_subcommand("view").expect("the verb");
        let heading = |id: &str| {
            let option = view.get_arguments().find(|option| option.get_id() == id);
            option.expect("the option").get_help_heading().map(str::to_owned)
        };
        assert_eq!((heading("namespace"), heading("output")), (None, None));
        #[cfg(feature = "live")]
        assert_eq!(heading("kubeconfig").as_deref(), Some("Live cluster"));
    }
}
