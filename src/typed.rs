//! Verdicts on `k8s_openapi` values (feature `k8s-openapi`), for controllers and for tests.

use k8s_openapi::api::core::v1::{EndpointAddress, Endpoints};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use crate::cluster::MissingFact;
use crate::node::NodeView;
use crate::object::outline::SERVICE_NAME_LABEL;
use crate::rewrite::service_topology::count_endpoints;
use crate::topology::Members;
use crate::topology::fallback::{Condition, UsableSteps};
use crate::topology::verdict::View;

impl NodeView {
    /// Removes the endpoints that this node may not use, and returns their number. A slice without
    /// endpoints stays (O11). For a topology fallback this slice alone decides the step that
    /// counts.
    ///
    /// # Errors
    ///
    /// The missing facts; the slice is unchanged then.
    pub fn filter_endpoint_slice(
        &self,
        slice: &mut EndpointSlice,
    ) -> Result<usize, Vec<MissingFact>> {
        let namespace = slice.metadata.namespace.as_deref().unwrap_or_default();
        let service = slice
            .metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(SERVICE_NAME_LABEL))
            .cloned();
        let conditions = |endpoint: &Endpoint| {
            let given = endpoint.conditions.clone().unwrap_or_default();
            Condition::of(given.ready, given.serving, given.terminating)
        };
        let topology_fallback = self.cluster().config().topology_fallback;
        let stands: Vec<_> = slice
            .endpoints
            .iter()
            .filter(|_| topology_fallback)
            .map(|endpoint| (conditions(endpoint), endpoint.node_name.clone()))
            .collect();
        self.settle(
            namespace,
            service.as_deref(),
            |members| self.usable(&stands, members),
            |view, counters| {
                let out = slice
                    .endpoints
                    .take_out(|endpoint: &Endpoint| !keeps(view, endpoint.node_name.as_deref()));
                count_endpoints(counters, view.whole_reason(), slice.endpoints.count(), out);
                out
            },
        )
    }

    /// Removes the addresses that this node may not use from core/v1 Endpoints, and returns their
    /// number. A subset without addresses of either kind is removed; the object stays (O12).
    ///
    /// # Errors
    ///
    /// The missing facts; the object is unchanged then.
    pub fn filter_endpoints(&self, endpoints: &mut Endpoints) -> Result<usize, Vec<MissingFact>> {
        let namespace = endpoints.metadata.namespace.as_deref().unwrap_or_default();
        let service = endpoints.metadata.name.clone();
        let topology_fallback = self.cluster().config().topology_fallback;
        let ready = endpoints
            .subsets
            .iter()
            .flatten()
            .filter(|_| topology_fallback)
            .flat_map(|subset| subset.addresses.iter().flatten());
        let stands: Vec<_> =
            ready.map(|address| (Condition::Ready, address.node_name.clone())).collect();
        self.settle(
            namespace,
            service.as_deref(),
            |members| self.usable(&stands, members),
            |view, counters| {
                let (mut kept, mut out) = (0, 0);
                for subset in endpoints.subsets.iter_mut().flatten() {
                    for addresses in [&mut subset.addresses, &mut subset.not_ready_addresses] {
                        out += addresses.take_out(|address: &EndpointAddress| {
                            !keeps(view, address.node_name.as_deref())
                        });
                        kept += addresses.count();
                    }
                }
                // Where every address passes the object is not touched, not even a subset that
                // never had one.
                if !keeps(view, None)
                    && let Some(subsets) = &mut endpoints.subsets
                {
                    subsets.retain(|subset| {
                        subset.addresses.count() + subset.not_ready_addresses.count() > 0
                    });
                }
                count_endpoints(counters, view.whole_reason(), kept, out);
                out
            },
        )
    }

    /// On which steps these endpoints stand.
    fn usable(
        &self,
        endpoints: &[(Condition, Option<String>)],
        members: Option<&Members>,
    ) -> UsableSteps {
        endpoints.iter().fold(UsableSteps::default(), |usable, (condition, node)| {
            usable
                | UsableSteps::of(
                    *condition,
                    node.as_deref().map(str::as_bytes),
                    self.name().as_bytes(),
                    members,
                )
        })
    }
}

fn keeps(view: &View<'_>, node: Option<&str>) -> bool {
    view.judge(node.map(str::as_bytes)).keeps()
}

/// A list that may be absent. Which lists may be depends on the Kubernetes version that
/// `k8s_openapi` is built for.
trait List<T> {
    /// Takes out what `drops` says yes to; how many that was.
    fn take_out(&mut self, drops: impl Fn(&T) -> bool) -> usize;

    fn count(&self) -> usize;
}

impl<T> List<T> for Vec<T> {
    fn take_out(&mut self, drops: impl Fn(&T) -> bool) -> usize {
        let before = self.len();
        self.retain(|item| !drops(item));
        before - self.len()
    }

    fn count(&self) -> usize {
        self.len()
    }
}

impl<T> List<T> for Option<Vec<T>> {
    fn take_out(&mut self, drops: impl Fn(&T) -> bool) -> usize {
        self.as_mut().map_or(0, |list| list.take_out(drops))
    }

    fn count(&self) -> usize {
        self.as_ref().map_or(0, Vec::len)
    }
}
