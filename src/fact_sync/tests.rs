use std::time::Duration;

use super::*;
use crate::{Cluster, Config};

/// What a server does with one request.
#[derive(Debug, Clone, Copy)]
enum Answer {
    /// No connection.
    Refuse,
    Status(u16),
    /// A status, and `Retry-After` in seconds.
    Later(u16, &'static str),
    /// The body of a 200 response, and what becomes of it.
    Body(&'static str, Then),
}

#[derive(Debug, Clone, Copy)]
enum Then {
    /// It ends after so many milliseconds.
    End(u64),
    /// It breaks off.
    Break,
    /// Nothing more comes.
    Silence,
}

use Answer::{Body, Later, Refuse, Status};
use Then::{Break, End, Silence};

const NOTHING: &str = r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9","annotations":{"k8s.io/initial-events-end":"true"}}}}"#;
const ITEM: &str = r#"{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"7"}}}"#;
const CHANGE: &str =
    r#"{"type":"MODIFIED","object":{"metadata":{"name":"a","resourceVersion":"12"}}}"#;
const BOOKMARK: &str = r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"15"}}}"#;
const CUT: &str = r#"{"type":"MODIFIED","object":{"metadata":{"name":"a","resourceVersion":"12"}}}{"type":"MODIF"#;
const LIST: &str = r#"{"kind":"NodePoolList","metadata":{"resourceVersion":"7"},"items":[]}"#;
const OPAQUE: &str = r#"{"kind":"NodePoolList","metadata":{"resourceVersion":"abc"},"items":[]}"#;
const EXPIRED: &str =
    r#"{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old"}}"#;
const BUSY: &str = r#"{"type":"ERROR","object":{"kind":"Status","code":429,"message":"busy"}}"#;
const INTERNAL: &str = r#"{"type":"ERROR","object":{"kind":"Status","code":500,"message":"etcd"}}"#;

fn sync_of(config: Config) -> FactSync {
    FactSync::new(Cluster::new(config).unwrap().node("hz-1"), 3)
}

/// A request in short: how, at which version, in which API version, and how much.
fn short(request: &FactRequest) -> String {
    let target = &request.target;
    let how = match target.split_once("resourceVersion=") {
        _ if target.contains("sendInitialEvents=true") => "WatchList".to_owned(),
        Some((_, "0")) => "List".to_owned(),
        Some((_, rest)) if rest.starts_with("0&") => "List".to_owned(),
        Some((_, rest)) => format!("Watch@{}", rest.split('&').next().unwrap()),
        None => panic!("{target}"),
    };
    assert_eq!(target.contains("watch=true"), how != "List", "{target}");
    let timeout = target.split_once("timeoutSeconds=").map(|(_, rest)| rest.split('&').next());
    let timeout = timeout.map(|seconds| seconds.unwrap().parse::<u64>().unwrap());
    assert_eq!(timeout.is_some_and(|seconds| (300..600).contains(&seconds)), how != "List");
    let version = target.split('?').next().unwrap().split('/').nth_back(1).unwrap();
    let own = if request.only_own_node { " own" } else { "" };
    format!("{how} {version}{own}")
}

/// A delay in short: the longest of the doubling delays that it may be.
fn wait(delay: Duration) -> String {
    let mut longest = Duration::from_millis(200);
    if delay.is_zero() {
        return "at once".to_owned();
    }
    while longest < delay {
        longest = (longest * 2).min(Duration::from_secs(30));
        if delay > Duration::from_secs(30) {
            assert!((300..=375).contains(&delay.as_secs()), "{delay:?}");
            return "300 to 375 s".to_owned();
        }
    }
    format!("<={} s", longest.as_secs_f32())
}

/// Drives one kind with these answers; the others are answered well. Returns its requests, each
/// with the delay since the last response was over, and the messages of failures.
fn requests(mut sync: FactSync, kind: FactKind, answers: &[Answer]) -> (Vec<String>, Vec<String>) {
    let (mut requests, mut messages) = (Vec::new(), Vec::new());
    let (mut now, mut over) = (Duration::ZERO, Duration::ZERO);
    let mut answers = answers.iter().copied();
    let mut silent = None;
    let json = ResponseHead::ok("application/json");
    loop {
        match sync.next(now) {
            FactStep::Fetch(request) if request.kind != kind => {
                sync.head(request.id, &json, now);
                sync.push(request.id, NOTHING.as_bytes(), now);
            }
            FactStep::Fetch(request) => {
                requests.push(format!("{} {}", short(&request), wait(now - over)));
                let Some(answer) = answers.next() else { return (requests, messages) };
                let id = request.id;
                match answer {
                    Refuse => sync.broke(id, "connection refused", now),
                    Status(status) => {
                        assert!(!sync.head(id, &ResponseHead::new(status), now));
                    }
                    Later(status, seconds) => {
                        let head = ResponseHead::new(status).header("Retry-After", seconds);
                        assert!(!sync.head(id, &head, now));
                    }
                    Body(body, then) => {
                        assert!(sync.head(id, &json, now), "{messages:?}");
                        let is_wanted =
                            body.as_bytes().chunks(5).all(|part| sync.push(id, part, now));
                        assert_eq!(is_wanted, !body.contains("ERROR"), "{body}");
                        match then {
                            End(after) => {
                                now += Duration::from_millis(after);
                                sync.end(id, now);
                            }
                            Break => sync.broke(id, "connection reset", now),
                            Silence => silent = Some(id),
                        }
                    }
                }
                over = now;
            }
            FactStep::Cancel(id) => {
                if silent == Some(id) {
                    assert!(!sync.push(id, b"{", now));
                    over = now;
                }
            }
            FactStep::Failed { kind: failed, message, again_in } => {
                assert!(again_in <= Duration::from_secs(375));
                // The others fall silent while time passes.
                if failed == kind {
                    messages.push(message);
                }
            }
            FactStep::Answered(_) => {}
            FactStep::Wait(Some(time)) => now += time,
            FactStep::Wait(None) => panic!("nothing is needed"),
        }
    }
}

fn pools(answers: &[Answer]) -> Vec<String> {
    requests(sync_of(Config::openyurt()), FactKind::NodePool, answers).0
}

/// The situations, and the requests that they lead to.
#[test]
fn every_situation_has_its_requests() {
    let first = "WatchList v1beta2 at once";
    let live = Body(NOTHING, End(6000));
    let table: &[(&str, &[Answer], &[&str])] = &[
        ("a watch ends", &[live], &["Watch@9 v1beta2 <=0.2 s"]),
        (
            "no WatchList",
            &[Status(422), Body(LIST, End(0))],
            &["List v1beta2 at once", "Watch@7 v1beta2 at once"],
        ),
        ("WatchList ignored", &[Body(ITEM, Silence)], &["List v1beta2 <=0.2 s"]),
        (
            "a list that is refused",
            &[Status(422), Status(422), Status(400)],
            &["List v1beta2 at once", "List v1beta2 <=0.2 s", "List v1beta2 <=0.4 s"],
        ),
        (
            "no connection",
            &[Refuse; 3],
            &[
                "WatchList v1beta2 <=0.2 s",
                "WatchList v1beta2 <=0.4 s",
                "WatchList v1beta2 <=0.8 s",
            ],
        ),
        (
            "older API versions",
            &[Status(404), Status(404), Status(404), Status(404), live],
            &[
                "WatchList v1beta1 <=0.2 s",
                "WatchList v1alpha1 <=0.4 s",
                "WatchList v1beta2 <=0.8 s",
                "WatchList v1beta1 <=1.6 s",
                "Watch@9 v1beta1 <=0.2 s",
            ],
        ),
        (
            "410 to a watch",
            &[live, Status(410)],
            &["Watch@9 v1beta2 <=0.2 s", "WatchList v1beta2 <=0.4 s"],
        ),
        (
            "500 to a watch",
            &[live, Status(500)],
            &["Watch@9 v1beta2 <=0.2 s", "Watch@9 v1beta2 <=0.4 s"],
        ),
        (
            "ERROR 410",
            &[live, Body(EXPIRED, Silence)],
            &["Watch@9 v1beta2 <=0.2 s", "WatchList v1beta2 <=0.4 s"],
        ),
        (
            "ERROR 500",
            &[live, Body(INTERNAL, Silence)],
            &["Watch@9 v1beta2 <=0.2 s", "WatchList v1beta2 <=0.4 s"],
        ),
        (
            "ERROR 429",
            &[live, Body(BUSY, Silence)],
            &["Watch@9 v1beta2 <=0.2 s", "Watch@9 v1beta2 <=0.4 s"],
        ),
        (
            "events move the version",
            &[live, Body(CHANGE, End(6000)), Body(BOOKMARK, End(6000))],
            &["Watch@9 v1beta2 <=0.2 s", "Watch@12 v1beta2 <=0.2 s", "Watch@15 v1beta2 <=0.2 s"],
        ),
        (
            "cut inside an event",
            &[live, Body(CUT, Break), Body(CUT, End(0))],
            &["Watch@9 v1beta2 <=0.2 s", "Watch@12 v1beta2 <=0.4 s", "Watch@12 v1beta2 <=0.8 s"],
        ),
        (
            "cut among the initial events",
            &[Body(ITEM, Break), Body(ITEM, End(9000))],
            &["WatchList v1beta2 <=0.2 s", "WatchList v1beta2 <=0.4 s"],
        ),
        (
            "a live watch falls silent",
            &[Body(NOTHING, Silence), Status(410)],
            &["Watch@9 v1beta2 <=0.2 s", "WatchList v1beta2 <=0.4 s"],
        ),
        (
            "WatchList ignored, and the watch ends",
            &[Body(CHANGE, End(40_000)), Body(LIST, End(0))],
            &["List v1beta2 <=0.2 s", "Watch@7 v1beta2 at once"],
        ),
        (
            "a version that a watch cannot start at",
            &[live, Status(400), Status(422)],
            &["Watch@9 v1beta2 <=0.2 s", "WatchList v1beta2 <=0.4 s", "List v1beta2 at once"],
        ),
        (
            "a list without a version",
            &[Status(422), Body(OPAQUE, End(0)), Body(OPAQUE, End(0))],
            &["List v1beta2 at once", "List v1beta2 <=0.2 s", "List v1beta2 <=0.4 s"],
        ),
        (
            "the server is busy",
            &[Later(429, "7"), Later(503, "900")],
            &["WatchList v1beta2 <=12.8 s", "WatchList v1beta2 300 to 375 s"],
        ),
        (
            "a list is cut",
            &[Status(400), Body(&LIST[..20], End(0)), Body(LIST, End(0))],
            &["List v1beta2 at once", "List v1beta2 <=0.2 s", "Watch@7 v1beta2 at once"],
        ),
        (
            "a list of something else",
            &[Status(400), Body(r#"{"kind":"Table","metadata":{},"rows":[]}"#, End(0))],
            &["List v1beta2 at once", "List v1beta2 <=0.2 s"],
        ),
        (
            "watches that end at once",
            &[Body(NOTHING, End(0)), Body("", End(0)), Body("", End(0)), Body("", End(5000))],
            &[
                "Watch@9 v1beta2 <=0.2 s",
                "Watch@9 v1beta2 <=0.4 s",
                "Watch@9 v1beta2 <=0.8 s",
                "Watch@9 v1beta2 <=0.2 s",
            ],
        ),
        (
            "a list and 410, again and again",
            &[Status(422), Body(LIST, End(0)), Status(410), Body(LIST, End(0)), Status(410)],
            &[
                "List v1beta2 at once",
                "Watch@7 v1beta2 at once",
                "List v1beta2 <=0.2 s",
                "Watch@7 v1beta2 at once",
                "List v1beta2 <=0.4 s",
            ],
        ),
    ];
    for (situation, answers, expected) in table {
        let requests = pools(answers);
        assert_eq!(requests[0], first, "{situation}");
        assert_eq!(requests[1..], **expected, "{situation}");
    }
}

#[test]
fn a_failure_says_what_to_do() {
    let message =
        |answer| requests(sync_of(Config::openyurt()), FactKind::NodePool, &[answer]).1.remove(0);
    let target = "GET /apis/apps.openyurt.io/v1beta2/nodepools: ";
    for (answer, words) in [
        (Status(403), "verbs list and watch on nodepools.apps.openyurt.io"),
        (Status(404), "all versions that are tried: v1beta2, v1beta1, v1alpha1"),
        (Status(401), "does not accept the credentials"),
        (Refuse, "connection refused"),
        (Body(INTERNAL, Silence), "ERROR 500: etcd"),
        (Body("}", End(0)), "malformed JSON"),
    ] {
        let message = match answer {
            Body("}", _) => {
                let mut sync = sync_of(Config::openyurt());
                let FactStep::Fetch(request) = sync.next(Duration::ZERO) else { panic!() };
                let json = ResponseHead::ok("application/json");
                assert!(sync.head(request.id, &json, Duration::ZERO));
                assert!(!sync.push(request.id, b"}", Duration::ZERO));
                let FactStep::Failed { message, .. } = sync.next(Duration::ZERO) else { panic!() };
                message.replace("/api/v1/services", "/apis/apps.openyurt.io/v1beta2/nodepools")
            }
            answer => message(answer),
        };
        assert!(message.starts_with(target) && message.contains(words), "{message}");
    }
}

/// The kinds that are asked for first.
fn kinds(sync: &mut FactSync) -> Vec<String> {
    let mut kinds = Vec::new();
    while let FactStep::Fetch(request) = sync.next(Duration::ZERO) {
        kinds.push(format!("{} {}", request.kind, short(&request)));
    }
    kinds
}

#[test]
fn only_what_is_needed_is_fetched() {
    let of = |config| kinds(&mut sync_of(config));
    assert_eq!(
        of(Config::openyurt()),
        ["Service WatchList v1", "Node WatchList v1 own", "NodePool WatchList v1beta2"]
    );
    assert_eq!(of(Config::node_label("zone")), ["Service WatchList v1", "Node WatchList v1"]);
    let mut config = Config::openyurt();
    config.set_pool(Some("hangzhou".to_owned())).set_membership(crate::Membership::NodeBucket);
    assert_eq!(of(config.clone()), ["Service WatchList v1", "NodeBucket WatchList v1alpha1"]);
    config.set_service_topology(false);
    assert_eq!(of(config), [""; 0]);
}

#[test]
fn what_the_client_reads_is_left_to_it_until_it_is_required() {
    let mut sync = sync_of(Config::openyurt());
    for kind in [FactKind::Service, FactKind::Node, FactKind::CiliumNode] {
        sync.leave_to_client(kind);
    }
    assert_eq!(kinds(&mut sync), ["NodePool WatchList v1beta2"]);
    sync.require(FactKind::Service);
    assert_eq!(kinds(&mut sync), ["Service WatchList v1"]);
    assert_eq!(kinds(&mut sync), [""; 0]);

    // The client reads its own Node; where all are needed, that is too little.
    let mut sync = sync_of(Config::node_label("zone"));
    sync.leave_to_client(FactKind::Node);
    assert_eq!(kinds(&mut sync), ["Service WatchList v1", "Node WatchList v1"]);
}

fn read_node(cluster: &Cluster) {
    let request = crate::RequestHead::get("/api/v1/nodes/hz-1");
    let json = ResponseHead::ok("application/json");
    let mut reader = cluster.read_facts(&request, &json).unwrap();
    reader.push(br#"{"metadata":{"name":"hz-1"}}"#).unwrap();
    reader.finish().unwrap();
}

/// The ConfigMap decides whether a client gets endpoints filtered at all.
#[test]
fn kinds_become_necessary_and_unnecessary() {
    let mut config = Config::openyurt();
    config.set_clients(crate::Clients::YurtHub);
    let cluster = Cluster::new(config).unwrap();
    let node = cluster.node("hz-1").client("cilium-agent/1.20");
    let mut sync = FactSync::new(node.clone(), 3);
    let now = Duration::ZERO;
    // What is known of the own Node and the ConfigMap does not count then, either.
    read_node(&cluster);
    let FactStep::Fetch(request) = sync.next(now) else { panic!() };
    assert_eq!(request.kind, FactKind::ConfigMap);
    assert!(request.target.contains("fieldSelector=metadata.name%3Dyurt-hub-cfg"));
    let json = ResponseHead::ok("application/json");
    assert!(sync.head(request.id, &json, now));
    let config_map = |event, version, clients: &str| {
        format!(
            r#"{{"type":"{event}","object":{{"kind":"ConfigMap","metadata":{{"name":"yurt-hub-cfg",
            "namespace":"kube-system","resourceVersion":"{version}"}},"data":{{"servicetopology":"{clients}"}}}}}}"#
        )
    };
    assert!(sync.push(request.id, config_map("ADDED", 5, "cilium-agent").as_bytes(), now));
    assert!(sync.push(request.id, NOTHING.as_bytes(), now));
    assert_eq!(sync.next(now), FactStep::Answered(FactKind::ConfigMap));
    let fetches = kinds(&mut sync);
    assert_eq!(fetches.len(), 3, "{fetches:?}");
    assert!(!node.missing().is_empty());

    assert!(sync.push(request.id, config_map("MODIFIED", 12, "coredns").as_bytes(), now));
    for kind in [FactKind::Service, FactKind::Node, FactKind::NodePool] {
        assert!(matches!(sync.next(now), FactStep::Cancel(_)));
        assert_eq!(sync.next(now), FactStep::Answered(kind));
    }
    assert!(matches!(sync.next(now), FactStep::Wait(Some(_))));
    assert!(node.missing().is_empty());

    // What was read in between is not trusted when it is needed again.
    assert!(sync.push(request.id, config_map("MODIFIED", 13, "cilium-agent").as_bytes(), now));
    assert_eq!(node.missing().len(), 3);
    assert_eq!(kinds(&mut sync).len(), 3);
}

/// Answers all requests that are due with an empty WatchList. Returns their kinds.
fn answer(sync: &mut FactSync) -> Vec<FactKind> {
    let (now, json) = (Duration::ZERO, ResponseHead::ok("application/json"));
    let mut kinds = Vec::new();
    loop {
        match sync.next(now) {
            FactStep::Fetch(request) => {
                assert!(sync.head(request.id, &json, now));
                assert!(sync.push(request.id, NOTHING.as_bytes(), now));
                kinds.push(request.kind);
            }
            FactStep::Wait(_) => return kinds,
            _ => {}
        }
    }
}

/// Without that a node would wait for a list that nobody requests.
#[test]
fn facts_that_were_invalidated_are_read_anew_by_every_sync() {
    let cluster = Cluster::new(Config::openyurt()).unwrap();
    let nodes = ["hz-1", "hz-2"].map(|name| cluster.node(name));
    let mut syncs = nodes.clone().map(|node| FactSync::new(node, 3));
    syncs.iter_mut().for_each(|sync| assert_eq!(answer(sync).len(), 3));
    cluster.invalidate_source(FactKind::Service);
    for (node, sync) in nodes.iter().zip(&mut syncs) {
        assert!(matches!(sync.next(Duration::ZERO), FactStep::Cancel(_)));
        assert_eq!(answer(sync), [FactKind::Service]);
        assert!(node.missing().is_empty());
    }
    // One that does not need the kind any more takes it away from the other.
    syncs[0].leave_to_client(FactKind::NodePool);
    assert_eq!(answer(&mut syncs[0]), []);
    assert_eq!(nodes[1].missing().len(), 1);
    assert_eq!(answer(&mut syncs[1]), [FactKind::NodePool]);
    assert!(nodes.iter().all(|node| node.missing().is_empty()));
}

/// Facts that were complete are missing again after they were not followed for a while.
#[test]
fn facts_that_nobody_follows_are_not_complete() {
    let cluster = Cluster::new(Config::openyurt()).unwrap();
    let node = cluster.node("hz-1");
    let mut sync = FactSync::new(node.clone(), 3);
    let json = ResponseHead::ok("application/json");
    while let FactStep::Fetch(request) = sync.next(Duration::ZERO) {
        assert!(sync.head(request.id, &json, Duration::ZERO));
        assert!(sync.push(request.id, NOTHING.as_bytes(), Duration::ZERO));
        let FactStep::Answered(kind) = sync.next(Duration::ZERO) else { panic!() };
        assert_eq!(kind, request.kind);
    }
    assert!(node.missing().is_empty());
    sync.leave_to_client(FactKind::Service);
    assert!(matches!(sync.next(Duration::ZERO), FactStep::Cancel(_)));
    assert_eq!(node.missing().len(), 1);
}

/// Returns the seconds from the first request to its cancellation, and the failure. The head comes
/// after ten seconds, then `body`; `busy`: and an event every twenty seconds.
fn silence_after(body: &str, busy: bool) -> (u64, String) {
    let mut config = Config::openyurt();
    config.set_membership(crate::Membership::Off);
    let mut sync = sync_of(config);
    let (mut now, json) = (Duration::from_secs(10), ResponseHead::ok("application/json"));
    let FactStep::Fetch(request) = sync.next(Duration::ZERO) else { panic!() };
    assert_eq!(request.id.number(), 1);
    assert!(sync.head(request.id, &json, now));
    assert!(sync.push(request.id, body.as_bytes(), now));
    let mut cancelled = None;
    loop {
        match sync.next(now) {
            FactStep::Wait(time) if busy => {
                now += time.unwrap().min(Duration::from_secs(20));
                sync.push(request.id, CHANGE.as_bytes(), now);
            }
            FactStep::Wait(time) => now += time.unwrap(),
            FactStep::Cancel(id) => cancelled = Some((id, now.as_secs())),
            FactStep::Failed { message, .. } => {
                let (id, seconds) = cancelled.expect("a response that is cancelled");
                assert_eq!(id, request.id);
                while let FactStep::Wait(time) = sync.next(now) {
                    now += time.unwrap();
                }
                // The next one has the next number.
                assert!(!sync.head(request.id, &json, now));
                assert!(sync.head(FetchId::from_number(2), &json, now));
                return (seconds, message);
            }
            _ => {}
        }
    }
}

#[test]
fn silence_counts_from_the_last_byte_and_is_longer_in_a_live_watch() {
    let message = "GET /api/v1/services: nothing came for 150 s";
    assert_eq!(silence_after(NOTHING, false), (160, message.to_owned()));
    for (body, busy, seconds) in [(ITEM, false, 40), ("", false, 40), (ITEM, true, 130)] {
        let (cancelled, message) = silence_after(body, busy);
        assert_eq!(cancelled, seconds);
        assert!(message.contains("did not end"), "{message}");
    }
}

#[test]
fn calls_about_an_unknown_request_change_nothing() {
    let mut sync = sync_of(Config::openyurt());
    let json = ResponseHead::ok("application/json");
    let FactStep::Fetch(request) = sync.next(Duration::ZERO) else { panic!() };
    for id in [FetchId::from_number(0), FetchId::from_number(99)] {
        assert!(!sync.head(id, &json, Duration::ZERO));
        assert!(!sync.push(id, b"{}", Duration::ZERO));
        sync.end(id, Duration::ZERO);
        sync.broke(id, "?", Duration::ZERO);
    }
    // Nor do a body before its head, and a second head.
    assert!(!sync.push(request.id, b"{}", Duration::ZERO));
    assert!(sync.head(request.id, &json, Duration::ZERO));
    assert!(!sync.head(request.id, &json, Duration::ZERO));
    assert!(sync.push(request.id, NOTHING.as_bytes(), Duration::ZERO));
    assert_eq!(sync.next(Duration::ZERO), FactStep::Answered(FactKind::Service));
}

/// Requests of one kind in each of ten minutes under one failure that does not end.
fn per_minute(answer: Answer) -> [usize; 10] {
    let mut sync = sync_of(Config::openyurt());
    let mut minutes = [0; 10];
    let json = ResponseHead::ok("application/json");
    let mut now = Duration::ZERO;
    loop {
        match sync.next(now) {
            FactStep::Fetch(request) => {
                if request.kind == FactKind::NodePool {
                    minutes[now.as_secs() as usize / 60] += 1;
                }
                match answer {
                    Refuse => sync.broke(request.id, "", now),
                    Status(status) => {
                        sync.head(request.id, &ResponseHead::new(status), now);
                    }
                    Later(..) => unreachable!(),
                    Body(body, then) => {
                        sync.head(request.id, &json, now);
                        sync.push(request.id, body.as_bytes(), now);
                        match then {
                            End(_) => sync.end(request.id, now),
                            Break => sync.broke(request.id, "", now),
                            Silence => {}
                        }
                    }
                }
            }
            FactStep::Wait(Some(time)) => now += time,
            _ => {}
        }
        if now >= Duration::from_secs(600) {
            return minutes;
        }
    }
}

#[test]
fn a_failure_that_lasts_makes_few_requests() {
    for answer in [
        Refuse,
        Status(500),
        Status(403),
        Status(404),
        Status(410),
        Body("", End(0)),
        Body(NOTHING, End(0)),
        Body(NOTHING, Break),
        Body(ITEM, Break),
        Body(EXPIRED, Silence),
        Body(BUSY, Silence),
        Body("}", End(0)),
        Body("", Silence),
        Body(ITEM, Silence),
    ] {
        let minutes = per_minute(answer);
        println!("{answer:?}: {minutes:?}");
        assert!(minutes[0] > 0 && minutes[0] <= 12, "{answer:?}: {minutes:?}");
        assert!(minutes[1..].iter().all(|&count| count <= 5), "{answer:?}: {minutes:?}");
        // Nor does it give up.
        assert!(minutes[2..].iter().sum::<usize>() >= 4, "{answer:?}: {minutes:?}");
    }
}
