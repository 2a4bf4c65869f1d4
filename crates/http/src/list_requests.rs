//! Requests for needed lists through the service that a stream came from.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Method, Request, Response, Uri, request};
use http_body::Body;
use tower_service::Service;

use crate::error::BoxError;
use crate::head::readable;
use crate::inflater::Inflater;
use crate::needed_lists::{ListFuture, ListSource};
use crate::shared_service::SharedService;

/// Sends requests with the head of a stream's own request.
pub(crate) struct ListRequests<S, ReqB> {
    service: Arc<SharedService<S>>,
    head: request::Parts,
    empty: fn() -> ReqB,
}

impl<S, ReqB> ListRequests<S, ReqB> {
    /// `head` is that of the stream's request.
    pub(crate) fn new(
        service: Arc<SharedService<S>>,
        mut head: request::Parts,
        empty: fn() -> ReqB,
    ) -> ListRequests<S, ReqB> {
        head.method = Method::GET;
        head.headers.remove(CONTENT_LENGTH);
        head.headers.remove(TRANSFER_ENCODING);
        ListRequests { service, head, empty }
    }

    /// Returns the URI of a target behind the same server and path prefix.
    fn uri(&self, target: &str) -> Result<Uri, http::Error> {
        let mut parts = self.head.uri.clone().into_parts();
        let path = format!("{}{target}", prefix(self.head.uri.path()));
        parts.path_and_query = Some(path.try_into()?);
        Ok(Uri::from_parts(parts)?)
    }
}

impl<S, ReqB, ResB> ListSource for ListRequests<S, ReqB>
where
    S: Service<Request<ReqB>, Response = Response<ResB>> + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    ReqB: Send + 'static,
    ResB: Body<Data = Bytes> + Send,
    ResB::Error: Into<BoxError>,
{
    fn get(&self, target: &str) -> ListFuture {
        let request = self.uri(target).map(|uri| {
            let mut head = self.head.clone();
            head.uri = uri;
            Request::from_parts(head, (self.empty)())
        });
        let service = self.service.clone();
        Box::pin(async move {
            let response = service.send(request?).await.map_err(Into::into)?;
            let (head, body) = response.into_parts();
            let (head, is_gzip) = readable(&head);
            let body = collect(body).await?;
            Ok((head, if is_gzip { Inflater::inflate(body)? } else { body }))
        })
    }
}

/// Reads a body to its end.
async fn collect<B>(body: B) -> Result<Bytes, BoxError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut body = pin!(body);
    let mut out = BytesMut::new();
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        if let Ok(chunk) = frame.map_err(Into::into)?.into_data() {
            out.extend_from_slice(&chunk);
        }
    }
    Ok(out.freeze())
}

/// Returns the path before the API root of a list or watch of endpoints, for an API server behind
/// another server: `/k8s/clusters/c-1`. The prefix may hold an API root too; no namespace is called
/// as one of these.
fn prefix(path: &str) -> &str {
    let roots = ["/apis/discovery.k8s.io/", "/api/v1/"];
    &path[..roots.into_iter().filter_map(|root| path.rfind(root)).max().unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_at_the_root_of_the_endpoints() {
        assert_eq!(prefix("/api/v1/endpoints"), "");
        let nested = "/apis/x.io/v1/clusters/c/proxy";
        assert_eq!(prefix(&format!("{nested}/apis/discovery.k8s.io/v1/endpointslices")), nested);
        let nested = "/api/v1/namespaces/a/services/b/proxy";
        assert_eq!(prefix(&format!("{nested}/api/v1/namespaces/shop/endpoints")), nested);
        assert_eq!(prefix("/k8s/clusters/c-1/apis/discovery.k8s.io/v1/x"), "/k8s/clusters/c-1");
        assert_eq!(prefix("/p/api/v1/namespaces/apis/endpoints"), "/p");
        assert_eq!(prefix("/healthz"), "");
    }
}
