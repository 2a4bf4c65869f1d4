//! `--facts`: recordings, folders of recordings and kubectl's output.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use poolscope::explain::{Headline, Inventory};
use poolscope::{Cluster, Error, ErrorKind, RequestHead, ResponseHead};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Failure;
use crate::text::to_body;

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

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure::at(path, format!("{error}; check the path")))
}

/// The meta file that stands beside a body, if there is one.
pub(crate) fn meta_beside(body: &Path) -> Option<PathBuf> {
    let name = body.file_name()?.to_str()?;
    let name = name.strip_suffix(".gz").unwrap_or(name);
    let (stem, _) = name.rsplit_once('.')?;
    let meta = body.with_file_name(format!("{stem}.meta.json"));
    meta.is_file().then_some(meta)
}

/// The files that were read as facts, and those that were skipped.
#[derive(Default)]
pub(crate) struct Loaded {
    used: BTreeSet<String>,
    skipped: BTreeMap<&'static str, usize>,
    /// Files of folders that cannot be read, each with the reason.
    unread: Vec<String>,
    /// Slices or Endpoints were read.
    has_endpoints: bool,
    /// Services and pools that were read one by one.
    singles: usize,
}

/// How many unread files are named.
const NAMED: usize = 5;

impl Loaded {
    /// One line for the operator.
    pub(crate) fn summary(&self) -> String {
        let used: Vec<&str> = self.used.iter().map(String::as_str).collect();
        let mut text = format!(
            "facts: {}",
            if used.is_empty() { "nothing of use".to_owned() } else { used.join(", ") }
        );
        if !self.skipped.is_empty() {
            let skipped: Vec<String> =
                self.skipped.iter().map(|(why, count)| format!("{count} {why}")).collect();
            text += &format!("; skipped: {}", skipped.join(", "));
        }
        if self.singles > 0 {
            text += "; single Services and pools say nothing of others: add their whole lists";
        }
        for unread in self.unread.iter().take(NAMED) {
            text += &format!("\nnot read: {unread}");
        }
        if let Some(more @ 1..) = self.unread.len().checked_sub(NAMED) {
            text += &format!("\nnot read: {more} more");
        }
        text
    }

    /// Fails if no endpoints were read at all: nobody knows then who answers.
    pub(crate) fn require_endpoints(&self) -> Result<(), Failure> {
        if self.has_endpoints {
            return Ok(());
        }
        let what = "the facts have no EndpointSlices: add them with --facts (`kubectl get \
                    endpointslices -A -o json`)";
        Err(Failure(what.to_owned()))
    }

    fn skip(&mut self, why: &'static str) {
        *self.skipped.entry(why).or_default() += 1;
    }
}

/// Reads the facts and fills the inventory from the given paths.
pub(crate) fn load(
    paths: &[PathBuf],
    cluster: &Cluster,
    inventory: &mut Inventory,
) -> Result<Loaded, Failure> {
    let mut loaded = Loaded::default();
    for path in paths {
        if path.is_dir() {
            load_folder(path, cluster, inventory, &mut loaded)?;
        } else {
            for recording in recordings_of(path)? {
                let asked = Asked::of(&recording.request.target);
                use_recording(&recording, &asked, cluster, inventory, &mut loaded)?;
            }
        }
    }
    Ok(loaded)
}

/// A file by itself: a recording, or what kubectl printed, taken apart into lists of one kind.
fn recordings_of(path: &Path) -> Result<Vec<Recording>, Failure> {
    let body = if path == Path::new("-") { crate::read_stdin()? } else { read(path)? };
    if let Some(meta) = meta_beside(path) {
        let (request, head) = read_meta(&meta)?;
        return Ok(vec![Recording { path: path.to_owned(), request, head, body }]);
    }
    let body = to_body(body).map_err(|what| Failure::at(path, what))?;
    kubectl(path, body)
}

/// A file as kubectl printed it.
fn document(path: &Path) -> Result<Vec<u8>, Failure> {
    to_body(read(path)?).map_err(|what| Failure::at(path, what))
}

/// The response that a body without a meta file must have been.
pub(crate) fn guess(path: &Path, body: &[u8]) -> Result<(RequestHead, ResponseHead), Failure> {
    if !body.starts_with(b"k8s\0") && !body.trim_ascii_start().starts_with(b"{") {
        let raw = "this is YAML, gzip or UTF-16, and no response as the API server sends it, whose \
                   bytes are rewritten: use `kubectl get --raw PATH`";
        let what = to_body(body.to_vec()).err().unwrap_or_else(|| raw.to_owned());
        return Err(Failure::at(path, what));
    }
    let headline = headline(path, body)?;
    let target = target_of(&headline).ok_or_else(|| {
        let hint = "a body is one answer of the API server: use `kubectl get --raw PATH`, or give \
                    its request with --meta";
        Failure::at(
            path,
            format!("a {} is none of the kinds that poolscope reads; {hint}", headline.kind),
        )
    })?;
    Ok((RequestHead::get(target), head_of(body)))
}

/// The kind and version of a body without a meta file.
fn headline(path: &Path, body: &[u8]) -> Result<Headline, Failure> {
    if body.is_empty() {
        return Err(Failure::at(path, "the file is empty"));
    }
    let hint = "a watch, or a recording, needs its request: NAME.meta.json beside it, or --meta \
                for a body";
    Headline::of(body).map_err(|error| Failure::at(path, format!("{error}; {hint}")))
}

/// The head that a body without a meta file must have come with.
fn head_of(body: &[u8]) -> ResponseHead {
    ResponseHead::ok(if body.starts_with(b"k8s\0") {
        "application/vnd.kubernetes.protobuf"
    } else {
        "application/json"
    })
}

fn kubectl(path: &Path, body: Vec<u8>) -> Result<Vec<Recording>, Failure> {
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
    let recording = |target: String, body: Vec<u8>| Recording {
        path: path.to_owned(),
        request: RequestHead::get(target),
        head: head_of(&body),
        body,
    };
    if headline.kind != "List" {
        // Nothing of it may matter, which the summary will say.
        return Ok(vec![recording(target_of(&headline).unwrap_or_default(), body)]);
    }
    // kubectl wraps everything in a `List`; a kind that occurs in it is taken to be listed whole.
    let document: Value =
        serde_json::from_slice(&body).map_err(|error| Failure::at(path, error.to_string()))?;
    let mut groups: BTreeMap<(String, String), Vec<&Value>> = BTreeMap::new();
    for item in document["items"].as_array().into_iter().flatten() {
        let text = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
        groups.entry((text("apiVersion"), text("kind"))).or_default().push(item);
    }
    let lists = groups.into_iter().map(|((api_version, kind), items)| {
        let kind = format!("{kind}List");
        let target =
            plural(&kind).map(|plural| collection(&api_version, plural)).unwrap_or_default();
        // kubectl leaves the list's own resourceVersion empty.
        recording(
            target,
            json!({"kind": kind, "apiVersion": api_version, "metadata": {}, "items": items})
                .to_string()
                .into_bytes(),
        )
    });
    Ok(lists.collect())
}

fn target_of(headline: &Headline) -> Option<String> {
    let plural = plural(&headline.kind)?;
    let collection = collection(&headline.api_version, plural);
    if headline.items.is_some() {
        return Some(collection);
    }
    Some(match headline.namespace.as_str() {
        "" => format!("{collection}/{}", headline.name),
        namespace => {
            let (base, plural) = collection.rsplit_once('/')?;
            format!("{base}/namespaces/{namespace}/{plural}/{}", headline.name)
        }
    })
}

fn collection(api_version: &str, plural: &str) -> String {
    let root = if api_version.contains('/') { "apis" } else { "api" };
    format!("/{root}/{api_version}/{plural}")
}

fn plural(kind: &str) -> Option<&'static str> {
    Some(match kind.strip_suffix("List").unwrap_or(kind) {
        "Service" => "services",
        "Node" => "nodes",
        "EndpointSlice" => "endpointslices",
        "Endpoints" => "endpoints",
        "CiliumNode" => "ciliumnodes",
        "NodePool" => "nodepools",
        "NodeBucket" => "nodebuckets",
        "ConfigMap" => "configmaps",
        _ => return None,
    })
}

/// The resource of a target, as far as the choice among recordings needs it.
struct Asked {
    plural: &'static str,
    /// Not a single object.
    list: bool,
    watch: bool,
    /// `continue` or a selector makes a list less than whole.
    part: bool,
    /// `limit` makes a list less than whole if the body continues.
    limited: bool,
    /// At resourceVersion 0, where the watch cache ignores the limit.
    cached: bool,
    /// The namespace, or empty for all.
    namespace: String,
}

impl Asked {
    fn of(target: &str) -> Asked {
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
        let part = ["continue", "labelSelector", "fieldSelector"].into_iter().any(has)
            && plural != "configmaps";
        let cached = keys.iter().any(|(key, value)| key == "resourceVersion" && value == "0");
        let (list, namespace) = (rest.len() == 1, namespace.to_owned());
        Asked { plural, list, watch, part, limited: has("limit"), cached, namespace }
    }
}

impl Asked {
    /// Whether another page follows the list. The lists of informers are whole: they ask at
    /// resourceVersion 0.
    fn continues(&self, body: &[u8]) -> bool {
        if body.starts_with(b"k8s\0") {
            return !self.cached;
        }
        let document: Value = serde_json::from_slice(body).unwrap_or_default();
        document["metadata"]["continue"].as_str().is_some_and(|token| !token.is_empty())
    }
}

/// A complete list that may be read as facts, and how good it is.
struct Candidate {
    recording: Recording,
    asked: Asked,
    /// The latest, then whole objects rather than metadata, then by name.
    rank: (u64, bool, std::cmp::Reverse<PathBuf>),
}

/// The best list of each kind and namespace; empty for all namespaces.
type Best = BTreeMap<(&'static str, String), Candidate>;

fn load_folder(
    folder: &Path,
    cluster: &Cluster,
    inventory: &mut Inventory,
    loaded: &mut Loaded,
) -> Result<(), Failure> {
    let entries = fs::read_dir(folder).map_err(|error| Failure::at(folder, error.to_string()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    let mut best = Best::new();
    let mut printed = Vec::new();
    let mut singles = Vec::new();
    for path in files {
        if path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.ends_with(".meta.json"))
        {
            continue;
        }
        let recording = match meta_beside(&path) {
            Some(meta) => {
                let (request, head) = read_meta(&meta)?;
                Recording { body: read(&path)?, path, request, head }
            }
            // Without a meta file only kubectl's output says what it is.
            None if is_document(&path) => match document(&path).and_then(|body| {
                if headline(&path, &body)?.kind == "List" {
                    printed.push((path.clone(), body));
                    return Ok(Vec::new());
                }
                kubectl(&path, body)
            }) {
                Ok(recordings) => {
                    for recording in recordings {
                        choose(recording, &mut best, &mut singles, loaded);
                    }
                    continue;
                }
                Err(Failure(why)) => {
                    loaded.unread.push(why);
                    continue;
                }
            },
            None => {
                loaded.skip("without a meta file");
                continue;
            }
        };
        choose(recording, &mut best, &mut singles, loaded);
    }
    for recording in together(printed)? {
        choose(recording, &mut best, &mut singles, loaded);
    }
    let whole: Vec<&str> = best
        .keys()
        .filter(|(_, namespace)| namespace.is_empty())
        .map(|(plural, _)| *plural)
        .collect();
    let has_slices = best.keys().any(|(plural, _)| *plural == "endpointslices");
    best.retain(|(plural, namespace), _| {
        let why = match () {
            () if has_slices && *plural == "endpoints" => "Endpoints (slices are there)",
            () if !namespace.is_empty() && whole.contains(plural) => "older or lesser lists",
            () => return true,
        };
        loaded.skip(why);
        false
    });
    for candidate in best.into_values() {
        use_recording(&candidate.recording, &candidate.asked, cluster, inventory, loaded)?;
    }
    for (recording, asked) in singles {
        use_recording(&recording, &asked, cluster, inventory, loaded)?;
    }
    Ok(())
}

/// Joins the `List`s of a folder: people write a file for each namespace or kind. The last state of an
/// object counts.
fn together(printed: Vec<(PathBuf, Vec<u8>)>) -> Result<Vec<Recording>, Failure> {
    let names: Vec<String> = printed.iter().map(|(path, _)| path.display().to_string()).collect();
    let path = PathBuf::from(names.join(", "));
    let bodies: Vec<Vec<u8>> = printed.into_iter().map(|(_, body)| body).collect();
    match bodies.len() {
        0 => Ok(Vec::new()),
        _ => {
            let rows = bodies.join(&b'\n');
            let body = to_body(rows).map_err(|what| Failure::at(&path, what))?;
            kubectl(&path, body)
        }
    }
}

/// Whether a file without a meta file may be what kubectl printed.
fn is_document(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let name = name.strip_suffix(".gz").unwrap_or(name);
    [".json", ".jsonl", ".yaml", ".yml"].iter().any(|end| name.ends_with(end))
}

/// Keeps a recording of a folder if it is the best of its kind so far.
fn choose(
    recording: Recording,
    best: &mut Best,
    singles: &mut Vec<(Recording, Asked)>,
    loaded: &mut Loaded,
) {
    let asked = Asked::of(&recording.request.target);
    let header = |name: &str| {
        recording
            .head
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value.as_str())
    };
    let readable = ["application/json", "application/vnd.kubernetes.protobuf"]
        .iter()
        .any(|media| header("content-type").starts_with(media));
    let why = match () {
        () if recording.request.method != "GET" || asked.plural.is_empty() => Some("other"),
        () if recording.head.status != 200 => Some("failed"),
        () if asked.watch => Some("watches"),
        () if asked.part || asked.limited && asked.continues(&recording.body) => {
            Some("parts of lists")
        }
        () if !readable || !matches!(header("content-encoding"), "" | "identity") => {
            Some("compressed or in another encoding")
        }
        () => None,
    };
    if let Some(why) = why {
        return loaded.skip(why);
    }
    let Ok(headline) = Headline::of(&recording.body) else { return loaded.skip("undecodable") };
    if headline.kind == "Table" {
        return loaded.skip("Tables");
    }
    if !asked.list {
        return singles.push((recording, asked));
    }
    let whole = headline.kind != "PartialObjectMetadataList";
    if !whole && !matches!(asked.plural, "services" | "nodes" | "ciliumnodes") {
        return loaded.skip("metadata only");
    }
    let version = headline.resource_version.parse().unwrap_or(0);
    let rank = (version, whole, std::cmp::Reverse(recording.path.clone()));
    let key = (asked.plural, asked.namespace.clone());
    match best.get(&key) {
        Some(other) if other.rank > rank => loaded.skip("older or lesser lists"),
        other => {
            if other.is_some() {
                loaded.skip("older or lesser lists");
            }
            best.insert(key, Candidate { asked, recording, rank });
        }
    }
}

fn use_recording(
    recording: &Recording,
    asked: &Asked,
    cluster: &Cluster,
    inventory: &mut Inventory,
    loaded: &mut Loaded,
) -> Result<(), Failure> {
    let fail = |error: Error| Failure::of(&recording.path, &recording.head, &error);
    let name = recording.path.display().to_string();
    let mut used = false;
    match cluster.read_facts(&recording.request, &recording.head) {
        Ok(mut feed) => {
            feed.push(&recording.body).map_err(fail)?;
            feed.finish().map_err(fail)?;
            used = true;
            let needs_all = matches!(asked.plural, "services" | "nodepools" | "nodebuckets");
            loaded.singles += usize::from(!asked.list && needs_all);
        }
        Err(error) if error.kind() == ErrorKind::NotAFact => {}
        Err(error) => return Err(fail(error)),
    }
    // The inventory holds what there is, not what happened.
    let shown = matches!(asked.plural, "services" | "endpointslices" | "endpoints")
        && recording.head.status == 200;
    if shown && !asked.watch {
        let objects = inventory.load(&recording.body).map_err(fail)?;
        used |= objects > 0;
        loaded.has_endpoints |= asked.plural != "services";
    }
    if used {
        loaded.used.insert(name);
    } else {
        loaded.skip(if asked.watch { "watches" } else { "other" });
    }
    Ok(())
}
