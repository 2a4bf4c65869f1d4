//! Recordings of a real API server, and how tests push them through streams.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use poolscope::{Action, BodyRewriter, Cluster, Config, NodeView, RequestHead, ResponseHead};
use serde::Deserialize;

pub const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data");

/// Every node of the recorded cluster, the one that comes and goes, and one that never was.
pub const NODES: [&str; 15] = [
    "hz-edge-1",
    "hz-edge-2",
    "hz-edge-3",
    "hz-edge-4",
    "sh-edge-1",
    "sh-edge-2",
    "sh-edge-3",
    "sh-edge-4",
    "bj-edge-1",
    "bj-edge-2",
    "bj-edge-3",
    "bj-edge-4",
    "cloud-master-0",
    "hz-edge-9",
    "nobody",
];

/// One response of the API server with the request it answers.
#[derive(Debug, Clone)]
pub struct Recording {
    pub name: String,
    pub request: RequestHead,
    pub head: ResponseHead,
    pub body: Vec<u8>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    method: String,
    path: String,
    #[serde(default)]
    request_headers: BTreeMap<String, String>,
    status: u16,
    #[serde(default)]
    response_headers: BTreeMap<String, Vec<String>>,
}

impl Recording {
    /// `name` as in `list/endpointslices-json.json`.
    pub fn load(name: &str) -> Recording {
        let body = Path::new(DATA).join("recorded").join(name);
        let file = body.file_name().unwrap().to_str().unwrap();
        let stem = file.strip_suffix(".gz").unwrap_or(file);
        let stem = stem.rsplit_once('.').unwrap().0;
        let meta = fs::read_to_string(body.with_file_name(format!("{stem}.meta.json"))).unwrap();
        let meta: Meta = serde_json::from_str(&meta).unwrap();
        let mut request = RequestHead::new(meta.method, meta.path);
        for (key, value) in meta.request_headers {
            request = request.header(key, value);
        }
        let mut head = ResponseHead::new(meta.status);
        for (key, values) in meta.response_headers {
            for value in values {
                head = head.header(key.clone(), value);
            }
        }
        Recording { name: name.to_owned(), request, head, body: fs::read(&body).unwrap() }
    }

    /// All recordings of a folder, sorted by name.
    pub fn folder(name: &str) -> Vec<Recording> {
        let folder = Path::new(DATA).join("recorded").join(name);
        let mut files: Vec<PathBuf> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .collect();
        files.sort();
        let names = files.iter().map(|path| path.file_name().unwrap().to_str().unwrap());
        names
            .filter(|file| !file.ends_with(".meta.json"))
            .map(|file| Recording::load(&format!("{name}/{file}")))
            .collect()
    }

    /// All recordings.
    pub fn all() -> Vec<Recording> {
        let folders = [
            "list",
            "get",
            "after",
            "watch",
            "watchlist",
            "resume",
            "expired",
            "error",
            "nocache",
            "cbor",
            "v1.37/watch",
            "v1.37/watchlist",
        ];
        folders.iter().flat_map(|folder| Recording::folder(folder)).collect()
    }

    pub fn is_protobuf(&self) -> bool {
        self.name.ends_with(".pb")
    }

    pub fn is_watch(&self) -> bool {
        self.request.target.contains("watch=true") || self.request.target.contains("watch=1")
    }

    pub fn read_facts(&self, cluster: &Cluster) {
        let mut feed = cluster.read_facts(&self.request, &self.head).unwrap();
        feed.push(&self.body).unwrap();
        feed.finish().unwrap();
    }

    /// The stream for this response.
    pub fn open(&self, node: &NodeView) -> BodyRewriter {
        match node.open_stateless(&self.request, &self.head) {
            Ok(Action::Rewrite(stream)) => stream,
            Ok(Action::Forward) => panic!("{}: passed through", self.name),
            Ok(Action::Reply(reply)) => panic!("{}: {:?}", self.name, reply.cause),
            Err(error) => panic!("{}: {error}", self.name),
        }
    }

    /// The response as `node` gets it.
    pub fn filter(&self, node: &NodeView) -> Vec<u8> {
        run(self.open(node), &self.body, [self.body.len().max(1)].into_iter().cycle())
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}

/// Pushes `body` in chunks of the given sizes.
pub fn run(
    mut stream: BodyRewriter,
    body: &[u8],
    mut chunks: impl Iterator<Item = usize>,
) -> poolscope::Result<Vec<u8>> {
    let mut out = BytesMut::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(chunks.next().unwrap().clamp(1, rest.len()));
        stream.push(chunk, &mut out)?;
        rest = after;
    }
    stream.finish(&mut out)?;
    assert_eq!((stream.bytes_in(), stream.bytes_out()), (body.len() as u64, out.len() as u64));
    Ok(out.to_vec())
}

/// Sizes of chunks, up to `max`, that depend on nothing but `seed`.
pub fn random_chunks(seed: u64, max: usize) -> impl Iterator<Item = usize> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        1 + (state >> 11) as usize % max
    })
}

/// The kinds whose recorded lists are facts.
pub const FACTS: [&str; 5] = ["services", "nodes", "nodepools", "nodebuckets", "ciliumnodes"];

/// The recorded cluster in its first (`list`) or last (`after`) state.
pub fn cluster(folder: &str) -> Cluster {
    cluster_with(folder, Config::openyurt())
}

pub fn cluster_with(folder: &str, config: Config) -> Cluster {
    let cluster = Cluster::new(config).unwrap();
    for kind in FACTS {
        Recording::load(&format!("{folder}/{kind}-json.json")).read_facts(&cluster);
    }
    cluster
}

/// The inputs of one fuzz target that once failed, by the names of
/// their files.
pub fn found(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/found").join(target);
    let files = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> =
        files.map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect();
    found.sort();
    found
}
