//! The state of the process at the moment of a scrape.

use std::collections::BTreeMap;
use std::fmt::Error;
use std::time::{SystemTime, UNIX_EPOCH};

use poolscope::Counters;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::upstream::ServerSnapshot;

/// The connections of one pool.
#[derive(Debug, Clone)]
pub struct PoolState {
    /// `clients` or `own`.
    pub name: &'static str,
    /// Its servers.
    pub servers: Vec<ServerSnapshot>,
}

/// Values that others hold, for one scrape.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// The pools of connections to the API servers.
    pub pools: Vec<PoolState>,
    /// The counters of the configuration in use.
    pub counters: Counters,
    /// Raised by fact changes.
    pub generation: u64,
    /// Kinds of facts that are missing.
    pub missing: usize,
    /// `true` if `/readyz` returns 200.
    pub is_ready: bool,
    /// When certificates expire, by name.
    pub expiries: Vec<(&'static str, SystemTime)>,
}

impl State {
    /// Returns each server with 0 if its probes fail, else 1. Servers are probed for the clients'
    /// connections alone.
    fn servers_up(&self) -> BTreeMap<String, i64> {
        let mut up = BTreeMap::new();
        let all = self.pools.iter().flat_map(|pool| &pool.servers);
        for snapshot in all.filter(|snapshot| snapshot.is_listed) {
            let up = up.entry(snapshot.server.to_string()).or_insert(1);
            *up = i64::from(*up == 1 && !snapshot.is_down);
        }
        up
    }
}

/// Writes one metric with a gauge for each set of labels.
fn gauges<const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = ([(&'static str, String); N], i64)>,
) -> Result<(), Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

impl Collector for State {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let encoder = &mut encoder;
        let each = |count: fn(&ServerSnapshot) -> usize| {
            let labels = |pool: &PoolState, server: &ServerSnapshot| {
                [("pool", pool.name.to_owned()), ("server", server.server.to_string())]
            };
            self.pools.iter().flat_map(move |pool| {
                pool.servers.iter().map(move |server| (labels(pool, server), count(server) as i64))
            })
        };
        gauges(
            encoder,
            "upstream_streams",
            "Open requests to the API server.",
            each(|server| server.open_streams),
        )?;
        gauges(
            encoder,
            "upstream_connections",
            "Open connections to the API server.",
            each(|server| server.connections + server.draining),
        )?;
        gauges(
            encoder,
            "upstream_up",
            "0 if the probes of the API server fail, else 1.",
            self.servers_up().into_iter().map(|(server, up)| ([("server", server)], up)),
        )?;
        let seconds = |at: &SystemTime| {
            at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
        };
        gauges(
            encoder,
            "tls_expiry_seconds",
            "Unix time at which a certificate expires.",
            self.expiries
                .iter()
                .map(|(name, at)| ([("certificate", (*name).to_owned())], seconds(at))),
        )?;
        for (name, help, value) in [
            ("ready", "1 if the proxy is ready.", i64::from(self.is_ready)),
            ("facts_missing", "Kinds of facts that are missing.", self.missing as i64),
            ("facts_generation", "Number that fact changes raise.", self.generation as i64),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)?;
        }
        let help = "Objects, endpoints and events by what the rewrites did.";
        let mut metric = encoder.encode_descriptor("events", help, None, MetricType::Counter)?;
        for (verdict, count) in self.counters.iter() {
            ConstCounter::new(count).encode(metric.encode_family(&[("verdict", verdict)])?)?;
        }
        Ok(())
    }
}
