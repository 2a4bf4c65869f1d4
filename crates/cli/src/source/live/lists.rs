//! Lists of a live cluster, each in pages.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use poolscope::{FactKind, RequestHead, ResponseHead};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::connection::{Live, describe};
use super::progress::Progress;
use super::refusal::{Refusal, to_failure};
use crate::failure::Failure;
use crate::source::Snapshot;
use crate::source::recording::{Asked, Recording};

/// The most objects of a page.
const PAGE: usize = 500;

/// A kind of objects that is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Services,
    EndpointSlices,
    Nodes,
    CiliumNodes,
    NodePools,
    NodeBuckets,
    /// The ConfigMap `kube-system/yurt-hub-cfg`.
    YurtHubConfig,
}

const OBJECTS: &str = "application/vnd.kubernetes.protobuf,application/json";
const METADATA: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;\
    g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,\
    application/json";
/// The longest delay between tries while a cluster is followed.
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// The most requests at once, where there is one for each node.
const AT_ONCE: usize = 16;

const METADATA_IN_JSON: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
const JSON: &str = "application/json";

impl Kind {
    /// Returns where the kind is listed, by API version, newest first.
    pub(super) fn paths(self) -> &'static [&'static str] {
        match self {
            Kind::Services => &["/api/v1/services"],
            Kind::EndpointSlices => &["/apis/discovery.k8s.io/v1/endpointslices"],
            Kind::Nodes => &["/api/v1/nodes"],
            Kind::CiliumNodes => &["/apis/cilium.io/v2/ciliumnodes"],
            Kind::NodePools => &[
                "/apis/apps.openyurt.io/v1beta2/nodepools",
                "/apis/apps.openyurt.io/v1beta1/nodepools",
                "/apis/apps.openyurt.io/v1alpha1/nodepools",
            ],
            Kind::NodeBuckets => &["/apis/apps.openyurt.io/v1alpha1/nodebuckets"],
            Kind::YurtHubConfig => const { &[FactKind::ConfigMap.list_path()] },
        }
    }

    /// Returns the form that is asked for. Nodes are asked for as metadata, which has their labels.
    fn accept(self) -> &'static str {
        match self {
            Kind::Services | Kind::EndpointSlices => OBJECTS,
            Kind::Nodes | Kind::CiliumNodes => METADATA,
            Kind::NodePools | Kind::NodeBuckets | Kind::YurtHubConfig => JSON,
        }
    }

    /// Returns group and resource, as RBAC rules name them.
    pub(crate) fn resource(self) -> (&'static str, &'static str) {
        match self {
            Kind::Services => ("", "services"),
            Kind::EndpointSlices => ("discovery.k8s.io", "endpointslices"),
            Kind::Nodes => ("", "nodes"),
            Kind::CiliumNodes => ("cilium.io", "ciliumnodes"),
            Kind::NodePools => ("apps.openyurt.io", "nodepools"),
            Kind::NodeBuckets => ("apps.openyurt.io", "nodebuckets"),
            Kind::YurtHubConfig => ("", "configmaps"),
        }
    }

    /// Returns the plural for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Services => "Services",
            Kind::EndpointSlices => "EndpointSlices",
            Kind::Nodes => "Nodes",
            Kind::CiliumNodes => "CiliumNodes",
            Kind::NodePools => "NodePools",
            Kind::NodeBuckets => "NodeBuckets",
            Kind::YurtHubConfig => "ConfigMaps",
        }
    }
}

/// The lists of a cluster.
pub(crate) struct Lists {
    server: String,
    context: String,
    lists: Vec<(Kind, List)>,
}

/// All pages of a list.
struct List {
    pages: Vec<Recording>,
    objects: usize,
    resource_version: String,
}

impl Lists {
    /// Adds all lists to a snapshot.
    pub(crate) fn add_to(&self, snapshot: &mut Snapshot) -> Result<(), Failure> {
        for page in self.lists.iter().flat_map(|(_, list)| &list.pages) {
            snapshot.add(page, &Asked::of(&page.request.target))?;
        }
        Ok(())
    }

    /// Replaces the lists of some kinds.
    pub(crate) fn update(&mut self, newer: Lists) {
        for (kind, list) in newer.lists {
            match self.lists.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, known)) => *known = list,
                None => self.lists.push((kind, list)),
            }
        }
    }

    /// Returns for each kind the target of its list, and the list's version.
    pub(super) fn versions(&self) -> impl Iterator<Item = (Kind, &str, &str)> {
        self.lists.iter().filter_map(|(kind, list)| {
            let target = list.pages.first()?.request.target.as_str();
            Some((*kind, target, list.resource_version.as_str()))
        })
    }

    /// Returns one line for the operator.
    pub(crate) fn summary(&self) -> String {
        let counts: Vec<String> = self
            .lists
            .iter()
            .map(|(kind, list)| format!("{} {}", list.objects, kind.name()))
            .collect();
        format!("facts: {} ({}): {}", self.server, self.context, counts.join(", "))
    }
}

impl Live {
    /// Lists kinds at once, each in pages.
    pub(crate) fn lists(&self, kinds: &[Kind]) -> Result<Lists, Failure> {
        let progress = Arc::new(Progress::of(kinds.len()));
        let results = self.block_on(async {
            tokio::select! {
                results = self.all_lists(kinds, &progress) => results,
                never = progress.show() => match never {},
            }
        });
        progress.clear();
        let mut lists = Vec::new();
        let mut refused = Vec::new();
        for (kind, result) in results {
            match result {
                Ok(list) => lists.push((kind, list)),
                Err(refusal) => refused.push((kind, refusal)),
            }
        }
        if !refused.is_empty() {
            return Err(to_failure(&self.server, &refused));
        }
        lists.sort_by_key(|(kind, _)| *kind);
        Ok(Lists { server: self.server.clone(), context: self.context.clone(), lists })
    }

    /// Lists kinds, and tries again for as long as that fails.
    pub(crate) fn lists_in_the_end(&self, kinds: &[Kind]) -> Lists {
        let mut delay = Duration::from_secs(1);
        loop {
            match self.lists(kinds) {
                Ok(lists) => return lists,
                Err(Failure(why)) => {
                    eprintln!("poolscope: {why}; trying again in {} s", delay.as_secs());
                    self.block_on(tokio::time::sleep(delay));
                    delay = LONGEST_DELAY.min(delay * 2);
                }
            }
        }
    }

    async fn all_lists(
        &self,
        kinds: &[Kind],
        progress: &Arc<Progress>,
    ) -> Vec<(Kind, Result<List, Refusal>)> {
        let mut tasks = JoinSet::new();
        for &kind in kinds {
            let lister = Lister {
                client: self.client.clone(),
                server: self.server.clone(),
                timeout: self.request_timeout,
                progress: progress.clone(),
            };
            tasks.spawn(async move { (kind, lister.list(kind).await) });
        }
        tasks.join_all().await
    }

    /// Returns namespace and name of each object of a kind.
    pub(crate) fn names(&self, kind: Kind) -> Result<Vec<(String, String)>, Refusal> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = self.metadata(kind)?;
        let names = metadata.iter().map(|item| &item["metadata"]);
        Ok(names.map(|metadata| (text(&metadata["namespace"]), text(&metadata["name"]))).collect())
    }

    /// Returns the metadata of each object of a kind.
    pub(crate) fn metadata(&self, kind: Kind) -> Result<Vec<Value>, Refusal> {
        self.items_as(&format!("{}?limit={PAGE}", kind.paths()[0]), METADATA_IN_JSON)
    }

    /// Returns the items of a list, page by page if the target has a limit.
    pub(crate) fn items(&self, target: &str) -> Result<Vec<Value>, Refusal> {
        self.items_as(target, JSON)
    }

    fn items_as(&self, target: &str, accept: &str) -> Result<Vec<Value>, Refusal> {
        let (mut items, mut page) = (Vec::new(), target.to_owned());
        loop {
            let (code, body) = self.get(&page, accept)?;
            if code != 200 {
                return Err(Refusal::of(code, &body));
            }
            let mut list: Value = serde_json::from_slice(&body).unwrap_or_default();
            if let Value::Array(more) = list["items"].take() {
                items.extend(more);
            }
            match list["metadata"]["continue"].as_str() {
                None | Some("") => return Ok(items),
                Some(token) => {
                    page = format!("{target}&continue={}", escape(token));
                }
            }
        }
    }

    /// Sends GETs, several at once, and returns status and body of each in their order.
    pub(crate) fn get_all(
        &self,
        targets: &[String],
        accept: &'static str,
    ) -> Vec<Result<(u16, Vec<u8>), Refusal>> {
        let limit = Arc::new(Semaphore::new(AT_ONCE));
        self.block_on(async {
            let mut tasks = JoinSet::new();
            for (index, target) in targets.iter().enumerate() {
                let (client, limit) = (self.client.clone(), limit.clone());
                let (target, timeout) = (target.clone(), self.request_timeout);
                tasks.spawn(async move {
                    let _permit = limit.acquire().await;
                    let request = get_request(&target, accept);
                    (index, send(&client, request, timeout).await)
                });
            }
            let mut responses = tasks.join_all().await;
            responses.sort_by_key(|(index, _)| *index);
            let response = |(_, response): (usize, Result<(ResponseHead, Vec<u8>), Refusal>)| {
                response.map(|(head, body)| (head.status, body))
            };
            responses.into_iter().map(response).collect()
        })
    }

    /// Sends one POST, and returns status and body.
    pub(crate) fn post(&self, target: &str, body: &Value) -> Result<(u16, Vec<u8>), Refusal> {
        let request = Request::post(target)
            .header("Content-Type", JSON)
            .header("Accept", JSON)
            .body(Body::from(body.to_string().into_bytes()));
        let sent = send(&self.client, request, self.request_timeout);
        self.block_on(sent).map(|(head, body)| (head.status, body))
    }

    /// Sends one GET, and returns status and body.
    pub(crate) fn get(&self, target: &str, accept: &str) -> Result<(u16, Vec<u8>), Refusal> {
        let sent = send(&self.client, get_request(target, accept), self.request_timeout);
        self.block_on(sent).map(|(head, body)| (head.status, body))
    }
}

/// Reads the pages of lists.
struct Lister {
    client: Client,
    server: String,
    timeout: Option<Duration>,
    progress: Arc<Progress>,
}

impl Lister {
    /// Lists a kind in the newest version that is served.
    async fn list(&self, kind: Kind) -> Result<List, Refusal> {
        let mut refusal = None;
        for path in kind.paths() {
            let list = match self.pages(kind, path).await {
                // The first pages have expired: they are of another moment than the rest.
                Err(Refusal::Status { code: 410, .. }) => self.pages(kind, path).await,
                other => other,
            };
            match list {
                Err(missing @ Refusal::Status { code: 404, .. }) => refusal = Some(missing),
                other => {
                    self.progress.kind_is_read();
                    return other;
                }
            }
        }
        Err(refusal.expect("a kind has a path"))
    }

    async fn pages(&self, kind: Kind, path: &str) -> Result<List, Refusal> {
        let mut list = List { pages: Vec::new(), objects: 0, resource_version: String::new() };
        let mut token = String::new();
        loop {
            let mark = if path.contains('?') { '&' } else { '?' };
            let mut target = format!("{path}{mark}limit={PAGE}");
            if !token.is_empty() {
                target += &format!("&continue={}", escape(&token));
            }
            let request = get_request(&target, kind.accept());
            let (head, body) = send(&self.client, request, self.timeout).await?;
            if head.status != 200 {
                return Err(Refusal::of(head.status, &body));
            }
            let page = Page::of(&body).map_err(|what| {
                Refusal::Broken(format!("the response to {target} is no list: {what}"))
            })?;
            let request = RequestHead::get(&*target).header("Accept", kind.accept());
            let url = PathBuf::from(format!("{}{path}", self.server));
            list.pages.push(Recording { path: url, request, head, body });
            list.objects += page.objects;
            self.progress.objects_are_read(page.objects);
            if page.token.is_empty() {
                list.resource_version = page.resource_version;
                return Ok(list);
            }
            token = page.token;
        }
    }
}

fn get_request(target: &str, accept: &str) -> http::Result<Request<Body>> {
    Request::get(target).header("Accept", accept).body(Body::empty())
}

/// Sends a request, and reads the whole response.
async fn send(
    client: &Client,
    request: http::Result<Request<Body>>,
    timeout: Option<Duration>,
) -> Result<(ResponseHead, Vec<u8>), Refusal> {
    let request = request.map_err(|error| Refusal::Broken(error.to_string()))?;
    let target = request.uri().to_string();
    let exchange = async {
        let response = client.send(request).await.map_err(|error| Refusal::of_error(&error))?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| {
            Refusal::Broken(format!("the response to {target} broke off: {}", describe(&error)))
        })?;
        let mut head = ResponseHead::new(parts.status.as_u16());
        for (name, value) in &parts.headers {
            head = head.header(name.as_str(), String::from_utf8_lossy(value.as_bytes()));
        }
        Ok((head, body.to_bytes().into()))
    };
    match timeout {
        None => exchange.await,
        Some(limit) => tokio::time::timeout(limit, exchange).await.unwrap_or_else(|_| {
            Err(Refusal::Broken(format!(
                "no response to {target} within {} s; see --request-timeout",
                limit.as_secs_f64()
            )))
        }),
    }
}

/// Escapes a value of a query.
pub(super) fn escape(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The part of a list that paging needs.
struct Page {
    objects: usize,
    /// Asks for the next page; empty on the last one.
    token: String,
    resource_version: String,
}

impl Page {
    fn of(body: &[u8]) -> Result<Page, String> {
        if let Some(envelope) = body.strip_prefix(b"k8s\0") {
            use prost::Message;
            let unknown = PbUnknown::decode(envelope).map_err(|error| error.to_string())?;
            let list = PbList::decode(&*unknown.raw).map_err(|error| error.to_string())?;
            let PbListMeta { resource_version, token } = list.metadata.unwrap_or_default();
            return Ok(Page { objects: list.items.len(), token, resource_version });
        }
        let list: JsonList = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let JsonListMeta { token, resource_version } = list.metadata;
        let objects = list.items.map_or(0, |items| items.len());
        Ok(Page { objects, token, resource_version })
    }
}

#[derive(Deserialize)]
struct JsonList {
    #[serde(default)]
    metadata: JsonListMeta,
    /// Some servers write null for no items.
    items: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize, Default)]
struct JsonListMeta {
    #[serde(default, rename = "continue")]
    token: String,
    #[serde(default, rename = "resourceVersion")]
    resource_version: String,
}

#[derive(prost::Message)]
struct PbUnknown {
    #[prost(bytes = "vec", tag = "2")]
    raw: Vec<u8>,
}

#[derive(prost::Message)]
struct PbList {
    #[prost(message, optional, tag = "1")]
    metadata: Option<PbListMeta>,
    #[prost(message, repeated, tag = "2")]
    items: Vec<PbItem>,
}

#[derive(prost::Message)]
struct PbListMeta {
    #[prost(string, tag = "2")]
    resource_version: String,
    #[prost(string, tag = "3")]
    token: String,
}

/// An object, of which nothing is read.
#[derive(prost::Message)]
struct PbItem {}
