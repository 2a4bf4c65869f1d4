//! Responses with the requests that they answer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use poolscope::{RequestHead, ResponseHead};
use serde::Deserialize;
use serde_json::Value;

use super::files::read;
use super::protobuf;
use super::scope::Scope;
use crate::failure::Failure;

/// One response, with the request it answers.
pub(crate) struct Recording {
    pub(crate) path: PathBuf,
    pub(crate) request: RequestHead,
    pub(crate) head: ResponseHead,
    pub(crate) body: Vec<u8>,
}

/// `NAME.meta.json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    method: String,
    path: String,
    #[serde(default)]
    request_headers: BTreeMap<String, String>,
    status: u16,
    #[serde(default)]
    response_headers: BTreeMap<String, Vec<String>>,
}

/// Reads a meta file.
pub(crate) fn read_meta(path: &Path) -> Result<(RequestHead, ResponseHead), Failure> {
    let text = read(path)?;
    let meta: Meta = serde_json::from_slice(&text)
        .map_err(|error| Failure::at(path, format!("not a recording's meta file: {error}")))?;
    let mut request = RequestHead::new(meta.method, path_of(&meta.path));
    for (name, value) in meta.request_headers {
        request = request.header(name, value);
    }
    let mut head = ResponseHead::new(meta.status);
    for (name, values) in meta.response_headers {
        for value in values {
            head = head.header(name.clone(), value);
        }
    }
    Ok((request, head))
}

/// The path of a URL.
fn path_of(url: &str) -> &str {
    match url.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => {
            rest.find('/').map_or("/", |start| &rest[start..])
        }
        _ => url,
    }
}

/// The resource of a target, as far as the choice among recordings needs it.
pub(crate) struct Asked {
    pub(crate) plural: &'static str,
    /// Not a single object.
    pub(crate) list: bool,
    pub(crate) watch: bool,
    /// A selector makes a list less than whole.
    pub(crate) part: bool,
    /// `continue`, which makes a list one of the later pages.
    pub(crate) token: String,
    /// The namespace, or empty for all.
    pub(crate) namespace: String,
    /// The part of the endpoints that the response has, where the target does not show it.
    pub(crate) scope: Option<Scope>,
}

impl Asked {
    pub(crate) fn of(target: &str) -> Asked {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        // A prefix may stand before the API root, such as /k8s/clusters/ID.
        let root = parts.iter().position(|part| matches!(*part, "api" | "apis"));
        let rest = root.and_then(|root| match parts[root] {
            "apis" => parts.get(root + 3..),
            _ => parts.get(root + 2..),
        });
        let rest = rest.unwrap_or_default();
        let (namespace, rest) = if rest.first() == Some(&"namespaces") && rest.len() > 2 {
            (rest[1], &rest[2..])
        } else {
            ("", rest)
        };
        let known = [
            "services",
            "nodes",
            "endpointslices",
            "endpoints",
            "ciliumnodes",
            "ciliumlocalredirectpolicies",
            "nodepools",
            "nodebuckets",
            "configmaps",
        ];
        let plural =
            known.into_iter().find(|plural| rest.first() == Some(plural)).unwrap_or_default();
        let keys: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let has = |name: &str| keys.iter().any(|(key, value)| key == name && !value.is_empty());
        let watch = keys.iter().any(|(key, value)| {
            key == "watch" && value != "0" && !value.eq_ignore_ascii_case("false")
        });
        // Only one ConfigMap is needed, by its name.
        let part =
            ["labelSelector", "fieldSelector"].into_iter().any(has) && plural != "configmaps";
        let token = keys.iter().find(|(key, _)| key == "continue");
        let token = token.map_or(String::new(), |(_, value)| value.clone().into_owned());
        let (list, namespace) = (rest.len() == 1, namespace.to_owned());
        Asked { plural, list, watch, part, token, namespace, scope: None }
    }
}

/// Describes a response that is an error, with the API server's message.
pub(super) fn refusal(recording: &Recording) -> String {
    let body = &recording.body;
    let message = match body.strip_prefix(b"k8s\0") {
        Some(envelope) => protobuf::message(envelope, 2)
            .and_then(|status| protobuf::message(status, 3))
            .map(|message| String::from_utf8_lossy(message).into_owned()),
        None => serde_json::from_slice::<Value>(body)
            .ok()
            .and_then(|status| Some(status["message"].as_str()?.to_owned())),
    };
    let message = message.unwrap_or_else(|| "no message".to_owned());
    let (path, status) = (recording.path.display(), recording.head.status);
    format!("{path}: the API server's error ({status}): {message}")
}
