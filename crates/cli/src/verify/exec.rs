//! The eBPF maps of a node, as the agent's own tool prints them in the agent's pod.

use super::held::Held;
use super::recognise;
use crate::failure::Failure;
use crate::source::live::pods::{AGENT, AGENTS, Pod, list_on_node};
use crate::source::live::{Live, Refusal};

/// The agent's tool; its second name is the one up to Cilium 1.14.
const TOOLS: [&str; 2] = ["cilium-dbg", "cilium"];

/// Reads the maps of a node.
pub(super) fn maps(live: &Live, namespace: &str, node: &str) -> Result<Held, Failure> {
    let fail = |refusal: Refusal| failure(&live.server, namespace, refusal);
    let pods = list_on_node(live, namespace, node, AGENTS).map_err(fail)?;
    // While an agent is replaced, the old pod may still be there.
    let Some(pod) = pods.iter().max_by_key(|pod| (pod.is_ready, &pod.started)) else {
        return Err(Failure(format!(
            "{}: node {node} has no pod with the label {AGENTS} in namespace {namespace}; check \
             --node, and give the namespace of Cilium: --exec NAMESPACE",
            live.server
        )));
    };
    let origin = format!("pod {}/{}", pod.namespace, pod.name);
    let output = print(live, pod).map_err(fail)?;
    let read = recognise::contents(&output);
    let (kind, frontends) = read.map_err(|what| Failure(format!("{origin}: {what}")))?;
    Ok(Held::of(kind, origin, frontends))
}

fn print(live: &Live, pod: &Pod) -> Result<Vec<u8>, Refusal> {
    let run = |tool| live.exec(pod, AGENT, &[tool, "bpf", "lb", "list", "-o", "json"]);
    match run(TOOLS[0]) {
        Err(Refusal::Broken(why)) if why.contains("executable file not found") => run(TOOLS[1]),
        result => result,
    }
}

fn failure(server: &str, namespace: &str, refusal: Refusal) -> Failure {
    Failure(match refusal {
        Refusal::Status { code: 403, message } => format!(
            "{server}: {message} (403): add to a Role in {namespace}: \
             {{apiGroups: [\"\"], resources: [pods], verbs: [list]}}, \
             {{apiGroups: [\"\"], resources: [pods/exec], verbs: [create, get]}}"
        ),
        refusal => format!("{server}: cilium-agent's pod: {refusal}"),
    })
}
