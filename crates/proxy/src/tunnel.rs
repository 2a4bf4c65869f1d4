//! Upgraded connections: exec, attach and port-forward.

use std::sync::Arc;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::response::Stopping;

/// How many tunnels may be open.
pub const MAX_TUNNELS: usize = 256;
/// How long tunnels go on after the proxy began to stop.
const GRACE: Duration = Duration::from_secs(5);

/// The open tunnels, and their limit.
#[derive(Clone)]
pub struct Tunnels {
    free: Arc<Semaphore>,
    limit: usize,
    stopping: Stopping,
}

/// The place of a tunnel, held until it is closed.
pub struct TunnelPermit(OwnedSemaphorePermit);

impl Tunnels {
    /// Permits `limit` tunnels at a time, until a while after `stopping`.
    pub fn new(limit: usize, stopping: Stopping) -> Tunnels {
        Tunnels { free: Arc::new(Semaphore::new(limit)), limit, stopping }
    }

    /// Returns how many tunnels are open or being opened.
    pub fn open(&self) -> usize {
        self.limit - self.free.available_permits()
    }

    /// Takes the place of a tunnel, if one is free and the proxy does not stop.
    pub fn reserve(&self) -> Option<TunnelPermit> {
        let is_stopping = *self.stopping.borrow();
        let permit = self.free.clone().try_acquire_owned().ok();
        permit.filter(|_| !is_stopping).map(TunnelPermit)
    }

    /// Copies bytes both ways in a task of its own, until both directions have ended, one has
    /// broken, or the proxy has been stopping for five seconds. A direction that ends closes its
    /// half alone.
    pub fn run(&self, permit: TunnelPermit, client: OnUpgrade, server: OnUpgrade) {
        let mut stopping = self.stopping.clone();
        tokio::spawn(async move {
            let _place = permit.0;
            let copying = async {
                let (Ok(client), Ok(server)) = tokio::join!(client, server) else { return };
                let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
                match tokio::io::copy_bidirectional(&mut client, &mut server).await {
                    Ok((sent, received)) => tracing::debug!(sent, received, "a tunnel closed"),
                    Err(error) => tracing::debug!(%error, "a tunnel broke"),
                }
            };
            let stopped = async {
                let _ = stopping.wait_for(|stopping| *stopping).await;
                tokio::time::sleep(GRACE).await;
            };
            tokio::select! {
                () = copying => {}
                () = stopped => tracing::info!("a tunnel was closed: the proxy stops"),
            }
        });
    }

    /// Waits until no tunnel is open.
    pub async fn ended(&self) {
        // The limit fits a `u32`, or there would be no such semaphore on this machine.
        let all = u32::try_from(self.limit).unwrap_or(u32::MAX);
        let _ = self.free.acquire_many(all).await;
    }
}
