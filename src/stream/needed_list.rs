//! Lists that a stream needs.

use crate::object::SubjectKind;
use crate::object::outline::SERVICE_NAME_LABEL;

/// A list that a stream needs before it can emit the events of one Service
/// ([`Retention::Topology`](crate::Retention)).
///
/// ```
/// use poolscope::{BodyRewriter, BytesMut, ResponseHead};
///
/// /// Requests every list that an open watch needs; `get` sends a request to the API server.
/// fn provide(
///     watch: &mut BodyRewriter,
///     get: impl Fn(&str) -> (ResponseHead, Vec<u8>),
///     out: &mut BytesMut,
/// ) -> poolscope::Result<()> {
///     for list in watch.needed_lists() {
///         let (response, body) = get(&list.target);
///         watch.provide_list(&response, &body, out)?;
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[non_exhaustive]
pub struct NeededList {
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub service: String,
    /// Path and query of the list to GET.
    pub target: String,
}

impl NeededList {
    pub(super) fn of(kind: SubjectKind, service_key: &[u8]) -> NeededList {
        let key = String::from_utf8_lossy(service_key);
        let (namespace, service) = key.split_once('/').unwrap_or_default();
        let encoded =
            |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let (in_namespace, name) = (encoded(namespace), encoded(service));
        let target = match kind {
            SubjectKind::Endpoints | SubjectKind::Service => {
                format!(
                    "/api/v1/namespaces/{in_namespace}/{}?fieldSelector=metadata.name%3D{name}",
                    kind.plural()
                )
            }
            SubjectKind::EndpointSlice | SubjectKind::EndpointSliceBeta => {
                let label = encoded(SERVICE_NAME_LABEL);
                let version = kind.api_version();
                format!(
                    "/apis/{version}/namespaces/{in_namespace}/endpointslices?\
                     labelSelector={label}%3D{name}"
                )
            }
        };
        NeededList { namespace: namespace.to_owned(), service: service.to_owned(), target }
    }
}
