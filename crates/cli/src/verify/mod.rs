//! `poolscope verify`: the contents of a node's data plane against the node's view.

mod cilium;
mod compare;
#[cfg(feature = "live")]
mod exec;
mod expected;
mod held;
mod kube_proxy;
mod ranges;
mod recognise;
mod socket;
mod yurthub;

use std::io::{self, Write};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use poolscope::explain::ServiceView;
use poolscope::{Clients, NodeView};
use serde_json::json;

use self::compare::{Comparer, Comparison, Verdict};
use self::held::{Contents, Held};
use self::ranges::Range;
use crate::failure::{Answer, Failure, usage};
use crate::output::{self, Format};
use crate::phrase::count;
#[cfg(feature = "live")]
use crate::source::live::Live;
use crate::source::{Snapshot, Source, pool_of};
use crate::table::{Cell, DOUBT, NO_BACKEND, Table, print_text};

/// Uses of the verb, printed after its options.
const EXAMPLES: &str = "\
Examples:
  # Read the eBPF maps of the node's cilium-agent until they agree, for at most 30 seconds
  poolscope verify --node hz-edge-1 --exec --settle 30
  # Read kube-proxy's rules, saved on the node with `nft -j list ruleset`
  poolscope verify --node hz-edge-1 --from ruleset.json";

/// The options of `poolscope verify`.
#[derive(Args)]
#[command(group = clap::ArgGroup::new("data plane").required(true).multiple(true))]
#[command(after_help = EXAMPLES)]
pub(crate) struct Verify {
    /// The node whose data plane to compare.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    node: String,
    #[command(flatten)]
    source: Source,
    /// The output of `cilium-dbg service list -o json`, `cilium-dbg bpf lb list -o json`,
    /// `nft -j list ruleset` or `iptables-save` on the node, or the folder of yurthub's cache; `-`
    /// is standard input.
    #[arg(long, value_name = "FILE", num_args = 1.., group = "data plane")]
    from: Vec<PathBuf>,
    /// Read Services from cilium-agent on this machine, by its socket.
    #[arg(long, value_name = "PATH", num_args = 0..=1, group = "data plane")]
    #[arg(default_missing_value = "/var/run/cilium/cilium.sock")]
    socket: Option<PathBuf>,
    /// Read the eBPF maps in the pod of the node's cilium-agent, in this namespace.
    #[cfg(feature = "live")]
    #[arg(long, value_name = "NAMESPACE", num_args = 0..=1, group = "data plane")]
    #[arg(default_missing_value = "kube-system")]
    exec: Option<String>,
    /// Read again until nothing differs, for at most so long.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    settle: u64,
    /// Addresses of pods in other clusters (ClusterMesh), which are allowed as backends.
    #[arg(long, value_name = "CIDR", num_args = 1..)]
    other_clusters: Vec<Range>,
    /// How to print.
    #[arg(short, long, default_value = "table")]
    output: Format,
}

/// Reads a data plane once.
type Reader<'a> = Box<dyn Fn() -> Result<Held, Failure> + 'a>;

/// The pause between two readings.
const PAUSE: Duration = Duration::from_millis(500);

/// Runs `poolscope verify`.
pub(crate) fn verify(args: Verify) -> Result<Answer, Failure> {
    let live = args.live()?;
    if args.settle > 0 && live.is_empty() {
        usage("--settle needs a data plane that can be read again: --socket or --exec");
    }
    let files = recognise::from_paths(&args.from)?;
    let mut snapshot = args.source.read()?;
    snapshot.loaded.require_endpoints()?;
    let end = Instant::now() + Duration::from_secs(args.settle);
    let comparisons = loop {
        let held: Vec<Held> = live.iter().map(|read| read()).collect::<Result<_, _>>()?;
        let comparisons = args.compare(&snapshot, files.iter().chain(&held))?;
        if comparisons.iter().all(Comparison::is_clean) || Instant::now() >= end {
            break comparisons;
        }
        sleep(PAUSE);
        if args.source.is_live() {
            snapshot = args.source.read()?;
        }
    };
    let node = args.view(&snapshot, None)?;
    if args.output.is_document() {
        let clean = comparisons.iter().all(Comparison::is_clean);
        args.output.print_document(&json!({
            "node": node.name(), "pool": node.pool(), "clean": clean, "dataPlanes": comparisons,
        }))?;
    } else {
        let (width, mut out) = (args.output.width(), output::stdout());
        let head = format!("The data plane of node {} ({}):", node.name(), pool_of(&node));
        print_text(&head.into(), width, &mut out)?;
        for comparison in &comparisons {
            print(comparison, width, &mut out)?;
        }
        out.flush()?;
    }
    verdict(&node, &comparisons)
}

impl Verify {
    /// Returns what reads each data plane that can be read again.
    fn live(&self) -> Result<Vec<Reader<'_>>, Failure> {
        let mut readers: Vec<Reader<'_>> = Vec::new();
        if let Some(path) = &self.socket {
            readers.push(Box::new(|| socket::services(path)));
        }
        #[cfg(feature = "live")]
        if let Some(namespace) = &self.exec {
            let live = Live::connect(&self.source.live)?;
            readers.push(Box::new(move || exec::maps(&live, namespace, &self.node)));
        }
        Ok(readers)
    }

    fn compare<'a>(
        &self,
        snapshot: &Snapshot,
        all: impl Iterator<Item = &'a Held>,
    ) -> Result<Vec<Comparison>, Failure> {
        let compare = |held: &Held| {
            let view = self.view(snapshot, Some(held))?;
            let services: Vec<ServiceView> = snapshot.inventory.view(&view);
            // All of them are compared with: an entry may be of a Service that is not shown.
            snapshot.shown(services.iter().collect())?;
            let (others, namespace) = (&self.other_clusters, self.source.namespace.as_deref());
            Comparer { view: &view, services: &services, others, namespace }.compare(held)
        };
        all.map(compare).collect()
    }

    /// Returns the view of the client behind a data plane, where the configuration tells clients
    /// apart.
    fn view(&self, snapshot: &Snapshot, held: Option<&Held>) -> Result<NodeView, Failure> {
        let client = match (&self.source.user_agent, held) {
            (Some(agent), _) => Some(&**agent),
            _ if snapshot.cluster.config().clients() != Clients::YurtHub => None,
            (None, Some(Held { contents: Contents::Slices(cache), .. })) => Some(&*cache.component),
            (None, Some(held)) if !held.kind.is_cilium() => Some("kube-proxy"),
            (None, _) => Some("cilium-agent"),
        };
        snapshot.ready(&self.node, client)
    }
}

/// Prints the differences, advice, and a line with the counts.
fn print(comparison: &Comparison, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let head = ["FOUND", "BACKEND", "NODE", "POOL", "RULE", "WHY"];
    let mut table = Table::new(head);
    for difference in &comparison.differences {
        let internal = if difference.internal { ", from the node itself" } else { "" };
        table.title(format!(
            "{} {} {}/{}{internal}:",
            difference.frontend, difference.r#type, difference.namespace, difference.name
        ));
        for finding in &difference.backends {
            let style = match finding.verdict {
                Verdict::Leak => NO_BACKEND,
                Verdict::Unknown | Verdict::Missing => DOUBT,
            };
            let pools = finding.pools.join(",");
            let cells = [
                finding.verdict.word(),
                &finding.backend,
                finding.node.as_deref().unwrap_or("-"),
                if pools.is_empty() { "-" } else { &pools },
                finding.rule,
                &finding.why,
            ];
            table.row(cells.map(|text| Cell::new(text, style)));
        }
    }
    if !table.is_empty() {
        table.print(width, out)?;
    }
    for line in &comparison.advice {
        print_text(&line.as_str().into(), width, out)?;
    }
    let differ = comparison.differences.len();
    let mut line = format!(
        "{} ({}): {} compared, {} as expected, {differ} with {}",
        comparison.kind.words(),
        comparison.origin,
        comparison.compared,
        comparison.compared - differ,
        counts(std::slice::from_ref(comparison)),
    );
    for (title, reasons) in
        [("allowed", &comparison.allowed), ("not compared", &comparison.not_compared)]
    {
        let reasons: Vec<String> =
            reasons.iter().map(|(why, count)| format!("{count} {why}")).collect();
        if !reasons.is_empty() {
            line += &format!("; {title}: {}", reasons.join(", "));
        }
    }
    print_text(&line.into(), width, out)
}

fn counts(comparisons: &[Comparison]) -> String {
    let sum = |of: fn(&Comparison) -> usize| comparisons.iter().map(of).sum::<usize>();
    let leaks = count(sum(|one| one.leaks), "leak");
    let (unknown, missing) = (sum(|one| one.unknown), sum(|one| one.missing));
    format!("{leaks}, {unknown} unknown and {missing} missing")
}

/// Says what differs. Fails if nothing differs, and nothing was compared in a data plane.
fn verdict(node: &NodeView, comparisons: &[Comparison]) -> Result<Answer, Failure> {
    let line = |what: &str, comparison: &Comparison| {
        let advice = comparison.advice.first().map_or("", String::as_str);
        format!("node {}: {what}: {advice}", node.name())
    };
    if let Some(first) = comparisons.iter().find(|comparison| !comparison.differences.is_empty()) {
        let what =
            format!("the data plane differs from the node's view by {}", counts(comparisons));
        return Ok(Answer::Faults(line(&what, first)));
    }
    match comparisons.iter().find(|comparison| !comparison.is_clean()) {
        Some(none) => Err(Failure(line("no frontend of the data plane was compared", none))),
        None => Ok(Answer::Clean),
    }
}
