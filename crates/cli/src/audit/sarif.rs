//! Findings as SARIF 2.1.0. A cluster has no files: locations are logical.

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
                    "logicalLocations": [{
                        "name": finding.object.name,
                        "fullyQualifiedName": object,
                        "kind": "resource",
                    }],
                }],
                // Stays the same when only numbers in the message change.
                "partialFingerprints": {
                    "codeAndObject/v1": format!("{}:{object}", finding.code.id),
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

fn level(level: Level) -> &'static str {
    match level {
        Level::Info => "note",
        Level::Warning => "warning",
        Level::Error => "error",
    }
}
