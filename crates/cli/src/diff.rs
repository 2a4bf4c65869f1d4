//! `poolscope diff`: the views of two nodes, side by side.

use std::collections::BTreeMap;
use std::io::Write;

use anstyle::Style;
use clap::Args;
use poolscope::explain::{EndpointView, ServiceView, State};
use poolscope::{NodeView, Topology};
use serde_json::json;

use crate::failure::{Failure, usage};
use crate::output::{self, Format};
use crate::source::{ServiceName, Snapshot, Source, pool_of, services_of};
use crate::table::{ACTIVE, Cell, DOUBT, DROPPED, Table, print_text};
use crate::view::contradiction;

/// Uses of the verb, printed after its options.
const EXAMPLES: &str = "\
Examples:
  # Compare the views of nodes of two pools
  poolscope diff --node hz-edge-1 --node bj-edge-1
  # Compare one Service, from saved lists
  poolscope diff --node hz-edge-1 --node bj-edge-1 shop/cart --facts lists";

/// The options of `poolscope diff`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Diff {
    /// The two nodes: --node A --node B.
    #[arg(long, required = true, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    node: Vec<String>,
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

/// Runs `poolscope diff`.
pub(crate) fn diff(mut args: Diff) -> Result<(), Failure> {
    let services = services_of(&args.rest, &mut args.source.facts, false);
    let [left, right] = args.node.as_slice() else {
        // clap cannot say "exactly two" of an option that is given twice.
        usage("two nodes are compared: --node A --node B");
    };
    if left == right {
        usage(
            "two nodes are compared, and both are the same; --facts is one moment, so that for \
               before and after two runs of `view -o json` are to be compared",
        );
    }
    let print = |snapshot: &Snapshot| print(&args, [left, right], &services, snapshot);
    match args.watch {
        true => args.source.follow(print),
        false => print(&args.source.read()?),
    }
}

/// Prints the differences of two nodes.
fn print(
    args: &Diff,
    [left, right]: [&String; 2],
    services: &[ServiceName],
    snapshot: &Snapshot,
) -> Result<(), Failure> {
    let agent = args.source.user_agent.as_deref();
    let (left, right) = (snapshot.ready(left, agent)?, snapshot.ready(right, agent)?);
    snapshot.loaded.require_endpoints()?;
    let views = snapshot.services(&left, services)?.into_iter();
    let pairs: Vec<Pair> = views
        .zip(snapshot.services(&right, services)?)
        .map(|(left, right)| Pair { left, right })
        .collect();
    if args.watch || args.output.is_document() {
        let services: Vec<_> = pairs.iter().map(Pair::document).collect();
        let node = |node: &NodeView| json!({"name": node.name(), "pool": node.pool()});
        let contradiction = |node: &NodeView| node.contradiction(node.name());
        let document = json!({
            "nodes": [node(&left), node(&right)],
            "known": {"left": left.is_known(), "right": right.is_known()},
            "contradiction": {"left": contradiction(&left), "right": contradiction(&right)},
            "services": services,
        });
        if args.watch && !snapshot.is_news(&document) {
            return Ok(());
        }
        if args.output.is_document() {
            return args.output.print_document(&document);
        }
    }
    let (width, mut out) = (args.output.width(), output::stdout());
    let [left_pool, right_pool] = [&left, &right].map(pool_of);
    let head = format!(
        "Left: node {} ({left_pool}). Right: node {} ({right_pool}).",
        left.name(),
        right.name()
    );
    print_text(&head.into(), width, &mut out)?;
    for contradiction in [&left, &right].into_iter().filter_map(contradiction) {
        print_text(&contradiction, width, &mut out)?;
    }
    let (table, alike) = differences(&pairs);
    if !table.is_empty() {
        table.print(width, &mut out)?;
    }
    let doubts = doubts(&pairs);
    for ((sides, doubt), services) in &doubts {
        let line = format!("In doubt {sides}, {doubt}: {}", services.join(", "));
        print_text(&Cell::new(line, DOUBT), width, &mut out)?;
    }
    let in_doubt = pairs.iter().filter(|pair| pair.is_in_doubt()).count();
    let in_doubt = if in_doubt > 0 { format!(", {in_doubt} in doubt") } else { String::new() };
    writeln!(out, "{} Services differ, {alike} are alike{in_doubt}.", pairs.len() - alike)?;
    Ok(out.flush()?)
}

/// Returns the rows of the Services that differ, and how many Services are alike.
fn differences(pairs: &[Pair]) -> (Table, usize) {
    let mut table = Table::new(["SERVICE", "TOPOLOGY", "ENDPOINT", "ON NODE", "LEFT", "RIGHT"]);
    let mut alike = 0;
    for pair in pairs {
        let (left, right) = (&pair.left, &pair.right);
        let differing: Vec<_> = pair
            .endpoints()
            .filter(|(first, second)| sees(left, first) != sees(right, second))
            .collect();
        if differing.is_empty() && left.visible == right.visible {
            alike += 1;
            continue;
        }
        table.row([
            pair.name().into(),
            left.topology.map_or("unknown", Topology::name).into(),
            "".into(),
            "".into(),
            count(left),
            count(right),
        ]);
        for (first, second) in differing {
            table.row([
                "".into(),
                "".into(),
                (&*first.address).into(),
                first.node.as_deref().unwrap_or("-").into(),
                verdict(left, first),
                verdict(right, second),
            ]);
        }
    }
    (table, alike)
}

/// A node that does not see a Service sees none of its endpoints.
fn sees(view: &ServiceView, endpoint: &EndpointView) -> bool {
    view.visible && endpoint.kept
}

fn count(view: &ServiceView) -> Cell {
    if !view.visible {
        return "filtered out".into();
    }
    let count = format!("{} of {}", view.kept(), view.endpoints.len());
    match view.doubt {
        Some(_) => Cell::new(format!("{count}, in doubt"), DOUBT),
        None => count.into(),
    }
}

fn verdict(view: &ServiceView, endpoint: &EndpointView) -> Cell {
    let style = match endpoint.state {
        _ if view.visible && endpoint.in_doubt => DOUBT,
        _ if !sees(view, endpoint) => DROPPED,
        State::Active => ACTIVE,
        _ => Style::new(),
    };
    Cell::new(if sees(view, endpoint) { "sees" } else { "-" }, style)
}

/// Returns the names of the Services in doubt, by the side and the doubt.
fn doubts(pairs: &[Pair]) -> BTreeMap<(&'static str, &str), Vec<String>> {
    let mut doubts: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for pair in pairs {
        let sides = match (pair.left.doubt.as_deref(), pair.right.doubt.as_deref()) {
            (Some(left), right) if Some(left) == right => vec![("on both sides", left)],
            (left, right) => {
                let left = left.map(|doubt| ("on the left", doubt));
                left.into_iter().chain(right.map(|doubt| ("on the right", doubt))).collect()
            }
        };
        for side in sides {
            doubts.entry(side).or_default().push(pair.name());
        }
    }
    doubts
}

/// One Service in two views.
struct Pair {
    left: ServiceView,
    right: ServiceView,
}

impl Pair {
    fn name(&self) -> String {
        format!("{}/{}", self.left.namespace, self.left.name)
    }

    fn is_in_doubt(&self) -> bool {
        self.left.doubt.is_some() || self.right.doubt.is_some()
    }

    /// Returns the endpoints pair by pair: both views have all of them, in the same order.
    fn endpoints(&self) -> impl Iterator<Item = (&EndpointView, &EndpointView)> {
        self.left.endpoints.iter().zip(&self.right.endpoints)
    }

    fn document(&self) -> serde_json::Value {
        let Pair { left, right } = self;
        let pick = |keep: fn(bool, bool) -> bool| -> Vec<_> {
            let picked = self
                .endpoints()
                .filter(|(first, second)| keep(sees(left, first), sees(right, second)));
            let endpoint = |(first, second): (&EndpointView, &EndpointView)| {
                json!({
                    "address": first.address,
                    "node": first.node,
                    "object": first.object,
                    "inDoubt": {"left": first.in_doubt, "right": second.in_doubt},
                })
            };
            picked.map(endpoint).collect()
        };
        json!({
            "namespace": left.namespace,
            "name": left.name,
            "topology": left.topology,
            "visible": {"left": left.visible, "right": right.visible},
            "doubt": {"left": left.doubt, "right": right.doubt},
            "both": pick(|left, right| left && right),
            "onlyLeft": pick(|left, right| left && !right),
            "onlyRight": pick(|left, right| !left && right),
            "neither": pick(|left, right| !left && !right),
        })
    }
}
