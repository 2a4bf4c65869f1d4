//! Opens the response to a client of a node.

use super::body_rewriter::BodyRewriter;
use super::client_session::ClientSession;
use super::fact_recorder::FactRecorder;
use super::plan::{Passed, Plan};
use super::processor::{Processor, Rewriter};
use super::reply::Reply;
use super::request::{RequestHead, ResponseHead, Verb};
use crate::cluster::Cluster;
use crate::cluster::counters::count;
use crate::config::Clients;
use crate::config::rewrites::component;
use crate::error::Result;
use crate::rewrite::{Rules, rewrites_of};
use crate::wire::encoding::Encoding;

/// How to handle a response.
///
/// ```
/// use poolscope::{Action, Cluster, Config, RequestHead, ResponseHead};
///
/// let node = Cluster::new(Config::openyurt())?.node("hz-1");
/// let request = RequestHead::get("/apis/discovery.k8s.io/v1/endpointslices");
/// match node.open(&request, &ResponseHead::ok("application/json"))? {
///     Action::Forward => println!("send the body as it is"),
///     Action::Rewrite(_) => println!("push the body through the rewriter"),
///     // No facts were read yet: the client gets 503, or 429 to a watch, and retries after a second.
///     Action::Reply(reply) => assert_eq!((reply.status, reply.retry_after), (503, Some(1))),
/// }
/// # Ok::<(), poolscope::Error>(())
/// ```
#[derive(Debug)]
#[must_use]
pub enum Action {
    /// Forward the response unchanged. Nothing in it is rewritten or read as a fact.
    Forward,
    /// Push the body through this rewriter. Drop the response's `Content-Length` and `ETag`.
    Rewrite(BodyRewriter),
    /// Send this reply in place of the response. [`Reply::cause`] gives the reason.
    Reply(Reply),
}

/// Decides how to handle a response to a client of `node`. `agent` is the client's User-Agent if
/// its request has none. `stateless`: keep no client state.
pub(crate) fn open(
    cluster: &Cluster,
    node: &str,
    agent: Option<&str>,
    request: &RequestHead,
    head: &ResponseHead,
    stateless: bool,
) -> Result<Action> {
    let config = cluster.config();
    let counters = cluster.live_counters();
    let (kind, target, facts, encoding) = match Plan::of(request, head, config) {
        Plan::Forward(passed) => {
            match passed {
                Passed::UnknownPath => count(&counters.passed_unknown_path, 1),
                Passed::UnknownVersion => count(&counters.passed_unknown_version, 1),
                Passed::Unrelated => {}
            }
            return Ok(Action::Forward);
        }
        Plan::Reject(error) => return Err(error),
        Plan::ReadFacts { kind, target, encoding } => {
            return Ok(Action::Rewrite(BodyRewriter::of_facts(cluster, kind, &target, encoding)));
        }
        Plan::Rewrite { kind, target, facts, encoding } => (kind, target, facts, encoding),
    };
    let agent = request.values("user-agent").next().or(agent).unwrap_or_default();
    // Where every client gets the same it does not matter who it is.
    let who = (config.clients == Clients::YurtHub).then(|| component(agent));
    let missing = cluster.missing_for(
        node,
        &target.selection,
        rewrites_of(kind),
        Some(who.as_deref().unwrap_or_default()),
    );
    if !missing.is_empty() {
        debug!(target = %request.target, node, ?missing, "reply: facts are missing");
        let encoding = encoding.unwrap_or(Encoding::Json);
        let is_watch = matches!(target.verb, Verb::Watch { .. });
        return Ok(Action::Reply(Reply::missing_facts(missing, is_watch, encoding)));
    }
    let encoding = encoding?;
    let rules = Rules::new(
        cluster.clone(),
        node,
        kind,
        who.unwrap_or_default(),
        target.selection.namespace.as_deref(),
    );
    let session = match ClientSession::open(&rules, encoding, &target, agent.into(), stateless) {
        Ok(session) => session,
        Err(reply) => {
            debug!(target = %request.target, node, "reply: resourceVersion is not known");
            return Ok(Action::Reply(reply));
        }
    };
    let processor = Processor::Rewrite(Box::new(Rewriter::new(
        rules,
        target.verb == Verb::Get,
        facts.map(|kind| FactRecorder::new(cluster.clone(), kind, &target)),
        session,
    )));
    debug!(target = %request.target, node, kind = kind.kind(), "rewrite");
    Ok(Action::Rewrite(BodyRewriter::new(target.verb, encoding, processor, config)))
}
