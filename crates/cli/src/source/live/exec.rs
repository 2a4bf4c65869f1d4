//! Programs in the containers of pods, run through the API server.

use k8s_openapi::api::core::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::{AttachParams, AttachedProcess};
use tokio::io::AsyncReadExt;

use super::connection::{Live, describe};
use super::pods::Pod;
use super::refusal::Refusal;

impl Live {
    /// Runs a program in a container, and returns its standard output.
    ///
    /// # Errors
    ///
    /// Returns the API server's answer, or what the program wrote to standard error if it failed.
    pub(crate) fn exec(
        &self,
        pod: &Pod,
        container: &str,
        command: &[&str],
    ) -> Result<Vec<u8>, Refusal> {
        let pods: Api<v1::Pod> = Api::namespaced(self.client.clone(), &pod.namespace);
        let streams =
            AttachParams::default().container(container).stdin(false).stdout(true).stderr(true);
        let whole = async {
            let process = pods.exec(&pod.name, command.iter().copied(), &streams).await;
            output(process.map_err(|error| Refusal::of_error(&error))?).await
        };
        self.block_on(async {
            let Some(limit) = self.request_timeout else { return whole.await };
            tokio::time::timeout(limit, whole).await.unwrap_or_else(|_| {
                let what = format!("{} did not end in time: --request-timeout", command[0]);
                Err(Refusal::Broken(what))
            })
        })
    }
}

/// Returns what a process writes to standard output until it ends.
async fn output(mut process: AttachedProcess) -> Result<Vec<u8>, Refusal> {
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let (Some(mut stdout), Some(mut stderr), Some(status)) =
        (process.stdout(), process.stderr(), process.take_status())
    else {
        return Err(Refusal::Broken("the process has no output".to_owned()));
    };
    tokio::try_join!(stdout.read_to_end(&mut output), stderr.read_to_end(&mut errors))
        .map_err(|error| Refusal::Broken(describe(&error)))?;
    match status.await {
        Some(Status { status: Some(status), .. }) if status == "Success" => Ok(output),
        Some(status) => {
            let errors = String::from_utf8_lossy(&errors);
            let message = status.message.unwrap_or_default();
            let text = [errors.trim(), &message].join(" ").trim().replace('\n', " ");
            Err(Refusal::Broken(text))
        }
        None => Err(Refusal::Broken("the connection ended before the program".to_owned())),
    }
}
