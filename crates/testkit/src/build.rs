//! Random clusters and bodies, written to text and bytes by hand, so that nothing here is shared
//! with the library.

use poolscope::{Cluster, Config, NodeView, ProtobufLists, RequestHead, ResponseHead};
use serde_json::{Value, json};

use crate::Recording;
use crate::oracle::State;
use crate::small::feed;

pub const NODES: [&str; 6] = ["edge-1", "edge-2", "edge-3", "nöde-節", "no\"de\\{[", "😀"];
pub const POOLS: [&str; 4] = ["hz", "sh", "pöol", "ghost"];
pub const NAMESPACES: [&str; 3] = ["shop", "default", "näme"];
pub const SERVICES: [&str; 4] = ["web", "db", "c\\art\"", "gone"];
const KEYS: [&str; 8] = [
    "openyurt.io/nodepool",
    "kubernetes.io/hostname",
    "kubernetes.io/zone",
    "openyurt.io/nodepool",
    "kubernetes.io/hostname",
    "junk",
    "",
    "openyurt.io/nodepool,kubernetes.io/hostname",
];
/// Services that objects belong to; most of them may be known.
const BELONGS: [Option<&str>; 9] = [
    Some("web"),
    Some("web"),
    Some("web"),
    Some("db"),
    Some("db"),
    Some("c\\art\""),
    Some("gone"),
    Some(""),
    None,
];

/// A kind that carries endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Slice,
    Beta,
    Endpoints,
}

/// How objects come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Get,
    Watch,
    List,
}

pub const KINDS: [Kind; 3] = [Kind::Slice, Kind::Beta, Kind::Endpoints];
pub const FORMS: [Form; 3] = [Form::Get, Form::Watch, Form::List];

impl Kind {
    pub fn name(self) -> &'static str {
        if self == Kind::Endpoints { "Endpoints" } else { "EndpointSlice" }
    }

    pub fn api_version(self) -> &'static str {
        match self {
            Kind::Slice => "discovery.k8s.io/v1",
            Kind::Beta => "discovery.k8s.io/v1beta1",
            Kind::Endpoints => "v1",
        }
    }

    /// A response of this kind and form with the given body.
    pub fn recording(self, form: Form, protobuf: bool, body: Vec<u8>) -> Recording {
        let (root, plural) = match self {
            Kind::Slice => ("/apis/discovery.k8s.io/v1", "endpointslices"),
            Kind::Beta => ("/apis/discovery.k8s.io/v1beta1", "endpointslices"),
            Kind::Endpoints => ("/api/v1", "endpoints"),
        };
        let target = match form {
            Form::Get => format!("{root}/namespaces/shop/{plural}/web"),
            Form::Watch => format!("{root}/{plural}?watch=true&resourceVersion=9"),
            Form::List => format!("{root}/{plural}"),
        };
        let (suffix, content_type) = if protobuf {
            ("pb", "application/vnd.kubernetes.protobuf")
        } else {
            ("json", "application/json")
        };
        Recording {
            name: format!("{form:?}.{suffix}"),
            request: RequestHead::get(target),
            head: ResponseHead::ok(content_type),
            body,
        }
    }
}

/// Random choices. They come from a list that proptest makes and shrinks: the shorter it is and the
/// smaller its numbers, the plainer what is built. Looks (white space, escapes, order, members that
/// nobody knows) come from noise, which is seeded by a choice and off where that choice is 0.
pub struct Draw<'a> {
    rest: std::slice::Iter<'a, u16>,
    noise: u64,
}

impl<'a> Draw<'a> {
    pub fn new(choices: &'a [u16]) -> Draw<'a> {
        Draw { rest: choices.iter(), noise: 0 }
    }

    /// A number below `count`.
    pub fn below(&mut self, count: usize) -> usize {
        (usize::from(self.rest.next().copied().unwrap_or(0)) * count) >> 16
    }

    /// True once in `count` times.
    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == count - 1
    }

    pub fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// New noise, or none.
    pub fn rattle(&mut self) {
        self.noise = (self.below(1 << 16) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn noise(&mut self, count: usize) -> usize {
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 7;
        self.noise ^= self.noise << 17;
        (((self.noise >> 32) * count as u64) >> 32) as usize
    }

    /// True once in `count` times, never without noise.
    fn rarely(&mut self, count: usize) -> bool {
        self.noise(count) == count - 1
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            let other = at - self.noise(at + 1);
            items.swap(at, other);
        }
    }
}

/// A random small cluster, seen from one of its nodes: as the library knows it, and as the naive
/// filter does.
#[derive(Debug, Clone)]
pub struct World {
    pub node: &'static str,
    pub state: State,
    pub view: NodeView,
    /// The same with compact protobuf lists.
    pub compact: NodeView,
}

impl World {
    pub fn draw(draw: &mut Draw<'_>) -> World {
        let node = draw.of(&NODES);
        let mut state = State::default();
        let mut config = Config::openyurt();
        let (mut services, mut nodes, mut pools) = (Vec::new(), Vec::new(), Vec::new());
        let version = |at: usize| (at + 1).to_string();
        for namespace in NAMESPACES {
            for name in &SERVICES[..3] {
                let keys = draw.below(KEYS.len() + 2);
                if keys == KEYS.len() + 1 {
                    continue;
                }
                let keys = KEYS.get(keys).map(|&keys| keys.to_owned());
                let annotations = keys
                    .as_ref()
                    .map(|keys| json!({ "openyurt.io/topologyKeys": keys, "other": "x" }));
                let metadata = json!({ "name": name, "namespace": namespace, "annotations": annotations, "resourceVersion": version(services.len()) });
                services.push(json!({ "metadata": metadata }));
                state.services.insert(format!("{namespace}/{name}"), keys);
            }
        }
        // 0: the pools say which nodes they have. 1: the nodes' labels do. 2: nothing does.
        let membership = [0, 0, 0, 0, 1, 2][draw.below(6)];
        let label = match membership {
            1 => {
                config = Config::node_label("zone");
                "zone"
            }
            _ => "apps.openyurt.io/nodepool",
        };
        for (at, name) in NODES.into_iter().enumerate() {
            let pool = draw.of(&["hz", "hz", "sh", "pöol", "ghost", "", "-"]);
            let labels = if pool == "-" { json!({}) } else { json!({ label: pool }) };
            nodes.push(json!({ "metadata": { "name": name, "labels": labels, "resourceVersion": version(at) } }));
            if !matches!(pool, "" | "-") {
                state.labels.insert(name.to_owned(), pool.to_owned());
                if membership == 1 {
                    state.pools.entry(pool.to_owned()).or_default().insert(name.to_owned());
                }
            }
        }
        if membership == 0 {
            for (at, pool) in POOLS[..3].iter().enumerate() {
                if draw.one_in(5) {
                    continue;
                }
                let members: Vec<&str> =
                    NODES.into_iter().chain(["stranger"]).filter(|_| draw.below(5) < 2).collect();
                let status =
                    if members.is_empty() { Value::Null } else { json!({ "nodes": members }) };
                pools.push(json!({ "metadata": { "name": pool, "resourceVersion": version(at) }, "status": status }));
                state
                    .pools
                    .insert((*pool).to_owned(), members.into_iter().map(str::to_owned).collect());
            }
            if draw.one_in(6) {
                let pool = draw.of(&POOLS);
                config.set_pool(Some(pool.to_owned()));
                state.labels.insert(node.to_owned(), pool.to_owned());
            }
        }
        if membership == 2 {
            config = Config::from_json(r#"{"membership":"off"}"#).unwrap();
            state.off = true;
        }
        let view = |config: Config| {
            let cluster = Cluster::new(config).unwrap();
            feed(&cluster, "/api/v1/services", "Service", &services);
            feed(&cluster, "/api/v1/nodes", "Node", &nodes);
            feed(&cluster, "/apis/apps.openyurt.io/v1beta2/nodepools", "NodePool", &pools);
            cluster.node(node)
        };
        let stream = view(config.clone());
        config.set_protobuf_lists(ProtobufLists::Compact);
        World { node, state, view: stream, compact: view(config) }
    }
}

/// Part of a JSON body that knows what may be cut from it.
#[derive(Debug, Clone)]
pub enum Piece {
    Text(String),
    /// One object with its namespace and Service; `judged` unless it is a bookmark's or an error's.
    Object {
        namespace: String,
        service: Option<String>,
        judged: bool,
        pieces: Vec<Piece>,
    },
    /// An array of endpoints, addresses or subsets: what stands before each element, and before the
    /// closing bracket.
    Array {
        elements: Vec<(String, Piece)>,
        tail: String,
    },
    Endpoint {
        node: Option<String>,
        text: String,
    },
    Subset(Vec<Piece>),
}

/// All the text of the pieces.
pub fn text_of(pieces: &[Piece]) -> String {
    let mut out = String::new();
    write(pieces, &mut out);
    out
}

fn write(pieces: &[Piece], out: &mut String) {
    for piece in pieces {
        match piece {
            Piece::Text(text) | Piece::Endpoint { text, .. } => out.push_str(text),
            Piece::Object { pieces, .. } | Piece::Subset(pieces) => write(pieces, out),
            Piece::Array { elements, tail } => {
                out.push('[');
                for (before, element) in elements {
                    out.push_str(before);
                    write(std::slice::from_ref(element), out);
                }
                out.push_str(tail);
                out.push(']');
            }
        }
    }
}

type Members = Vec<(String, Vec<Piece>)>;

/// JSON, written in every way that a strict parser accepts.
impl Draw<'_> {
    /// The pieces of a random body.
    pub fn json(&mut self, kind: Kind, form: Form) -> Vec<Piece> {
        self.rattle();
        match form {
            Form::Get => {
                let mut pieces = vec![self.blank()];
                pieces.push(self.json_object(kind, true, true));
                pieces.push(self.blank());
                pieces
            }
            Form::Watch => {
                let mut pieces = Vec::new();
                for _ in 0..self.below(7) {
                    self.rattle();
                    let event = self.of(&[
                        "ADDED", "MODIFIED", "DELETED", "ADDED", "MODIFIED", "BOOKMARK", "WHATEVER",
                    ]);
                    let object = self.json_object(kind, true, event != "BOOKMARK");
                    let mut members =
                        self.members(&[("type", quote(event)), ("object", String::new())]);
                    for (key, value) in &mut members {
                        if key == "object" {
                            *value = vec![object.clone()];
                        }
                    }
                    pieces.extend(self.object(members));
                    pieces.push(if self.rarely(3) {
                        self.blank()
                    } else {
                        Piece::Text("\n".to_owned())
                    });
                }
                pieces
            }
            Form::List => {
                let (name, api_version) =
                    (quote(&format!("{}List", kind.name())), quote(kind.api_version()));
                let metadata =
                    r#"{"resourceVersion":"77","continue":"","remainingItemCount":3}"#.to_owned();
                let mut members = self.members(&[
                    ("kind", name),
                    ("apiVersion", api_version),
                    ("metadata", metadata),
                ]);
                if self.one_in(12) {
                    let nothing = self.of(&["[]", "null"]).to_owned();
                    members.push(("items".to_owned(), vec![Piece::Text(nothing)]));
                } else {
                    let items = self.json_items(kind);
                    let at = self.noise(members.len() + 1);
                    members.insert(at, ("items".to_owned(), items));
                }
                let mut pieces = vec![self.blank()];
                pieces.extend(self.object(members));
                pieces.push(self.blank());
                pieces
            }
        }
    }

    fn json_items(&mut self, kind: Kind) -> Vec<Piece> {
        let mut pieces = vec![Piece::Text("[".to_owned())];
        for at in 0..self.below(7) {
            self.rattle();
            let comma = if at > 0 { "," } else { "" };
            pieces.extend([self.blank(), Piece::Text(comma.to_owned()), self.blank()]);
            // Items of a list need not say what they are.
            let says = self.one_in(4);
            pieces.push(self.json_object(kind, says, true));
        }
        pieces.extend([self.blank(), Piece::Text("]".to_owned())]);
        pieces
    }

    fn json_object(&mut self, kind: Kind, says: bool, judged: bool) -> Piece {
        let namespace = self.of(&NAMESPACES);
        let service = self.of(&BELONGS);
        let mut labels = vec![("a/b", self.quoted("kubernetes.io/service-name"))];
        let mut metadata =
            vec![("namespace", self.quoted(namespace)), ("resourceVersion", "\"5\"".to_owned())];
        match (kind, service) {
            (Kind::Endpoints, Some(service)) => metadata.push(("name", self.quoted(service))),
            (Kind::Endpoints, None) => {}
            (_, service) => {
                metadata.push(("name", self.quoted("web-x7k2p")));
                labels.extend(
                    service.map(|service| ("kubernetes.io/service-name", self.quoted(service))),
                );
            }
        }
        let unlabelled = kind != Kind::Endpoints && service.is_none();
        let mut labels = self.strings(&labels);
        if self.one_in(8) && !unlabelled {
            self.before(&mut labels, "kubernetes.io/service-name", "\"db\"");
        }
        let mut metadata = self.members(&metadata);
        let labels = self.object(labels);
        if unlabelled && self.rarely(2) {
            let nothing = if self.rarely(2) { "null" } else { "{}" };
            metadata.push(("labels".to_owned(), vec![Piece::Text(nothing.to_owned())]));
            if nothing == "null" && self.rarely(2) {
                self.before(&mut metadata, "labels", "{\"kubernetes.io/service-name\":\"web\"}");
            }
        } else {
            let at = self.noise(metadata.len() + 1);
            metadata.insert(at, ("labels".to_owned(), labels));
        }
        if self.one_in(8) {
            let other = self.of(&["\"default\"", "\"shop\"", "null"]);
            self.before(&mut metadata, "namespace", other);
        }
        if self.one_in(8) && kind == Kind::Endpoints {
            self.before(&mut metadata, "name", "\"db\"");
        }
        let ports = "[{\"name\":\"http\",\"port\":80,\"protocol\":\"TCP\"}]".to_owned();
        let mut members = match kind {
            Kind::Endpoints => self.members(&[]),
            _ => self.members(&[("addressType", "\"IPv4\"".to_owned()), ("ports", ports)]),
        };
        if says || self.rarely(3) {
            for (key, value) in [("kind", kind.name()), ("apiVersion", kind.api_version())] {
                let value = Piece::Text(self.quoted(value));
                members.push((key.to_owned(), vec![value]));
            }
        }
        let metadata = self.object(metadata);
        members.push(("metadata".to_owned(), metadata));
        self.shuffle(&mut members);
        if self.rarely(8) {
            self.before(&mut members, "kind", "\"Junk\"");
        }
        let key = if kind == Kind::Endpoints { "subsets" } else { "endpoints" };
        // Twice is what a decoder reads once, and both are filtered.
        for _ in 0..if self.one_in(10) { 2 } else { 1 } {
            let at = self.noise(members.len() + 1);
            match self.below(14) {
                12 => {}
                13 => members.insert(at, (key.to_owned(), vec![Piece::Text("null".to_owned())])),
                _ => {
                    let elements = if kind == Kind::Endpoints {
                        self.json_subsets()
                    } else {
                        self.json_endpoints(kind)
                    };
                    members.insert(at, (key.to_owned(), vec![elements]));
                }
            }
        }
        let pieces = self.object(members);
        Piece::Object {
            namespace: namespace.to_owned(),
            service: service.map(str::to_owned),
            judged,
            pieces,
        }
    }

    fn json_subsets(&mut self) -> Piece {
        let mut elements = Vec::new();
        for _ in 0..self.below(4) {
            let mut members =
                self.members(&[("ports", "[{\"port\":53,\"protocol\":\"UDP\"}]".to_owned())]);
            for key in ["addresses", "notReadyAddresses"] {
                let at = self.noise(members.len() + 1);
                match self.below(6) {
                    4 => {}
                    5 => members.insert(at, (key.to_owned(), vec![Piece::Text("null".to_owned())])),
                    _ => {
                        let addresses = self.json_endpoints(Kind::Endpoints);
                        members.insert(at, (key.to_owned(), vec![addresses]));
                    }
                }
            }
            elements.push(Piece::Subset(self.object(members)));
        }
        self.array(elements)
    }

    fn json_endpoints(&mut self, kind: Kind) -> Piece {
        let elements = (0..self.below(7)).map(|_| self.json_endpoint(kind)).collect();
        self.array(elements)
    }

    fn json_endpoint(&mut self, kind: Kind) -> Piece {
        let node = self.node();
        let value = match node {
            Some(node) => self.quoted(node),
            None => "null".to_owned(),
        };
        let missing = node.is_none() && self.one_in(2);
        let address = format!("10.0.0.{}", self.noise(250));
        let mut members = match kind {
            Kind::Endpoints => {
                self.members(&[("ip", quote(&address)), ("hostname", "\"h\"".to_owned())])
            }
            _ => {
                let mut members = vec![("addresses", format!("[{}]", quote(&address)))];
                for (key, value) in [
                    ("conditions", "{\"ready\":false,\"serving\":null}"),
                    ("conditions", "{}"),
                    ("hints", "{\"forZones\":[{\"name\":\"z]\"}]}"),
                    ("zone", "\"z{\""),
                    ("targetRef", "{\"kind\":\"Pod\",\"name\":\"p\"}"),
                    ("hostname", "\"h\\\\\""),
                ] {
                    if self.rarely(3) {
                        members.push((key, value.to_owned()));
                    }
                }
                self.members(&members)
            }
        };
        let (key, topology) = match kind {
            Kind::Beta => {
                // Where the node was named later means nothing yet.
                if self.rarely(2) {
                    members.push(("nodeName".to_owned(), vec![Piece::Text(quote("edge-1"))]));
                }
                let mut topology = vec![("kubernetes.io/zone", "\"edge-1\"".to_owned())];
                if !missing && node.is_some() {
                    topology.push(("kubernetes.io/hostname", value));
                }
                let mut topology = self.strings(&topology);
                if self.one_in(8) && !missing {
                    self.before(&mut topology, "kubernetes.io/hostname", "\"edge-1\"");
                }
                let nothing = node.is_none();
                (
                    "topology",
                    if nothing {
                        vec![Piece::Text("null".to_owned())]
                    } else {
                        self.object(topology)
                    },
                )
            }
            _ => {
                if self.rarely(2) {
                    let decoy = "{\"kubernetes.io/hostname\":\"edge-1\"}".to_owned();
                    members.push(("deprecatedTopology".to_owned(), vec![Piece::Text(decoy)]));
                }
                ("nodeName", vec![Piece::Text(value)])
            }
        };
        if !missing {
            let at = self.noise(members.len() + 1);
            members.insert(at, (key.to_owned(), topology));
            if self.one_in(5) {
                let other = match (kind, members[at].1.as_slice()) {
                    (Kind::Beta, [Piece::Text(text)]) if text == "null" => {
                        "{\"kubernetes.io/hostname\":\"edge-1\"}"
                    }
                    (Kind::Beta, _) => "null",
                    _ => self.of(&["\"edge-1\"", "null", "\"\""]),
                };
                self.before(&mut members, key, other);
            }
        }
        let text = text_of(&self.object(members));
        Piece::Endpoint { node: node.map(str::to_owned), text }
    }

    fn node(&mut self) -> Option<&'static str> {
        match self.below(40) {
            0..30 => Some(self.of(&NODES)),
            30..34 => None,
            34..38 => Some("stranger"),
            38 => Some("edge"),
            _ => Some(""),
        }
    }

    /// Puts another value of the same key somewhere before the one that counts.
    fn before(&mut self, members: &mut Members, key: &str, value: &str) {
        if let Some(at) = members.iter().position(|(name, _)| name == key) {
            let at = self.noise(at + 1);
            members.insert(at, (key.to_owned(), vec![Piece::Text(value.to_owned())]));
        }
    }

    /// Members of a map of strings, in any order.
    fn strings(&mut self, known: &[(&str, String)]) -> Members {
        let mut members: Members = known
            .iter()
            .map(|(key, value)| ((*key).to_owned(), vec![Piece::Text(value.clone())]))
            .collect();
        self.shuffle(&mut members);
        members
    }

    /// Members in any order, and members that nobody knows among them.
    fn members(&mut self, known: &[(&str, String)]) -> Members {
        let mut members = self.strings(known);
        for _ in 0..self.noise(5).saturating_sub(2) {
            // Keys are case-sensitive.
            let key = ["NodeName", "x-\\\"]", "Endpoints", "future", "metaData", "ünknown", ""]
                [self.noise(7)];
            let value = self.junk(0);
            members.push((key.to_owned(), vec![Piece::Text(value)]));
        }
        self.shuffle(&mut members);
        members
    }

    fn object(&mut self, members: Members) -> Vec<Piece> {
        let mut pieces = vec![Piece::Text("{".to_owned())];
        for (at, (key, value)) in members.into_iter().enumerate() {
            if at > 0 {
                pieces.extend([self.blank(), Piece::Text(",".to_owned())]);
            }
            pieces.push(self.blank());
            pieces.push(Piece::Text(self.quoted(&key)));
            pieces.extend([self.blank(), Piece::Text(":".to_owned()), self.blank()]);
            pieces.extend(value);
        }
        pieces.extend([self.blank(), Piece::Text("}".to_owned())]);
        pieces
    }

    fn array(&mut self, elements: Vec<Piece>) -> Piece {
        let mut before = String::new();
        let mut placed = Vec::new();
        for element in elements {
            before += self.blank_text();
            placed.push((std::mem::take(&mut before), element));
            before = format!("{},", self.blank_text());
        }
        before.pop();
        Piece::Array { elements: placed, tail: format!("{before}{}", self.blank_text()) }
    }

    fn junk(&mut self, depth: usize) -> String {
        let keys = [
            "nodeName",
            "endpoints",
            "metadata",
            "kind",
            "items",
            "subsets",
            "object",
            "kubernetes.io/service-name",
            "k\"\\",
        ];
        match self.noise(if depth < 4 { 12 } else { 8 }) {
            0 => ["null", "true", "false"][self.noise(3)].to_owned(),
            1 => ["-1.5e3", "0", "1E+2", "123456789012345678901234567890", "-0.0"][self.noise(5)]
                .to_owned(),
            2 => "[]".to_owned(),
            3 => "{}".to_owned(),
            4 | 5 => {
                let texts = [
                    "]}[{\"\\",
                    "\\\\\"",
                    "nodeName",
                    "\0\n\t",
                    "日本\u{2028}😀",
                    "",
                    "\",\"nodeName\":\"edge-1\"",
                    "edge-1",
                ];
                let text = texts[self.noise(texts.len())];
                self.quoted(text)
            }
            6 | 7 => {
                // Scanners work in blocks: runs of quotes, backslashes and brackets at every
                // distance.
                let letters = ['"', '\\', '\\', '{', '}', '[', ']', ',', 'x', 'é'];
                let len = self.noise(90);
                let text: String = (0..len).map(|_| letters[self.noise(letters.len())]).collect();
                self.quoted(&text)
            }
            8 | 9 => {
                let elements =
                    (0..self.noise(4)).map(|_| Piece::Text(self.junk(depth + 1))).collect();
                let array = self.array(elements);
                text_of(&[array])
            }
            _ => {
                let members = (0..self.noise(4)).map(|_| {
                    let key = keys[self.noise(keys.len())].to_owned();
                    (key, vec![Piece::Text(self.junk(depth + 1))])
                });
                let members = members.collect();
                text_of(&self.object(members))
            }
        }
    }

    /// A string with some of its letters escaped.
    fn quoted(&mut self, text: &str) -> String {
        let mut out = String::from("\"");
        for letter in text.chars() {
            if self.rarely(12) {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    out += &if self.rarely(2) {
                        format!("\\u{unit:04X}")
                    } else {
                        format!("\\u{unit:04x}")
                    };
                }
            } else if letter == '/' && self.rarely(3) {
                out += "\\/";
            } else {
                let quoted = quote(letter.encode_utf8(&mut [0; 4]));
                out += &quoted[1..quoted.len() - 1];
            }
        }
        out.push('"');
        out
    }

    fn blank(&mut self) -> Piece {
        Piece::Text(self.blank_text().to_owned())
    }

    fn blank_text(&mut self) -> &'static str {
        ["", "", "", "", " ", "\n", "\r\n\t  "][self.noise(7)]
    }
}

fn quote(text: &str) -> String {
    Value::from(text).to_string()
}

pub fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// One record: tag, length, content.
pub fn record(number: u32, content: impl AsRef<[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    varint(u64::from(number) << 3 | 2, &mut out);
    varint(content.as_ref().len() as u64, &mut out);
    out.extend_from_slice(content.as_ref());
    out
}

/// `k8s\0` and runtime.Unknown around an object.
pub fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let meta = [record(1, api_version), record(2, kind)].concat();
    [b"k8s\0".to_vec(), record(1, meta), record(2, raw), vec![0x1a, 0, 0x22, 0]].concat()
}

/// One frame of a watch.
pub fn frame(event: &[u8]) -> Vec<u8> {
    [&(event.len() as u32).to_be_bytes()[..], event].concat()
}

/// One event of a watch in its frame.
pub fn event(event: &str, enveloped: &[u8]) -> Vec<u8> {
    frame(&[record(1, event), record(2, record(1, enveloped))].concat())
}

/// Protobuf, written in every way that a Kubernetes decoder accepts.
impl Draw<'_> {
    /// A random body.
    pub fn protobuf(&mut self, kind: Kind, form: Form) -> Vec<u8> {
        self.rattle();
        match form {
            Form::Get => {
                let object = self.object_bytes(kind);
                self.enveloped(kind.api_version(), kind.name(), &object, true)
            }
            Form::Watch => {
                let mut body = Vec::new();
                for _ in 0..self.below(7) {
                    self.rattle();
                    let event = self.of(&[
                        "ADDED", "MODIFIED", "DELETED", "ADDED", "MODIFIED", "BOOKMARK", "WHATEVER",
                    ]);
                    let object = self.object_bytes(kind);
                    let enveloped = self.enveloped(kind.api_version(), kind.name(), &object, true);
                    let raw = vec![self.record(1, enveloped)];
                    let raw = self.message(raw);
                    let fields = vec![self.record(1, event), self.record(2, raw)];
                    body.extend(frame(&self.message(fields)));
                }
                body
            }
            Form::List => {
                let metadata = [record(1, ""), record(2, "77"), record(3, "")].concat();
                let mut fields = vec![self.record(1, metadata)];
                for _ in 0..self.below(7) {
                    self.rattle();
                    let item = self.object_bytes(kind);
                    fields.push(self.record(2, item));
                }
                let list = self.message(fields);
                self.enveloped(kind.api_version(), &format!("{}List", kind.name()), &list, false)
            }
        }
    }

    fn enveloped(&mut self, api_version: &str, kind: &str, raw: &[u8], any_order: bool) -> Vec<u8> {
        let meta = vec![self.record(1, api_version), self.record(2, kind)];
        let meta = self.message(meta);
        let mut fields =
            vec![self.record(1, meta), self.record(2, raw), self.record(3, ""), self.record(4, "")];
        if self.rarely(3) {
            fields.truncate(2);
        }
        let mut out = b"k8s\0".to_vec();
        if any_order {
            out.extend(self.message(fields));
        } else {
            // What the items are has to be emitted before them.
            let rest = fields.split_off(1);
            out.extend(fields.remove(0));
            out.extend(self.message(rest));
        }
        out
    }

    fn object_bytes(&mut self, kind: Kind) -> Vec<u8> {
        let mut fields = Vec::new();
        for _ in 0..if self.one_in(8) { 2 } else { 1 } {
            let metadata = self.metadata_bytes(kind);
            fields.push(self.record(1, metadata));
        }
        match kind {
            Kind::Endpoints => {
                for _ in 0..self.below(4) {
                    let mut subset = vec![self.record(3, record(2, "x"))];
                    for number in [1, 2] {
                        for _ in 0..self.below(6).saturating_sub(1) {
                            let address = self.endpoint_bytes(kind);
                            subset.push(self.record(number, address));
                        }
                    }
                    if self.rarely(4) {
                        subset.remove(0);
                    }
                    let subset = self.message(subset);
                    fields.push(self.record(2, subset));
                }
            }
            _ => {
                let few = self.one_in(3);
                for _ in 0..if few { 1 } else { self.below(8) } {
                    let endpoint =
                        if few { self.tiny_endpoint(kind) } else { self.endpoint_bytes(kind) };
                    fields.push(self.record(2, endpoint));
                }
                fields.extend([self.record(3, record(1, "http")), self.record(4, "IPv4")]);
            }
        }
        self.message(fields)
    }

    fn metadata_bytes(&mut self, kind: Kind) -> Vec<u8> {
        let namespace = self.of(&NAMESPACES);
        let service = self.of(&BELONGS);
        let mut fields = vec![self.record(3, namespace), self.record(6, "5"), self.record(8, "")];
        if self.one_in(12) {
            fields.push(self.record(3, "default"));
        }
        let label = vec![self.record(1, "a/b"), self.record(2, "kubernetes.io/service-name")];
        let label = self.message(label);
        fields.push(self.record(11, label));
        match (kind, service) {
            (Kind::Endpoints, Some(service)) => fields.push(self.record(1, service)),
            (_, Some(service)) => {
                fields.push(self.record(1, "web-x7k2p"));
                let entry = self.entry("kubernetes.io/service-name", service);
                fields.push(self.record(11, entry));
                if self.one_in(8) {
                    let entry = self.entry("kubernetes.io/service-name", "db");
                    fields.push(self.record(11, entry));
                }
            }
            (_, None) => {}
        }
        self.message(fields)
    }

    /// An entry of a map, complete or not, its key and value given once or twice.
    fn entry(&mut self, key: &str, value: &str) -> Vec<u8> {
        let mut fields = vec![self.record(1, key), self.record(2, value)];
        match self.below(24) {
            20 => fields.truncate(1),
            21 => fields = vec![self.record(2, value)],
            22 => fields.push(self.record(1, "other")),
            23 => fields.push(self.record(2, "edge-1")),
            _ => {}
        }
        self.message(fields)
    }

    /// A record of very few bytes.
    fn tiny_endpoint(&mut self, kind: Kind) -> Vec<u8> {
        let node = self.of(&[None, None, Some(""), Some("e")]);
        match node {
            None => Vec::new(),
            Some(node) if kind == Kind::Beta => record(5, record(2, node)),
            Some(node) => record(6, node),
        }
    }

    fn endpoint_bytes(&mut self, kind: Kind) -> Vec<u8> {
        if self.one_in(10) {
            return Vec::new();
        }
        let mut fields = vec![self.record(1, "10.0.0.1")];
        // Where one byte more or less of content is one more or less of its length.
        let padding = match self.below(60) {
            57 | 58 => 60 + self.below(80),
            59 => 16_300 + self.below(90),
            _ => 0,
        };
        if padding > 0 {
            fields.push(self.record(30, vec![b'p'; padding]));
        }
        let node = self.node();
        if kind == Kind::Endpoints {
            fields.push(self.record(3, "h"));
            fields.extend(node.map(|node| self.record(4, node)));
            if self.one_in(10) {
                fields.push(self.record(4, "edge-1"));
            }
            return self.message(fields);
        }
        fields.push(self.record(2, [8, 1]));
        // The node is named in one place, and something else in the other.
        let decoy = if self.one_in(4) { Some("edge-1") } else { None };
        let (topology, name) = if kind == Kind::Beta { (node, decoy) } else { (decoy, node) };
        if let Some(node) = topology {
            let entry = self.entry("kubernetes.io/hostname", node);
            fields.push(self.record(5, entry));
        }
        let zone = self.entry("kubernetes.io/zone", "edge-1");
        fields.push(self.record(5, zone));
        fields.extend(name.map(|node| self.record(6, node)));
        if self.one_in(10) {
            fields.push(self.record(6, "edge-1"));
            let entry = self.entry("kubernetes.io/hostname", "edge-2");
            fields.push(self.record(5, entry));
        }
        if self.rarely(2) {
            fields.push(self.record(
                7,
                if kind == Kind::Beta { record(1, record(1, "z")) } else { b"zone".to_vec() },
            ));
        }
        self.message(fields)
    }

    /// Fields in any order, and fields that nobody knows among them.
    fn message(&mut self, mut fields: Vec<Vec<u8>>) -> Vec<u8> {
        for _ in 0..self.noise(5).saturating_sub(2) {
            let number = [30, 150, 2047, 18999, 19000, 19999, (1 << 29) - 1][self.noise(7)];
            let mut field = Vec::new();
            match self.noise(4) {
                0 => {
                    varint(number << 3, &mut field);
                    let shift = self.noise(64);
                    varint(u64::MAX >> shift, &mut field);
                }
                1 => {
                    varint(number << 3 | 1, &mut field);
                    field.extend([0x12; 8]);
                }
                2 => {
                    varint(number << 3 | 5, &mut field);
                    field.extend([0xff; 4]);
                }
                _ => {
                    let content =
                        (0..self.noise(12)).map(|_| self.noise(256) as u8).collect::<Vec<_>>();
                    field = self.record(number as u32, content);
                }
            }
            fields.push(field);
        }
        self.shuffle(&mut fields);
        fields.concat()
    }

    /// A record whose tag and length are now and then written longer than they need be.
    fn record(&mut self, number: u32, content: impl AsRef<[u8]>) -> Vec<u8> {
        let content = content.as_ref();
        let mut out = Vec::new();
        for value in [u64::from(number) << 3 | 2, content.len() as u64] {
            varint(value, &mut out);
            if self.rarely(25) {
                let wider = 1 + self.noise(3);
                *out.last_mut().unwrap() |= 0x80;
                out.extend(std::iter::repeat_n(0x80, wider - 1));
                out.push(0);
            }
        }
        out.extend_from_slice(content);
        out
    }
}
