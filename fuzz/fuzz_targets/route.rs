#![no_main]

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use poolscope_testkit::fuzzing::route::{self as law, Handling, Head};

// The module alone: the crate needs TLS libraries, whose C code would be built under the sanitizer.
#[allow(dead_code)]
#[path = "../../crates/proxy/src/route.rs"]
mod route;

use route::{Route, route};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    law::check(data, handle);
});

fn handle(head: &Head<'_>) -> Option<(Handling, String)> {
    let method: Method = head.method.parse().ok()?;
    let uri: Uri = head.target.parse().ok()?;
    let mut headers = HeaderMap::new();
    for (name, value) in &head.headers {
        let name = name.parse::<HeaderName>().ok()?;
        headers.append(name, HeaderValue::from_str(value).ok()?);
    }
    // Without it every request would be refused.
    headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer t"));
    let handling = match route(&method, &uri, Version::HTTP_11, &headers, false) {
        Route::Pipe | Route::Tunnel => Handling::Unread,
        Route::Rewritten => Handling::Rewritten,
        Route::Refused(_) => Handling::Refused,
    };
    Some((handling, uri.path().to_owned()))
}
