//! Bodies with facts: what a cluster knows after one is what Go's types would say of it.

use std::collections::{BTreeMap, BTreeSet};

use poolscope::{Action, Cluster, Config, Error, RequestHead, ResponseHead};

use super::go::{Header, Json, Read, Refused};
use super::world::{FORMS, Form, Looked, run};
use crate::random_chunks;

/// Kind, path of its lists, name of its objects, and a configuration under which it matters.
const KINDS: [(&str, &str, &str); 5] = [
    ("Service", "/api/v1/services", r#"{"topologyFallback":true}"#),
    ("Node", "/api/v1/nodes", r#"{"membership":{"nodeLabel":"zone"}}"#),
    ("NodePool", "/apis/apps.openyurt.io/v1beta2/nodepools", "{}"),
    ("NodeBucket", "/apis/apps.openyurt.io/v1alpha1/nodebuckets", r#"{"membership":"nodeBucket"}"#),
    (
        "CiliumNode",
        "/apis/cilium.io/v2/ciliumnodes",
        r#"{"membership":{"ciliumNodeLabel":"zone"}}"#,
    ),
];

/// The first byte says what the body is, the second how it is cut.
pub fn check(input: &[u8]) -> Looked {
    let Some((&[how, seed], body)) = input.split_first_chunk() else { return Looked::Refused };
    let how = usize::from(how);
    let (kind, path, config) = KINDS[how % KINDS.len()];
    let form = FORMS[how / KINDS.len() % FORMS.len()];
    let protobuf = how / KINDS.len() / FORMS.len() % 2 == 1;
    let target = match form {
        Form::Get if kind == "Service" => "/api/v1/namespaces/shop/services/cart".to_owned(),
        Form::Get => format!("{path}/one"),
        Form::List => path.to_owned(),
        Form::Watch => format!("{path}?watch=true&resourceVersion=9"),
    };
    let (request, head) = (
        RequestHead::get(target),
        ResponseHead::ok(if protobuf {
            "application/vnd.kubernetes.protobuf"
        } else {
            "application/json"
        }),
    );
    let learn = |sizes: &mut dyn Iterator<Item = usize>| {
        let cluster = Cluster::new(Config::from_json(config).unwrap()).unwrap();
        let result = feed(&cluster, &request, &head, body, sizes);
        (cluster, result)
    };
    let (cluster, result) = learn(&mut std::iter::repeat(usize::MAX));
    let (chunked, same) =
        learn(&mut random_chunks(u64::from(seed), if seed == 0 { 1 } else { 40 }));
    assert_eq!(result, same, "chunks make a difference to the error");
    assert_eq!(said(&cluster), said(&chunked), "chunks make a difference to what is learned");
    passes(&request, &head, config, body, &result);
    if result.is_err() {
        return Looked::Refused;
    }
    if form != Form::Watch {
        let before = said(&cluster);
        let again = feed(&cluster, &request, &head, body, &mut std::iter::repeat(usize::MAX));
        assert_eq!(again, Ok(()));
        assert_eq!(said(&cluster).0, before.0, "the same once more is news");
    }
    match (protobuf, form) {
        (false, Form::List) => {
            compare(&cluster, kind, body).map_or(Looked::Refused, |()| Looked::Compared)
        }
        (false, Form::Get) => {
            compare_one(&cluster, kind, body).map_or(Looked::Refused, |()| Looked::Compared)
        }
        _ => Looked::Refused,
    }
}

fn feed(
    cluster: &Cluster,
    request: &RequestHead,
    head: &ResponseHead,
    body: &[u8],
    sizes: &mut dyn Iterator<Item = usize>,
) -> Result<(), Error> {
    let mut feed = cluster.read_facts(request, head).unwrap();
    let mut rest = body;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(sizes.next().unwrap().clamp(1, rest.len()));
        feed.push(chunk)?;
        rest = after;
    }
    feed.finish()
}

/// Describes a cluster.
fn said(cluster: &Cluster) -> (u64, BTreeSet<String>, String, String) {
    let changes = cluster.changes_since(0).unwrap_or_default();
    let changes = changes.iter().map(|change| format!("{change:?}")).collect();
    (
        cluster.generation(),
        changes,
        format!("{:?}", cluster.counters()),
        format!("{:?}", cluster.missing("node")),
    )
}

/// A body with facts passes unchanged, and is read in the same way on its way to a client.
fn passes(
    request: &RequestHead,
    head: &ResponseHead,
    config: &str,
    body: &[u8],
    expected: &Result<(), Error>,
) {
    let cluster = Cluster::new(Config::from_json(config).unwrap()).unwrap();
    let Ok(Action::Rewrite(stream)) = cluster.node("node").open(request, head) else {
        panic!("{request:?} is read as facts")
    };
    let (out, result) = run(stream, body, std::iter::repeat(usize::MAX));
    assert_eq!(&result, expected);
    assert!(body.starts_with(&out), "a body with facts is changed");
    assert!(result.is_err() || out.len() == body.len(), "a body with facts is cut");
}

/// After a list each fact is that of the last item of its name.
fn compare(cluster: &Cluster, kind: &str, body: &[u8]) -> Read<()> {
    let [list] = &*Json::values(body)? else { return Err(Refused) };
    let mut items: &[Json] = &[];
    let (mut continues, mut lists) = (String::new(), 0);
    for (key, value) in list.members()? {
        match key.as_str() {
            "items" => {
                items = value.elements()?;
                lists += 1;
            }
            "metadata" if *value != Json::Null => {
                for (_, token) in value.members()?.iter().filter(|(key, _)| key == "continue") {
                    token.text(&mut continues)?;
                }
            }
            _ => {}
        }
    }
    // Items that are given twice are refused.
    if Header::read(list)?.kind != format!("{kind}List") || !continues.is_empty() || lists != 1 {
        return Err(Refused);
    }
    compare_items(cluster, kind, items)
}

fn compare_one(cluster: &Cluster, kind: &str, body: &[u8]) -> Read<()> {
    match &*Json::values(body)? {
        [object] => compare_items(cluster, kind, std::slice::from_ref(object)),
        _ => Err(Refused),
    }
}

fn compare_items(cluster: &Cluster, kind: &str, items: &[Json]) -> Read<()> {
    let mut last = BTreeMap::new();
    for item in items {
        let header = Header::read(item)?;
        if !header.kind.is_empty() && header.kind != kind || header.name.is_empty() {
            return Err(Refused);
        }
        last.insert((header.namespace.clone(), header.name.clone()), (header, item));
    }
    let mut pools: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (header, item) in last.values() {
        match kind {
            "Service" => {
                let keys =
                    header.annotations.get("openyurt.io/topologyKeys").map_or("", String::as_str);
                let known = cluster.node("node").topology_of(&header.namespace, &header.name);
                let known = known.map(poolscope::Topology::name);
                assert_eq!(known, Some(super::keys::word(keys)), "{header:?}");
            }
            "Node" | "CiliumNode" => {
                if let Some(pool) = header.labels.get("zone").filter(|pool| !pool.is_empty()) {
                    pools.entry(header.name.clone()).or_default().insert(pool.clone());
                }
                let pool = header.labels.get("zone").filter(|pool| !pool.is_empty());
                assert_eq!(cluster.node(header.name.as_str()).pool().as_ref(), pool, "{header:?}");
            }
            "NodePool" => {
                for node in nodes_of_pool(item)? {
                    pools.entry(node).or_default().insert(header.name.clone());
                }
            }
            _ => {
                // A bucket without the label, or with an empty one, is of no pool.
                let pool =
                    header.labels.get("openyurt.io/pool-name").filter(|pool| !pool.is_empty());
                for node in nodes_of_bucket(item)? {
                    pools.entry(node).or_default().extend(pool.cloned());
                }
            }
        }
    }
    for (node, pools) in pools {
        let known: BTreeSet<String> = cluster.node("node").pools_of(&node).into_iter().collect();
        assert_eq!(known, pools, "the pools of {node:?}");
    }
    Ok(())
}

/// `.status.nodes`. Go takes a null for an empty name, which no node has.
fn nodes_of_pool(pool: &Json) -> Read<Vec<String>> {
    let mut nodes = Vec::new();
    for (_, status) in
        pool.members()?.iter().filter(|(key, value)| key == "status" && *value != Json::Null)
    {
        for (_, value) in status.members()?.iter().filter(|(key, _)| key == "nodes") {
            nodes = value
                .elements()?
                .iter()
                .map(Json::pointer)
                .collect::<Read<Vec<_>>>()?
                .into_iter()
                .flatten()
                .collect();
        }
    }
    Ok(nodes)
}

/// `.nodes[].name`.
fn nodes_of_bucket(bucket: &Json) -> Read<Vec<String>> {
    let mut nodes = Vec::new();
    for (_, value) in bucket.members()?.iter().filter(|(key, _)| key == "nodes") {
        nodes.clear();
        for node in value.elements()?.iter().filter(|node| **node != Json::Null) {
            let mut name = String::new();
            for (_, value) in node.members()?.iter().filter(|(key, _)| key == "name") {
                value.text(&mut name)?;
            }
            if !name.is_empty() {
                nodes.push(name);
            }
        }
    }
    Ok(nodes)
}
