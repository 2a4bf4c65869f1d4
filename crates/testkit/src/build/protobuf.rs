//! Random protobuf bodies.

use super::*;

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
            // The kind of the items has to precede them.
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
