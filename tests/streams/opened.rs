//! Decisions on a response before its first byte.

use poolscope::{Action, Config, NodeView, RequestHead, ResponseHead};

use super::facts::{POOL, scene, scene_with};
use super::object::{ENCODINGS, object};

/// Nothing of which could be read.
fn unreadable() -> ResponseHead {
    ResponseHead::ok("application/cbor").header("Content-Encoding", "gzip")
}

fn passes(view: &NodeView, request: &RequestHead, head: &ResponseHead) -> bool {
    matches!(view.open(request, head), Ok(Action::Forward))
}

fn learns(view: &NodeView, request: &RequestHead, head: &ResponseHead) -> bool {
    matches!(view.open(request, head), Ok(Action::Rewrite(_)))
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
                assert!(passes(&client.view, &RequestHead::get(path), &head), "{path}");
            }
        }
        for path in [
            "/api/v1/services",
            "/api/v1/nodes/me",
            "/apis/apps.openyurt.io/v1beta2/nodepools?watch=true",
        ] {
            assert!(learns(&client.view, &RequestHead::get(path), &client.head()), "{path}");
            assert!(client.view.open(&RequestHead::get(path), &unreadable()).is_err(), "{path}");
        }
    }
}

#[test]
fn switched_off_every_endpoint_passes_untouched() {
    for encoding in ENCODINGS {
        let mut config = Config::openyurt();
        config.set_service_topology(false);
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
            learns(&client.view, &RequestHead::get("/api/v1/services"), &client.head()),
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
            "BodyRewriter {{ kind: \"EndpointSlice\", form: Watch, \
             bytes_in: {far}, bytes_out: {far}, closed: false, .. }}"
        );
        assert_eq!(format!("{:?}", watch.stream), said);
        let Ok(Action::Rewrite(stream)) =
            client.view.open(&RequestHead::get("/api/v1/services"), &client.head())
        else {
            panic!()
        };
        assert_eq!(
            format!("{stream:?}"),
            "BodyRewriter { kind: \"Service\", form: List, \
             bytes_in: 0, bytes_out: 0, closed: false, .. }"
        );
    }
}
