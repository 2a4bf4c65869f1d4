//! The `poolscope` command: what one node's proxy may see of recorded or live API server answers,
//! and why.

mod facts;
mod table;
mod text;

use std::fs;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bytes::BytesMut;
use clap::{Args, Parser, Subcommand, ValueEnum};
use facts::Loaded;
use poolscope::explain::{EndpointView, Inventory, ServiceView};
use poolscope::{
    Action, Clients, Cluster, Config, Error, ErrorKind, Membership, MissingFact, NodeView,
    ReplyCause, ResponseHead, Topology,
};
use serde_json::json;
use table::Table;

/// Keeps Service traffic inside a node pool: shows and filters what one node's proxy may see.
///
/// PATH is a recording (a body with NAME.meta.json beside it), a folder of recordings, or what
/// `kubectl get -o json` or `kubectl get --raw` printed; `-` is standard input. SERVICE is
/// namespace/name. Several PATHs may follow one --facts: what names a file or folder is a PATH, and
/// of `filter` the last one is BODY.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Rewrite one response body; a summary goes to standard error.
    Filter(Filter),
    /// Show what the node's proxy may use, Service by Service.
    View(View),
    /// Show where two nodes' views differ, side by side.
    Diff(Diff),
    /// Show every endpoint of a Service, kept or dropped, and why.
    Explain(Explain),
}

#[derive(Args)]
struct Facts {
    /// Where Services, Nodes, pools and endpoints are read from.
    #[arg(long = "facts", value_name = "PATH", required = true)]
    facts: Vec<PathBuf>,
    /// A configuration document; see docs/config.md.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The client, where the configuration says that not every one gets the rewrites.
    #[arg(long, value_name = "NAME")]
    user_agent: Option<String>,
}

#[derive(Args)]
struct Filter {
    /// The node to filter for.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    node: String,
    #[command(flatten)]
    facts: Facts,
    /// The request and the response's head; default: NAME.meta.json beside BODY.
    #[arg(long, value_name = "FILE")]
    meta: Option<PathBuf>,
    /// Push the body in chunks of N bytes.
    #[arg(
        long,
        value_name = "N",
        default_value = "16384",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    chunk: u32,
    /// The body, after further PATHs if there are any; default: standard input.
    #[arg(value_name = "BODY")]
    rest: Vec<PathBuf>,
}

#[derive(Args)]
struct View {
    /// The node whose view to show.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    node: String,
    #[command(flatten)]
    facts: Facts,
    /// How to print.
    #[arg(short, long, default_value = "table")]
    output: Format,
    /// Only these.
    #[arg(value_name = "SERVICE")]
    rest: Vec<String>,
}

#[derive(Args)]
struct Diff {
    /// The two nodes: --node A --node B.
    #[arg(long, required = true, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    node: Vec<String>,
    #[command(flatten)]
    facts: Facts,
    /// How to print.
    #[arg(short, long, default_value = "table")]
    output: Format,
    /// Only these.
    #[arg(value_name = "SERVICE")]
    rest: Vec<String>,
}

#[derive(Args)]
struct Explain {
    /// The node to explain for.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    node: String,
    #[command(flatten)]
    facts: Facts,
    /// How to print.
    #[arg(short, long, default_value = "table")]
    output: Format,
    /// The Services to explain.
    #[arg(value_name = "SERVICE", required = true)]
    rest: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

struct ServiceName {
    namespace: String,
    name: String,
}

/// Takes the arguments after the options apart: what exists is one more PATH, anything else has to
/// be a SERVICE.
fn services_of(rest: &[String], facts: &mut Vec<PathBuf>) -> Vec<ServiceName> {
    let mut services = Vec::new();
    for text in rest {
        match text.split_once('/') {
            _ if Path::new(text).exists() => facts.push(text.into()),
            Some((namespace, name))
                if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
            {
                services
                    .push(ServiceName { namespace: namespace.to_owned(), name: name.to_owned() });
            }
            _ => usage(&format!("{text:?} is neither a file nor namespace/name of a Service")),
        }
    }
    services
}

/// Ends the command as one that was called wrongly.
fn usage(why: &str) -> ! {
    clap::Error::raw(
        clap::error::ErrorKind::ValueValidation,
        format!("{why}\n\nFor more information, try '--help'.\n"),
    )
    .exit()
}

/// Why the work failed: one line that says what, where and what to do.
struct Failure(String);

/// The reader of the output has closed it.
const ENOUGH: &str = "broken pipe";

impl Failure {
    /// The library's error, in the words of the command.
    fn of(path: &Path, head: &ResponseHead, error: &Error) -> Failure {
        let recorded =
            "record it over plain HTTP with Accept-Encoding: identity, as JSON or protobuf";
        let header = |name: &str| {
            let values = head.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
            values.map(|(_, value)| value.as_str()).next().unwrap_or_default()
        };
        let what = match error.kind() {
            ErrorKind::ContentEncoding => {
                format!("the body is compressed ({}): {recorded}", header("content-encoding"))
            }
            ErrorKind::ContentType => {
                format!("Content-Type {:?} cannot be read: {recorded}", header("content-type"))
            }
            ErrorKind::Status => {
                format!("a response with status {} cannot be filtered: {recorded}", head.status)
            }
            _ => error.to_string(),
        };
        Failure::at(path, what)
    }

    fn at(path: &Path, what: impl Into<String>) -> Failure {
        Failure(format!("{}: {}", path.display(), what.into()))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure(ENOUGH.to_owned()),
            _ => Failure(format!("standard output: {error}")),
        }
    }
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Filter(args) => filter(args),
        Command::View(args) => view(args),
        Command::Diff(args) => diff(args),
        Command::Explain(args) => explain(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // `poolscope view ... | head` got what it wanted.
        Err(Failure(why)) if why == ENOUGH => ExitCode::SUCCESS,
        Err(Failure(why)) => {
            // One line, whatever a file's name or content put into it.
            eprintln!("poolscope: {}", why.replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

/// The cluster and what is in it, learned from `--facts`.
fn learn(args: &Facts) -> Result<(Cluster, Inventory, Loaded), Failure> {
    let config = match &args.config {
        None => Config::openyurt(),
        Some(path) => {
            let text =
                fs::read_to_string(path).map_err(|error| Failure::at(path, error.to_string()))?;
            Config::from_json(&text).map_err(|error| Failure::at(path, error.to_string()))?
        }
    };
    let cluster = Cluster::new(config).map_err(|error| Failure(error.to_string()))?;
    if args.facts.iter().filter(|path| *path == Path::new("-")).count() > 1 {
        usage("standard input can be read only once; name it once");
    }
    let mut inventory = Inventory::new();
    let loaded = facts::load(&args.facts, &cluster, &mut inventory)?;
    eprintln!("{}", loaded.summary());
    Ok((cluster, inventory, loaded))
}

/// The view of a node of which enough is known.
fn ready(cluster: &Cluster, node: &str, user_agent: Option<&str>) -> Result<NodeView, Failure> {
    let mut view = cluster.node(node);
    match user_agent {
        Some(agent) => view = view.client(agent),
        None if cluster.config().clients() == Clients::YurtHub => usage(
            "the configuration says `clients`: `yurtHub`; name the client: --user-agent \
             cilium-agent",
        ),
        None => {}
    }
    match view.missing() {
        missing if missing.is_empty() => {
            warn_of_unknown(&view);
            Ok(view)
        }
        missing => Err(not_ready(node, &missing)),
    }
}

/// A name that is mistyped would be answered as if it were true.
fn warn_of_unknown(view: &NodeView) {
    if !view.is_known()
        && view.pool().is_none()
        && view.cluster().config().membership() != &Membership::Off
    {
        eprintln!(
            "warning: no Node {} in the facts; judged as a node in no pool; check --node",
            view.name()
        );
    }
}

fn not_ready(node: &str, missing: &[MissingFact]) -> Failure {
    let missing: Vec<String> = missing.iter().map(MissingFact::to_string).collect();
    let hint =
        "add them with --facts; of a kind without objects only `kubectl get --raw PATH` says so";
    Failure(format!("node {node}: the facts are incomplete: {}; {hint}", missing.join("; ")))
}

fn read_stdin() -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    io::stdin()
        .lock()
        .read_to_end(&mut body)
        .map_err(|error| Failure(format!("standard input: {error}")))?;
    Ok(body)
}

fn filter(mut args: Filter) -> Result<(), Failure> {
    let body_path =
        if args.rest.last().is_some_and(|path| !path.is_dir()) { args.rest.pop() } else { None };
    let body_path = body_path.unwrap_or_else(|| "-".into());
    args.facts.facts.append(&mut args.rest);
    let stdin = body_path == Path::new("-");
    if stdin && args.facts.facts.contains(&body_path) {
        usage("standard input cannot be both the facts and the body; name a file for one of them");
    }
    let (cluster, ..) = learn(&args.facts)?;
    let view = cluster.node(args.node.as_str());
    let body = if stdin { read_stdin()? } else { facts::read(&body_path)? };
    let meta = args.meta.clone().or_else(|| facts::meta_beside(&body_path));
    let (mut request, head) = match meta {
        Some(meta) => facts::read_meta(&meta)?,
        None => facts::guess(&body_path, &body)?,
    };
    if let Some(agent) = &args.facts.user_agent {
        request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("user-agent"));
        request = request.header("User-Agent", agent);
    }
    let mut stdout = io::stdout().lock();
    let before = cluster.counters();
    match view
        .open_stateless(&request, &head)
        .map_err(|error| Failure::of(&body_path, &head, &error))?
    {
        Action::Rewrite(mut stream) => {
            warn_of_unknown(&view);
            let fail = |error: poolscope::Error, given: u64| {
                Failure::at(
                    &body_path,
                    format!("{error}; the {given} bytes written so far are not the whole answer"),
                )
            };
            let mut out = BytesMut::new();
            for chunk in body.chunks(args.chunk as usize) {
                let result = stream.push(chunk, &mut out);
                stdout.write_all(&out)?;
                out.clear();
                result.map_err(|error| fail(error, stream.bytes_out()))?;
            }
            let result = stream.finish(&mut out);
            stdout.write_all(&out)?;
            result.map_err(|error| fail(error, stream.bytes_out()))?;
            stdout.flush()?;
            let judged = cluster.counters().objects > before.objects
                || cluster.counters().services > before.services;
            let did = if judged { "filtered" } else { "passed unchanged" };
            let (name, pool, taken, given) =
                (view.name(), pool_of(&view), stream.bytes_in(), stream.bytes_out());
            let mut summary = format!("{did} for {name} ({pool}): {taken} bytes in, {given} out");
            for ((name, after), (_, before)) in cluster
                .counters()
                .iter()
                .zip(before.iter())
                .filter(|((_, after), (_, before))| after > before)
            {
                summary += &format!(", {name} {}", after - before);
            }
            eprintln!("{summary}");
        }
        Action::Forward => {
            stdout.write_all(&body)?;
            stdout.flush()?;
            let why = "what is rewritten is a GET with status 200 of a kind that a rewrite of the \
                       configuration is about";
            eprintln!(
                "passed untouched for {}: {} {} with status {}: {why}",
                view.name(),
                request.method,
                request.target,
                head.status
            );
        }
        Action::Reply(reply) => {
            return Err(match reply.cause {
                ReplyCause::MissingFacts(missing) => not_ready(&args.node, &missing),
                cause => Failure::at(&body_path, format!("there is no response: {cause:?}")),
            });
        }
    }
    Ok(())
}

fn pool_of(view: &NodeView) -> String {
    if view.cluster().config().membership() == &Membership::NodeLabels {
        return "pools by its labels".to_owned();
    }
    view.pool().map_or("no pool".to_owned(), |pool| format!("pool {pool}"))
}

fn choose(
    inventory: &Inventory,
    view: &NodeView,
    services: &[ServiceName],
) -> Result<Vec<ServiceView>, Failure> {
    if services.is_empty() {
        return Ok(inventory.view(view));
    }
    let find = |service: &ServiceName| {
        let ServiceName { namespace, name } = service;
        let missing = || {
            Failure(format!(
                "no Service {namespace}/{name} in the facts, and no slice that names it; check \
                 the namespace, or add its lists with --facts"
            ))
        };
        inventory.find(view, namespace, name).ok_or_else(missing)
    };
    services.iter().map(find).collect()
}

fn view(mut args: View) -> Result<(), Failure> {
    let services = services_of(&args.rest, &mut args.facts.facts);
    let (cluster, inventory, loaded) = learn(&args.facts)?;
    let node = ready(&cluster, &args.node, args.facts.user_agent.as_deref())?;
    loaded.require_endpoints()?;
    let views = choose(&inventory, &node, &services)?;
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

fn explain(mut args: Explain) -> Result<(), Failure> {
    let services = services_of(&args.rest, &mut args.facts.facts);
    if services.is_empty() {
        usage("name the Services to explain, as namespace/name");
    }
    let (cluster, inventory, loaded) = learn(&args.facts)?;
    let node = ready(&cluster, &args.node, args.facts.user_agent.as_deref())?;
    loaded.require_endpoints()?;
    let views = choose(&inventory, &node, &services)?;
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
            let annotation = cluster.config().dialect().annotation();
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

fn diff(mut args: Diff) -> Result<(), Failure> {
    let services = services_of(&args.rest, &mut args.facts.facts);
    let [left, right] = args.node.as_slice() else {
        // clap cannot say "exactly two" of an option that is given twice.
        usage("two nodes are compared: --node A --node B");
    };
    let (cluster, inventory, loaded) = learn(&args.facts)?;
    let agent = args.facts.user_agent.as_deref();
    let (left, right) = (ready(&cluster, left, agent)?, ready(&cluster, right, agent)?);
    loaded.require_endpoints()?;
    let views = choose(&inventory, &left, &services)?.into_iter();
    let pairs: Vec<(ServiceView, ServiceView)> =
        views.zip(choose(&inventory, &right, &services)?).collect();
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

fn print_json(value: &serde_json::Value, out: &mut dyn Write) -> Result<(), Failure> {
    writeln!(out, "{value:#}")?;
    Ok(())
}
