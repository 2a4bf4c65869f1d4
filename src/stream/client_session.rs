//! The session of one client: records what is emitted in the client state, and suppresses unchanged
//! events.

use super::affected::reevaluate;
use super::disposition::{Content, Observation};
use super::evaluator::Evaluator;
use super::item::{Bookmark, Event, Item};
use super::lifecycle::{InitialEvents, Lifecycle};
use super::needed_list::NeededList;
use super::reply::Reply;
use super::request::{Target, Verb};
use crate::client_state::store::{
    EarlierCopies, EarlierForms, Key, Lease, SessionStore, Stage, lock, lock_sessions,
};
use crate::client_state::{ClientState, CopyState, EmittedForms, Followup, SentForm};
use crate::cluster::Cluster;
use crate::cluster::counters::count;
use crate::config::Retention;
use crate::error::Fault;
use crate::hash::HashMap;
use crate::object::SubjectKind;
use crate::object::version::Version;
use crate::rewrite::Rules;
use crate::sync::Arc;
use crate::topology::keys::Keys;
use crate::topology::verdict::Service;
use crate::wire::encoding::Encoding;
use crate::wire::splice::Edit;

/// One client's session: its state, and the progress of the current response.
pub(super) struct ClientSession {
    pub(super) lease: Lease,
    /// Copies that the client may have from before the list or the initial events.
    earlier: EarlierCopies,
    /// Where the client state is found again. `None`: the body stands by itself, and nothing
    /// follows it.
    pub(super) key: Option<Key>,
    pub(super) encoding: Encoding,
    pub(super) lifecycle: Lifecycle,
    /// A list: which pages came before.
    pages: Pages,
    /// The client takes bookmarks.
    pub(super) bookmarks: bool,
    /// A refresh was asked for and is still to be done.
    pub(super) refresh_requested: bool,
    /// The watch was ended by this stream.
    pub(super) expired: bool,
    topology_fallback: bool,
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
}

/// The pages of a list before the present one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pages {
    /// There are none.
    None,
    /// All of them were read.
    Read,
    /// Some of them were not.
    Missed,
}

struct HeldSlice {
    id: u32,
    /// `None`: another object of the same name took its place.
    object: Option<Vec<u8>>,
    earlier: EarlierForms,
}

impl ClientSession {
    /// Opens the session for a response; `None` if the response needs none. A watch resumes the
    /// client's state. If its resourceVersion is not known, the error is the reply.
    pub(super) fn open(
        rule: &Rules,
        encoding: Encoding,
        target: &Target,
        client: Box<str>,
        stateless: bool,
    ) -> Result<Option<ClientSession>, Reply> {
        let (cluster, kind) = (rule.cluster(), rule.kind());
        let config = cluster.config();
        let topology_fallback = rule.topology_fallback();
        // A body without a session is judged by itself, except for siblings on a topology fallback.
        if target.verb == Verb::Get || stateless && !topology_fallback {
            return Ok(None);
        }
        let (node, selection) = (rule.node().into(), target.selection.clone());
        let (metadata_only, prefix) = (target.metadata_only, target.prefix.clone());
        let key = Key { node, kind, selection, encoding, metadata_only, prefix, client };
        let sessions = cluster.sessions();
        let begin = || lock_sessions(sessions).begin(cluster.generation());
        let lifecycle = Lifecycle::of(target.verb);
        let mut pages = Pages::None;
        let mut lease = match (lifecycle, &target.continues) {
            (Lifecycle::ListPage, Some(token)) => {
                let page = SessionStore::page(sessions, &key, token);
                pages = if page.is_some() { Pages::Read } else { Pages::Missed };
                page.unwrap_or_else(begin)
            }
            // Without a version it resumes nothing: its client holds nothing.
            (Lifecycle::Live, _) if !stateless && !target.is_from_now() => {
                match SessionStore::resume(sessions, &key, target.start()) {
                    Some(lease) => lease,
                    None => {
                        lock_sessions(sessions).expired(&key, target.start());
                        count(&cluster.live_counters().streams_expired, 1);
                        return Err(Reply::unknown_version(encoding));
                    }
                }
            }
            _ => begin(),
        };
        let mut earlier = EarlierCopies::default();
        if lifecycle != Lifecycle::Live && !stateless {
            earlier = lock_sessions(sessions).before(&key);
            // A client that requests at least a version has seen that version through another
            // process.
            if earlier.is_new && !target.is_from_now() {
                let mut guard = lock_sessions(sessions);
                guard.doubt(Arc::new(key.clone()), target.start());
                earlier = guard.before(&key);
            }
            lock(lease.client_state()).doubt_beginning(earlier.is_in_doubt());
        }
        // The client stores each of these events at once, and may reconnect before the state can be
        // resumed.
        let is_from_now = lifecycle == Lifecycle::Live && target.is_from_now();
        if !stateless && (lifecycle == Lifecycle::Legacy || is_from_now) {
            lease.put(sessions, &key, Stage::Initial);
        }
        Ok(Some(ClientSession {
            lease,
            earlier,
            encoding,
            bookmarks: target.bookmarks,
            // Facts may have changed since the last event.
            refresh_requested: !stateless && lifecycle == Lifecycle::Live,
            lifecycle,
            pages,
            expired: false,
            topology_fallback,
            // A body without a session keeps every event, and so does a client of Services.
            suppress_unchanged: config.suppress_unchanged
                && !stateless
                && kind != SubjectKind::Service,
            retention: config.retention,
            max_retained: config.limits.client_state_bytes,
            key: (!stateless).then_some(key),
            held: Vec::new(),
            held_at: HashMap::default(),
            held_bytes: 0,
            max_held: config.limits.list_bytes,
        }))
    }

    /// Records an object from the API server, which `evaluator` has read.
    pub(super) fn object(
        &mut self,
        evaluator: &mut Evaluator,
        item: &Item<'_>,
    ) -> Result<Observation, Fault> {
        let version = evaluator.version(item.buf);
        self.passed(item.event, version, evaluator.cluster());
        let is_named = evaluator.key(item.buf);
        // Locked by themselves, before the own client state is.
        let earlier = self.earlier.look(evaluator.last_key(), version);
        let mut client_state = lock(self.lease.client_state());
        let known = client_state.find(evaluator.last_key());
        let evaluation = evaluator.evaluate(item, &mut client_state, known)?;
        let content = evaluation.content();
        // No client can hold an object without a name.
        if !is_named {
            evaluator.count(&evaluation);
            return Ok(Observation::of(content));
        }
        // Only Services can be filtered out, so that nothing else asks.
        let may_filter_out = evaluator.kind() == SubjectKind::Service;
        let copy = match client_state.has(evaluator.last_key()) {
            _ if !may_filter_out => CopyState::Unknown,
            // At an ADDED event or a list item the client did not have the object.
            CopyState::Unknown if matches!(item.event, Event::None | Event::Added) => {
                CopyState::Absent
            }
            copy => copy,
        };
        let live = self.lifecycle == Lifecycle::Live;
        let service_before = match known {
            Some(known) if self.topology_fallback => client_state.service_of(known).to_vec(),
            _ => Vec::new(),
        };
        if let Some(at) = known.and_then(|known| self.held_at.remove(&known)) {
            self.held[at].object = None;
        }
        if item.event == Event::Deleted {
            evaluator.count(&evaluation);
            client_state.remove(evaluator.last_key(), may_filter_out);
            self.regroup(&mut client_state, &service_before, evaluator.rules());
            return Ok(Observation { content, copy: Some(copy), live });
        }
        let id = evaluator.observe(item.buf, version, &evaluation, &mut client_state);
        let object = evaluator.watch_form(item);
        let form = evaluator.form(item, &object, &evaluation, &client_state);
        // If the client may have another form under the same version, the watch emits the object
        // again: some informers treat the list item as a resync.
        let repeats = earlier.under_version.may_differ_from(form);
        // The watch that resumes the list may be that of a client with another form, which then
        // needs this one.
        let checks = match form {
            SentForm::Absent => earlier.last != EmittedForms::None,
            SentForm::Present(_) => earlier.last.may_differ_from(form),
        };
        let keeps = repeats
            || checks
            || self.keeps(&client_state, id, object.len(), &evaluation.judged.keys);
        client_state.keep(id, keeps.then_some((&*object.head, object.tail)));
        if self.holds_back() && matches!(evaluation.judged.keys, Keys::Fallback(_)) {
            client_state.hold(id);
            self.held_at.insert(id, self.held.len());
            self.held.push(HeldSlice { id, object: Some(item.object_bytes().to_vec()), earlier });
            self.held_bytes += item.object.len();
            if self.held_bytes > self.max_held {
                return Err(Fault::held(item.object.start, self.max_held));
            }
            return Ok(Observation::of(Content::Drop));
        }
        evaluator.count(&evaluation);
        client_state.set_view_kind(id, evaluation.judged.view_kind);
        // A client without a rewrite gets every event.
        let is_suppressed = self.suppress_unchanged
            && live
            && evaluator.rules().applies()
            && form != SentForm::Absent
            && client_state.entry(id).sent == Some(form);
        if is_suppressed {
            // The client's copy is still right.
            client_state.suppressed(id);
            count(&evaluator.cluster().live_counters().events_suppressed, 1);
        } else {
            let followup = match form {
                SentForm::Present(_) if repeats => Followup::Repeat,
                // Its original goes when it was looked at.
                _ if checks => Followup::Check,
                _ => Followup::Nothing,
            };
            client_state.received(id, form, version, followup);
        }
        if self.topology_fallback && !self.holds_back() {
            let rules = evaluator.rules();
            self.regroup(&mut client_state, &service_before, rules);
            self.regroup(&mut client_state, rules.service_key(), rules);
        }
        if is_suppressed {
            return Ok(Observation::of(Content::Drop));
        }
        Ok(Observation { content, copy: Some(copy), live })
    }

    /// Passes an object of the API server at `version`.
    pub(super) fn passed(&mut self, event: Event, version: Version, cluster: &Cluster) {
        self.pass(event, None, version, cluster);
    }

    fn pass(
        &mut self,
        event: Event,
        bookmark: Option<Bookmark>,
        version: Version,
        cluster: &Cluster,
    ) {
        match self.lifecycle.pass(event, bookmark) {
            InitialEvents::Same if self.lifecycle == Lifecycle::Live => {
                lock(self.lease.client_state()).advance(version);
            }
            InitialEvents::Same => {}
            InitialEvents::EndBefore | InitialEvents::EndAt(_) => self.begin(version, cluster),
        }
    }

    /// Passes a BOOKMARK or ERROR of the API server.
    pub(super) fn mark(&mut self, item: &Item<'_>, cluster: &Cluster) {
        let bookmark = item.bookmark();
        let version = bookmark.map(|bookmark| bookmark.version).unwrap_or_default();
        self.pass(item.event, bookmark, version, cluster);
    }

    /// The initial events are over: from here on the client's watch can be continued.
    fn begin(&mut self, version: Version, cluster: &Cluster) {
        self.earlier = EarlierCopies::default();
        lock(self.lease.client_state()).begin_at(version);
        self.store_session(Stage::Ready, cluster);
    }

    /// The list, or this page of it, was read to its end.
    pub(super) fn list_ended(&mut self, version: Version, continues: &str, rule: &Rules) {
        if self.lifecycle != Lifecycle::ListPage {
            return;
        }
        if self.pages == Pages::Missed {
            // The client may watch from here, and what the pages before told it is not known.
            if let Some(key) = self.key.clone() {
                lock_sessions(rule.cluster().sessions()).doubt(Arc::new(key), version);
            }
            return;
        }
        let mut client_state = lock(self.lease.client_state());
        client_state.listed_at(version, self.pages == Pages::None);
        if continues.is_empty() && self.topology_fallback && self.pages == Pages::Read {
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
        self.lifecycle = Lifecycle::Ended;
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
            && matches!(self.lifecycle, Lifecycle::ListPage | Lifecycle::Announced)
    }

    /// Whether objects are held back.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Returns the lists that are needed before pending events can be written.
    pub(super) fn needed_lists(&self, kind: SubjectKind) -> Vec<NeededList> {
        // After an ERROR nothing can be emitted any more.
        if self.lifecycle == Lifecycle::Ended {
            return Vec::new();
        }
        let client_state = lock(self.lease.client_state());
        let services = client_state.requested_services();
        services.into_iter().map(|key| NeededList::of(kind, key)).collect()
    }

    /// Evaluates the objects that were held back, and emits each with its edit.
    pub(super) fn release(
        &mut self,
        evaluator: &mut Evaluator,
        mut emit: impl FnMut(&[u8], &Edit),
    ) -> Result<(), Fault> {
        let held = std::mem::take(&mut self.held);
        self.held_at.clear();
        let mut client_state = lock(self.lease.client_state());
        for HeldSlice { id, object, earlier } in held {
            // Another of the same name came later.
            let Some(object) = object else { continue };
            let item = Item::stored(&object, self.encoding);
            evaluator.read_object(&object, self.encoding)?;
            let evaluation = evaluator.evaluate(&item, &mut client_state, Some(id))?;
            evaluator.count(&evaluation);
            let whole = evaluator.watch_form(&item);
            let form = evaluator.form(&item, &whole, &evaluation, &client_state);
            client_state.set_view_kind(id, evaluation.judged.view_kind);
            client_state.released(id, form, earlier.under_version.may_differ_from(form));
            emit(&object, evaluator.edit());
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
        client_state.is_repeated(id) || wanted && room
    }
}
