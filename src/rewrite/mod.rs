//! The rules that change objects, in the order they are applied to one:
//!
//! | kind | order |
//! |---|---|
//! | Service | [`discard_cloud_service`], [`node_port_isolation`]: the first that filters it out decides; then [`master_service`] |
//! | EndpointSlice v1 | [`forward_kubernetes_service`]; a slice that it changes has no endpoints left to judge. Then [`service_topology`] |
//! | EndpointSlice v1beta1, Endpoints | [`service_topology`] |
//!
//! The order is fixed: an address on the node stands for the API server whatever the Service
//! default/kubernetes asks for.

mod cut;
mod discard_cloud_service;
pub(crate) mod forward_kubernetes_service;
mod https_port;
mod master_service;
mod node_port_isolation;
pub(crate) mod service_topology;

use crate::cluster::counters::count;
use crate::cluster::{Cluster, Facts};
use crate::config::Clients;
use crate::config::rewrites::{Rewrite, Rewrites};
use crate::error::Fault;
use crate::object::SubjectKind;
use crate::object::key::ObjectKey;
use crate::object::outline::Outline;
use crate::topology::Members;
use crate::topology::fallback::UsableSteps;
use crate::topology::keys::Keys;
use crate::topology::verdict::{Reason, Service, View, ViewKind};
use crate::wire::Span;
use crate::wire::encoding::Encoding;
use crate::wire::splice::Edit;

/// The rewrites that may apply to a kind.
pub(crate) const fn rewrites_of(kind: SubjectKind) -> Rewrites {
    const NONE: Rewrites = Rewrites::NONE;
    match kind {
        SubjectKind::EndpointSlice => {
            NONE.with(Rewrite::ServiceTopology).with(Rewrite::ForwardKubernetesService)
        }
        SubjectKind::EndpointSliceBeta | SubjectKind::Endpoints => {
            NONE.with(Rewrite::ServiceTopology)
        }
        SubjectKind::Service => NONE
            .with(Rewrite::NodePortIsolation)
            .with(Rewrite::DiscardCloudService)
            .with(Rewrite::MasterService),
    }
}

/// The key of the Service that stands for the API server, as an [`ObjectKey`]; its
/// slice is named likewise.
pub(crate) const KUBERNETES: &[u8] = b"default/kubernetes";

/// Why a Service is visible or filtered out. Rule ids are those of the page
/// [openyurt](crate::documentation::openyurt).
///
/// ```
/// use poolscope::{Rewrite, ServiceReason};
///
/// let reason = ServiceReason::PoolNotNamed;
/// assert!(reason.filters_out());
/// assert_eq!((reason.rewrite(), reason.rule()), (Some(Rewrite::NodePortIsolation), "N6"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ServiceReason {
    /// Visible: no rewrite applies (N1).
    NoRule,
    /// Visible: its node ports are for some pools, and the node is in no pool (N2).
    NodeInNoPool,
    /// Visible: its node ports are for the node's pool (N3).
    PoolNamed,
    /// Visible: its node ports are for every pool (N5).
    AnyPool,
    /// Visible, and leads to an address on the node (M1).
    Redirected,
    /// Filtered out: its node ports are not for the node's pool (N4).
    PoolExcluded,
    /// Filtered out: its node ports are for other pools (N6).
    PoolNotNamed,
    /// Filtered out: its node ports are for no pool (N7).
    NoPoolNamed,
    /// Filtered out: it is a load balancer that is marked as one for the cloud alone (D1).
    Discarded,
    /// Filtered out: it is OpenYurt's tunnel, which is for the cloud alone (D2).
    CloudTunnel,
}

impl ServiceReason {
    /// Whether the Service is filtered out.
    pub const fn filters_out(self) -> bool {
        use ServiceReason::*;
        matches!(self, PoolExcluded | PoolNotNamed | NoPoolNamed | Discarded | CloudTunnel)
    }

    /// Returns the rewrite that decided; `None` if no rewrite applies.
    pub const fn rewrite(self) -> Option<Rewrite> {
        use ServiceReason::*;
        match self {
            NoRule => None,
            NodeInNoPool | PoolNamed | AnyPool | PoolExcluded | PoolNotNamed | NoPoolNamed => {
                Some(Rewrite::NodePortIsolation)
            }
            Discarded | CloudTunnel => Some(Rewrite::DiscardCloudService),
            Redirected => Some(Rewrite::MasterService),
        }
    }

    /// The row of the rule, as `docs/openyurt.md` numbers them.
    pub const fn rule(self) -> &'static str {
        use ServiceReason::*;
        match self {
            NoRule => "N1",
            NodeInNoPool => "N2",
            PoolNamed => "N3",
            PoolExcluded => "N4",
            AnyPool => "N5",
            PoolNotNamed => "N6",
            NoPoolNamed => "N7",
            Discarded => "D1",
            CloudTunnel => "D2",
            Redirected => "M1",
        }
    }

    /// The name of the reason in JSON output; never changes.
    pub const fn name(self) -> &'static str {
        use ServiceReason::*;
        match self {
            NoRule => "noRule",
            NodeInNoPool => "nodeInNoPool",
            PoolNamed => "poolNamed",
            AnyPool => "anyPool",
            Redirected => "redirected",
            PoolExcluded => "poolExcluded",
            PoolNotNamed => "poolNotNamed",
            NoPoolNamed => "noPoolNamed",
            Discarded => "discarded",
            CloudTunnel => "cloudTunnel",
        }
    }
}

/// The fields of a Service that rules use.
pub(crate) struct ServiceFields<'a> {
    pub(crate) namespace: &'a [u8],
    pub(crate) name: &'a [u8],
    pub(crate) r#type: &'a [u8],
    /// Annotations, where it has them.
    pub(crate) listen: Option<&'a [u8]>,
    pub(crate) discard: Option<&'a [u8]>,
}

/// Judges a Service for a node in `pool` whose client gets `rewrites`.
pub(crate) fn judge_service(
    service: &ServiceFields<'_>,
    pool: Option<&[u8]>,
    rewrites: Rewrites,
) -> ServiceReason {
    let ServiceFields { namespace, name, r#type, listen, discard } = *service;
    let discarded = rewrites
        .has(Rewrite::DiscardCloudService)
        .then(|| discard_cloud_service::judge(namespace, name, r#type, discard))
        .filter(|reason| reason.filters_out());
    let isolated = || {
        rewrites
            .has(Rewrite::NodePortIsolation)
            .then(|| node_port_isolation::judge(r#type, listen, pool))
    };
    let reason = discarded.or_else(isolated).unwrap_or(ServiceReason::NoRule);
    let redirects = rewrites.has(Rewrite::MasterService) && is_kubernetes(namespace, name);
    if redirects && !reason.filters_out() { ServiceReason::Redirected } else { reason }
}

fn is_kubernetes(namespace: &[u8], name: &[u8]) -> bool {
    (namespace, name) == (b"default", b"kubernetes")
}

/// The rules for objects of one kind, one node and one client. Buffers are kept from object to
/// object.
pub(crate) struct Rules {
    cluster: Cluster,
    node: Box<[u8]>,
    kind: SubjectKind,
    component: String,
    /// The client's rewrites as of a generation.
    rewrites: Rewrites,
    generation: Option<u64>,
    /// The one object that may lead elsewhere may yet come.
    may_redirect: bool,
    service_key: ObjectKey,
    keep: Vec<bool>,
}

impl Rules {
    /// `namespace` is the only one that objects come from, if there is but one.
    pub(crate) fn new(
        cluster: Cluster,
        node: &str,
        kind: SubjectKind,
        component: String,
        namespace: Option<&str>,
    ) -> Rules {
        let (rewrites, generation) = (Rewrites::NONE, None);
        let mut rules = Rules {
            cluster,
            node: node.as_bytes().into(),
            kind,
            component,
            rewrites,
            generation,
            may_redirect: namespace.is_none_or(|namespace| namespace == "default"),
            service_key: ObjectKey::default(),
            keep: Vec::new(),
        };
        rules.choose();
        rules
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The node that is judged for.
    pub(crate) fn node(&self) -> &[u8] {
        &self.node
    }

    pub(crate) fn kind(&self) -> SubjectKind {
        self.kind
    }

    /// Returns `true` if Services may name a topology fallback, which is decided over siblings.
    /// Services themselves have no endpoints, and no siblings.
    pub(crate) fn topology_fallback(&self) -> bool {
        self.cluster.config().topology_fallback && self.kind != SubjectKind::Service
    }

    /// The key of the Service that the object judged last belongs to or is, as
    /// [`ObjectKey`]; empty if it names none.
    pub(crate) fn service_key(&self) -> &[u8] {
        &self.service_key
    }

    /// Whether the client gets any rewrite of the kind.
    pub(crate) fn applies(&self) -> bool {
        !self.rewrites.is_empty()
    }

    /// Whether an object that is yet to come may become larger than it was: in a list the one that
    /// leads elsewhere, once.
    pub(crate) fn may_grow(&self) -> bool {
        let redirects =
            Rewrites::NONE.with(Rewrite::MasterService).with(Rewrite::ForwardKubernetesService);
        self.may_redirect && !self.rewrites.and(redirects).is_empty()
    }

    /// Looks which rewrites the client gets as the facts are now.
    pub(crate) fn choose(&mut self) {
        if self.may_choose_otherwise(self.cluster.generation()) {
            let cluster = self.cluster.clone();
            self.choose_by(&cluster.read());
        }
    }

    /// Chooses the client's rewrites by these facts.
    pub(crate) fn choose_by(&mut self, facts: &Facts) {
        if self.may_choose_otherwise(facts.generation()) {
            self.rewrites = facts
                .rewrites_of(&self.component, self.cluster.config())
                .and(rewrites_of(self.kind));
            self.generation = Some(facts.generation());
        }
    }

    fn may_choose_otherwise(&self, generation: u64) -> bool {
        // Only the ConfigMap chooses otherwise later.
        let settled = self.generation.is_some() && self.cluster.config().clients == Clients::All;
        !settled && self.generation != Some(generation)
    }

    /// Returns the view of an object whose Service is `service`.
    pub(crate) fn view<'a>(
        &'a self,
        facts: &'a Facts,
        service: Service,
        usable: impl FnOnce(Option<&Members>) -> UsableSteps,
    ) -> View<'a> {
        match self.rewrites.has(Rewrite::ServiceTopology) {
            true => facts.view(service, &self.node, self.cluster.config(), usable),
            false => View::Whole(Reason::ServiceTopologyOff),
        }
    }

    /// Judges the object at `object` in `buf`, whose outline is given. `siblings` tells for the
    /// Service, this node and the members of its pool what the other objects of a topology
    /// fallback's Service have usable.
    pub(crate) fn judge(
        &mut self,
        buf: &[u8],
        object: Span,
        outline: &Outline,
        edit: &mut Edit,
        siblings: impl FnOnce(&[u8], &[u8], Option<&Members>) -> UsableSteps,
    ) -> Result<Judged, Fault> {
        edit.clear();
        self.choose();
        match self.kind {
            SubjectKind::Service => self.judge_service(buf, object, outline, edit),
            _ => match self.forward(buf, object, outline, edit)? {
                Some(judged) => Ok(judged),
                None => Ok(self.judge_endpoints(buf, outline, edit, siblings)),
            },
        }
    }

    fn judge_service(
        &mut self,
        buf: &[u8],
        object: Span,
        outline: &Outline,
        edit: &mut Edit,
    ) -> Result<Judged, Fault> {
        let text = |span| outline.optional_text(buf, span);
        let (namespace, name, r#type) =
            (text(outline.namespace), text(outline.name), text(outline.service_type));
        let (listen, discard) = (
            outline.listen.map(|span| outline.text(buf, span)),
            outline.discard.map(|span| outline.text(buf, span)),
        );
        let service = ServiceFields {
            namespace: &namespace,
            name: &name,
            r#type: &r#type,
            listen: listen.as_deref(),
            discard: discard.as_deref(),
        };
        self.service_key.set(&namespace, &name);
        let config = self.cluster.config();
        let on = config.rewrites().and(rewrites_of(self.kind));
        // Facts may change the own pool, and which client gets which rewrite.
        let depends = match config.clients {
            Clients::All => {
                let hides = on.and(
                    Rewrites::NONE
                        .with(Rewrite::DiscardCloudService)
                        .with(Rewrite::NodePortIsolation),
                );
                judge_service(&service, None, hides) == ServiceReason::NodeInNoPool
            }
            Clients::YurtHub => judge_service(&service, None, on) != ServiceReason::NoRule,
        };
        let facts = self.cluster.read();
        let reason =
            judge_service(&service, facts.own_pool_name(&self.node, config), self.rewrites);
        drop(facts);
        if let (ServiceReason::Redirected, Some(hub)) = (reason, config.master_service) {
            master_service::redirect(buf, object, encoding(outline), hub, &config.limits, edit)?;
        }
        self.may_redirect &= !is_kubernetes(&namespace, &name);
        Ok(Judged {
            changes: edit.changes(),
            filtered_out: reason.filters_out(),
            view_kind: if depends { ViewKind::Pool } else { ViewKind::Whole },
            keys: if depends { Keys::Pool } else { Keys::Unset },
            counts: Counts::Service { redirected: reason == ServiceReason::Redirected },
        })
    }

    /// The slice default/kubernetes, if it leads elsewhere.
    fn forward(
        &mut self,
        buf: &[u8],
        object: Span,
        outline: &Outline,
        edit: &mut Edit,
    ) -> Result<Option<Judged>, Fault> {
        let config = self.cluster.config();
        let Some(hub) = config
            .forward_kubernetes_service
            .filter(|_| self.rewrites.has(Rewrite::ForwardKubernetesService))
        else {
            return Ok(None);
        };
        let text = |span| outline.optional_text(buf, span);
        if !is_kubernetes(&text(outline.namespace), &text(outline.name)) {
            return Ok(None);
        }
        // There is no other of that name, whether this one leads elsewhere or not.
        self.may_redirect = false;
        if !forward_kubernetes_service::redirect(
            buf,
            object,
            encoding(outline),
            hub,
            &config.limits,
            edit,
        )? {
            return Ok(None);
        }
        self.service_key.set(&text(outline.namespace), &text(outline.service_name));
        if outline.service_name.is_none() {
            self.service_key.clear();
        }
        let keys = match self.cluster.read().service(&self.service_key).0 {
            Service::Known(keys) => keys,
            Service::Unknown | Service::None => Keys::Unset,
        };
        Ok(Some(Judged {
            changes: true,
            filtered_out: false,
            view_kind: ViewKind::Forwarded,
            keys,
            counts: Counts::Forwarded,
        }))
    }

    /// Counts an object that was judged and is given, or would be if it were not filtered out.
    pub(crate) fn count(&self, judged: &Judged) {
        let counters = self.cluster.live_counters();
        match judged.counts {
            Counts::Endpoints { reason, kept, dropped, deleted } => {
                service_topology::count_endpoints(counters, reason, kept, dropped);
                count(&counters.held_deleted_service, u64::from(deleted));
            }
            Counts::Forwarded => {
                count(&counters.objects, 1);
                count(&counters.objects_redirected, 1);
            }
            Counts::Service { redirected } => {
                count(&counters.services, 1);
                count(&counters.services_filtered_out, u64::from(judged.filtered_out));
                count(&counters.objects_redirected, u64::from(redirected));
            }
        }
    }
}

fn encoding(outline: &Outline) -> Encoding {
    if outline.is_json() { Encoding::Json } else { Encoding::Protobuf }
}

/// How an object was judged.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    /// Its bytes change as the edit has it.
    pub(crate) changes: bool,
    /// The client may not have it at all.
    pub(crate) filtered_out: bool,
    /// How this node sees the object. For a Service: [`ViewKind::Pool`] if facts may change it.
    pub(crate) view_kind: ViewKind,
    /// The topology keys of its Service.
    pub(crate) keys: Keys,
    counts: Counts,
}

/// The counters that an object increments.
#[derive(Debug, Clone, Copy)]
enum Counts {
    Endpoints {
        /// The reason that holds for the whole object, if there is one.
        reason: Option<Reason>,
        kept: usize,
        dropped: usize,
        /// Its Service was deleted.
        deleted: bool,
    },
    Forwarded,
    Service {
        redirected: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use ServiceReason::*;

    #[test]
    fn names_never_change() {
        let all = [
            NoRule,
            NodeInNoPool,
            PoolNamed,
            AnyPool,
            Redirected,
            PoolExcluded,
            PoolNotNamed,
            NoPoolNamed,
            Discarded,
            CloudTunnel,
        ];
        let names = "noRule nodeInNoPool poolNamed anyPool redirected poolExcluded poolNotNamed \
                     noPoolNamed discarded cloudTunnel";
        assert_eq!(all.map(ServiceReason::name).join(" "), names);
        assert_eq!(all.map(ServiceReason::rule).join(" "), "N1 N2 N3 N5 M1 N4 N6 N7 D1 D2");
        assert_eq!(
            all.map(ServiceReason::filters_out),
            [false, false, false, false, false, true, true, true, true, true]
        );
    }

    #[test]
    fn the_order_of_the_rewrites_is_fixed() {
        let all: Rewrites = Rewrite::ALL.into_iter().collect();
        let of = |namespace: &str, name: &str, listen: Option<&str>, rewrites: Rewrites| {
            let service = ServiceFields {
                namespace: namespace.as_bytes(),
                name: name.as_bytes(),
                r#type: b"LoadBalancer",
                listen: listen.map(str::as_bytes),
                discard: Some(b"true"),
            };
            judge_service(&service, Some(b"hangzhou"), rewrites)
        };
        assert_eq!(of("shop", "lb", Some("-hangzhou"), all), Discarded);
        let without =
            |rewrite: Rewrite| all.iter().filter(|&other| other != rewrite).collect::<Rewrites>();
        assert_eq!(
            of("shop", "lb", Some("-hangzhou"), without(Rewrite::DiscardCloudService)),
            PoolExcluded
        );
        assert_eq!(
            of("default", "kubernetes", None, without(Rewrite::DiscardCloudService)),
            Redirected
        );
        assert_eq!(
            of("default", "kubernetes", None, all),
            Discarded,
            "filtered-out objects are not changed"
        );
        let kept = without(Rewrite::DiscardCloudService);
        for listen in ["hangzhou", "*", "-shanghai,*"] {
            assert_eq!(
                of("default", "kubernetes", Some(listen), kept),
                Redirected,
                "visible for a reason: {listen}"
            );
        }
        assert_eq!(of("default", "kubernetes", Some("-hangzhou"), kept), PoolExcluded);
        assert_eq!(of("shop", "lb", Some("-hangzhou"), Rewrites::NONE), NoRule);
    }
}
