//! Services with every rewrite on, in both encodings: who is hidden is gone, in lists, in events
//! and alone, and nothing else is. Where default/kubernetes leads is not looked at here, but that
//! chunks make no difference to it.

use std::fmt::Debug;

use poolscope::{Cluster, Config, Error, RequestHead, ResponseHead};
use prost::Message;
use serde_json::json;

use super::go::{Header, Json, Read, Refused};
use super::protobuf::{events, unknown};
use super::world::{FORMS, Form, Looked, filtered, is_limit, show};
use crate::schema::{self, TypeMeta};
use crate::small::feed;

const REWRITES: &str = r#"{"protobufLists":"compact","rewrites":{"nodePortIsolation":true,"discardCloudService":true,"masterService":{"host":"169.254.2.1","port":10268}}}"#;
const NODES: [(&str, Option<&str>); 3] =
    [("me", Some("hz")), ("other", Some("sh")), ("alone", None)];

/// The first byte says what the body is and for which node, the second how it is cut.
pub fn check(input: &[u8]) -> Looked {
    let Some((&[how, seed], body)) = input.split_first_chunk() else { return Looked::Refused };
    let how = usize::from(how);
    let ((node, pool), form) = (NODES[how % NODES.len()], FORMS[how / NODES.len() % FORMS.len()]);
    let protobuf = how / NODES.len() / FORMS.len() % 2 == 1;
    let target = match form {
        Form::Get => "/api/v1/namespaces/shop/services/cart",
        Form::List => "/api/v1/services",
        Form::Watch => "/api/v1/services?watch=true&resourceVersion=9",
    };
    let content_type =
        if protobuf { "application/vnd.kubernetes.protobuf" } else { "application/json" };
    // A new cluster each time, because Services are facts, too.
    let left = filtered(body, seed, || {
        let cluster = Cluster::new(Config::from_json(REWRITES).unwrap()).unwrap();
        let nodes = NODES.map(|(name, pool)| {
            json!({
                "metadata": {"name": name, "labels": {"apps.openyurt.io/nodepool": pool}},
            })
        });
        feed(&cluster, "/api/v1/nodes", "Node", &nodes);
        cluster
            .node(node)
            .open_stateless(&RequestHead::get(target), &ResponseHead::ok(content_type))
    });
    let compared = match (left, protobuf) {
        // More of protobuf is refused than what no decoder takes.
        (Err(_), true) => Err(Refused),
        (left, true) => compare(
            body,
            left,
            |body| protobuf_units(form, body),
            |object| Service::of_protobuf(object)?.is_hidden(pool),
        ),
        (left, false) => compare(
            body,
            left,
            |body| json_units(form, body),
            |object| Service::of_json(object)?.is_hidden(pool),
        ),
    };
    compared.map_or(Looked::Refused, |()| Looked::Compared)
}

/// Part of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// All of a list but its items.
    List,
    Item,
    Single,
    /// The answer to a request, in place of a single object.
    Status,
    /// An event of a type that matters.
    Modified,
    Deleted,
    /// Without a Service.
    Other,
    /// Any other event.
    Event,
}

impl Part {
    fn event(kind: &str) -> Part {
        match kind {
            "MODIFIED" => Part::Modified,
            "DELETED" => Part::Deleted,
            "BOOKMARK" | "ERROR" => Part::Other,
            _ => Part::Event,
        }
    }
}

/// Looks whether those parts of a body are left that should be. Nothing is said of bodies that no
/// decoder takes.
fn compare<T: PartialEq + Debug + Default>(
    body: &[u8],
    left: Result<Vec<u8>, Error>,
    parts: impl Fn(&[u8]) -> Read<Vec<(Part, T)>>,
    is_hidden: impl Fn(&T) -> Read<bool>,
) -> Read<()> {
    let mut expected = Vec::new();
    for (part, object) in parts(body)? {
        let hidden =
            !matches!(part, Part::List | Part::Status | Part::Other) && is_hidden(&object)?;
        match part {
            Part::Modified if hidden => expected.push((Part::Deleted, object)),
            Part::Single if hidden => expected.push((Part::Status, T::default())),
            Part::Item | Part::Event if hidden => {}
            _ => expected.push((part, object)),
        }
    }
    match left {
        Ok(left) => {
            let found = parts(&left);
            assert!(
                found.as_ref() == Ok(&expected),
                "not what should be left:\n{}\n{expected:?}\n{found:?}",
                show(&left)
            );
            Ok(())
        }
        Err(error) if is_limit(&error) => Err(Refused),
        Err(error) => panic!("a decoder would take it: {error}"),
    }
}

fn json_units(form: Form, body: &[u8]) -> Read<Vec<(Part, Json)>> {
    let mut values = Json::values(body)?;
    match (form, &mut *values) {
        (Form::Get, [object]) => Ok(vec![match Header::read(object)?.kind == "Status" {
            true => (Part::Status, Json::default()),
            false => (Part::Single, object.clone()),
        }]),
        (Form::List, [list]) => {
            if Header::read(list)?.kind != "ServiceList" {
                return Err(Refused);
            }
            let mut parts = Vec::new();
            let Json::Object(members) = list else { return Err(Refused) };
            // Go would put the second array over the first.
            if members.iter().filter(|(key, _)| key == "items").count() > 1 {
                return Err(Refused);
            }
            for (_, items) in
                members.iter_mut().filter(|(key, value)| key == "items" && *value != Json::Null)
            {
                parts.extend(items.elements()?.iter().map(|item| (Part::Item, item.clone())));
                *items = Json::Array(Vec::new());
            }
            parts.push((Part::List, list.clone()));
            Ok(parts)
        }
        (Form::Watch, events) => events.iter().map(json_event).collect(),
        _ => Err(Refused),
    }
}

fn json_event(event: &Json) -> Read<(Part, Json)> {
    let (mut kind, mut objects) = (String::new(), Vec::new());
    for (key, value) in event.members()? {
        match key.as_str() {
            "type" => value.text(&mut kind)?,
            "object" => objects.push(value),
            _ => {}
        }
    }
    match &*objects {
        [object] if !kind.is_empty() => Ok((Part::event(&kind), Json::clone(object))),
        _ => Err(Refused),
    }
}

fn protobuf_units(form: Form, body: &[u8]) -> Read<Vec<(Part, Vec<u8>)>> {
    let open = |body: &[u8]| {
        unknown(body)
            .map(|unknown| (unknown.type_meta.unwrap_or_default(), unknown.raw))
            .ok_or(Refused)
    };
    let is_service = |said: &TypeMeta| matches!(&*said.kind, "" | "Service");
    match form {
        Form::Get => match open(body)? {
            (said, _) if said.kind == "Status" => Ok(vec![(Part::Status, Vec::new())]),
            (said, object) if is_service(&said) => Ok(vec![(Part::Single, object)]),
            _ => Err(Refused),
        },
        Form::List => {
            let (said, list) = open(body)?;
            let list = schema::List::decode(&*list).map_err(|_| Refused)?;
            let mut parts: Vec<_> = list.items.into_iter().map(|item| (Part::Item, item)).collect();
            parts.push((Part::List, list.metadata.unwrap_or_default().encode_to_vec()));
            if said.kind == "ServiceList" { Ok(parts) } else { Err(Refused) }
        }
        Form::Watch => {
            let event =
                |(kind, object): (String, Vec<u8>)| match (Part::event(&kind), open(&object)?) {
                    (part, (said, object))
                        if part == Part::Other || is_service(&said) && !kind.is_empty() =>
                    {
                        Ok((part, object))
                    }
                    _ => Err(Refused),
                };
            events(body).ok_or(Refused)?.into_iter().map(event).collect()
        }
    }
}

/// The fields that the rules read.
struct Service {
    namespace: String,
    name: String,
    of_type: String,
    discard: Option<String>,
    listen: Option<String>,
}

const DISCARD: &str = "svc.openyurt.io/discard";
const LISTEN: &str = "nodeport.openyurt.io/listen";

impl Service {
    fn of_json(service: &Json) -> Read<Service> {
        let mut header = Header::read(service)?;
        let is_own = |said: &str, own: &str| said.is_empty() || said == own;
        if !is_own(&header.kind, "Service") || !is_own(&header.api_version, "v1") {
            return Err(Refused);
        }
        let mut of_type = String::new();
        for (_, spec) in
            service.members()?.iter().filter(|(key, value)| key == "spec" && *value != Json::Null)
        {
            for (_, value) in spec.members()?.iter().filter(|(key, _)| key == "type") {
                value.text(&mut of_type)?;
            }
        }
        let (discard, listen) =
            (header.annotations.remove(DISCARD), header.annotations.remove(LISTEN));
        Ok(Service { namespace: header.namespace, name: header.name, of_type, discard, listen })
    }

    fn of_protobuf(object: &[u8]) -> Read<Service> {
        let service = schema::Service::decode(object).map_err(|_| Refused)?;
        let (mut metadata, spec) =
            (service.metadata.unwrap_or_default(), service.spec.unwrap_or_default());
        let (discard, listen) =
            (metadata.annotations.remove(DISCARD), metadata.annotations.remove(LISTEN));
        Ok(Service {
            namespace: metadata.namespace,
            name: metadata.name,
            of_type: spec.r#type,
            discard,
            listen,
        })
    }

    fn is_hidden(&self, pool: Option<&str>) -> Read<bool> {
        match (&*self.namespace, &*self.name) {
            // It leads elsewhere.
            ("default", "kubernetes") => return Err(Refused),
            ("kube-system", "x-tunnel-server-internal-svc") => return Ok(true),
            _ if self.of_type == "LoadBalancer" && self.discard.as_deref() == Some("true") => {
                return Ok(true);
            }
            _ => {}
        }
        let (Some(listen), Some(pool)) = (&self.listen, pool) else { return Ok(false) };
        if !matches!(&*self.of_type, "NodePort" | "LoadBalancer") {
            return Ok(false);
        }
        // The first mention of the pool counts, and the first of all pools where there is none.
        let mentioned = |name: &str| {
            listen
                .split(',')
                .map(str::trim)
                .find(|entry| entry.strip_prefix('-').unwrap_or(entry) == name)
        };
        Ok(mentioned(pool).or_else(|| mentioned("*")).is_none_or(|entry| entry.starts_with('-')))
    }
}
