//! One finding, and what it is about.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde::Serialize;

use super::codes::{Code, Level};
use super::survey::{Empty, Place};

/// The pages that explain the codes.
pub(crate) const DOCS: &str = "docs/audit.md";

/// Something that an operator may want to change.
pub(crate) struct Finding {
    pub(crate) code: &'static Code,
    pub(crate) level: Level,
    pub(crate) object: Object,
    /// The pools that it is about; empty for other codes.
    pub(crate) pools: Vec<String>,
    /// The empty frontends that it is about; none for other codes.
    empty: Vec<Rc<Empty>>,
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
        let (pools, empty) = (Vec::new(), Vec::new());
        Finding { code, level: code.level, object, pools, empty, message }
    }

    pub(crate) fn in_pools(self, pools: Vec<String>) -> Finding {
        Finding { pools, ..self }
    }

    /// It is about the empty frontends of these places.
    pub(crate) fn empty_in(self, places: &[&Place]) -> Finding {
        Finding { empty: places.iter().map(|place| Rc::clone(&place.empty)).collect(), ..self }
    }

    /// Returns the empty frontends that it is about; none for other codes.
    pub(super) fn frontends(&self) -> BTreeSet<&str> {
        self.empty.iter().flat_map(|empty| empty.keys()).map(String::as_str).collect()
    }

    /// Returns `true` if `other` has the same code and object, and no pool and no node without a
    /// frontend that this one does not have.
    pub(super) fn covers(&self, other: &Finding) -> bool {
        let has = |lane: &str, node: &str| {
            self.empty.iter().any(|empty| empty.get(lane).is_some_and(|nodes| nodes.contains(node)))
        };
        self.code.id == other.code.id
            && self.object == other.object
            && other.pools.iter().all(|pool| self.pools.contains(pool))
            && other
                .empty
                .iter()
                .flat_map(|empty| empty.iter())
                .all(|(lane, nodes)| nodes.iter().all(|node| has(lane, node)))
    }

    /// Where the code is explained.
    pub(crate) fn docs(&self) -> String {
        format!("{DOCS}#{}", self.code.id.to_lowercase())
    }
}
