//! `poolscope report`. `make test-report` opens the pages in a browser.

mod command;

use std::fmt::Write;

use serde_json::{Value, json};

use crate::command::{recorded, run};

/// The page of a cluster that is given as `kubectl get` prints it.
fn page(facts: &Value) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.json");
    std::fs::write(&path, facts.to_string()).unwrap();
    let path = path.to_str().unwrap();
    let output = run(&["report", "-o", "-", "--facts", path], b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    keep(String::from_utf8(output.stdout).unwrap())
}

/// Keeps the page for `make test-report`, if the environment names a folder.
fn keep(page: String) -> String {
    if let Ok(folder) = std::env::var("REPORTS") {
        let test = std::thread::current().name().unwrap().to_owned();
        std::fs::write(format!("{folder}/{test}.html"), &page).unwrap();
    }
    page
}

fn node(name: &str, pool: &str) -> Value {
    let metadata = json!({"name": name, "labels": {"apps.openyurt.io/nodepool": pool}});
    json!({"apiVersion": "v1", "kind": "Node", "metadata": metadata})
}

fn pool(name: &str, nodes: &[String]) -> Value {
    json!({
        "apiVersion": "apps.openyurt.io/v1beta2",
        "kind": "NodePool",
        "metadata": {"name": name},
        "status": {"nodes": nodes},
    })
}

fn service(name: &str, annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "shop", "name": name, "annotations": annotations},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "10.96.0.1",
            "clusterIPs": ["10.96.0.1"],
            "selector": {"app": "a"},
            "ports": [{"port": 80, "protocol": "TCP"}],
        },
    })
}

fn slice(service: &str, endpoints: &[(String, String)]) -> Value {
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|(address, node)| {
            json!({"addresses": [address], "nodeName": node, "conditions": {"ready": true}})
        })
        .collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": "shop",
            "name": format!("{service}-1"),
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": "IPv4",
        "ports": [{"port": 8080, "protocol": "TCP", "name": ""}],
        "endpoints": endpoints,
    })
}

fn list(items: &[Value]) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

/// The texts between each pair of tags.
fn between<'a>(page: &'a str, start: &'a str, end: &'a str) -> impl Iterator<Item = &'a str> {
    page.split(start).skip(1).map(move |rest| rest.split(end).next().unwrap())
}

#[test]
fn the_recorded_cluster() {
    let output = run(&["report", "-o", "-", "--facts", &recorded("list")], b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = keep(String::from_utf8(output.stdout).unwrap());
    assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">"));
    assert_eq!(page.matches("<h1>").count(), 1);
    for text in ["shop/cart", "hangzhou", "PS0001", "hz-edge-1", "not in the pool (O7)"] {
        assert!(page.contains(text), "{text}");
    }
    let tables = page.matches("<table").count();
    assert_eq!(page.matches("<caption").count(), tables);
    assert_eq!(page.matches("<th ").count(), page.matches("<th scope=").count());
    assert_eq!(page.matches("<th>").count(), 0);
    assert_eq!(page.matches("<script").count(), 0);
    assert!(!page.contains("http://") && !page.contains("https://"));
    // Two pages of equal facts are equal.
    let again = run(&["report", "-o", "-", "--facts", &recorded("list")], b"");
    assert_eq!(String::from_utf8(again.stdout).unwrap(), page);
}

#[test]
fn the_title_is_the_heading() {
    let title = "<Harbor>, 1 December";
    let facts = recorded("list");
    let output = run(&["report", "-o", "-", "--title", title, "--facts", &facts], b"");
    let page = String::from_utf8(output.stdout).unwrap();
    let escaped = "&lt;Harbor&gt;, 1 December";
    for [start, end] in [["<title>", "</title>"], ["<h1>", "</h1>"]] {
        assert_eq!(between(&page, start, end).collect::<Vec<_>>(), [escaped]);
    }
}

#[test]
fn facts_that_are_missing_are_doubts() {
    let output = run(&["report", "-o", "-", "--facts", &recorded("after")], b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = keep(String::from_utf8(output.stdout).unwrap());
    assert!(page.contains("no object lists the nodes of the pool (O9)"), "{page}");
    assert!(page.contains("in doubt"), "{page}");
}

#[test]
fn a_black_hole_has_a_sign_and_words() {
    let keys = json!({"openyurt.io/topologyKeys": "openyurt.io/nodepool"});
    let (a, b) = ("a1".to_owned(), "b1".to_owned());
    let both = [a.clone(), "a2".to_owned()];
    let page = page(&list(&[
        node("a1", "a"),
        node("a2", "a"),
        node("b1", "b"),
        pool("a", &both),
        pool("b", &[b]),
        service("web", &keys),
        service("open", &json!({})),
        slice("web", &[("10.1.0.1".to_owned(), a.clone())]),
        slice("open", &[("10.1.0.2".to_owned(), a)]),
    ]));
    let holes: Vec<&str> = between(&page, "<td class=\"hole number\">", "</td>").collect();
    assert_eq!(holes.len(), 1, "{page}");
    assert!(holes[0].starts_with("✖ 0") && holes[0].contains("black hole"), "{holes:?}");
    let rows: Vec<&str> = between(&page, "<tr>", "</tr>").collect();
    let row = |name: &str| *rows.iter().find(|row| row.contains(name)).unwrap();
    // Pools in the order of their names.
    assert!(row("shop/web").contains("<td class=\"number\">1</td><td class=\"hole number\">"));
    assert!(row("shop/open").contains("1 everywhere"), "{}", row("shop/open"));
    assert!(page.contains("✔ kept</span> by a: in the pool (O6)"), "{page}");
    assert!(page.contains("✘ dropped</span> by b: not in the pool (O7)"), "{page}");
}

#[test]
fn names_are_text_wherever_they_come_from() {
    let hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&";
    let keys = json!({
        "openyurt.io/topologyKeys": hostile,
        "service.cilium.io/node": hostile,
        hostile: hostile,
    });
    let good = json!({
        "openyurt.io/topologyKeys": "openyurt.io/nodepool",
        "service.cilium.io/node": hostile,
    });
    let name = hostile.to_owned();
    let page = page(&list(&[
        node(hostile, hostile),
        node("b1", "b"),
        pool(hostile, std::slice::from_ref(&name)),
        pool("b", &["b1".to_owned()]),
        service(hostile, &keys),
        service("web", &good),
        slice(hostile, &[(hostile.to_owned(), name.clone())]),
        slice("web", &[("10.1.0.1".to_owned(), name)]),
    ]));
    assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");
    assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
    // No text may end an attribute.
    for tag in between(&page, "<", ">") {
        assert!(!tag.contains("onerror"), "{tag}");
    }
}

#[test]
fn a_large_cluster_makes_a_page_that_says_what_it_leaves_out() {
    let keys = json!({"openyurt.io/topologyKeys": "openyurt.io/nodepool"});
    let mut items = Vec::new();
    let nodes: Vec<Vec<String>> =
        (0..60).map(|pool| (0..30).map(|node| format!("node-{pool}-{node}")).collect()).collect();
    for (at, nodes) in nodes.iter().enumerate() {
        let name = format!("pool-{at}");
        items.extend(nodes.iter().map(|each| node(each, &name)));
        items.push(pool(&name, nodes));
    }
    for at in 0..400 {
        let name = format!("service-{at}");
        items.push(service(&name, if at % 2 == 0 { &keys } else { &Value::Null }));
        let endpoints: Vec<(String, String)> = (0..60)
            .map(|each| (format!("10.{}.{}.{each}", at / 200, at % 200), nodes[each][0].clone()))
            .collect();
        // The last one has a black hole in all pools but one.
        items.push(slice(&name, if at == 398 { &endpoints[..1] } else { &endpoints }));
    }
    let page = page(&list(&items));
    assert!(page.len() < 6_000_000, "{} bytes", page.len());
    for text in [
        "Left out: 100 of 400 Services",
        "Left out: 10 of 60 pools",
        "Left out: 10 of 60 endpoints",
        "and 10 more",
    ] {
        assert!(page.contains(text), "{text}");
    }
    // The Services that are left out of the matrix have no black holes.
    let mut expected = String::new();
    write!(expected, "shop/service-398").unwrap();
    assert!(
        between(&page, "<tr>", "</tr>")
            .any(|row| { row.contains(&expected) && row.contains("black hole") })
    );
}

#[test]
fn a_page_that_cannot_be_written_is_one_line() {
    let output = run(&["report", "-o", "/does/not/exist.html", "--facts", &recorded("list")], b"");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.lines().last().unwrap().starts_with("poolscope: /does/not/exist.html: "));
}
