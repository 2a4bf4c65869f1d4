//! Follows one watch through a change of the facts: the events that the API server sends, and those
//! that poolscope emits itself because the client's copy is no longer right.
//!
//! ```text
//! cargo run --example watch
//! ```

use poolscope::{
    Action, BodyRewriter, BytesMut, Cluster, Config, NodeView, RequestHead, ResponseHead, Result,
};

const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";

fn json() -> ResponseHead {
    ResponseHead::ok("application/json")
}

fn read_facts(cluster: &Cluster, path: &str, body: &str) -> Result<()> {
    let mut reader = cluster.read_facts(&RequestHead::get(path), &json())?;
    reader.push(body.as_bytes())?;
    reader.finish()
}

fn open(node: &NodeView, target: &str) -> Result<BodyRewriter> {
    match node.open(&RequestHead::get(target), &json())? {
        Action::Rewrite(rewriter) => Ok(rewriter),
        other => panic!("{target}: expected a rewriter, got {other:?}"),
    }
}

/// Prints what the client receives, and returns it.
fn send(what: &str, out: &mut BytesMut) -> String {
    let text = String::from_utf8_lossy(out).into_owned();
    println!("{what}:\n{}\n", text.trim_end());
    out.clear();
    text
}

fn main() -> Result<()> {
    let cluster = Cluster::new(Config::openyurt())?;
    read_facts(
        &cluster,
        "/api/v1/services",
        r#"{"metadata":{"resourceVersion":"5"},"items":[{"metadata":{"name":"cart",
            "namespace":"shop","resourceVersion":"1",
            "annotations":{"openyurt.io/topologyKeys":"openyurt.io/nodepool"}}}]}"#,
    )?;
    read_facts(
        &cluster,
        "/api/v1/nodes",
        r#"{"metadata":{"resourceVersion":"5"},"items":[{"metadata":{"name":"hz-1",
            "resourceVersion":"2","labels":{"apps.openyurt.io/nodepool":"hangzhou"}}}]}"#,
    )?;
    let pool = |version: u32, nodes: &str| {
        format!(
            r#"{{"metadata":{{"resourceVersion":"{version}"}},"items":[{{"metadata":{{
                "name":"hangzhou","resourceVersion":"{version}"}},"status":{{"nodes":{nodes}}}}}]}}"#
        )
    };
    let pools = "/apis/apps.openyurt.io/v1beta2/nodepools";
    read_facts(&cluster, pools, &pool(5, r#"["hz-1"]"#))?;

    // The client lists.
    let node = cluster.node("hz-1");
    let mut out = BytesMut::new();
    let mut list = open(&node, SLICES)?;
    list.push(
        br#"{"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v1","metadata":{"resourceVersion":"5"},"items":[{"metadata":{"name":"cart-1","namespace":"shop","resourceVersion":"4","labels":{"kubernetes.io/service-name":"cart"}},"endpoints":[{"addresses":["10.0.0.1"],"nodeName":"hz-1"},{"addresses":["10.0.0.2"],"nodeName":"hz-2"}]}]}"#,
        &mut out,
    )?;
    list.finish(&mut out)?;
    assert!(!send("the list, without the endpoint on hz-2", &mut out).contains("10.0.0.2"));

    // It watches from the version of its list.
    let mut watch = open(&node, &format!("{SLICES}?watch=true&resourceVersion=5"))?;
    watch.push(
        b"{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"EndpointSlice\",\
         \"apiVersion\":\"discovery.k8s.io/v1\",\"metadata\":{\"resourceVersion\":\"6\"}}}\n",
        &mut out,
    )?;
    send("an event of the API server", &mut out);

    // hz-2 joins the pool: no slice has changed, so the API server sends no event.
    read_facts(&cluster, pools, &pool(7, r#"["hz-1","hz-2"]"#))?;
    assert!(watch.needs_refresh());
    watch.refresh(&mut out)?;
    let event = send("an event of poolscope: hz-2 has joined the pool", &mut out);
    assert!(event.contains("MODIFIED") && event.contains("10.0.0.2"), "{event}");
    Ok(())
}
