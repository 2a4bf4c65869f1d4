//! A client of one node: what it asks for, what upstream answers, and what it reads of that.

use std::fmt::Display;

use bytes::BytesMut;
use poolscope::{Action, BodyRewriter, NodeView, Reply, ReplyCause, RequestHead, ResponseHead};
use serde_json::json;

use super::object::{Encoding, Object};
use super::told;
use poolscope_testkit::build::{Kind, envelope, event, record};

/// Nothing is said.
pub const NOTHING: [&str; 0] = [];

/// A client that asks for objects of one kind.
#[derive(Clone)]
pub struct Client {
    pub view: NodeView,
    pub encoding: Encoding,
    pub kind: Kind,
    /// `None`: all of them.
    pub namespace: Option<&'static str>,
    /// More of the query, such as a selector.
    pub selects: &'static str,
    pub accept: &'static str,
    pub agent: &'static str,
}

impl Client {
    pub fn new(view: NodeView, encoding: Encoding) -> Client {
        Client {
            view,
            encoding,
            kind: Kind::Slice,
            namespace: None,
            selects: "",
            accept: "",
            agent: "",
        }
    }

    pub fn of(self, kind: Kind) -> Client {
        Client { kind, ..self }
    }

    pub fn request(&self, query: &str) -> RequestHead {
        let (root, plural) = match self.kind {
            Kind::Slice => ("/apis/discovery.k8s.io/v1", "endpointslices"),
            Kind::Beta => ("/apis/discovery.k8s.io/v1beta1", "endpointslices"),
            Kind::Endpoints => ("/api/v1", "endpoints"),
        };
        let namespace =
            self.namespace.map(|name| format!("/namespaces/{name}")).unwrap_or_default();
        let request =
            RequestHead::get(format!("{root}{namespace}/{plural}?{query}&{}", self.selects));
        let headers = [("Accept", self.accept), ("User-Agent", self.agent)];
        headers
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .fold(request, |request, (name, value)| request.header(name, value))
    }

    pub fn head(&self) -> ResponseHead {
        ResponseHead::ok(self.content_type())
    }

    pub fn content_type(&self) -> &'static str {
        match self.encoding {
            Encoding::Json => "application/json",
            Encoding::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }

    pub fn open(&self, query: &str) -> Watch {
        match self.view.open(&self.request(query), &self.head()) {
            Ok(Action::Rewrite(stream)) => Watch::new(stream, self),
            other => panic!("{query}: {other:?}"),
        }
    }

    /// A watch from a version on, with bookmarks.
    pub fn watch(&self, version: impl Display) -> Watch {
        self.open(&from(version))
    }

    /// Whether a watch from a version on is answered by 410.
    pub fn expires(&self, version: impl Display) -> bool {
        self.expired(version).is_some()
    }

    pub fn expired(&self, version: impl Display) -> Option<Reply> {
        match self.view.open(&self.request(&from(version)), &self.head()) {
            Ok(Action::Reply(reply)) if reply.cause == ReplyCause::UnknownResourceVersion => {
                Some(reply)
            }
            Ok(Action::Rewrite(_)) => None,
            other => panic!("{other:?}"),
        }
    }

    /// A watch that begins with all objects and a bookmark behind them.
    pub fn watch_list(&self) -> Watch {
        self.open(
            "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&\
             allowWatchBookmarks=true",
        )
    }

    /// A watch that begins with all objects, and nothing says where they end.
    pub fn watch_from_nothing(&self) -> Watch {
        self.open("watch=true&resourceVersion=0&allowWatchBookmarks=true")
    }

    /// Lists, and is told these items.
    pub fn list(&self, version: impl Display, items: &[Object]) -> Vec<String> {
        self.page("", version, "", items)
    }

    /// Lists the page that `token` asks for, behind which comes that of `next`.
    pub fn page(
        &self,
        token: &str,
        version: impl Display,
        next: &str,
        items: &[Object],
    ) -> Vec<String> {
        let mut list = self.open(&format!("limit=500&continue={token}"));
        let body = self.list_body(&version, next, items);
        let mut out = list.pass(&body);
        out.extend(list.finish());
        let (told, at) = told::list(self.kind, self.encoding, &out);
        assert_eq!(at, version.to_string());
        told
    }

    /// Asks for one object by its name.
    pub fn open_one(&self, name: &str) -> Watch {
        let mut request = self.request("");
        let (path, _) = request.target.split_once('?').unwrap();
        request.target = format!("{path}/{name}");
        match self.view.open(&request, &self.head()) {
            Ok(Action::Rewrite(stream)) => Watch::new(stream, self),
            other => panic!("{name}: {other:?}"),
        }
    }

    /// Asks for this object, and is given it so.
    pub fn get(&self, object: &Object) -> String {
        let whole = object.whole(self.kind, self.encoding);
        let body = match self.encoding {
            Encoding::Json => whole,
            Encoding::Protobuf => envelope(self.kind.api_version(), self.kind.name(), &whole),
        };
        let mut get = self.open_one(&object.name);
        let mut out = get.pass(&body);
        out.extend(get.finish());
        told::single(self.kind, self.encoding, &out)
    }

    /// Lists, and watches from there.
    pub fn follow(&self, version: impl Display, items: &[Object]) -> Watch {
        self.list(&version, items);
        self.watch(version)
    }

    pub fn list_body(&self, version: impl Display, next: &str, items: &[Object]) -> Vec<u8> {
        let (name, api_version) = (format!("{}List", self.kind.name()), self.kind.api_version());
        let items: Vec<Vec<u8>> =
            items.iter().map(|item| item.item(self.kind, self.encoding)).collect();
        match self.encoding {
            Encoding::Json => {
                let metadata = json!({ "resourceVersion": version.to_string(), "continue": next });
                let head = format!(
                    r#"{{"kind":"{name}","apiVersion":"{api_version}","metadata":{metadata},"items":["#
                );
                [head.as_bytes(), &items.join(&b","[..]), b"]}\n"].concat()
            }
            Encoding::Protobuf => {
                let metadata =
                    [record(1, ""), record(2, version.to_string()), record(3, next)].concat();
                let items = items.iter().flat_map(|item| record(2, item));
                let list: Vec<u8> = record(1, metadata).into_iter().chain(items).collect();
                envelope(api_version, &name, &list)
            }
        }
    }

    pub fn event(&self, what: &str, object: &Object) -> Vec<u8> {
        self.event_of(what, self.kind.name(), &object.whole(self.kind, self.encoding))
    }

    fn event_of(&self, what: &str, kind: &str, object: &[u8]) -> Vec<u8> {
        match self.encoding {
            Encoding::Json => {
                [br#"{"type":""#, what.as_bytes(), br#"","object":"#, object, b"}\n"].concat()
            }
            Encoding::Protobuf => event(what, &envelope(self.kind.api_version(), kind, object)),
        }
    }

    pub fn bookmark(&self, version: impl Display, ends_initial_events: bool) -> Vec<u8> {
        let (kind, version) = (self.kind, version.to_string());
        let object = match self.encoding {
            Encoding::Json => {
                let annotations = if ends_initial_events {
                    json!({ "k8s.io/initial-events-end": "true" })
                } else {
                    json!({})
                };
                let metadata = json!({ "resourceVersion": version, "annotations": annotations });
                json!({
                    "kind": kind.name(),
                    "apiVersion": kind.api_version(),
                    "metadata": metadata,
                })
                .to_string()
                .into_bytes()
            }
            Encoding::Protobuf => {
                let annotation = record(
                    12,
                    [record(1, "k8s.io/initial-events-end"), record(2, "true")].concat(),
                );
                let annotation = if ends_initial_events { annotation } else { Vec::new() };
                record(1, [record(6, version), annotation].concat())
            }
        };
        self.event_of("BOOKMARK", kind.name(), &object)
    }

    pub fn error(&self) -> Vec<u8> {
        let object = match self.encoding {
            Encoding::Json => br#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410}"#.to_vec(),
            Encoding::Protobuf => {
                [record(2, "Failure"), record(4, "Expired"), vec![0x30, 0x9a, 0x03]].concat()
            }
        };
        self.event_of("ERROR", "Status", &object)
    }
}

/// The query of a watch from a version on.
fn from(version: impl Display) -> String {
    format!("watch=true&allowWatchBookmarks=true&resourceVersion={version}")
}

/// A response, and what its client reads of it. Dropped, its connection is gone.
pub struct Watch {
    pub stream: BodyRewriter,
    client: Client,
}

impl Watch {
    pub fn new(stream: BodyRewriter, client: &Client) -> Watch {
        Watch { stream, client: client.clone() }
    }

    pub fn added(&mut self, object: &Object) -> Vec<String> {
        self.push(&self.client.event("ADDED", object))
    }

    pub fn modified(&mut self, object: &Object) -> Vec<String> {
        self.push(&self.client.event("MODIFIED", object))
    }

    pub fn deleted(&mut self, object: &Object) -> Vec<String> {
        self.push(&self.client.event("DELETED", object))
    }

    pub fn bookmark(&mut self, version: impl Display) -> Vec<String> {
        self.push(&self.client.bookmark(version, false))
    }

    pub fn end_of_initial_events(&mut self, version: impl Display) -> Vec<String> {
        self.push(&self.client.bookmark(version, true))
    }

    pub fn error(&mut self) -> Vec<String> {
        self.push(&self.client.error())
    }

    /// The output of bytes from upstream.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let out = self.pass(bytes);
        self.read(&out)
    }

    /// The output as bytes.
    pub fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        self.stream.push(bytes, &mut out).unwrap();
        out.to_vec()
    }

    pub fn refresh(&mut self) -> Vec<String> {
        let out = self.refreshed();
        self.read(&out)
    }

    /// The output as bytes.
    pub fn refreshed(&mut self) -> Vec<u8> {
        let mut out = BytesMut::new();
        self.stream.refresh(&mut out).unwrap();
        out.to_vec()
    }

    pub fn finish(&mut self) -> Vec<u8> {
        let mut out = BytesMut::new();
        self.stream.finish(&mut out).unwrap();
        out.to_vec()
    }

    /// The needed lists.
    pub fn needed_lists(&self) -> Vec<String> {
        self.stream.needed_lists().into_iter().map(|wanted| wanted.target).collect()
    }

    /// The answer to what is wanted: a list of these items.
    pub fn provide_list(&mut self, items: &[Object]) -> Vec<String> {
        let body = self.client.list_body(500, "", items);
        let mut out = BytesMut::new();
        self.stream.provide_list(&self.client.head(), &body, &mut out).unwrap();
        self.read(&out)
    }

    fn read(&self, out: &[u8]) -> Vec<String> {
        told::events(self.client.kind, self.client.encoding, out)
    }
}
