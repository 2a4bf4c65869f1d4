//! The ten steps of the life, one by one.

use super::*;

/// The version at which each of the ten steps is over, by what was written down when they were
/// made.
pub(crate) fn steps() -> [u64; 10] {
    let operations = fs::read_to_string(format!("{DATA}/recorded/changes.ops.jsonl")).unwrap();
    let operations: Vec<Value> =
        operations.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let version =
        |operation: &Value| operation["resourceVersion"].as_str().unwrap().parse::<u64>().ok();
    // Deletions are written down without a version, and a Node is made in two writes: so by what
    // comes before or after.
    let after = |note: &str| {
        operations
            .iter()
            .filter(|operation| operation["note"] == note)
            .filter_map(version)
            .max()
            .unwrap()
    };
    let before = |note: &str| {
        operations
            .iter()
            .filter(|operation| operation["note"] == note)
            .filter_map(version)
            .min()
            .unwrap()
            - 1
    };
    [
        after("it is gone"),
        after("no endpoints"),
        after("openyurt.io/topologyKeys = \"\""),
        after("a change after the move"),
        before("340 endpoints, service search"),
        before("becomes headless: leaves a selected watch"),
        after("moves to another service"),
        after("burst"),
        after("4 endpoints, service catalog"),
        u64::MAX,
    ]
}

/// Lives until `step` is over, with a refresh after every fact change. Returns what happened
/// during that step, line by line: facts as `Service MODIFIED shop/cart`, what passed as `MODIFIED
/// shop/cart-1@244 [0.3 0.4]` (without 10.244.), and after `+` what was emitted without upstream
/// having said anything.
pub(crate) fn through(life: &mut Life<'_>, step: usize) -> Vec<String> {
    let ends = steps();
    let begin = if step == 1 { 243 } else { ends[step - 2] };
    let mut happened = Vec::new();
    for piece in pieces(&life.form.lines, Order::Version) {
        if piece.version > ends[step - 1] {
            break;
        }
        let before = life.pushed[piece.line].1;
        let said = life.step(&piece);
        if piece.version <= begin {
            continue;
        }
        let line = &life.form.lines[piece.line];
        let facts = line.events[before..].iter().take(if line.of == Of::Endpoints { 0 } else { 1 });
        let facts = facts.filter(|(_, event)| !event.is("BOOKMARK"));
        happened.extend(
            facts.map(|(_, event)| format!("{:?} {} {}", line.of, event.event, event.name)),
        );
        happened.extend(said.iter().map(Said::to_string));
    }
    happened
}

/// Both encodings, listed and watched as a list.
pub(crate) fn forms() -> &'static [Form] {
    static FORMS: OnceLock<Vec<Form>> = OnceLock::new();
    FORMS.get_or_init(|| {
        [false, true]
            .into_iter()
            .flat_map(|protobuf| [Form::list_then_watch(protobuf), Form::watch_list(protobuf)])
            .collect()
    })
}

/// Lives through a step in every form, and looks at what happened and at what the client holds in
/// the end.
pub(crate) fn in_step(step: usize, node: &str, look: impl Fn(&Life<'_>, &[&str])) {
    for form in forms() {
        let mut life = Life::begin(form, node, true);
        if !form.lists.is_empty() {
            assert!(life.open());
        }
        let happened = through(&mut life, step);
        let happened: Vec<&str> = happened.iter().map(String::as_str).collect();
        look(&life, &happened);
    }
}

pub(crate) fn expect<'e>(step: usize, node: &str, expected: impl AsRef<[&'e str]>) {
    in_step(step, node, |life, happened| assert_eq!(happened, expected.as_ref(), "{}", life.what));
}

/// The start of `prefix`, without the addresses.
pub(crate) fn names<'h>(happened: &[&'h str], prefix: &str) -> Vec<&'h str> {
    happened
        .iter()
        .filter_map(|line| line.strip_prefix(prefix))
        .map(|line| line.split(" [").next().unwrap())
        .collect()
}

#[test]
fn step_1_an_endpoint_is_born_becomes_ready_terminates_and_goes() {
    expect(
        1,
        "hz-edge-1",
        [
            "MODIFIED shop/cart-fhmwb@244 [0.3 0.4 0.5 0.250]",
            "MODIFIED shop/cart-fhmwb@245 [0.3 0.4 0.5 0.250]",
            "MODIFIED shop/cart-fhmwb@246 [0.3 0.4 0.5 0.250]",
            "MODIFIED shop/cart-fhmwb@247 [0.3 0.4 0.5]",
        ],
    );
    // It is of another pool: of no interest there.
    expect(1, "sh-edge-1", []);
}

#[test]
fn step_2_a_slice_is_made_reordered_deleted_made_again_and_emptied() {
    // None of its first five endpoints is in the pool, so their order says nothing.
    expect(
        2,
        "hz-edge-1",
        [
            "ADDED shop/cart-extra@248 []",
            "DELETED shop/cart-extra@250 []",
            "ADDED shop/cart-extra@251 [1.8]",
            "MODIFIED shop/cart-extra@252 []",
        ],
    );
    in_step(2, "sh-edge-1", |life, happened| {
        let expected = [
            "ADDED shop/cart-extra@248 [1.1 1.4]",
            "MODIFIED shop/cart-extra@249 [1.4 1.1]",
            "DELETED shop/cart-extra@250 [1.4 1.1]",
            "ADDED shop/cart-extra@251 []",
            // An empty array is null now, which protobuf does not distinguish.
            "MODIFIED shop/cart-extra@252 []",
        ];
        assert_eq!(happened, &expected[..if life.form.protobuf { 4 } else { 5 }], "{}", life.what);
    });
}

#[test]
fn step_3_a_service_gets_a_key_another_and_none() {
    expect(
        3,
        "hz-edge-1",
        [
            "Service MODIFIED shop/frontend",
            "+ MODIFIED shop/frontend-jsb9x@252 [0.73]",
            "+ MODIFIED shop/frontend-s5gws@252 [0.81]",
            "+ BOOKMARK@252",
            "MODIFIED shop/frontend-jsb9x@254 [0.73]",
            "Service MODIFIED shop/frontend",
            "+ MODIFIED shop/frontend-jsb9x@254 []",
            // The other slice has hz-edge-1's own endpoint and no other of its pool: nothing to
            // say.
            "+ BOOKMARK@254",
            "Service MODIFIED shop/frontend",
            "+ MODIFIED shop/frontend-jsb9x@254 [0.70 0.71 0.72 0.73 0.74 0.75]",
            "+ MODIFIED shop/frontend-s5gws@254 [0.76 0.77 0.78 0.79 0.80 0.81]",
            "+ BOOKMARK@254",
        ],
    );
    // Here both slices change each time.
    expect(
        3,
        "sh-edge-1",
        [
            "Service MODIFIED shop/frontend",
            "+ MODIFIED shop/frontend-jsb9x@252 [0.71]",
            "+ MODIFIED shop/frontend-s5gws@252 [0.78 0.80]",
            "+ BOOKMARK@252",
            "MODIFIED shop/frontend-jsb9x@254 [0.71]",
            "Service MODIFIED shop/frontend",
            "+ MODIFIED shop/frontend-jsb9x@254 []",
            "+ MODIFIED shop/frontend-s5gws@254 [0.80]",
            "+ BOOKMARK@254",
            "Service MODIFIED shop/frontend",
            "+ MODIFIED shop/frontend-jsb9x@254 [0.70 0.71 0.72 0.73 0.74 0.75]",
            "+ MODIFIED shop/frontend-s5gws@254 [0.76 0.77 0.78 0.79 0.80 0.81]",
            "+ BOOKMARK@254",
        ],
    );
}

#[test]
fn step_4_a_node_moves_to_another_pool() {
    // The pool that it joins is pending its endpoints once the status says so; the label alone does
    // not count for others.
    expect(
        4,
        "hz-edge-1",
        [
            "Node MODIFIED sh-edge-4",
            "NodePool MODIFIED shanghai",
            "NodePool MODIFIED hangzhou",
            "+ MODIFIED iot/mqtt-jlxpg@254 [0.131 0.132 0.133 0.136]",
            "+ MODIFIED shop/cart-fhmwb@254 [0.3 0.4 0.5 0.8 0.9]",
            "+ MODIFIED shop/db-xwxsb@254 [0.107 0.108 0.110]",
            "+ MODIFIED shop/legacy-db-58xpm@254 [0.114 0.117]",
            "+ MODIFIED shop/search-d7qgq@254 [0.56]",
            "+ MODIFIED shop/search-qz4fx@254 [0.65 0.66]",
            "+ BOOKMARK@254",
            "MODIFIED shop/cart-vz8r4@263 [0.10 0.13 0.14 0.15 0.16]",
            // In step 3 it was told under the version that it had: once more, now that there is a
            // newer one.
            "+ MODIFIED shop/frontend-jsb9x@263 [0.70 0.71 0.72 0.73 0.74 0.75]",
            "+ BOOKMARK@263",
        ],
    );
    // The pool that it leaves loses them.
    expect(
        4,
        "sh-edge-1",
        [
            "Node MODIFIED sh-edge-4",
            "NodePool MODIFIED shanghai",
            "+ MODIFIED iot/mqtt-jlxpg@254 [0.135]",
            "+ MODIFIED shop/cart-fhmwb@254 []",
            "+ MODIFIED shop/db-xwxsb@254 []",
            "+ MODIFIED shop/legacy-db-58xpm@254 []",
            "+ MODIFIED shop/search-d7qgq@254 [0.57 0.61]",
            "+ MODIFIED shop/search-qz4fx@254 [0.67 0.69]",
            "+ BOOKMARK@254",
            "NodePool MODIFIED hangzhou",
            // The moved node's endpoint in cart-vz8r4 does not matter here.
            "+ MODIFIED shop/frontend-jsb9x@263 [0.70 0.71 0.72 0.73 0.74 0.75]",
            "+ MODIFIED shop/frontend-s5gws@263 [0.76 0.77 0.78 0.79 0.80 0.81]",
            "+ BOOKMARK@263",
        ],
    );
    // The node itself goes by its label: the whole view changes. Until the status follows, it is
    // not in its own pool.
    in_step(4, "sh-edge-4", |life, happened| {
        let at = |fact: &str| happened.iter().position(|line| *line == fact).unwrap();
        let (label, left, joined) = (
            at("Node MODIFIED sh-edge-4"),
            at("NodePool MODIFIED shanghai"),
            at("NodePool MODIFIED hangzhou"),
        );
        assert_eq!((label, left + 1), (0, joined), "{happened:#?}");
        let moved = &happened[1..left];
        assert_eq!(moved.last(), Some(&"+ BOOKMARK@254"));
        assert_eq!(names(moved, "+ MODIFIED ").len(), 24);
        let of_pool = |name: &str| {
            ["iot/collector", "shop/node-cache", "shop/frontend"]
                .iter()
                .all(|other| !name.starts_with(other))
        };
        assert!(names(moved, "+ MODIFIED ").into_iter().all(of_pool));
        assert!(moved.contains(&"+ MODIFIED shop/cart-fhmwb@254 [0.3 0.4 0.5]"));
        let owed = [
            "iot/mqtt-jlxpg",
            "shop/cart-fhmwb",
            "shop/db-xwxsb",
            "shop/legacy-db-58xpm",
            "shop/search-d7qgq",
            "shop/search-qz4fx",
        ];
        assert!(
            names(&happened[joined..joined + 7], "+ MODIFIED ")
                .into_iter()
                .eq(owed.map(|name| format!("{name}@254")))
        );
        assert_eq!(
            life.addresses("shop/cart-fhmwb"),
            ["3", "4", "5", "8", "9"].map(|last| format!("10.244.0.{last}"))
        );
        assert_eq!(life.addresses("shop/node-cache-xsg55"), ["10.244.0.97"]);
    });
}

#[test]
fn step_5_a_node_comes_without_a_pool_joins_leaves_and_goes() {
    expect(
        5,
        "hz-edge-1",
        [
            "Node ADDED hz-edge-9",
            "Node MODIFIED hz-edge-9",
            // cart-vz8r4 gets an endpoint on it, which is hidden: nothing new here.
            "Node MODIFIED hz-edge-9",
            "NodePool MODIFIED hangzhou",
            "+ MODIFIED shop/cart-vz8r4@267 [0.10 0.13 0.14 0.15 0.16 1.9]",
            "+ BOOKMARK@267",
            "NodePool MODIFIED hangzhou",
            "+ MODIFIED shop/cart-vz8r4@267 [0.10 0.13 0.14 0.15 0.16]",
            "+ BOOKMARK@267",
            "Node DELETED hz-edge-9",
        ],
    );
    in_step(5, "hz-edge-9", |life, happened| {
        // Without a pool it has itself; with one, that pool's endpoints, and its own once the pool
        // names it.
        assert_eq!(
            happened[..3],
            [
                "Node ADDED hz-edge-9",
                "Node MODIFIED hz-edge-9",
                "MODIFIED shop/cart-vz8r4@267 [1.9]"
            ]
        );
        assert!(happened.contains(&"+ MODIFIED shop/cart-fhmwb@267 [0.3 0.4 0.5 0.8 0.9]"));
        let mine: Vec<&&str> =
            happened.iter().filter(|line| line.starts_with("+ MODIFIED shop/cart-vz8r4")).collect();
        assert_eq!(
            mine,
            [
                &"+ MODIFIED shop/cart-vz8r4@267 [0.10 0.13 0.14 0.15 0.16]",
                &"+ MODIFIED shop/cart-vz8r4@267 [0.10 0.13 0.14 0.15 0.16 1.9]",
                &"+ MODIFIED shop/cart-vz8r4@267 [0.10 0.13 0.14 0.15 0.16]",
                &"+ MODIFIED shop/cart-vz8r4@267 [1.9]",
            ]
        );
        assert_eq!(life.addresses("shop/cart-vz8r4"), ["10.244.1.9"]);
        assert!(life.addresses("shop/cart-fhmwb").is_empty());
    });
}

#[test]
fn step_6_a_large_slice_comes_changes_and_goes() {
    in_step(6, "hz-edge-1", |_, happened| {
        assert_eq!(
            names(happened, ""),
            [
                "ADDED shop/search-large@275",
                // From step 5, where it was told twice under one version.
                "+ MODIFIED shop/cart-vz8r4@275",
                "+ BOOKMARK@275",
                // 276 was about an endpoint in beijing.
                "DELETED shop/search-large@277",
            ]
        );
        assert_eq!(happened[0].split(' ').count(), 2 + 114, "endpoints in the pool, of 340");
    });
    in_step(6, "bj-edge-2", |_, happened| {
        let large = [
            "ADDED shop/search-large@275",
            "MODIFIED shop/search-large@276",
            "DELETED shop/search-large@277",
        ];
        assert_eq!(names(happened, ""), large);
        assert!(happened[1].contains(" 2.10 "));
    });
}

#[test]
fn step_7_a_slice_becomes_headless_and_back_and_moves_to_another_service() {
    for node in ["hz-edge-1", "bj-edge-4", "cloud-master-0"] {
        expect(
            7,
            node,
            [
                "MODIFIED shop/cart-extra@278 []",
                "MODIFIED shop/cart-extra@279 []",
                "MODIFIED shop/cart-extra@280 []",
            ],
        );
    }
    // Where headless slices are not selected, it leaves and comes back.
    for form in Form::not_headless() {
        let mut life = Life::begin(&form, "hz-edge-1", true);
        let happened = through(&mut life, 7);
        assert_eq!(
            happened,
            [
                "DELETED shop/cart-extra@278 []",
                "ADDED shop/cart-extra@279 []",
                "MODIFIED shop/cart-extra@280 []"
            ]
        );
    }
    // It is the new Service's now: had that one a key, the slice would be filtered by it, and as it
    // is it passes whole.
    in_step(7, "hz-edge-1", |life, _| {
        let metadata = metadata(&life.client.held["shop/cart-extra"].1);
        assert_eq!(metadata.labels["kubernetes.io/service-name"], "frontend");
    });
}

#[test]
fn step_8_a_burst_of_changes() {
    // Twenty-two changes, one endpoint each. Those outside the pool tell nothing.
    let expect_versions = |node: &str, versions: &[u64]| {
        in_step(8, node, |_, happened| {
            let versions: Vec<String> = versions
                .iter()
                .map(|version| format!("MODIFIED shop/cart-fhmwb@{version}"))
                .collect();
            assert_eq!(names(happened, ""), versions, "{node}");
        });
    };
    expect_versions(
        "hz-edge-1",
        &[281, 282, 284, 285, 287, 288, 289, 292, 293, 295, 296, 297, 300, 301],
    );
    expect_versions(
        "sh-edge-4",
        &[281, 282, 284, 285, 287, 288, 289, 292, 293, 295, 296, 297, 300, 301],
    );
    expect_versions("bj-edge-4", &[283, 290, 291, 298, 299]);
    expect_versions("sh-edge-1", &[]);
}

#[test]
fn step_9_a_service_is_deleted_before_its_slices_and_comes_back_without_a_key() {
    // Its last keys hold: nothing is shown that was hidden, not even in the farewell.
    expect(
        9,
        "hz-edge-1",
        [
            "Service MODIFIED iot/gateway",
            "Service MODIFIED iot/lb-cloud",
            "Service DELETED shop/catalog",
            "DELETED shop/catalog-6g2w4@307 [0.37 0.39]",
            "DELETED shop/catalog-pn8gj@308 [0.40]",
            "DELETED shop/catalog-zrb7d@309 [0.31]",
            "Service ADDED shop/catalog",
            "ADDED shop/catalog-again@312 [2.100 2.101 2.102 2.103]",
        ],
    );
    in_step(9, "cloud-master-0", |life, happened| {
        assert!(happened.contains(&"DELETED shop/catalog-pn8gj@308 []"));
        assert!(life.cluster.counters().held_deleted_service >= 3);
    });
}

#[test]
fn step_10_a_pool_is_deleted_while_its_nodes_keep_the_label() {
    in_step(10, "hz-edge-1", |life, happened| {
        // For everyone else nothing changes; then some slices do, and a Service gains a key.
        let shown: Vec<&str> =
            happened.iter().copied().filter(|line| !line.contains("search-large")).collect();
        assert_eq!(
            shown,
            [
                "NodePool DELETED beijing",
                "MODIFIED iot/dash-fm5ft@318 [0.146 0.147 0.148 0.149]",
                "DELETED iot/v6-only-sf98z@319 [fd00:10:244::16]",
                "MODIFIED iot/v6-only-zm972@320 [fd00:10:244::f fd00:10:244::16]",
                "Service MODIFIED iot/nearest",
                "+ MODIFIED iot/nearest-kqs9q@320 [0.184 0.185 0.186]",
                "+ BOOKMARK@320",
                "MODIFIED shop/cart-vz8r4@323 [0.10 0.13 0.14 0.15 0.16]",
                "MODIFIED shop/cart-vz8r4@328 [0.10 0.13 0.14 0.15 0.16]",
                "MODIFIED shop/cart-vz8r4@329 [0.10 0.13 0.14 0.15 0.16]",
                "MODIFIED shop/cart-vz8r4@332 [0.10 0.13 0.14 0.15 0.16]",
                "BOOKMARK@337",
                "BOOKMARK@339",
            ]
        );
        let (all, held) = (&life.truth, &life.client.held);
        assert_eq!(
            (all.len(), all.values().map(|object| addresses(object).len()).sum::<usize>()),
            (42, 530)
        );
        let filtered = all.keys().filter(|name| {
            let metadata = metadata(&all[*name]);
            let service = metadata.labels.get("kubernetes.io/service-name");
            !life.state.keeps("hz-edge-1", &metadata.namespace, service.map(String::as_str), None)
        });
        let (mut slices, mut endpoints, mut kept) = (0, 0, 0);
        for name in filtered {
            slices += 1;
            endpoints += addresses(&all[name]).len();
            kept += addresses(&held[name].1).len();
        }
        assert_eq!((slices, endpoints, kept), (28, 483, 177));
    });
    // Its own nodes do not know who is with them (O9): what asks for the pool passes whole, and is
    // counted.
    in_step(10, "bj-edge-4", |life, happened| {
        assert_eq!(happened[0], "NodePool DELETED beijing");
        assert_eq!(happened[22], "+ BOOKMARK@312");
        let owed = names(&happened[..22], "+ MODIFIED ");
        assert_eq!(owed.len(), 21);
        assert!(owed.iter().all(|name| name.ends_with("@312")));
        assert!(life.cluster.counters().passed_unknown_pool >= 21);
        for (name, whole) in &life.truth {
            let service = metadata(whole)
                .labels
                .get("kubernetes.io/service-name")
                .cloned()
                .unwrap_or_default();
            let of_node = ["collector", "node-cache"].contains(&&*service);
            assert!(of_node || life.client.held[name].1 == *whole, "{name}");
        }
        assert_eq!(life.addresses("shop/node-cache-xsg55"), ["10.244.0.100"]);
        assert_eq!(life.addresses("iot/collector-gwbsm"), ["fd00:10:244::9", "fd00:10:244::a"]);
        // A key gained now changes nothing here.
        assert!(happened.contains(&"Service MODIFIED iot/nearest"));
        assert!(!happened.iter().any(|line| line.contains("iot/nearest-")));
    });
    for form in [Form::endpoints(false), Form::endpoints(true)].iter().flatten() {
        let mut life = Life::begin(form, "hz-edge-1", true);
        let happened = through(&mut life, 10);
        assert!(
            happened
                .iter()
                .any(|line| line == "MODIFIED shop/cart@313 [0.19 0.20 2.104 0.21 0.23 0.26]"),
            "{}: {happened:#?}",
            life.what
        );
    }
}
