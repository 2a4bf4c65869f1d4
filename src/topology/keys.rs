//! Reading a Service's annotation.

use std::sync::Arc;

use super::fallback::{Fallback, Step};

/// Whose annotations are read; `docs/dialects.md` has every rule of each.
///
/// ```
/// use poolscope::{Config, Dialect};
///
/// assert_eq!(Config::kubeedge().dialect(), Dialect::KubeEdge);
/// assert_eq!(Dialect::KubeEdge.annotation(), "apps.kubeedge.io/service-topology");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Dialect {
    /// `openyurt.io/topologyKeys`: one of `kubernetes.io/hostname`, `openyurt.io/nodepool`,
    /// `kubernetes.io/zone`.
    #[default]
    OpenYurt,
    /// `apps.kubeedge.io/service-topology: range-nodegroup`.
    KubeEdge,
    /// `topologyKeys`: a JSON array of keys of node labels, any of which may be shared.
    SuperEdge,
    /// `poolscope.io/topology`: `node`, `pool`, or a topology fallback of these and `*`.
    Poolscope,
}

impl Dialect {
    pub(crate) const ALL: [Dialect; 4] =
        [Dialect::OpenYurt, Dialect::KubeEdge, Dialect::SuperEdge, Dialect::Poolscope];

    /// Returns the annotation that has the topology keys of a Service.
    pub const fn annotation(self) -> &'static str {
        match self {
            Dialect::OpenYurt => "openyurt.io/topologyKeys",
            Dialect::KubeEdge => "apps.kubeedge.io/service-topology",
            Dialect::SuperEdge => "topologyKeys",
            Dialect::Poolscope => "poolscope.io/topology",
        }
    }

    /// The name in the configuration.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Dialect::OpenYurt => "openyurt",
            Dialect::KubeEdge => "kubeedge",
            Dialect::SuperEdge => "superedge",
            Dialect::Poolscope => "poolscope",
        }
    }

    /// The value of the annotation, an exact string; any other value asks for nothing (O2, K1, S1).
    /// `topology_fallback`: several keys may stand in order, separated by commas. A word that is
    /// not known can be met by no endpoint and is stepped over.
    pub(crate) fn read(self, value: &str, topology_fallback: bool) -> Keys {
        if self == Dialect::SuperEdge {
            return superedge(value);
        }
        let step = |word: &str| match (word.trim(), self.word(word.trim())) {
            ("*", _) => Some(Step::Any),
            (_, Keys::Node) => Some(Step::Node),
            (_, Keys::Pool | Keys::PoolAndOwn) => Some(Step::Pool),
            _ => None,
        };
        match topology_fallback && value.contains(',') {
            false => self.word(value),
            true => {
                Fallback::of(value.split(',').filter_map(step)).map_or(Keys::Unset, Keys::Fallback)
            }
        }
    }

    /// One word.
    fn word(self, word: &str) -> Keys {
        match (self, word) {
            (Dialect::OpenYurt, HOSTNAME) | (Dialect::Poolscope, "node") => Keys::Node,
            // A zone was a pool when the annotation was made.
            (Dialect::OpenYurt, "openyurt.io/nodepool" | "kubernetes.io/zone") => Keys::Pool,
            (Dialect::KubeEdge, "range-nodegroup") | (Dialect::Poolscope, "pool") => {
                Keys::PoolAndOwn
            }
            _ => Keys::Unset,
        }
    }
}

/// The node label whose value is the node itself.
const HOSTNAME: &str = "kubernetes.io/hostname";

/// A JSON array of label keys. Several are alternatives (S9); `*` among them is everything (S10).
/// The node itself is always in (S5), so its own label is met by nothing else.
fn superedge(value: &str) -> Keys {
    let Ok(keys) = serde_json::from_str::<Vec<String>>(value) else { return Keys::Unset };
    let mut labels: Vec<Box<str>> =
        keys.into_iter().filter(|key| !key.is_empty()).map(String::into_boxed_str).collect();
    labels.sort_unstable();
    labels.dedup();
    if labels.is_empty() || labels.iter().any(|key| &**key == "*") {
        return Keys::Unset;
    }
    labels.retain(|key| &**key != HOSTNAME);
    if labels.is_empty() { Keys::Node } else { Keys::Labels(labels.into()) }
}

/// The topology keys of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Keys {
    /// Nothing: every endpoint may be used.
    #[default]
    Unset,
    /// Only endpoints on the node itself.
    Node,
    /// Only endpoints in the node's own pool.
    Pool,
    /// The own pool, and the node itself whether or not its pool names it (K4).
    PoolAndOwn,
    /// Endpoints on nodes that share the value of one of these labels with the node, and on the
    /// node itself.
    Labels(Arc<[Box<str>]>),
    /// The first of several in their order that has something usable.
    Fallback(Fallback),
}

impl Keys {
    /// Returns `true` if the own pool decides about endpoints of such a Service.
    pub(crate) fn asks_for_pool(&self) -> bool {
        match self {
            Keys::Unset | Keys::Node => false,
            Keys::Pool | Keys::PoolAndOwn | Keys::Labels(_) => true,
            Keys::Fallback(fallback) => fallback.steps().contains(&Step::Pool),
        }
    }

    /// Returns the topology in a word.
    pub(crate) fn topology(&self) -> Topology {
        match self {
            Keys::Unset => Topology::Any,
            Keys::Node => Topology::Node,
            Keys::Pool | Keys::PoolAndOwn => Topology::Pool,
            Keys::Labels(_) => Topology::Labels,
            Keys::Fallback(_) => Topology::Fallback,
        }
    }
}

/// The endpoints that a Service asks for.
///
/// ```
/// assert_eq!(poolscope::Topology::Pool.name(), "pool");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Topology {
    /// All endpoints.
    Any,
    /// Endpoints on the node itself.
    Node,
    /// Endpoints in the node's pool.
    Pool,
    /// Endpoints on nodes that share the value of a label with the node.
    Labels,
    /// The first of several steps that has a usable endpoint.
    Fallback,
}

impl Topology {
    /// Returns the name in tables and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Topology::Any => "any",
            Topology::Node => "node",
            Topology::Pool => "pool",
            Topology::Labels => "labels",
            Topology::Fallback => "fallback",
        }
    }
}

impl std::fmt::Display for Topology {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.pad(self.name())
    }
}

impl serde::Serialize for Topology {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Dialect::{KubeEdge, OpenYurt, Poolscope, SuperEdge};

    fn strict(dialect: Dialect, value: &str) -> Keys {
        dialect.read(value, false)
    }

    fn ordered(value: &str) -> Keys {
        OpenYurt.read(value, true)
    }

    fn labels(keys: &[&str]) -> Keys {
        Keys::Labels(keys.iter().map(|&key| key.into()).collect())
    }

    #[test]
    fn only_the_exact_words_count() {
        assert_eq!(strict(OpenYurt, "kubernetes.io/hostname"), Keys::Node);
        assert_eq!(strict(OpenYurt, "openyurt.io/nodepool"), Keys::Pool);
        assert_eq!(strict(OpenYurt, "kubernetes.io/zone"), Keys::Pool);
        for other in [
            "",
            "*",
            "openyurt.io/nodepool ",
            "Openyurt.io/nodepool",
            "openyurt.io/nodepools",
            "openyurt.io/nodepool,*",
            "pool",
        ] {
            assert_eq!(strict(OpenYurt, other), Keys::Unset, "{other:?}");
        }
        assert_eq!(strict(KubeEdge, "range-nodegroup"), Keys::PoolAndOwn);
        for other in ["", "Range-NodeGroup", "range-nodegroup ", "openyurt.io/nodepool", "pool"] {
            assert_eq!(strict(KubeEdge, other), Keys::Unset, "K1 {other:?}");
        }
        assert_eq!(
            (strict(Poolscope, "node"), strict(Poolscope, "pool")),
            (Keys::Node, Keys::PoolAndOwn)
        );
        assert_eq!(
            (strict(Poolscope, "Pool"), strict(Poolscope, "pool,*"), strict(Poolscope, "*")),
            (Keys::Unset, Keys::Unset, Keys::Unset)
        );
    }

    #[test]
    fn superedge_names_node_labels() {
        assert_eq!(strict(SuperEdge, r#"["zone"]"#), labels(&["zone"]));
        assert_eq!(
            strict(SuperEdge, r#" [ "zone" , "rack", "zone" ] "#),
            labels(&["rack", "zone"]),
            "S9"
        );
        assert_eq!(strict(SuperEdge, r#"["kubernetes.io/hostname"]"#), Keys::Node);
        assert_eq!(strict(SuperEdge, r#"["kubernetes.io/hostname","zone"]"#), labels(&["zone"]));
        for other in ["", "[]", "zone", r#"["zone""#, r#"[1]"#, r#"{"zone":1}"#, r#"[""]"#, "null"]
        {
            assert_eq!(strict(SuperEdge, other), Keys::Unset, "S1 {other:?}");
        }
        for other in [r#"["*"]"#, r#"["zone","*"]"#] {
            assert_eq!(strict(SuperEdge, other), Keys::Unset, "S10 {other:?}");
        }
    }

    #[test]
    fn each_has_a_word() {
        let fallback = ordered("kubernetes.io/hostname,*");
        let words =
            [Keys::Unset, Keys::Node, Keys::Pool, Keys::PoolAndOwn, labels(&["zone"]), fallback]
                .map(|keys| keys.topology().name());
        assert_eq!(words, ["any", "node", "pool", "pool", "labels", "fallback"]);
    }

    #[test]
    fn several_keys_are_a_fallback_of_those_that_are_known() {
        let fallback =
            |steps: &[Step]| Keys::Fallback(Fallback::of(steps.iter().copied()).unwrap());
        assert_eq!(
            ordered("kubernetes.io/hostname,openyurt.io/nodepool,*"),
            fallback(&[Step::Node, Step::Pool, Step::Any])
        );
        assert_eq!(ordered("kubernetes.io/zone, *"), fallback(&[Step::Pool, Step::Any]));
        assert_eq!(ordered("rack,openyurt.io/nodepool"), fallback(&[Step::Pool]));
        assert_eq!(ordered("openyurt.io/nodepool,"), fallback(&[Step::Pool]));
        assert_eq!(ordered("rack,row"), Keys::Unset);
        assert_eq!(ordered("openyurt.io/nodepool"), Keys::Pool);
        assert_eq!(ordered("*"), Keys::Unset);
        assert_eq!(
            Poolscope.read("node, pool, *", true),
            fallback(&[Step::Node, Step::Pool, Step::Any])
        );
        assert!(
            !ordered("kubernetes.io/hostname,*").asks_for_pool()
                && ordered("kubernetes.io/zone,*").asks_for_pool()
        );
        assert!(labels(&["zone"]).asks_for_pool() && Keys::PoolAndOwn.asks_for_pool());
    }
}
