//! The typed face gives the verdicts of the streams.

mod common;

use common::oracle::{Body, Object};
use common::{NODES, Recording, cluster};

#[test]
fn typed_values_are_filtered_like_their_bytes() {
    let mut dropped = 0;
    for folder in ["list", "after"] {
        let cluster = cluster(folder);
        for name in [
            "list/endpointslices-json.json",
            "list/endpoints-json.json",
            "watchlist/endpointslices-json.json",
            "watchlist/endpoints-json.json",
            "after/endpoints-json.json",
        ] {
            let recording = Recording::load(name);
            for node in NODES {
                let view = cluster.node(node);
                let mut body = Body::decode(&recording.body, false, recording.is_watch());
                for (event, object) in &mut body.objects {
                    match object {
                        _ if event == "BOOKMARK" => {}
                        Object::Slice(slice) => {
                            let before = slice.endpoints.len();
                            let out = view.filter_endpoint_slice(slice).unwrap();
                            assert_eq!(before - slice.endpoints.len(), out);
                            dropped += out;
                        }
                        Object::Endpoints(endpoints) => dropped += view.filter_endpoints(endpoints).unwrap(),
                        other => panic!("{other:?}"),
                    }
                    object.normalize();
                }
                let filtered = Body::decode(&recording.filter(&view), false, recording.is_watch());
                assert!(body == filtered, "{folder}: {name} for {node}");
            }
        }
    }
    assert!(dropped > 10_000, "{dropped}");
}
