//! The recorded cluster, and how a fuzzed body is looked at in it.

use std::sync::LazyLock;

use bytes::BytesMut;
use poolscope::{
    Action, BodyRewriter, Cluster, Config, Error, ErrorKind, NodeView, RequestHead, ResponseHead,
};

use serde_json::json;

use crate::build::KINDS;
pub use crate::build::{Form, Kind};
use crate::oracle::State;
use crate::random_chunks;
use crate::small::feed;

/// In the order in which an input counts them.
pub const FORMS: [Form; 3] = [Form::Get, Form::List, Form::Watch];

/// Whether an input was good enough to be compared with what a decoder finds in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    Compared,
    Refused,
}

const NODES: [&str; 4] = ["hz-edge-1", "sh-edge-2", "cloud-master-0", "nobody"];
const CONFIGS: [&str; 4] = [
    "{}",
    r#"{"protobufLists":"compact"}"#,
    r#"{"topologyFallback":true,"protobufLists":"compact"}"#,
    r#"{"limits":{"frameBytes":1500,"itemBytes":1200,"listBytes":4000,"endpoints":4,"depth":9}}"#,
];

macro_rules! recorded {
    ($name:literal) => {
        include_bytes!(concat!("../../../../tests/data/recorded/list/", $name, "-json.json"))
    };
}

/// The facts of the recorded cluster, for the library and for the naive filter.
struct World {
    state: State,
    views: Vec<NodeView>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let state = State::of([
        &recorded!("services")[..],
        &recorded!("nodes")[..],
        &recorded!("nodepools")[..],
    ]);
    let views = CONFIGS.iter().flat_map(|config| {
        let cluster = Cluster::new(Config::from_json(config).unwrap()).unwrap();
        provide_facts(&cluster, &state);
        NODES.map(|node| cluster.node(node))
    });
    World { views: views.collect(), state }
});

/// Reads facts into a cluster, in as few words as narrow limits ask for.
fn provide_facts(cluster: &Cluster, state: &State) {
    let services = state.services.iter().map(|(key, keys)| {
        let (namespace, name) = key.split_once('/').unwrap();
        json!({
            "metadata": {
                "namespace": namespace,
                "name": name,
                "annotations": {"openyurt.io/topologyKeys": keys},
            },
        })
    });
    let nodes = state.labels.iter().map(|(node, pool)| {
        json!({
            "metadata": {"name": node, "labels": {"apps.openyurt.io/nodepool": pool}},
        })
    });
    let pools = state
        .pools
        .iter()
        .map(|(pool, nodes)| json!({"metadata": {"name": pool}, "status": {"nodes": nodes}}));
    feed(cluster, "/api/v1/services", "Service", &services.collect::<Vec<_>>());
    feed(cluster, "/api/v1/nodes", "Node", &nodes.collect::<Vec<_>>());
    feed(
        cluster,
        "/apis/apps.openyurt.io/v1beta2/nodepools",
        "NodePool",
        &pools.collect::<Vec<_>>(),
    );
}

/// A fuzzed body, and how it is looked at: the first byte says by which node, under which
/// configuration and as which kind, the second how it is cut into chunks.
pub struct Case<'a> {
    pub kind: Kind,
    pub form: Form,
    pub body: &'a [u8],
    node: &'static str,
    view: &'static NodeView,
    seed: u8,
    request: RequestHead,
    head: ResponseHead,
}

impl<'a> Case<'a> {
    pub fn of(form: Form, content_type: &str, input: &'a [u8]) -> Option<Case<'a>> {
        let (&[how, seed], body) = input.split_first_chunk()?;
        let how = usize::from(how);
        let kind = KINDS[how / NODES.len() % KINDS.len()];
        let (root, plural) = match kind {
            Kind::Slice => ("/apis/discovery.k8s.io/v1", "endpointslices"),
            Kind::Beta => ("/apis/discovery.k8s.io/v1beta1", "endpointslices"),
            Kind::Endpoints => ("/api/v1", "endpoints"),
        };
        let target = match form {
            Form::Get => format!("{root}/namespaces/shop/{plural}/cart"),
            Form::List => format!("{root}/{plural}"),
            Form::Watch => format!("{root}/{plural}?watch=true&resourceVersion=9"),
        };
        let at =
            how % NODES.len() + how / (KINDS.len() * NODES.len()) % CONFIGS.len() * NODES.len();
        let (request, head) = (RequestHead::get(target), ResponseHead::ok(content_type));
        Some(Case {
            kind,
            form,
            body,
            node: NODES[how % NODES.len()],
            view: &WORLD.views[at],
            seed,
            request,
            head,
        })
    }

    /// Whether the node may use an endpoint on `on`.
    pub fn keeps(&self, namespace: &str, service: Option<&str>, on: Option<&str>) -> bool {
        WORLD.state.keeps(self.node, namespace, service, on)
    }

    /// The output of the body, however it is split.
    pub fn filtered(&self) -> Result<Vec<u8>, Error> {
        filtered(self.body, self.seed, || self.view.open_stateless(&self.request, &self.head))
    }
}

/// The output of a body, however it is split; filtering the output again changes nothing.
pub fn filtered(
    body: &[u8],
    seed: u8,
    open: impl Fn() -> Result<Action, Error>,
) -> Result<Vec<u8>, Error> {
    let pass = |body: &[u8], sizes: &mut dyn Iterator<Item = usize>| match open() {
        Ok(Action::Rewrite(stream)) => run(stream, body, sizes),
        other => panic!("{other:?}"),
    };
    let whole = pass(body, &mut std::iter::repeat(usize::MAX));
    let chunked = pass(body, &mut random_chunks(seed.into(), if seed == 0 { 1 } else { 40 }));
    assert_eq!(whole.1, chunked.1, "chunks make a difference to the error");
    assert!(
        whole.0 == chunked.0,
        "chunks make a difference:\n{}\n{}",
        show(&whole.0),
        show(&chunked.0)
    );
    whole.1?;
    let twice = pass(&whole.0, &mut std::iter::repeat(usize::MAX));
    assert_eq!(twice.1, Ok(()), "what was filtered is refused:\n{}", show(&whole.0));
    assert!(
        twice.0 == whole.0,
        "filtering twice is different:\n{}\n{}",
        show(&whole.0),
        show(&twice.0)
    );
    Ok(whole.0)
}

/// The output of a body in chunks of these sizes, until an error.
pub fn run(
    mut stream: BodyRewriter,
    body: &[u8],
    mut sizes: impl Iterator<Item = usize>,
) -> (Vec<u8>, Result<(), Error>) {
    let mut out = BytesMut::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (chunk, after) =
            rest.split_at(sizes.next().expect("sizes do not end").clamp(1, rest.len()));
        if let Err(error) = stream.push(chunk, &mut out) {
            assert!(
                stream.push(chunk, &mut out).is_err_and(|error| error.kind() == ErrorKind::Closed),
                "an error closes the stream"
            );
            return (out.to_vec(), Err(error));
        }
        rest = after;
    }
    let result = stream.finish(&mut out);
    if result.is_ok() {
        assert_eq!((stream.bytes_in(), stream.bytes_out()), (body.len() as u64, out.len() as u64));
    }
    (out.to_vec(), result)
}

pub fn show(body: &[u8]) -> String {
    std::str::from_utf8(body)
        .map_or_else(|_| body.iter().map(|byte| format!("{byte:02x}")).collect(), str::to_owned)
}

/// Whether an error is about a bound of the configuration.
pub fn is_limit(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::TooLarge | ErrorKind::TooMany | ErrorKind::TooDeep)
}
