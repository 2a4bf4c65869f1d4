//! Following one client: what it is told goes into its ledger, and what would tell it nothing new
//! is not sent.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use super::Wanted;
use super::affected::relook;
use super::event::Tells;
use super::request::{Initial, Target, Verb};
use super::status::Answer;
use super::unit::{Event, Unit};
use crate::cluster::Cluster;
use crate::cluster::counters::count;
use crate::cluster::fact::write_service_key;
use crate::config::Retention;
use crate::error::Fault;
use crate::ledger::shelf::{Before, Earlier, Key, Lease, Shelf, Stage, lock, lock_shelf};
use crate::ledger::{Form, Forms, Has, Ledger, Seen};
use crate::object::outline::Outline;
use crate::object::version::Version;
use crate::object::{SubjectKind, outline_object};
use crate::rewrite::{Judged, Rules};
use crate::sync::Arc;
use crate::topology::keys::Keys;
use crate::topology::verdict::Service;
use crate::wire::Span;
use crate::wire::encoding::Encoding;
use crate::wire::json::Scanner;
use crate::wire::splice::Edit;

/// One client's session: its state, and the progress of the current response.
pub(super) struct Follow {
    pub(super) lease: Lease,
    /// Copies that the client may have from before the list or the initial events.
    before: Before,
    /// Where the ledger is found again. `None`: the body stands by itself, and nothing follows it.
    pub(super) key: Option<Key>,
    pub(super) kind: SubjectKind,
    pub(super) encoding: Encoding,
    pub(super) phase: Phase,
    /// The client takes bookmarks.
    pub(super) bookmarks: bool,
    /// A refresh was asked for and is still to be done.
    pub(super) asked: bool,
    /// The watch was ended by this stream.
    pub(super) expired: bool,
    /// Where `high` stood when the objects of [`Ledger::repeat`] were said.
    pub(super) repeat_at: Version,
    pub(super) ladders: bool,
    quiet: bool,
    pub(super) retention: Retention,
    max_retained: usize,
    /// Objects of ladders' Services: which rung counts is known when all of their slices are.
    held: Vec<Held>,
    /// Where each stands in `held`.
    held_at: HashMap<u32, usize>,
    /// Bytes that were held back of this response.
    held_bytes: usize,
    max_held: usize,
    /// Reads single objects.
    pub(super) scanner: Scanner,
    pub(super) name: Vec<u8>,
    pub(super) form: Vec<u8>,
}

/// How far a response has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// A list or a page of one.
    List {
        /// No page came before.
        first: bool,
        /// All pages before were seen.
        whole: bool,
    },
    /// The initial events of a watch: nothing may be said by us (wire 4.5, rule 5).
    Initial {
        /// A bookmark ends them; otherwise the first event that is not ADDED does.
        announced: bool,
    },
    Live,
    /// An ERROR was given: nothing may follow it (wire 4.5, rule 10).
    Over,
}

struct Held {
    id: u32,
    /// `None`: another object of the same name took its place.
    object: Option<Vec<u8>>,
    earlier: Earlier,
}

/// The decision on an object from the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    AsItIs,
    /// As the edit has it.
    Edited,
    /// As another event than it came.
    Says(Tells),
    /// Not at all, or later.
    Not,
}

impl Follow {
    /// Follows the client of a response from here on; `None`: there is nothing to follow. A watch
    /// goes on from what the client was told before; where that was not seen, or goes back too
    /// far, the error is the answer.
    pub(super) fn open(
        rule: &Rules,
        encoding: Encoding,
        target: &Target,
        client: Box<str>,
        alone: bool,
    ) -> Result<Option<Follow>, Answer> {
        let (cluster, kind) = (rule.cluster(), rule.kind());
        let config = cluster.config();
        // Services have no endpoints, and no siblings.
        let ladders = config.ladders && kind != SubjectKind::Service;
        // A body without a session is judged by itself, except for siblings on a ladder.
        if target.verb == Verb::Get || alone && !ladders {
            return Ok(None);
        }
        let (node, selection) = (rule.node().into(), target.selection.clone());
        let (metadata_only, prefix) = (target.metadata_only, target.prefix.clone());
        let key = Key { node, kind, selection, encoding, metadata_only, prefix, client };
        let shelf = cluster.shelf();
        let begin = || lock_shelf(shelf).begin(cluster.generation());
        let (mut lease, phase) = match (target.verb, &target.continues) {
            (Verb::List | Verb::Get, None) => (begin(), Phase::List { first: true, whole: true }),
            (Verb::List | Verb::Get, Some(token)) => {
                let page = Shelf::page(shelf, &key, token);
                let whole = page.is_some();
                (page.unwrap_or_else(begin), Phase::List { first: false, whole })
            }
            (Verb::Watch { initial: Initial::Announced }, _) => {
                (begin(), Phase::Initial { announced: true })
            }
            (Verb::Watch { initial: Initial::Legacy }, _) => {
                (begin(), Phase::Initial { announced: false })
            }
            // Without a version it goes on from nothing: its client holds nothing.
            (Verb::Watch { initial: Initial::Live }, _) if alone || target.is_from_now() => {
                (begin(), Phase::Live)
            }
            (Verb::Watch { initial: Initial::Live }, _) => {
                match Shelf::resume(shelf, &key, target.start()) {
                    Some(lease) => (lease, Phase::Live),
                    None => {
                        lock_shelf(shelf).expired(&key, target.start());
                        count(&cluster.tally().streams_expired, 1);
                        return Err(Answer::expired(encoding));
                    }
                }
            }
        };
        let mut before = Before::default();
        if phase != Phase::Live && !alone {
            before = lock_shelf(shelf).before(&key);
            // Who asks for no older state than one that it has seen has seen one, through another
            // process.
            if before.is_new && !target.is_from_now() {
                let mut guard = lock_shelf(shelf);
                guard.doubt(Arc::new(key.clone()), target.start());
                before = guard.before(&key);
            }
            lock(lease.ledger()).began_in_doubt |= before.is_in_doubt();
        }
        // What its client keeps of these it keeps at once, and it may come back before it can be
        // gone on from.
        let is_from_now = phase == Phase::Live && target.is_from_now();
        if !alone && (phase == (Phase::Initial { announced: false }) || is_from_now) {
            lease.put(shelf, &key, Stage::Initial);
        }
        Ok(Some(Follow {
            lease,
            before,
            kind,
            encoding,
            bookmarks: target.bookmarks,
            // Facts may have changed since the client was told last.
            asked: !alone && phase == Phase::Live,
            phase,
            expired: false,
            repeat_at: Version::default(),
            ladders,
            // A body without a session keeps every event, and so does a client of Services.
            quiet: config.quiet && !alone && kind != SubjectKind::Service,
            retention: config.retention,
            max_retained: config.limits.ledger_bytes,
            key: (!alone).then_some(key),
            held: Vec::new(),
            held_at: HashMap::new(),
            held_bytes: 0,
            max_held: config.limits.list_bytes,
            scanner: Scanner::new(
                kind.shape(ladders),
                config.limits.depth,
                config.limits.endpoints,
            ),
            name: Vec::new(),
            form: Vec::new(),
        }))
    }

    /// Takes an object from upstream, whose outline is given, and judges it.
    pub(super) fn object(
        &mut self,
        rule: &mut Rules,
        outline: &Outline,
        edit: &mut Edit,
        unit: &Unit<'_>,
    ) -> Result<Told, Fault> {
        let version = version_of(outline, unit.buf);
        self.passed(unit.event, version, rule.cluster());
        let name = outline.optional_text(unit.buf, outline.name);
        write_service_key(
            &mut self.name,
            &outline.optional_text(unit.buf, outline.namespace),
            &name,
        );
        // Locked by themselves, before the own ledger is.
        let earlier = self.before.look(&self.name, version);
        let mut ledger = lock(self.lease.ledger());
        let known = ledger.find(&self.name);
        let family = family(outline, unit.buf);
        let judged = judge(rule, outline, edit, unit.buf, unit.object, &mut ledger, known, family)?;
        let told = match judged.changes {
            _ if judged.hidden => Told::Not,
            true => Told::Edited,
            false => Told::AsItIs,
        };
        // No client can hold an object without a name.
        if name.is_empty() {
            rule.tell(&judged);
            return Ok(told);
        }
        // Only Services can be hidden, so that nothing else asks.
        let may_hide = self.kind == SubjectKind::Service;
        let has = match ledger.has(&self.name) {
            _ if !may_hide => Has::Maybe,
            // At an ADDED event or a list item the client did not have the object.
            Has::Maybe if matches!(unit.event, Event::None | Event::Added) => Has::No,
            has => has,
        };
        let service_before = match known {
            Some(known) if self.ladders => ledger.service_of(known).to_vec(),
            _ => Vec::new(),
        };
        if let Some(at) = known.and_then(|known| self.held_at.remove(&known)) {
            self.held[at].object = None;
        }
        if unit.event == Event::Deleted {
            rule.tell(&judged);
            ledger.remove(&self.name, may_hide);
            self.regroup(&mut ledger, &service_before, rule);
            // As it was, for a client that has it; what would hide it now did not then.
            return Ok(match told {
                _ if has == Has::No => Told::Not,
                Told::Not => Told::AsItIs,
                told => told,
            });
        }
        let id = see(
            &mut ledger,
            &self.name,
            rule,
            outline,
            unit.buf,
            family,
            version,
            &judged,
            self.ladders,
        );
        let object = Normal::of(self.kind, self.encoding, unit.object_bytes(), outline);
        let digest = digest(&ledger, &mut self.form, &object, unit, outline, edit);
        // What the client may have otherwise under the same version is said once more when it
        // watches: some informers take what the list says for nothing new.
        let repeats = !judged.hidden && earlier.under_version.may_differ(digest);
        // The watch that goes on from the list may be that of a client which has something else,
        // and owes it this then.
        let checks = if judged.hidden {
            earlier.last != Forms::None
        } else {
            earlier.last.may_differ(digest)
        };
        let keeps = repeats
            || checks
            || self.keeps(&ledger, id, object.head.len() + object.tail.len(), &judged.keys);
        ledger.keep(id, keeps.then_some((&*object.head, object.tail)));
        ledger.missing.remove(&id);
        if self.holds_back() && matches!(judged.keys, Keys::Ladder(_)) {
            ledger.settled(id);
            ledger.entry_mut(id).sent = None;
            self.held_at.insert(id, self.held.len());
            self.held.push(Held { id, object: Some(unit.object_bytes().to_vec()), earlier });
            self.held_bytes += unit.object.len();
            return match self.held_bytes <= self.max_held {
                true => Ok(Told::Not),
                false => Err(Fault::held(unit.object.start, self.max_held)),
            };
        }
        rule.tell(&judged);
        let live = self.phase == Phase::Live;
        ledger.set_lens(id, judged.lens);
        let entry = ledger.entry_mut(id);
        if judged.hidden {
            entry.said(Form::None, version, false);
            ledger.settled(id);
            if checks {
                ledger.owed.insert(id);
            }
            // An object that the client certainly has goes at once, also among initial events, as
            // upstream's DELETED would. Lists have no word for it.
            let goes = unit.event != Event::None && (has == Has::Yes || live && has == Has::Maybe);
            return Ok(if goes { Told::Says(Tells::Deleted) } else { Told::Not });
        }
        // A client without a rewrite gets every event.
        let quiet =
            self.quiet && live && rule.applies() && entry.sent == Some(Form::Digest(digest));
        if quiet {
            // The client's copy is still right.
            ledger.owed.remove(&id);
            count(&rule.cluster().tally().events_quieted, 1);
        } else {
            entry.said(Form::Digest(digest), version, false);
            ledger.settled(id);
            if repeats {
                ledger.repeat.insert(id);
            } else if checks {
                // Its original goes when it was looked at.
                ledger.owed.insert(id);
            }
        }
        if self.ladders && !self.holds_back() {
            self.regroup(&mut ledger, &service_before, rule);
            self.regroup(&mut ledger, rule.service_key(), rule);
        }
        Ok(match unit.event {
            _ if quiet => Told::Not,
            // It becomes visible.
            Event::Modified if has == Has::No => Told::Says(Tells::Added),
            _ => told,
        })
    }

    /// An event at `version` of upstream passes.
    pub(super) fn passed(&mut self, event: Event, version: Version, cluster: &Cluster) {
        match self.phase {
            Phase::Live => {
                let mut ledger = lock(self.lease.ledger());
                ledger.high = ledger.high.later(version);
            }
            Phase::Initial { announced: false } if event != Event::Added => {
                self.begin(version, cluster)
            }
            _ => {}
        }
    }

    /// A bookmark of upstream passes.
    pub(super) fn bookmark(&mut self, unit: &Unit<'_>, cluster: &Cluster) {
        let Some(bookmark) = unit.bookmark() else { return };
        match self.phase {
            Phase::Initial { announced: true } if bookmark.ends_initial_events => {
                self.begin(bookmark.version, cluster)
            }
            _ => self.passed(unit.event, bookmark.version, cluster),
        }
    }

    /// An ERROR of upstream passes.
    pub(super) fn error(&mut self) {
        self.phase = Phase::Over;
    }

    /// The initial events are over: from here on the client's watch can be continued.
    fn begin(&mut self, version: Version, cluster: &Cluster) {
        self.phase = Phase::Live;
        self.before = Before::default();
        let mut ledger = lock(self.lease.ledger());
        ledger.floor = version;
        ledger.high = version;
        drop(ledger);
        self.shelve(Stage::Ready, cluster);
    }

    /// The list, or this page of it, was read to its end.
    pub(super) fn list_ended(&mut self, version: Version, continues: &str, rule: &Rules) {
        let Phase::List { first, whole } = self.phase else { return };
        if !whole {
            // The client may watch from here, and what the pages before told it is not known.
            if let Some(key) = self.key.clone() {
                lock_shelf(rule.cluster().shelf()).doubt(Arc::new(key), version);
            }
            return;
        }
        let mut ledger = lock(self.lease.ledger());
        if first {
            ledger.floor = version;
        }
        ledger.high = ledger.floor;
        if continues.is_empty() && self.ladders && !first {
            // Pages were decided one by one.
            let services: Vec<Vec<u8>> = ledger.services().map(<[u8]>::to_vec).collect();
            services.iter().for_each(|service| self.regroup(&mut ledger, service, rule));
        }
        drop(ledger);
        self.shelve(
            if continues.is_empty() { Stage::Ready } else { Stage::Page(continues.to_owned()) },
            rule.cluster(),
        );
        self.let_go(rule.cluster());
    }

    /// The response is over: its ledger is free for the next one.
    pub(super) fn let_go(&mut self, cluster: &Cluster) {
        let nothing = lock_shelf(cluster.shelf()).begin(cluster.generation());
        self.lease = nothing;
        self.before = Before::default();
        self.phase = Phase::Over;
    }

    fn shelve(&mut self, stage: Stage, cluster: &Cluster) {
        if let Some(key) = &self.key {
            self.lease.put(cluster.shelf(), key, stage);
        }
    }

    /// Whether objects of ladders' Services are held back until all of their slices are there.
    pub(super) fn holds_back(&self) -> bool {
        self.ladders
            && matches!(self.phase, Phase::List { .. } | Phase::Initial { announced: true })
    }

    /// Whether objects are held back.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Returns the lists that are needed before pending events can be written.
    pub(super) fn wanted(&self) -> Vec<Wanted> {
        // After an ERROR nothing can be said any more.
        if self.phase == Phase::Over {
            return Vec::new();
        }
        let ledger = lock(self.lease.ledger());
        let services: BTreeSet<&[u8]> =
            ledger.missing.iter().map(|&id| ledger.service_of(id)).collect();
        services.into_iter().map(|key| Wanted::of(self.kind, key)).collect()
    }

    /// Judges the objects that were held back, and gives them.
    pub(super) fn release(
        &mut self,
        rule: &mut Rules,
        outline: &mut Outline,
        edit: &mut Edit,
        mut give: impl FnMut(&[u8], &Edit),
    ) -> Result<(), Fault> {
        let held = std::mem::take(&mut self.held);
        self.held_at.clear();
        let mut ledger = lock(self.lease.ledger());
        for Held { id, object, earlier } in held {
            // Another of the same name came later.
            let Some(object) = object else { continue };
            let unit = Unit::stored(&object, self.encoding);
            outline_object(self.kind, &mut self.scanner, unit.buf, self.encoding, outline)?;
            let family = ledger.entry(id).family;
            let judged =
                judge(rule, outline, edit, &object, unit.object, &mut ledger, Some(id), family)?;
            rule.tell(&judged);
            let normal = Normal::of(self.kind, self.encoding, &object, outline);
            let digest = digest(&ledger, &mut self.form, &normal, &unit, outline, edit);
            ledger.set_lens(id, judged.lens);
            let entry = ledger.entry_mut(id);
            entry.said(Form::Digest(digest), entry.version, false);
            if earlier.under_version.may_differ(digest) {
                ledger.repeat.insert(id);
            }
            give(&object, edit);
        }
        Ok(())
    }

    /// Looks which objects of a ladder's Service are seen as the rung that counts now has it; the
    /// others are owed.
    fn regroup(&self, ledger: &mut Ledger, service: &[u8], rule: &Rules) {
        if !self.ladders || service.is_empty() {
            return;
        }
        let facts = rule.cluster().read();
        if let (Service::Known(Keys::Ladder(_)), _) = facts.service(service) {
            relook(ledger, service, &facts, rule, false);
        }
    }

    /// Whether the configuration wants the original of an object kept, and there is room for `len`
    /// bytes.
    pub(super) fn keeps(&self, ledger: &Ledger, id: u32, len: usize, keys: &Keys) -> bool {
        let kept = ledger.entry(id).original.as_ref().map_or(0, |kept| kept.len());
        let room = ledger.retained() - kept + len <= self.max_retained;
        // What a sibling on a ladder shows can change with any event: without its original its
        // client would list again and again.
        if matches!(keys, Keys::Ladder(_)) {
            return true;
        }
        // What is to be said once more will be.
        let wanted = self.key.is_some()
            && match self.retention {
                Retention::Full => true,
                Retention::Topology => *keys != Keys::Unset,
                Retention::None => false,
            };
        // What is to be said once more will be: without its original its client would be told to
        // list again, and might meet the same doubt once more.
        ledger.repeat.contains(&id) || wanted && room
    }
}

/// An object as it stands in a watch event: items of lists leave out what they are (wire 3), so it
/// is put before.
pub(super) struct Normal<'a> {
    head: Cow<'static, [u8]>,
    tail: &'a [u8],
}

impl<'a> Normal<'a> {
    pub(super) fn of(
        kind: SubjectKind,
        encoding: Encoding,
        object: &'a [u8],
        outline: &Outline,
    ) -> Normal<'a> {
        let mut head = String::new();
        if encoding == Encoding::Json {
            if outline.kind.is_none() {
                head += &format!(r#""kind":"{}","#, kind.kind());
            }
            if outline.api_version.is_none() {
                head += &format!(r#""apiVersion":"{}","#, kind.api_version());
            }
        }
        match head.is_empty() {
            true => Normal { head: Cow::Borrowed(b""), tail: object },
            false => Normal { head: format!("{{{head}").into_bytes().into(), tail: &object[1..] },
        }
    }

    /// The whole object.
    pub(super) fn concat(&self) -> Vec<u8> {
        [&self.head, self.tail].concat()
    }
}

/// A digest of the form that `edit` gives the object: the object after the cuts, without what tells
/// a proxy nothing ([`Outline::silent`]). `form` is a buffer.
pub(super) fn digest(
    ledger: &Ledger,
    form: &mut Vec<u8>,
    object: &Normal<'_>,
    unit: &Unit<'_>,
    outline: &Outline,
    edit: &Edit,
) -> u64 {
    form.clear();
    form.extend_from_slice(&object.head);
    let tail = Span::new(unit.object.end - object.tail.len(), unit.object.end);
    edit.gather(unit.buf, tail, &outline.silent, form);
    ledger.digest(form)
}

/// Judges the object at `object` in `buf`; of a ladder's Service beside its siblings in the ledger.
#[allow(clippy::too_many_arguments)]
pub(super) fn judge(
    rule: &mut Rules,
    outline: &Outline,
    edit: &mut Edit,
    buf: &[u8],
    object: Span,
    ledger: &mut Ledger,
    known: Option<u32>,
    family: u8,
) -> Result<Judged, Fault> {
    rule.judge(buf, object, outline, edit, |service, own, members| {
        ledger.usable_of(service, family, known, own, members)
    })
}

/// Notes an object that was judged in the ledger.
#[allow(clippy::too_many_arguments)]
pub(super) fn see(
    ledger: &mut Ledger,
    name: &[u8],
    rule: &Rules,
    outline: &Outline,
    buf: &[u8],
    family: u8,
    version: Version,
    judged: &Judged,
    ladders: bool,
) -> u32 {
    // Where nodes cannot matter they are not noted.
    let placed = ladders || judged.keys.asks_for_pool();
    let endpoints = outline.endpoints.iter().filter(|_| placed);
    let endpoints = endpoints
        .map(|endpoint| (endpoint.node.map(|node| outline.text(buf, node)), endpoint.condition));
    ledger.see(Seen { name, service: rule.service_key(), family, version, endpoints })
}

pub(super) fn version_of(outline: &Outline, buf: &[u8]) -> Version {
    let text = outline.version.and_then(|place| std::str::from_utf8(place.text.of(buf)).ok());
    text.map_or(Version::default(), Version::parse)
}

/// The address family that a ladder is decided for. Endpoints have but one.
fn family(outline: &Outline, buf: &[u8]) -> u8 {
    match &*outline.optional_text(buf, outline.address_type) {
        b"IPv4" => 4,
        b"IPv6" => 6,
        _ => 0,
    }
}
