//! Documents without a request, as kubectl and other tools write them, joined to lists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use poolscope::RequestHead;
use poolscope::explain::Headline;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Loaded;
use super::files::{collection, head_of, headline, plural, target_of};
use super::recording::{Asked, Recording};
use super::scope::{ListEnd, Scope};
use super::text::objects_of;
use super::tree::Place;
use crate::failure::Failure;

/// Documents that are read as one moment.
///
/// A kind of which there are objects in kubectl's `List`, in a file for each namespace or in a
/// folder of objects counts as listed whole.
#[derive(Default)]
pub(super) struct Documents {
    paths: Vec<PathBuf>,
    /// By group, kind, namespace and name.
    objects: BTreeMap<[String; 4], Object>,
    lists: Vec<List>,
    singles: Vec<(usize, Recording)>,
    /// The part of the endpoints that `objects` has, by plural.
    scopes: BTreeMap<&'static str, Scope>,
}

/// An object, and the index of its file.
struct Object {
    value: Value,
    at: usize,
    /// The object has a file of its own in a folder of its kind.
    has_file: bool,
}

/// A list of one kind.
struct List {
    at: usize,
    plural: &'static str,
    target: String,
    body: Vec<u8>,
    namespaces: BTreeSet<String>,
    /// The resourceVersion; 0 if there is none.
    version: u64,
    /// Its place shows that it is the list of one namespace.
    is_of_namespace: bool,
}

impl Documents {
    /// Adds a document.
    ///
    /// # Errors
    ///
    /// Fails if the document cannot be facts.
    pub(super) fn push(
        &mut self,
        path: &Path,
        body: Vec<u8>,
        place: &Place,
        loaded: &mut Loaded,
    ) -> Result<(), Failure> {
        let headline = headline(path, &body)?;
        match headline.kind.as_str() {
            "Status" => {
                let document: Value = serde_json::from_slice(&body).unwrap_or_default();
                let message = document["message"].as_str().unwrap_or("without a message");
                return Err(Failure::at(path, format!("the API server's error: {message}")));
            }
            "Table" => {
                let what = "a Table has only columns for people: use `kubectl get -o json`, or \
                            `kubectl get --raw PATH`";
                return Err(Failure::at(path, what));
            }
            _ => {}
        }
        let at = self.paths.len();
        self.paths.push(path.to_owned());
        if headline.kind == "List" {
            self.push_printed(at, &body, loaded);
            return Ok(());
        }
        let Some(plural) = plural(&headline.kind) else {
            let kind = headline.kind.strip_suffix("List").unwrap_or(&headline.kind);
            loaded.ignore(kind, headline.items.unwrap_or(1));
            return Ok(());
        };
        if headline.items.is_some() {
            let end = ListEnd::of(&body);
            if end.is_last() {
                self.push_list(at, plural, &headline, body, place);
            } else {
                loaded.part(path, plural, &end);
            }
        } else if *place == Place::Object {
            let value = serde_json::from_slice(&body)
                .map_err(|error| Failure::at(path, error.to_string()))?;
            self.scopes.entry(plural).or_default().add_service_of(&value);
            loaded.cached |= matches!(plural, "endpointslices" | "endpoints");
            self.push_object(at, value, true);
        } else {
            let target = target_of(&headline).unwrap_or_default();
            let recording = self.recording(at, target, body);
            self.singles.push((at, recording));
        }
        Ok(())
    }

    /// Adds kubectl's `List`, which may have several kinds.
    fn push_printed(&mut self, at: usize, body: &[u8], loaded: &mut Loaded) {
        let end = ListEnd::of(body);
        let document: Value = serde_json::from_slice(body).unwrap_or_default();
        let mut namespaces: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
        for (_, value) in objects_of(document) {
            let kind = value["kind"].as_str().unwrap_or_default();
            let Some(plural) = plural(kind) else {
                loaded.ignore(kind, 1);
                continue;
            };
            let namespace = value["metadata"]["namespace"].as_str();
            namespaces.entry(plural).or_default().extend(namespace.map(str::to_owned));
            if end.is_last() {
                self.push_object(at, value, false);
            }
        }
        for (plural, namespaces) in namespaces {
            if end.is_last() {
                self.scopes.entry(plural).or_default().add(Scope::of_namespaces(namespaces));
            } else {
                loaded.part(&self.paths[at], plural, &end);
            }
        }
    }

    fn push_list(
        &mut self,
        at: usize,
        plural: &'static str,
        headline: &Headline,
        body: Vec<u8>,
        place: &Place,
    ) {
        #[derive(Deserialize)]
        struct Items {
            items: Option<Vec<Item>>,
        }
        #[derive(Deserialize)]
        struct Item {
            metadata: Option<Metadata>,
        }
        #[derive(Deserialize)]
        struct Metadata {
            namespace: Option<String>,
        }
        let items: Option<Items> = serde_json::from_slice(&body).ok();
        let items = items.and_then(|list| list.items).unwrap_or_default();
        let mut namespaces: BTreeSet<String> =
            items.into_iter().filter_map(|item| item.metadata?.namespace).collect();
        if let Place::Namespace(namespace) = place {
            namespaces.insert(namespace.clone());
        }
        self.lists.push(List {
            at,
            plural,
            target: target_of(headline).unwrap_or_default(),
            body,
            namespaces,
            version: headline.resource_version.parse().unwrap_or(0),
            is_of_namespace: matches!(place, Place::Namespace(_)),
        });
    }

    /// Adds an object unless a later state of the object is known.
    fn push_object(&mut self, at: usize, value: Value, has_file: bool) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &value["metadata"];
        let api_version = text(&value["apiVersion"]);
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let key = [
            group.to_owned(),
            text(&value["kind"]),
            text(&metadata["namespace"]),
            text(&metadata["name"]),
        ];
        let is_newer = |known: &Object| is_newer(&value, &known.value);
        if self.objects.get(&key).is_none_or(is_newer) {
            self.objects.insert(key, Object { value, at, has_file });
        }
    }

    /// Returns the lists and objects, in the order of their last files.
    pub(super) fn finish(mut self, loaded: &mut Loaded) -> Vec<(Recording, Asked)> {
        let mut all: Vec<(usize, Recording, Option<Scope>)> = Vec::new();
        for list in self.whole_lists(loaded) {
            let scope = if list.body.starts_with(b"k8s\0") {
                Scope::whole()
            } else {
                Scope::of_namespaces(list.namespaces)
            };
            all.push((list.at, self.recording(list.at, list.target, list.body), Some(scope)));
        }
        let mut kinds: BTreeMap<[String; 2], Vec<Object>> = BTreeMap::new();
        for ([group, kind, ..], object) in std::mem::take(&mut self.objects) {
            kinds.entry([group, kind]).or_default().push(object);
        }
        for ([_, kind], objects) in kinds {
            let Some(plural) = plural(&kind) else { continue };
            let last = objects.iter().map(|object| object.at).max().unwrap_or_default();
            let path = self.names(objects.iter().map(|object| object.at));
            let scope = self.scopes.get(plural).cloned();
            if let Some((target, body)) = listed(&kind, plural, objects) {
                let recording = Recording { path, ..self.recording(last, target, body) };
                all.push((last, recording, scope));
            }
        }
        all.sort_by_key(|(at, ..)| *at);
        // A single object adds to the lists, whatever the order.
        all.extend(self.singles.into_iter().map(|(at, recording)| (at, recording, None)));
        let asked = |(_, recording, scope): (usize, Recording, Option<Scope>)| {
            let asked = Asked { scope, ..Asked::of(&recording.request.target) };
            (recording, asked)
        };
        all.into_iter().map(asked).collect()
    }

    /// Takes the lists that are whole by themselves. Lists of different namespaces become objects,
    /// which are listed together.
    fn whole_lists(&mut self, loaded: &mut Loaded) -> Vec<List> {
        let mut kinds: BTreeMap<&'static str, Vec<List>> = BTreeMap::new();
        for list in std::mem::take(&mut self.lists) {
            kinds.entry(list.plural).or_default().push(list);
        }
        let mut whole = Vec::new();
        for (plural, mut lists) in kinds {
            let is_wide = |list: &List| list.namespaces.len() > 1;
            if lists.iter().any(is_wide) {
                let (wide, narrow): (Vec<_>, Vec<_>) = lists.into_iter().partition(is_wide);
                narrow.iter().for_each(|_| loaded.skip("older or lesser lists"));
                whole.extend(wide);
            } else if self.is_split(plural, &lists) {
                // The latest list of each namespace.
                lists.sort_by_key(|list| std::cmp::Reverse((list.version, list.at)));
                let mut seen = BTreeSet::new();
                for list in lists {
                    if list.namespaces.is_empty() || seen.insert(list.namespaces.clone()) {
                        self.take_apart(&list);
                    } else {
                        loaded.skip("older or lesser lists");
                    }
                }
            } else {
                whole.extend(lists);
            }
        }
        whole
    }

    /// Returns `true` if lists, each of one namespace at most, are those of different namespaces.
    fn is_split(&self, plural: &str, lists: &[List]) -> bool {
        let namespaces: BTreeSet<&String> =
            lists.iter().flat_map(|list| &list.namespaces).collect();
        let has_objects = self.scopes.contains_key(plural) && !namespaces.is_empty();
        namespaces.len() > 1 || has_objects || lists.iter().any(|list| list.is_of_namespace)
    }

    fn take_apart(&mut self, list: &List) {
        let scope = self.scopes.entry(list.plural).or_default();
        list.namespaces.iter().for_each(|name| scope.add(Scope::of_namespace(name)));
        let document: Value = serde_json::from_slice(&list.body).unwrap_or_default();
        for (_, value) in objects_of(document) {
            self.push_object(list.at, value, false);
        }
    }

    fn recording(&self, at: usize, target: String, body: Vec<u8>) -> Recording {
        let (request, head) = (RequestHead::get(target), head_of(&body));
        Recording { path: self.paths[at].clone(), request, head, body }
    }

    /// Names the files that objects came from.
    fn names(&self, files: impl Iterator<Item = usize>) -> PathBuf {
        const NAMED: usize = 4;
        let files: BTreeSet<usize> = files.collect();
        let named = files.iter().take(NAMED).map(|at| self.paths[*at].display().to_string());
        let mut names: Vec<String> = named.collect();
        if files.len() > NAMED {
            names.push(format!("{} more", files.len() - NAMED));
        }
        names.join(", ").into()
    }
}

/// Returns `true` if an object is a later state than another one. Where versions cannot be
/// compared, the object that was read last is.
fn is_newer(object: &Value, other: &Value) -> bool {
    let version = |object: &Value| -> Option<u64> {
        object["metadata"]["resourceVersion"].as_str()?.parse().ok()
    };
    match (version(object), version(other)) {
        // yurthub filters what it caches for some components.
        (Some(own), Some(other_version)) if own == other_version => {
            let count = |object: &Value| object["endpoints"].as_array().map_or(0, Vec::len);
            count(object) >= count(other)
        }
        (Some(own), Some(other)) => own > other,
        _ => true,
    }
}

/// Returns the target and body of the list of the objects of a kind.
fn listed(kind: &str, plural: &str, objects: Vec<Object>) -> Option<(String, Vec<u8>)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    // An object's own version tells how to read it.
    let api_version = text(&objects[0].value["apiVersion"]);
    let target = collection(&api_version, plural);
    // A kubelet or an agent caches only its own node.
    if let [Object { value, has_file: true, .. }] = objects.as_slice()
        && matches!(plural, "nodes" | "ciliumnodes")
    {
        let name = text(&value["metadata"]["name"]);
        return Some((format!("{target}/{name}"), value.to_string().into_bytes()));
    }
    let items: Vec<Value> = objects.into_iter().map(|object| object.value).collect();
    // Only one ConfigMap matters, and a list of another namespace does not show that it is absent.
    let is_system = |item: &Value| item["metadata"]["namespace"] == "kube-system";
    if plural == "configmaps" && !items.iter().any(is_system) {
        return None;
    }
    // kubectl leaves the list's own resourceVersion empty.
    let list = json!({
        "kind": format!("{kind}List"), "apiVersion": api_version, "metadata": {}, "items": items,
    });
    Some((target, list.to_string().into_bytes()))
}
