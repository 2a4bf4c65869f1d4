//! Fetches the facts that a node needs, without I/O.

mod delay;
mod request;
mod source;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use self::delay::Random;
pub use self::request::{FactRequest, FetchId};
use self::source::{Outcome, Source};
use crate::cluster::Need;
use crate::node::NodeView;
use crate::object::FactKind;
use crate::stream::request::ResponseHead;

/// Fetches the facts that a node needs, and keeps them up to date: it says which requests to send
/// to the API server and when, and reads their responses.
///
/// It does no I/O and reads no clock. Call [`FactSync::next`] and do what it returns. Report what
/// comes of each request with [`head`](FactSync::head), [`push`](FactSync::push),
/// [`end`](FactSync::end) and [`broke`](FactSync::broke), then call `next` again; and call it when
/// [`FactStep::Wait`] is over and when [`Cluster::changes`](crate::Cluster::changes) reports a
/// change. Times are measured from any fixed moment, by a clock that never goes back.
///
/// Each kind is listed and watched: as a WatchList (one watch that begins with what there is), or
/// with a list and a watch where the API server has none. A watch that ends resumes where it was;
/// after 410 everything is read anew. A request that fails is repeated after a delay that doubles
/// from 0.2 s to 30 s, shortened by chance to as little as half. A kind that the API server does
/// not serve is asked for in its older API versions. A kind that is not needed any more is no
/// longer fetched.
///
/// When a `FactSync` is dropped the facts stay, and nobody keeps them up to date.
///
/// ```
/// use std::time::Duration;
/// use poolscope::{Cluster, Config, FactStep, FactSync, ResponseHead};
///
/// // A real embedder sends the requests; this one answers that there is nothing.
/// let node = Cluster::new(Config::node_label("zone"))?.node("hz-1");
/// let mut sync = FactSync::new(node.clone(), 7);
/// let now = Duration::ZERO;
/// loop {
///     match sync.next(now) {
///         FactStep::Fetch(request) => {
///             sync.head(request.id, &ResponseHead::ok("application/json"), now);
///             sync.push(
///                 request.id,
///                 br#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9",
///                     "annotations":{"k8s.io/initial-events-end":"true"}}}}"#,
///                 now,
///             );
///         }
///         FactStep::Wait(_) => break,
///         step => println!("{step:?}"),
///     }
/// }
/// assert!(node.missing().is_empty());
/// # Ok::<(), poolscope::Error>(())
/// ```
#[derive(Debug)]
pub struct FactSync {
    node: NodeView,
    sources: BTreeMap<FactKind, Source>,
    /// The kinds that the node's client reads itself.
    left: BTreeSet<FactKind>,
    /// The kinds that are fetched all the same.
    required: BTreeSet<FactKind>,
    /// Steps that `next` returns first.
    steps: VecDeque<FactStep>,
    last_id: u64,
    random: Random,
    /// The cluster's progress when the needs were last compared with the sources; `None`: compare
    /// them.
    seen: Option<u64>,
}

/// A step of a [`FactSync`].
///
/// ```
/// use std::time::Duration;
/// use poolscope::{Cluster, Config, FactStep, FactSync};
///
/// let mut sync = FactSync::new(Cluster::new(Config::openyurt())?.node("hz-1"), 7);
/// while let FactStep::Fetch(request) = sync.next(Duration::ZERO) {
///     sync.broke(request.id, "connection refused", Duration::ZERO);
///     let failed = sync.next(Duration::ZERO);
///     let FactStep::Failed { kind, message, again_in, .. } = failed else { panic!() };
///     println!("{kind}: {message}; again in {again_in:?}");
/// }
/// # Ok::<(), poolscope::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub enum FactStep {
    /// Send this request.
    Fetch(FactRequest),
    /// Drop the response to this request: it stalled, or its facts are not needed any more.
    Cancel(FetchId),
    /// A request failed and will be repeated: for logs and metrics.
    #[non_exhaustive]
    Failed {
        /// The kind that was asked for.
        kind: FactKind,
        /// Request, cause and what to do.
        message: String,
        /// The time until it is repeated.
        again_in: Duration,
    },
    /// An earlier failure of this kind is over: the API server responded with facts, or they are
    /// not needed any more.
    Answered(FactKind),
    /// Nothing to do for this long; `None`: until something comes.
    Wait(Option<Duration>),
}

impl FactSync {
    /// Fetches every kind that `node` needs. The `seed` decides about the random part of the
    /// delays: give each process another one.
    pub fn new(node: NodeView, seed: u64) -> FactSync {
        FactSync {
            node,
            sources: BTreeMap::new(),
            left: BTreeSet::new(),
            required: BTreeSet::new(),
            steps: VecDeque::new(),
            last_id: 0,
            random: Random::new(seed),
            seen: None,
        }
    }

    /// Leaves a kind to the node's client, whose own requests for it pass through
    /// [rewriters](crate::NodeView::open). For [`FactKind::Node`] this is the own Node: if all
    /// Nodes are needed, they are fetched.
    pub fn leave_to_client(&mut self, kind: FactKind) {
        self.left.insert(kind);
        self.seen = None;
    }

    /// Fetches a kind from now on although it was left to the client, if it is needed: because
    /// responses wait for it, and the client reads too little.
    pub fn require(&mut self, kind: FactKind) {
        self.required.insert(kind);
        self.seen = None;
    }

    /// Returns what to do next.
    pub fn next(&mut self, now: Duration) -> FactStep {
        self.follow_needs(now);
        if let Some(step) = self.steps.pop_front() {
            return step;
        }
        let due = self.sources.iter().min_by_key(|(_, source)| source.due());
        let Some((&kind, source)) = due else { return FactStep::Wait(None) };
        if source.due() > now {
            return FactStep::Wait(Some(source.due() - now));
        }
        let fetching = source.fetching();
        let source = self.sources.get_mut(&kind).expect("just found");
        if let Some(stalled) = fetching {
            let outcome = source.silent(now, &mut self.random);
            self.steps.push_back(FactStep::Cancel(stalled));
            self.report(kind, outcome);
            return self.next(now);
        }
        self.last_id += 1;
        FactStep::Fetch(source.request(FetchId(self.last_id), &self.node, now, &mut self.random))
    }

    /// Starts and ends sources as the needs have changed.
    fn follow_needs(&mut self, now: Duration) {
        // Read before the facts, so that no later change is missed.
        let progress = self.node.cluster().progress();
        if self.seen.replace(progress) == Some(progress) {
            return;
        }
        let mut needs = BTreeMap::new();
        for (kind, need) in self.node.needs() {
            let is_left = self.left.contains(&kind)
                && !self.required.contains(&kind)
                && (kind != FactKind::Node || need == Need::Own);
            if need != Need::Nothing && !is_left {
                needs.insert(kind, need);
            }
        }
        let node = &self.node;
        let steps = &mut self.steps;
        self.sources.retain(|&kind, source| {
            let is_needed = needs.get(&kind) == Some(&source.need());
            if !is_needed {
                steps.extend(source.fetching().map(FactStep::Cancel));
                // Nobody keeps these facts up to date: needed again, they are missing.
                node.cluster().invalidate_source(kind);
                steps.push_back(FactStep::Answered(kind));
            }
            is_needed
        });
        for (kind, need) in needs {
            let invalidations = node.cluster().invalidations(kind);
            let source = self
                .sources
                .entry(kind)
                .or_insert_with(|| Source::new(kind, need, invalidations, now));
            steps.extend(source.invalidate(invalidations, now).map(FactStep::Cancel));
        }
    }

    /// Takes the head of a response. Returns `false` if its body is not wanted: drop the response.
    pub fn head(&mut self, id: FetchId, head: &ResponseHead, now: Duration) -> bool {
        self.take(id, |source, node, random| source.head(head, node, now, random))
    }

    /// Takes the next bytes of a body. Returns `false` if the rest is not wanted: drop the
    /// response.
    pub fn push(&mut self, id: FetchId, chunk: &[u8], now: Duration) -> bool {
        self.take(id, |source, _, random| source.push(chunk, now, random))
    }

    /// Takes the regular end of a body.
    pub fn end(&mut self, id: FetchId, now: Duration) {
        self.take(id, |source, _, random| source.end(now, random));
    }

    /// Takes a failure: no response came, or its body broke off. `why` goes into the message.
    pub fn broke(&mut self, id: FetchId, why: &str, now: Duration) {
        self.take(id, |source, _, random| source.broke(why, now, random));
    }

    /// Calls the source whose request has this id. Returns whether it wants more.
    fn take(
        &mut self,
        id: FetchId,
        call: impl FnOnce(&mut Source, &NodeView, &mut Random) -> Outcome,
    ) -> bool {
        let source = self.sources.iter_mut().find(|(_, source)| source.fetching() == Some(id));
        let Some((&kind, source)) = source else { return false };
        let outcome = call(source, &self.node, &mut self.random);
        self.report(kind, outcome)
    }

    /// Tells the embedder what a call came to. Returns whether the source wants more.
    fn report(&mut self, kind: FactKind, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Continue => return true,
            Outcome::Answered => {
                self.steps.push_back(FactStep::Answered(kind));
                return true;
            }
            Outcome::Over => {}
            Outcome::Failed(message, again_in) => {
                self.steps.push_back(FactStep::Failed { kind, message, again_in });
            }
        }
        false
    }
}

#[cfg(test)]
mod tests;
