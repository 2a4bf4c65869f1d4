//! From the path of a request to the collection that it asks for (B0.1).

use crate::object::{FactKind, SubjectKind};

/// The kind of objects that a response carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resource {
    Subject(SubjectKind),
    Fact(FactKind),
}

/// Path and query of a target, which may be absolute.
pub(super) fn path_and_query(target: &str) -> (&str, &str) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = match path.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => {
            rest.split_once('/').map_or("", |(_, path)| path)
        }
        _ => path,
    };
    (path, query)
}

/// The end of a path, from the API root on: a collection, one object of it, or either under the
/// deprecated watch path.
pub(super) struct Collection {
    pub(super) resource: Resource,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    /// Deprecated since 1.11 and still served: `/api/v1/watch/...`.
    pub(super) is_watch_path: bool,
}

impl Collection {
    /// Finds the API root from which the rest of the path is one of a known kind. A prefix may
    /// itself contain an API root (an aggregated API in front of a member cluster), so every
    /// place is tried. At most one fits: a known plural never stands where `api` or `apis`
    /// would have to.
    pub(super) fn find(segments: &[String]) -> Option<(usize, Collection)> {
        (0..segments.len()).find_map(|root| Some((root, Collection::of(&segments[root..])?)))
    }

    fn of(segments: &[String]) -> Option<Collection> {
        let (group, version, rest) = split_root(segments)?;
        let mut parts = rest.iter().map(String::as_str).peekable();
        let is_watch_path = parts.next_if_eq(&"watch").is_some();
        let mut plural = parts.next()?;
        let mut namespace = None;
        if plural == "namespaces"
            && let Some(name) = parts.next()
        {
            namespace = Some(name.to_owned());
            // The namespace object itself is of no interest.
            plural = parts.next()?;
        }
        let resource = resource(group, version, plural)?;
        let name = parts.next().map(str::to_owned);
        // A read of the status of a Service returns the whole Service.
        if resource == Resource::Fact(FactKind::Service) && name.is_some() && !is_watch_path {
            parts.next_if_eq(&"status");
        }
        parts.next().is_none().then_some(Collection { resource, namespace, name, is_watch_path })
    }
}

/// Splits the API root off: group and version, and what follows.
fn split_root(segments: &[String]) -> Option<(&str, &str, &[String])> {
    match segments {
        [root, version, rest @ ..] if root == "api" && version == "v1" => Some(("", version, rest)),
        [root, group, version, rest @ ..] if root == "apis" => Some((group, version, rest)),
        _ => None,
    }
}

/// Why a path that names a kind which is rewritten is not read as one of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnreadPath {
    /// The group is known, the version is not.
    Version(SubjectKind),
    /// No API root stands where it has to.
    Path(SubjectKind),
}

impl UnreadPath {
    /// Looks at a GET that is no [`Target`](super::request::Target): `None` where its last segments
    /// name no kind that is rewritten, or the kind of another API group.
    pub(crate) fn of(method: &str, target: &str) -> Option<UnreadPath> {
        if method != "GET" {
            return None;
        }
        let segments = segments(path_and_query(target).0);
        // A collection, or one object of it.
        let kind = segments.iter().rev().take(2).find_map(|segment| {
            let kinds = [SubjectKind::EndpointSlice, SubjectKind::Endpoints, SubjectKind::Service];
            kinds.into_iter().find(|kind| kind.plural() == segment)
        })?;
        let collection = (0..segments.len()).rev().find_map(|root| {
            let (group, _, rest) = split_root(&segments[root..])?;
            let rest = rest.strip_prefix(&["watch".to_owned()]).unwrap_or(rest);
            let rest = if rest.len() > 2 && rest[0] == "namespaces" { &rest[2..] } else { rest };
            matches!(rest.len(), 1 | 2).then(|| (group, rest[0].as_str()))
        });
        match collection {
            None => Some(UnreadPath::Path(kind)),
            Some((group, plural)) if (group, plural) == (kind.group(), kind.plural()) => {
                Some(UnreadPath::Version(kind))
            }
            // Such as the Services of serving.knative.dev, or pods of a namespace that is called
            // so.
            Some(_) => None,
        }
    }
}

/// The segments of a path, percent-decoded. `.` and `..` are resolved, as they may be on the way to
/// the API server. A slash that is escaped separates too: Go's servers see the path decoded.
pub(super) fn segments(path: &str) -> Vec<String> {
    let mut segments: Vec<String> = Vec::new();
    for segment in decoded(path).split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment.to_owned()),
        }
    }
    segments
}

fn resource(group: &str, version: &str, plural: &str) -> Option<Resource> {
    Some(match (group, version, plural) {
        ("discovery.k8s.io", "v1", "endpointslices") => {
            Resource::Subject(SubjectKind::EndpointSlice)
        }
        ("discovery.k8s.io", "v1beta1", "endpointslices") => {
            Resource::Subject(SubjectKind::EndpointSliceBeta)
        }
        ("", "v1", "endpoints") => Resource::Subject(SubjectKind::Endpoints),
        ("", "v1", "services") => Resource::Fact(FactKind::Service),
        ("", "v1", "nodes") => Resource::Fact(FactKind::Node),
        ("", "v1", "configmaps") => Resource::Fact(FactKind::ConfigMap),
        ("cilium.io", _, "ciliumnodes") => Resource::Fact(FactKind::CiliumNode),
        ("apps.openyurt.io", _, "nodepools") => Resource::Fact(FactKind::NodePool),
        ("apps.openyurt.io", _, "nodebuckets") => Resource::Fact(FactKind::NodeBucket),
        _ => return None,
    })
}

fn decoded(part: &str) -> String {
    // Characters with a meaning in queries are plain in paths.
    let query = part.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(query.as_bytes())
        .map(|(key, _)| key.into_owned())
        .next()
        .unwrap_or_default()
}
