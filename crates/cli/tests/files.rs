//! Facts from files as tools write them; `data/README.md` names the origin of the files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");

/// The lines of `view` for the two Services of the recorded cluster.
const WEB: &str = "pay/web (pool): 1 of 2 endpoints kept, 1 dropped";
const FRONT: &str = "web/front (node): 1 of 2 endpoints kept, 1 dropped";

fn data(name: &str) -> String {
    format!("{DATA}/{name}")
}

/// The exit status, standard output and standard error of a verb.
struct Run {
    code: i32,
    out: String,
    err: String,
}

fn run(args: &[&str]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_poolscope")).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// `view` for node ap1.
fn view(paths: &[&str]) -> Run {
    run(&[&["view", "--node", "ap1", "--facts"], paths].concat())
}

/// Checks that `view` shows both Services of the recorded cluster.
fn shows_all(name: &str, run: &Run) {
    assert_eq!(run.code, 0, "{name}: {}", run.err);
    for line in [WEB, FRONT] {
        assert!(run.out.contains(line), "{name}: {}{}", run.err, run.out);
    }
    assert!(run.out.contains("=> 10.8.0.2:9090/TCP (active) ap1"), "{name}: {}", run.out);
}

/// Checks that a run failed with one line that has these parts.
fn fails(name: &str, run: &Run, parts: &[&str]) {
    assert_eq!((run.code, run.out.as_str()), (1, ""), "{name}: {}", run.err);
    let line = run.err.lines().last().unwrap();
    assert!(line.starts_with("poolscope: "), "{name}: {}", run.err);
    for part in parts {
        assert!(line.contains(part), "{name}: no {part:?} in {line}");
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let into = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &into);
        } else {
            fs::copy(&path, &into).unwrap();
        }
    }
}

/// A copy of a folder of the data that a test changes.
fn copied(name: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    copy(Path::new(&data(name)), &path);
    (folder, path)
}

#[test]
fn kubectls_output_is_read_in_each_format() {
    let file = |name: &str| data(&format!("kubectl/{name}"));
    for name in ["all.json", "all.yaml", "more.json", "jsonpath.json", "all.kyaml.yaml"] {
        shows_all(name, &view(&[&file(name)]));
    }
    let base = [file("raw-services.json"), file("nodes.json")];
    let with_base = |name: &str| view(&[&base[0], &base[1], &file(name)]);
    for name in ["raw-slices.json", "watch.json", "watch.yaml", "events.json", "events.yaml"] {
        shows_all(name, &with_base(name));
    }
    // Endpoints, where there are no slices.
    let run = with_base("raw-endpoints.json");
    assert!(run.out.contains(WEB), "{}{}", run.err, run.out);
    let each =
        ["services", "nodes", "nodepools", "slices"].map(|kind| file(&format!("raw-{kind}.json")));
    shows_all("--raw", &view(&each.each_ref().map(|path| &**path)));
    // One file for each namespace, as kubectl's `List` and as the API server's list.
    let split = ["nodes.json", "pay.json", "web.yaml"].map(file);
    shows_all("a file for each namespace", &view(&split.each_ref().map(|path| &**path)));
    let split = [
        "raw-services-pay.json",
        "raw-services-web.json",
        "raw-services-default.json",
        "nodes.json",
        "raw-slices.json",
    ]
    .map(file);
    shows_all("--raw for each namespace", &view(&split.each_ref().map(|path| &**path)));
}

#[test]
fn the_single_event_of_a_watch_is_read() {
    let file = |name: &str| data(&format!("kubectl/{name}"));
    let run =
        view(&[&file("raw-services.json"), &file("nodes.json"), &file("event.json"), "pay/web"]);
    assert!(run.out.contains(WEB), "{}{}", run.err, run.out);
}

#[test]
fn output_without_objects_is_named() {
    for (name, parts) in [
        ("wide.txt", &["a table as `kubectl get` prints it", "-o json"][..]),
        ("custom-columns.txt", &["a table as `kubectl get` prints it", "-o json"]),
        ("name.txt", &["endpointslice.discovery.k8s.io/", "-o json"]),
        ("go-template.txt", &["front-a", "-o json"]),
        ("describe.txt", &["add `-o json`"]),
        ("error.txt", &["the server doesn't have a resource type", "-o json"]),
        ("jsonpath-as-json.json", &["JSON array"]),
        ("table.json", &["Table", "kubectl get --raw"]),
    ] {
        let path = data(&format!("kubectl/{name}"));
        fails(name, &view(&[&path]), &[&[&*path], parts].concat());
    }
}

#[test]
fn dumps_are_searched_recursively() {
    let pools = data("kubectl/raw-nodepools.json");
    shows_all("must-gather", &view(&[&data("must-gather")]));
    let run = view(&[&data("sysdump"), &pools]);
    shows_all("sysdump", &run);
    assert!(run.err.contains("of kinds that are not needed"), "{}", run.err);
    // A folder around the folder changes nothing.
    let (folder, _) = copied("must-gather");
    shows_all("must-gather in a folder", &view(&[folder.path().to_str().unwrap()]));

    // Cilium's own membership needs no NodePools.
    let config = folder.path().join("config.txt");
    let document = json!({"membership": {"ciliumNodeLabel": "apps.openyurt.io/nodepool"}});
    fs::write(&config, document.to_string()).unwrap();
    let config = config.to_str().unwrap();
    let run = view(&[&data("sysdump"), "--config", config]);
    assert!(run.out.contains(WEB), "{}{}", run.err, run.out);
}

#[test]
fn a_cluster_info_dump_has_no_slices_and_says_so() {
    let (dump, pools) = (data("cluster-info"), data("kubectl/raw-nodepools.json"));
    let run = view(&[&dump, &pools]);
    fails(
        "cluster-info",
        &run,
        &["the facts have no EndpointSlices", "kubectl get endpointslices -A"],
    );
    assert!(run.err.contains("of kinds that are not needed"), "{}", run.err);
    shows_all("with slices", &view(&[&dump, &pools, &data("kubectl/raw-slices.json")]));
    for verb in
        [&["explain", "--node", "ap1", "pay/web"][..], &["diff", "--node", "ap1", "--node", "bq1"]]
    {
        let run = crate::run(&[verb, &["--facts", &dump, &pools]].concat());
        fails("cluster-info", &run, &["the facts have no EndpointSlices"]);
    }
}

#[test]
fn yurthubs_cache_is_read_in_both_layouts() {
    for name in ["yurthub-cache", "yurthub-cache-old"] {
        let run = view(&[&data(name)]);
        shows_all(name, &run);
        assert!(run.err.contains("as its own filters left them"), "{name}: {}", run.err);
        assert!(
            run.err.contains("of kinds that are not needed") || name.ends_with("old"),
            "{}",
            run.err
        );
        // One component's folder, with the rest from kubectl.
        let component = data(&format!("{name}/kube-proxy"));
        let nodes = data("kubectl/nodes.json");
        shows_all(name, &view(&[&component, &nodes]));
        fails(name, &view(&[&component]), &["no Node was read yet", "no NodePool"]);
    }
    // All files by their names.
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::from(data("yurthub-cache"))];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let into = if path.is_dir() { &mut folders } else { &mut files };
            into.push(path);
        }
    }
    let files: Vec<&str> = files.iter().map(|path| path.to_str().unwrap()).collect();
    shows_all("by name", &view(&files));
    // The slices of one namespace alone.
    let slices = data("yurthub-cache/kube-proxy/endpointslices.v1.discovery.k8s.io/pay");
    let base = [data("kubectl/raw-services.json"), data("kubectl/nodes.json")];
    let run = view(&[&base[0], &base[1], &slices]);
    assert!(run.out.contains(WEB) && !run.out.contains("web/front"), "{}", run.out);
    assert!(run.err.contains("not shown: the facts have no EndpointSlices of"), "{}", run.err);
    assert!(run.err.contains("web/front"), "{}", run.err);
    let run = view(&[&base[0], &base[1], &slices, "web/front"]);
    fails("web/front", &run, &["no EndpointSlices of web/front"]);
    // One slice by its name.
    let slice = format!("{slices}/web-a");
    let run = view(&[&base[0], &base[1], &slice]);
    assert!(run.out.contains(WEB) && !run.out.contains("web/front"), "{}", run.out);
}

#[test]
fn the_only_node_of_a_cache_is_not_all_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.json");
    let document = json!({"membership": {"nodeLabel": "apps.openyurt.io/nodepool"}});
    fs::write(&config, document.to_string()).unwrap();
    let config = config.to_str().unwrap();
    let run = view(&[&data("yurthub-cache"), "--config", config]);
    fails("nodeLabel", &run, &["no Node was read yet"]);
    let run = view(&[&data("must-gather"), "--config", config]);
    assert!(run.out.contains(WEB), "{}{}", run.err, run.out);
}

#[test]
fn lists_that_two_folders_have_are_named() {
    let parents = [copied("kubectl"), copied("kubectl")];
    let [first, last] = parents.each_ref().map(|(_, path)| path.to_str().unwrap());
    let line = |run: &Run| {
        let mut lines = run.err.lines().filter(|line| line.starts_with("read twice: "));
        (lines.next().map(str::to_owned), lines.count())
    };
    let (text, more) = line(&view(&[first, last]));
    let text = text.expect("a line about both folders");
    assert!(text.contains(&format!("from {last} after {first}")) && more == 0, "{text}");
    // One folder, read again, is the same moment; so are files that are named.
    assert_eq!(line(&view(&[first, first])), (None, 0));
    let nodes = data("kubectl/nodes.json");
    assert_eq!(line(&view(&[first, &nodes])), (None, 0));
}

#[test]
fn an_interrupted_write_of_yurthub_is_restored() {
    let (_folder, cache) = copied("yurthub-cache");
    let slices = cache.join("kube-proxy/endpointslices.v1.discovery.k8s.io");
    // yurthub renames what it replaces, and deletes it after the new state is written.
    fs::rename(slices.join("pay/web-a"), slices.join("pay/tmp_web-a")).unwrap();
    fs::write(slices.join("pay/web-a"), "{\"apiVersion\": \"disc").unwrap();
    let path = cache.to_str().unwrap();
    let run = view(&[path]);
    shows_all("a file", &run);
    assert!(run.err.contains("1 unfinished copies"), "{}", run.err);
    fs::rename(&slices, slices.with_file_name("tmp_endpointslices.v1.discovery.k8s.io")).unwrap();
    fs::create_dir_all(slices.join("web")).unwrap();
    shows_all("a folder", &view(&[path]));
}

#[test]
fn the_latest_state_of_a_cached_object_counts() {
    let (_folder, cache) = copied("yurthub-cache");
    let proxy = cache.join("kube-proxy/endpointslices.v1.discovery.k8s.io/pay/web-a");
    let dns = cache.join("coredns/endpointslices.v1.discovery.k8s.io/pay/web-a");
    fs::create_dir_all(dns.parent().unwrap()).unwrap();
    let mut slice: Value = serde_json::from_slice(&fs::read(&proxy).unwrap()).unwrap();
    let path = cache.to_str().unwrap();
    for (version, expected) in [("1", WEB), ("99999999", "pay/web (pool): 0 of 1 endpoints")] {
        slice["metadata"]["resourceVersion"] = version.into();
        slice["endpoints"] = json!([{"addresses": ["10.8.1.2"], "nodeName": "bq1"}]);
        fs::write(&dns, slice.to_string()).unwrap();
        let run = view(&[path]);
        assert!(run.out.contains(expected), "{version}: {}", run.out);
    }
}

#[test]
fn the_first_page_of_a_list_is_not_the_list() {
    let file = |name: &str| data(&format!("kubectl/{name}"));
    let page = file("raw-page1.json");
    let base = [file("raw-services.json"), file("nodes.json")];
    let folder = tempfile::tempdir().unwrap();
    for path in base.iter().chain([&page]) {
        fs::copy(path, folder.path().join(Path::new(path).file_name().unwrap())).unwrap();
    }
    let folder = folder.path().to_str().unwrap();
    let sources = [vec!["--facts", &base[0], &base[1], &page], vec!["--facts", folder]];
    for source in sources {
        for verb in [
            &["view", "--node", "ap1"][..],
            &["explain", "--node", "ap1", "pay/web"],
            &["diff", "--node", "ap1", "--node", "bq1"],
        ] {
            let run = run(&[verb, &source].concat());
            let parts =
                ["no EndpointSlices", "raw-page1.json has a page of the list", "more objects"];
            fails(verb[0], &run, &parts);
        }
    }
    // A page of Services is not their list either.
    let mut services: Value = serde_json::from_slice(&fs::read(&base[0]).unwrap()).unwrap();
    services["metadata"]["continue"] = "abc".into();
    let first = tempfile::NamedTempFile::new().unwrap();
    fs::write(first.path(), services.to_string()).unwrap();
    let run = view(&[first.path().to_str().unwrap(), &base[1], &file("raw-slices.json")]);
    fails("services", &run, &["no Service was read yet", "a page of the list, and more follow"]);
}

/// Writes a recording.
fn record(folder: &Path, name: &str, target: &str, status: u16, body: &Value) {
    fs::write(folder.join(format!("{name}.json")), body.to_string()).unwrap();
    let meta = json!({"method": "GET", "path": target, "status": status,
        "responseHeaders": {"Content-Type": ["application/json"]}});
    fs::write(folder.join(format!("{name}.meta.json")), meta.to_string()).unwrap();
}

#[test]
fn recorded_pages_are_a_list_once_the_last_one_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let page = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(data(&format!("kubectl/raw-{name}.json"))).unwrap())
            .unwrap()
    };
    let (first, second) = (page("page1"), page("page2"));
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    let target = "/apis/discovery.k8s.io/v1/endpointslices?limit=1";
    record(folder.path(), "p1", target, 200, &first);
    record(folder.path(), "p2", &format!("{target}&continue={token}"), 200, &second);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let base = [data("kubectl/raw-services.json"), data("kubectl/nodes.json")];
    let (p1, p2) = (path("p1.json"), path("p2.json"));
    shows_all("both", &view(&[&base[0], &base[1], &p1, &p2]));
    let run = view(&[&base[0], &base[1], &p1]);
    fails("the first", &run, &["no EndpointSlices", "the last page of a list is missing"]);
    let run = view(&[&base[0], &base[1], &p2]);
    fails("the last", &run, &["no EndpointSlices", "p2.json is a page of a list"]);
}

#[test]
fn an_error_of_the_api_server_is_shown() {
    let message = "endpointslices.discovery.k8s.io is forbidden: User \"eve\" cannot list";
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
        "message": message, "reason": "Forbidden", "code": 403});
    let folder = tempfile::tempdir().unwrap();
    record(folder.path(), "slices", "/apis/discovery.k8s.io/v1/endpointslices", 403, &status);
    let base = [data("kubectl/raw-services.json"), data("kubectl/nodes.json")];
    let file = folder.path().join("slices.json").to_str().unwrap().to_owned();
    for path in [folder.path().to_str().unwrap(), &file] {
        let run = view(&[&base[0], &base[1], path]);
        fails(path, &run, &["no EndpointSlices", "(403)", message]);
        assert!(run.err.contains(&format!("not read: {file}")), "{}", run.err);
    }
    let run = view(&[&data("kubectl/unauthorized.json")]);
    fails("unauthorized", &run, &["the API server's error: Unauthorized"]);
    // Among other documents.
    let mut lines = fs::read_to_string(data("kubectl/raw-services.json")).unwrap();
    lines += &status.to_string();
    fs::write(&file, lines).unwrap();
    fs::remove_file(folder.path().join("slices.meta.json")).unwrap();
    fails("documents", &view(&[&file]), &[message]);
}

#[test]
fn the_slices_of_one_namespace_do_not_answer_for_others() {
    let file = |name: &str| data(&format!("kubectl/{name}"));
    let slices: Value =
        serde_json::from_slice(&fs::read(file("raw-slices.json")).unwrap()).unwrap();
    let mut pay = slices.clone();
    let is_pay = |item: &&Value| item["metadata"]["namespace"] == "pay";
    pay["items"] = slices["items"].as_array().unwrap().iter().filter(is_pay).cloned().collect();
    let folder = tempfile::tempdir().unwrap();
    let printed = folder.path().join("printed.json");
    fs::write(&printed, pay.to_string()).unwrap();
    record(
        folder.path(),
        "recorded",
        "/apis/discovery.k8s.io/v1/namespaces/pay/endpointslices",
        200,
        &pay,
    );
    let recorded = folder.path().join("recorded.json");
    for path in [&printed, &recorded] {
        let path = path.to_str().unwrap();
        let run = view(&[&file("raw-services.json"), &file("nodes.json"), path]);
        assert!(run.out.contains(WEB) && !run.out.contains("front"), "{path}: {}", run.out);
        assert!(run.err.contains("not shown: ") && run.err.contains("web/front"), "{}", run.err);
        let args = ["diff", "--node", "ap1", "--node", "bq1", "--facts"];
        let run = crate::run(
            &[&args[..], &[&*file("raw-services.json"), &*file("nodes.json"), path]].concat(),
        );
        assert!(run.out.contains("1 Services differ, 0 are alike"), "{path}: {}", run.out);
        assert_eq!(run.err.matches("not shown: ").count(), 1, "{}", run.err);
    }
}

#[test]
fn objects_of_other_kinds_are_counted() {
    let run = view(&[&data("kubectl/more.json")]);
    assert!(run.err.contains("not needed: 1 Pod"), "{}", run.err);
    let run = view(&[&data("must-gather")]);
    assert!(run.err.contains("3 of kinds that are not needed"), "{}", run.err);
}

#[test]
fn logs_links_archives_and_locked_files_do_no_harm() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let (folder, dump) = copied("sysdump");
    fs::copy(data("kubectl/raw-nodepools.json"), dump.join("nodepools.json")).unwrap();
    // A hundred GB that take no place on the disk: a reader of it would not end.
    let log = fs::File::create(dump.join("logs-cilium-abc.log")).unwrap();
    log.set_len(100 << 30).unwrap();
    let huge = fs::File::create(dump.join("hubble-flows.json")).unwrap();
    huge.set_len(100 << 30).unwrap();
    symlink("..", dump.join("circle")).unwrap();
    symlink(&dump, folder.path().join("same")).unwrap();
    symlink("nowhere", dump.join("broken.yaml")).unwrap();
    fs::write(dump.join("cilium-bugtool-20261130.tar.gz"), "x").unwrap();
    fs::write(dump.join("helm-values.yaml"), "cni:\n  chained: true\n").unwrap();
    fs::write(dump.join("flows.json"), "{\"flow\": {\"verdict\": \"FORWARDED\"}}\n").unwrap();
    let locked = dump.join("locked.yaml");
    fs::write(&locked, "kind: List\n").unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o0)).unwrap();
    let run = view(&[folder.path().to_str().unwrap()]);
    shows_all("a dump", &run);
    for part in [
        "2 without a kind",
        "1 archives (unpack them)",
        "broken links",
        "not read: ",
        "hubble-flows.json: 107374182400 bytes",
    ] {
        assert!(run.err.contains(part), "no {part}: {}", run.err);
    }
    // root reads it all the same.
    assert!(fs::read(&locked).is_ok() || run.err.contains("locked.yaml"), "{}", run.err);
}

#[test]
fn archives_are_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let tar = format!("{:257}ustar  \0", "must-gather/");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, tar.as_bytes()).unwrap();
    for (name, bytes, part) in [
        ("cilium-sysdump-20261130-153800.zip", b"PK\x03\x04rest".to_vec(), "unzip FILE -d FOLDER"),
        ("must-gather.tar", tar.clone().into_bytes(), "tar -xf FILE -C FOLDER"),
        ("must-gather.tar.gz", packed.finish().unwrap(), "tar -xf FILE -C FOLDER"),
        ("all.json.xz", b"\xfd7zXZ\0rest".to_vec(), "unxz"),
        ("all.json.zst", b"\x28\xb5\x2f\xfdrest".to_vec(), "unzstd"),
        ("all.json.bz2", b"BZh9rest".to_vec(), "bunzip2"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let path = path.to_str().unwrap();
        fails(name, &view(&[path]), &[path, part]);
    }
}

#[test]
fn dumps_may_be_packed_file_by_file() {
    let (_folder, dump) = copied("must-gather");
    let path = dump.join("namespaces/pay/discovery.k8s.io/endpointslices.yaml");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, &fs::read(&path).unwrap()).unwrap();
    fs::write(path.with_extension("yaml.gz"), packed.finish().unwrap()).unwrap();
    fs::remove_file(path).unwrap();
    shows_all("packed", &view(&[dump.to_str().unwrap()]));
}

#[test]
fn a_bucket_without_its_pools_label_is_in_no_pool() {
    let bucket = |name: &str, labels: Value, nodes: &[&str]| {
        let nodes: Vec<Value> = nodes.iter().map(|name| json!({"name": name})).collect();
        json!({"apiVersion": "apps.openyurt.io/v1alpha1", "kind": "NodeBucket",
            "metadata": {"name": name, "labels": labels}, "nodes": nodes})
    };
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: Value| {
        let path = folder.path().join(name);
        fs::write(&path, text.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let config = write("config.json", json!({"membership": "nodeBucket"}));
    let file = |name: &str| data(&format!("kubectl/{name}"));
    for labels in [json!({}), json!(null), json!({"openyurt.io/pool-name": ""})] {
        let label = json!({"openyurt.io/pool-name": "harbor"});
        let items = [bucket("a", label, &["ap1"]), bucket("b", labels, &["ap1", "bq1"])];
        let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items});
        let buckets = write("buckets.json", list);
        let args =
            ["explain", "--node", "ap1", "--config", &config, "-o", "json", "pay/web", "--facts"];
        let facts = ["raw-services.json", "nodes.json", "raw-slices.json"].map(file);
        let facts = [&*facts[0], &facts[1], &facts[2], &buckets];
        let run = run(&[&args[..], &facts[..]].concat());
        assert_eq!(run.code, 0, "{}", run.err);
        let json: Value = serde_json::from_str(&run.out).unwrap();
        let endpoints = json["services"][0]["endpoints"].as_array().unwrap();
        assert_eq!(endpoints[0]["pools"], json!(["harbor"]));
        assert_eq!((&endpoints[1]["pools"], &endpoints[1]["rule"]), (&json!([]), &json!("O7")));
    }
}
