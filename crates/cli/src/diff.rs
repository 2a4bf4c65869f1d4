//! `poolscope diff`: the views of two nodes, or of one node at two moments, side by side.

mod pairs;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anstyle::Style;
use clap::Args;
use poolscope::NodeView;
use poolscope::explain::{ServiceView, State};
use serde_json::json;

use self::pairs::{EndpointPair, Pair, Side};
use crate::failure::{Failure, usage};
use crate::output::{self, Format};
use crate::phrase::names;
use crate::source::{ServiceName, Snapshot, Source, pool_of, services_of};
use crate::table::{ACTIVE, Cell, DOUBT, DROPPED, Table, print_text};
use crate::view::contradiction;

/// Uses of the verb, printed after its options.
const EXAMPLES: &str = "\
Examples:
  # Compare the views of nodes of two pools
  poolscope diff --node hz-edge-1 --node bj-edge-1
  # Compare one Service, from saved lists
  poolscope diff --node hz-edge-1 --node bj-edge-1 shop/cart --facts lists
  # What changed for a node since lists were saved?
  poolscope diff --node hz-edge-1 --before lists";

/// The options of `poolscope diff`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Diff {
    /// The two nodes: --node A --node B; with --before the only one.
    #[arg(long, required = true, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    node: Vec<String>,
    /// Files and folders of an earlier moment, with which the node's view is compared.
    #[arg(long, value_name = "PATH", num_args = 1.., value_hint = clap::ValueHint::AnyPath)]
    before: Vec<PathBuf>,
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

/// How the two views are called.
struct Words {
    head: [&'static str; 2],
    column: [&'static str; 2],
    doubt: [&'static str; 3],
}

const NODES: Words = Words {
    head: ["Left", "Right"],
    column: ["LEFT", "RIGHT"],
    doubt: ["on the left", "on the right", "on both sides"],
};

const MOMENTS: Words = Words {
    head: ["Before", "After"],
    column: ["BEFORE", "AFTER"],
    doubt: ["before", "after", "before and after"],
};

/// Runs `poolscope diff`.
pub(crate) fn diff(mut args: Diff) -> Result<(), Failure> {
    let services = services_of(&args.rest, &mut args.source.facts, false);
    match (&*args.node, &*args.before) {
        ([_], [_, ..]) => moments(&args, &services),
        (_, [_, ..]) => usage("--before compares two moments of one node: --node A"),
        ([left, right], []) if left == right => usage(
            "two nodes are compared, and both are the same; compare two moments with --before",
        ),
        ([left, right], []) => {
            run(&args, |snapshot| nodes(&args, left, right, &services, snapshot))
        }
        // clap cannot say "exactly two" of an option that is given twice.
        _ => usage("two nodes are compared: --node A --node B"),
    }
}

fn run(args: &Diff, print: impl FnMut(&Snapshot) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut print = print;
    match args.watch {
        true => args.source.follow(print),
        false => print(&args.source.read()?),
    }
}

/// Prints what two nodes see.
fn nodes(
    args: &Diff,
    left: &str,
    right: &str,
    services: &[ServiceName],
    snapshot: &Snapshot,
) -> Result<(), Failure> {
    let agent = args.source.user_agent.as_deref();
    let (left, right) = (snapshot.ready(left, agent)?, snapshot.ready(right, agent)?);
    snapshot.loaded.require_endpoints()?;
    let views = [snapshot.services(&left, services)?, snapshot.services(&right, services)?];
    print(args, &NODES, [&left, &right], views, snapshot)
}

/// Prints what a node sees, and what it saw before.
fn moments(args: &Diff, services: &[ServiceName]) -> Result<(), Failure> {
    let is_stdin = |paths: &[PathBuf]| paths.iter().any(|path| path == Path::new("-"));
    if is_stdin(&args.before) && is_stdin(&args.source.facts) {
        usage("standard input can be read only once: --before - or --facts -");
    }
    let (agent, node) = (args.source.user_agent.as_deref(), &args.node[0]);
    let before = args.source.read_files(&args.before)?;
    let of_before = |Failure(why)| Failure(format!("--before: {why}"));
    let earlier = before.ready(node, agent).map_err(of_before)?;
    before.loaded.require_endpoints().map_err(of_before)?;
    run(args, |after| {
        let later = after.ready(node, agent)?;
        after.loaded.require_endpoints()?;
        let mut views = [(&before, &earlier), (after, &later)]
            .map(|(snapshot, node)| snapshot.asked(node, services));
        for service in services {
            if !views.iter().flatten().any(|view| service.is_of(view)) {
                return Err(Failure(format!(
                    "no Service {service} in the facts of either moment; check namespace and name"
                )));
            }
        }
        let mut unknown: Vec<String> = Vec::new();
        for views in &mut views {
            views.retain(|view| {
                let is_known = before.loaded.tells_of(view) && after.loaded.tells_of(view);
                if !is_known {
                    unknown.push(format!("{}/{}", view.namespace, view.name));
                }
                is_known
            });
        }
        if !unknown.is_empty() {
            unknown.sort();
            unknown.dedup();
            let what = format!(
                "the facts of one moment have no EndpointSlices of {}: add those of its namespace",
                names(&unknown)
            );
            if views.iter().all(Vec::is_empty) {
                return Err(Failure(what));
            }
            eprintln!("warning: not compared: {what}");
        }
        after.require_services(views.iter().map(Vec::len).sum())?;
        print(args, &MOMENTS, [&earlier, &later], views, after)
    })
}

/// Prints the differences of two views.
fn print(
    args: &Diff,
    words: &Words,
    views: [&NodeView; 2],
    services: [Vec<ServiceView>; 2],
    snapshot: &Snapshot,
) -> Result<(), Failure> {
    let [left, right] = services;
    let pairs = Pair::all(left, right);
    if args.watch || args.output.is_document() {
        let services: Vec<_> = pairs.iter().map(Pair::document).collect();
        let node = |node: &NodeView| json!({"name": node.name(), "pool": node.pool()});
        let contradiction = |node: &NodeView| node.contradiction(node.name());
        let [left, right] = views;
        let document = json!({
            "nodes": [node(left), node(right)],
            "known": {"left": left.is_known(), "right": right.is_known()},
            "contradiction": {"left": contradiction(left), "right": contradiction(right)},
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
    let head = [0, 1].map(|side| {
        let (word, view) = (words.head[side], views[side]);
        format!("{word}: node {} ({}).", view.name(), pool_of(view))
    });
    print_text(&head.join(" ").into(), width, &mut out)?;
    for contradiction in views.into_iter().filter_map(contradiction) {
        print_text(&contradiction, width, &mut out)?;
    }
    let (table, alike) = differences(&pairs, words);
    if !table.is_empty() {
        table.print(width, &mut out)?;
    }
    let doubts = doubts(&pairs, words);
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
fn differences(pairs: &[Pair], words: &Words) -> (Table, usize) {
    let [left, right] = words.column;
    let mut table = Table::new(["SERVICE", "TOPOLOGY", "ENDPOINT", "ON NODE", left, right]);
    let mut alike = 0;
    for pair in pairs {
        let mut endpoints = pair.endpoints();
        if pair.is_alike(&endpoints) {
            alike += 1;
            continue;
        }
        table.row([
            pair.name().into(),
            pair.topology().into(),
            "".into(),
            "".into(),
            count(pair.left.as_ref()),
            count(pair.right.as_ref()),
        ]);
        endpoints.retain(EndpointPair::differs);
        for endpoint in endpoints {
            let any = endpoint.any();
            table.row([
                "".into(),
                "".into(),
                (&*any.address).into(),
                any.node.as_deref().unwrap_or("-").into(),
                verdict(endpoint.left),
                verdict(endpoint.right),
            ]);
        }
    }
    (table, alike)
}

fn count(view: Option<&ServiceView>) -> Cell {
    let Some(view) = view else { return "absent".into() };
    if !view.visible {
        return "filtered out".into();
    }
    let count = format!("{} of {}", view.kept(), view.endpoints.len());
    match view.doubt {
        Some(_) => Cell::new(format!("{count}, in doubt"), DOUBT),
        None => count.into(),
    }
}

fn verdict(side: Side<'_>) -> Cell {
    let (Some(service), Some(endpoint)) = (side.service, side.endpoint) else {
        return Cell::new("absent".to_owned(), DROPPED);
    };
    let (is_seen, state) = (side.is_seen(), endpoint.state);
    let style = match state {
        _ if service.visible && endpoint.in_doubt => DOUBT,
        _ if !is_seen => DROPPED,
        State::Active => ACTIVE,
        _ => Style::new(),
    };
    let text = match state {
        _ if !is_seen => "-".to_owned(),
        State::Active => "sees".to_owned(),
        state => format!("sees, {}", state.word()),
    };
    Cell::new(text, style)
}

/// Returns the names of the Services in doubt, by the side and the doubt.
fn doubts<'a>(pairs: &'a [Pair], words: &Words) -> BTreeMap<(&'static str, &'a str), Vec<String>> {
    let [on_left, on_right, on_both] = words.doubt;
    let mut doubts: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for pair in pairs {
        let [left, right] = [&pair.left, &pair.right]
            .map(|view| view.as_ref().and_then(|view| view.doubt.as_deref()));
        let sides = match (left, right) {
            (Some(left), right) if Some(left) == right => vec![(on_both, left)],
            (left, right) => {
                let left = left.map(|doubt| (on_left, doubt));
                left.into_iter().chain(right.map(|doubt| (on_right, doubt))).collect()
            }
        };
        for side in sides {
            doubts.entry(side).or_default().push(pair.name());
        }
    }
    doubts
}
