//! The operations side of a whole proxy: readiness, metrics, `/debug` and reloads.

#[path = "operations/scene.rs"]
mod scene;

use std::path::Path;

use scene::{SLICES, Scene, read_head, read_to_end};
use tokio_rustls::rustls::RootCertStore;

const OFF: &str = r#"{"membership": "off", "rewrites": {"serviceTopology": false}}"#;
const OFF_NODE_PORTS: &str = r#"{"membership": "off", "rewrites": {"nodePortIsolation": false}}"#;
const CONFIGURATION: &str = "poolscope_proxy_reload_total{what=\"configuration\",result=";

#[tokio::test]
async fn a_new_configuration_is_used_and_old_watches_end() {
    let scene = Scene::start().await;
    scene.ready().await;
    assert_eq!(scene.endpoints().await, ["10.0.0.1"]);
    let mut watch = scene.open(&format!("{SLICES}?watch=true"), "agent").await;
    assert!(read_head(&mut watch).await.starts_with("HTTP/1.1 200"));
    let open = "poolscope_proxy_watches{resource=\"endpointslices\"}";
    assert_eq!(scene.metric(open).await.as_deref(), Some("1"));

    // Another file with the old content is not a change.
    scene.rename_over("config.json", r#"{"membership": "off"}"#);
    scene.proxy.reload().await;
    assert_eq!(scene.metric(&format!("{CONFIGURATION}\"success\"}}")).await, None);

    scene.rename_over("config.json", OFF);
    scene.proxy.reload().await;
    assert_eq!(scene.endpoints().await, ["10.0.0.1", "10.0.0.2"]);
    // The last chunk: the watch ended like any other.
    assert!(read_to_end(&mut watch).await.ends_with("0\r\n\r\n"));
    while scene.metric(open).await.as_deref() != Some("0") {
        tokio::task::yield_now().await;
    }
    let count = scene.metric(&format!("{CONFIGURATION}\"success\"}}")).await;
    assert_eq!(count.as_deref(), Some("1"));
}

/// The status of a watch from the version of the list that [`Scene::endpoints`] reads.
async fn watch(scene: &Scene) -> String {
    let target = format!("{SLICES}?watch=true&resourceVersion=9");
    let head = read_head(&mut scene.open(&target, "agent").await).await;
    head.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn watches_resume_after_a_restart() {
    let scene = Scene::start().await;
    scene.ready().await;
    assert_eq!(scene.endpoints().await, ["10.0.0.1"]);
    assert_eq!(watch(&scene).await, "HTTP/1.1 200 OK");
    let scene = scene.restart(|_| {}).await;
    scene.ready().await;
    assert_eq!(watch(&scene).await, "HTTP/1.1 200 OK");
    assert!(!scene.path("state/client-states").exists(), "it would be behind the clients");
    // And once more, by the state that was restored.
    let scene = scene.restart(|_| {}).await;
    scene.ready().await;
    assert_eq!(watch(&scene).await, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn clients_list_again_where_their_state_cannot_be_trusted() {
    let damage = |folder: &Path| {
        let path = folder.join("state/client-states");
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.last_mut().unwrap();
        *last ^= 1;
        std::fs::write(&path, bytes).unwrap();
    };
    let remove = |folder: &Path| std::fs::remove_file(folder.join("state/client-states")).unwrap();
    let reconfigure =
        |folder: &Path| std::fs::write(folder.join("config.json"), OFF_NODE_PORTS).unwrap();
    let between: [&dyn Fn(&Path); 3] = [&damage, &remove, &reconfigure];
    for between in between {
        let scene = Scene::start().await;
        scene.ready().await;
        assert_eq!(scene.endpoints().await, ["10.0.0.1"]);
        let scene = scene.restart(between).await;
        scene.ready().await;
        assert_eq!(watch(&scene).await, "HTTP/1.1 410 Gone");
    }
}

#[tokio::test]
async fn a_bad_configuration_is_counted_and_the_old_one_stays() {
    let scene = Scene::start().await;
    scene.ready().await;
    scene.rename_over("config.json", "{\n\"membership\": 7}");
    scene.proxy.reload().await;
    assert_eq!(scene.endpoints().await, ["10.0.0.1"]);
    let failures = format!("{CONFIGURATION}\"failure\"}}");
    assert_eq!(scene.metric(&failures).await.as_deref(), Some("1"));
    std::fs::remove_file(scene.path("config.json")).unwrap();
    scene.proxy.reload().await;
    assert_eq!(scene.metric(&failures).await.as_deref(), Some("2"));
    assert_eq!(scene.endpoints().await, ["10.0.0.1"]);
}

#[tokio::test]
async fn a_volume_that_is_swapped_by_a_symbolic_link_is_read_again() {
    let scene = Scene::with(None, |api, folder, server| {
        for (version, token) in [("v1", "own-1"), ("v2", "own-2")] {
            std::fs::create_dir(folder.join(version)).unwrap();
            std::fs::write(folder.join(version).join("token"), token).unwrap();
            std::fs::copy(api.join("ca.crt"), folder.join(version).join("ca.crt")).unwrap();
        }
        // As the kubelet does it: the files lead through a link to the folder of a version.
        std::os::unix::fs::symlink("v1", folder.join("..data")).unwrap();
        for file in ["token", "ca.crt"] {
            std::os::unix::fs::symlink(format!("..data/{file}"), folder.join(file)).unwrap();
        }
        format!("--server {server} --token-file DIR/token --ca-file DIR/ca.crt")
    })
    .await;
    scene.ready().await;
    let old = scene.api.seen(|seen| seen.target.starts_with("/api/v1/services"));
    assert!(old.iter().all(|seen| seen.authorization.as_deref() == Some("Bearer own-1")));

    std::os::unix::fs::symlink("v2", scene.path("..new")).unwrap();
    std::fs::rename(scene.path("..new"), scene.path("..data")).unwrap();
    scene.proxy.reload().await;
    let identity = "poolscope_proxy_reload_total{what=\"identity\",result=\"success\"}";
    assert_eq!(scene.metric(identity).await.as_deref(), Some("1"));
    // A new configuration fetches its facts with the new token.
    scene.rename_over("config.json", r#"{"membership": "off", "suppressUnchanged": false}"#);
    scene.proxy.reload().await;
    let is_new = |seen: &scene::Seen| seen.authorization.as_deref() == Some("Bearer own-2");
    assert!(!scene.api.seen(is_new).is_empty());
}

#[tokio::test]
async fn a_client_certificate_is_for_own_requests_alone() {
    let mut parameters = rcgen::CertificateParams::new(["proxy".to_owned()]).unwrap();
    parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = parameters.signed_by(&key, &issuer).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();

    let scene = Scene::with(Some(roots), |api, folder, server| {
        std::fs::write(folder.join("client.crt"), certificate.pem()).unwrap();
        std::fs::write(folder.join("client.key"), key.serialize_pem()).unwrap();
        let text = format!(
            "current-context: x\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n\
             clusters:\n- name: c\n  cluster:\n    server: https://{server}\n    \
             certificate-authority: {}\n\
             users:\n- name: u\n  user:\n    client-certificate: client.crt\n    \
             client-key: client.key\n",
            api.join("ca.crt").display()
        );
        std::fs::write(folder.join("kubeconfig"), text).unwrap();
        "--kubeconfig DIR/kubeconfig".to_owned()
    })
    .await;
    scene.ready().await;
    assert_eq!(scene.endpoints().await, ["10.0.0.1"]);
    let (own, clients): (Vec<_>, Vec<_>) =
        // Probes of the clients' connections are anonymous.
        scene
            .api
            .seen(|seen| seen.target != "/readyz")
            .into_iter()
            .partition(|seen| seen.authorization.is_none());
    assert!(!own.is_empty() && own.iter().all(|seen| seen.has_certificate), "{own:?}");
    assert!(!clients.is_empty() && clients.iter().all(|seen| !seen.has_certificate));
    assert!(clients.iter().all(|seen| seen.authorization.as_deref() == Some("Bearer agent")));
    let expiry = "poolscope_proxy_tls_expiry_seconds{certificate=\"own_client_certificate\"}";
    assert!(scene.metric(expiry).await.is_some());
}

#[tokio::test]
async fn a_service_is_shown_with_the_rights_of_the_caller() {
    let scene = Scene::start().await;
    scene.ready().await;
    let target = "/debug/explain?service=shop/cart";
    let agent = "authorization: Bearer agent\r\n";
    let before = scene.api.seen(|_| true).len();
    for (target, headers, status, text) in [
        (target, "", "401", "rights of the caller"),
        (target, "authorization: Bearer stranger\r\n", "403", "stranger may not"),
        ("/debug/explain", agent, "400", "?service="),
        ("/debug/view?service=shop/../x", agent, "400", "NAMESPACE/NAME"),
        ("/debug/view?service=a/b%3Fx", agent, "400", "NAMESPACE/NAME"),
        ("/debug/view?service=shop/none", agent, "404", "nothing here"),
    ] {
        let response = scene.health(target, headers).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status}")), "{response}");
        assert!(response.contains(text), "{response}");
    }
    assert_eq!(scene.api.seen(|_| true).len(), before + 2, "only stranger and `none` were sent");

    let explained = scene.health(target, agent).await;
    assert!(explained.starts_with("HTTP/1.1 200"), "{explained}");
    for text in ["\"address\": \"10.0.0.2\"", "\"kept\": false", "only hz-1 itself counts"] {
        assert!(explained.contains(text), "no {text} in {explained}");
    }
    let view = scene.health("/debug/view?service=shop/cart", agent).await;
    assert!(view.contains("\"10.96.0.1:80/TCP\"") && view.contains("10.0.0.1"), "{view}");
    assert!(!view.contains("10.0.0.2") && view.contains("\"allEndpoints\": 2"), "{view}");

    let overview = scene.health("/debug/view", "").await;
    for text in ["\"node\": \"hz-1\"", "\"notReady\": []", "\"sha256\": \"", "\"lastError\": null"]
    {
        assert!(overview.contains(text), "no {text} in {overview}");
    }
}

#[tokio::test]
async fn readiness_names_the_missing_right_and_liveness_needs_no_cloud() {
    let scene = Scene::start().await;
    scene.ready().await;
    *scene.api.facts_status.lock().unwrap() = Some(403);
    let other = r#"{"membership": "off", "suppressUnchanged": false}"#;
    // The proxy that starts now may not read Services.
    let folder = scene.folder.path().display();
    let options = format!(
        "x --node hz-2 --listen 127.0.0.1:0 --health-listen 127.0.0.1:0 --server {} \
         --state-dir {folder}/state --client-dir {folder}/client2 --config {folder}/config.json \
         --token-file {folder}/token --ca-file {folder}/ca.crt",
        scene.server
    );
    let options = clap::Parser::try_parse_from(options.split_whitespace()).unwrap();
    let proxy = poolscope_proxy::run::Running::start(&options).await.unwrap();
    let second = Scene { proxy, ..scene };
    let reason = "grant the account the verbs list and watch on services";
    let response = loop {
        let response = second.health("/readyz", "").await;
        assert!(response.starts_with("HTTP/1.1 503"), "{response}");
        if response.contains(reason) {
            break response;
        }
        tokio::task::yield_now().await;
    };
    assert!(response.contains("no Service was read yet"), "{response}");
    assert!(second.health("/livez", "").await.starts_with("HTTP/1.1 200"));
    assert_eq!(second.metric("poolscope_proxy_ready").await.as_deref(), Some("0"));
    assert_eq!(second.metric("poolscope_proxy_facts_missing").await.as_deref(), Some("1"));

    // Nothing is served by it yet, so that a new configuration is used at once.
    second.rename_over("config.json", other);
    second.proxy.reload().await;
    let success = format!("{CONFIGURATION}\"success\"}}");
    assert_eq!(second.metric(&success).await.as_deref(), Some("1"));
    *second.api.facts_status.lock().unwrap() = None;
    second.ready().await;
}

#[tokio::test]
async fn requests_bytes_and_connections_are_measured() {
    let scene = Scene::start().await;
    scene.ready().await;
    scene.endpoints().await;
    scene.get("/api/v1/nothing", "agent").await;
    let text = scene.health("/metrics", "").await;
    assert!(text.contains("content-type: application/openmetrics-text"), "{text}");
    let label = "client=\"agent\",resource=";
    for line in [
        format!("requests_total{{{label}\"endpointslices\",verb=\"list\",code=\"200\"}} 1"),
        format!("requests_total{{{label}\"other\",verb=\"list\",code=\"404\"}} 1"),
        format!("upstream_connections{{pool=\"clients\",server=\"{}\"}} 1", scene.server),
        format!("upstream_up{{server=\"{}\"}} 1", scene.server),
        "events_total{verdict=\"endpointsDropped\"} 1".to_owned(),
        "ready 1".to_owned(),
    ] {
        let line = format!("poolscope_proxy_{line}");
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    }
    let bytes = |stage: &str| {
        let line =
            format!("poolscope_proxy_bytes_total{{direction=\"response\",stage=\"{stage}\"}}");
        let value = text.lines().find_map(|found| found.strip_prefix(&line)?.strip_prefix(' '));
        value.map(|value| value.parse::<u64>().unwrap()).unwrap_or_default()
    };
    assert!(bytes("client") > 0 && bytes("client") < bytes("upstream"), "{text}");
    let seconds = scene.metric("poolscope_proxy_rewrite_seconds_total").await.unwrap();
    assert!(seconds.parse::<f64>().unwrap() > 0.0);
}
