//! Differences between a data plane and a node's view.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{IpAddr, SocketAddr};

use poolscope::NodeView;
use poolscope::explain::{EndpointView, ServiceView, State as Condition, TrafficPolicy};
use serde::Serialize;

use super::expected::{Expected, Wanted};
use super::held::{self, Backend, Contents, Held, Kind};
use super::ranges::Range;
use super::yurthub::Cache;
use crate::failure::Failure;

const OTHER_NAMESPACE: &str = "another namespace";

/// The result for one data plane.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Comparison {
    pub(super) kind: Kind,
    pub(super) origin: String,
    /// Frontends of which the data plane and the view both know something.
    pub(super) compared: usize,
    pub(super) leaks: usize,
    pub(super) unknown: usize,
    pub(super) missing: usize,
    pub(super) differences: Vec<Difference>,
    /// Differences that are not faults, by their reason.
    pub(super) allowed: BTreeMap<&'static str, usize>,
    /// Frontends that were not compared, by the reason.
    pub(super) not_compared: BTreeMap<&'static str, usize>,
    /// Causes, and the places to check.
    pub(super) advice: Vec<String>,
    /// Frontends with active endpoints that the view drops, and those that hold all of these.
    #[serde(skip)]
    filtering: (usize, usize),
    /// Frontends of the data plane that the facts have.
    #[serde(skip)]
    matched: usize,
}

/// A frontend whose backends differ.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Difference {
    /// `10.96.0.10:80/TCP`; for slices `endpointslices`.
    pub(super) frontend: String,
    pub(super) r#type: String,
    /// The entry that Cilium has for traffic from the node alone.
    pub(super) internal: bool,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) backends: Vec<Finding>,
}

/// A backend that differs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    pub(super) backend: String,
    pub(super) node: Option<String>,
    pub(super) pools: Vec<String>,
    /// The row of the rule in docs/openyurt.md; empty if no rule decided.
    pub(super) rule: &'static str,
    pub(super) why: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Verdict {
    /// Held, and dropped by the view.
    Leak,
    /// Held, and no endpoint of the Service.
    Unknown,
    /// Not held, and in the view.
    Missing,
}

impl Verdict {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Verdict::Leak => "leak",
            Verdict::Unknown => "unknown",
            Verdict::Missing => "missing",
        }
    }
}

/// A node's view, and the differences that are allowed.
pub(super) struct Comparer<'a> {
    pub(super) view: &'a NodeView,
    pub(super) services: &'a [ServiceView],
    /// Addresses of other clusters.
    pub(super) others: &'a [Range],
    /// The namespace whose Services are compared; `None`: all.
    pub(super) namespace: Option<&'a str>,
}

impl Comparer<'_> {
    pub(super) fn compare(&self, held: &Held) -> Result<Comparison, Failure> {
        let mut result = Comparison {
            kind: held.kind,
            origin: held.origin.clone(),
            compared: 0,
            leaks: 0,
            unknown: 0,
            missing: 0,
            differences: Vec::new(),
            allowed: BTreeMap::new(),
            not_compared: BTreeMap::new(),
            advice: Vec::new(),
            filtering: (0, 0),
            matched: 0,
        };
        match &held.contents {
            Contents::Frontends(frontends) => self.frontends(frontends, &mut result),
            Contents::Slices(cache) => self.slices(cache, &mut result)?,
        }
        result.count();
        Ok(result)
    }

    fn frontends(&self, frontends: &[held::Frontend], result: &mut Comparison) {
        let expected = Expected::new(self.services);
        let mut found = HashSet::new();
        for held in frontends {
            let wanted = expected.find(held);
            found.extend(wanted.iter().copied());
            let wanted: Vec<&Wanted<'_>> =
                wanted.iter().map(|&index| &expected.frontends[index]).collect();
            result.matched += usize::from(!wanted.is_empty());
            match self.not_compared(held, &wanted) {
                Some(why) => *result.not_compared.entry(why).or_default() += 1,
                None => self.frontend(held, &wanted, result),
            }
        }
        for (index, wanted) in expected.frontends.iter().enumerate() {
            if !found.contains(&index) {
                self.absent(wanted, frontends, result);
            }
        }
    }

    /// Returns why a frontend is left out; `None` if it is compared.
    fn not_compared(&self, held: &held::Frontend, wanted: &[&Wanted<'_>]) -> Option<&'static str> {
        let api_server = held.service.as_ref();
        let api_server = api_server
            .is_some_and(|(namespace, name)| namespace == "default" && name == "kubernetes");
        match &*held.r#type {
            _ if held.is_remote => Some("another cluster (ClusterMesh)"),
            "LocalRedirect" => Some("LocalRedirect"),
            "HostPort" => Some("HostPort"),
            // Cilium drops traffic to the other ports of a Service's address there.
            _ if held.address.port == 0 => Some("no Service's port"),
            _ if api_server || wanted.iter().any(|wanted| is_api_server(wanted.view)) => {
                Some("default/kubernetes")
            }
            _ if wanted.is_empty() => Some("the facts do not have the frontend"),
            _ if !wanted.iter().any(|wanted| self.is_shown(wanted.view)) => Some(OTHER_NAMESPACE),
            _ => None,
        }
    }

    /// Compares one frontend with those of the view that it stands for.
    fn frontend(&self, held: &held::Frontend, wanted: &[&Wanted<'_>], result: &mut Comparison) {
        result.compared += 1;
        let ipv6 = held.address.ip.is_ipv6();
        let mut expected: BTreeMap<SocketAddr, &EndpointView> = BTreeMap::new();
        for each in wanted {
            let backends = each.backends(ipv6).into_iter();
            expected.extend(backends.map(|(at, (endpoint, _))| (at, endpoint)));
        }
        if held.local {
            expected.retain(|_, endpoint| endpoint.local);
        }
        let mut backends = Vec::new();
        let mut held_at = BTreeSet::new();
        for backend in &held.backends {
            held_at.insert(backend.at);
            if expected.contains_key(&backend.at) {
                continue;
            }
            match self.extra(held, backend, wanted) {
                Ok(finding) => backends.push(finding),
                Err(why) => *result.allowed.entry(why).or_default() += 1,
            }
        }
        // Where only the node's own endpoints are used, the others are absent without a filter.
        // cilium-dbg's table does not tell whether it is so.
        let is_local =
            |wanted: &&Wanted<'_>| wanted.frontend.traffic_policy == Some(TrafficPolicy::Local);
        if !held.local && !wanted.iter().any(is_local) {
            result.note_filtering(wanted, ipv6, &held_at);
        }
        for id in &held.dangling {
            backends.push(Finding {
                verdict: Verdict::Unknown,
                backend: format!("backend {id}"),
                node: None,
                pools: Vec::new(),
                rule: "",
                why: "the Service's map names it, and the backends' map does not have it"
                    .to_owned(),
            });
        }
        let missing = expected.iter().filter(|(at, _)| !held_at.contains(at));
        backends.extend(missing.map(|(at, endpoint)| missing_backend(*at, endpoint)));
        if let (Some(first), false) = (wanted.first(), backends.is_empty()) {
            let address = held.address.to_string();
            result.add(first.view, address, first.frontend.r#type, held.internal, backends);
        }
    }

    /// Judges a backend that the view does not use.
    ///
    /// # Errors
    ///
    /// Returns the reason why it is allowed.
    fn extra(
        &self,
        held: &held::Frontend,
        backend: &Backend,
        wanted: &[&Wanted<'_>],
    ) -> Result<Finding, &'static str> {
        let ip = backend.at.ip();
        let port = i32::from(backend.at.port());
        let finding = |verdict, endpoint: Option<&EndpointView>, rule, why| Finding {
            verdict,
            backend: backend.at.to_string(),
            node: endpoint.map_or(backend.node.clone(), |endpoint| endpoint.node.clone()),
            pools: endpoint.map(|endpoint| endpoint.pools.clone()).unwrap_or_default(),
            rule,
            why,
        };
        let endpoints = || wanted.iter().flat_map(|wanted| wanted.endpoints(ip));
        let at_port = |endpoint: &&EndpointView| endpoint.ports.iter().any(|one| one.port == port);
        let kept = endpoints().filter(at_port).find(|endpoint| endpoint.kept);
        if let Some(endpoint) = kept.or_else(|| endpoints().find(at_port)) {
            if let Some(hidden) = wanted.iter().find(|wanted| !wanted.view.visible) {
                let (rule, why) = (hidden.view.rule, hidden.view.why.clone());
                return Ok(finding(Verdict::Leak, Some(endpoint), rule, why));
            }
            if !endpoint.kept {
                return if held.uses(backend) {
                    let (rule, why) = (endpoint.rule, endpoint.why.clone());
                    Ok(finding(Verdict::Leak, Some(endpoint), rule, why))
                } else {
                    Err("the backend is not used")
                };
            }
            if endpoint.state != Condition::Active {
                return Err("the endpoint is terminating or not ready");
            }
            let local = held.local || wanted.iter().any(|wanted| wanted.is_local());
            if local && !endpoint.local {
                return Err("traffic policy Local");
            }
            let why = "an endpoint of the Service, at the port of another of its frontends";
            return Ok(finding(Verdict::Unknown, Some(endpoint), "", why.to_owned()));
        }
        if ip.is_loopback() {
            return Err("Cilium's proxy for layer 7");
        }
        if backend.is_remote || self.is_of_another_cluster(ip, backend.node.as_deref()) {
            return Err("another cluster (ClusterMesh)");
        }
        if !held.uses(backend) {
            return Err("the backend is not used");
        }
        let why = match endpoints().next() {
            Some(_) => "an endpoint of the Service has this address, but not this port",
            None => "no endpoint of the Service has this address",
        };
        Ok(finding(Verdict::Unknown, endpoints().next(), "", why.to_owned()))
    }

    fn is_shown(&self, view: &ServiceView) -> bool {
        self.namespace.is_none_or(|shown| shown == view.namespace)
    }

    /// Returns `true` for an address that `--other-clusters` names, and for a node that the facts
    /// would name if it were one of this cluster.
    fn is_of_another_cluster(&self, ip: IpAddr, node: Option<&str>) -> bool {
        let is_known = |node: &str| self.view.cluster().node(node).is_known();
        self.others.iter().any(|range| range.contains(ip))
            || node.is_some_and(|node| self.view.is_known() && !is_known(node))
    }

    /// Reports a frontend that the data plane does not have, if this data plane would have it.
    fn absent(&self, wanted: &Wanted<'_>, frontends: &[held::Frontend], result: &mut Comparison) {
        if !wanted.view.visible || is_api_server(wanted.view) || !self.is_shown(wanted.view) {
            return;
        }
        let any = |like: &dyn Fn(&held::Frontend) -> bool| frontends.iter().any(like);
        let has_protocol =
            any(&|held| held.address.protocol.is_none_or(|protocol| protocol == wanted.protocol));
        let from_outside = wanted.frontend.r#type != "ClusterIP";
        if !has_protocol || from_outside && !any(&|held| is_like(held, wanted.frontend.r#type)) {
            let why = "the data plane has no frontend of this kind";
            *result.not_compared.entry(why).or_default() += 1;
            return;
        }
        let mut backends = Vec::new();
        for ipv6 in [false, true] {
            if wanted.is_ipv6().is_none_or(|one| one == ipv6)
                && any(&|held| held.address.ip.is_ipv6() == ipv6)
            {
                let expected = wanted.backends(ipv6).into_iter();
                backends.extend(expected.map(|(at, (endpoint, _))| Finding {
                    why: "the data plane does not have the frontend".to_owned(),
                    ..missing_backend(at, endpoint)
                }));
            }
        }
        if !backends.is_empty() {
            result.compared += 1;
            let address = wanted.frontend.address.clone();
            result.add(wanted.view, address, wanted.frontend.r#type, false, backends);
        }
    }

    /// Compares slices, Service by Service, with the endpoints that the view keeps.
    fn slices(&self, cache: &Cache, result: &mut Comparison) -> Result<(), Failure> {
        let cached = cache.services()?;
        let key = |view: &ServiceView| (view.namespace.clone(), view.name.clone());
        let cached: BTreeMap<_, _> = cached.iter().map(|view| (key(view), view)).collect();
        let known: HashSet<_> = self.services.iter().map(key).collect();
        result.matched = cached.keys().filter(|name| known.contains(*name)).count();
        let strangers = cached.keys().filter(|name| !known.contains(*name)).count();
        if strangers > 0 {
            result.not_compared.insert("the facts do not have the Service", strangers);
        }
        let compared = |view: &&ServiceView| !is_api_server(view) && self.is_shown(view);
        for view in self.services.iter().filter(compared) {
            let held: Vec<&EndpointView> =
                cached.get(&key(view)).into_iter().flat_map(|held| &held.endpoints).collect();
            if held.is_empty() && view.endpoints.is_empty() {
                continue;
            }
            result.compared += 1;
            let mut backends = Vec::new();
            let is_held =
                |one: &EndpointView| held.iter().any(|other| other.address == one.address);
            for endpoint in &held {
                let same = || view.endpoints.iter().filter(|e| e.address == endpoint.address);
                if same().any(|one| one.kept) {
                    continue;
                }
                let dropped = same().next();
                let (rule, why) = dropped
                    .map_or(("", "no endpoint of the Service has this address"), |dropped| {
                        (dropped.rule, &*dropped.why)
                    });
                backends.push(Finding {
                    verdict: if dropped.is_some() { Verdict::Leak } else { Verdict::Unknown },
                    backend: endpoint.address.clone(),
                    node: endpoint.node.clone(),
                    pools: dropped.map(|dropped| dropped.pools.clone()).unwrap_or_default(),
                    rule,
                    why: why.to_owned(),
                });
            }
            let dropped: Vec<&EndpointView> =
                view.endpoints.iter().filter(|endpoint| !endpoint.kept).collect();
            if !dropped.is_empty() {
                result.filtering.0 += 1;
                let all = dropped.iter().all(|one| is_held(one));
                result.filtering.1 += usize::from(all);
            }
            for endpoint in view.endpoints.iter().filter(|endpoint| endpoint.kept) {
                if !is_held(endpoint) {
                    backends.push(Finding {
                        verdict: Verdict::Missing,
                        backend: endpoint.address.clone(),
                        node: endpoint.node.clone(),
                        pools: endpoint.pools.clone(),
                        rule: endpoint.rule,
                        why: endpoint.why.clone(),
                    });
                }
            }
            if !backends.is_empty() {
                result.add(view, "endpointslices".to_owned(), "", false, backends);
            }
        }
        Ok(())
    }
}

/// An agent reaches the API server by other ways, too.
fn is_api_server(view: &ServiceView) -> bool {
    (&*view.namespace, &*view.name) == ("default", "kubernetes")
}

/// Returns `true` if the entry is for traffic of that type: `NodePort`, `ExternalIP`,
/// `LoadBalancer`. kube-proxy's rules do not tell the last two apart.
fn is_like(held: &held::Frontend, r#type: &str) -> bool {
    match &*held.r#type {
        "External" => matches!(r#type, "ExternalIP" | "LoadBalancer"),
        "ExternalIPs" => r#type == "ExternalIP",
        other => other == r#type,
    }
}

fn missing_backend(at: SocketAddr, endpoint: &EndpointView) -> Finding {
    Finding {
        verdict: Verdict::Missing,
        backend: at.to_string(),
        node: endpoint.node.clone(),
        pools: endpoint.pools.clone(),
        rule: endpoint.rule,
        why: endpoint.why.clone(),
    }
}

impl Comparison {
    /// Returns `true` if something was compared, and nothing differs.
    pub(super) fn is_clean(&self) -> bool {
        self.compared > 0 && self.differences.is_empty()
    }

    fn add(
        &mut self,
        view: &ServiceView,
        frontend: String,
        r#type: &str,
        internal: bool,
        backends: Vec<Finding>,
    ) {
        self.differences.push(Difference {
            frontend,
            r#type: r#type.to_owned(),
            internal,
            namespace: view.namespace.clone(),
            name: view.name.clone(),
            backends,
        });
    }

    /// Notes whether a frontend shows that endpoints are filtered out.
    fn note_filtering(&mut self, wanted: &[&Wanted<'_>], ipv6: bool, held: &BTreeSet<SocketAddr>) {
        let held: HashSet<IpAddr> = held.iter().map(SocketAddr::ip).collect();
        let dropped: Vec<IpAddr> = wanted
            .iter()
            .flat_map(|wanted| &wanted.view.endpoints)
            .filter(|endpoint| !endpoint.kept && endpoint.state == Condition::Active)
            .filter_map(|endpoint| endpoint.address.parse().ok())
            .filter(|ip: &IpAddr| ip.is_ipv6() == ipv6)
            .collect();
        if !dropped.is_empty() {
            self.filtering.0 += 1;
            self.filtering.1 += usize::from(dropped.iter().all(|ip| held.contains(ip)));
        }
    }

    fn count(&mut self) {
        let findings = self.differences.iter().flat_map(|difference| &difference.backends);
        for finding in findings {
            match finding.verdict {
                Verdict::Leak => self.leaks += 1,
                Verdict::Unknown => self.unknown += 1,
                Verdict::Missing => self.missing += 1,
            }
        }
        self.advice = self.advise();
    }

    fn advise(&self) -> Vec<String> {
        if self.matched == 0 {
            let what = "the facts have nothing of this data plane: are both of one cluster?";
            return vec![what.to_owned()];
        }
        if self.compared == 0 && self.not_compared.contains_key(OTHER_NAMESPACE) {
            return vec!["its frontends are of other namespaces: check --namespace".to_owned()];
        }
        let mut advice = Vec::new();
        let (dropping, holding) = self.filtering;
        if self.leaks > 0 && dropping == holding {
            let client = match self.kind {
                _ if self.kind.is_cilium() => {
                    "the agent does not go through poolscope: it holds every endpoint that this \
                     node's view drops. Check `cilium-dbg shell -- poolscope/status`, or that \
                     k8s-kubeconfig-path leads the agent to poolscope-proxy (docs/cilium.md)"
                }
                Kind::YurthubCache => {
                    "yurthub does not filter for this component: it stored every endpoint that \
                     this node's view drops. Check `servicetopology` in the ConfigMap \
                     kube-system/yurt-hub-cfg"
                }
                _ => {
                    "kube-proxy does not go through poolscope or yurthub: it holds every endpoint \
                     that this node's view drops. Check the server in its kubeconfig \
                     (docs/proxy.md)"
                }
            };
            advice.push(client.to_owned());
        } else if self.leaks > 0 {
            advice.push(format!(
                "{} of {dropping} frontends are filtered, so the client goes through poolscope: a \
                 change is on its way (try --settle 10), or the facts are of another time",
                dropping - holding
            ));
        }
        if self.unknown > 0 {
            advice.push(
                "an unknown backend is newer than the facts, left from before, written by hand, \
                 or of another cluster (--other-clusters CIDR)"
                    .to_owned(),
            );
        }
        if self.missing > 0 {
            advice.push(
                "a missing backend is newer than the data plane (try --settle 10), or the client's \
                 watch of EndpointSlices is broken: read its log"
                    .to_owned(),
            );
        }
        advice
    }
}
