//! `poolscope audit`: faults and surprises of a cluster, each with a remedy.

mod baseline;
mod checks;
mod codes;
mod finding;
mod print;
mod sarif;
mod survey;

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use self::baseline::Baseline;
pub(crate) use self::checks::run as find_all;
use self::checks::run_traffic as find_traffic;
pub(crate) use self::codes::Level;
pub(crate) use self::finding::Finding;
pub(crate) use self::survey::{Judged, Place, Survey};
use crate::failure::{Answer, Failure, usage};
use crate::output::{print_json, print_yaml};
use crate::phrase::count;
use crate::source::Source;

/// Uses of the verb, printed after its options.
const EXAMPLES: &str = "\
Examples:
  # Find faults of the live cluster
  poolscope audit
  # Find the pools that would lose a Service if a node failed
  poolscope audit --without-node hz-edge-1
  # Print and count only what an earlier run with -o json did not find
  poolscope audit --baseline accepted.json
  # Fail on warnings about one namespace, in saved lists
  poolscope audit --facts lists -n shop --failure-threshold warning";

/// The options of `poolscope audit`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Audit {
    #[command(flatten)]
    source: Source,
    /// How to print.
    #[arg(short, long, default_value = "table")]
    output: Output,
    /// The level from which findings make the command exit with status 1.
    #[arg(long, value_name = "LEVEL", default_value = "error")]
    failure_threshold: Threshold,
    /// The level from which findings are printed.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    output_threshold: Level,
    /// The output of an earlier run with `-o json`, whose findings are left out.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    baseline: Option<PathBuf>,
    /// Print only what the failure of this node would add; may be repeated.
    #[arg(long, value_name = "NODE", value_parser = NonEmptyStringValueParser::new())]
    without_node: Vec<String>,
    /// More files and folders, after one --facts.
    #[arg(value_name = "PATH", requires = "facts")]
    rest: Vec<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Lines for people.
    Table,
    Json,
    Yaml,
    /// SARIF 2.1.0, which code scanning reads.
    Sarif,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Threshold {
    Error,
    Warning,
    Info,
    Never,
}

impl Threshold {
    fn level(self) -> Option<Level> {
        match self {
            Threshold::Error => Some(Level::Error),
            Threshold::Warning => Some(Level::Warning),
            Threshold::Info => Some(Level::Info),
            Threshold::Never => None,
        }
    }
}

/// Runs `poolscope audit`.
pub(crate) fn audit(mut args: Audit) -> Result<Answer, Failure> {
    if args.output == Output::Sarif && !args.without_node.is_empty() {
        usage("SARIF is of what there is: leave out --without-node, or choose another --output");
    }
    let read = |path: &PathBuf| Baseline::read(path, &args.without_node);
    let baseline = args.baseline.as_ref().map(read).transpose()?;
    args.source.facts.append(&mut args.rest);
    let mut snapshot = args.source.read()?;
    let agent = args.source.user_agent.as_deref();
    let (mut known, mut before) = (Vec::new(), BTreeMap::new());
    if !args.without_node.is_empty() {
        let survey = Survey::of(&snapshot, agent)?;
        (known, before) = (find_traffic(&survey), survey.into_lanes());
        args.without_node.iter().try_for_each(|node| snapshot.fail(node))?;
    }
    let survey = Survey::after(&snapshot, agent, before)?;
    let mut all = match snapshot.failed.is_empty() {
        true => find_all(&survey),
        false => find_traffic(&survey),
    };
    all.retain(|finding| !known.iter().any(|known| known.covers(finding)));
    let number = all.len();
    all.retain(|finding| !baseline.as_ref().is_some_and(|baseline| baseline.has(finding)));
    let known = number - all.len();
    let shown: Vec<&Finding> =
        all.iter().filter(|finding| finding.level >= args.output_threshold).collect();
    let mut out = BufWriter::new(io::stdout().lock());
    match args.output {
        Output::Table => print::table(&survey, &all, &shown, known, &mut out)?,
        Output::Json => print_json(&document(&survey, &all, &shown), &mut out)?,
        Output::Yaml => print_yaml(&document(&survey, &all, &shown), &mut out)?,
        Output::Sarif => print_json(&sarif::log(&shown), &mut out)?,
    }
    out.flush()?;
    let Some(threshold) = args.failure_threshold.level() else { return Ok(Answer::Clean) };
    Ok(match all.iter().filter(|finding| finding.level >= threshold).count() {
        0 => Answer::Clean,
        number => Answer::Faults(format!(
            "{} of level {} or above; see --failure-threshold",
            count(number, "finding"),
            threshold.name()
        )),
    })
}

/// The output for programs; `docs/audit.schema.json` is its schema.
fn document(survey: &Survey<'_>, all: &[Finding], shown: &[&Finding]) -> Value {
    let number = |level| all.iter().filter(|finding| finding.level == level).count();
    let pools = survey.pools.iter().filter(|pool| !pool.name.is_empty()).count();
    let nodes: usize = survey.pools.iter().map(|pool| pool.nodes.len()).sum();
    let findings: Vec<Value> = shown.iter().map(|finding| finding.document()).collect();
    json!({
        "summary": {
            "error": number(Level::Error),
            "warning": number(Level::Warning),
            "info": number(Level::Info),
            "services": survey.services.len(),
            "filteredServices": survey.services.iter().filter(|each| each.is_filtered).count(),
            "pools": pools,
            "nodes": nodes,
        },
        "withoutNodes": survey.snapshot.failed,
        "findings": findings,
    })
}

impl Finding {
    fn document(&self) -> Value {
        let text = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
        json!({
            "code": self.code.id,
            "level": self.level.name(),
            "title": self.code.title,
            "object": {
                "kind": self.object.kind,
                "namespace": text(&self.object.namespace),
                "name": text(&self.object.name),
            },
            "pools": self.pools,
            "frontends": self.frontends(),
            "message": self.message,
            "traffic": self.code.traffic,
            "change": self.code.change,
            "docs": self.docs(),
        })
    }
}
