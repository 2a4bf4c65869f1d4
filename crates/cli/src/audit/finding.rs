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
    /// Each frontend with each node that lacks it, or pools. They tell whether a finding extends
    /// another one.
    details: BTreeSet<(String, String)>,
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
        let (pools, details) = (Vec::new(), BTreeSet::new());
        Finding { code, level: code.level, object, pools, details, message }
    }

    pub(crate) fn in_pools(self, pools: Vec<String>) -> Finding {
        Finding { pools, ..self }
    }

    pub(crate) fn detailed(self, details: BTreeSet<(String, String)>) -> Finding {
        Finding { details, ..self }
    }

    /// Returns `true` if `other` has the same code and object, and no detail that this one lacks.
    pub(super) fn covers(&self, other: &Finding) -> bool {
        self.code.id == other.code.id
            && self.object == other.object
            && other.details.is_subset(&self.details)
    }

    /// Where the code is explained.
    pub(crate) fn docs(&self) -> String {
        format!("{DOCS}#{}", self.code.id.to_lowercase())
    }
}
