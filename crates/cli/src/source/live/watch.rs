//! Waits until something of the listed kinds changes.

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use tokio::task::JoinSet;

use super::connection::Live;
use super::lists::{Kind, Lists};

/// The longest silence of a watch: the API server sends a bookmark about every minute.
const SILENCE: Duration = Duration::from_secs(150);
/// The pause before a watch that broke is replaced.
const PAUSE: Duration = Duration::from_secs(1);

impl Kind {
    /// Returns how long further changes are awaited after the first one. Kubelets write to their
    /// Nodes all the time.
    fn settling(self) -> Duration {
        match self {
            Kind::Nodes | Kind::CiliumNodes => Duration::from_secs(5),
            _ => Duration::from_millis(500),
        }
    }
}

impl Live {
    /// Waits for a change after the lists, and returns the kinds to list again. A watch that ends
    /// counts as a change, because events may have been missed.
    pub(crate) fn changed_kinds(&self, lists: &Lists) -> Vec<Kind> {
        self.block_on(async {
            let mut tasks = JoinSet::new();
            for (kind, target, version) in lists.versions() {
                let (path, query) = target.split_once('?').unwrap_or((target, ""));
                let selector = query
                    .split('&')
                    .find(|part| part.starts_with("fieldSelector="))
                    .map(|selector| format!("&{selector}"))
                    .unwrap_or_default();
                let target = format!(
                    "{path}?watch=true&allowWatchBookmarks=true&resourceVersion={version}{selector}"
                );
                let client = self.client.clone();
                tasks.spawn(async move {
                    let settling = match watch(&client, &target).await {
                        Some(()) => kind.settling(),
                        None => PAUSE,
                    };
                    tokio::time::sleep(settling).await;
                    kind
                });
            }
            let mut changed = Vec::new();
            // A kind has a task, and no task panics or is aborted before the set is dropped.
            changed.extend(tasks.join_next().await.and_then(Result::ok));
            while let Some(Ok(kind)) = tasks.try_join_next() {
                changed.push(kind);
            }
            changed
        })
    }
}

/// Waits for the first event that is not a bookmark; `None`: the watch failed or ended.
async fn watch(client: &Client, target: &str) -> Option<()> {
    let request = Request::get(target)
        .header(
            "Accept",
            "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json",
        )
        .body(Body::empty())
        .ok()?;
    let response = client.send(request).await.ok()?;
    if response.status() != 200 {
        return None;
    }
    let mut body = response.into_body();
    let mut line = Vec::new();
    loop {
        let frame = tokio::time::timeout(SILENCE, body.frame()).await.ok()??.ok()?;
        let Ok(data) = frame.into_data() else { continue };
        for byte in data {
            if byte != b'\n' {
                line.push(byte);
                continue;
            }
            if !line.starts_with(br#"{"type":"BOOKMARK""#) {
                return Some(());
            }
            line.clear();
        }
    }
}
