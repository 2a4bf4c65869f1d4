//! A live cluster as a source: its lists are read in pages, and judged as recordings are.

mod connection;
mod exec;
mod lists;
pub(crate) mod pods;
mod progress;
mod refusal;
mod watch;

use poolscope::{Cluster, FactKind};

pub(crate) use self::connection::{Live, LiveOptions};
pub(crate) use self::lists::Kind;
pub(crate) use self::refusal::Refusal;

/// Printed if there is neither a file nor a cluster.
pub(super) const NO_CLUSTER: &str = "no --facts, and no cluster: there is no kubeconfig \
    (KUBECONFIG, ~/.kube/config), and this is no pod; give --facts PATH or --kubeconfig FILE";

/// Returns the kinds that a view of the cluster needs, by the configuration.
pub(crate) fn needed_kinds(cluster: &Cluster) -> Vec<Kind> {
    // Any node will do: an empty cluster lacks every kind that the configuration needs.
    let missing = cluster.missing("-");
    let facts = missing.iter().filter_map(|missing| match missing.kind {
        FactKind::NodePool => Some(Kind::NodePools),
        FactKind::NodeBucket => Some(Kind::NodeBuckets),
        FactKind::CiliumNode => Some(Kind::CiliumNodes),
        FactKind::ConfigMap => Some(Kind::YurtHubConfig),
        _ => None,
    });
    let mut kinds = vec![Kind::Services, Kind::EndpointSlices, Kind::Nodes];
    kinds.extend(facts);
    kinds
}
