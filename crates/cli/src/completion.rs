//! Completion for shells and for kubectl, with the nodes and Services of the cluster at hand.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;

use clap::{Args, Command, CommandFactory, FromArgMatches, ValueEnum};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, complete};
use clap_complete::env::{CompleteEnv, Shells};

use crate::Cli;
use crate::failure::Failure;
use crate::source::Source;

/// The name under which kubectl looks for the completion of its plugin `poolscope`.
const FOR_KUBECTL: &str = "kubectl_complete-poolscope";
/// The variable by which a shell's completion calls the command.
const VARIABLE: &str = "POOLSCOPE_COMPLETE";
/// The longest time for a request while somebody waits for completion.
const PATIENCE: &str = "2s";

/// cobra's directives, as kubectl reads them from the last line.
const NO_SPACE: u32 = 2;
const NO_FILES: u32 = 4;

/// The options of `poolscope completion`.
#[derive(Args)]
pub(crate) struct Completion {
    /// The shell.
    shell: Shell,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

/// Runs `poolscope completion`: prints the script that a shell sources.
pub(crate) fn completion(args: &Completion) -> Result<(), Failure> {
    let name = match args.shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
        Shell::Powershell => "powershell",
    };
    let shell = Shells::builtins();
    let shell = shell.completer(name).expect("clap_complete has every shell of the option");
    let program = std::env::current_exe()
        .map_err(|error| Failure(format!("the path of this program is not known: {error}")))?;
    let program = program.to_string_lossy();
    shell.write_registration(VARIABLE, "poolscope", "poolscope", &program, &mut io::stdout())?;
    Ok(())
}

/// Answers a shell or kubectl that asks for completions. Returns `true` if it was asked.
pub(crate) fn answer() -> io::Result<bool> {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    let is_kubectl = words
        .first()
        .is_some_and(|program| Path::new(program).file_stem() == Some(OsStr::new(FOR_KUBECTL)));
    if is_kubectl {
        words[0] = "poolscope".into();
        if words.len() == 1 {
            words.push(OsString::new());
        }
        return for_kubectl(words).map(|()| true);
    }
    if std::env::var_os(VARIABLE).is_none() {
        return Ok(false);
    }
    let typed: Vec<OsString> =
        words.iter().skip_while(|word| *word != "--").skip(1).cloned().collect();
    let completed = CompleteEnv::with_factory(|| command_for(&typed))
        .var(VARIABLE)
        .bin("poolscope")
        .try_complete(words, std::env::current_dir().ok().as_deref());
    completed.map_err(io::Error::other)
}

/// Prints candidates as cobra's `__complete` does: one a line, the help after a tab, then the
/// directive.
fn for_kubectl(words: Vec<OsString>) -> io::Result<()> {
    let last = words.len() - 1;
    let current = words[last].to_string_lossy().into_owned();
    let mut command = command_for(&words);
    let folder = std::env::current_dir().ok();
    // Words that cannot be followed by anything have no candidates.
    let mut found = complete(&mut command, words, last, folder.as_deref()).unwrap_or_default();
    if !current.starts_with('-') {
        found.retain(|candidate| !candidate.get_value().as_encoded_bytes().starts_with(b"-"));
    }
    let mut out = io::stdout().lock();
    let mut directive = NO_FILES;
    for candidate in &found {
        let value = candidate.get_value().to_string_lossy();
        // A folder, of which the next part follows.
        if value.ends_with('/') {
            directive |= NO_SPACE;
        }
        let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
        match help.lines().next() {
            Some(help) if !help.is_empty() => writeln!(out, "{value}\t{help}")?,
            _ => writeln!(out, "{value}")?,
        }
    }
    writeln!(out, ":{directive}")
}

/// Returns the command, whose arguments know the nodes and Services of the source that the words
/// name.
fn command_for(words: &[OsString]) -> Command {
    let completer = |names: fn(&Source) -> Vec<String>| {
        let words = words.to_vec();
        ArgValueCompleter::new(move |current: &OsStr| {
            let current = current.to_string_lossy();
            let names = source_of(&words).map(|source| names(&source)).unwrap_or_default();
            names
                .into_iter()
                .filter(|name| name.starts_with(&*current))
                .map(CompletionCandidate::new)
                .collect()
        })
    };
    Cli::command().mut_subcommands(|verb| {
        verb.mut_args(|arg| {
            let is_service = arg
                .get_value_names()
                .is_some_and(|names| names.iter().any(|name| name == "SERVICE"));
            if arg.get_id() == "node" || arg.get_id() == "without_node" {
                arg.add(completer(Source::node_names))
            } else if is_service {
                arg.add(completer(Source::service_names))
            } else {
                arg
            }
        })
    })
}

/// Returns the source that unfinished words name.
fn source_of(words: &[OsString]) -> Option<Source> {
    let words = words.split_last().map_or(words, |(_, before)| before);
    // The option comes after the verb. A later one of the user's wins.
    let mut patient = words.to_vec();
    if patient.len() > 1 {
        patient.splice(2..2, ["--request-timeout".into(), PATIENCE.into()]);
    }
    let command = Cli::command().ignore_errors(true).args_override_self(true);
    let matches = command.try_get_matches_from(patient).ok()?;
    let (_, verb) = matches.subcommand()?;
    Source::from_arg_matches(verb).ok()
}
