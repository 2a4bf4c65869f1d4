//! Conversions from and to the types of the `http` crate (feature `http`).

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{StatusCode, request, response};

use crate::{Bytes, Reply, RequestHead, ResponseHead};

/// Header values that are not visible ASCII are left out: poolscope reads none of them.
fn texts(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect()
}

/// Copies method, path and query, and headers.
impl From<&request::Parts> for RequestHead {
    fn from(parts: &request::Parts) -> RequestHead {
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let mut head = RequestHead::new(parts.method.as_str(), target);
        head.headers = texts(&parts.headers);
        head
    }
}

/// Copies status and headers.
impl From<&response::Parts> for ResponseHead {
    fn from(parts: &response::Parts) -> ResponseHead {
        let mut head = ResponseHead::new(parts.status.as_u16());
        head.headers = texts(&parts.headers);
        head
    }
}

/// The whole response. A status that HTTP does not know becomes 503.
impl From<Reply> for http::Response<Bytes> {
    fn from(reply: Reply) -> http::Response<Bytes> {
        let mut response = http::Response::new(reply.body);
        *response.status_mut() =
            StatusCode::from_u16(reply.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(reply.content_type));
        if let Some(seconds) = reply.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, Cluster, Config};

    #[test]
    fn heads_come_from_parts_and_a_reply_becomes_a_response() {
        let (request, _) = http::Request::get("https://api:6443/api/v1/endpoints?watch=1")
            .header("User-Agent", "agent/1")
            .header("X-Binary", HeaderValue::from_bytes(b"\xff").unwrap())
            .body(())
            .unwrap()
            .into_parts();
        let request = RequestHead::from(&request);
        let expected =
            RequestHead::get("/api/v1/endpoints?watch=1").header("user-agent", "agent/1");
        assert_eq!(request, expected);

        let (response, _) = http::Response::builder()
            .header("Content-Type", "application/json")
            .body(())
            .unwrap()
            .into_parts();
        let response = ResponseHead::from(&response);
        assert_eq!(response, ResponseHead::new(200).header("content-type", "application/json"));

        let node = Cluster::new(Config::openyurt()).unwrap().node("n");
        let Ok(Action::Reply(reply)) = node.open(&request, &response) else { panic!() };
        let body = reply.body.clone();
        let response = http::Response::from(reply);
        assert_eq!((response.status().as_u16(), response.body()), (429, &body));
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(response.headers()["content-type"], "application/json");
    }
}
