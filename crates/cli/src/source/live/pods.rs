//! Pods of agents and node proxies.

use std::collections::BTreeMap;

use serde_json::Value;

use super::connection::Live;
use super::lists::escape;
use super::refusal::Refusal;

/// The label of cilium-agent's pods.
pub(crate) const AGENTS: &str = "k8s-app=cilium";
/// The agent's container.
pub(crate) const AGENT: &str = "cilium-agent";

/// A pod, as far as it matters here.
pub(crate) struct Pod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) node: String,
    pub(crate) is_ready: bool,
    /// Why it is not ready, in Kubernetes' words.
    pub(crate) reason: String,
    /// The start, as RFC 3339, which sorts as text.
    pub(crate) started: String,
    containers: Vec<Value>,
}

impl Pod {
    fn of(pod: &Value) -> Pod {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let status = &pod["status"];
        let conditions = status["conditions"].as_array();
        let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
        let message = ready.map(|ready| text(&ready["message"])).filter(|text| !text.is_empty());
        Pod {
            namespace: text(&pod["metadata"]["namespace"]),
            name: text(&pod["metadata"]["name"]),
            node: text(&pod["spec"]["nodeName"]),
            is_ready: ready.is_some_and(|ready| ready["status"] == "True"),
            reason: message.unwrap_or_else(|| text(&status["phase"])),
            started: text(&status["startTime"]),
            containers: pod["spec"]["containers"].as_array().cloned().unwrap_or_default(),
        }
    }

    /// Returns the container of this name, or the first.
    pub(crate) fn container(&self, name: &str) -> &Value {
        let named = self.containers.iter().find(|container| container["name"] == name);
        named.or(self.containers.first()).unwrap_or(&Value::Null)
    }

    /// Returns an environment variable of a container.
    pub(crate) fn variable(&self, container: &str, name: &str) -> Option<&str> {
        let variables = self.container(container)["env"].as_array()?;
        variables.iter().find(|variable| variable["name"] == name)?["value"].as_str()
    }

    /// Returns the port of a container by the port's name.
    pub(crate) fn port(&self, container: &str, name: &str) -> Option<u64> {
        let ports = self.container(container)["ports"].as_array()?;
        ports.iter().find(|port| port["name"] == name)?["containerPort"].as_u64()
    }

    /// Returns the value of an argument such as `--health-listen=127.0.0.1:10272`.
    pub(crate) fn argument(&self, container: &str, name: &str) -> Option<&str> {
        let arguments = self.container(container)["args"].as_array()?;
        let mut values = arguments.iter().filter_map(Value::as_str);
        values.find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='))
    }

    /// Returns where the API server forwards requests to a port of the pod.
    pub(crate) fn proxy_path(&self, port: u64, path: &str) -> String {
        format!("/api/v1/namespaces/{}/pods/{}:{port}/proxy{path}", self.namespace, self.name)
    }
}

/// Lists pods by a label.
pub(crate) fn list(live: &Live, selector: &str) -> Result<Vec<Pod>, Refusal> {
    pods(live, &format!("/api/v1/pods?labelSelector={}&limit=500", escape(selector)))
}

/// Lists the pods of a namespace that are on a node, by a label.
pub(crate) fn list_on_node(
    live: &Live,
    namespace: &str,
    node: &str,
    selector: &str,
) -> Result<Vec<Pod>, Refusal> {
    let (namespace, selector) = (escape(namespace), escape(selector));
    let field = escape(&format!("spec.nodeName={node}"));
    pods(
        live,
        &format!(
            "/api/v1/namespaces/{namespace}/pods?labelSelector={selector}&fieldSelector={field}"
        ),
    )
}

fn pods(live: &Live, target: &str) -> Result<Vec<Pod>, Refusal> {
    Ok(live.items(target)?.iter().map(Pod::of).collect())
}

/// Returns the image's tags with their numbers of pods.
pub(crate) fn versions<'a>(pods: impl Iterator<Item = &'a Pod>, container: &str) -> String {
    let mut tags: BTreeMap<String, usize> = BTreeMap::new();
    for pod in pods {
        let image = pod.container(container)["image"].as_str().unwrap_or("unknown image");
        let image = image.split('@').next().unwrap_or(image);
        *tags.entry(image.rsplit('/').next().unwrap_or(image).to_owned()).or_default() += 1;
    }
    let tags: Vec<String> = tags.iter().map(|(tag, count)| format!("{tag} ({count})")).collect();
    tags.join(", ")
}
