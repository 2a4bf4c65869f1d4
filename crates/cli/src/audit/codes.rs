//! The codes of findings. A code that was published keeps its meaning; `docs/audit.md` has a
//! section for each.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Worth knowing; often intended.
    Info,
    /// Traffic may go elsewhere than its author meant.
    Warning,
    /// Traffic fails, or leaves its pool.
    Error,
}

impl Level {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

/// One kind of finding.
#[derive(Debug)]
pub(crate) struct Code {
    pub(crate) id: &'static str,
    pub(crate) level: Level,
    pub(crate) title: &'static str,
    /// The effect on traffic.
    pub(crate) traffic: &'static str,
    /// The remedy.
    pub(crate) change: &'static str,
}

macro_rules! codes {
    ($($name:ident $id:literal $level:ident $title:literal $traffic:literal $change:literal)*) => {
        $(pub(crate) const $name: &Code = &Code {
            id: $id,
            level: Level::$level,
            title: $title,
            traffic: $traffic,
            change: $change,
        };)*

        /// Every code, in order.
        pub(crate) const ALL: &[&Code] = &[$($name),*];
    };
}

codes! {
    EMPTY_POOL "PS0001" Error "No usable endpoint in a pool"
        "Connections from these nodes fail at once, although there are endpoints elsewhere."
        "Run a ready endpoint in each of these pools, or allow a topology fallback \
         (topologyFallback in the configuration, `*` as the last key)."
    EMPTY_NODES "PS0002" Warning "Nodes without an endpoint of their own"
        "The Service keeps to the node, so connections from these nodes fail at once."
        "Run its pods as a DaemonSet on these nodes, or ask for the pool."
    EMPTY_OUTSIDE "PS0003" Info "Nodes in no pool without an endpoint"
        "A node in no pool uses only its own endpoints, so connections from these nodes fail."
        "Put the nodes into a pool, or exclude them from poolscope. Nodes without clients may stay."
    NO_ENDPOINT "PS0004" Error "No usable endpoint anywhere"
        "Connections fail on every node, with and without poolscope."
        "Check the Service's selector and the readiness of its pods."
    ONE_ENDPOINT "PS0005" Info "Pools that one endpoint or node serves"
        "If this endpoint or node fails or is restarted, connections from the pool fail."
        "Run two endpoints in each pool on different nodes, or allow a topology fallback."
    NO_NODE_NAME "PS0006" Warning "Endpoints that name no node"
        "Nodes drop them (O5), because an endpoint without a node is in no pool."
        "Write `nodeName` into the slice. Slices stored as v1beta1 need to be written once."
    GONE_NODE "PS0007" Warning "Endpoints on nodes that do not exist"
        "Nodes in other pools drop them (O7); they may be left over from a deleted node."
        "Delete the pods of the deleted node, or correct `nodeName` in slices written by hand."
    KEY "PS0101" Error "A key that is not read"
        "The Service is not filtered: traffic goes to endpoints in every pool."
        "Write the annotation as the message spells it."
    VALUE "PS0102" Error "A value that asks for nothing"
        "The Service is not filtered (O2): traffic goes to endpoints in every pool."
        "Write one of the values that the dialect knows, exactly."
    OTHER_DIALECT "PS0103" Warning "A key of another dialect"
        "The annotation is not read, so the Service is filtered as if it did not have it."
        "Use the annotation of the configured dialect, or set `dialect` in the configuration."
    FALLBACK_OFF "PS0104" Error "A topology fallback that is off"
        "A list of keys asks for nothing (O2): traffic goes to endpoints in every pool."
        "Set topologyFallback to true in the configuration, or write a single key."
    STEP "PS0105" Warning "A step of a topology fallback that is not known"
        "No endpoint can meet the step, so the next one is used."
        "Correct the step, or remove it."
    REWRITE_OFF "PS0106" Warning "An annotation whose rewrite is off"
        "The annotation has no effect: the Service is visible in every pool."
        "Set the rewrite to true in the configuration, or remove the annotation."
    LISTEN "PS0107" Warning "A list of pools that does not match the cluster"
        "The node ports are closed in pools that the list does not name (N6, N7)."
        "Correct the names in nodeport.openyurt.io/listen."
    NO_SUCH_LABEL "PS0108" Warning "A node label that no Node has"
        "No two nodes share the label, so each node uses only its own endpoints."
        "Correct the label's key in the annotation, or label the Nodes."
    EXTERNAL_NAME "PS0201" Warning "A topology key on an ExternalName Service"
        "Clients resolve another name by DNS; there are no endpoints to filter."
        "Remove the annotation, or annotate the Service that the name leads to."
    NO_SELECTOR "PS0202" Info "A topology key on a Service without a selector"
        "Its endpoints are written by hand or by another controller, and count by their `nodeName`."
        "Check that every endpoint names its node."
    HEADLESS "PS0203" Info "A topology key on a headless Service"
        "DNS answers with its endpoints: only clients of a DNS server that gets filtered \
         slices stay in the pool."
        "Run CoreDNS on the nodes behind poolscope, or use a Service with a ClusterIP."
    NOT_FILTERED "PS0204" Error "A configuration that does not filter annotated Services"
        "Traffic of all annotated Services goes to endpoints in every pool."
        "Set rewrites.serviceTopology to true, and name the client under `servicetopology` in the \
         ConfigMap kube-system/yurt-hub-cfg if `clients` is `yurtHub`."
    KUBERNETES "PS0205" Error "A topology key on default/kubernetes"
        "The API servers' endpoints name no node, so no node keeps one: agents in pods lose the \
         API server."
        "Remove the annotation; rewrites.forwardKubernetesService gives nodes their own address."
    POOLS_OFF "PS0206" Error "Topology by pool while membership is off"
        "Nobody knows the pools (O10): traffic goes to endpoints in every pool."
        "Set membership in the configuration."
    GLOBAL "PS0301" Warning "Endpoints of other clusters"
        "Cilium adds endpoints of other clusters, which do not come from this API server and are \
         not filtered."
        "Remove service.cilium.io/global, or set service.cilium.io/affinity to local."
    REDIRECT "PS0302" Warning "A local redirect policy"
        "Cilium sends the traffic to pods on the node that the policy selects, whatever the \
         topology keys."
        "Remove the policy or the annotation."
    HINTS "PS0303" Info "Topology hints beside topology keys"
        "Proxies choose by zone among the endpoints that the pool leaves, so traffic may go to \
         fewer endpoints than the pool has."
        "Use either topology keys or hints."
    LOCAL_POLICY "PS0304" Info "A traffic policy Local beside topology keys"
        "Proxies use only endpoints on the node itself, although the pool may have others."
        "Set the policy to Cluster, or ask for the node in the annotation."
    SOME_NODES "PS0305" Info "Frontends on selected nodes"
        "Cilium serves the Service only on nodes that service.cilium.io/node or node-selector \
         selects; this does not choose endpoints."
        "Check that the selected nodes are in the pools that have endpoints."
    NO_POOL "PS0401" Info "Nodes in no pool"
        "A node in no pool uses only its own endpoints of Services with topology keys (O8)."
        "Label the nodes with their pool, unless they run no clients of such Services."
    TWO_POOLS "PS0402" Warning "A node in two pools"
        "Both pools use the endpoints on the node; the node itself uses those of its label's pool."
        "Let only one pool list the node."
    NOT_LISTED "PS0403" Error "Nodes whose pool does not list them"
        "The nodes use the pool's endpoints, but every node of the pool drops those on them (O7)."
        "Wait for the controller, or correct the pool's list of nodes or the nodes' label."
    NOT_LABELLED "PS0404" Warning "Nodes that a pool lists and that lack its label"
        "The pool uses the endpoints on the nodes, but the nodes use only their own (O8)."
        "Label the nodes with the pool."
    DESIRED "PS0405" Warning "Nodes with the old pool label only"
        "The label apps.openyurt.io/desired-nodepool is not read: the nodes are in no pool (O8)."
        "Label the nodes with apps.openyurt.io/nodepool."
    NO_NODES "PS0406" Info "Pools without nodes"
        "None: no node is a client of the pool, and no endpoint is in it."
        "Remove the pool, or add nodes to it."
    NOT_DESCRIBED "PS0407" Error "Nodes of a pool that no object describes"
        "Nobody knows the members of the pool (O9): by onMissingFact.unknownPool, these nodes get \
         the endpoints of every pool, or none."
        "Create the pool, or correct the nodes' label."
    GONE_MEMBERS "PS0408" Info "Pools that list nodes that do not exist"
        "None today; a new node of that name is in the pool from its first moment."
        "Wait for the controller, or remove the names."
    NO_POOL_NAME "PS0409" Warning "NodeBuckets without a pool"
        "The nodes in the bucket are in no pool by it."
        "Label the NodeBucket with openyurt.io/pool-name."
    NO_SERVICE "PS0501" Warning "Slices of a Service that does not exist"
        "Nobody knows its topology keys (O1): by onMissingFact.unknownService, nodes get all \
         of its endpoints, or none."
        "Delete the slices, or correct their label kubernetes.io/service-name."
    NO_SERVICE_NAME "PS0502" Info "Slices that name no Service"
        "kube-proxy and Cilium ignore them; clients that read them get all of their endpoints \
         (O1), by onMissingFact.noService."
        "Set the label kubernetes.io/service-name, or set onMissingFact.noService to empty."
    ENDPOINTS "PS0503" Info "Endpoints objects beside slices"
        "Clients that read core/v1 Endpoints are filtered only where poolscope sees that \
         request: the cell for cilium-agent and OpenYurt since 1.7.0 filter slices alone."
        "Lead these clients through poolscope-proxy, or let them read EndpointSlices."
    IN_DOUBT "PS0601" Info "A configuration that forwards in doubt"
        "While a Service or a pool is not known, nodes get the endpoints of every pool."
        "Set onMissingFact.unknownService and unknownPool to empty, if no traffic is better than \
         traffic that leaves the pool."
}
