//! The findings of an earlier run, which are not printed again.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::codes::Level;
use super::finding::Finding;
use crate::failure::Failure;

/// What `-o json` printed, as far as findings are compared.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Baseline {
    without_nodes: Vec<String>,
    findings: Vec<Known>,
}

#[derive(Deserialize)]
struct Known {
    code: String,
    level: Level,
    object: Named,
    pools: Vec<String>,
    #[serde(default)]
    frontends: Vec<String>,
    message: String,
}

#[derive(Deserialize)]
struct Named {
    kind: String,
    namespace: Option<String>,
    name: Option<String>,
}

impl Baseline {
    /// Reads the output of an earlier run.
    ///
    /// # Errors
    ///
    /// Fails if it is something else, or was made without other nodes.
    pub(super) fn read(path: &Path, without_nodes: &[String]) -> Result<Baseline, Failure> {
        let bytes = fs::read(path).map_err(|error| Failure::at(path, error.to_string()))?;
        let mut baseline: Baseline = serde_json::from_slice(&bytes).map_err(|error| {
            let what = "this is not the output of `poolscope audit -o json`";
            Failure::at(path, format!("{what}: {error}; check --baseline"))
        })?;
        let mut asked = without_nodes.to_vec();
        for nodes in [&mut asked, &mut baseline.without_nodes] {
            nodes.sort();
            nodes.dedup();
        }
        if asked != baseline.without_nodes {
            let name = |nodes: &[String]| match nodes {
                [] => "no node".to_owned(),
                nodes => nodes.join(", "),
            };
            let (now, then) = (name(&asked), name(&baseline.without_nodes));
            let what = format!("made --without-node of {then}, and this run is of {now}");
            return Err(Failure::at(path, what));
        }
        Ok(baseline)
    }

    /// Returns `true` if the earlier run had the finding, at its level or a higher one: in each of
    /// its pools and at each of its frontends, or, if it is not about pools, with the same message.
    pub(super) fn has(&self, finding: &Finding) -> bool {
        self.findings.iter().any(|known| {
            let has_frontend = |each: &str| known.frontends.iter().any(|known| known == each);
            known.code == finding.code.id
                && known.level >= finding.level
                && known.object.kind == finding.object.kind
                && known.object.namespace.as_deref().unwrap_or_default() == finding.object.namespace
                && known.object.name.as_deref().unwrap_or_default() == finding.object.name
                && match &*finding.pools {
                    [] => known.message == finding.message,
                    pools => {
                        pools.iter().all(|pool| known.pools.contains(pool))
                            && finding.frontends().into_iter().all(has_frontend)
                    }
                }
        })
    }
}
