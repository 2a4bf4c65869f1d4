//! `poolscope explain`: the reasons of a Service.

use std::io::Write;

use anstyle::Style;
use clap::Args;
use poolscope::explain::{ServiceView, State};
use poolscope::{NodeView, Topology};

use crate::failure::{Failure, usage};
use crate::output::{self, Format};
use crate::source::{Source, pool_of, services_of};
use crate::table::{ACTIVE, Cell, DOUBT, DROPPED, Table, print_text};
use crate::view::{contradiction, document};

/// Uses of the verb, printed after its options.
const EXAMPLES: &str = "\
Examples:
  # Show which endpoints of a Service a node may use, and why
  poolscope explain --node hz-edge-1 shop/cart
  # Print JSON, from saved lists
  poolscope explain --node hz-edge-1 shop/cart --facts lists -o json";

/// The options of `poolscope explain`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
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
    let services = services_of(&args.rest, &mut args.source.facts, true);
    if services.is_empty() {
        usage("name the Services to explain, as namespace/name");
    }
    let snapshot = args.source.read()?;
    let node = snapshot.ready(&args.node, args.source.user_agent.as_deref())?;
    snapshot.loaded.require_endpoints()?;
    let views = snapshot.services(&node, &services)?;
    if args.output.is_document() {
        return args.output.print_document(&document(&node, &views));
    }
    let (width, mut out) = (args.output.width(), output::stdout());
    let contradiction = contradiction(&node);
    for view in &views {
        print_text(&title(view, &node), width, &mut out)?;
        if let Some(contradiction) = &contradiction {
            print_text(contradiction, width, &mut out)?;
        }
        if let Some(doubt) = &view.doubt {
            print_text(&Cell::new(format!("In doubt: {doubt}"), DOUBT), width, &mut out)?;
        }
        if let Some(rewrite) = view.rewrite {
            let verdict = if view.visible { "visible" } else { "filtered out" };
            writeln!(out, "The Service is {verdict} by {rewrite} ({}):", view.rule)?;
            print_text(&format!("    {}", view.why).into(), width, &mut out)?;
        }
        if let Some(rewrite) = view.endpoints.iter().find_map(|endpoint| endpoint.rewrite) {
            let key = snapshot.cluster.config().dialect().annotation();
            let service = (view.namespace.clone(), view.name.clone());
            let service = snapshot.objects.services.get(&service);
            let line = match service.map(|service| service.annotations.get(key)) {
                Some(Some(value)) => format!("Its endpoints by {rewrite}, from {key}: {value:?}"),
                Some(None) => format!("Its endpoints by {rewrite}; it has no annotation {key}"),
                None => format!("Its endpoints by {rewrite}, from its annotation {key}"),
            };
            print_text(&(line + ":").into(), width, &mut out)?;
        }
        endpoints(view).print(width, &mut out)?;
    }
    Ok(out.flush()?)
}

fn title(view: &ServiceView, node: &NodeView) -> Cell {
    let asks = match view.topology {
        None => "is not known",
        Some(Topology::Any) => "has no topology keys that are known",
        Some(Topology::Node) => "keeps to the node",
        Some(Topology::Labels) => "keeps to nodes that share a label",
        Some(Topology::Fallback) => "keeps to the first of its keys that has something usable",
        Some(_) => "keeps to the pool",
    };
    // The pools' lists, which decide about endpoints, do not agree.
    let own = node.contradiction(node.name()).and_then(|_| node.pool());
    let by_label = if own.is_some() { " by its label" } else { "" };
    let (name, pool, kept, all) = (node.name(), pool_of(node), view.kept(), view.endpoints.len());
    format!(
        "{}/{} {asks}; {name} is in {pool}{by_label}; it sees {kept} of {all} endpoints",
        view.namespace, view.name
    )
    .into()
}

fn endpoints(view: &ServiceView) -> Table {
    let mut table = Table::new(["ENDPOINT", "NODE", "STATE", "VERDICT", "RULE", "WHY"]);
    for endpoint in &view.endpoints {
        let verdict = if endpoint.kept { "keep" } else { "drop" };
        let style = match endpoint.state {
            _ if endpoint.in_doubt => DOUBT,
            _ if !endpoint.kept => DROPPED,
            State::Active => ACTIVE,
            _ => Style::new(),
        };
        let cells = [
            &*endpoint.address,
            endpoint.node.as_deref().unwrap_or("-"),
            endpoint.state.word(),
            verdict,
            endpoint.rule,
            &*endpoint.why,
        ];
        table.row(cells.map(|text| Cell::new(text, style)));
    }
    table
}
