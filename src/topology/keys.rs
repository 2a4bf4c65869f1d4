//! Reading a Service's annotation.

use super::ladder::{Ladder, Rung};

/// What a Service asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Keys {
    /// Nothing: every endpoint may be used.
    #[default]
    Unset,
    /// Only endpoints on the node itself.
    Node,
    /// Only endpoints in the node's own pool.
    Pool,
    /// The first of several in their order that has something usable.
    Ladder(Ladder),
}

/// The annotation of OpenYurt.
pub(crate) const OPENYURT_TOPOLOGY_KEYS: &str = "openyurt.io/topologyKeys";

impl Keys {
    /// The value of [`OPENYURT_TOPOLOGY_KEYS`], an exact string; any other value asks for nothing (O2).
    pub(crate) fn openyurt(value: &str) -> Keys {
        match value {
            "kubernetes.io/hostname" => Keys::Node,
            // A zone was a pool when the annotation was made.
            "openyurt.io/nodepool" | "kubernetes.io/zone" => Keys::Pool,
            _ => Keys::Unset,
        }
    }

    /// The same where several keys may stand in order, separated by commas: poolscope's own addition, since OpenYurt takes
    /// such a value as none that it knows. A word that is not known can be met by no endpoint and is stepped over.
    pub(crate) fn ordered(value: &str) -> Keys {
        let rung = |word: &str| match (word.trim(), Keys::openyurt(word.trim())) {
            ("*", _) => Some(Rung::Any),
            (_, Keys::Node) => Some(Rung::Node),
            (_, Keys::Pool) => Some(Rung::Pool),
            _ => None,
        };
        match value.contains(',') {
            false => Keys::openyurt(value),
            true => Ladder::of(value.split(',').filter_map(rung)).map_or(Keys::Unset, Keys::Ladder),
        }
    }

    /// Whether the own pool has a say in what an object of such a Service shows.
    pub(crate) fn asks_for_pool(self) -> bool {
        match self {
            Keys::Unset | Keys::Node => false,
            Keys::Pool => true,
            Keys::Ladder(ladder) => ladder.rungs().contains(&Rung::Pool),
        }
    }

    /// The word for it in tables and JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Keys::Unset => "any",
            Keys::Node => "node",
            Keys::Pool => "pool",
            Keys::Ladder(_) => "ladder",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_words_count() {
        assert_eq!(Keys::openyurt("kubernetes.io/hostname"), Keys::Node);
        assert_eq!(Keys::openyurt("openyurt.io/nodepool"), Keys::Pool);
        assert_eq!(Keys::openyurt("kubernetes.io/zone"), Keys::Pool);
        for other in ["", "*", "openyurt.io/nodepool ", "Openyurt.io/nodepool", "openyurt.io/nodepools", "openyurt.io/nodepool,*"] {
            assert_eq!(Keys::openyurt(other), Keys::Unset, "{other:?}");
        }
    }

    #[test]
    fn each_has_a_word() {
        let ladder = Keys::ordered("kubernetes.io/hostname,*");
        assert_eq!([Keys::Unset, Keys::Node, Keys::Pool, ladder].map(Keys::word), ["any", "node", "pool", "ladder"]);
    }

    #[test]
    fn several_keys_are_a_ladder_of_those_that_are_known() {
        let ladder = |rungs: &[Rung]| Keys::Ladder(Ladder::of(rungs.iter().copied()).unwrap());
        assert_eq!(Keys::ordered("kubernetes.io/hostname,openyurt.io/nodepool,*"), ladder(&[Rung::Node, Rung::Pool, Rung::Any]));
        assert_eq!(Keys::ordered("kubernetes.io/zone, *"), ladder(&[Rung::Pool, Rung::Any]));
        assert_eq!(Keys::ordered("rack,openyurt.io/nodepool"), ladder(&[Rung::Pool]));
        assert_eq!(Keys::ordered("openyurt.io/nodepool,"), ladder(&[Rung::Pool]));
        assert_eq!(Keys::ordered("rack,row"), Keys::Unset);
        assert_eq!(Keys::ordered("openyurt.io/nodepool"), Keys::Pool);
        assert_eq!(Keys::ordered("*"), Keys::Unset);
        assert!(!Keys::ordered("kubernetes.io/hostname,*").asks_for_pool() && Keys::ordered("kubernetes.io/zone,*").asks_for_pool());
    }
}
