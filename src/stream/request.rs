//! From method, target and headers to what a response is about.

use std::collections::BTreeSet;

use super::path::{Collection, Resource, path_and_query, segments};
use crate::hash::HashSet;
use crate::object::selection::Selection;
use crate::object::version::Version;
use crate::object::{FactKind, config_map};

/// An HTTP request to the API server, as far as poolscope looks at it.
///
/// ```
/// use poolscope::RequestHead;
///
/// let request = RequestHead::get("/api/v1/endpoints?watch=true").header("User-Agent",
/// "agent/1.0"); assert_eq!(request.method, "GET");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RequestHead {
    /// `GET`, ...
    pub method: String,
    /// Path and query: `/apis/discovery.k8s.io/v1/endpointslices?watch=true`.
    pub target: String,
    /// Names (in any case) and values.
    pub headers: Vec<(String, String)>,
}

impl RequestHead {
    /// A request without headers.
    pub fn new(method: impl Into<String>, target: impl Into<String>) -> RequestHead {
        RequestHead { method: method.into(), target: target.into(), headers: Vec::new() }
    }

    /// `GET target`, without headers.
    pub fn get(target: impl Into<String>) -> RequestHead {
        RequestHead::new("GET", target)
    }

    /// Returns this head with one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> RequestHead {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The values of all headers of that name.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        values(&self.headers, name)
    }
}

/// Status and headers of the API server's response.
///
/// ```
/// use poolscope::ResponseHead;
///
/// let response = ResponseHead::ok("application/json;stream=watch");
/// assert_eq!(response, ResponseHead::new(200).header("Content-Type",
/// "application/json;stream=watch"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ResponseHead {
    /// The HTTP status.
    pub status: u16,
    /// Names (in any case) and values.
    pub headers: Vec<(String, String)>,
}

impl ResponseHead {
    /// A response without headers.
    pub fn new(status: u16) -> ResponseHead {
        ResponseHead { status, headers: Vec::new() }
    }

    /// A 200 response of the given Content-Type.
    pub fn ok(content_type: impl Into<String>) -> ResponseHead {
        ResponseHead::new(200).header("Content-Type", content_type)
    }

    /// Returns this head with one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> ResponseHead {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The values of all headers of that name.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        values(&self.headers, name)
    }
}

/// The values of all headers of that name.
fn values<'a>(headers: &'a [(String, String)], name: &str) -> impl Iterator<Item = &'a str> {
    headers
        .iter()
        .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// How the objects come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// One object.
    Get,
    List,
    Watch {
        /// How the stream begins.
        initial: Initial,
    },
}

/// How a watch begins (B4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Initial {
    /// At a resourceVersion: live events from the first byte.
    Live,
    /// With everything that is there, ended by an annotated bookmark.
    Announced,
    /// With everything that is there (no resourceVersion, or 0), ended by the first event that is
    /// not ADDED.
    Legacy,
}

/// The target of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) resource: Resource,
    pub(crate) verb: Verb,
    pub(crate) selection: Selection,
    /// The token of the page asked for.
    pub(crate) continues: Option<String>,
    pub(crate) resource_version: String,
    /// The client takes bookmarks.
    pub(crate) bookmarks: bool,
    /// Only metadata is asked for.
    pub(crate) metadata_only: bool,
    /// The path before the API root, as `/segment` for each segment: two prefixes are two
    /// clusters.
    pub(crate) prefix: Box<str>,
    /// The prefix holds an API root too: the server behind it is reached through another one, and
    /// is another cluster's.
    pub(crate) is_behind_another_api: bool,
}

impl Target {
    /// `None` for everything that poolscope has nothing to do with: other methods, other kinds,
    /// subresources. The target may be absolute (`https://host/api/...`), and a proxy's prefix may
    /// stand before `/api` or `/apis`.
    pub(crate) fn of(request: &RequestHead) -> Option<Target> {
        if request.method != "GET" {
            return None;
        }
        let (path, query) = path_and_query(&request.target);
        let segments = segments(path);
        let (root, collection) = Collection::find(&segments)?;
        let Collection { resource, namespace, name, is_watch_path } = collection;
        let Query { watch, announced, continues, resource_version, bookmarks, labels, mut fields } =
            Query::of(query);
        if let Some(name) = &name {
            fields.insert(format!("metadata.name={name}"));
        }
        // Only the deprecated path watches one object by its path.
        let verb = match name {
            name if is_watch_path || watch && name.is_none() => {
                Verb::Watch { initial: Initial::of(announced, bookmarks, &resource_version) }
            }
            Some(_) => Verb::Get,
            None => Verb::List,
        };
        let metadata_only =
            request.values("accept").any(|value| value.contains("as=PartialObjectMetadata"));
        let selection = Selection { namespace, labels, fields };
        // Only one ConfigMap matters.
        if resource == Resource::Fact(FactKind::ConfigMap) && !config_map::may_be_in(&selection) {
            return None;
        }
        let (before, _) = segments.split_at(root);
        let prefix = before.iter().flat_map(|segment| ["/", segment]).collect();
        let is_behind_another_api = before.iter().any(|segment| segment == "apis")
            || before.windows(2).any(|pair| pair == ["api", "v1"]);
        Some(Target {
            resource,
            verb,
            selection,
            continues,
            resource_version,
            bookmarks,
            metadata_only,
            prefix,
            is_behind_another_api,
        })
    }

    /// A watch that starts at whatever is the latest.
    pub(crate) fn is_from_now(&self) -> bool {
        matches!(self.resource_version.as_str(), "" | "0")
    }

    /// The version that a watch starts after; unknown if it starts at whatever is the latest.
    pub(crate) fn start(&self) -> Version {
        if self.is_from_now() { Version::default() } else { Version::parse(&self.resource_version) }
    }
}

/// The parameters of a query. The API server reads the first of a repeated one.
#[derive(Default)]
struct Query {
    watch: bool,
    announced: Option<bool>,
    continues: Option<String>,
    resource_version: String,
    bookmarks: bool,
    labels: BTreeSet<String>,
    fields: BTreeSet<String>,
}

impl Query {
    fn of(query: &str) -> Query {
        let mut read = Query::default();
        let mut seen = HashSet::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            if !seen.insert(key.clone()) {
                continue;
            }
            match &*key {
                "watch" => read.watch = truth(&value),
                "sendInitialEvents" => read.announced = Some(truth(&value)),
                "continue" => {
                    read.continues = Some(value.into_owned()).filter(|token| !token.is_empty())
                }
                "resourceVersion" => read.resource_version = value.into_owned(),
                "labelSelector" => read.labels = requirements(&value).collect(),
                "fieldSelector" => read.fields.extend(requirements(&value)),
                "allowWatchBookmarks" => read.bookmarks = truth(&value),
                "limit" | "resourceVersionMatch" | "timeoutSeconds" | "timeout" | "pretty" => {}
                // Such as shardSelector: whatever it is, it may leave something out. No field's
                // name begins with `?`.
                _ => drop(read.fields.insert(format!("?{key}={value}"))),
            }
        }
        read
    }
}

impl Initial {
    fn of(announced: Option<bool>, bookmarks: bool, resource_version: &str) -> Initial {
        match (announced, resource_version) {
            (Some(true), _) if bookmarks => Initial::Announced,
            // It is the bookmark that announces the end.
            (Some(true), _) | (None, "" | "0") => Initial::Legacy,
            _ => Initial::Live,
        }
    }
}

/// How the API server reads a boolean of a query: anything but `false` and `0`, so also nothing at
/// all.
fn truth(value: &str) -> bool {
    !(value == "0" || value.eq_ignore_ascii_case("false"))
}

/// The requirements of a selector: split at commas that are not inside the brackets of a set,
/// blanks taken out.
fn requirements(selector: &str) -> impl Iterator<Item = String> {
    let mut requirements = vec![String::new()];
    let mut depth = 0;
    for letter in selector.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                requirements.push(String::new());
                continue;
            }
            _ => {}
        }
        requirements.last_mut().expect("never empty").push(letter);
    }
    requirements.into_iter().map(|one| one.trim().replace("==", "=")).filter(|one| !one.is_empty())
}

/// Returns the request with headers that make its response readable: no compression, neither CBOR
/// nor YAML, no Table, no part of the body, no WebSocket.
pub(crate) fn prepare(mut request: RequestHead) -> RequestHead {
    if Target::of(&request).is_none() {
        return request;
    }
    let unreadable = |name: &str| {
        let name = name.to_ascii_lowercase();
        matches!(&*name, "accept-encoding" | "range" | "if-range" | "upgrade" | "connection")
            || name.starts_with("sec-websocket-")
    };
    request.headers.retain(|(name, _)| !unreadable(name));
    for (name, value) in &mut request.headers {
        if name.eq_ignore_ascii_case("accept") {
            let readable: Vec<&str> =
                value.split(',').map(str::trim).filter(|clause| is_readable(clause)).collect();
            *value = if readable.is_empty() {
                "application/json".to_owned()
            } else {
                readable.join(",")
            };
        }
    }
    request
}

fn is_readable(clause: &str) -> bool {
    let mut parts = clause.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default().to_ascii_lowercase();
    !matches!(&*media, "application/cbor" | "application/cbor-seq" | "application/yaml" | "")
        && !parts.any(|part| part.eq_ignore_ascii_case("as=Table"))
}

#[cfg(test)]
mod tests;
