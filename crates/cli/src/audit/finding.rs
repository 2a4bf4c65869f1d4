//! One finding, and what it is about.

use std::collections::BTreeSet;

use serde::Serialize;

use super::codes::{Code, Level};

/// The pages that explain the codes.
pub(crate) const DOCS: &str = "docs/audit.md";

/// Something that an operator may want to change.
pub(crate) struct Finding {
    pub(crate) code: &'static Code,
    pub(crate) level: Level,
    pub(crate) object: Object,
    /// The pools that it is about; empty for other codes.
    pub(crate) pools: Vec<String>,
    /// The nodes that it is about, where these are counted.
    nodes: BTreeSet<String>,
    pub(crate) message: String,
}

/// The object of a finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Object {
    pub(crate) kind: &'static str,
    /// Empty for cluster-wide objects.
    pub(crate) namespace: String,
    /// Empty if the finding is about several.
    pub(crate) name: String,
}

impl Object {
    pub(crate) fn service(namespace: &str, name: &str) -> Object {
        Object { kind: "Service", namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// A cluster-wide object.
    pub(crate) fn wide(kind: &'static str, name: &str) -> Object {
        Object { kind, namespace: String::new(), name: name.to_owned() }
    }
}

impl std::fmt::Display for Object {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&*self.namespace, &*self.name) {
            ("", "") => write!(out, "{}", self.kind),
            ("", name) => write!(out, "{} {name}", self.kind),
            (namespace, name) => write!(out, "{} {namespace}/{name}", self.kind),
        }
    }
}

impl Finding {
    pub(crate) fn new(code: &'static Code, object: Object, message: String) -> Finding {
        let (pools, nodes) = (Vec::new(), BTreeSet::new());
        Finding { code, level: code.level, object, pools, nodes, message }
    }

    pub(crate) fn in_pools(self, pools: Vec<String>) -> Finding {
        Finding { pools, ..self }
    }

    pub(crate) fn on_nodes(self, nodes: BTreeSet<String>) -> Finding {
        Finding { nodes, ..self }
    }

    /// Returns `true` if the other one is about the same, and about no other pool or node.
    pub(super) fn covers(&self, other: &Finding) -> bool {
        self.code.id == other.code.id
            && self.object == other.object
            && other.pools.iter().all(|pool| self.pools.contains(pool))
            && other.nodes.is_subset(&self.nodes)
    }

    /// Where the code is explained.
    pub(crate) fn docs(&self) -> String {
        format!("{DOCS}#{}", self.code.id.to_lowercase())
    }
}
