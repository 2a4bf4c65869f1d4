//! Every list, watch and object of the recorded cluster, in both encodings, as every node sees it.

use std::collections::{BTreeMap, BTreeSet};

use poolscope::{Action, Config, ErrorKind, NodeView, ProtobufLists, ReplyCause};
use poolscope_testkit::oracle::{Body, Object, State};
use poolscope_testkit::{Failed, NODES, Recording, cluster, cluster_with, random_chunks, run};
use serde::Deserialize;

/// Tests recordings of subjects that cannot be filtered.
fn is_subject(recording: &Recording) -> bool {
    recording.request.target.contains("endpoint")
}

/// Recordings of slices and Endpoints that are rewritten: status 200, identity, JSON or protobuf.
fn subjects() -> Vec<Recording> {
    let all = Recording::all().into_iter().filter(|recording| {
        let plain = [".json", ".pb"].iter().any(|suffix| recording.name.ends_with(suffix));
        is_subject(recording) && recording.head.status == 200 && plain
    });
    let all: Vec<_> = all.collect();
    assert!(all.len() > 70, "{}", all.len());
    all
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Expected {
    pool: String,
    pool_known: bool,
    slices: BTreeMap<String, Vec<String>>,
}

#[test]
fn lists_show_each_node_what_expected_json_says() {
    let expected =
        std::fs::read_to_string(format!("{}/recorded/expected.json", poolscope_testkit::DATA))
            .unwrap();
    let expected: BTreeMap<String, BTreeMap<String, Expected>> =
        serde_json::from_str(&expected).unwrap();
    for (folder, nodes) in &expected {
        assert_eq!(nodes.len(), 13, "{folder}");
        let cluster = cluster(folder);
        for (node, expected) in nodes {
            let view = cluster.node(node.as_str());
            let doubts = cluster.counters().passed_unknown_pool;
            assert_eq!(view.pool().unwrap_or_default(), expected.pool);
            let files: &[&str] = if folder == "list" {
                &["endpointslices-json.json", "endpointslices-proto.pb"]
            } else {
                &["endpointslices-gzip-proto.pb", "endpointslices-json.json"]
            };
            for file in files {
                let recording = Recording::load(&format!("{folder}/{file}"));
                let before = objects(&recording, &recording.body);
                let after = objects(&recording, &recording.filter(&view));
                assert_eq!(before.len(), after.len());
                let mut seen = BTreeSet::new();
                for (name, object) in &after {
                    match expected.slices.get(name) {
                        Some(addresses) => assert_eq!(
                            &first_addresses(object),
                            addresses,
                            "{folder}/{file}: {node} sees {name}"
                        ),
                        None => {
                            assert_eq!(object, &before[name], "{folder}/{file}: {node} sees {name}")
                        }
                    }
                    seen.insert(name);
                }
                assert!(expected.slices.keys().all(|name| seen.contains(name)));
            }
            let on_missing_fact = cluster.counters().passed_unknown_pool > doubts;
            assert_eq!(
                on_missing_fact,
                !expected.pool_known && !expected.pool.is_empty(),
                "{folder}: {node}"
            );
        }
    }
}

/// Slices by `namespace/name`.
fn objects(recording: &Recording, body: &[u8]) -> BTreeMap<String, Object> {
    let body = Body::decode(body, recording.is_protobuf(), recording.is_watch());
    let named = body.objects.into_iter().map(|(_, object)| {
        let name = match &object {
            Object::Slice(slice) => format!(
                "{}/{}",
                slice.metadata.namespace.as_ref().unwrap(),
                slice.metadata.name.as_ref().unwrap()
            ),
            Object::ProtobufSlice { slice, .. } => {
                let metadata = slice.metadata.as_ref().unwrap();
                format!("{}/{}", metadata.namespace, metadata.name)
            }
            other => panic!("{other:?}"),
        };
        (name, object)
    });
    named.collect()
}

fn first_addresses(object: &Object) -> Vec<String> {
    match object {
        Object::Slice(slice) => {
            slice.endpoints.iter().map(|endpoint| endpoint.addresses[0].clone()).collect()
        }
        Object::ProtobufSlice { slice, .. } => {
            slice.endpoints.iter().map(|endpoint| endpoint.addresses[0].clone()).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_body_equals_the_typed_oracle_for_every_node_and_chunking() {
    let (mut bodies, mut cut, mut events) = (0, 0, 0);
    for folder in ["list", "after"] {
        let state = State::recorded(folder);
        let stream = cluster(folder);
        let compact = cluster_with(folder, {
            let mut config = Config::openyurt();
            config.set_protobuf_lists(ProtobufLists::Compact);
            config
        });
        for recording in subjects() {
            let protobuf = recording.is_protobuf();
            let decoded = Body::decode(&recording.body, protobuf, recording.is_watch());
            events += decoded.objects.len();
            for (at, node) in NODES.into_iter().enumerate() {
                let view = stream.node(node);
                let filtered = recording.filter(&view);
                let expected = decoded.clone().filtered(&state, node);
                assert!(
                    Body::decode(&filtered, protobuf, recording.is_watch()) == expected,
                    "{folder}: {} for {node}",
                    recording.name
                );
                if expected == decoded {
                    assert!(
                        filtered == recording.body,
                        "{folder}: {} for {node} is touched",
                        recording.name
                    );
                } else {
                    cut += 1;
                    assert_only_cut(&recording, &filtered);
                }
                bodies += 1;
                // Filtering twice equals filtering once.
                assert!(
                    Recording { body: filtered.clone(), ..recording.clone() }.filter(&view)
                        == filtered,
                    "{} twice for {node}",
                    recording.name
                );
                if protobuf {
                    let view = compact.node(node);
                    let compacted = recording.filter(&view);
                    assert!(
                        Body::decode(&compacted, true, recording.is_watch()) == expected,
                        "{} compact for {node}",
                        recording.name
                    );
                    assert!(
                        compacted.len() <= filtered.len()
                            && (expected == decoded) == (compacted == recording.body)
                    );
                    assert!(
                        run(recording.open(&view), &recording.body, random_chunks(at as u64, 300))
                            .unwrap()
                            == compacted
                    );
                }
                // Any chunking gives the same.
                let mut chunkings: Vec<Box<dyn Iterator<Item = usize>>> = vec![
                    Box::new(random_chunks(bodies, 100)),
                    Box::new(random_chunks(bodies, 5000)),
                ];
                chunkings.extend([1usize, 7, 64].map(|size| {
                    Box::new(std::iter::repeat(size)) as Box<dyn Iterator<Item = usize>>
                }));
                for chunks in chunkings {
                    assert!(
                        run(recording.open(&view), &recording.body, chunks).unwrap() == filtered,
                        "{folder}: {} chunked for {node}",
                        recording.name
                    );
                }
            }
        }
    }
    println!("{bodies} bodies, {cut} of them cut, {events} objects decoded");
    assert!(cut * 2 > bodies, "most bodies have something to cut");
}

/// Every byte that is left stood there before, in the same order; protobuf lists keep their size.
fn assert_only_cut(recording: &Recording, filtered: &[u8]) {
    if !recording.is_protobuf() {
        let mut rest = recording.body.iter();
        assert!(
            filtered.iter().all(|byte| rest.any(|other| other == byte)),
            "{} has bytes that were not there",
            recording.name
        );
        assert!(filtered.len() < recording.body.len());
    } else if !recording.is_watch()
        && recording.request.target.contains("endpointslices?")
            | recording.request.target.ends_with("endpointslices")
    {
        assert_eq!(filtered.len(), recording.body.len(), "{}", recording.name);
    }
}

#[test]
fn facts_and_everything_else_pass_as_they_are() {
    let cluster = cluster("list");
    let view = cluster.node("hz-edge-1");
    let (mut passed, mut read, mut refused) = (0, 0, 0);
    for recording in Recording::all()
        .iter()
        .filter(|recording| !is_subject(recording) || recording.head.status != 200)
    {
        match view.open(&recording.request, &recording.head) {
            Ok(Action::Forward) => passed += 1,
            Ok(Action::Rewrite(stream)) => {
                assert_eq!(
                    run(stream, &recording.body, random_chunks(7, 900)).unwrap(),
                    recording.body,
                    "{}",
                    recording.name
                );
                read += 1;
            }
            Ok(_) => panic!("{}", recording.name),
            // A NodePool list in CBOR has no facts that can be read.
            Err(error) if error.kind() == ErrorKind::ContentType => refused += 1,
            Err(error) => panic!("{}: {error}", recording.name),
        }
    }
    println!("{passed} passed, {read} read, {refused} refused");
    assert!(passed > 40 && read > 30);
    assert_eq!(refused, 1);
}

#[test]
fn what_cannot_be_read_is_refused_not_passed() {
    let view = cluster("list").node("hz-edge-1");
    let error = |name: &str| {
        let recording = Recording::load(name);
        view.open(&recording.request, &recording.head).expect_err(name)
    };
    for name in ["cbor/list.cbor", "cbor/watchlist.cbor", "list/endpointslices-yaml.yaml"] {
        assert_eq!(error(name).kind(), ErrorKind::ContentType, "{name}");
    }
    for name in [
        "after/endpointslices-gzip-json.json.gz",
        "v1.37/watchlist/endpointslices-ns-gzip-proto.pb.gz",
    ] {
        let error = error(name);
        assert_eq!(Failed::from(error), Failed::content_encoding("gzip"), "{name}");
    }
}

#[test]
fn metadata_and_tables_pass_and_are_counted() {
    let cluster = cluster("list");
    let view = cluster.node("hz-edge-1");
    for (name, objects) in [
        ("list/endpointslices-partial-json.json", 43),
        ("list/endpointslices-partial-proto.pb", 43),
        ("watch/endpointslices-partial-json.json", 57),
        ("watch/endpointslices-partial-proto.pb", 57),
    ] {
        let before = cluster.counters();
        let recording = Recording::load(name);
        assert_eq!(recording.filter(&view), recording.body, "{name}");
        let after = cluster.counters();
        assert_eq!(after.passed_metadata_only - before.passed_metadata_only, objects, "{name}");
        assert_eq!(after.objects, before.objects, "{name}");
    }
    for (name, tables) in [
        ("list/endpointslices-table-json.json", 1),
        ("list/endpointslices-table-object-json.json", 1),
        ("list/endpointslices-kubectl-accept.json", 1),
        ("watch/endpointslices-table-json.json", 57),
    ] {
        let before = cluster.counters().passed_table;
        let recording = Recording::load(name);
        assert_eq!(recording.filter(&view), recording.body, "{name}");
        assert_eq!(cluster.counters().passed_table - before, tables, "{name}");
        // A request that went through `prepare` is not answered by a Table.
        let prepared = view.prepare(recording.request);
        assert!(
            prepared.headers.iter().all(|(_, value)| !value.contains("as=Table")),
            "{prepared:?}"
        );
    }
}

#[test]
fn facts_can_be_had_from_every_form_of_every_source() {
    let full = cluster("list");
    let expected =
        |node: &str| Recording::load("list/endpointslices-json.json").filter(&full.node(node));
    let same = |config: Config, sources: &[&str]| {
        let cluster = poolscope::Cluster::new(config).unwrap();
        for (at, source) in sources.iter().enumerate() {
            assert!(
                !cluster.node("hz-edge-1").missing().is_empty(),
                "ready before {source} at {at}"
            );
            Recording::load(source).read_facts(&cluster);
        }
        assert_eq!(cluster.node("hz-edge-1").missing(), [], "{sources:?}");
        for node in ["hz-edge-1", "sh-edge-4", "cloud-master-0"] {
            assert!(
                Recording::load("list/endpointslices-json.json").filter(&cluster.node(node))
                    == expected(node),
                "{sources:?} for {node}"
            );
        }
    };
    let nodes = "list/nodes-json.json";
    let pools = "list/nodepools-json.json";
    for services in [
        &["list/services-json.json"][..],
        &["list/services-proto.pb"],
        &["list/services-partial-json.json"],
        &["list/services-partial-proto.pb"],
        &[
            "list/services-limit5-p01-json.json",
            "list/services-limit5-p02-json.json",
            "list/services-limit5-p03-json.json",
            "list/services-limit5-p04-json.json",
            "list/services-limit5-p05-json.json",
            "list/services-limit5-p06-json.json",
        ],
        &[
            "list/services-limit5-p01-proto.pb",
            "list/services-limit5-p02-proto.pb",
            "list/services-limit5-p03-proto.pb",
            "list/services-limit5-p04-proto.pb",
            "list/services-limit5-p05-proto.pb",
            "list/services-limit5-p06-proto.pb",
        ],
    ] {
        same(Config::openyurt(), &[&[pools, nodes], services].concat());
    }
    let services = "list/services-json.json";
    for nodes in ["list/nodes-json.json", "list/nodes-proto.pb"] {
        same(Config::openyurt(), &[services, pools, nodes]);
        same(Config::node_label("apps.openyurt.io/nodepool"), &[services, nodes]);
    }
    for pools in ["list/nodepools-v1beta1-json.json", "list/nodepools-accept-proto-then-json.json"]
    {
        same(Config::openyurt(), &[services, nodes, pools]);
    }
    let config = |text: &str| Config::from_json(text).unwrap();
    same(
        config(r#"{"membership":"nodeBucket"}"#),
        &[services, nodes, "list/nodebuckets-json.json"],
    );
    for nodes in ["list/ciliumnodes-json.json", "list/ciliumnodes-accept-proto-then-any.json"] {
        same(
            config(r#"{"membership":{"ciliumNodeLabel":"apps.openyurt.io/nodepool"}}"#),
            &[services, nodes],
        );
    }
}

#[test]
fn a_watch_list_teaches_like_a_list_and_its_watch() {
    let after = cluster("after");
    for (services, nodes, pools) in [
        (
            &["watchlist/services-json.json"][..],
            &["watchlist/nodes-json.json"][..],
            &["watchlist/nodepools-json.json"][..],
        ),
        (
            &["watchlist/services-proto.pb"],
            &["watchlist/nodes-proto.pb"],
            &["watchlist/nodepools-json.json"],
        ),
        (
            &["list/services-json.json", "watch/services-json.json"],
            &["list/nodes-proto.pb", "watch/nodes-proto.pb"],
            &["list/nodepools-json.json", "watch/nodepools-json.json"],
        ),
        (
            &["list/services-proto.pb", "watch/services-proto.pb"],
            &["list/nodes-json.json", "watch/nodes-json.json"],
            &["list/nodepools-v1beta1-json.json", "watch/nodepools-v1beta1-json.json"],
        ),
    ] {
        let cluster = poolscope::Cluster::new(Config::openyurt()).unwrap();
        for source in [services, nodes, pools].concat() {
            Recording::load(source).read_facts(&cluster);
        }
        for node in NODES {
            let recording = Recording::load("after/endpointslices-json.json");
            // shop/catalog was deleted with keys and came back without: nothing is held.
            assert!(
                recording.filter(&cluster.node(node)) == recording.filter(&after.node(node)),
                "{services:?} for {node}"
            );
        }
    }
}

#[test]
fn a_clients_own_streams_teach_as_they_pass() {
    let cluster = poolscope::Cluster::new(Config::openyurt()).unwrap();
    let view: NodeView = cluster.node("hz-edge-1");
    let slices = Recording::load("list/endpointslices-json.json");
    for (source, missing) in [
        ("list/services-proto.pb", 3),
        ("list/nodes-one-by-field-json.json", 2),
        ("list/nodepools-json.json", 1),
    ] {
        match view.open(&slices.request, &slices.head) {
            Ok(Action::Reply(reply)) => match &reply.cause {
                ReplyCause::MissingFacts(facts) => assert_eq!(facts.len(), missing, "{facts:?}"),
                cause => panic!("{cause:?}"),
            },
            _ => panic!("served before {source}"),
        }
        let recording = Recording::load(source);
        assert_eq!(recording.filter(&view), recording.body, "{source}");
    }
    // The Node list was selected by name; for another node more is needed.
    assert_eq!(
        slices.filter(&view),
        slices.filter(&poolscope_testkit::cluster("list").node("hz-edge-1"))
    );
    let other = cluster.node("sh-edge-1").missing();
    assert_eq!(other.len(), 1);
    assert_eq!(other[0].to_string(), "no Node was read yet (GET /api/v1/nodes/sh-edge-1)");
}
