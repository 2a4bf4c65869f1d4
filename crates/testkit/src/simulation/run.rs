//! One run: random things happen one at a time, and from time to time everything comes to rest and
//! is compared.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::client::{Client, MODES};
use super::feeder::Feeder;
use super::judge::difference;
use super::line::Line;
use super::object::{Body, Encoding, FACTS, KEYS, Kind};
use super::rng::Rng;
use super::scene::{ByName, Scene, Setup, Stats};
use super::server::Scope;
use super::syncer::Syncer;
use super::world;

/// The result of a run.
pub struct Outcome {
    pub stats: Stats,
    /// The failure, with the last steps before it.
    pub violation: Option<String>,
}

struct Run {
    rng: Rng,
    scene: Scene,
    feeders: Vec<Feeder>,
    syncer: Option<Syncer>,
    clients: Vec<Client>,
}

/// Runs a setup to its end or to the first thing that must not be.
pub fn run(setup: &Setup) -> Outcome {
    run_by(setup, Rng::new(setup.seed))
}

/// A run where each choice is one of the fuzzer's bytes, and the steps end with them.
pub fn run_bytes(input: &[u8]) -> Outcome {
    let (head, choices) = input.split_at(input.len().min(2));
    let seed = head.iter().fold(0, |seed, &byte| seed << 8 | u64::from(byte));
    run_by(&Setup { steps: 0, ..Setup::of(seed) }, Rng::given(choices, seed))
}

/// Panics if a run that the fuzzer's bytes lead violates a law.
pub fn check_bytes(input: &[u8]) {
    if let Some(violation) = run_bytes(input).violation {
        panic!("{violation}");
    }
}

fn run_by(setup: &Setup, rng: Rng) -> Outcome {
    let mut run = Run::new(setup.clone(), rng);
    let result = catch_unwind(AssertUnwindSafe(|| run.all()));
    let scene = &run.scene;
    let result = result.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panic: {}", text.unwrap_or("of no text")))
    });
    let violation = result.err().map(|what| {
        format!(
            "{what}\n\nseed {} at step {} of {:?}\nclients: {}\n{}",
            setup.seed,
            scene.step,
            setup,
            run.clients.iter().map(Client::brief).collect::<Vec<_>>().join("; "),
            scene.trace.text()
        )
    });
    Outcome { stats: scene.stats, violation }
}

impl Run {
    fn new(setup: Setup, given: Rng) -> Run {
        let mut scene = Scene::new(setup);
        // Bytes are for the steps: what is there at the start takes hundreds of choices.
        let mut rng = Rng::new(scene.setup.seed);
        world::populate(&mut scene.server, &mut rng);
        let mut clients = Vec::new();
        let mut nodes = world::NODES.to_vec();
        for _ in 0..rng.between(1, 3) {
            let node = nodes.remove(rng.below(nodes.len()));
            let namespace = rng.one_in(3).then(|| *rng.of(&world::NAMESPACES));
            let mut agent = "cilium-agent/1.20";
            // Sometimes a second client of the same node asks for the same.
            for _ in 0..if rng.one_in(4) { 2 } else { 1 } {
                let name = format!("{}:{node}", clients.len());
                clients.push(Client::new(
                    &name,
                    namespace,
                    *rng.of(&MODES),
                    scene.setup.bookmarks,
                    agent,
                ));
                agent = *rng.of(&["cilium-agent/1.20", "kube-proxy/1.37"]);
            }
        }
        let feeder = |(kind, scope): (Kind, Scope)| {
            let json = kind == Kind::Pool || scene.setup.encoding == Encoding::Json;
            let via = (kind == Kind::Service && scene.setup.services_pass)
                .then(|| world::NODES[0].to_owned());
            Feeder::new(kind, scope, if json { Encoding::Json } else { Encoding::Protobuf }, via)
        };
        let mut facts: Vec<(Kind, Scope)> = FACTS.map(|kind| (kind, Scope::All)).into();
        let by_name = |name: &str| (Kind::Node, Scope::Name(name.to_owned()));
        match scene.setup.by_name {
            ByName::None => {}
            ByName::Some => facts.extend(world::NODES[..3].iter().map(|name| by_name(name))),
            ByName::All => {
                facts.retain(|(kind, _)| *kind != Kind::Node);
                facts.extend(world::NODES.map(by_name));
            }
        }
        if scene.setup.narrow {
            facts.push((Kind::Service, Scope::Namespace(world::NAMESPACES[0].to_owned())));
        }
        let setup = &scene.setup;
        let syncer = setup.syncs.then(|| {
            let own = Scope::Name(world::NODES[0].to_owned());
            facts.retain(|(kind, scope)| match kind {
                Kind::Service => setup.services_pass || *scope != Scope::All,
                Kind::Node => *scope != own,
                _ => false,
            });
            let (seed, pass) = (setup.seed, setup.services_pass);
            Syncer::new(&scene.cluster, world::NODES[0], setup.encoding, pass, seed)
        });
        let feeders = facts.into_iter().map(feeder).collect();
        let rng = if given.is_given() { given } else { rng };
        Run { feeders, syncer, rng, scene, clients }
    }

    fn all(&mut self) -> Result<(), String> {
        let steps = self.scene.setup.steps;
        if !self.rng.one_in(4) {
            // Mostly the facts are there before a client comes.
            let (feeders, syncer) = (&mut self.feeders, &mut self.syncer);
            settle(&mut self.scene, feeders, syncer, &mut [], &mut self.rng)?;
        }
        for step in 0.. {
            if step >= steps && !self.rng.is_given() {
                break;
            }
            self.scene.step = step;
            self.step()?;
            if self.rng.one_in(200) {
                self.rest()?;
            }
        }
        self.rest()
    }

    fn step(&mut self) -> Result<(), String> {
        let scene = &mut self.scene;
        let rng = &mut self.rng;
        let at = rng.below(self.clients.len());
        let client = &mut self.clients[at];
        if client.line.is_none() && rng.one_in(8) {
            return client.ask(scene, rng);
        }
        match rng.below(1000) {
            0..=199 => {
                let facts = scene.setup.facts_change;
                let what = world::act(&mut scene.server, rng, facts);
                scene.note(what);
            }
            200..=349 => {
                if let Some(syncer) = &mut self.syncer
                    && rng.one_in(2)
                {
                    let result = syncer.step(&scene.server, &mut scene.known, rng);
                    scene.learned();
                    return result;
                }
                let at = rng.below(self.feeders.len());
                let are_narrow = self.feeders.len() > FACTS.len();
                let feeder = &mut self.feeders[at];
                // Those that have all are slower than those beside them.
                if are_narrow && feeder.is_wide() && !rng.one_in(3) {
                    return Ok(());
                }
                match rng.below(30) {
                    0 => feeder.cut(),
                    1..=9 => feeder.serve(&scene.server, rng),
                    _ => {
                        let count = rng.some_of(20_000);
                        feed(scene, feeder, count, rng)?;
                    }
                }
            }
            350..=509 => serve(scene, client, rng),
            510..=679 => {
                if let Some(line) = pick(client, rng) {
                    let count = rng.some_of(line.upstream.waiting());
                    line.push(scene, count)?;
                    end_if_over(scene, line, rng);
                }
            }
            680..=819 => match client.line {
                Some(ref line) => {
                    let count = rng.some_of(line.pipe.len());
                    client.read(scene, count)?;
                }
                None => client.ask(scene, rng)?,
            },
            820..=939 => {
                if let Some(line) = pick(client, rng) {
                    keep_up(scene, line, rng)?;
                    end_if_over(scene, line, rng);
                }
            }
            at if (940..940 + scene.setup.cuts).contains(&at) => cut(scene, client, rng)?,
            980..=994 if !client.left.is_empty() => {
                let mut line = client.left.swap_remove(0);
                if rng.one_in(2) {
                    line.finish(scene)?;
                }
            }
            995 if rng.one_in(2) => {
                let line = client.restart();
                client.left.extend(line.filter(|_| rng.one_in(2)).map(|line| *line));
            }
            996 if rng.one_in(3) => {
                // A process that is stopped saves first; one that crashes has saved before.
                if scene.setup.saves && rng.one_in(2) {
                    scene.save();
                }
                self.restart();
            }
            997..=999 if scene.setup.saves => scene.save(),
            _ => {}
        }
        Ok(())
    }

    /// The proxy is started anew and has to learn everything again.
    fn restart(&mut self) {
        self.scene.note("the proxy is started anew");
        self.scene.restart();
        self.clients.iter_mut().for_each(Client::lose_proxy);
        self.feeders.iter_mut().for_each(Feeder::restart);
        self.syncer.iter_mut().for_each(|syncer| syncer.restart(&self.scene.cluster));
    }
}

/// Moves bytes of facts.
fn feed(
    scene: &mut Scene,
    feeder: &mut Feeder,
    count: usize,
    rng: &mut Rng,
) -> Result<bool, String> {
    let moved = feeder.step(&scene.cluster, &scene.server, &mut scene.known, count, rng)?;
    let before = scene.past.len();
    scene.learned();
    if scene.past.len() != before {
        scene.note(format!(
            "learned of a {}, generation {}",
            feeder.kind().name(),
            scene.cluster.generation()
        ));
    }
    Ok(moved)
}

/// The line that a client reads, or sometimes one that it has left.
fn pick<'a>(client: &'a mut Client, rng: &mut Rng) -> Option<&'a mut Line> {
    match client.left.is_empty() || !rng.one_in(4) {
        true => client.line.as_deref_mut(),
        false => client.left.first_mut(),
    }
}

/// The server does something for a client.
fn serve(scene: &mut Scene, client: &mut Client, rng: &mut Rng) {
    let Some(line) = pick(client, rng) else { return };
    let (server, is_watch, upstream) = (&scene.server, line.is_watch(), &mut line.upstream);
    match rng.below(150) {
        0 if is_watch => {
            let code = *rng.of(&[410, 500, 429]);
            upstream.fail(code);
            scene.note(format!("server fails a watch with {code}"));
        }
        1 | 2 if is_watch && server.is_up_to_date(upstream) => {
            server.bookmark(upstream);
            upstream.is_ended = true;
            scene.note("server ends a watch");
        }
        3..=15 => server.bookmark(upstream),
        _ => drop(server.pump(upstream, rng.between(1, 5))),
    }
}

/// The proxy does what it owes, or some of it.
fn keep_up(scene: &mut Scene, line: &mut Line, rng: &mut Rng) -> Result<(), String> {
    match rng.below(6) {
        0 => {
            let lag = if rng.one_in(3) { rng.below(12) as u64 } else { 0 };
            line.ask_wanted(scene, lag, rng.below(8))?;
        }
        1 => {
            line.provide_list(scene, rng.below(8))?;
        }
        // Nothing is wrong with a refresh that is not due.
        2 => {
            line.refresh(scene)?;
        }
        _ => {
            if line.needs_refresh(scene) {
                line.refresh(scene)?;
            }
        }
    }
    Ok(())
}

/// A stream that said that it is over: the proxy mostly sees it at once.
fn end_if_over(scene: &mut Scene, line: &mut Line, rng: &mut Rng) {
    if !rng.one_in(4) && line.end_if_over() {
        scene.note("the proxy ends a response that is over");
    }
}

/// The line breaks, on one side of the proxy or the other, and maybe only one side notices.
fn cut(scene: &mut Scene, client: &mut Client, rng: &mut Rng) -> Result<(), String> {
    let Some(line) = &mut client.line else { return Ok(()) };
    match rng.below(4) {
        // The server's side: what came through still reaches the client.
        0 => {
            scene.note(format!("{}: cut upstream", client.name));
            line.finish(scene)
        }
        // The client's side, which sees some of what is on the way.
        what => {
            let count = if rng.one_in(2) { rng.some_of(line.pipe.len()) } else { 0 };
            client.read(scene, count)?;
            let Some(mut line) = client.cut() else { return Ok(()) };
            scene.note(format!("{}: cut downstream, {} bytes lost", client.name, line.pipe.len()));
            match what {
                1 => line.finish(scene)?,
                2 => client.left.push(*line),
                _ => {}
            }
            Ok(())
        }
    }
}

impl Run {
    /// Everything that is on the way arrives, and is compared.
    fn rest(&mut self) -> Result<(), String> {
        let scene = &mut self.scene;
        scene.note("everything comes to rest");
        // By chance: bytes could keep a client at one version for good.
        let rng = &mut Rng::new(self.rng.next());
        settle(scene, &mut self.feeders, &mut self.syncer, &mut self.clients, rng)?;
        // Without bookmarks only an event ends the initial events.
        let stuck: Vec<_> = self
            .clients
            .iter()
            .filter(|client| client.line.as_ref().is_some_and(|line| line.is_initial()))
            .collect();
        let namespaces: Vec<_> = stuck.iter().map(|client| client.namespace.clone()).collect();
        for namespace in namespaces {
            scene.note("a nudge");
            world::nudge(&mut scene.server, rng, scene.setup.subject, namespace.as_deref());
        }
        settle(scene, &mut self.feeders, &mut self.syncer, &mut self.clients, rng)?;
        check_known(scene)?;
        check_clients(scene, &self.clients, false)?;
        self.move_on()?;
        // A run with only the steps under test: objects go, or facts change
        // while every client is told by the API server to relist.
        let (rng, scene) = (&mut Rng::new(self.rng.next()), &mut self.scene);
        if !scene.setup.facts_change {
            return Ok(());
        }
        match rng.below(3) {
            0 => return Ok(()),
            1 => {
                for _ in 0..rng.between(1, 4) {
                    let what = world::delete(&mut scene.server, rng);
                    scene.note(what);
                }
            }
            _ => {
                for line in self
                    .clients
                    .iter_mut()
                    .filter_map(|client| client.line.as_mut())
                    .filter(|line| line.is_watch())
                {
                    line.upstream.fail(410);
                }
                for _ in 0..rng.between(1, 6) {
                    let what = world::change_facts(&mut scene.server, rng);
                    scene.note(what);
                }
            }
        }
        settle(scene, &mut self.feeders, &mut self.syncer, &mut self.clients, rng)?;
        check_known(scene)?;
        self.move_on()
    }

    /// An event under a version that the client had already is emitted again when the
    /// server moves on.
    fn move_on(&mut self) -> Result<(), String> {
        let (rng, scene) = (&mut Rng::new(self.rng.next()), &mut self.scene);
        for _ in 0..2 {
            for namespace in world::NAMESPACES {
                world::nudge(&mut scene.server, rng, scene.setup.subject, Some(namespace));
            }
            settle(scene, &mut self.feeders, &mut self.syncer, &mut self.clients, rng)?;
        }
        check_clients(scene, &self.clients, true)
    }
}

/// Every client holds the filter of what the server has. `moved`: and its handlers have been told
/// so.
fn check_clients(scene: &mut Scene, clients: &[Client], moved: bool) -> Result<(), String> {
    for client in clients {
        let namespace = client.namespace.as_deref();
        if !client.is_settled() && !client.is_stuck() {
            return Err(format!("{} does not come to watch", client.brief()));
        }
        let slices = scene.server.at(scene.setup.subject, namespace, scene.server.rv);
        let wanted = scene.known.view(client.node(), &slices);
        if let Some(difference) = difference(client.store.iter(), &wanted) {
            return Err(format!("{} is wrong at rest: {difference}", client.brief()));
        }
        if let Some(difference) = difference(client.told.iter(), &wanted).filter(|_| moved) {
            return Err(format!("handlers of {} were not told: {difference}", client.brief()));
        }
        scene.stats.settled += 1;
    }
    Ok(())
}

/// How often a client may be told to relist while things come to rest: for a change that was on
/// its way, and because its past is in doubt then.
const MAX_TOLD_TO_LIST: usize = 2;

fn settle(
    scene: &mut Scene,
    feeders: &mut [Feeder],
    syncer: &mut Option<Syncer>,
    clients: &mut [Client],
    rng: &mut Rng,
) -> Result<(), String> {
    clients.iter_mut().for_each(|client| client.told_to_list = 0);
    for round in 0..100 {
        // A client that has to relist waits for its back-off first, and no API server
        // stands still that long.
        if round >= 10 {
            scene.server.write_elsewhere();
        }
        for feeder in &mut *feeders {
            while !feeder.is_up_to_date(&scene.server) {
                feeder.pump(&scene.server);
                feed(scene, feeder, usize::MAX, rng)?;
            }
        }
        if let Some(syncer) = syncer {
            syncer.settle(&scene.server, &mut scene.known)?;
            scene.learned();
        }
        let mut moved = false;
        for client in &mut *clients {
            client.left.clear();
            moved |= settle_client(scene, client, rng)?;
        }
        if !moved {
            return Ok(());
        }
        // Nothing changes any more.
        if let Some(client) = clients.iter().find(|client| client.told_to_list > MAX_TOLD_TO_LIST) {
            return Err(format!("{} is told to list again and again", client.brief()));
        }
    }
    Err("things do not come to rest".to_owned())
}

fn settle_client(scene: &mut Scene, client: &mut Client, rng: &mut Rng) -> Result<bool, String> {
    let Some(line) = &mut client.line else {
        client.ask(scene, rng)?;
        return Ok(true);
    };
    scene.server.pump(&mut line.upstream, usize::MAX);
    let mut moved = line.push(scene, usize::MAX)?;
    if line.needs_refresh(scene) {
        moved |= line.refresh(scene)?;
    }
    for _ in 0..20 {
        if line.end_if_over() || !line.ask_wanted(scene, 0, 0)? {
            break;
        }
        moved = true;
        // An answer that was on the way may be old; this one is not.
        while line.provide_list(scene, 0)? {}
    }
    line.end_if_over();
    Ok(moved | client.read(scene, usize::MAX)?)
}

/// Checks the model itself: its facts are those of the server.
fn check_known(scene: &Scene) -> Result<(), String> {
    let Scene { server, known, .. } = scene;
    for (key, object) in server.objects(Kind::Service) {
        if !matches!(
            &object.body,
            Body::Service(service)
                if known.state.services.get(key)
                    == Some(&service.metadata.annotations.get(KEYS).cloned())
        ) {
            return Err(format!("the model is wrong about service {key}"));
        }
    }
    for (key, object) in server.objects(Kind::Node) {
        if !matches!(
            &object.body,
            Body::Node(pool)
                if known.state.labels.get(key) == pool.as_ref().filter(|pool| !pool.is_empty())
        ) {
            return Err(format!("the model is wrong about node {key}"));
        }
    }
    let pools = server.objects(Kind::Pool).keys();
    match known.state.labels.keys().all(|key| server.get(Kind::Node, key).is_some())
        && pools.eq(known.state.pools.keys())
    {
        true => Ok(()),
        false => Err("the model is wrong about nodes or pools".to_owned()),
    }
}
