//! `poolscope view`: the Services of a node.

use std::io::{self, Write};

use anstyle::Style;
use clap::Args;
use poolscope::explain::{EndpointView, Frontend, Port, ServiceView, State, TrafficPolicy};
use poolscope::{NodeView, Rewrite, Topology};
use serde_json::json;

use crate::failure::Failure;
use crate::output::{self, Format};
use crate::source::{ServiceName, Snapshot, Source, pool_of, services_of};
use crate::table::{ACTIVE, Cell, DOUBT, DROPPED, NO_BACKEND, Table, print_text};

/// Uses of the verb, printed after its options.
const EXAMPLES: &str = "\
Examples:
  # Show all Services as a node of the live cluster sees them
  poolscope view --node hz-edge-1
  # Why does it reach another site? Show the Service, and then each endpoint with its rule
  poolscope view --node hz-edge-1 shop/cart
  poolscope explain --node hz-edge-1 shop/cart
  # Read saved lists instead of a cluster
  poolscope view --node hz-edge-1 --facts lists";

/// The options of `poolscope view`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct View {
    /// The node whose view to show.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    node: String,
    #[command(flatten)]
    source: Source,
    /// How to print.
    #[arg(short, long, default_value = "table")]
    output: Format,
    /// Print again after each change of the live cluster.
    #[arg(short, long)]
    watch: bool,
    /// Only these.
    #[arg(value_name = "SERVICE")]
    rest: Vec<String>,
}

/// Runs `poolscope view`.
pub(crate) fn view(mut args: View) -> Result<(), Failure> {
    let services = services_of(&args.rest, &mut args.source.facts, false);
    match args.watch {
        true => args.source.follow(|snapshot| print(&args, &services, snapshot)),
        false => print(&args, &services, &args.source.read()?),
    }
}

/// Prints the Services of the node.
fn print(args: &View, services: &[ServiceName], snapshot: &Snapshot) -> Result<(), Failure> {
    let node = snapshot.ready(&args.node, args.source.user_agent.as_deref())?;
    snapshot.loaded.require_endpoints()?;
    let views = snapshot.services(&node, services)?;
    if args.watch || args.output.is_document() {
        let document = document(&node, &views);
        if args.watch && !snapshot.is_news(&document) {
            return Ok(());
        }
        if args.output.is_document() {
            return args.output.print_document(&document);
        }
    }
    let (width, mut out) = (args.output.width(), output::stdout());
    let head = format!("What node {} sees ({}):", node.name(), pool_of(&node));
    print_text(&head.into(), width, &mut out)?;
    if let Some(contradiction) = contradiction(&node) {
        print_text(&contradiction, width, &mut out)?;
    }
    print_services(&views, width, &mut out)?;
    Ok(out.flush()?)
}

/// The document of `view` and `explain`.
pub(crate) fn document(node: &NodeView, views: &[ServiceView]) -> serde_json::Value {
    json!({
        "node": node.name(),
        "pool": node.pool(),
        "known": node.is_known(),
        "contradiction": node.contradiction(node.name()),
        "services": views,
    })
}

/// The line for people where the node's label and the pools' lists disagree.
pub(crate) fn contradiction(node: &NodeView) -> Option<Cell> {
    let contradiction = node.contradiction(node.name())?;
    Some(Cell::new(format!("Contradiction: {contradiction}"), DOUBT))
}

/// Prints Services as `cilium-dbg service list` does: a numbered row for each frontend, with the
/// backends it sends to.
fn print_services(views: &[ServiceView], width: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new(["ID", "FRONTEND", "TYPE", "BACKEND"]);
    let mut id = 0;
    for view in views {
        if !view.visible {
            table.title(format!(
                "{}/{}: filtered out by {} ({}):",
                view.namespace,
                view.name,
                view.rewrite.map_or("", Rewrite::name),
                view.rule
            ));
            table.title(format!("    {}", view.why));
            continue;
        }
        let dropped = view.endpoints.len() - view.kept();
        let dropped = if dropped > 0 { format!(", {dropped} dropped") } else { String::new() };
        let (topology, kept, all) =
            (view.topology.map_or("unknown", Topology::name), view.kept(), view.endpoints.len());
        table.title(format!(
            "{}/{} ({topology}): {kept} of {all} endpoints kept{dropped}",
            view.namespace, view.name
        ));
        if let Some(doubt) = &view.doubt {
            table.title(Cell::new(format!("    in doubt: {doubt}"), DOUBT));
        }
        for frontend in &view.frontends {
            id += 1;
            let kind = match frontend.traffic_policy {
                Some(TrafficPolicy::Local) => format!("{} Local", frontend.r#type),
                _ => frontend.r#type.to_owned(),
            };
            let mut first = [id.to_string(), frontend.address.clone(), kind];
            for backend in backends(view, frontend) {
                let [id, address, kind] = std::mem::take(&mut first);
                table.row([id.into(), address.into(), kind.into(), backend]);
            }
        }
    }
    table.print(width, out)
}

/// The backends that the node's proxy uses for a frontend, then those that it does not use under
/// its traffic policy.
fn backends(view: &ServiceView, frontend: &Frontend) -> Vec<Cell> {
    let used = view.used_backends(frontend);
    let unused = match frontend.traffic_policy {
        Some(TrafficPolicy::Local) => view.backends(frontend),
        _ => Vec::new(),
    };
    let unused: Vec<_> = unused.into_iter().filter(|(endpoint, _)| !endpoint.local).collect();
    let mut cells: Vec<Cell> = Vec::new();
    if used.is_empty() {
        let nothing =
            if unused.is_empty() { "no backend" } else { "no backend on this node (Local)" };
        cells.push(Cell::new(nothing, NO_BACKEND));
    }
    for (at, (endpoint, port)) in used.iter().enumerate() {
        let style = match endpoint.state {
            _ if endpoint.in_doubt => DOUBT,
            State::Active => ACTIVE,
            _ => Style::new(),
        };
        let state = endpoint.state.word();
        cells.push(Cell::new(backend(&(at + 1).to_string(), endpoint, port, state), style));
    }
    for (endpoint, port) in unused {
        let state = format!("{}, not used: Local", endpoint.state.word());
        cells.push(Cell::new(backend("-", endpoint, port, &state), DROPPED));
    }
    cells
}

fn backend(number: &str, endpoint: &EndpointView, port: &Port, state: &str) -> String {
    let Port { port, protocol, .. } = port;
    let address = match &*endpoint.address {
        // One with which DNS answers.
        address if *port == 0 => address.to_owned(),
        address if address.contains(':') => format!("[{address}]:{port}/{protocol}"),
        address => format!("{address}:{port}/{protocol}"),
    };
    format!("{number} => {address} ({state}) {}", endpoint.node.as_deref().unwrap_or("no node"))
}
