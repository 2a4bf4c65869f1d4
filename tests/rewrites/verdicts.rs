//! Verdicts of OpenYurt's own filters for Services and the Kubernetes slice, and its choice of
//! filters by component (`data/yurthub/README.md`).

use std::collections::BTreeSet;

use poolscope::{Action, Cluster, Config, RequestHead, ResponseHead, Rewrite};
use serde::Deserialize;
use serde_json::{Value, json};

use super::told;
use super::world::{Encoding, feed};
use poolscope_testkit::{DATA, run};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scenario {
    id: String,
    node: String,
    pool_option: Option<String>,
    membership: String,
    working_mode: Option<String>,
    hub_host: Option<String>,
    hub_port: Option<u16>,
    enabled: Option<Vec<String>>,
    user_agent: String,
    request: String,
    facts: Value,
    #[serde(default)]
    objects: Vec<Value>,
    #[serde(default)]
    events: Vec<Value>,
    #[serde(default)]
    pb: String,
    filters: Vec<String>,
    expect: Vec<Expect>,
}

#[derive(Deserialize)]
struct Expect {
    verdict: String,
    r#type: Option<String>,
    kept: Option<Vec<String>>,
    set: Option<Value>,
}

impl Scenario {
    /// Which of the filters are on: `workingMode: cloud` is rewrites switched off.
    fn has(&self, rewrite: Rewrite) -> bool {
        let cloud = self.working_mode.as_deref() == Some("cloud");
        let in_cloud =
            !matches!(rewrite, Rewrite::DiscardCloudService | Rewrite::ForwardKubernetesService);
        (!cloud || in_cloud)
            && self
                .enabled
                .as_ref()
                .is_none_or(|enabled| enabled.iter().any(|name| name == rewrite.filter()))
    }

    fn cluster(&self) -> Cluster {
        let hub = json!({
            "host": self.hub_host.as_deref().unwrap_or("169.254.2.1"),
            "port": self.hub_port.unwrap_or(10268),
        });
        let hub = |rewrite| if self.has(rewrite) { hub.clone() } else { Value::Null };
        let membership = self.membership[..1].to_lowercase() + &self.membership[1..];
        let document = json!({
            "clients": "yurtHub", "membership": membership,
            "rewrites": {
                "serviceTopology": self.has(Rewrite::ServiceTopology),
                "nodePortIsolation": self.has(Rewrite::NodePortIsolation),
                "discardCloudService": self.has(Rewrite::DiscardCloudService),
                "masterService": hub(Rewrite::MasterService),
                "forwardKubernetesService": hub(Rewrite::ForwardKubernetesService),
            },
        });
        let mut config = Config::from_json(&document.to_string()).unwrap();
        config.set_pool(self.pool_option.clone());
        let cluster = Cluster::new(config).unwrap();
        let items = |key: &str| self.facts.get(key).cloned().unwrap_or(json!([]));
        feed(&cluster, "/api/v1/services", "Service", 1, items("services"));
        feed(&cluster, "/api/v1/nodes", "Node", 1, items("nodes"));
        feed(
            &cluster,
            "/apis/apps.openyurt.io/v1beta2/nodepools",
            "NodePool",
            1,
            items("nodePools"),
        );
        feed(
            &cluster,
            "/apis/apps.openyurt.io/v1alpha1/nodebuckets",
            "NodeBucket",
            1,
            items("nodeBuckets"),
        );
        let hub_config = self.facts.get("hubConfig").map(|data| {
            json!([{
                "metadata": {"name": "yurt-hub-cfg", "namespace": "kube-system"},
                "data": data,
            }])
        });
        feed(
            &cluster,
            "/api/v1/namespaces/kube-system/configmaps",
            "ConfigMap",
            1,
            hub_config.unwrap_or(json!([])),
        );
        cluster
    }

    fn target(&self) -> &str {
        self.request.strip_prefix("GET ").unwrap()
    }

    /// The rewrites that apply to the kind that is asked for, by the names of OpenYurt.
    fn chosen(&self, cluster: &Cluster) -> BTreeSet<&'static str> {
        let path = self.target().split('?').next().unwrap();
        let about = |rewrite: &Rewrite| match path.rsplit('/').next().unwrap() {
            "services" => {
                !matches!(rewrite, Rewrite::ServiceTopology | Rewrite::ForwardKubernetesService)
            }
            // OpenYurt picks forwardkubesvctraffic for v1beta1 too, where it then does nothing.
            "endpointslices" => {
                matches!(rewrite, Rewrite::ServiceTopology | Rewrite::ForwardKubernetesService)
            }
            _ => *rewrite == Rewrite::ServiceTopology,
        };
        cluster
            .node(self.node.as_str())
            .client(self.user_agent.as_str())
            .rewrites()
            .into_iter()
            .filter(about)
            .map(Rewrite::filter)
            .collect()
    }

    fn filter(&self, cluster: &Cluster, encoding: Encoding, body: &[u8]) -> Vec<u8> {
        let request =
            RequestHead::get(self.target()).header("User-Agent", self.user_agent.as_str());
        match cluster
            .node(self.node.as_str())
            .open_stateless(&request, &ResponseHead::ok(encoding.media_type()))
        {
            Ok(Action::Rewrite(stream)) => run(stream, body, std::iter::repeat(97)).unwrap(),
            Ok(Action::Forward) => body.to_vec(),
            other => panic!("{}: {other:?}", self.id),
        }
    }

    fn lines(&self, encoding: Encoding, body: &[u8]) -> Vec<String> {
        if self.events.is_empty() {
            told::list(encoding, body)
        } else {
            told::events(encoding, body)
        }
    }
}

/// The line of an object as OpenYurt's client sees it.
fn expected(expect: &Expect, before: &str) -> Option<String> {
    let mut words: Vec<String> = before.split(' ').map(str::to_owned).collect();
    match &*expect.verdict {
        "unchanged" => {}
        "hidden" => match words[0].as_str() {
            // OpenYurt says DELETED; a client of a body by itself cannot have what is new.
            "MODIFIED" => words[0] = "DELETED".to_owned(),
            _ => return None,
        },
        "rewritten" => {
            let set = expect.set.as_ref().unwrap();
            let ports = set["ports"]
                .as_array()
                .unwrap()
                .iter()
                .map(|port| port.as_str().unwrap().to_owned());
            let at = words.iter().position(|word| word.contains('@')).unwrap();
            let ips = match set["clusterIPs"].as_array() {
                Some(ips) => ips.iter().map(|ip| ip.as_str().unwrap().to_owned()).collect(),
                None => expect.kept.clone().unwrap_or_default(),
            };
            let keep = if set["clusterIPs"].is_array() { at + 2 } else { at + 1 };
            words.truncate(keep);
            words.extend(ips.into_iter().chain(ports));
        }
        other => panic!("{other}"),
    }
    assert!(expect.r#type.as_deref().is_none_or(|r#type| words[0] == r#type), "{words:?}");
    Some(words.join(" "))
}

/// Standard base64.
fn base64(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut count, mut out) = (0u32, 0, Vec::new());
    for byte in text.bytes().filter(|&byte| byte != b'=') {
        bits = bits << 6 | LETTERS.iter().position(|&letter| letter == byte).unwrap() as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}

#[test]
fn verdicts_and_choices_equal_those_of_openyurts_own_code() {
    let text = std::fs::read_to_string(format!("{DATA}/yurthub/verdicts.jsonl")).unwrap();
    let (mut chosen, mut equal) = (0, 0);
    for scenario in text.lines().map(|line| serde_json::from_str::<Scenario>(line).unwrap()) {
        let cluster = scenario.cluster();
        // v1.6.1 filters core/v1 Endpoints, main does not; the names are the same.
        if scenario.id.starts_with("sel-") || !scenario.filters.is_empty() {
            let filters: BTreeSet<&str> = scenario.filters.iter().map(String::as_str).collect();
            assert_eq!(scenario.chosen(&cluster), filters, "{}", scenario.id);
            chosen += 1;
        }
        if !["nodeport-", "discard-", "both-", "master-", "forward"]
            .iter()
            .any(|prefix| scenario.id.starts_with(prefix))
        {
            continue;
        }
        let json = if scenario.events.is_empty() {
            let (kind, api_version) =
                (scenario.objects[0]["kind"].as_str().unwrap(), &scenario.objects[0]["apiVersion"]);
            json!({
                "kind": format!("{kind}List"),
                "apiVersion": api_version,
                "metadata": {},
                "items": scenario.objects,
            })
            .to_string()
        } else {
            scenario.events.iter().map(|event| format!("{event}\n")).collect()
        };
        for (encoding, body) in
            [(Encoding::Json, json.into_bytes()), (Encoding::Protobuf, base64(&scenario.pb))]
        {
            let before = scenario.lines(encoding, &body);
            let after = scenario.lines(encoding, &scenario.filter(&cluster, encoding, &body));
            assert_eq!(before.len(), scenario.expect.len());
            let wanted: Vec<String> = before
                .iter()
                .zip(&scenario.expect)
                .filter_map(|(before, expect)| expected(expect, before))
                .collect();
            assert_eq!(after, wanted, "{} {encoding:?}", scenario.id);
            equal += before.len();
        }
    }
    println!("{chosen} choices and {equal} verdicts equal");
    assert_eq!((chosen, equal), (64, 112));
}
