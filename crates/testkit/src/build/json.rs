//! Random JSON bodies.

use super::*;

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

pub(super) fn write(pieces: &[Piece], out: &mut String) {
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

pub(super) type Members = Vec<(String, Vec<Piece>)>;

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

    pub(super) fn node(&mut self) -> Option<&'static str> {
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

pub(super) fn quote(text: &str) -> String {
    Value::from(text).to_string()
}
