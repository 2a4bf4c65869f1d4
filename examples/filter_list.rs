//! Filters one list for the proxy of a node: the shortest whole use of the crate.
//!
//! ```text
//! cargo run --example filter_list -- hz-edge-1 tests/data/recorded/list
//! ```
//!
//! The folder holds four bodies of the API server, for example from `kubectl get --raw`. The
//! filtered list of EndpointSlices goes to standard output.

use std::error::Error;
use std::io::Write;
use std::path::Path;

use poolscope::{Action, BytesMut, Cluster, Config, FactKind, RequestHead, ResponseHead};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(node), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("usage: filter_list NODE FOLDER".into());
    };
    let body = |name: &str| {
        let path = Path::new(&folder).join(name);
        std::fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    let json = ResponseHead::ok("application/json");

    // 1. The facts: each Service's topology keys, each node's pool, each pool's nodes.
    let cluster = Cluster::new(Config::openyurt())?;
    for (kind, name) in [
        (FactKind::Service, "services-json.json"),
        (FactKind::Node, "nodes-json.json"),
        (FactKind::NodePool, "nodepools-json.json"),
    ] {
        let mut reader = cluster.read_facts(&RequestHead::get(kind.list_path()), &json)?;
        reader.push(&body(name)?)?;
        reader.finish()?;
    }

    // 2. The request of the node's proxy, and the response to it.
    let node = cluster.node(node);
    let request = RequestHead::get("/apis/discovery.k8s.io/v1/endpointslices");
    let action = node.open(&node.prepare(request), &json)?;
    let Action::Rewrite(mut rewriter) = action else {
        return Err(format!("the list is not rewritten: {action:?}").into());
    };

    // 3. The body, chunk by chunk, as a network would deliver it.
    let mut out = BytesMut::new();
    for chunk in body("endpointslices-json.json")?.chunks(4096) {
        rewriter.push(chunk, &mut out)?;
        std::io::stdout().write_all(&out)?;
        out.clear();
    }
    rewriter.finish(&mut out)?;
    std::io::stdout().write_all(&out)?;
    eprintln!("{} bytes in, {} bytes out", rewriter.bytes_in(), rewriter.bytes_out());
    Ok(())
}
