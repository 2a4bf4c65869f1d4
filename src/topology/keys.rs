//! Reading a Service's annotation.

use std::sync::Arc;

use super::ladder::{Ladder, Rung};

/// Whose annotations are read; `docs/dialects.md` has every rule of each.
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
    /// `poolscope.io/topology`: `node`, `pool`, or a ladder of these and `*`.
    Poolscope,
}

impl Dialect {
    pub(crate) const ALL: [Dialect; 4] =
        [Dialect::OpenYurt, Dialect::KubeEdge, Dialect::SuperEdge, Dialect::Poolscope];

    /// The annotation that says what a Service asks for.
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
    /// `ladders`: several keys may stand in order, separated by commas. A word that is not
    /// known can be met by no endpoint and is stepped over.
    pub(crate) fn read(self, value: &str, ladders: bool) -> Keys {
        if self == Dialect::SuperEdge {
            return superedge(value);
        }
        let rung = |word: &str| match (word.trim(), self.word(word.trim())) {
            ("*", _) => Some(Rung::Any),
            (_, Keys::Node) => Some(Rung::Node),
            (_, Keys::Pool | Keys::PoolAndOwn) => Some(Rung::Pool),
            _ => None,
        };
        match ladders && value.contains(',') {
            false => self.word(value),
            true => Ladder::of(value.split(',').filter_map(rung)).map_or(Keys::Unset, Keys::Ladder),
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
    Ladder(Ladder),
}

impl Keys {
    /// Whether the own pool has a say in what an object of such a Service shows.
    pub(crate) fn asks_for_pool(&self) -> bool {
        match self {
            Keys::Unset | Keys::Node => false,
            Keys::Pool | Keys::PoolAndOwn | Keys::Labels(_) => true,
            Keys::Ladder(ladder) => ladder.rungs().contains(&Rung::Pool),
        }
    }

    /// The word for it in tables and JSON.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Keys::Unset => "any",
            Keys::Node => "node",
            Keys::Pool | Keys::PoolAndOwn => "pool",
            Keys::Labels(_) => "labels",
            Keys::Ladder(_) => "ladder",
        }
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
        let ladder = ordered("kubernetes.io/hostname,*");
        let words =
            [Keys::Unset, Keys::Node, Keys::Pool, Keys::PoolAndOwn, labels(&["zone"]), ladder]
                .map(|keys| keys.word());
        assert_eq!(words, ["any", "node", "pool", "pool", "labels", "ladder"]);
    }

    #[test]
    fn several_keys_are_a_ladder_of_those_that_are_known() {
        let ladder = |rungs: &[Rung]| Keys::Ladder(Ladder::of(rungs.iter().copied()).unwrap());
        assert_eq!(
            ordered("kubernetes.io/hostname,openyurt.io/nodepool,*"),
            ladder(&[Rung::Node, Rung::Pool, Rung::Any])
        );
        assert_eq!(ordered("kubernetes.io/zone, *"), ladder(&[Rung::Pool, Rung::Any]));
        assert_eq!(ordered("rack,openyurt.io/nodepool"), ladder(&[Rung::Pool]));
        assert_eq!(ordered("openyurt.io/nodepool,"), ladder(&[Rung::Pool]));
        assert_eq!(ordered("rack,row"), Keys::Unset);
        assert_eq!(ordered("openyurt.io/nodepool"), Keys::Pool);
        assert_eq!(ordered("*"), Keys::Unset);
        assert_eq!(
            Poolscope.read("node, pool, *", true),
            ladder(&[Rung::Node, Rung::Pool, Rung::Any])
        );
        assert!(
            !ordered("kubernetes.io/hostname,*").asks_for_pool()
                && ordered("kubernetes.io/zone,*").asks_for_pool()
        );
        assert!(labels(&["zone"]).asks_for_pool() && Keys::PoolAndOwn.asks_for_pool());
    }
}
