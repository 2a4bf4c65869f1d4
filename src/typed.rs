//! The same verdicts on `k8s_openapi` values (feature `k8s-openapi`), for controllers and for tests.

use k8s_openapi::api::core::v1::{EndpointAddress, Endpoints};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use crate::node::NodeView;
use crate::object::outline::SERVICE_NAME_LABEL;

impl NodeView {
    /// Takes out the endpoints that this node may not use, and returns how many those were. A slice with nothing left
    /// stays, empty (O11).
    pub fn filter_endpoint_slice(&self, slice: &mut EndpointSlice) -> usize {
        let namespace = slice.metadata.namespace.as_deref().unwrap_or_default();
        let service = slice.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_NAME_LABEL));
        slice.endpoints.take_out(|endpoint: &Endpoint| {
            let node = endpoint.node_name.as_deref();
            !self.judge(namespace, service.map(String::as_str), node).keeps()
        })
    }

    /// The same for core/v1 Endpoints, address by address. A subset with neither kind of address left goes; the object
    /// stays (O12).
    pub fn filter_endpoints(&self, endpoints: &mut Endpoints) -> usize {
        let namespace = endpoints.metadata.namespace.as_deref().unwrap_or_default();
        let service = endpoints.metadata.name.as_deref();
        let judge = |node: Option<&str>| self.judge(namespace, service, node);
        let Some(subsets) = &mut endpoints.subsets else { return 0 };
        let mut out = 0;
        for subset in &mut *subsets {
            let drops = |address: &EndpointAddress| !judge(address.node_name.as_deref()).keeps();
            out += subset.addresses.take_out(drops) + subset.not_ready_addresses.take_out(drops);
        }
        // Where every address passes the object is not touched, not even a subset that never had one.
        if !judge(None).keeps() {
            subsets.retain(|subset| !subset.addresses.is_empty_list() || !subset.not_ready_addresses.is_empty_list());
        }
        out
    }
}

/// A list that may be absent. Which lists may be depends on the Kubernetes version that `k8s_openapi` is built for.
trait List<T> {
    /// Takes out what `drops` says yes to; how many that was.
    fn take_out(&mut self, drops: impl Fn(&T) -> bool) -> usize;

    fn is_empty_list(&self) -> bool;
}

impl<T> List<T> for Vec<T> {
    fn take_out(&mut self, drops: impl Fn(&T) -> bool) -> usize {
        let before = self.len();
        self.retain(|item| !drops(item));
        before - self.len()
    }

    fn is_empty_list(&self) -> bool {
        self.is_empty()
    }
}

impl<T> List<T> for Option<Vec<T>> {
    fn take_out(&mut self, drops: impl Fn(&T) -> bool) -> usize {
        self.as_mut().map_or(0, |list| list.take_out(drops))
    }

    fn is_empty_list(&self) -> bool {
        self.as_ref().is_none_or(Vec::is_empty)
    }
}
