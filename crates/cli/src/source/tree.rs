//! Folders as tools write them: their files, and what the place of a file shows of it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::Loaded;
use super::files::{is_needed, meta_beside};

/// How deep folders are searched.
const DEEPEST: usize = 32;

/// The largest file of a folder that is read.
const LARGEST: u64 = 1 << 30;

/// The place of a file in a folder whose layout is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing.
    Plain,
    /// One object of a kind, in a folder that has them all.
    Object,
    /// The list of a namespace.
    Namespace(String),
    /// A kind that no verdict depends on.
    Other,
}

impl Place {
    /// Returns the place of a file that the operator named. A file of a dump does not come with the
    /// others there.
    pub(super) fn of_named(path: &Path) -> Place {
        let is_document = path.file_name().and_then(OsStr::to_str).is_none_or(is_document);
        match place(path) {
            Place::Object if is_document => Place::Plain,
            Place::Other => Place::Plain,
            place => place,
        }
    }
}

/// Returns the files below a folder that may be facts, sorted, and counts the others.
pub(super) fn files(folder: &Path, loaded: &mut Loaded) -> Vec<(PathBuf, Place)> {
    let mut files = Vec::new();
    // Links may lead in circles.
    let mut seen = BTreeSet::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        if !fs::canonicalize(&folder).is_ok_and(|real| seen.insert(real)) {
            continue;
        }
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                loaded.unread(format!("{}: {error}", folder.display()));
                continue;
            }
        };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let Ok(about) = fs::metadata(&path) else {
                loaded.skip("broken links");
                continue;
            };
            if is_unfinished(&path) {
                loaded.skip("unfinished copies");
            } else if about.is_dir() {
                if depth < DEEPEST {
                    folders.push((path, depth + 1));
                } else {
                    loaded.unread(format!("{}: too deep: name this folder", path.display()));
                }
            } else if about.is_file() {
                files.push((path, about.len()));
            }
        }
    }
    files.sort();
    files.into_iter().filter_map(|(path, size)| choose(path, size, loaded)).collect()
}

/// Returns `true` for a file or folder of yurthub's cache that was being written: yurthub keeps the
/// old state in `tmp_NAME` meanwhile, and restores it when it starts again.
fn is_unfinished(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(OsStr::to_str) else { return false };
    let is_cache = resource_of_cache(name).is_some() || place(path) == Place::Object;
    is_cache && path.with_file_name(format!("tmp_{name}")).exists()
}

/// Returns a file that may be facts; counts any other.
fn choose(path: PathBuf, size: u64, loaded: &mut Loaded) -> Option<(PathBuf, Place)> {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    if name.ends_with(".meta.json") {
        return None;
    }
    let place = place(&path);
    let why = if place == Place::Other {
        "of kinds that are not needed"
    } else if is_archive(name) {
        "archives (unpack them)"
    } else if place != Place::Object && !is_document(name) && meta_beside(&path).is_none() {
        "without a meta file"
    } else if size > LARGEST {
        loaded.unread(format!("{}: {size} bytes: give only what is needed of it", path.display()));
        return None;
    } else {
        return Some((path, place));
    };
    loaded.skip(why);
    None
}

fn is_archive(name: &str) -> bool {
    [".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.zst", ".tar.bz2", ".7z"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// Returns `true` if a file without a meta file may be what kubectl printed.
fn is_document(name: &str) -> bool {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    [".json", ".jsonl", ".ndjson", ".yaml", ".yml"].iter().any(|end| name.ends_with(end))
}

/// Returns what the place of a file shows of it.
fn place(path: &Path) -> Place {
    let real = fs::canonicalize(path);
    let parts: Vec<&str> =
        real.as_deref().unwrap_or(path).iter().filter_map(OsStr::to_str).collect();
    let Some((name, folders)) = parts.split_last() else { return Place::Plain };
    let up = |levels: usize| folders.len().checked_sub(levels).map_or("", |at| folders[at]);
    if is_document(name) {
        return in_must_gather(name, up);
    }
    // yurthub: COMPONENT/RESOURCE.VERSION.GROUP/[NAMESPACE/]NAME, formerly COMPONENT/RESOURCE/...
    for resource in [up(1), up(2)] {
        match resource_of_cache(resource) {
            Some(plural) if is_needed(plural) => return Place::Object,
            Some(_) => return Place::Other,
            None => {}
        }
    }
    let is_old = !name.contains(['.', '=']) || matches!(up(1), "nodes" | "ciliumnodes");
    let namespaced = ["services", "endpointslices", "endpoints", "configmaps"];
    let whole = ["nodes", "ciliumnodes", "nodepools", "nodebuckets"];
    if is_old && (namespaced.contains(&up(2)) || whole.contains(&up(1))) {
        return Place::Object;
    }
    Place::Plain
}

/// Returns the resource of a folder of yurthub's cache, such as `services.v1.core`.
fn resource_of_cache(folder: &str) -> Option<&str> {
    let folder = folder.strip_prefix("tmp_").unwrap_or(folder);
    let (plural, rest) = folder.split_once('.')?;
    let (version, group) = rest.split_once('.')?;
    let number = version.strip_prefix('v')?;
    (number.starts_with(|first: char| first.is_ascii_digit()) && !group.is_empty())
        .then_some(plural)
}

/// Returns what a place in OpenShift's must-gather shows: `namespaces/NS/GROUP/PLURAL.yaml` and
/// `cluster-scoped-resources/GROUP/PLURAL/NAME.yaml`.
fn in_must_gather<'a>(name: &str, up: impl Fn(usize) -> &'a str) -> Place {
    let stem = name.split('.').next().unwrap_or_default();
    let is_group = |group: &str| {
        group.contains('.') || ["core", "apps", "batch", "autoscaling", "policy"].contains(&group)
    };
    if up(3) == "namespaces" && is_group(up(1)) {
        let list = Place::Namespace(up(2).to_owned());
        return if is_needed(stem) { list } else { Place::Other };
    }
    if up(3) == "cluster-scoped-resources" && is_group(up(2)) {
        return if is_needed(up(1)) { Place::Object } else { Place::Other };
    }
    if up(2) == "cluster-scoped-resources" && is_group(up(1)) && !is_needed(stem) {
        return Place::Other;
    }
    Place::Plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_shows_what_a_file_is() {
        let namespace = |name: &str| Place::Namespace(name.to_owned());
        for (path, expected) in [
            ("/c/kube-proxy/services.v1.core/pay/web", Place::Object),
            ("/c/kube-proxy/endpointslices.v1.discovery.k8s.io/pay/web-a.b", Place::Object),
            ("/c/yurthub/nodepools.v1beta2.apps.openyurt.io/harbor", Place::Object),
            ("/c/kubelet/pods.v1.core/pay/web-1", Place::Other),
            ("/c/kubelet/nodes/ip-10-0-0-1.ec2.internal", Place::Object),
            ("/c/kube-proxy/services/pay/web", Place::Object),
            ("/c/_internal/restmapper/cache-crd-restmapper.conf", Place::Plain),
            ("/m/namespaces/pay/core/services.yaml", namespace("pay")),
            ("/m/namespaces/pay/discovery.k8s.io/endpointslices.yaml", namespace("pay")),
            ("/m/namespaces/pay/core/pods.yaml", Place::Other),
            ("/m/namespaces/pay/pods/web-1/web-1.yaml", Place::Plain),
            ("/m/cluster-scoped-resources/core/nodes/ap1.yaml", Place::Object),
            ("/m/cluster-scoped-resources/core/nodes.yaml", Place::Plain),
            ("/m/cluster-scoped-resources/config.openshift.io/dnses/cluster.yaml", Place::Other),
            ("/d/pay/services.json", Place::Plain),
            ("/d/k8s-nodes-20260102-030405.yaml", Place::Plain),
        ] {
            assert_eq!(place(Path::new(path)), expected, "{path}");
        }
    }
}
