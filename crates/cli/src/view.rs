//! `poolscope view`: the Services of a node.

use std::io::{self, BufWriter, Write};

use clap::Args;
use serde_json::json;

use crate::failure::Failure;
use crate::output::{Format, print_json};
use crate::source::{Source, pool_of, services_of};
use crate::table;

/// The options of `poolscope view`.
#[derive(Args)]
pub(crate) struct View {
    /// The node whose view to show.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    node: String,
    #[command(flatten)]
    source: Source,
    /// How to print.
    #[arg(short, long, default_value = "table")]
    output: Format,
    /// Only these.
    #[arg(value_name = "SERVICE")]
    rest: Vec<String>,
}

/// Runs `poolscope view`.
pub(crate) fn view(mut args: View) -> Result<(), Failure> {
    let services = services_of(&args.rest, &mut args.source.facts);
    let snapshot = args.source.read()?;
    let node = snapshot.ready(&args.node, args.source.user_agent.as_deref())?;
    snapshot.loaded.require_endpoints()?;
    let views = snapshot.services(&node, &services)?;
    let mut out = BufWriter::new(io::stdout().lock());
    match args.output {
        Format::Table => {
            writeln!(out, "What node {} sees ({}):", node.name(), pool_of(&node))?;
            table::services(&views, &mut out)?;
        }
        Format::Json => print_json(
            &json!({"node": node.name(), "pool": node.pool(), "services": views}),
            &mut out,
        )?,
    }
    Ok(out.flush()?)
}
