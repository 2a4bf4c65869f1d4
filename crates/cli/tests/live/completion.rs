//! Completion, manual pages, and the command as kubectl's plugin.

use std::os::unix::fs::symlink;
use std::process::Command;

use poolscope_testkit::DATA;

use crate::server::Server;

/// Runs the command under another name, as kubectl and shells do.
fn run_as(server: &Server, name: &str, args: &[&str]) -> String {
    let program = server.folder().join(name);
    if !program.exists() {
        symlink(env!("CARGO_BIN_EXE_poolscope"), &program).unwrap();
    }
    let output = Command::new(program)
        .args(args)
        .env("KUBECONFIG", server.folder().join("config"))
        .env("HOME", server.folder())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {errors}");
    assert!(errors.is_empty(), "{args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn candidates(server: &Server, args: &[&str]) -> (Vec<String>, String) {
    let text = run_as(server, "kubectl_complete-poolscope", args);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let directive = lines.pop().unwrap();
    let names = lines.iter().map(|line| line.split('\t').next().unwrap().to_owned()).collect();
    (names, directive)
}

#[test]
fn kubectl_completes_verbs_nodes_and_services() {
    let server = Server::start();
    let (verbs, directive) = candidates(&server, &[""]);
    for verb in ["view", "diff", "explain", "filter", "status"] {
        assert!(verbs.contains(&verb.to_owned()), "{verbs:?}");
    }
    assert!(!verbs.contains(&"man".to_owned()), "{verbs:?}");
    assert_eq!(directive, ":4");
    assert_eq!(candidates(&server, &["vi"]).0, ["view"]);

    let (nodes, _) = candidates(&server, &["view", "--node", "hz-"]);
    assert!(nodes.contains(&"hz-edge-1".to_owned()), "{nodes:?}");
    assert!(nodes.iter().all(|node| node.starts_with("hz-")), "{nodes:?}");
    let (services, _) = candidates(&server, &["view", "--node", "hz-edge-1", "shop/"]);
    assert!(services.contains(&"shop/cart".to_owned()), "{services:?}");
    let (services, _) = candidates(&server, &["explain", "-n", "shop", ""]);
    assert!(services.iter().all(|service| service.starts_with("shop/")), "{services:?}");
    let (options, _) = candidates(&server, &["view", "--kube"]);
    assert_eq!(options, ["--kubeconfig"]);
    assert_eq!(candidates(&server, &["completion", ""]).0, ["bash", "zsh", "fish", "powershell"]);
}

#[test]
fn names_come_from_files_where_files_are_given() {
    let server = Server::start();
    let facts = format!("{DATA}/recorded/list");
    let (services, _) = candidates(&server, &["explain", "--facts", &facts, "shop/ca"]);
    assert_eq!(services, ["shop/cart", "shop/catalog"]);
    let (nodes, _) = candidates(&server, &["view", "--facts", &facts, "--node", "bj-"]);
    assert!(nodes.contains(&"bj-edge-1".to_owned()), "{nodes:?}");
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_cluster_that_fails_has_no_candidates_and_no_noise() {
    let server = Server::with(|_, _| crate::server::status(403, "forbidden"));
    let (nodes, directive) = candidates(&server, &["view", "--node", ""]);
    assert_eq!((nodes.len(), &*directive), (0, ":4"));
    std::fs::remove_file(server.folder().join("config")).unwrap();
    assert_eq!(candidates(&server, &["view", "--node", ""]).0.len(), 0);
}

#[test]
fn every_shell_has_a_script_that_asks_the_command() {
    let server = Server::start();
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = server.done(&["completion", shell]);
        assert!(script.contains("POOLSCOPE_COMPLETE"), "{shell}: {script}");
    }
    // As bash calls it.
    let output = server
        .command(&["--", "poolscope", "view", "--node", "hz-edge"])
        .env("POOLSCOPE_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", "3")
        .env("_CLAP_COMPLETE_COMP_TYPE", "9")
        .env("_CLAP_IFS", "\n")
        .output()
        .unwrap();
    let names = String::from_utf8(output.stdout).unwrap();
    assert!(names.lines().any(|name| name == "hz-edge-1"), "{names}");
}

#[test]
fn the_plugin_has_the_name_that_users_type() {
    let server = Server::start();
    let help = run_as(&server, "kubectl-poolscope", &["view", "--help"]);
    assert!(help.contains("Usage: kubectl poolscope view"), "{help}");
    let view = run_as(&server, "poolscope", &["view", "--help"]);
    assert!(view.contains("Usage: poolscope view"), "{view}");
}

#[test]
fn every_verb_has_a_manual_page() {
    let server = Server::start();
    let folder = server.folder().join("man");
    server.done(&["man", folder.to_str().unwrap()]);
    for page in ["poolscope.1", "poolscope-view.1", "poolscope-status.1"] {
        let text = std::fs::read_to_string(folder.join(page)).unwrap();
        assert!(text.contains(".SH NAME"), "{page}");
    }
    assert!(!folder.join("poolscope-man.1").exists());
}
