//! Folders of recordings and of kubectl's output, each read as one moment.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use poolscope::explain::Headline;

use super::files::{document, headline, kubectl, meta_beside, read};
use super::recording::{Asked, Recording, read_meta};
use super::text::to_body;
use super::{Loaded, Snapshot};
use crate::failure::Failure;

/// A complete list that may be read as facts, and how good it is.
struct Candidate {
    recording: Recording,
    asked: Asked,
    /// The latest, then whole objects rather than metadata, then by name.
    rank: (u64, bool, std::cmp::Reverse<PathBuf>),
}

/// The best list of each kind and namespace; empty for all namespaces.
type Best = BTreeMap<(&'static str, String), Candidate>;

/// Reads a folder as one moment.
pub(crate) fn load(folder: &Path, snapshot: &mut Snapshot) -> Result<(), Failure> {
    let loaded = &mut snapshot.loaded;
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
        snapshot.add(&candidate.recording, &candidate.asked)?;
    }
    for (recording, asked) in singles {
        snapshot.add(&recording, &asked)?;
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
