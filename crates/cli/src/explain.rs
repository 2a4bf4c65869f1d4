//! `poolscope explain`: the reasons of a Service.

use std::io::{self, BufWriter, Write};

use clap::Args;
use poolscope::Topology;
use serde_json::json;

use crate::failure::{Failure, usage};
use crate::output::{Format, print_json};
use crate::source::{Source, pool_of, services_of};
use crate::table::{self, Table};

/// The options of `poolscope explain`.
#[derive(Args)]
pub(crate) struct Explain {
    /// The node to explain for.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    node: String,
    #[command(flatten)]
    source: Source,
    /// How to print.
    #[arg(short, long, default_value = "table")]
    output: Format,
    /// The Services to explain.
    #[arg(value_name = "SERVICE", required = true)]
    rest: Vec<String>,
}

/// Runs `poolscope explain`.
pub(crate) fn explain(mut args: Explain) -> Result<(), Failure> {
    let services = services_of(&args.rest, &mut args.source.facts);
    if services.is_empty() {
        usage("name the Services to explain, as namespace/name");
    }
    let snapshot = args.source.read()?;
    let node = snapshot.ready(&args.node, args.source.user_agent.as_deref())?;
    snapshot.loaded.require_endpoints()?;
    let views = snapshot.services(&node, &services)?;
    let mut out = BufWriter::new(io::stdout().lock());
    if args.output == Format::Json {
        print_json(
            &json!({"node": node.name(), "pool": node.pool(), "services": views}),
            &mut out,
        )?;
        return Ok(out.flush()?);
    }
    for view in &views {
        let asks = match view.topology {
            None => "is not known",
            Some(Topology::Any) => "has no topology keys that are known",
            Some(Topology::Node) => "keeps to the node",
            Some(Topology::Labels) => "keeps to nodes that share a label",
            Some(Topology::Fallback) => "keeps to the first of its keys that has something usable",
            Some(_) => "keeps to the pool",
        };
        let (name, pool, kept, all) =
            (node.name(), pool_of(&node), view.kept(), view.endpoints.len());
        let title = format!(
            "{}/{} {asks}; {name} is in {pool}; it sees {kept} of {all} endpoints",
            view.namespace, view.name
        );
        writeln!(out, "{}", table::fit(&title, table::WIDTH))?;
        if let Some(rewrite) = view.rewrite {
            let verdict = if view.visible { "visible" } else { "filtered out" };
            writeln!(out, "The Service is {verdict} by {rewrite} ({}):", view.rule)?;
            writeln!(out, "{}", table::fit(&format!("    {}", view.why), table::WIDTH))?;
        }
        if let Some(rewrite) = view.endpoints.iter().find_map(|endpoint| endpoint.rewrite) {
            let annotation = snapshot.cluster.config().dialect().annotation();
            writeln!(
                out,
                "{}",
                table::fit(
                    &format!("Its endpoints by {rewrite}, from its annotation {annotation}:"),
                    table::WIDTH
                )
            )?;
        }
        let mut table = Table::new(["ENDPOINT", "NODE", "STATE", "VERDICT", "RULE", "WHY"]);
        for endpoint in &view.endpoints {
            let verdict = if endpoint.kept { "keep" } else { "drop" };
            let on = endpoint.node.clone().unwrap_or_else(|| "-".to_owned());
            table.row([
                endpoint.address.clone(),
                on,
                endpoint.state.word().to_owned(),
                verdict.to_owned(),
                endpoint.rule.to_owned(),
                endpoint.why.clone(),
            ]);
        }
        table.print(&mut out)?;
    }
    Ok(out.flush()?)
}
