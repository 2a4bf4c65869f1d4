//! Findings as SARIF 2.1.0. A cluster has no files, and readers want one for each result: it is
//! named as the object.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::codes::{self, Level};
use super::finding::{DOCS, Finding};

const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// Returns the log with one run.
pub(super) fn log(findings: &[&Finding]) -> Value {
    let places: BTreeMap<&str, usize> =
        codes::ALL.iter().enumerate().map(|(place, code)| (code.id, place)).collect();
    let rules: Vec<Value> = codes::ALL
        .iter()
        .map(|code| {
            json!({
                "id": code.id,
                "shortDescription": {"text": code.title},
                "fullDescription": {"text": code.traffic},
                "help": {"text": code.change},
                "helpUri": format!("{REPOSITORY}/blob/main/{DOCS}#{}", code.id.to_lowercase()),
                "defaultConfiguration": {"level": level(code.level)},
            })
        })
        .collect();
    let results: Vec<Value> = findings
        .iter()
        .map(|finding| {
            let object = finding.object.to_string();
            json!({
                "ruleId": finding.code.id,
                "ruleIndex": places[finding.code.id],
                "level": level(finding.level),
                "message": {"text": format!("{object}: {}", finding.message)},
                "locations": [{
                    "physicalLocation": {
                        "artifactLocation": {"uri": uri(finding)},
                        "region": {"startLine": 1},
                    },
                    "logicalLocations": [{
                        "name": finding.object.name,
                        "fullyQualifiedName": object,
                        "kind": "resource",
                    }],
                }],
                // Stays the same when only numbers in the message change.
                "partialFingerprints": {
                    "codeObjectPools/v1":
                        format!("{}:{object}:{}", finding.code.id, finding.pools.join(",")),
                },
            })
        })
        .collect();
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {
                "driver": {
                    "name": "poolscope",
                    "version": env!("CARGO_PKG_VERSION"),
                    "informationUri": REPOSITORY,
                    "rules": rules,
                },
            },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// Returns `cluster/KIND/NAMESPACE/NAME`. The parts need no escape: they are DNS names.
fn uri(finding: &Finding) -> String {
    let object = &finding.object;
    let parts = ["cluster", object.kind, &object.namespace, &object.name];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Info => "note",
        Level::Warning => "warning",
        Level::Error => "error",
    }
}
