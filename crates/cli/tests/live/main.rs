//! The command with a live cluster, run as users run it.

mod completion;
mod exec;
mod server;
mod status;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use poolscope_testkit::DATA;
use serde_json::Value;

use self::server::{Server, one_line, status};

const NODES: [&str; 3] = ["hz-edge-1", "bj-edge-1", "cloud-master-0"];

#[test]
fn a_live_cluster_is_judged_as_its_recording() {
    let server = Server::start();
    let facts = format!("{DATA}/recorded/list");
    for node in NODES {
        for form in ["table", "json"] {
            let live = server.done(&["view", "--node", node, "-o", form]);
            let recorded = server.done(&["view", "--node", node, "-o", form, "--facts", &facts]);
            assert_eq!(live, recorded, "{node}");
        }
    }
    let args = ["--node", "hz-edge-1", "shop/cart"];
    let live = server.done(&[&["explain"], &args[..]].concat());
    assert_eq!(live, server.done(&[&["explain"], &args[..], &["--facts", &facts]].concat()));
    let args = ["diff", "--node", "hz-edge-1", "--node", "bj-edge-1"];
    assert_eq!(server.done(&args), server.done(&[&args[..], &["--facts", &facts]].concat()));
    let body = format!("{DATA}/recorded/list/endpointslices-json.json");
    let args = ["filter", "--node", "hz-edge-1", &body];
    let files = ["filter", "--node", "hz-edge-1", "--facts", &facts, &body];
    assert_eq!(server.done(&args), server.done(&files));
}

#[test]
fn lists_come_in_pages_with_the_users_token() {
    let server = Server::start();
    let output = server.run(&["view", "--node", "hz-edge-1"]);
    let told = String::from_utf8(output.stderr).unwrap();
    let requests = server.requests();
    let slices: Vec<_> = requests
        .iter()
        .filter(|request| request.path().ends_with("/endpointslices"))
        .map(|request| request.target.split_once("limit=500").unwrap().1)
        .collect();
    assert_eq!(slices[..2], ["", "&continue=from%3D5"], "{slices:?}");
    assert!(requests.iter().all(|request| request.headers["authorization"] == "Bearer secret"));
    let nodes = requests.iter().find(|request| request.path() == "/api/v1/nodes").unwrap();
    assert!(nodes.headers["accept"].contains("as=PartialObjectMetadataList"));
    assert!(told.starts_with(&format!("facts: http://{} (site): ", server.address)), "{told}");
    assert!(told.contains("13 Nodes"), "{told}");
}

#[test]
fn a_list_that_expires_between_pages_is_read_again_once() {
    let expired = "The provided continue parameter is too old";
    let server = Server::with(move |request, before| {
        let is_page =
            request.path().ends_with("/endpointslices") && request.target.contains("continue");
        if is_page && before == 1 { status(410, expired) } else { None }
    });
    let facts = format!("{DATA}/recorded/list");
    let live = server.done(&["view", "--node", "hz-edge-1"]);
    assert_eq!(live, server.done(&["view", "--node", "hz-edge-1", "--facts", &facts]));

    let server = Server::with(move |request, _| {
        let is_page =
            request.path().ends_with("/endpointslices") && request.target.contains("continue");
        if is_page { status(410, expired) } else { None }
    });
    let error = server.failed(&["view", "--node", "hz-edge-1"]);
    assert!(error.contains("EndpointSlices cannot be listed (410)"), "{error}");
    let paths = server.requests();
    let slices = paths.iter().filter(|request| request.path().ends_with("/endpointslices"));
    assert_eq!(slices.count(), 4);
}

#[test]
fn forbidden_kinds_give_one_line_with_the_rules() {
    let server = Server::with(|request, _| {
        let plural = request.path().rsplit('/').next()?;
        let message = format!(
            "{plural} is forbidden: User \"system:serviceaccount:ops:eve\" cannot list resource"
        );
        matches!(plural, "nodes" | "nodepools").then(|| status(403, &message))?
    });
    let error = server.failed(&["view", "--node", "hz-edge-1"]);
    for part in [
        "system:serviceaccount:ops:eve may not list Nodes, NodePools (403)",
        "{apiGroups: [\"\"], resources: [nodes], verbs: [list]}",
        "{apiGroups: [\"apps.openyurt.io\"], resources: [nodepools], verbs: [list]}",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn older_versions_of_nodepools_are_read_and_absent_ones_named() {
    let old = Server::with(|request, _| {
        let is_old = request.path() == "/apis/apps.openyurt.io/v1alpha1/nodepools";
        match request.path().ends_with("/nodepools") {
            true if is_old => Some(Some((200, server::page("nodepools", &request.target)))),
            true => status(404, "the server could not find the requested resource"),
            false => None,
        }
    });
    let view = old.done(&["view", "--node", "hz-edge-1"]);
    assert!(view.contains("(pool hangzhou)"), "{view}");

    let none = Server::with(|request, _| match request.path().ends_with("/nodepools") {
        true => status(404, "the server could not find the requested resource"),
        false => None,
    });
    let error = none.failed(&["view", "--node", "hz-edge-1"]);
    assert!(error.contains("OpenYurt's CRDs are not there"), "{error}");
    assert!(error.contains("nodeLabel"), "{error}");
    // The way that the message names.
    let config = none.folder().join("label.json");
    std::fs::write(&config, r#"{"membership": {"nodeLabel": "apps.openyurt.io/nodepool"}}"#)
        .unwrap();
    let view = none.done(&["view", "--node", "hz-edge-1", "--config", config.to_str().unwrap()]);
    assert!(view.contains("(pool hangzhou)"), "{view}");
}

#[test]
fn the_namespace_limits_what_is_shown() {
    let server = Server::start();
    let names = |args: &[&str]| -> Vec<String> {
        let view = server.done(&[&["view", "--node", "hz-edge-1", "-o", "json"], args].concat());
        let view: Value = serde_json::from_str(&view).unwrap();
        let services = view["services"].as_array().unwrap();
        services.iter().map(|service| service["namespace"].as_str().unwrap().to_owned()).collect()
    };
    let all = names(&[]);
    assert_eq!(names(&["-A"]), all);
    let shop = all.iter().filter(|namespace| *namespace == "shop").count();
    assert!(shop > 0 && shop < all.len());
    assert_eq!(names(&["-n", "shop"]), vec!["shop"; shop]);
    let output = server.run(&["view", "--node", "hz-edge-1", "-n", "shop", "-A"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_user_can_be_impersonated() {
    let server = Server::start();
    server.done(&["view", "--node", "hz-edge-1", "--as", "ops", "--as-group", "admins"]);
    for request in server.requests() {
        assert_eq!(request.headers["impersonate-user"], "ops");
        assert_eq!(request.headers["impersonate-group"], "admins");
    }
}

#[test]
fn a_cluster_that_does_not_answer_is_one_line() {
    let server = Server::with(|request, _| match request.path() {
        "/api/v1/nodes" => Some(None),
        _ => None,
    });
    let error = server.failed(&["view", "--node", "a", "--request-timeout", "300ms"]);
    assert!(
        error.contains("/api/v1/nodes?limit=500 within 0.3 s; see --request-timeout"),
        "{error}"
    );

    let server = Server::with(|_, _| status(401, "Unauthorized"));
    let error = server.failed(&["view", "--node", "a"]);
    assert!(error.contains("401") && error.contains("log in again"), "{error}");
    assert!(!error.contains("secret"), "{error}");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let path = server.write_kubeconfig("closed", &format!("https://{closed}"));
    let error = server.failed(&["view", "--node", "a", "--kubeconfig", path.to_str().unwrap()]);
    assert!(error.contains("Connection refused") && error.contains("nothing listens"), "{error}");
    let path = server.write_kubeconfig("nowhere", "https://nowhere.invalid:6443");
    let error = server.failed(&["view", "--node", "a", "--kubeconfig", path.to_str().unwrap()]);
    assert!(error.contains("cannot be resolved"), "{error}");
}

#[test]
fn a_kubeconfig_that_cannot_be_used_is_one_line() {
    let server = Server::start();
    let view = ["view", "--node", "a"];
    for (args, part) in [
        (&["--context", "other"][..], "no context \"other\": it has site"),
        (&["--cluster", "other"], "no cluster \"other\""),
        (&["--user", "other"], "no user \"other\""),
        (&["--kubeconfig", "/nowhere/config"], "/nowhere/config: "),
    ] {
        let error = server.failed(&[&view[..], args].concat());
        assert!(error.contains(part), "{args:?}: {error}");
    }
    let broken = server.folder().join("broken");
    std::fs::write(&broken, "clusters: [").unwrap();
    let error = server.failed(&["view", "--node", "a", "--kubeconfig", broken.to_str().unwrap()]);
    assert!(error.contains("broken: failed to parse kubeconfig YAML"), "{error}");
    let no_context = server.folder().join("no-context");
    std::fs::write(&no_context, "contexts: [{name: a, context: {cluster: c}}]").unwrap();
    let mut command = server.command(&view);
    let error = one_line(command.env("KUBECONFIG", &no_context).output().unwrap());
    assert!(error.contains("no current context: name one with --context (a)"), "{error}");
    // Files that are not there are skipped, as client-go skips them.
    let both =
        std::env::join_paths([server.folder().join("absent"), server.folder().join("config")]);
    let output = server.command(&view).env("KUBECONFIG", both.unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn without_files_and_without_a_cluster_the_arguments_are_wrong() {
    let server = Server::start();
    let output =
        server.command(&["view", "--node", "a"]).env_remove("KUBECONFIG").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("no --facts, and no cluster"), "{errors}");
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn files_add_to_the_cluster_only_with_live() {
    let server = Server::start();
    let folder = server.folder().join("facts");
    std::fs::create_dir(&folder).unwrap();
    let service = r#"{"kind":"Service","apiVersion":"v1","metadata":{"name":"added","namespace":
        "shop"},"spec":{"clusterIP":"10.96.0.77","ports":[{"port":1,"protocol":"TCP"}]}}"#;
    std::fs::write(folder.join("added.json"), service).unwrap();
    let facts = folder.to_str().unwrap();
    let view = server.done(&["view", "--node", "hz-edge-1", "--live", "--facts", facts]);
    assert!(view.contains("shop/added") && view.contains("shop/cart"), "{view}");
    let before = server.requests().len();
    server.run(&["view", "--node", "hz-edge-1", "--facts", facts]);
    assert_eq!(server.requests().len(), before);
}

#[test]
fn watch_prints_again_when_the_result_differs() {
    let changed = AtomicBool::new(false);
    let server = Server::with(move |request, _| {
        let is_services = request.path() == "/api/v1/services";
        if request.target.contains("watch=true") {
            // The first watch has an event; the others are silent.
            let is_first = is_services && !changed.swap(true, Ordering::Relaxed);
            let event = "{\"type\":\"MODIFIED\",\"object\":{}}\n";
            return Some(is_first.then(|| (200, event.into())));
        }
        if !is_services || !changed.load(Ordering::Relaxed) {
            return None;
        }
        let mut page = server::page("services", &request.target);
        for service in page["items"].as_array_mut().unwrap() {
            service["metadata"].as_object_mut().unwrap().remove("annotations");
        }
        Some(Some((200, page)))
    });
    let mut child = server
        .command(&["view", "--watch", "--node", "hz-edge-1", "shop/cart"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = |part: &str| lines.by_ref().map(Result::unwrap).any(|line| line.contains(part));
    assert!(next("shop/cart (pool)"));
    assert!(next("shop/cart (any)"));
    child.kill().unwrap();
    child.wait().unwrap();
    let output = server.run(&["view", "--watch", "--node", "a", "--facts", "/nowhere"]);
    assert_eq!(output.status.code(), Some(2));
}
