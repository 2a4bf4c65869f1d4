//! The session of one client: records what is emitted in the client state, and suppresses unchanged
//! events.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use super::NeededList;
use super::affected::reevaluate;
use super::event::EventType;
use super::item::{Event, Item};
use super::reply::Reply;
use super::request::{Initial, Target, Verb};
use crate::client_state::store::{
    EarlierCopies, EarlierForms, Key, Lease, SessionStore, Stage, lock, lock_sessions,
};
use crate::client_state::{ClientState, CopyState, EmittedForms, Observed, SentForm};
use crate::cluster::Cluster;
use crate::cluster::counters::count;
use crate::config::Retention;
use crate::error::Fault;
use crate::object::key::ObjectKey;
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
pub(super) struct ClientSession {
    pub(super) lease: Lease,
    /// Copies that the client may have from before the list or the initial events.
    earlier: EarlierCopies,
    /// Where the client state is found again. `None`: the body stands by itself, and nothing
    /// follows it.
    pub(super) key: Option<Key>,
    pub(super) kind: SubjectKind,
    pub(super) encoding: Encoding,
    pub(super) phase: ResponsePhase,
    /// The client takes bookmarks.
    pub(super) bookmarks: bool,
    /// A refresh was asked for and is still to be done.
    pub(super) refresh_requested: bool,
    /// The watch was ended by this stream.
    pub(super) expired: bool,
    /// Where `high` stood when the objects of [`ClientState::repeat`] were emitted.
    pub(super) repeat_at: Version,
    pub(super) topology_fallback: bool,
    suppress_unchanged: bool,
    pub(super) retention: Retention,
    max_retained: usize,
    /// Objects of Services with a topology fallback: which step counts is known when all of their
    /// slices are.
    held: Vec<HeldSlice>,
    /// Where each stands in `held`.
    held_at: HashMap<u32, usize>,
    /// Bytes that were held back of this response.
    held_bytes: usize,
    max_held: usize,
    /// Reads single objects.
    pub(super) scanner: Scanner,
    pub(super) name: ObjectKey,
    pub(super) form: Vec<u8>,
}

/// How far a response has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ResponsePhase {
    /// A list or a page of one.
    List {
        /// No page came before.
        first: bool,
        /// All pages before were seen.
        whole: bool,
    },
    /// The initial events of a watch: poolscope emits nothing (R5).
    Initial {
        /// A bookmark ends them; otherwise the first event that is not ADDED does.
        announced: bool,
    },
    Live,
    /// ERROR was emitted or forwarded: nothing may follow it (R10).
    Over,
}

struct HeldSlice {
    id: u32,
    /// `None`: another object of the same name took its place.
    object: Option<Vec<u8>>,
    earlier: EarlierForms,
}

/// The decision on an object from the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Emit it unchanged.
    Keep,
    /// Emit it edited.
    Edit,
    /// Emit it under another event type.
    Emit(EventType),
    /// Do not emit it, or not yet.
    Drop,
}

impl ClientSession {
    /// Follows the client of a response from here on; `None`: there is nothing to follow. A watch
    /// resumes what the client was told before; where that was not seen, or goes back too
    /// far, the error is the response.
    pub(super) fn open(
        rule: &Rules,
        encoding: Encoding,
        target: &Target,
        client: Box<str>,
        stateless: bool,
    ) -> Result<Option<ClientSession>, Reply> {
        let (cluster, kind) = (rule.cluster(), rule.kind());
        let config = cluster.config();
        // Services have no endpoints, and no siblings.
        let topology_fallback = config.topology_fallback && kind != SubjectKind::Service;
        // A body without a session is judged by itself, except for siblings on a topology fallback.
        if target.verb == Verb::Get || stateless && !topology_fallback {
            return Ok(None);
        }
        let (node, selection) = (rule.node().into(), target.selection.clone());
        let (metadata_only, prefix) = (target.metadata_only, target.prefix.clone());
        let key = Key { node, kind, selection, encoding, metadata_only, prefix, client };
        let sessions = cluster.sessions();
        let begin = || lock_sessions(sessions).begin(cluster.generation());
        let (mut lease, phase) = match (target.verb, &target.continues) {
            (Verb::List | Verb::Get, None) => {
                (begin(), ResponsePhase::List { first: true, whole: true })
            }
            (Verb::List | Verb::Get, Some(token)) => {
                let page = SessionStore::page(sessions, &key, token);
                let whole = page.is_some();
                (page.unwrap_or_else(begin), ResponsePhase::List { first: false, whole })
            }
            (Verb::Watch { initial: Initial::Announced }, _) => {
                (begin(), ResponsePhase::Initial { announced: true })
            }
            (Verb::Watch { initial: Initial::Legacy }, _) => {
                (begin(), ResponsePhase::Initial { announced: false })
            }
            // Without a version it resumes nothing: its client holds nothing.
            (Verb::Watch { initial: Initial::Live }, _) if stateless || target.is_from_now() => {
                (begin(), ResponsePhase::Live)
            }
            (Verb::Watch { initial: Initial::Live }, _) => {
                match SessionStore::resume(sessions, &key, target.start()) {
                    Some(lease) => (lease, ResponsePhase::Live),
                    None => {
                        lock_sessions(sessions).expired(&key, target.start());
                        count(&cluster.live_counters().streams_expired, 1);
                        return Err(Reply::unknown_version(encoding));
                    }
                }
            }
        };
        let mut earlier = EarlierCopies::default();
        if phase != ResponsePhase::Live && !stateless {
            earlier = lock_sessions(sessions).before(&key);
            // A client that requests at least a version has seen that version through another
            // process.
            if earlier.is_new && !target.is_from_now() {
                let mut guard = lock_sessions(sessions);
                guard.doubt(Arc::new(key.clone()), target.start());
                earlier = guard.before(&key);
            }
            lock(lease.client_state()).began_in_doubt |= earlier.is_in_doubt();
        }
        // The client stores each of these events at once, and may reconnect before the state can be
        // resumed.
        let is_from_now = phase == ResponsePhase::Live && target.is_from_now();
        if !stateless && (phase == (ResponsePhase::Initial { announced: false }) || is_from_now) {
            lease.put(sessions, &key, Stage::Initial);
        }
        Ok(Some(ClientSession {
            lease,
            earlier,
            kind,
            encoding,
            bookmarks: target.bookmarks,
            // Facts may have changed since the client was told last.
            refresh_requested: !stateless && phase == ResponsePhase::Live,
            phase,
            expired: false,
            repeat_at: Version::default(),
            topology_fallback,
            // A body without a session keeps every event, and so does a client of Services.
            suppress_unchanged: config.suppress_unchanged
                && !stateless
                && kind != SubjectKind::Service,
            retention: config.retention,
            max_retained: config.limits.client_state_bytes,
            key: (!stateless).then_some(key),
            held: Vec::new(),
            held_at: HashMap::new(),
            held_bytes: 0,
            max_held: config.limits.list_bytes,
            scanner: Scanner::new(
                kind.shape(topology_fallback),
                config.limits.depth,
                config.limits.endpoints,
            ),
            name: ObjectKey::default(),
            form: Vec::new(),
        }))
    }

    /// Takes an object from upstream, whose outline is given, and judges it.
    pub(super) fn object(
        &mut self,
        rule: &mut Rules,
        outline: &Outline,
        edit: &mut Edit,
        item: &Item<'_>,
    ) -> Result<Decision, Fault> {
        let version = version_of(outline, item.buf);
        self.passed(item.event, version, rule.cluster());
        let name = outline.optional_text(item.buf, outline.name);
        self.name.set(&outline.optional_text(item.buf, outline.namespace), &name);
        // Locked by themselves, before the own client state is.
        let earlier = self.earlier.look(&self.name, version);
        let mut client_state = lock(self.lease.client_state());
        let known = client_state.find(&self.name);
        let family = family(outline, item.buf);
        let judged =
            judge(rule, outline, edit, item.buf, item.object, &mut client_state, known, family)?;
        let decision = match judged.changes {
            _ if judged.filtered_out => Decision::Drop,
            true => Decision::Edit,
            false => Decision::Keep,
        };
        // No client can hold an object without a name.
        if name.is_empty() {
            rule.count(&judged);
            return Ok(decision);
        }
        // Only Services can be filtered out, so that nothing else asks.
        let may_filter_out = self.kind == SubjectKind::Service;
        let has = match client_state.has(&self.name) {
            _ if !may_filter_out => CopyState::Unknown,
            // At an ADDED event or a list item the client did not have the object.
            CopyState::Unknown if matches!(item.event, Event::None | Event::Added) => {
                CopyState::Absent
            }
            has => has,
        };
        let service_before = match known {
            Some(known) if self.topology_fallback => client_state.service_of(known).to_vec(),
            _ => Vec::new(),
        };
        if let Some(at) = known.and_then(|known| self.held_at.remove(&known)) {
            self.held[at].object = None;
        }
        if item.event == Event::Deleted {
            rule.count(&judged);
            client_state.remove(&self.name, may_filter_out);
            self.regroup(&mut client_state, &service_before, rule);
            // As it was, for a client that has it; what would hide it now did not then.
            return Ok(match decision {
                _ if has == CopyState::Absent => Decision::Drop,
                Decision::Drop => Decision::Keep,
                decision => decision,
            });
        }
        let id = observe(
            &mut client_state,
            &self.name,
            rule,
            outline,
            item.buf,
            family,
            version,
            &judged,
            self.topology_fallback,
        );
        let object = WatchForm::of(self.kind, self.encoding, item.object_bytes(), outline);
        let digest = digest(&client_state, &mut self.form, &object, item, outline, edit);
        // If the client may have another form under the same version, the watch emits the object
        // again: some informers treat the list item as a resync.
        let repeats = !judged.filtered_out && earlier.under_version.may_differ(digest);
        // The watch that resumes the list may be that of a client with another form, which then
        // needs this one.
        let checks = if judged.filtered_out {
            earlier.last != EmittedForms::None
        } else {
            earlier.last.may_differ(digest)
        };
        let keeps = repeats
            || checks
            || self.keeps(&client_state, id, object.head.len() + object.tail.len(), &judged.keys);
        client_state.keep(id, keeps.then_some((&*object.head, object.tail)));
        client_state.missing.remove(&id);
        if self.holds_back() && matches!(judged.keys, Keys::Fallback(_)) {
            client_state.settled(id);
            client_state.entry_mut(id).sent = None;
            self.held_at.insert(id, self.held.len());
            self.held.push(HeldSlice { id, object: Some(item.object_bytes().to_vec()), earlier });
            self.held_bytes += item.object.len();
            return match self.held_bytes <= self.max_held {
                true => Ok(Decision::Drop),
                false => Err(Fault::held(item.object.start, self.max_held)),
            };
        }
        rule.count(&judged);
        let live = self.phase == ResponsePhase::Live;
        client_state.set_view_kind(id, judged.view_kind);
        let entry = client_state.entry_mut(id);
        if judged.filtered_out {
            entry.emitted(SentForm::Absent, version, false);
            client_state.settled(id);
            if checks {
                client_state.pending.insert(id);
            }
            // An object that the client certainly has goes at once, also among initial events, as
            // upstream's DELETED would. Lists have no word for it.
            let goes = item.event != Event::None
                && (has == CopyState::Present || live && has == CopyState::Unknown);
            return Ok(if goes { Decision::Emit(EventType::Deleted) } else { Decision::Drop });
        }
        // A client without a rewrite gets every event.
        let suppress_unchanged = self.suppress_unchanged
            && live
            && rule.applies()
            && entry.sent == Some(SentForm::Present(digest));
        if suppress_unchanged {
            // The client's copy is still right.
            client_state.pending.remove(&id);
            count(&rule.cluster().live_counters().events_suppressed, 1);
        } else {
            entry.emitted(SentForm::Present(digest), version, false);
            client_state.settled(id);
            if repeats {
                client_state.repeat.insert(id);
            } else if checks {
                // Its original goes when it was looked at.
                client_state.pending.insert(id);
            }
        }
        if self.topology_fallback && !self.holds_back() {
            self.regroup(&mut client_state, &service_before, rule);
            self.regroup(&mut client_state, rule.service_key(), rule);
        }
        Ok(match item.event {
            _ if suppress_unchanged => Decision::Drop,
            // It becomes visible.
            Event::Modified if has == CopyState::Absent => Decision::Emit(EventType::Added),
            _ => decision,
        })
    }

    /// An event at `version` of upstream passes.
    pub(super) fn passed(&mut self, event: Event, version: Version, cluster: &Cluster) {
        match self.phase {
            ResponsePhase::Live => {
                let mut client_state = lock(self.lease.client_state());
                client_state.high = client_state.high.later(version);
            }
            ResponsePhase::Initial { announced: false } if event != Event::Added => {
                self.begin(version, cluster)
            }
            _ => {}
        }
    }

    /// A bookmark of upstream passes.
    pub(super) fn bookmark(&mut self, item: &Item<'_>, cluster: &Cluster) {
        let Some(bookmark) = item.bookmark() else { return };
        match self.phase {
            ResponsePhase::Initial { announced: true } if bookmark.ends_initial_events => {
                self.begin(bookmark.version, cluster)
            }
            _ => self.passed(item.event, bookmark.version, cluster),
        }
    }

    /// An ERROR of upstream passes.
    pub(super) fn error(&mut self) {
        self.phase = ResponsePhase::Over;
    }

    /// The initial events are over: from here on the client's watch can be continued.
    fn begin(&mut self, version: Version, cluster: &Cluster) {
        self.phase = ResponsePhase::Live;
        self.earlier = EarlierCopies::default();
        let mut client_state = lock(self.lease.client_state());
        client_state.floor = version;
        client_state.high = version;
        drop(client_state);
        self.store_session(Stage::Ready, cluster);
    }

    /// The list, or this page of it, was read to its end.
    pub(super) fn list_ended(&mut self, version: Version, continues: &str, rule: &Rules) {
        let ResponsePhase::List { first, whole } = self.phase else { return };
        if !whole {
            // The client may watch from here, and what the pages before told it is not known.
            if let Some(key) = self.key.clone() {
                lock_sessions(rule.cluster().sessions()).doubt(Arc::new(key), version);
            }
            return;
        }
        let mut client_state = lock(self.lease.client_state());
        if first {
            client_state.floor = version;
        }
        client_state.high = client_state.floor;
        if continues.is_empty() && self.topology_fallback && !first {
            // Pages were decided one by one.
            let services: Vec<Vec<u8>> = client_state.services().map(<[u8]>::to_vec).collect();
            services.iter().for_each(|service| self.regroup(&mut client_state, service, rule));
        }
        drop(client_state);
        self.store_session(
            if continues.is_empty() { Stage::Ready } else { Stage::Page(continues.to_owned()) },
            rule.cluster(),
        );
        self.release_state(rule.cluster());
    }

    /// Ends the response: its client state is free for the next response.
    pub(super) fn release_state(&mut self, cluster: &Cluster) {
        let nothing = lock_sessions(cluster.sessions()).begin(cluster.generation());
        self.lease = nothing;
        self.earlier = EarlierCopies::default();
        self.phase = ResponsePhase::Over;
    }

    fn store_session(&mut self, stage: Stage, cluster: &Cluster) {
        if let Some(key) = &self.key {
            self.lease.put(cluster.sessions(), key, stage);
        }
    }

    /// Whether objects of Services with a topology fallback are held back until all of their slices
    /// are there.
    pub(super) fn holds_back(&self) -> bool {
        self.topology_fallback
            && matches!(
                self.phase,
                ResponsePhase::List { .. } | ResponsePhase::Initial { announced: true }
            )
    }

    /// Whether objects are held back.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Returns the lists that are needed before pending events can be written.
    pub(super) fn needed_lists(&self) -> Vec<NeededList> {
        // After an ERROR nothing can be emitted any more.
        if self.phase == ResponsePhase::Over {
            return Vec::new();
        }
        let client_state = lock(self.lease.client_state());
        let services: BTreeSet<&[u8]> =
            client_state.missing.iter().map(|&id| client_state.service_of(id)).collect();
        services.into_iter().map(|key| NeededList::of(self.kind, key)).collect()
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
        let mut client_state = lock(self.lease.client_state());
        for HeldSlice { id, object, earlier } in held {
            // Another of the same name came later.
            let Some(object) = object else { continue };
            let item = Item::stored(&object, self.encoding);
            outline_object(self.kind, &mut self.scanner, item.buf, self.encoding, outline)?;
            let family = client_state.entry(id).family;
            let judged = judge(
                rule,
                outline,
                edit,
                &object,
                item.object,
                &mut client_state,
                Some(id),
                family,
            )?;
            rule.count(&judged);
            let normal = WatchForm::of(self.kind, self.encoding, &object, outline);
            let digest = digest(&client_state, &mut self.form, &normal, &item, outline, edit);
            client_state.set_view_kind(id, judged.view_kind);
            let entry = client_state.entry_mut(id);
            entry.emitted(SentForm::Present(digest), entry.version, false);
            if earlier.under_version.may_differ(digest) {
                client_state.repeat.insert(id);
            }
            give(&object, edit);
        }
        Ok(())
    }

    /// Looks which objects of a Service with a topology fallback are seen as the step that counts
    /// now has it; the others are pending.
    fn regroup(&self, client_state: &mut ClientState, service: &[u8], rule: &Rules) {
        if !self.topology_fallback || service.is_empty() {
            return;
        }
        let facts = rule.cluster().read();
        if let (Service::Known(Keys::Fallback(_)), _) = facts.service(service) {
            reevaluate(client_state, service, &facts, rule, false);
        }
    }

    /// Whether the configuration wants the original of an object kept, and there is room for `len`
    /// bytes.
    pub(super) fn keeps(
        &self,
        client_state: &ClientState,
        id: u32,
        len: usize,
        keys: &Keys,
    ) -> bool {
        let kept = client_state.entry(id).original.as_ref().map_or(0, |kept| kept.len());
        let room = client_state.retained() - kept + len <= self.max_retained;
        // Any event can change the step that counts for a sibling. Without the original its client
        // would relist again and again.
        if matches!(keys, Keys::Fallback(_)) {
            return true;
        }
        let wanted = self.key.is_some()
            && match self.retention {
                Retention::Full => true,
                Retention::Topology => *keys != Keys::Unset,
                Retention::None => false,
            };
        // Without the original an object that is emitted again would make its client relist, which
        // may lead to the same uncertainty.
        client_state.repeat.contains(&id) || wanted && room
    }
}

/// An object as it stands in a watch event: items of lists leave out what they are (B3), so it
/// is put before.
pub(super) struct WatchForm<'a> {
    head: Cow<'static, [u8]>,
    tail: &'a [u8],
}

impl<'a> WatchForm<'a> {
    pub(super) fn of(
        kind: SubjectKind,
        encoding: Encoding,
        object: &'a [u8],
        outline: &Outline,
    ) -> WatchForm<'a> {
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
            true => WatchForm { head: Cow::Borrowed(b""), tail: object },
            false => {
                WatchForm { head: format!("{{{head}").into_bytes().into(), tail: &object[1..] }
            }
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
    client_state: &ClientState,
    form: &mut Vec<u8>,
    object: &WatchForm<'_>,
    item: &Item<'_>,
    outline: &Outline,
    edit: &Edit,
) -> u64 {
    form.clear();
    form.extend_from_slice(&object.head);
    let tail = Span::new(item.object.end - object.tail.len(), item.object.end);
    edit.gather(item.buf, tail, &outline.silent, form);
    client_state.digest(form)
}

/// Judges the object at `object` in `buf`; of a Service with a topology fallback beside its
/// siblings in the client state.
#[allow(clippy::too_many_arguments)]
pub(super) fn judge(
    rule: &mut Rules,
    outline: &Outline,
    edit: &mut Edit,
    buf: &[u8],
    object: Span,
    client_state: &mut ClientState,
    known: Option<u32>,
    family: u8,
) -> Result<Judged, Fault> {
    rule.judge(buf, object, outline, edit, |service, own, members| {
        client_state.usable_steps_of(service, family, known, own, members)
    })
}

/// Notes an object that was judged in the client state.
#[allow(clippy::too_many_arguments)]
pub(super) fn observe(
    client_state: &mut ClientState,
    name: &[u8],
    rule: &Rules,
    outline: &Outline,
    buf: &[u8],
    family: u8,
    version: Version,
    judged: &Judged,
    topology_fallback: bool,
) -> u32 {
    // Where nodes cannot matter they are not noted.
    let placed = topology_fallback || judged.keys.asks_for_pool();
    let endpoints = outline.endpoints.iter().filter(|_| placed);
    let endpoints = endpoints
        .map(|endpoint| (endpoint.node.map(|node| outline.text(buf, node)), endpoint.condition));
    client_state.observe(Observed { name, service: rule.service_key(), family, version, endpoints })
}

pub(super) fn version_of(outline: &Outline, buf: &[u8]) -> Version {
    let text = outline.version.and_then(|place| std::str::from_utf8(place.text.of(buf)).ok());
    text.map_or(Version::default(), Version::parse)
}

/// The address family that a topology fallback is decided for. Endpoints have but one.
fn family(outline: &Outline, buf: &[u8]) -> u8 {
    match &*outline.optional_text(buf, outline.address_type) {
        b"IPv4" => 4,
        b"IPv6" => 6,
        _ => 0,
    }
}
