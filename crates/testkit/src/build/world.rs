//! Random clusters.

use super::*;

/// A random small cluster, seen from one of its nodes: as the library knows it, and as the naive
/// filter does.
#[derive(Debug, Clone)]
pub struct World {
    pub node: &'static str,
    pub state: State,
    pub view: NodeView,
    /// The view with compact protobuf lists.
    pub compact: NodeView,
}

impl World {
    pub fn draw(draw: &mut Draw<'_>) -> World {
        let node = draw.of(&NODES);
        let mut state = State::default();
        let mut config = Config::openyurt();
        let (mut services, mut nodes, mut pools) = (Vec::new(), Vec::new(), Vec::new());
        let version = |at: usize| (at + 1).to_string();
        for namespace in NAMESPACES {
            for name in &SERVICES[..3] {
                let keys = draw.below(KEYS.len() + 2);
                if keys == KEYS.len() + 1 {
                    continue;
                }
                let keys = KEYS.get(keys).map(|&keys| keys.to_owned());
                let annotations = keys
                    .as_ref()
                    .map(|keys| json!({ "openyurt.io/topologyKeys": keys, "other": "x" }));
                let metadata = json!({
                    "name": name,
                    "namespace": namespace,
                    "annotations": annotations,
                    "resourceVersion": version(services.len()),
                });
                services.push(json!({ "metadata": metadata }));
                state.services.insert(format!("{namespace}/{name}"), keys);
            }
        }
        // 0: the pools say which nodes they have. 1: the nodes' labels do. 2: nothing does.
        let membership = [0, 0, 0, 0, 1, 2][draw.below(6)];
        let label = match membership {
            1 => {
                config = Config::node_label("zone");
                "zone"
            }
            _ => "apps.openyurt.io/nodepool",
        };
        for (at, name) in NODES.into_iter().enumerate() {
            let pool = draw.of(&["hz", "hz", "sh", "pöol", "ghost", "", "-"]);
            let labels = if pool == "-" { json!({}) } else { json!({ label: pool }) };
            nodes.push(json!({
                "metadata": { "name": name, "labels": labels, "resourceVersion": version(at) },
            }));
            if !matches!(pool, "" | "-") {
                state.labels.insert(name.to_owned(), pool.to_owned());
                if membership == 1 {
                    state.pools.entry(pool.to_owned()).or_default().insert(name.to_owned());
                }
            }
        }
        if membership == 0 {
            for (at, pool) in POOLS[..3].iter().enumerate() {
                if draw.one_in(5) {
                    continue;
                }
                let members: Vec<&str> =
                    NODES.into_iter().chain(["stranger"]).filter(|_| draw.below(5) < 2).collect();
                let status =
                    if members.is_empty() { Value::Null } else { json!({ "nodes": members }) };
                pools.push(json!({
                    "metadata": { "name": pool, "resourceVersion": version(at) },
                    "status": status,
                }));
                state
                    .pools
                    .insert((*pool).to_owned(), members.into_iter().map(str::to_owned).collect());
            }
            if draw.one_in(6) {
                let pool = draw.of(&POOLS);
                config.set_pool(Some(pool.to_owned()));
                state.labels.insert(node.to_owned(), pool.to_owned());
            }
        }
        if membership == 2 {
            config = Config::from_json(r#"{"membership":"off"}"#).unwrap();
            state.off = true;
        }
        let view = |config: Config| {
            let cluster = Cluster::new(config).unwrap();
            feed(&cluster, "/api/v1/services", "Service", &services);
            feed(&cluster, "/api/v1/nodes", "Node", &nodes);
            feed(&cluster, "/apis/apps.openyurt.io/v1beta2/nodepools", "NodePool", &pools);
            cluster.node(node)
        };
        let stream = view(config.clone());
        config.set_protobuf_lists(ProtobufLists::Compact);
        World { node, state, view: stream, compact: view(config) }
    }
}
