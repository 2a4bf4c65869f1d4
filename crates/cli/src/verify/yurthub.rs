//! yurthub's cache: `COMPONENT/endpointslices.v1.discovery.k8s.io/NAMESPACE/NAME`, one object a
//! file. yurthub stores responses after its filters, so a component's folder holds what that
//! component received.

use std::fs;
use std::path::{Path, PathBuf};

use poolscope::explain::{Inventory, ServiceView};
use poolscope::{Cluster, Config};

use super::held::{Contents, Held, Kind};
use crate::failure::Failure;

/// The slices that one component received.
pub(super) struct Cache {
    pub(super) component: String,
    inventory: Inventory,
}

/// How deep folders are searched: the cache's root, a component, a resource, a namespace.
const DEPTH: usize = 4;

/// Reads each component's slices below a folder: the cache, or a component's part of it.
pub(super) fn read(folder: &Path) -> Result<Vec<Held>, Failure> {
    let mut resources = Vec::new();
    find_resources(folder, DEPTH, &mut resources)?;
    resources.sort();
    let mut all = Vec::new();
    for resource in resources {
        let component = resource.parent().and_then(Path::file_name).unwrap_or_default();
        let component = component.to_string_lossy().into_owned();
        let mut inventory = Inventory::new();
        load(&resource, DEPTH, &mut inventory)?;
        all.push(Held {
            kind: Kind::YurthubCache,
            origin: resource.display().to_string(),
            contents: Contents::Slices(Cache { component, inventory }),
        });
    }
    if all.is_empty() {
        let what = "no folder endpointslices.v1.discovery.k8s.io below: name yurthub's cache, \
                    which is /etc/kubernetes/cache by default";
        return Err(Failure::at(folder, what));
    }
    Ok(all)
}

fn find_resources(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    // Older releases of yurthub leave out version and group.
    if name.split('.').next() == Some("endpointslices") {
        found.push(folder.to_owned());
    } else if depth > 0 {
        for path in children(folder)?.into_iter().filter(|path| path.is_dir()) {
            find_resources(&path, depth - 1, found)?;
        }
    }
    Ok(())
}

fn load(path: &Path, depth: usize, inventory: &mut Inventory) -> Result<(), Failure> {
    if path.is_dir() {
        if depth > 0 {
            children(path)?.iter().try_for_each(|path| load(path, depth - 1, inventory))?;
        }
        return Ok(());
    }
    // yurthub renames a file once it is written.
    if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("tmp_")) {
        return Ok(());
    }
    let fail = |error: String| Failure::at(path, error);
    let body = fs::read(path).map_err(|error| fail(error.to_string()))?;
    inventory.load(&body).map_err(|error| fail(error.to_string()))?;
    Ok(())
}

fn children(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let fail = |error: std::io::Error| Failure::at(folder, error.to_string());
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        paths.push(entry.map_err(fail)?.path());
    }
    paths.sort();
    Ok(paths)
}

impl Cache {
    /// Returns the Services that the slices name, with every endpoint.
    pub(super) fn services(&self) -> Result<Vec<ServiceView>, Failure> {
        let fail = |error: poolscope::Error| Failure(error.to_string());
        let off = Config::from_json(r#"{"rewrites": {"serviceTopology": false}}"#).map_err(fail)?;
        Ok(self.inventory.view(&Cluster::new(off).map_err(fail)?.node("")))
    }
}
