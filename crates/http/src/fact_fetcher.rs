//! Sends the requests that a `FactSync` wants.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING};
use http::{Request, Response, Uri};
use http_body::Body;
use poolscope::{ChangeListener, FactKind, FactRequest, FactStep, FactSync, FetchId, NodeView};
use tower_service::Service;

use crate::error::BoxError;
use crate::head::readable;
use crate::inflater::Inflater;
use crate::shared_service::SharedService;
use crate::timer::{Sleep, Timer};
use crate::waiting::WaitingList;

/// How long responses lack a kind that is left to the client before it is fetched.
const PATIENCE: Duration = Duration::from_secs(4);

/// Frames of a body that is always ready, after which other tasks run.
const FRAMES: usize = 64;

/// A failure or a recovery of the facts of one kind, for logs and metrics.
///
/// ```
/// use poolscope_http::FactEvent;
///
/// fn log(event: FactEvent) {
///     match event {
///         FactEvent::Failed { kind, message, again_in } => {
///             eprintln!("{kind}: {message}; again in {again_in:?}");
///         }
///         FactEvent::Answered(kind) => eprintln!("{kind}: the API server responded"),
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FactEvent {
    /// A request failed and will be repeated.
    Failed {
        /// The kind that was asked for.
        kind: FactKind,
        /// Request, cause and what to do.
        message: String,
        /// The time until it is repeated.
        again_in: Duration,
    },
    /// The API server responded with facts of this kind: an earlier failure is over.
    Answered(FactKind),
}

/// Fetches the facts that a node needs through an HTTP client service, and keeps them up to date.
///
/// [`RewriteLayer::fetch_facts`](crate::RewriteLayer::fetch_facts) creates one. It lists and
/// watches the kinds that the configuration needs; the page
/// [facts](poolscope::documentation::facts) has its requests. It needs the rights `list` and
/// `watch`.
///
/// ```no_run
/// use kube::Client;
/// use kube::client::Body;
/// use poolscope::{Cluster, Config};
/// use poolscope_http::RewriteLayer;
///
/// # async fn start() -> Result<(), Box<dyn std::error::Error>> {
/// let layer = RewriteLayer::new(Cluster::new(Config::openyurt())?.node("hz-1"), Body::empty);
/// // A plain client, which the layer is not in.
/// let client = Client::try_default().await?;
/// let facts = layer.fetch_facts(tower::service_fn(move |request| {
///     let client = client.clone();
///     async move { client.send(request).await }
/// }));
/// tokio::spawn(facts.on_event(|event| eprintln!("{event:?}")).run());
/// # Ok(())
/// # }
/// ```
pub struct FactFetcher<S, ReqB> {
    node: NodeView,
    service: Arc<SharedService<S>>,
    sync: Arc<Syncing>,
    changes: ChangeListener,
    waiting: Arc<WaitingList>,
    empty: fn() -> ReqB,
    server: Uri,
    left: Vec<FactKind>,
    on_event: Box<dyn FnMut(FactEvent) + Send>,
}

/// The sync and its clock.
struct Syncing {
    timer: Arc<dyn Timer>,
    began: Instant,
    sync: Mutex<FactSync>,
    /// It was called since it was asked what to do.
    is_called: AtomicBool,
}

impl Syncing {
    /// Calls the sync with the time.
    fn with<T>(&self, call: impl FnOnce(&mut FactSync, Duration) -> T) -> T {
        // After a panic of the sync, which has none by design, its state is that of the last call.
        let mut sync = self.sync.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_called.store(true, Ordering::Relaxed);
        call(&mut sync, self.timer.now() - self.began)
    }
}

impl<S, ReqB> FactFetcher<S, ReqB> {
    pub(crate) fn new(
        node: &NodeView,
        service: S,
        empty: fn() -> ReqB,
        timer: Arc<dyn Timer>,
        waiting: Arc<WaitingList>,
    ) -> FactFetcher<S, ReqB> {
        let changes = node.cluster().changes();
        let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), node.name());
        let sync = Mutex::new(FactSync::new(node.clone(), seed));
        FactFetcher {
            node: node.clone(),
            service: Arc::new(SharedService::new(service)),
            sync: Arc::new(Syncing {
                began: timer.now(),
                timer,
                sync,
                is_called: AtomicBool::new(false),
            }),
            changes,
            waiting,
            empty,
            server: Uri::default(),
            left: Vec::new(),
            on_event: Box::new(|_| {}),
        }
    }

    /// Returns this fetcher for a service that needs absolute URIs: `server` is the API server's
    /// address, with a path if it is behind another server. A `kube::Client` adds its own.
    #[must_use]
    pub fn server(mut self, server: Uri) -> FactFetcher<S, ReqB> {
        self.server = server;
        self
    }

    /// Leaves a kind to the client behind the layer; of Nodes the own one. It is fetched only after
    /// responses of the layer have lacked it for four seconds, because the client reads too little
    /// of it.
    #[must_use]
    pub fn leave_to_client(mut self, kind: FactKind) -> FactFetcher<S, ReqB> {
        self.sync.with(|sync, _| sync.leave_to_client(kind));
        self.left.push(kind);
        self
    }

    /// Calls `on_event` with every failure and recovery.
    #[must_use]
    pub fn on_event(
        mut self,
        on_event: impl FnMut(FactEvent) + Send + 'static,
    ) -> FactFetcher<S, ReqB> {
        self.on_event = Box::new(on_event);
        self
    }

    /// Requires kinds that responses have lacked for too long. Returns `true` if there are any.
    fn require(&mut self) -> bool {
        let before = self.left.len();
        let then = self.sync.timer.now().checked_sub(PATIENCE);
        let Some(then) = then.filter(|_| before > 0) else { return false };
        for kind in self.waiting.lacking(&self.node.missing(), then) {
            if let Some(at) = self.left.iter().position(|left| *left == kind) {
                self.left.swap_remove(at);
                self.sync.with(|sync, _| sync.require(kind));
            }
        }
        self.left.len() < before
    }
}

/// One request until its response is over.
struct Fetch {
    id: FetchId,
    response: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<S, ReqB, ResB> FactFetcher<S, ReqB>
where
    S: Service<Request<ReqB>, Response = Response<ResB>> + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    ReqB: Send + 'static,
    ResB: Body<Data = Bytes> + Send + 'static,
    ResB::Error: Into<BoxError>,
{
    /// Fetches facts until the future is dropped, which ends all requests.
    pub async fn run(mut self) -> Infallible {
        let mut fetches: Vec<Fetch> = Vec::new();
        loop {
            match self.sync.with(FactSync::next) {
                FactStep::Fetch(request) => {
                    fetches.push(Fetch { id: request.id, response: self.fetch(&request) });
                }
                FactStep::Cancel(id) => fetches.retain(|fetch| fetch.id != id),
                FactStep::Failed { kind, message, again_in, .. } => {
                    (self.on_event)(FactEvent::Failed { kind, message, again_in });
                }
                FactStep::Answered(kind) => (self.on_event)(FactEvent::Answered(kind)),
                FactStep::Wait(_) if self.require() => {}
                FactStep::Wait(time) => {
                    let look = (!self.left.is_empty()).then_some(PATIENCE / 4);
                    let time = [time, look].into_iter().flatten().min();
                    self.sync.is_called.store(false, Ordering::Relaxed);
                    let mut sleep = time.map(|time| self.sync.timer.sleep(time));
                    poll_fn(|context| self.poll_any(context, &mut fetches, &mut sleep)).await;
                }
                // A later version of the core may want more.
                _ => {}
            }
        }
    }

    /// Ready when the sync has to be asked again: a response moved, facts changed, or time is over.
    fn poll_any(
        &mut self,
        context: &mut Context<'_>,
        fetches: &mut Vec<Fetch>,
        sleep: &mut Option<Sleep>,
    ) -> Poll<()> {
        let before = fetches.len();
        fetches.retain_mut(|fetch| fetch.response.as_mut().poll(context).is_pending());
        let is_over = sleep.as_mut().is_some_and(|sleep| sleep.as_mut().poll(context).is_ready());
        let has_changed = self.changes.poll_changed(context).is_ready();
        let is_called = self.sync.is_called.swap(false, Ordering::Relaxed);
        if is_over || has_changed || is_called || fetches.len() < before {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Sends a request. The future reports its response to the sync.
    fn fetch(&self, request: &FactRequest) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let (id, sync, service) = (request.id, self.sync.clone(), self.service.clone());
        let request = self.uri(&request.target).and_then(|uri| {
            let mut builder = Request::get(uri).header(ACCEPT, request.accept);
            if request.is_watch {
                // A decompressing layer below may read only the first member of a watch.
                builder = builder.header(ACCEPT_ENCODING, "identity");
            }
            builder.body((self.empty)())
        });
        Box::pin(async move {
            let sent = async { service.send(request?).await.map_err(Into::<BoxError>::into) };
            let result = match sent.await {
                Ok(response) => read(&sync, id, response).await,
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                sync.with(|sync, now| sync.broke(id, &chain(&*error), now));
            }
        })
    }

    fn uri(&self, target: &str) -> Result<Uri, http::Error> {
        let mut parts = self.server.clone().into_parts();
        let path = format!("{}{target}", self.server.path().trim_end_matches('/'));
        parts.path_and_query = Some(path.try_into()?);
        Ok(Uri::from_parts(parts)?)
    }
}

/// Returns an error with its causes: an HTTP client's own text may be "client error (Connect)".
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        // Some errors repeat the text of their cause.
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}

/// Lets other tasks run once.
async fn give_way() {
    let mut has_waited = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// Pushes a response into the sync. The error is that of its body.
async fn read<B>(sync: &Syncing, id: FetchId, response: Response<B>) -> Result<(), BoxError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (parts, body) = response.into_parts();
    let (head, is_gzip) = readable(&parts);
    if !sync.with(|sync, now| sync.head(id, &head, now)) {
        return Ok(());
    }
    let mut inflater = is_gzip.then(Inflater::new);
    let mut body = pin!(body);
    let mut frames = 0;
    let next = |context: &mut Context<'_>, body: Pin<&mut B>| {
        body.poll_frame(context)
            .map(|frame| frame.map(|frame| frame.map_err(Into::<BoxError>::into)))
    };
    while let Some(frame) = poll_fn(|context| next(context, body.as_mut())).await {
        frames += 1;
        if frames % FRAMES == 0 {
            give_way().await;
        }
        let Ok(chunk) = frame?.into_data() else { continue };
        let push = |chunk: &Bytes| sync.with(|sync, now| sync.push(id, chunk, now));
        let Some(inflater) = &mut inflater else {
            if push(&chunk) {
                continue;
            }
            return Ok(());
        };
        inflater.feed(chunk);
        while let Some(piece) = inflater.next_piece()? {
            if !push(&piece) {
                return Ok(());
            }
        }
    }
    if let Some(inflater) = &mut inflater {
        inflater.finish()?;
    }
    sync.with(|sync, now| sync.end(id, now));
    Ok(())
}

impl<S, ReqB> fmt::Debug for FactFetcher<S, ReqB> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("FactFetcher")
            .field("server", &self.server)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
