//! Reading a Service's annotation.

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

    /// The word for it in tables and JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Keys::Unset => "any",
            Keys::Node => "node",
            Keys::Pool => "pool",
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
}
