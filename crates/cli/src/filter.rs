//! `poolscope filter`: rewrites one response body.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use clap::Args;
use poolscope::{Action, ReplyCause};

use crate::failure::{Failure, usage};
use crate::source::{self, Snapshot, Source, not_ready, pool_of, read_stdin, warn_of_unknown};

/// Uses of the verb, printed after its options.
const EXAMPLES: &str = "\
Examples:
  # Filter a recorded response as cilium-agent on the node would get it
  poolscope filter --node hz-edge-1 --facts lists --user-agent cilium-agent list.json
  # Filter what the API server answers now
  kubectl get --raw /apis/discovery.k8s.io/v1/endpointslices |
    poolscope filter --node hz-edge-1 --facts lists -";

/// The options of `poolscope filter`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Filter {
    /// The node to filter for.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    node: String,
    #[command(flatten)]
    source: Source,
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

/// Runs `poolscope filter`.
pub(crate) fn filter(mut args: Filter) -> Result<(), Failure> {
    let body_path =
        if args.rest.last().is_some_and(|path| !path.is_dir()) { args.rest.pop() } else { None };
    let body_path = body_path.unwrap_or_else(|| "-".into());
    args.source.facts.append(&mut args.rest);
    let stdin = body_path == Path::new("-");
    if stdin && args.source.facts.contains(&body_path) {
        usage("standard input cannot be both the facts and the body; name a file for one of them");
    }
    let Snapshot { cluster, .. } = args.source.read()?;
    let view = cluster.node(args.node.as_str());
    let body = if stdin { read_stdin()? } else { source::read(&body_path)? };
    let meta = args.meta.clone().or_else(|| source::meta_beside(&body_path));
    let (mut request, head) = match meta {
        Some(meta) => source::read_meta(&meta)?,
        None => source::guess(&body_path, &body)?,
    };
    if let Some(agent) = &args.source.user_agent {
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
