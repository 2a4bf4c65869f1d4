//! The command `poolscope-proxy`.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use poolscope_proxy::BoxError;
use poolscope_proxy::check::check;
use poolscope_proxy::options::{LogFormat, Options};
use poolscope_proxy::run::Running;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Watches come and go, and leave glibc's arenas half empty: they kept twice the bytes in use. The
/// allocator of musl has one lock for all threads.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    take_small_pages();
    serve()
}

/// The allocator asks for huge pages, of which most bytes stay unused: an idle proxy took half as
/// much memory again, and lists took more CPU. A kernel that refuses costs that much, so its error
/// is ignored.
fn take_small_pages() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

#[tokio::main]
async fn serve() -> ExitCode {
    run().await.unwrap_or_else(|error| {
        eprintln!("poolscope-proxy: {error}");
        ExitCode::FAILURE
    })
}

async fn run() -> Result<ExitCode, BoxError> {
    let options = Options::parse();
    let filter = EnvFilter::builder().with_env_var("LOG").try_from_env();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new("info")))
        .with_writer(std::io::stderr);
    match options.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    if options.check {
        let findings = check(&options, std::time::SystemTime::now());
        findings.iter().for_each(|finding| println!("{finding}"));
        let is_usable = findings.iter().all(|finding| finding.is_usable());
        return Ok(if is_usable { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    // Before the start: a signal must not end a process that is about to serve.
    let signals = Signals::new()?;
    let running = Running::start(&options).await?;
    signals.until_stop(&running).await;
    running.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// The signals of the process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Reloads files at each SIGHUP. Returns after SIGTERM or SIGINT.
    async fn until_stop(mut self, running: &Running) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hang_up.recv() => {
                    tracing::info!("SIGHUP: comparing files");
                    let _ = running.ask_to_reload();
                }
            }
        }
    }
}
