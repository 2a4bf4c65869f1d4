//! `poolscope status`: what filtering needs, check by check.

mod certificates;
mod filters;
mod prerequisites;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use poolscope::Cluster;
use serde::Serialize;
use serde_json::json;

use crate::failure::{Answer, Failure};
use crate::output::print_json;
use crate::source;
use crate::source::live::{Live, LiveOptions};

/// Uses of the verb, printed after its options.
const EXAMPLES: &str = "\
Examples:
  # Check that filtering is in place on every node
  poolscope status
  # Print only the checks that are not passed
  poolscope status -o short";

/// The options of `poolscope status`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Status {
    /// The configuration document that the nodes use; see docs/config.md.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// How to print; short: only the checks that are not passed.
    #[arg(short, long, default_value = "table")]
    output: Form,
    #[command(flatten)]
    live: LiveOptions,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Table,
    Short,
    Json,
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Outcome {
    Ok,
    Warning,
    Error,
    /// The API server does not tell.
    Unknown,
}

impl Outcome {
    fn sign(self) -> &'static str {
        match self {
            Outcome::Ok => "√",
            Outcome::Warning | Outcome::Unknown => "‼",
            Outcome::Error => "×",
        }
    }
}

/// One line of the report.
#[derive(Debug, Serialize)]
struct Check {
    category: &'static str,
    result: Outcome,
    check: String,
    /// The remedy, if the check is not passed.
    hint: Option<String>,
}

/// The checks so far.
#[derive(Default)]
struct Report {
    checks: Vec<Check>,
    category: &'static str,
}

impl Report {
    fn begin(&mut self, category: &'static str) {
        self.category = category;
    }

    fn add(&mut self, result: Outcome, check: impl Into<String>, hint: Option<String>) {
        self.checks.push(Check { category: self.category, result, check: check.into(), hint });
    }

    fn ok(&mut self, check: impl Into<String>) {
        self.add(Outcome::Ok, check, None);
    }

    fn warning(&mut self, check: impl Into<String>, hint: impl Into<String>) {
        self.add(Outcome::Warning, check, Some(hint.into()));
    }

    fn error(&mut self, check: impl Into<String>, hint: impl Into<String>) {
        self.add(Outcome::Error, check, Some(hint.into()));
    }

    fn unknown(&mut self, check: impl Into<String>, hint: impl Into<String>) {
        self.add(Outcome::Unknown, check, Some(hint.into()));
    }

    fn has_errors(&self) -> bool {
        self.checks.iter().any(|check| check.result == Outcome::Error)
    }

    fn print(&self, is_short: bool, out: &mut dyn Write) -> io::Result<()> {
        let mut category = "";
        for check in &self.checks {
            if is_short && check.result == Outcome::Ok {
                continue;
            }
            if check.category != category {
                let gap = if category.is_empty() { "" } else { "\n" };
                category = check.category;
                writeln!(out, "{gap}{category}\n{}", "-".repeat(category.len()))?;
            }
            writeln!(out, "{} {}", check.result.sign(), check.check)?;
            if let Some(hint) = &check.hint {
                writeln!(out, "    {hint}")?;
            }
        }
        let verdict = if self.has_errors() { Outcome::Error } else { Outcome::Ok };
        if !category.is_empty() {
            writeln!(out)?;
        }
        writeln!(out, "Status check results are {}", verdict.sign())
    }
}

/// Runs `poolscope status`.
pub(crate) fn status(args: Status) -> Result<Answer, Failure> {
    let cluster = Cluster::new(source::config(args.config.as_deref())?)
        .map_err(|error| Failure(error.to_string()))?;
    let live = Live::connect(&args.live)?;
    let mut report = Report::default();
    if prerequisites::reach(&live, &mut report) {
        certificates::check(&live, &mut report);
        let rights = prerequisites::rights(&live, &cluster, &mut report);
        if rights {
            let nodes = prerequisites::membership(&live, cluster, &mut report)?;
            filters::check(&live, &nodes, &mut report);
        }
    }
    let mut out = BufWriter::new(io::stdout().lock());
    match args.output {
        Form::Json => {
            let document = json!({
                "server": live.server,
                "context": live.context,
                "success": !report.has_errors(),
                "checks": report.checks,
            });
            print_json(&document, &mut out)?;
        }
        form => report.print(form == Form::Short, &mut out)?,
    }
    out.flush()?;
    Ok(match report.has_errors() {
        true => Answer::Faults("a check failed; each × above says what to do".to_owned()),
        false => Answer::Clean,
    })
}
