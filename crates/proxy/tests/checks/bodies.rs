//! Responses: what is rewritten, and what passes as it is.

use std::io::Read;

use super::chain::{AGENT, Chain, Plan};
use super::scene::SLICES;
use super::server::{KEPT, ODD};

fn slices(namespace: &str) -> String {
    SLICES.replace("/endpointslices", &format!("/namespaces/{namespace}/endpointslices"))
}

/// Returns the body of a response that is sent in chunks, or with a length.
fn body(response: &str) -> String {
    let (head, mut rest) = response.split_once("\r\n\r\n").unwrap();
    if !head.contains("transfer-encoding: chunked") {
        return rest.to_owned();
    }
    let mut body = String::new();
    loop {
        let (length, after) = rest.split_once("\r\n").unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        if length == 0 {
            return body;
        }
        body.push_str(&after[..length]);
        rest = after[length..].strip_prefix("\r\n").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_17_compressed_responses_are_rewritten() {
    let chain = Chain::start(Plan::default()).await;
    for accepts in ["", "accept-encoding: gzip\r\n"] {
        let headers = format!("{AGENT}accept: application/json\r\n{accepts}");
        let response = chain.request("GET", &slices("zip"), &headers).await;
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        let head = response.split_once("\r\n\r\n").unwrap().0.to_lowercase();
        assert!(!head.contains("etag"), "{head}");
        assert!(!head.contains("content-encoding"), "{head}");
        let body = body(&response);
        assert!(body.contains("10.0.0.1") && !body.contains("10.0.0.2"), "{body}");
        serde_json::from_str::<serde_json::Value>(&body).unwrap();
    }
    // A kind that is not rewritten passes compressed, with all that describes its bytes.
    let target = slices("zip").replace("endpointslices", "others");
    let target = target.replace("discovery.k8s.io", "example.com");
    let mut stream = chain.http1().await;
    let request = format!(
        "GET {target} HTTP/1.1\r\nhost: x\r\n{AGENT}accept-encoding: gzip\r\n\
         connection: close\r\n\r\n"
    );
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut bytes).await;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    assert!(head.contains("content-encoding: gzip") && head.contains("etag"), "{head}");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[end + 4..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, ODD);
    let sent = chain.server().received(&target);
    assert_eq!(sent[0].headers["accept-encoding"], "gzip");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_18_bytes_and_unknown_fields_are_kept() {
    let chain = Chain::start(Plan::default()).await;
    assert_eq!(body(&chain.get("/odd").await), ODD);
    let (status, bytes) = chain.http2().await.get("/odd").await;
    assert_eq!((status, &bytes[..]), (200, ODD.as_bytes()));
    let headers = format!("{AGENT}accept: application/json\r\n");
    let list = body(&chain.request("GET", &slices("odd"), &headers).await);
    assert!(list.contains("\"future\": {\"b\":[1, 2.50]}"), "{list}");
    assert!(!list.contains("10.0.0.2"), "{list}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_27_statuses_and_headers_pass_as_they_are() {
    let chain = Chain::start(Plan::default()).await;
    let mut targets: Vec<(String, u16)> = [403, 404, 409, 410, 429, 500, 503, 504]
        .into_iter()
        .map(|code| (format!("/status/{code}"), code))
        .collect();
    // Rewritten kinds too.
    targets.extend([(slices("gone"), 410), (slices("busy"), 429)]);
    for (target, code) in targets {
        for target in [target.clone(), format!("{target}?watch=true")] {
            let response = chain.get(&target).await;
            assert!(response.starts_with(&format!("HTTP/1.1 {code} ")), "{target}: {response}");
            let (head, _) = response.split_once("\r\n\r\n").unwrap();
            for (name, value) in KEPT.into_iter().chain([("retry-after", "17")]) {
                assert!(head.contains(&format!("{name}: {value}")), "{target}: {head}");
            }
            assert!(body(&response).contains("of the API server"), "{target}: {response}");
            assert_eq!(chain.server().received(&target).len(), 1, "{target}: not repeated");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_28_readyz_and_version_are_those_of_the_api_server() {
    let mut chain = Chain::start(Plan::default()).await;
    for (target, text) in [("/readyz", "of the API server"), ("/version", "v1.0.0-check")] {
        let response = chain.get(target).await;
        assert!(response.starts_with("HTTP/1.1 200") && response.contains(text), "{response}");
        let received = chain.server().received(target);
        assert!(received.iter().any(|one| one.token() == Some("agent")), "{received:?}");
    }
    chain.server().set_readiness(500);
    let response = chain.get("/readyz").await;
    assert!(response.starts_with("HTTP/1.1 500"), "{response}");
    assert!(response.contains("of the API server"), "{response}");
    chain.relays[0].refuse().await;
    for target in ["/readyz", "/version", "/livez", "/healthz"] {
        let response = chain.get(target).await;
        assert!(response.starts_with("HTTP/1.1 503"), "{target}: {response}");
    }
}
