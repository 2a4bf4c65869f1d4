//! The rewrites by name, and which client gets which.

/// A rule that changes objects.
///
/// ```
/// use poolscope::{Cluster, Config, Rewrite};
///
/// let config: Config = r#"{"rewrites":{"nodePortIsolation":true}}"#.parse()?;
/// let node = Cluster::new(config)?.node("hz-1");
/// assert_eq!(node.rewrites(), [Rewrite::ServiceTopology, Rewrite::NodePortIsolation]);
/// # Ok::<(), poolscope::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Rewrite {
    /// Endpoints outside what their Service asks for are cut out.
    ServiceTopology,
    /// Services with node ports are filtered out from pools that their annotation does not name.
    NodePortIsolation,
    /// Services that are for the cloud alone are filtered out.
    DiscardCloudService,
    /// The Service default/kubernetes leads to an address on the node.
    MasterService,
    /// The slice default/kubernetes leads to an address on the node.
    ForwardKubernetesService,
}

impl Rewrite {
    pub(crate) const ALL: [Rewrite; 5] = [
        Rewrite::ServiceTopology,
        Rewrite::NodePortIsolation,
        Rewrite::DiscardCloudService,
        Rewrite::MasterService,
        Rewrite::ForwardKubernetesService,
    ];

    /// The name in the configuration and in JSON output; never changes.
    pub const fn name(self) -> &'static str {
        match self {
            Rewrite::ServiceTopology => "serviceTopology",
            Rewrite::NodePortIsolation => "nodePortIsolation",
            Rewrite::DiscardCloudService => "discardCloudService",
            Rewrite::MasterService => "masterService",
            Rewrite::ForwardKubernetesService => "forwardKubernetesService",
        }
    }

    /// OpenYurt's filter: its key in the ConfigMap `kube-system/yurt-hub-cfg`.
    pub const fn filter(self) -> &'static str {
        match self {
            Rewrite::ServiceTopology => "servicetopology",
            Rewrite::NodePortIsolation => "nodeportisolation",
            Rewrite::DiscardCloudService => "discardcloudservice",
            Rewrite::MasterService => "masterservice",
            Rewrite::ForwardKubernetesService => "forwardkubesvctraffic",
        }
    }

    /// The components that get the rewrite whatever the ConfigMap names (rule C2).
    pub(crate) const fn default_components(self) -> &'static [&'static str] {
        match self {
            Rewrite::ServiceTopology => &["kube-proxy", "coredns", "nginx-ingress-controller"],
            Rewrite::NodePortIsolation
            | Rewrite::DiscardCloudService
            | Rewrite::ForwardKubernetesService => &["kube-proxy"],
            Rewrite::MasterService => &["kubelet"],
        }
    }
}

/// Some of the rewrites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Rewrites(u8);

impl std::fmt::Display for Rewrite {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.pad(self.name())
    }
}

impl Rewrites {
    pub(crate) const NONE: Rewrites = Rewrites(0);

    pub(crate) fn has(self, rewrite: Rewrite) -> bool {
        self.0 & 1 << rewrite as u8 != 0
    }

    pub(crate) const fn with(self, rewrite: Rewrite) -> Rewrites {
        Rewrites(self.0 | 1 << rewrite as u8)
    }

    pub(crate) const fn and(self, other: Rewrites) -> Rewrites {
        Rewrites(self.0 & other.0)
    }

    pub(crate) const fn or(self, other: Rewrites) -> Rewrites {
        Rewrites(self.0 | other.0)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Rewrite> {
        Rewrite::ALL.into_iter().filter(move |&rewrite| self.has(rewrite))
    }
}

impl FromIterator<Rewrite> for Rewrites {
    fn from_iter<I: IntoIterator<Item = Rewrite>>(rewrites: I) -> Rewrites {
        rewrites.into_iter().fold(Rewrites::default(), Rewrites::with)
    }
}

/// Returns a client's component: its User-Agent up to the first slash, in lower case (C1).
pub(crate) fn component(user_agent: &str) -> String {
    user_agent.split('/').next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_what_stands_before_the_slash() {
        assert_eq!(component("Cilium-Agent/1.17 (linux)"), "cilium-agent");
        assert_eq!(component("cilium-agent linux"), "cilium-agent linux", "as OpenYurt has it");
        assert_eq!((component(""), component("/x")), (String::new(), String::new()));
    }

    #[test]
    fn sets_hold_what_was_put_in() {
        let set: Rewrites =
            [Rewrite::MasterService, Rewrite::ServiceTopology].into_iter().collect();
        assert_eq!(
            set.iter().map(Rewrite::name).collect::<Vec<_>>(),
            ["serviceTopology", "masterService"]
        );
        assert!(
            !set.has(Rewrite::NodePortIsolation)
                && set.and(Rewrites::default().with(Rewrite::DiscardCloudService)).is_empty()
        );
    }

    #[test]
    fn names_never_change() {
        let all = |name: fn(Rewrite) -> &'static str| Rewrite::ALL.map(name).join(" ");
        assert_eq!(
            all(Rewrite::name),
            "serviceTopology nodePortIsolation discardCloudService masterService \
             forwardKubernetesService"
        );
        assert_eq!(
            all(Rewrite::filter),
            "servicetopology nodeportisolation discardcloudservice masterservice \
             forwardkubesvctraffic"
        );
        for rewrite in Rewrite::ALL {
            assert_eq!(serde_json::to_value(rewrite).unwrap(), rewrite.name());
        }
    }
}
