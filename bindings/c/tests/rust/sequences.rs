//! Calls in any order that a C program may make them in: the fuzzer's bytes say which. Every handle
//! is made, used from many sides and freed at some time, also after those that it came from; every
//! answer is compared with that of Rust.

use poolscope::{RequestHead, ResponseHead};

use super::both::{BodyRewriter, Cluster, Decision, FactReader, Node, same};
use super::c;

const CONFIGS: [&str; 6] = [
    "{}",
    r#"{"topologyFallback":true,"retention":"topology"}"#,
    r#"{"suppressUnchanged":false,"protobufLists":"compact"}"#,
    r#"{"retention":"none","onMissingFact":{"unknownService":"empty","unknownPool":"empty"}}"#,
    r#"{"limits":{"frameBytes":600,"itemBytes":600,"endpoints":3,"depth":9}}"#,
    r#"{"membership":"#,
];
const NODES: [&str; 3] = ["hz-1", "sh-1", ""];
const TARGETS: [&str; 12] = [
    "/api/v1/services",
    "/api/v1/nodes",
    "/apis/apps.openyurt.io/v1beta2/nodepools",
    "/apis/discovery.k8s.io/v1/endpointslices",
    "/apis/discovery.k8s.io/v1/endpointslices?watch=true&resourceVersion=10&allowWatchBookmarks=true",
    "/apis/discovery.k8s.io/v1/endpointslices?watch=true&sendInitialEvents=true&allowWatchBookmarks=true",
    "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/web-1",
    "/api/v1/endpoints?limit=1",
    "/api/v1/services?watch=true&resourceVersion=10",
    "/apis/apps.openyurt.io/v1beta2/nodepools?watch=true&resourceVersion=10",
    "/api/v1/pods",
    "",
];
const TYPES: [&str; 3] = ["application/json", "application/vnd.kubernetes.protobuf", "text/html"];

/// Bodies that go with the targets, whole, so that a few bytes of input are enough to come far.
const BODIES: [&str; 10] = [
    r#"{"kind":"ServiceList","metadata":{"resourceVersion":"10"},"items":[{"metadata":{"namespace":"shop","name":"web","resourceVersion":"3","annotations":{"openyurt.io/topologyKeys":"openyurt.io/nodepool"}}}]}"#,
    r#"{"metadata":{"resourceVersion":"10"},"items":[{"metadata":{"name":"hz-1","resourceVersion":"2","labels":{"apps.openyurt.io/nodepool":"hz"}}},{"metadata":{"name":"sh-1","resourceVersion":"2"}}]}"#,
    r#"{"items":[{"metadata":{"name":"hz","resourceVersion":"4"},"status":{"nodes":["hz-1","hz-2"]}}],"metadata":{"resourceVersion":"10"}}"#,
    r#"{"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v1","metadata":{"resourceVersion":"10"},"items":[{"metadata":{"name":"web-1","namespace":"shop","resourceVersion":"5","labels":{"kubernetes.io/service-name":"web"}},"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"],"nodeName":"hz-1"},{"addresses":["10.0.1.1"],"nodeName":"sh-1"}]}]}"#,
    "{\"type\":\"MODIFIED\",\"object\":{\"kind\":\"EndpointSlice\",\
     \"apiVersion\":\"discovery.k8s.io/v1\",\"metadata\":{\"name\":\"web-1\",\
     \"namespace\":\"shop\",\"resourceVersion\":\"12\",\
     \"labels\":{\"kubernetes.io/service-name\":\"web\"}},\"endpoints\":[{\"nodeName\":\"sh-1\"},\
     {\"nodeName\":\"hz-2\"}]}}\n",
    "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"EndpointSlice\",\
     \"apiVersion\":\"discovery.k8s.io/v1\",\"metadata\":{\"resourceVersion\":\"13\",\
     \"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}}\n",
    r#"{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","metadata":{"name":"web-1","namespace":"shop","resourceVersion":"5","labels":{"kubernetes.io/service-name":"web"}},"endpoints":[{"nodeName":"sh-1"}]}"#,
    r#"{"kind":"EndpointsList","apiVersion":"v1","metadata":{"resourceVersion":"10","continue":"x"},"items":[{"metadata":{"name":"web","namespace":"shop","resourceVersion":"6"},"subsets":[{"addresses":[{"ip":"10.0.0.1","nodeName":"sh-1"}]}]}]}"#,
    "{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"namespace\":\"shop\",\"name\":\"web\",\
     \"resourceVersion\":\"14\",\"annotations\":{\
     \"openyurt.io/topologyKeys\":\"kubernetes.io/hostname,openyurt.io/nodepool,*\"}}}}\n",
    "{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"name\":\"hz\",\"resourceVersion\":\"15\"},\
     \"status\":{\"nodes\":[\"hz-1\",\"sh-1\"]}}}\n",
];

/// How many handles of a kind may be at a time.
const MANY: usize = 4;

/// The handles of the program that the bytes describe.
#[derive(Default)]
struct Program<'a> {
    clusters: Vec<Cluster>,
    nodes: Vec<Node>,
    feeds: Vec<FactReader>,
    streams: Vec<BodyRewriter>,
    /// Opened and not looked into yet.
    opened: Vec<(poolscope::Action, c::Action)>,
    requests: Vec<c::RequestHead>,
    heads: Vec<c::ResponseHead>,
    inventories: Vec<c::Inventory>,
    texts: Vec<String>,
    bytes: std::slice::Iter<'a, u8>,
}

/// Runs the calls that the bytes ask for.
pub fn run(input: &[u8]) {
    let mut program = Program { bytes: input.iter(), ..Program::default() };
    while let Some(call) = program.bytes.next() {
        program.call(*call);
        program.clusters.iter().for_each(Cluster::check);
    }
    // The remaining handles are freed in an order that depends on the last byte.
    match input.last().unwrap_or(&0) % 3 {
        0 => program.clusters.clear(),
        1 => program.streams.clear(),
        _ => program.nodes.clear(),
    }
}

/// One of `handles`, as the next byte says.
macro_rules! one {
    ($program:ident.$handles:ident) => {{
        let at = $program.byte();
        let count = $program.$handles.len();
        if count == 0 {
            return;
        }
        &mut $program.$handles[at % count]
    }};
}

fn keep<T>(handles: &mut Vec<T>, handle: T) {
    if handles.len() == MANY {
        handles.remove(0);
    }
    handles.push(handle);
}

fn free<T>(handles: &mut Vec<T>, at: usize) {
    if !handles.is_empty() {
        handles.swap_remove(at % handles.len());
    }
}

impl Program<'_> {
    fn byte(&mut self) -> usize {
        self.bytes.next().copied().unwrap_or(0).into()
    }

    fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.byte() % items.len()]
    }

    /// A body, or a piece of one, or bytes of the input itself.
    fn body(&mut self) -> Vec<u8> {
        let how = self.byte();
        let body = BODIES[how % 16 % BODIES.len()].as_bytes();
        match how / 16 {
            0..=9 => body.to_vec(),
            10 | 11 => body[..self.byte() * body.len() / 256].to_vec(),
            12 | 13 => body[self.byte() * body.len() / 256..].to_vec(),
            _ => (0..how % 16).map(|_| self.byte() as u8).collect(),
        }
    }

    fn exchange(&mut self) -> (RequestHead, ResponseHead) {
        let how = self.byte();
        let request = RequestHead::get(TARGETS[how % 16 % TARGETS.len()]);
        let head = ResponseHead::new([200, 200, 200, 200, 206, 410][how / 16 % 6])
            .header("Content-Type", TYPES[[0, 0, 0, 0, 1, 2][how / 16 % 6]]);
        (request, head)
    }

    fn call(&mut self, call: u8) {
        match call % 32 {
            0 => {
                let config = self.of(&CONFIGS);
                if let Ok(cluster) = Cluster::new(config) {
                    keep(&mut self.clusters, cluster);
                }
            }
            1 => {
                let name = self.of(&NODES);
                let node = one!(self.clusters).node(name);
                keep(&mut self.nodes, node);
            }
            2 | 3 => {
                let (request, head) = self.exchange();
                if let Ok(feed) = one!(self.clusters).read_facts(&request, &head) {
                    keep(&mut self.feeds, feed);
                }
            }
            4 | 5 => {
                let body = self.body();
                drop(one!(self.feeds).push(&body));
            }
            6 => drop(one!(self.feeds).finish()),
            7 => {
                // All at once: the facts of a small cluster.
                for at in 0..3 {
                    let cluster = one!(self.clusters);
                    let mut feed = cluster
                        .read_facts(&RequestHead::get(TARGETS[at]), &ResponseHead::ok(TYPES[0]))
                        .unwrap();
                    drop(feed.push(BODIES[at].as_bytes()).and_then(|()| feed.finish()));
                }
            }
            8..=10 => {
                let (request, head) = self.exchange();
                let alone = call % 32 == 10;
                let node = one!(self.nodes);
                let opened = if alone {
                    node.open_stateless(&request, &head)
                } else {
                    node.open(&request, &head)
                };
                if let Ok(Decision::Rewrite(stream)) = opened {
                    keep(&mut self.streams, stream);
                }
            }
            11..=13 => {
                let body = self.body();
                drop(one!(self.streams).push(&body));
            }
            14 => drop(one!(self.streams).refresh()),
            15 => drop(one!(self.streams).finish()),
            16 => drop(one!(self.streams).needed_lists()),
            17 => {
                let (body, (_, head)) = (self.body(), self.exchange());
                drop(one!(self.streams).provide_list(&head, &body));
            }
            18 => {
                let (request, head) = self.exchange();
                let node = one!(self.nodes);
                let (asked, said) = (c::RequestHead::of(&request), c::ResponseHead::of(&head));
                if let Ok(opened) =
                    same(node.rust.open(&request, &head), node.c.open(&asked, &said))
                {
                    keep(&mut self.opened, opened);
                }
                keep(&mut self.requests, asked);
                keep(&mut self.heads, said);
            }
            19 => {
                let at = self.byte();
                if !self.opened.is_empty() {
                    let (rust, c) = self.opened.swap_remove(at % self.opened.len());
                    drop(c.reply.as_ref().map(c::Reply::read));
                    drop((rust, c));
                }
            }
            20 => {
                let name = NODES[self.byte() % 3];
                let request = one!(self.requests);
                request.add_header("Accept", name);
            }
            21 => {
                let request = self.byte();
                let node = one!(self.nodes);
                if let Some(request) = self.requests.get_mut(request) {
                    request.headers = node
                        .c
                        .prepare(request)
                        .unwrap()
                        .read()
                        .into_iter()
                        .map(|(name, value)| (name.into_bytes(), value.into_bytes()))
                        .collect();
                }
            }
            22 => {
                let node = one!(self.nodes);
                drop((
                    node.c.is_ready(),
                    node.c.describe(),
                    node.c.judge("shop", "web", "sh-1").unwrap(),
                ));
            }
            23 => {
                let kind = ["Service", "NodePool", "Pod"][self.byte() % 3];
                let cluster = one!(self.clusters);
                // On both sides, or they would differ afterwards.
                let kinds = [
                    ("Service", poolscope::FactKind::Service),
                    ("NodePool", poolscope::FactKind::NodePool),
                ];
                match kinds.iter().find(|(name, _)| *name == kind) {
                    Some((_, fact)) => {
                        cluster.rust.invalidate_source(*fact);
                        cluster.c.invalidate_source(kind).unwrap();
                    }
                    None => assert!(cluster.c.invalidate_source(kind).is_err()),
                }
            }
            24 => {
                let generation = self.byte() as u64;
                drop(one!(self.clusters).c.changes_since(generation));
            }
            25 => {
                let body = self.body();
                if self.inventories.is_empty() {
                    self.inventories.push(c::Inventory::new());
                }
                drop(self.inventories[0].load(&body));
                let node = one!(self.nodes);
                self.texts.push(self.inventories[0].view(&node.c));
                drop(self.inventories[0].find(&node.c, "shop", "web"));
            }
            26 => free(&mut self.clusters, call.into()),
            27 => free(&mut self.nodes, call.into()),
            28 => free(&mut self.feeds, call.into()),
            29 => free(&mut self.streams, call.into()),
            30 => free(&mut self.opened, call.into()),
            _ => {
                free(&mut self.requests, call.into());
                free(&mut self.heads, call.into());
                free(&mut self.inventories, call.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_once_failed_holds() {
        for (file, input) in poolscope_testkit::found("abi") {
            println!("{file}");
            super::run(&input);
        }
    }

    /// A program that gets somewhere: a cluster with facts, a list, its watch, a fact change, the
    /// refresh.
    #[test]
    fn a_whole_life_can_be_said_in_bytes() {
        super::run(&[
            0, 0, 7, 0, 0, 0, 1, 0, 0, 8, 3, 0, 11, 3, 0, 15, 0, 8, 4, 0, 11, 4, 1, 2, 9, 0, 4, 9,
            0, 14, 1, 16, 1, 26, 11, 4, 1, 14, 1,
        ]);
        for seed in 0..2000u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let bytes = std::iter::repeat_with(|| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 24) as u8
            });
            let mut input = vec![0, 0, 7, 0, 0, 0, 1, 0, 0];
            input.extend(bytes.take(60));
            super::run(&input);
        }
    }
}
