//! Shared by all clients: the server, the cluster, the facts that it must know, and the record of
//! what was done.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use poolscope::{Cluster, Config, Membership, MissingFactPolicy, ProtobufLists, Retention};

use super::judge::Known;
use super::object::{Encoding, Kind};
use super::rng::Rng;
use super::server::Server;

/// A fault put in on purpose, to see that the simulation finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Bytes pass as they came.
    Untouched,
    /// The events of every nth refresh are lost.
    LostRefresh(u64),
}

/// The parameters of a run.
#[derive(Debug, Clone)]
pub struct Setup {
    pub seed: u64,
    pub encoding: Encoding,
    pub retention: Retention,
    pub suppress: bool,
    pub compact: bool,
    pub bookmarks: bool,
    pub fallbacks: bool,
    /// Facts change after the start.
    pub facts_change: bool,
    /// The kind that the clients read: slices, or Services, some of which they must not see.
    pub subject: Kind,
    /// Services pass through a client's stream instead of a feed.
    pub services_pass: bool,
    /// Slices of unknown Services, of none, and of Services that ask for a pool which is not
    /// described are hidden.
    pub hides: [bool; 3],
    /// Pools are switched off.
    pub off: bool,
    /// Services of one namespace are followed by a second stream, at its own pace.
    pub narrow: bool,
    /// Each Node is followed by its name, and no stream has all of them; or some are, beside the
    /// stream that has all.
    pub by_name: ByName,
    /// The library fetches the facts itself, except the Nodes of other nodes.
    pub syncs: bool,
    /// Client states are saved now and then, and a new process restores those that still hold.
    pub saves: bool,
    /// Bytes of originals that a client state may keep, if they are few.
    pub client_state_bytes: Option<usize>,
    /// How many of 1000 steps break a connection: 1 to 40.
    pub cuts: usize,
    pub steps: usize,
    pub window: usize,
    pub fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByName {
    None,
    Some,
    All,
}

pub const RETENTIONS: [Retention; 3] = [Retention::Full, Retention::Topology, Retention::None];
pub const ENCODINGS: [Encoding; 2] = [Encoding::Json, Encoding::Protobuf];

impl Setup {
    /// Six seeds in a row have every retention in every encoding.
    pub fn of(seed: u64) -> Setup {
        let mut rng = Rng::new(seed ^ 0x5eed);
        let narrow = rng.one_in(2);
        let subject = if seed / 6 % 3 == 2 { Kind::Service } else { Kind::Slice };
        let setup = Setup {
            subject,
            seed,
            encoding: ENCODINGS[(seed / 3 % 2) as usize],
            retention: RETENTIONS[(seed % 3) as usize],
            suppress: !rng.one_in(3),
            compact: rng.one_in(2),
            bookmarks: !rng.one_in(4),
            fallbacks: rng.one_in(2),
            facts_change: !rng.one_in(10),
            // Where Services are hidden from the one who asks, they do not pass as they came.
            services_pass: rng.one_in(4) && subject == Kind::Slice,
            // A deleted Service that a slow stream repeats matters if unknown ones are
            // hidden.
            hides: [rng.one_in(if narrow { 2 } else { 4 }), rng.one_in(4), rng.one_in(4)],
            off: rng.one_in(10),
            narrow,
            by_name: *rng.of(&[ByName::None, ByName::Some, ByName::All]),
            client_state_bytes: rng.one_in(10).then(|| rng.between(500, 8000)),
            cuts: *rng.of(&[1, 5, 15, 40]),
            steps: rng.between(300, 3000),
            window: *rng.of(&[10, 30, 100, 300]),
            syncs: false,
            saves: false,
            fault: Fault::None,
        };
        // Without pools the library would not fetch what the model follows.
        let syncs = rng.one_in(3) && !setup.off;
        let by_name = if syncs { ByName::All } else { setup.by_name };
        Setup { syncs, by_name, saves: rng.one_in(2), ..setup }
    }

    pub fn config(&self) -> Config {
        let mut config = Config::openyurt();
        config.set_topology_fallback(self.fallbacks);
        let doubt =
            |hides: bool| if hides { MissingFactPolicy::Empty } else { MissingFactPolicy::Pass };
        config.on_missing_fact_mut().unknown_service = doubt(self.hides[0]);
        config.on_missing_fact_mut().no_service = doubt(self.hides[1]);
        config.on_missing_fact_mut().unknown_pool = doubt(self.hides[2]);
        if self.off {
            config.set_membership(Membership::Off);
        }
        config
            .set_node_port_isolation(!self.services_pass)
            .set_discard_cloud_service(!self.services_pass);
        config.set_retention(self.retention);
        config.set_suppress_unchanged(self.suppress);
        if let Some(bytes) = self.client_state_bytes {
            config.limits_mut().client_state_bytes = bytes;
        }
        if self.compact {
            config.set_protobuf_lists(ProtobufLists::Compact);
        }
        config
    }
}

/// Counts of what was done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stats {
    /// Events of watches that were pushed into streams.
    pub pushed: u64,
    /// Events of watches that streams gave out.
    pub sent: u64,
    /// Those emitted by `refresh` and `provide_list`.
    pub refreshed: u64,
    /// Watches that were not continued, or ended, for want of what a fact change needs.
    pub expired: u64,
    pub reconnects: u64,
    pub relists: u64,
    /// How often the mirror of a stream was compared, and the store of a client.
    pub compared: u64,
    pub settled: u64,
    /// Refreshes that said something.
    refreshes: u64,
    /// Client states that a new process restored.
    pub restored: u64,
}

impl Stats {
    pub fn add(&mut self, other: &Stats) {
        let Stats {
            pushed,
            sent,
            refreshed,
            expired,
            reconnects,
            relists,
            compared,
            settled,
            refreshes,
            restored,
        } = other;
        for (sum, more) in [
            (&mut self.pushed, pushed),
            (&mut self.sent, sent),
            (&mut self.refreshed, refreshed),
            (&mut self.expired, expired),
            (&mut self.reconnects, reconnects),
            (&mut self.relists, relists),
            (&mut self.compared, compared),
            (&mut self.settled, settled),
            (&mut self.refreshes, refreshes),
            (&mut self.restored, restored),
        ] {
            *sum += more;
        }
    }
}

/// The last things that happened, for messages.
#[derive(Debug, Default)]
pub struct Trace {
    lines: VecDeque<String>,
    /// Every line is printed as it comes.
    is_loud: bool,
}

impl Trace {
    pub fn note(&mut self, line: String) {
        if self.is_loud {
            println!("{line}");
        }
        if self.lines.len() == 40 {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    pub fn text(&self) -> String {
        self.lines.iter().map(|line| format!("  {line}\n")).collect()
    }
}

/// The client states that a process has saved.
struct Save {
    client_states: Vec<u8>,
    progress: BTreeMap<(String, Option<String>), u64>,
    /// Facts have changed since, so that clients may hold something else.
    has_changed: Arc<AtomicBool>,
}

pub struct Scene {
    pub setup: Setup,
    pub server: Server,
    pub cluster: Cluster,
    pub known: Known,
    /// The known facts over time, the present included.
    pub past: Vec<Rc<Known>>,
    /// Per node and namespace: how far the API server's word has come into this process.
    pub progress: BTreeMap<(String, Option<String>), u64>,
    /// The objects that its clients ever received.
    pub given: BTreeMap<(String, Option<String>), BTreeSet<String>>,
    pub stats: Stats,
    pub trace: Trace,
    pub step: usize,
    saved: Option<Save>,
    /// Set by the cluster before each change of facts.
    has_changed: Arc<AtomicBool>,
}

/// A cluster, and what it sets before each change of facts.
fn new_cluster(setup: &Setup) -> (Cluster, Arc<AtomicBool>) {
    let cluster = Cluster::new(setup.config()).expect("a valid configuration");
    let has_changed = Arc::new(AtomicBool::new(false));
    let set = has_changed.clone();
    cluster.before_change(move || set.store(true, Relaxed));
    (cluster, has_changed)
}

impl Scene {
    pub fn new(setup: Setup) -> Scene {
        let known = Known::new(&setup);
        let (cluster, has_changed) = new_cluster(&setup);
        Scene {
            server: Server::new(setup.window),
            cluster,
            saved: None,
            has_changed,
            past: vec![Rc::new(known.clone())],
            known,
            progress: BTreeMap::new(),
            given: BTreeMap::new(),
            stats: Stats::default(),
            trace: Trace {
                is_loud: std::env::var_os("POOLSCOPE_TRACE").is_some(),
                ..Trace::default()
            },
            step: 0,
            setup,
        }
    }

    pub fn note(&mut self, line: impl Into<String>) {
        let line = format!("{:>4} {}", self.step, line.into());
        self.trace.note(line);
    }

    /// Keeps what is known now, if it is something else than before.
    pub fn learned(&mut self) {
        let last = self.past.last().expect("never empty");
        let state = |known: &Known| {
            (known.state.services.clone(), known.state.labels.clone(), known.state.pools.clone())
        };
        if state(last) != state(&self.known) {
            self.past.push(Rc::new(self.known.clone()));
        }
    }

    /// Saves the client states, as a process does now and then.
    pub fn save(&mut self) {
        self.note("client states are saved");
        self.has_changed.store(false, Relaxed);
        self.saved = Some(Save {
            client_states: self.cluster.save_client_states(usize::MAX),
            progress: self.progress.clone(),
            has_changed: self.has_changed.clone(),
        });
    }

    /// Another process: nothing is known, and nothing remembered but saved client states.
    pub fn restart(&mut self) {
        (self.cluster, self.has_changed) = new_cluster(&self.setup);
        self.progress.clear();
        if let Some(save) = self.saved.take()
            && !save.has_changed.load(Relaxed)
        {
            let restored = self.cluster.restore_client_states(save.client_states.into());
            self.progress = save.progress;
            let restored = restored.expect("nothing was served yet");
            self.note(format!("{restored} client states are restored"));
            self.stats.restored += restored as u64;
        }
        self.known = Known::new(&self.setup);
        self.past.push(Rc::new(self.known.clone()));
    }

    /// A client of a node was given these objects.
    pub fn gives(
        &mut self,
        node: &str,
        namespace: Option<&str>,
        keys: impl Iterator<Item = String>,
    ) {
        self.given.entry((node.to_owned(), namespace.map(str::to_owned))).or_default().extend(keys);
    }

    pub fn was_given(&self, node: &str, namespace: Option<&str>, key: &str) -> bool {
        self.given
            .get(&(node.to_owned(), namespace.map(str::to_owned)))
            .is_some_and(|keys| keys.contains(key))
    }

    /// Whether what a refresh says is to be lost now.
    pub fn loses_refresh(&mut self) -> bool {
        self.stats.refreshes += 1;
        matches!(
            self.setup.fault,
            Fault::LostRefresh(every) if self.stats.refreshes.is_multiple_of(every)
        )
    }
}
