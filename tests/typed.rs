//! The typed face gives the verdicts of the streams.

use poolscope_testkit::oracle::{Body, Object};
use poolscope_testkit::{NODES, Recording, cluster};

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
                        Object::Endpoints(endpoints) => {
                            dropped += view.filter_endpoints(endpoints).unwrap()
                        }
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

#[test]
fn typed_values_wait_for_the_facts_and_are_counted() {
    use k8s_openapi::api::discovery::v1::EndpointSlice;
    let mut slice = EndpointSlice::default();
    let untaught = poolscope::Cluster::new(poolscope::Config::openyurt()).unwrap();
    assert_eq!(untaught.node("hz-edge-1").filter_endpoint_slice(&mut slice).unwrap_err().len(), 3);
    let cluster = cluster("list");
    assert_eq!(cluster.node("hz-edge-1").filter_endpoint_slice(&mut slice), Ok(0));
    assert_eq!((cluster.counters().objects, cluster.counters().passed_no_service), (1, 1));
}
