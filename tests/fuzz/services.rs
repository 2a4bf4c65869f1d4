//! Services with every rewrite on: who is hidden is gone, in lists, in events and alone, and nothing else is.

use poolscope::{Cluster, Config, Head, Request};
use serde_json::json;

use super::common::small::feed;
use super::go::{Header, Json, Read, Refused};
use super::world::{FORMS, Form, Looked, filtered, is_limit, show};

const REWRITES: &str = r#"{"protobufLists":"compact","rewrites":{"nodePortIsolation":true,"discardCloudService":true,"masterService":{"host":"169.254.2.1","port":10268}}}"#;
const NODES: [(&str, Option<&str>); 3] = [("me", Some("hz")), ("other", Some("sh")), ("alone", None)];

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
    let (request, head) =
        (Request::get(target), Head::ok(if protobuf { "application/vnd.kubernetes.protobuf" } else { "application/json" }));
    // A new cluster each time: Services teach, too.
    let left = filtered(body, seed, || {
        let cluster = Cluster::new(Config::from_json(REWRITES).unwrap()).unwrap();
        let nodes = NODES.map(|(name, pool)| json!({"metadata": {"name": name, "labels": {"apps.openyurt.io/nodepool": pool}}}));
        feed(&cluster, "/api/v1/nodes", "Node", &nodes);
        cluster.node(node).open_alone(&request, &head)
    });
    if protobuf {
        return Looked::Refused;
    }
    let Ok(expected) = expected(form, body, pool) else { return Looked::Refused };
    match left {
        Ok(left) => {
            let found = Json::values(&left).map(|values| values.iter().map(|value| essence(form, value)).collect::<Vec<_>>());
            assert!(found.as_ref() == Ok(&expected), "not what should be left:\n{}\n{expected:?}\n{found:?}", show(&left));
            Looked::Compared
        }
        Err(error) if is_limit(&error) => Looked::Refused,
        Err(error) => panic!("a decoder would take it: {error}"),
    }
}

/// Of an event only type and object count; of the answer to a single hidden object, that it is one.
fn essence(form: Form, value: &Json) -> Json {
    let last = |wanted: &str| match value {
        Json::Object(members) => members.iter().rev().find(|(key, _)| key == wanted).map_or(Json::Null, |(_, value)| value.clone()),
        _ => Json::Null,
    };
    match form {
        Form::Watch => Json::Array(vec![last("type"), last("object")]),
        Form::Get if last("kind") == Json::Text("Status".to_owned()) => last("kind"),
        Form::Get | Form::List => value.clone(),
    }
}

/// What should be left; nothing is said of bodies that no decoder takes, or in which the API server's own Service is.
fn expected(form: Form, body: &[u8], pool: Option<&str>) -> Read<Vec<Json>> {
    let mut values = Json::values(body)?;
    match (form, &mut *values) {
        (Form::Get, [object]) => {
            if is_hidden(object, pool)? {
                return Ok(vec![Json::Text("Status".to_owned())]);
            }
        }
        (Form::List, [list]) => {
            if Header::read(list)?.kind != "ServiceList" {
                return Err(Refused);
            }
            let Json::Object(members) = list else { return Err(Refused) };
            for (_, items) in members.iter_mut().filter(|(key, value)| key == "items" && *value != Json::Null) {
                let Json::Array(items) = items else { return Err(Refused) };
                let hidden = items.iter().map(|item| is_hidden(item, pool)).collect::<Read<Vec<bool>>>()?;
                let mut hidden = hidden.into_iter();
                items.retain(|_| !hidden.next().expect("one for each"));
            }
        }
        (Form::Watch, events) => {
            let mut left = Vec::new();
            for event in events {
                left.extend(expected_event(event, pool)?);
            }
            return Ok(left);
        }
        _ => return Err(Refused),
    }
    Ok(values.iter().map(|value| essence(form, value)).collect())
}

fn expected_event(event: &Json, pool: Option<&str>) -> Read<Option<Json>> {
    let mut kind = String::new();
    for (_, value) in event.members()?.iter().filter(|(key, _)| key == "type") {
        value.text(&mut kind)?;
    }
    if kind.is_empty() || event.members()?.iter().filter(|(key, _)| key == "object").count() != 1 {
        return Err(Refused);
    }
    let plain = essence(Form::Watch, event);
    let Json::Array(parts) = &plain else { unreachable!("type and object") };
    if matches!(&*kind, "BOOKMARK" | "ERROR") || !is_hidden(&parts[1], pool)? {
        return Ok(Some(plain));
    }
    Ok(match &*kind {
        "MODIFIED" => Some(Json::Array(vec![Json::Text("DELETED".to_owned()), parts[1].clone()])),
        "DELETED" => Some(plain),
        _ => None,
    })
}

fn is_hidden(service: &Json, pool: Option<&str>) -> Read<bool> {
    let header = Header::read(service)?;
    let is_own = |said: &str, own: &str| said.is_empty() || said == own;
    let object = (&*header.namespace, &*header.name);
    if !is_own(&header.kind, "Service") || !is_own(&header.api_version, "v1") || object == ("default", "kubernetes") {
        return Err(Refused);
    }
    let mut of_type = String::new();
    for (_, spec) in service.members()?.iter().filter(|(key, value)| key == "spec" && *value != Json::Null) {
        for (_, value) in spec.members()?.iter().filter(|(key, _)| key == "type") {
            value.text(&mut of_type)?;
        }
    }
    let annotation = |key: &str| header.annotations.get(key).map(String::as_str);
    if of_type == "LoadBalancer" && annotation("svc.openyurt.io/discard") == Some("true")
        || object == ("kube-system", "x-tunnel-server-internal-svc")
    {
        return Ok(true);
    }
    let (Some(listen), Some(pool)) = (annotation("nodeport.openyurt.io/listen"), pool) else { return Ok(false) };
    if !matches!(&*of_type, "NodePort" | "LoadBalancer") {
        return Ok(false);
    }
    // The first mention of the pool counts, and the first of all pools where there is none.
    let mentioned = |name: &str| listen.split(',').map(str::trim).find(|entry| entry.strip_prefix('-').unwrap_or(entry) == name);
    Ok(match mentioned(pool).or_else(|| mentioned("*")) {
        Some(entry) => entry.starts_with('-'),
        None => true,
    })
}
