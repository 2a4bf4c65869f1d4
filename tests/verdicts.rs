//! Verdicts of OpenYurt's own filter code, scenario by scenario (`data/yurthub/README.md`).

use bytes::BytesMut;
use poolscope::{Action, Cluster, Config, NodeView, RequestHead, ResponseHead};
use poolscope_testkit::oracle::{Body, Object};
use poolscope_testkit::{DATA, run};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scenario {
    id: String,
    rows: Vec<String>,
    node: String,
    pool_option: Option<String>,
    membership: String,
    request: String,
    facts: Facts,
    #[serde(default)]
    objects: Vec<Value>,
    #[serde(default)]
    events: Vec<Value>,
    #[serde(default)]
    pb: String,
    expect: Vec<Expect>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Facts {
    #[serde(default)]
    services: Vec<Value>,
    #[serde(default)]
    nodes: Vec<Value>,
    #[serde(default)]
    node_pools: Vec<Value>,
    #[serde(default)]
    node_buckets: Vec<Value>,
}

#[derive(Deserialize)]
struct Expect {
    verdict: String,
    #[serde(default)]
    kept: Option<Vec<String>>,
}

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

impl Scenario {
    fn view(&self) -> NodeView {
        let membership = match self.membership.as_str() {
            "NodePool" => "nodePool",
            "NodeBucket" => "nodeBucket",
            "off" => "off",
            other => panic!("{other}"),
        };
        let mut config =
            Config::from_json(&json!({ "membership": membership }).to_string()).unwrap();
        config.set_pool(self.pool_option.clone());
        let cluster = Cluster::new(config).unwrap();
        for (kind, path, items) in [
            ("Service", "/api/v1/services", &self.facts.services),
            ("Node", "/api/v1/nodes", &self.facts.nodes),
            ("NodePool", "/apis/apps.openyurt.io/v1beta2/nodepools", &self.facts.node_pools),
            ("NodeBucket", "/apis/apps.openyurt.io/v1alpha1/nodebuckets", &self.facts.node_buckets),
        ] {
            let list = json!({
                "kind": format!("{kind}List"),
                "metadata": {"resourceVersion": "1"},
                "items": items,
            });
            let mut feed =
                cluster.read_facts(&RequestHead::get(path), &ResponseHead::ok(JSON)).unwrap();
            feed.push(list.to_string().as_bytes()).unwrap();
            feed.finish().unwrap();
        }
        cluster.node(self.node.as_str())
    }

    fn filter(&self, view: &NodeView, content_type: &str, body: &[u8]) -> Vec<u8> {
        let request = RequestHead::get(self.request.strip_prefix("GET ").unwrap());
        let Action::Rewrite(stream) =
            view.open_stateless(&request, &ResponseHead::ok(content_type)).unwrap()
        else {
            panic!("{}", self.id)
        };
        run(stream, body, std::iter::repeat(97)).unwrap()
    }

    /// The endpoints that OpenYurt keeps.
    fn kept(&self, at: usize) -> Option<Vec<String>> {
        self.expect[at].kept.clone().filter(|_| self.expect[at].verdict == "filtered")
    }
}

fn scenarios() -> Vec<Scenario> {
    let text = std::fs::read_to_string(format!("{DATA}/yurthub/verdicts.jsonl")).unwrap();
    let all = text.lines().map(|line| serde_json::from_str::<Scenario>(line).unwrap());
    all.filter(|scenario| {
        ["slices-", "beta-", "endpoints-"].iter().any(|prefix| scenario.id.starts_with(prefix))
    })
    .collect()
}

/// `addresses[0]` of every endpoint; of Endpoints each ip, `!` before those that are not ready, `|`
/// between subsets.
fn kept(object: &Object) -> Vec<String> {
    match object {
        Object::Slice(slice) => {
            slice.endpoints.iter().map(|endpoint| endpoint.addresses[0].clone()).collect()
        }
        Object::Beta(slice) => slice.0["endpoints"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|endpoint| endpoint["addresses"][0].as_str().unwrap().to_owned())
            .collect(),
        Object::ProtobufSlice { slice, .. } => {
            slice.endpoints.iter().map(|endpoint| endpoint.addresses[0].clone()).collect()
        }
        Object::Endpoints(endpoints) => join(endpoints.subsets.iter().flatten().map(|subset| {
            let ready = subset.addresses.iter().flatten().map(|address| address.ip.clone());
            ready
                .chain(
                    subset
                        .not_ready_addresses
                        .iter()
                        .flatten()
                        .map(|address| format!("!{}", address.ip)),
                )
                .collect()
        })),
        Object::ProtobufEndpoints(endpoints) => join(endpoints.subsets.iter().map(|subset| {
            let ready = subset.addresses.iter().map(|address| address.ip.clone());
            ready
                .chain(subset.not_ready_addresses.iter().map(|address| format!("!{}", address.ip)))
                .collect()
        })),
        other => panic!("{other:?}"),
    }
}

fn join(subsets: impl Iterator<Item = Vec<String>>) -> Vec<String> {
    subsets.collect::<Vec<_>>().join(&"|".to_owned())
}

/// Standard base64, as the scenarios carry their protobuf bodies.
fn base64(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut out) = (0u32, 0, BytesMut::new());
    for byte in text.bytes().filter(|&byte| byte != b'=') {
        bits = bits << 6 | LETTERS.iter().position(|&letter| letter == byte).unwrap() as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.extend_from_slice(&[(bits >> count) as u8]);
        }
    }
    out.to_vec()
}

#[test]
fn verdicts_equal_those_of_openyurts_own_code() {
    let scenarios = scenarios();
    assert_eq!(scenarios.len(), 37);
    let mut equal = 0;
    for scenario in &scenarios {
        let view = scenario.view();
        let watch = !scenario.events.is_empty();
        let json = if watch {
            scenario.events.iter().map(|event| format!("{event}\n")).collect::<String>()
        } else {
            let (kind, api_version) =
                (&scenario.objects[0]["kind"], &scenario.objects[0]["apiVersion"]);
            let kind = format!("{}List", kind.as_str().unwrap());
            json!({
                "kind": kind,
                "apiVersion": api_version,
                "metadata": {},
                "items": scenario.objects,
            })
            .to_string()
        };
        for (content_type, body) in [(JSON, json.into_bytes()), (PROTOBUF, base64(&scenario.pb))] {
            let protobuf = content_type == PROTOBUF;
            let filtered = scenario.filter(&view, content_type, &body);
            let before = Body::decode(&body, protobuf, watch).objects;
            let after = Body::decode(&filtered, protobuf, watch).objects;
            assert_eq!((before.len(), after.len()), (scenario.expect.len(), scenario.expect.len()));
            for (at, ((event, before), (_, after))) in before.iter().zip(&after).enumerate() {
                if matches!(event.as_str(), "BOOKMARK" | "ERROR") {
                    assert_eq!(before, after);
                    continue;
                }
                let expected = match scenario.expect[at].verdict.as_str() {
                    "unchanged" => kept(before),
                    "filtered" => scenario.kept(at).unwrap_or_default(),
                    other => panic!("{}: {other}", scenario.id),
                };
                assert_eq!(
                    kept(after),
                    expected,
                    "{} #{at} {content_type} {:?}",
                    scenario.id,
                    scenario.rows
                );
                equal += 1;
            }
        }
    }
    println!("{equal} verdicts equal");
    assert_eq!(equal, 204);
}

/// One Service that asks for the pool, one node in pool `hangzhou`, and the pool as given.
fn small(pool: Value, body: &str, path: &str) -> String {
    let facts = Facts {
        services: vec![json!({
            "metadata": {
                "name": "web",
                "namespace": "shop",
                "annotations": {"openyurt.io/topologyKeys": "openyurt.io/nodepool"},
            },
        })],
        nodes: vec![
            json!({"metadata": {"name": "a", "labels": {"apps.openyurt.io/nodepool": "hangzhou"}}}),
        ],
        node_pools: vec![pool],
        node_buckets: vec![],
    };
    let scenario = Scenario {
        id: path.to_owned(),
        rows: vec![],
        node: "a".to_owned(),
        pool_option: None,
        membership: "NodePool".to_owned(),
        request: format!("GET {path}"),
        facts,
        objects: vec![],
        events: vec![],
        pb: String::new(),
        expect: vec![],
    };
    String::from_utf8(scenario.filter(&scenario.view(), JSON, body.as_bytes())).unwrap()
}

const SLICE: &str = r#"{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","metadata":{"name":"web-1","namespace":"shop","labels":{"kubernetes.io/service-name":"web"}},"endpoints":[{"addresses":["1"],"nodeName":"a"},{"addresses":["2"],"nodeName":"b"}]}"#;

#[test]
fn w1_a_pool_named_by_configuration_is_looked_up_by_its_own_name() {
    // yurthub asks for NodePools by a label that nothing sets, finds none, and lets everything
    // pass.
    let mut config = Config::openyurt();
    config.set_pool(Some("hangzhou".to_owned()));
    let cluster = Cluster::new(config).unwrap();
    for (path, items) in [
        (
            "/api/v1/services",
            json!([{
                "metadata": {
                    "name": "web",
                    "namespace": "shop",
                    "annotations": {"openyurt.io/topologyKeys": "openyurt.io/nodepool"},
                },
            }]),
        ),
        (
            "/apis/apps.openyurt.io/v1beta2/nodepools",
            json!([{"metadata": {"name": "hangzhou"}, "status": {"nodes": ["b"]}}]),
        ),
    ] {
        let mut feed =
            cluster.read_facts(&RequestHead::get(path), &ResponseHead::ok(JSON)).unwrap();
        feed.push(json!({"metadata": {}, "items": items}).to_string().as_bytes()).unwrap();
        feed.finish().unwrap();
    }
    let view = cluster.node("a");
    assert_eq!(view.missing(), []);
    let request =
        RequestHead::get("/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/web-1");
    let Ok(Action::Rewrite(stream)) = view.open_stateless(&request, &ResponseHead::ok(JSON)) else {
        panic!()
    };
    let out = run(stream, SLICE.as_bytes(), std::iter::repeat(50)).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        SLICE.replace(r#"{"addresses":["1"],"nodeName":"a"},"#, "")
    );
}

#[test]
fn w2_a_pool_without_nodes_empties_endpoints_as_it_empties_slices() {
    let empty = json!({"metadata": {"name": "hangzhou"}, "status": {"nodes": []}});
    let endpoints = r#"{"kind":"Endpoints","apiVersion":"v1","metadata":{"name":"web","namespace":"shop"},"subsets":[{"addresses":[{"ip":"1","nodeName":"b"}],"ports":[{"port":80}]}]}"#;
    let out = small(empty.clone(), endpoints, "/api/v1/namespaces/shop/endpoints/web");
    assert!(out.ends_with(r#""subsets":[]}"#), "{out}");
    let out = small(empty, SLICE, "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/web-1");
    assert!(out.ends_with(r#""endpoints":[]}"#), "{out}");
}

#[test]
fn a_get_shows_what_a_list_shows() {
    // yurthub filters lists and watches only, so that a client's GET disagrees with its LIST.
    let pool = json!({"metadata": {"name": "hangzhou"}, "status": {"nodes": ["a"]}});
    let out = small(
        pool.clone(),
        SLICE,
        "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/web-1",
    );
    assert_eq!(out, SLICE.replace(r#",{"addresses":["2"],"nodeName":"b"}"#, ""));
    let list = format!(
        r#"{{"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v1","metadata":{{}},"items":[{SLICE}]}}"#
    );
    let listed = small(pool, &list, "/apis/discovery.k8s.io/v1/endpointslices");
    assert!(listed.contains(&out));
}
