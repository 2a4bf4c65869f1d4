//! No token appears in a log, an error or a page, at any level of the log.

#[path = "operations/scene.rs"]
#[allow(dead_code)]
mod scene;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use poolscope_proxy::credentials::OwnCredentials;
use scene::{SLICES, Scene, read_head};
use tracing_subscriber::fmt::MakeWriter;

/// The log of all threads.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_token_is_logged_or_shown() {
    let log = Log::default();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .init();
    let scene = Scene::with(None, |api, folder, server| {
        std::fs::write(folder.join("token"), "marker-own").unwrap();
        std::fs::copy(api.join("ca.crt"), folder.join("ca.crt")).unwrap();
        format!("--server {server} --token-file DIR/token --ca-file DIR/ca.crt")
    })
    .await;
    scene.ready().await;
    let mut shown = String::new();
    for target in [SLICES, "/api/v1/nothing", "/api/v1//services", "/api/v1/services"] {
        shown += &scene.get(target, "marker-client").await;
    }
    let mut watch = scene.open(&format!("{SLICES}?watch=1"), "marker-watch").await;
    shown += &read_head(&mut watch).await;
    let caller = "authorization: Bearer marker-caller\r\n";
    for target in ["/debug/view?service=shop/cart", "/debug/explain?service=shop/no", "/debug/view"]
    {
        shown += &scene.health(target, caller).await;
    }
    // A right that is missing is one line at level WARN, however often the request is repeated.
    let forbidden = |start: &str| {
        let is_it = |line: &&str| line.contains("grant the account") && line.contains(start);
        log.text().lines().filter(is_it).count()
    };
    *scene.api.facts_status.lock().unwrap() = Some(403);
    scene.rename_over("config.json", r#"{"membership": "off", "suppressUnchanged": false}"#);
    let reloaded = scene.proxy.ask_to_reload().expect("no reload runs");
    while forbidden("") < 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    *scene.api.facts_status.lock().unwrap() = None;
    reloaded.await.expect("a reply");
    assert_eq!(forbidden(" WARN "), 1);
    // A token that cannot be used, and a CA that cannot.
    scene.rename_over("token", "marker-own two words");
    scene.rename_over("ca.crt", "-----BEGIN CERTIFICATE-----\nmarker-ca\n");
    scene.proxy.reload().await;
    shown += &scene.health("/readyz", caller).await;
    shown += &scene.health("/metrics", caller).await;
    let credentials = OwnCredentials::new(scene.path("token"), scene.path("ca.crt"));
    shown += &format!("{:?} {:?} {credentials:?}", credentials.token(), credentials.ca());
    assert!(
        scene
            .api
            .seen(|seen| seen.target.contains("watch=1"))
            .iter()
            .all(|seen| { seen.authorization.as_deref() == Some("Bearer marker-watch") })
    );
    drop(watch);
    scene.proxy.stop().await;

    assert!(!shown.contains("marker"), "{shown}");
    let log = log.text();
    assert!(log.contains("TRACE") && log.contains("DEBUG poolscope_proxy"), "{}", log.len());
    let line = log.lines().find(|line| line.contains("a rewritten response ended"));
    let line = line.expect("a line for a rewritten response");
    for field in ["client=agent", "resource=endpointslices", "verb=\"list\"", "code=200", "ms="] {
        assert!(line.contains(field), "no {field} in {line}");
    }
    let leak = log.lines().find(|line| line.contains("marker"));
    assert_eq!(leak, None);
}
