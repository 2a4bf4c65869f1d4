//! What becomes of a response before its first byte.

use poolscope::{Config, Head, NodeView, Opened, Request};

use super::facts::{POOL, scene, scene_with};
use super::object::{ENCODINGS, object};

/// Nothing of which could be read.
fn unreadable() -> Head {
    Head::ok("application/cbor").header("Content-Encoding", "gzip")
}

fn passes(view: &NodeView, request: &Request, head: &Head) -> bool {
    matches!(view.open(request, head), Ok(Opened::PassThrough))
}

fn learns(view: &NodeView, request: &Request, head: &Head) -> bool {
    matches!(view.open(request, head), Ok(Opened::Rewrite(_)))
}

#[test]
fn facts_that_do_not_matter_pass_untouched() {
    for encoding in ENCODINGS {
        let (_facts, client) = scene(encoding);
        for path in [
            "/apis/cilium.io/v2/ciliumnodes",
            "/apis/apps.openyurt.io/v1alpha1/nodebuckets?watch=true",
        ] {
            for head in [client.head(), unreadable()] {
                assert!(passes(&client.view, &Request::get(path), &head), "{path}");
            }
        }
        for path in [
            "/api/v1/services",
            "/api/v1/nodes/me",
            "/apis/apps.openyurt.io/v1beta2/nodepools?watch=true",
        ] {
            assert!(learns(&client.view, &Request::get(path), &client.head()), "{path}");
            assert!(client.view.open(&Request::get(path), &unreadable()).is_err(), "{path}");
        }
    }
}

#[test]
fn switched_off_every_endpoint_passes_untouched() {
    for encoding in ENCODINGS {
        let mut config = Config::openyurt();
        config.service_topology = false;
        let (mut facts, client) = scene_with(encoding, config);
        facts.annotate("web", POOL);
        for query in [
            "",
            "watch=true&resourceVersion=90",
            "watch=true&sendInitialEvents=true&allowWatchBookmarks=true",
        ] {
            for head in [client.head(), unreadable()] {
                assert!(passes(&client.view, &client.request(query), &head), "{query}");
            }
        }
        assert!(
            learns(&client.view, &Request::get("/api/v1/services"), &client.head()),
            "facts are known when it is on again"
        );
    }
}

#[test]
fn a_stream_says_what_it_is_and_how_far_it_has_come() {
    for encoding in ENCODINGS {
        let (_facts, client) = scene(encoding);
        let mut watch = client.follow(90, &[]);
        let event = client.event("ADDED", &object("web-1", 95, "me"));
        watch.pass(&event);
        let far = event.len();
        let said = format!(
            "Stream {{ kind: \"EndpointSlice\", form: Watch, taken: {far}, given: {far}, closed: false, .. }}"
        );
        assert_eq!(format!("{:?}", watch.stream), said);
        let Ok(Opened::Rewrite(stream)) =
            client.view.open(&Request::get("/api/v1/services"), &client.head())
        else {
            panic!()
        };
        assert_eq!(
            format!("{stream:?}"),
            "Stream { kind: \"Service\", form: List, taken: 0, given: 0, closed: false, .. }"
        );
    }
}
