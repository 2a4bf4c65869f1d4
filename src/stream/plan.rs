//! Decides how to handle a response, from the heads and the configuration alone.

use super::path::{Resource, UnreadPath};
use super::request::{RequestHead, ResponseHead, Target};
use crate::cluster::fact::matters;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::object::{FactKind, SubjectKind};
use crate::rewrite::rewrites_of;
use crate::wire::encoding::Encoding;

/// How to handle a response.
#[derive(Debug)]
pub(super) enum Plan {
    /// Forward it unread.
    Forward(Passed),
    /// Never forward it: it cannot be read, and may carry what has to be cut.
    Reject(Error),
    /// Read facts from it, and forward every byte.
    ReadFacts { kind: FactKind, target: Target, encoding: Encoding },
    /// Rewrite it once no fact is missing.
    Rewrite {
        kind: SubjectKind,
        target: Target,
        /// Objects of this kind are facts, too.
        facts: Option<FactKind>,
        /// An error if the body cannot be read.
        encoding: Result<Encoding>,
    },
}

/// Why a response is forwarded unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passed {
    /// Nothing in it is rewritten or a fact.
    Unrelated,
    /// The path ends as one of a rewritten kind, behind no API root.
    UnknownPath,
    /// The path is one of a rewritten kind in an API version that is not known.
    UnknownVersion,
}

impl Plan {
    pub(super) fn of(request: &RequestHead, head: &ResponseHead, config: &Config) -> Plan {
        let is_rewritten = |kind: SubjectKind| !config.rewrites().and(rewrites_of(kind)).is_empty();
        let Some(target) = Target::of(request) else {
            return Plan::Forward(match UnreadPath::of(&request.method, &request.target) {
                Some(UnreadPath::Path(kind)) if is_rewritten(kind) => Passed::UnknownPath,
                Some(UnreadPath::Version(kind)) if is_rewritten(kind) => Passed::UnknownVersion,
                _ => Passed::Unrelated,
            });
        };
        let subject = match target.resource {
            Resource::Subject(kind) => Some(kind),
            Resource::Fact(FactKind::Service) => Some(SubjectKind::Service),
            Resource::Fact(_) => None,
        };
        let subject = subject.filter(|&kind| is_rewritten(kind));
        if head.status != 200 {
            // A part of a body, or a WebSocket, would carry objects where they cannot be found.
            let has_content = head.status == 101 || (201..300).contains(&head.status);
            return if subject.is_some() && has_content {
                Plan::Reject(Error::status(&request.target, head.status))
            } else {
                Plan::Forward(Passed::Unrelated)
            };
        }
        let facts = match target.resource {
            // The facts of another cluster are none of this one's.
            Resource::Fact(kind) if matters(kind, config) && !target.is_behind_another_api => {
                Some(kind)
            }
            Resource::Fact(_) | Resource::Subject(_) => None,
        };
        let encoding = encoding(request, head);
        match (subject, facts, encoding) {
            (Some(kind), facts, encoding) => Plan::Rewrite { kind, target, facts, encoding },
            (None, None, _) => Plan::Forward(Passed::Unrelated),
            (None, Some(_), Err(error)) => Plan::Reject(error),
            (None, Some(kind), Ok(encoding)) => Plan::ReadFacts { kind, target, encoding },
        }
    }
}

/// Returns the encoding of a body that can be read.
pub(super) fn encoding(request: &RequestHead, head: &ResponseHead) -> Result<Encoding> {
    let plain = |value: &str| value.is_empty() || value.eq_ignore_ascii_case("identity");
    if let Some(value) = head.values("content-encoding").find(|value| !plain(value.trim())) {
        return Err(Error::content_encoding(value));
    }
    let content_type = head.values("content-type").next().unwrap_or_default();
    Encoding::of_content_type(content_type)
        .ok_or_else(|| Error::content_type(content_type, &request.target))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorKind, Membership};

    /// The heads of responses, one for each column of the tables.
    fn heads() -> Vec<ResponseHead> {
        let of = |status, content_type: &str| {
            ResponseHead::new(status).header("Content-Type", content_type)
        };
        vec![
            of(200, "application/json"),
            of(200, "application/json;stream=watch"),
            of(200, "application/vnd.kubernetes.protobuf"),
            of(200, "application/cbor"),
            of(200, "application/yaml"),
            ResponseHead::new(200),
            of(200, "application/json").header("Content-Encoding", "gzip"),
            of(200, "application/json").header("Content-Encoding", "identity"),
            of(101, ""),
            of(206, "application/json"),
            of(304, ""),
            of(404, "application/json"),
            of(410, "application/json"),
            of(503, "text/plain"),
        ]
    }

    /// `.` forward, `p` forward: unknown path, `v` forward: unknown version, `f` read facts,
    /// `r` rewrite, `b` both; and the error: `T` content type, `E` content encoding, `S` status.
    fn letter(plan: &Plan) -> char {
        let error = |error: &Error| match error.kind() {
            ErrorKind::ContentType => 'T',
            ErrorKind::ContentEncoding => 'E',
            ErrorKind::Status => 'S',
            kind => panic!("{kind:?}"),
        };
        match plan {
            Plan::Forward(Passed::Unrelated) => '.',
            Plan::Forward(Passed::UnknownPath) => 'p',
            Plan::Forward(Passed::UnknownVersion) => 'v',
            Plan::Reject(rejected) => error(rejected),
            Plan::ReadFacts { .. } => 'f',
            Plan::Rewrite { encoding: Err(unread), .. } => error(unread),
            Plan::Rewrite { facts: None, .. } => 'r',
            Plan::Rewrite { facts: Some(_), .. } => 'b',
        }
    }

    fn check(config: &Config, table: &str) {
        let mut rows = 0;
        for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
            let (expected, request) = row.split_once(' ').expect("letters, then a request");
            let (method, target) = request.split_once(' ').expect("method, then target");
            let request = RequestHead::new(method, target);
            let letters: String =
                heads().iter().map(|head| letter(&Plan::of(&request, head, config))).collect();
            assert_eq!(letters, expected, "{method} {target}");
            rows += 1;
        }
        assert!(rows > 3);
    }

    #[test]
    fn every_request_has_a_plan_for_every_head() {
        check(&Config::openyurt(), TABLE);
    }

    #[test]
    fn the_configuration_decides_what_is_read_and_rewritten() {
        let mut config = Config::openyurt();
        config.set_service_topology(false).set_node_port_isolation(true);
        config.set_membership(Membership::NodeLabel("zone".to_owned()));
        check(&config, OTHER);
    }

    const TABLE: &str = "
        rrrTTTErSS.... GET /apis/discovery.k8s.io/v1/endpointslices
        rrrTTTErSS.... GET /apis/discovery.k8s.io/v1/endpointslices?watch=true&resourceVersion=7
        rrrTTTErSS.... GET /apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/cart-1
        rrrTTTErSS.... GET /apis/discovery.k8s.io/v1beta1/endpointslices?watch=1
        vvvvvvvvvvvvvv GET /apis/discovery.k8s.io/v2/endpointslices
        rrrTTTErSS.... GET /apis/discovery.k8s.io/v1/watch/endpointslices
        rrrTTTErSS.... GET /proxy/apis/discovery.k8s.io/v1/endpointslices
        rrrTTTErSS.... GET /apis/x.io/v1/clusters/c/proxy/apis/discovery.k8s.io/v1/endpointslices
        pppppppppppppp GET /endpointslices
        .............. POST /apis/discovery.k8s.io/v1/namespaces/shop/endpointslices
        .............. DELETE /apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/cart-1
        .............. HEAD /apis/discovery.k8s.io/v1/endpointslices
        rrrTTTErSS.... GET /api/v1/endpoints
        rrrTTTErSS.... GET /api/v1/namespaces/shop/endpoints?watch=true
        rrrTTTErSS.... GET /api/v1/namespaces/shop/endpoints/cart
        fffTTTEf...... GET /api/v1/services
        fffTTTEf...... GET /api/v1/services?watch=true&allowWatchBookmarks=true&sendInitialEvents=true
        fffTTTEf...... GET /api/v1/namespaces/shop/services/cart
        fffTTTEf...... GET /api/v1/namespaces/shop/services/cart/status
        .............. GET /api/v1/namespaces/shop/services/cart/proxy
        .............. GET /apis/x.io/v1/clusters/c/proxy/api/v1/services
        fffTTTEf...... GET /api/v1/nodes
        fffTTTEf...... GET /api/v1/nodes/hz-1
        fffTTTEf...... GET /api/v1/nodes?watch=true
        .............. GET /apis/x.io/v1/clusters/c/proxy/api/v1/nodes
        fffTTTEf...... GET /apis/apps.openyurt.io/v1beta2/nodepools
        .............. GET /apis/apps.openyurt.io/v1alpha1/nodebuckets
        .............. GET /apis/cilium.io/v2/ciliumnodes
        .............. GET /api/v1/namespaces/kube-system/configmaps?fieldSelector=metadata.name%3Dyurt-hub-cfg
        .............. GET /api/v1/namespaces/kube-system/configmaps?fieldSelector=metadata.name%3Dother
        .............. GET /api/v1/pods
        .............. GET /api/v1/namespaces/shop
        .............. GET /version
    ";
    const OTHER: &str = "
        .............. GET /apis/discovery.k8s.io/v1/endpointslices
        .............. GET /apis/discovery.k8s.io/v1/endpointslices?watch=true&resourceVersion=7
        .............. GET /apis/discovery.k8s.io/v2/endpointslices
        .............. GET /endpointslices
        pppppppppppppp GET /services
        .............. GET /proxy/apis/discovery.k8s.io/v1/endpointslices
        .............. GET /apis/x.io/v1/clusters/c/proxy/apis/discovery.k8s.io/v1/endpointslices
        .............. HEAD /apis/discovery.k8s.io/v1/endpointslices
        .............. GET /api/v1/endpoints
        bbbTTTEbSS.... GET /api/v1/services
        bbbTTTEbSS.... GET /api/v1/services?watch=true&allowWatchBookmarks=true&sendInitialEvents=true
        bbbTTTEbSS.... GET /api/v1/namespaces/shop/services/cart
        bbbTTTEbSS.... GET /api/v1/namespaces/shop/services/cart/status
        .............. GET /api/v1/namespaces/shop/services/cart/proxy
        rrrTTTErSS.... GET /apis/x.io/v1/clusters/c/proxy/api/v1/services
        fffTTTEf...... GET /api/v1/nodes
        fffTTTEf...... GET /api/v1/nodes/hz-1
        fffTTTEf...... GET /api/v1/nodes?watch=true
        .............. GET /apis/x.io/v1/clusters/c/proxy/api/v1/nodes
        .............. GET /apis/apps.openyurt.io/v1beta2/nodepools
        .............. GET /apis/cilium.io/v2/ciliumnodes
    ";
}
