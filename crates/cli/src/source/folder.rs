//! Folders of recordings and of kubectl's output, each read as one moment.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use poolscope::explain::Headline;

use super::documents::Documents;
use super::files::{meta_beside, plural, read};
use super::recording::{Asked, Recording, read_meta};
use super::scope::ListEnd;
use super::text::{NO_KIND, kinds_in, to_body, unpack};
use super::tree::{self, Place};
use super::{Loaded, Snapshot};
use crate::failure::Failure;

/// A complete list that may be read as facts, and how good it is.
struct Candidate {
    recording: Recording,
    asked: Asked,
    /// All namespaces, then the latest, then whole objects rather than metadata, then by name.
    rank: (bool, u64, bool, std::cmp::Reverse<PathBuf>),
}

/// The best list of each kind and namespace; empty for all namespaces.
type Best = BTreeMap<(&'static str, String), Candidate>;

/// Reads a folder and those below as one moment.
pub(crate) fn load(folder: &Path, snapshot: &mut Snapshot) -> Result<(), Failure> {
    fs::read_dir(folder).map_err(|error| Failure::at(folder, error.to_string()))?;
    let loaded = &mut snapshot.loaded;
    let mut found = Found::default();
    let mut documents = Documents::default();
    for (path, place) in tree::files(folder, loaded) {
        match meta_beside(&path) {
            Some(meta) => {
                let read = read_meta(&meta).and_then(|head| Ok((head, read(&path)?)));
                match read {
                    Ok(((request, head), body)) => {
                        let asked = Asked::of(&request.target);
                        found.choose(Recording { path, request, head, body }, asked, loaded);
                    }
                    Err(Failure(why)) => loaded.unread(why),
                }
            }
            // Without a meta file only the content says what it is.
            None => {
                if let Err(Failure(why)) = read_document(&path, &place, &mut documents, loaded) {
                    loaded.unread(why);
                }
            }
        }
    }
    for (recording, asked) in documents.finish(loaded) {
        found.choose(recording, asked, loaded);
    }
    let Found { mut best, singles } = found;
    let whole: Vec<&str> = best
        .keys()
        .filter(|(_, namespace)| namespace.is_empty())
        .map(|(plural, _)| *plural)
        .collect();
    let has_slices = best.keys().any(|(plural, _)| *plural == "endpointslices");
    best.retain(|(plural, namespace), _| {
        let why = if has_slices && *plural == "endpoints" {
            "Endpoints (slices are there)"
        } else if !namespace.is_empty() && whole.contains(plural) {
            "older or lesser lists"
        } else {
            return true;
        };
        loaded.skip(why);
        false
    });
    for candidate in best.into_values() {
        let Asked { plural, namespace, .. } = &candidate.asked;
        snapshot.loaded.read_list_of(folder, plural, namespace);
        snapshot.add(&candidate.recording, &candidate.asked)?;
    }
    for (recording, asked) in singles {
        snapshot.add(&recording, &asked)?;
    }
    Ok(())
}

/// Adds a file without a meta file, unless no verdict depends on anything in it.
fn read_document(
    path: &Path,
    place: &Place,
    documents: &mut Documents,
    loaded: &mut Loaded,
) -> Result<(), Failure> {
    let fail = |what: String| Failure::at(path, what);
    let bytes = unpack(read(path)?).map_err(fail)?;
    let kinds = kinds_in(&bytes);
    let is_needed = |kind: &String| {
        plural(kind).is_some()
            || ["Table", "Status", "PartialObjectMetadataList"].contains(&&**kind)
    };
    if !kinds.is_empty() && !kinds.iter().any(is_needed) {
        // Most of a dump is such: decoding it would take minutes.
        loaded.skip("of kinds that are not needed");
        return Ok(());
    }
    let body = match to_body(bytes) {
        // Settings, such as the values of a Helm release.
        Err(what) if what.starts_with(NO_KIND) && !what.contains("error") => None,
        Err(what) => return Err(fail(what)),
        // UTF-16 has its kinds only once it is decoded.
        Ok(body) => Some(body).filter(|body| !kinds.is_empty() || !kinds_in(body).is_empty()),
    };
    let Some(body) = body else {
        loaded.skip("without a kind");
        return Ok(());
    };
    documents.push(path, body, place, loaded)
}

/// The recordings of a folder that are read.
#[derive(Default)]
struct Found {
    best: Best,
    singles: Vec<(Recording, Asked)>,
}

impl Found {
    /// Keeps a recording of a folder if it is the best of its kind so far.
    fn choose(&mut self, recording: Recording, asked: Asked, loaded: &mut Loaded) {
        if recording.request.method != "GET" || asked.plural.is_empty() {
            return loaded.skip("other");
        }
        if recording.head.status != 200 {
            return loaded.refused(&recording, &asked);
        }
        if let Some(why) = reason_to_skip(&recording, &asked) {
            return loaded.skip(why);
        }
        let end = ListEnd::of(&recording.body);
        if asked.list && (asked.part || !asked.token.is_empty() || !end.is_last()) {
            return loaded.part(&recording.path, asked.plural, &end);
        }
        let Ok(headline) = Headline::of(&recording.body) else { return loaded.skip("undecodable") };
        if headline.kind == "Table" {
            return loaded.skip("Tables");
        }
        if !asked.list {
            return self.singles.push((recording, asked));
        }
        let whole = headline.kind != "PartialObjectMetadataList";
        if !whole && !matches!(asked.plural, "services" | "nodes" | "ciliumnodes") {
            return loaded.skip("metadata only");
        }
        let version = headline.resource_version.parse().unwrap_or(0);
        let is_wide = asked.scope.as_ref().is_none_or(|scope| !scope.is_narrow());
        let rank = (is_wide, version, whole, std::cmp::Reverse(recording.path.clone()));
        let key = (asked.plural, asked.namespace.clone());
        let other = self.best.get(&key);
        if other.is_some() {
            loaded.skip("older or lesser lists");
        }
        if other.is_none_or(|other| other.rank <= rank) {
            self.best.insert(key, Candidate { asked, recording, rank });
        }
    }
}

/// Returns why a recording cannot be read.
fn reason_to_skip(recording: &Recording, asked: &Asked) -> Option<&'static str> {
    let header = |name: &str| {
        let mut headers = recording.head.headers.iter();
        headers
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value.as_str())
    };
    let readable = ["application/json", "application/vnd.kubernetes.protobuf"]
        .iter()
        .any(|media| header("content-type").starts_with(media));
    if asked.watch {
        Some("watches")
    } else if !readable || !matches!(header("content-encoding"), "" | "identity") {
        Some("compressed or in another encoding")
    } else {
        None
    }
}
