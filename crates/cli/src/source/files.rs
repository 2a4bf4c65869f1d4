//! `--facts`: recordings, folders of recordings and kubectl's output.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use poolscope::explain::Headline;
use poolscope::{RequestHead, ResponseHead};

use super::documents::Documents;
use super::recording::{Asked, Recording, read_meta};
use super::text::to_body;
use super::tree::Place;
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

/// Reads the given paths. Documents that stand together are read as one moment.
pub(super) fn load(paths: &[PathBuf], snapshot: &mut Snapshot) -> Result<(), Failure> {
    let mut documents = Documents::default();
    for path in paths {
        let meta = if path.is_dir() { None } else { meta_beside(path) };
        if !path.is_dir() && meta.is_none() {
            let body = if path == Path::new("-") { read_stdin()? } else { read(path)? };
            let body = to_body(body).map_err(|what| Failure::at(path, what))?;
            documents.push(path, body, &Place::of_named(path), &mut snapshot.loaded)?;
            continue;
        }
        for (recording, asked) in std::mem::take(&mut documents).finish(&mut snapshot.loaded) {
            snapshot.add(&recording, &asked)?;
        }
        match meta {
            Some(meta) => {
                let (request, head) = read_meta(&meta)?;
                let asked = Asked::of(&request.target);
                let recording = Recording { path: path.clone(), request, head, body: read(path)? };
                snapshot.add(&recording, &asked)?;
            }
            None => folder::load(path, snapshot)?,
        }
    }
    for (recording, asked) in documents.finish(&mut snapshot.loaded) {
        snapshot.add(&recording, &asked)?;
    }
    Ok(())
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
pub(super) fn head_of(body: &[u8]) -> ResponseHead {
    ResponseHead::ok(if body.starts_with(b"k8s\0") {
        "application/vnd.kubernetes.protobuf"
    } else {
        "application/json"
    })
}

/// Returns the path that a document without a request was read from.
pub(super) fn target_of(headline: &Headline) -> Option<String> {
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

pub(super) fn collection(api_version: &str, plural: &str) -> String {
    let root = if api_version.contains('/') { "apis" } else { "api" };
    format!("/{root}/{api_version}/{plural}")
}

/// The kinds that verdicts and findings depend on.
const KINDS: [(&str, &str); 9] = [
    ("Service", "services"),
    ("Node", "nodes"),
    ("EndpointSlice", "endpointslices"),
    ("Endpoints", "endpoints"),
    ("CiliumNode", "ciliumnodes"),
    ("CiliumLocalRedirectPolicy", "ciliumlocalredirectpolicies"),
    ("NodePool", "nodepools"),
    ("NodeBucket", "nodebuckets"),
    ("ConfigMap", "configmaps"),
];

/// Returns the plural of a kind, or of its list, that verdicts depend on.
pub(super) fn plural(kind: &str) -> Option<&'static str> {
    let kind = kind.strip_suffix("List").unwrap_or(kind);
    KINDS.iter().find(|(known, _)| *known == kind).map(|(_, plural)| *plural)
}

/// Returns `true` if verdicts depend on objects of this plural.
pub(super) fn is_needed(plural: &str) -> bool {
    KINDS.iter().any(|(_, known)| *known == plural)
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
