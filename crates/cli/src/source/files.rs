//! `--facts`: recordings, folders of recordings and kubectl's output.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use poolscope::explain::Headline;
use poolscope::{RequestHead, ResponseHead};
use serde_json::{Value, json};

use super::recording::{Asked, Recording, read_meta};
use super::text::to_body;
use super::{Snapshot, folder};
use crate::failure::Failure;

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

/// Reads the given paths.
pub(super) fn load(paths: &[PathBuf], snapshot: &mut Snapshot) -> Result<(), Failure> {
    for path in paths {
        if path.is_dir() {
            folder::load(path, snapshot)?;
        } else {
            for recording in recordings_of(path)? {
                let asked = Asked::of(&recording.request.target);
                snapshot.add(&recording, &asked)?;
            }
        }
    }
    Ok(())
}

/// A file by itself: a recording, or what kubectl printed, taken apart into lists of one kind.
fn recordings_of(path: &Path) -> Result<Vec<Recording>, Failure> {
    let body = if path == Path::new("-") { read_stdin()? } else { read(path)? };
    if let Some(meta) = meta_beside(path) {
        let (request, head) = read_meta(&meta)?;
        return Ok(vec![Recording { path: path.to_owned(), request, head, body }]);
    }
    let body = to_body(body).map_err(|what| Failure::at(path, what))?;
    kubectl(path, body)
}

/// A file as kubectl printed it.
pub(super) fn document(path: &Path) -> Result<Vec<u8>, Failure> {
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
pub(super) fn headline(path: &Path, body: &[u8]) -> Result<Headline, Failure> {
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

pub(super) fn kubectl(path: &Path, body: Vec<u8>) -> Result<Vec<Recording>, Failure> {
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

/// Reads standard input.
pub(crate) fn read_stdin() -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    io::stdin()
        .lock()
        .read_to_end(&mut body)
        .map_err(|error| Failure(format!("standard input: {error}")))?;
    Ok(body)
}
