//! Files of unknown form, told apart by their content.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::held::{Contents, Frontend, Held, Kind};
use super::{cilium, kube_proxy, yurthub};
use crate::failure::Failure;
use crate::source::{read, read_stdin};

const KNOWN: &str = "write `cilium-dbg service list -o json`, `cilium-dbg bpf lb list -o json`, \
                     `nft -j list ruleset` or `iptables-save` to a file";

/// Reads files and folders. Files of one kind are read as parts of one data plane.
pub(super) fn from_paths(paths: &[PathBuf]) -> Result<Vec<Held>, Failure> {
    let mut all: Vec<Held> = Vec::new();
    for path in paths {
        if path.is_dir() {
            all.extend(yurthub::read(path)?);
            continue;
        }
        let bytes = if path == Path::new("-") { read_stdin()? } else { read(path)? };
        let (kind, frontends) = contents(&bytes).map_err(|what| Failure::at(path, what))?;
        let same = all.iter_mut().find(|held| held.kind == kind);
        match same.map(|held| (&mut held.origin, &mut held.contents)) {
            Some((origin, Contents::Frontends(known))) => {
                known.extend(frontends);
                *origin += &format!(", {}", path.display());
            }
            _ => all.push(Held::of(kind, path.display().to_string(), frontends)),
        }
    }
    Ok(all)
}

/// Reads the output of one of the tools.
///
/// # Errors
///
/// Returns what the text is instead, and what to do.
pub(super) fn contents(bytes: &[u8]) -> Result<(Kind, Vec<Frontend>), String> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        format!("byte {at} is not UTF-8 text: {KNOWN}, without PowerShell's `>`")
    })?;
    // A bug report of Cilium has each command's output in a fence of Markdown.
    let text = match text.split("```").collect::<Vec<_>>()[..] {
        [_, fenced, _] => fenced,
        _ => text,
    };
    let text = text.trim_start_matches('\u{feff}');
    match text.trim().as_bytes() {
        [] => Err(format!("the file is empty: {KNOWN}")),
        // cilium-dbg prints `null` for a list without Services.
        b"null" | [b'[' | b'{', ..] => json(text),
        _ => table(text),
    }
}

fn json(text: &str) -> Result<(Kind, Vec<Frontend>), String> {
    let document: Value = serde_json::from_str(text).map_err(|error| match error.is_eof() {
        true => format!("the JSON is cut after {} bytes: write the file again", text.len()),
        false => format!("not JSON: {error}"),
    })?;
    match &document {
        Value::Array(_) | Value::Null => Ok((Kind::CiliumServices, cilium::services(document)?)),
        Value::Object(keys) if keys.contains_key("nftables") => {
            Ok((Kind::Nftables, kube_proxy::nft_json(&document)?))
        }
        Value::Object(keys) if keys.contains_key("kind") => {
            let kind = keys["kind"].as_str().unwrap_or("object");
            Err(format!("this is a {kind} of Kubernetes: name it with --facts; {KNOWN}"))
        }
        _ => Ok((Kind::CiliumMaps, cilium::maps(document)?)),
    }
}

fn table(text: &str) -> Result<(Kind, Vec<Frontend>), String> {
    let any = |begins: &[&str]| {
        text.lines().any(|line| begins.iter().any(|begin| line.trim_start().starts_with(begin)))
    };
    if any(&["table ip kube-proxy", "table ip6 kube-proxy"]) {
        Ok((Kind::Nftables, kube_proxy::nft_text(text)?))
    } else if any(&["-A KUBE-", ":KUBE-", "-N KUBE-"]) {
        Ok((Kind::Iptables, kube_proxy::iptables(text)?))
    } else if any(&["SERVICE ADDRESS"]) {
        Ok((Kind::CiliumMaps, cilium::maps_table(text)?))
    } else if any(&["ID "]) && text.contains("Frontend") {
        Ok((Kind::CiliumServices, cilium::services_table(text)?))
    } else if any(&["table ", "*nat", "*filter"]) {
        Err("these rules have nothing of kube-proxy: does it run on this node, in the mode of \
             this tool?"
            .to_owned())
    } else {
        let start: String = text.trim().chars().take(40).collect();
        Err(format!("not the output of a known tool ({start:?}): {KNOWN}"))
    }
}
