//! Where a verb reads a cluster from, and the cluster as it was read.

mod documents;
mod files;
mod folder;
#[cfg(feature = "live")]
pub(crate) mod live;
mod loaded;
mod objects;
#[cfg(not(feature = "live"))]
mod offline;
mod protobuf;
mod recording;
mod scope;
mod text;
mod tree;

use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use poolscope::explain::{Inventory, ServiceView};
use poolscope::{Clients, Cluster, Config, Error, ErrorKind, Membership, MissingFact, NodeView};
use serde_json::Value;

pub(crate) use self::files::{guess, meta_beside, read, read_stdin};
#[cfg(feature = "live")]
use self::live::{Kind, Live, LiveOptions, NO_CLUSTER, needed_kinds};
pub(crate) use self::loaded::Loaded;
pub(crate) use self::objects::{Key, Objects, Service, Slice, Texts};
#[cfg(not(feature = "live"))]
use self::offline::{Kind, Live, LiveOptions, NO_CLUSTER, needed_kinds};
pub(crate) use self::recording::{Asked, Recording, read_meta};
use crate::failure::{Failure, usage};

/// The options that name the source.
#[derive(Args)]
pub(crate) struct Source {
    /// Files and folders with Services, Nodes, pools and endpoints; default: the live cluster.
    #[arg(long = "facts", value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    pub(crate) facts: Vec<PathBuf>,
    /// A configuration document; see docs/config.md.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The client, where the configuration says that not every one gets the rewrites.
    #[arg(long, value_name = "NAME")]
    pub(crate) user_agent: Option<String>,
    /// Show only the Services of this namespace. Everything is judged all the same.
    #[arg(short, long, value_name = "NAMESPACE", conflicts_with = "all_namespaces")]
    pub(crate) namespace: Option<String>,
    /// Show the Services of all namespaces, which is the default.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    #[command(flatten)]
    pub(crate) live: LiveOptions,
}

/// A cluster at one moment.
pub(crate) struct Snapshot {
    pub(crate) cluster: Cluster,
    pub(crate) inventory: Inventory,
    pub(crate) objects: Objects,
    pub(crate) loaded: Loaded,
    /// Nodes that are taken to have failed: no Service is judged for them.
    pub(crate) failed: BTreeSet<String>,
    /// The namespace that is shown; `None`: all.
    namespace: Option<String>,
    /// It was read from a live cluster, perhaps with files beside.
    is_live: bool,
    /// The document that the verb printed last, while it follows a cluster.
    printed: RefCell<Option<Value>>,
}

impl Source {
    /// Reads the cluster; what was read goes to standard error.
    pub(crate) fn read(&self) -> Result<Snapshot, Failure> {
        let mut snapshot = self.snapshot()?;
        self.require_cluster();
        if self.is_live() {
            let lists = Live::connect(&self.live)?.lists(&needed_kinds(&snapshot.cluster))?;
            lists.add_to(&mut snapshot)?;
            eprintln!("{}", lists.summary());
        }
        add_files(&self.facts, &mut snapshot)?;
        Ok(snapshot)
    }

    /// Runs a verb on the cluster, again after each change of it, until that fails.
    pub(crate) fn follow(
        &self,
        mut verb: impl FnMut(&Snapshot) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if !self.facts.is_empty() {
            usage("--watch follows a live cluster: leave out --facts");
        }
        self.require_cluster();
        let kinds = needed_kinds(&self.snapshot()?.cluster);
        let live = Live::connect(&self.live)?;
        let mut lists = live.lists(&kinds)?;
        eprintln!("{}", lists.summary());
        let mut printed = None;
        loop {
            let mut snapshot = self.snapshot()?;
            lists.add_to(&mut snapshot)?;
            snapshot.printed = RefCell::new(printed);
            verb(&snapshot)?;
            printed = snapshot.printed.into_inner();
            let changed = live.changed_kinds(&lists);
            lists.update(live.lists_in_the_end(&changed));
        }
    }

    /// Ends the command if there is neither a file nor a cluster.
    fn require_cluster(&self) {
        if self.facts.is_empty() && !self.live.has_cluster() {
            usage(NO_CLUSTER);
        }
    }

    /// Returns `true` if the source is a live cluster.
    pub(crate) fn is_live(&self) -> bool {
        self.facts.is_empty() || self.live.is_asked()
    }

    /// Returns the names of the nodes, for completion: of files those with endpoints.
    pub(crate) fn node_names(&self) -> Vec<String> {
        if self.is_live() {
            return self.live_names(Kind::Nodes).into_iter().map(|(_, name)| name).collect();
        }
        let views = self.file_views();
        let endpoints = views.iter().flat_map(|view| &view.endpoints);
        let names: BTreeSet<String> =
            endpoints.filter_map(|endpoint| endpoint.node.clone()).collect();
        names.into_iter().collect()
    }

    /// Returns the Services, as arguments name them, for completion.
    pub(crate) fn service_names(&self) -> Vec<String> {
        let names = if self.is_live() {
            self.live_names(Kind::Services)
        } else {
            self.file_views().into_iter().map(|view| (view.namespace, view.name)).collect()
        };
        let is_shown =
            |namespace: &str| self.namespace.as_deref().is_none_or(|wanted| wanted == namespace);
        names
            .into_iter()
            .filter(|(namespace, _)| is_shown(namespace))
            .map(|(namespace, name)| format!("{namespace}/{name}"))
            .collect()
    }

    /// Returns namespace and name of the cluster's objects of a kind; none if it cannot be read.
    fn live_names(&self, kind: Kind) -> Vec<(String, String)> {
        let live = Live::connect(&self.live).ok();
        live.and_then(|live| live.names(kind).ok()).unwrap_or_default()
    }

    /// Returns the Services of the files; none if they cannot be read.
    fn file_views(&self) -> Vec<ServiceView> {
        let Ok(mut snapshot) = self.snapshot() else { return Vec::new() };
        // Nothing comes from standard input while a line is typed.
        if self.facts.iter().any(|path| path == Path::new("-"))
            || files::load(&self.facts, &mut snapshot).is_err()
        {
            return Vec::new();
        }
        snapshot.inventory.view(&snapshot.cluster.node("-"))
    }

    /// Returns a snapshot into which nothing was read yet.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, Failure> {
        let cluster = Cluster::new(config(self.config.as_deref())?)
            .map_err(|error| Failure(error.to_string()))?;
        let (namespace, is_live) = (self.namespace.clone(), self.is_live());
        Ok(Snapshot { namespace, is_live, ..Snapshot::of(cluster) })
    }

    /// Reads other files than those of `--facts`, and no live cluster.
    pub(crate) fn read_files(&self, paths: &[PathBuf]) -> Result<Snapshot, Failure> {
        let mut snapshot = Snapshot { is_live: false, ..self.snapshot()? };
        add_files(paths, &mut snapshot)?;
        Ok(snapshot)
    }
}

/// Adds files and folders; what was read goes to standard error.
fn add_files(paths: &[PathBuf], snapshot: &mut Snapshot) -> Result<(), Failure> {
    if paths.is_empty() {
        return Ok(());
    }
    if paths.iter().filter(|path| *path == Path::new("-")).count() > 1 {
        usage("standard input can be read only once; name it once");
    }
    files::load(paths, snapshot)?;
    eprintln!("{}", snapshot.loaded.summary());
    Ok(())
}

/// The configuration that `--config` names; OpenYurt's rules by default.
pub(crate) fn config(path: Option<&Path>) -> Result<Config, Failure> {
    let Some(path) = path else { return Ok(Config::openyurt()) };
    let text = fs::read_to_string(path).map_err(|error| Failure::at(path, error.to_string()))?;
    Config::from_json(&text).map_err(|error| Failure::at(path, error.to_string()))
}

impl Snapshot {
    /// Returns a snapshot of which all Services are shown.
    pub(crate) fn of(cluster: Cluster) -> Snapshot {
        Snapshot {
            cluster,
            inventory: Inventory::new(),
            objects: Objects::default(),
            loaded: Loaded::default(),
            failed: BTreeSet::new(),
            namespace: None,
            is_live: true,
            printed: RefCell::default(),
        }
    }

    /// Returns `true` if a document differs from the one that the verb printed last.
    pub(crate) fn is_news(&self, document: &Value) -> bool {
        self.printed.replace(Some(document.clone())).as_ref() != Some(document)
    }

    /// Adds one response: its facts, and its Services and endpoints.
    pub(crate) fn add(&mut self, recording: &Recording, asked: &Asked) -> Result<(), Failure> {
        if recording.head.status != 200 && !asked.plural.is_empty() {
            self.loaded.refused(recording, asked);
            return Ok(());
        }
        let fail = |error: Error| Failure::of(&recording.path, &recording.head, &error);
        let name = recording.path.display().to_string();
        let mut used = false;
        match self.cluster.read_facts(&recording.request, &recording.head) {
            Ok(mut feed) => {
                feed.push(&recording.body).map_err(fail)?;
                feed.finish().map_err(fail)?;
                used = true;
                let needs_all = matches!(asked.plural, "services" | "nodepools" | "nodebuckets");
                self.loaded.singles += usize::from(!asked.list && needs_all);
            }
            Err(error) if error.kind() == ErrorKind::NotAFact => {}
            Err(error) => return Err(fail(error)),
        }
        // The inventory holds what there is, not what happened.
        let shown = matches!(asked.plural, "services" | "endpointslices" | "endpoints");
        if shown && !asked.watch {
            let objects = self.inventory.load(&recording.body).map_err(fail)?;
            used |= objects > 0;
            if asked.plural != "services" {
                self.loaded.read_endpoints(recording, asked);
            }
        }
        if !asked.plural.is_empty() {
            let added = self.objects.add(&recording.body, asked);
            used |= added.map_err(|why| Failure::at(&recording.path, why))?;
        }
        if used {
            self.loaded.used(name, asked.plural);
        } else {
            self.loaded.skip(if asked.watch { "watches" } else { "other" });
        }
        Ok(())
    }

    /// Takes a node to have failed, which leaves it in its pool, and removes its endpoints.
    ///
    /// # Errors
    ///
    /// Fails if there is no such Node.
    pub(crate) fn fail(&mut self, node: &str) -> Result<(), Failure> {
        let Objects { nodes, cilium_nodes, .. } = &self.objects;
        if !nodes.contains_key(node) && !cilium_nodes.contains_key(node) {
            let what = format!("no Node {node} in the facts; check --without-node");
            return Err(Failure(what));
        }
        self.inventory.remove_endpoints_on(node);
        self.failed.insert(node.to_owned());
        Ok(())
    }

    /// The view of a node of which enough is known.
    pub(crate) fn ready(&self, node: &str, user_agent: Option<&str>) -> Result<NodeView, Failure> {
        let mut view = self.cluster.node(node);
        match user_agent {
            Some(agent) => view = view.client(agent),
            None if self.cluster.config().clients() == Clients::YurtHub => usage(
                "the configuration says `clients`: `yurtHub`; name the client: --user-agent \
                 cilium-agent",
            ),
            None => {}
        }
        match view.missing() {
            missing if missing.is_empty() => {
                warn_of_unknown(&view);
                Ok(view)
            }
            missing => {
                let plurals: Vec<&str> = missing
                    .iter()
                    .filter_map(|fact| files::plural(&fact.kind.to_string()))
                    .collect();
                let Failure(why) = not_ready(node, &missing);
                Err(Failure(why + &self.loaded.reasons(&plurals)))
            }
        }
    }

    /// A namespace that is mistyped would be answered as if it were empty.
    pub(crate) fn require_services(&self, number: usize) -> Result<(), Failure> {
        match &self.namespace {
            Some(namespace) if number == 0 => Err(Failure(format!(
                "namespace {namespace} has no Service in the facts; check --namespace"
            ))),
            _ => Ok(()),
        }
    }

    /// Returns `true` if the Services of a namespace are shown.
    pub(crate) fn is_shown(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_none_or(|shown| shown == namespace)
    }

    /// Returns those of all Services that are shown.
    ///
    /// # Errors
    ///
    /// Fails if there are none in the namespace that is asked for, or none whose endpoints were
    /// read.
    pub(crate) fn shown<V: Borrow<ServiceView>>(
        &self,
        mut views: Vec<V>,
    ) -> Result<Vec<V>, Failure> {
        views.retain(|view| self.is_shown(&view.borrow().namespace));
        self.require_services(views.len())?;
        self.loaded.with_endpoints(views)
    }

    /// Returns those of the Services that the arguments name, or of all, which there are.
    pub(crate) fn asked(&self, node: &NodeView, services: &[ServiceName]) -> Vec<ServiceView> {
        let mut views = self.inventory.view(node);
        views.retain(|view| match services {
            [] => self.is_shown(&view.namespace),
            services => services.iter().any(|service| service.is_of(view)),
        });
        views
    }

    /// The Services that the arguments name, or all.
    pub(crate) fn services(
        &self,
        view: &NodeView,
        services: &[ServiceName],
    ) -> Result<Vec<ServiceView>, Failure> {
        if services.is_empty() {
            return self.shown(self.inventory.view(view));
        }
        let find = |service: &ServiceName| {
            let ServiceName { namespace, name } = service;
            let missing = || {
                let remedy = match self.is_live {
                    true => "check namespace and name",
                    false => "check the namespace, or add its lists with --facts",
                };
                Failure(format!(
                    "no Service {namespace}/{name} in the facts, and no slice that names it; \
                     {remedy}"
                ))
            };
            self.inventory.find(view, namespace, name).ok_or_else(missing)
        };
        self.loaded.with_endpoints(services.iter().map(find).collect::<Result<_, _>>()?)
    }
}

/// A name that is mistyped would be answered as if it were true.
pub(crate) fn warn_of_unknown(view: &NodeView) {
    if !view.is_known()
        && view.pool().is_none()
        && view.cluster().config().membership() != &Membership::Off
    {
        eprintln!(
            "warning: no Node {} in the facts; judged as a node in no pool; check --node",
            view.name()
        );
    }
}

pub(crate) fn not_ready(node: &str, missing: &[MissingFact]) -> Failure {
    let missing: Vec<String> = missing.iter().map(MissingFact::to_string).collect();
    let hint = "save what `kubectl get --raw PATH` prints for each PATH here, and add the files \
                with --facts";
    Failure(format!("node {node}: the facts are incomplete: {}; {hint}", missing.join("; ")))
}

/// The pool of a node, for people.
pub(crate) fn pool_of(view: &NodeView) -> String {
    if view.cluster().config().membership() == &Membership::NodeLabels {
        return "pools by its labels".to_owned();
    }
    view.pool().map_or("no pool".to_owned(), |pool| format!("pool {pool}"))
}

/// A Service that an argument names.
pub(crate) struct ServiceName {
    namespace: String,
    name: String,
}

/// Takes the arguments after the options apart: what exists is one more PATH, anything else has to
/// be a SERVICE.
///
/// An argument may be both. It is a SERVICE if the verb needs one and no other argument is one.
/// Otherwise it is a PATH. A line on standard error says so.
pub(crate) fn services_of(
    rest: &[String],
    facts: &mut Vec<PathBuf>,
    needs_service: bool,
) -> Vec<ServiceName> {
    let exists = |text: &String| Path::new(text).exists();
    let has_service = rest.iter().any(|text| !exists(text) && ServiceName::read(text).is_some());
    let prefers_service = needs_service && !has_service;
    let mut services = Vec::new();
    for text in rest {
        match ServiceName::read(text) {
            Some(service) if !exists(text) => services.push(service),
            Some(service) if prefers_service => {
                eprintln!(
                    "note: {text} is taken as a Service, although a file or folder of that name \
                     exists; to read it write --facts {text}"
                );
                services.push(service);
            }
            Some(_) => {
                eprintln!(
                    "note: {text} is read as facts, because a file or folder of that name exists; \
                     for the Service {text} run the command in another folder"
                );
                facts.push(text.into());
            }
            None if exists(text) => facts.push(text.into()),
            None => usage(&format!("{text:?} is neither a file nor namespace/name of a Service")),
        }
    }
    services
}

impl std::fmt::Display for ServiceName {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}/{}", self.namespace, self.name)
    }
}

impl ServiceName {
    /// Returns `true` if it names the Service.
    pub(crate) fn is_of(&self, view: &ServiceView) -> bool {
        self.namespace == view.namespace && self.name == view.name
    }

    /// Reads `namespace/name`. Both are DNS labels: `facts/nodes.json` is not one.
    fn read(text: &str) -> Option<ServiceName> {
        let is_label = |text: &str| {
            let may_be =
                |each: char| each.is_ascii_lowercase() || each.is_ascii_digit() || each == '-';
            !text.is_empty() && text.chars().all(may_be)
        };
        let (namespace, name) = text.split_once('/')?;
        (is_label(namespace) && is_label(name))
            .then(|| ServiceName { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}
