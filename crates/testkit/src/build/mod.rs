//! Random clusters and bodies, written to text and bytes by hand, so that nothing here is shared
//! with the library.

mod json;
mod protobuf;
mod world;

use poolscope::{Cluster, Config, NodeView, ProtobufLists, RequestHead, ResponseHead};
use serde_json::{Value, json};

pub use self::json::{Piece, text_of};
pub use self::protobuf::{envelope, event, frame, record, varint};
pub use self::world::World;
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
