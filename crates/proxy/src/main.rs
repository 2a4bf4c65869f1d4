//! The command `poolscope-proxy`.

use clap::Parser;
use poolscope_proxy::BoxError;
use poolscope_proxy::options::{LogFormat, Options};
use poolscope_proxy::run::{Running, check};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
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
        check(&options)?;
        println!("the options and the configuration can be used");
        return Ok(());
    }
    let running = Running::start(&options).await?;
    stop_signal().await?;
    running.stop().await;
    Ok(())
}

/// Returns after SIGTERM or SIGINT.
async fn stop_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
