//! `poolscope diff`: the views of two nodes, side by side.

use std::io::{self, BufWriter, Write};

use clap::Args;
use poolscope::explain::{EndpointView, ServiceView};
use poolscope::{NodeView, Topology};
use serde_json::json;

use crate::failure::{Failure, usage};
use crate::output::{Format, print_json};
use crate::source::{Source, pool_of, services_of};
use crate::table::Table;

/// The options of `poolscope diff`.
#[derive(Args)]
pub(crate) struct Diff {
    /// The two nodes: --node A --node B.
    #[arg(long, required = true, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    node: Vec<String>,
    #[command(flatten)]
    source: Source,
    /// How to print.
    #[arg(short, long, default_value = "table")]
    output: Format,
    /// Only these.
    #[arg(value_name = "SERVICE")]
    rest: Vec<String>,
}

/// Runs `poolscope diff`.
pub(crate) fn diff(mut args: Diff) -> Result<(), Failure> {
    let services = services_of(&args.rest, &mut args.source.facts);
    let [left, right] = args.node.as_slice() else {
        // clap cannot say "exactly two" of an option that is given twice.
        usage("two nodes are compared: --node A --node B");
    };
    let snapshot = args.source.read()?;
    let agent = args.source.user_agent.as_deref();
    let (left, right) = (snapshot.ready(left, agent)?, snapshot.ready(right, agent)?);
    snapshot.loaded.require_endpoints()?;
    let views = snapshot.services(&left, &services)?.into_iter();
    let pairs: Vec<(ServiceView, ServiceView)> =
        views.zip(snapshot.services(&right, &services)?).collect();
    let mut out = BufWriter::new(io::stdout().lock());
    if args.output == Format::Json {
        let services: Vec<_> =
            pairs.iter().map(|(left, right)| json_difference(left, right)).collect();
        let node = |node: &NodeView| json!({"name": node.name(), "pool": node.pool()});
        print_json(&json!({"nodes": [node(&left), node(&right)], "services": services}), &mut out)?;
        return Ok(out.flush()?);
    }
    writeln!(
        out,
        "Left: node {} ({}). Right: node {} ({}).",
        left.name(),
        pool_of(&left),
        right.name(),
        pool_of(&right)
    )?;
    let mut table = Table::new(["SERVICE", "TOPOLOGY", "ENDPOINT", "ON NODE", "LEFT", "RIGHT"]);
    let mut alike = 0;
    for (left, right) in &pairs {
        // A node that does not see a Service sees none of its endpoints.
        let sees = |view: &ServiceView, endpoint: &EndpointView| view.visible && endpoint.kept;
        let differ = |(first, second): &(&EndpointView, &EndpointView)| {
            sees(left, first) != sees(right, second)
        };
        let differing: Vec<_> = endpoints(left, right).filter(differ).collect();
        if differing.is_empty() && left.visible == right.visible {
            alike += 1;
            continue;
        }
        let topology = left.topology.map_or("unknown", Topology::name).to_owned();
        let count = |view: &ServiceView| match view.visible {
            true => format!("{} of {}", view.kept(), view.endpoints.len()),
            false => "filtered out".to_owned(),
        };
        table.row([
            format!("{}/{}", left.namespace, left.name),
            topology,
            String::new(),
            String::new(),
            count(left),
            count(right),
        ]);
        for (first, second) in differing {
            let word = |view: &ServiceView, endpoint: &EndpointView| {
                if sees(view, endpoint) { "sees" } else { "-" }.to_owned()
            };
            let on = first.node.clone().unwrap_or_else(|| "-".to_owned());
            table.row([
                String::new(),
                String::new(),
                first.address.clone(),
                on,
                word(left, first),
                word(right, second),
            ]);
        }
    }
    if !table.is_empty() {
        table.print(&mut out)?;
    }
    writeln!(out, "{} Services differ, {alike} are alike.", pairs.len() - alike)?;
    Ok(out.flush()?)
}

/// The endpoints of one Service in two views, pair by pair: both views have all of them, in the
/// same order.
fn endpoints<'a>(
    left: &'a ServiceView,
    right: &'a ServiceView,
) -> impl Iterator<Item = (&'a EndpointView, &'a EndpointView)> {
    left.endpoints.iter().zip(&right.endpoints)
}

fn json_difference(left: &ServiceView, right: &ServiceView) -> serde_json::Value {
    let pick = |keep: fn(bool, bool) -> bool| -> Vec<_> {
        let picked = endpoints(left, right).filter(|(first, second)| {
            keep(left.visible && first.kept, right.visible && second.kept)
        });
        picked
            .map(|(endpoint, _)| {
                json!({
                    "address": endpoint.address,
                    "node": endpoint.node,
                    "object": endpoint.object,
                })
            })
            .collect()
    };
    json!({
        "namespace": left.namespace,
        "name": left.name,
        "topology": left.topology,
        "visible": {"left": left.visible, "right": right.visible},
        "both": pick(|left, right| left && right),
        "onlyLeft": pick(|left, right| left && !right),
        "onlyRight": pick(|left, right| !left && right),
        "neither": pick(|left, right| !left && !right),
    })
}
