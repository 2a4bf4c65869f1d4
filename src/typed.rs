//! The same verdicts on `k8s_openapi` values (feature `k8s-openapi`), for controllers and for
//! tests.

use k8s_openapi::api::core::v1::{EndpointAddress, Endpoints};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use crate::cluster::Missing;
use crate::node::NodeView;
use crate::object::outline::SERVICE_NAME_LABEL;
use crate::rewrite::service_topology::tell;
use crate::topology::Members;
use crate::topology::ladder::{Condition, Usable};
use crate::topology::verdict::View;

impl NodeView {
    /// Takes out the endpoints that this node may not use, and returns how many those were. A slice
    /// with nothing left stays, empty (O11). Of a Service whose keys are a ladder this slice
    /// alone decides which rung counts.
    ///
    /// Errors: what still has to be learned; the slice is as it was then.
    pub fn filter_endpoint_slice(&self, slice: &mut EndpointSlice) -> Result<usize, Vec<Missing>> {
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
        let ladders = self.cluster().config().ladders;
        let stands: Vec<_> = slice
            .endpoints
            .iter()
            .filter(|_| ladders)
            .map(|endpoint| (conditions(endpoint), endpoint.node_name.clone()))
            .collect();
        self.settle(
            namespace,
            service.as_deref(),
            |members| self.usable(&stands, members),
            |view, tally| {
                let out = slice
                    .endpoints
                    .take_out(|endpoint: &Endpoint| !keeps(view, endpoint.node_name.as_deref()));
                tell(tally, view.whole_reason(), slice.endpoints.count(), out);
                out
            },
        )
    }

    /// The same for core/v1 Endpoints, address by address. A subset with neither kind of address
    /// left goes; the object stays (O12).
    pub fn filter_endpoints(&self, endpoints: &mut Endpoints) -> Result<usize, Vec<Missing>> {
        let namespace = endpoints.metadata.namespace.as_deref().unwrap_or_default();
        let service = endpoints.metadata.name.clone();
        let ladders = self.cluster().config().ladders;
        let ready = endpoints
            .subsets
            .iter()
            .flatten()
            .filter(|_| ladders)
            .flat_map(|subset| subset.addresses.iter().flatten());
        let stands: Vec<_> =
            ready.map(|address| (Condition::Ready, address.node_name.clone())).collect();
        self.settle(
            namespace,
            service.as_deref(),
            |members| self.usable(&stands, members),
            |view, tally| {
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
                tell(tally, view.whole_reason(), kept, out);
                out
            },
        )
    }

    /// On which rungs these endpoints stand.
    fn usable(
        &self,
        endpoints: &[(Condition, Option<String>)],
        members: Option<&Members>,
    ) -> Usable {
        endpoints.iter().fold(Usable::default(), |usable, (condition, node)| {
            usable
                | Usable::of(
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
