//! One response on its way through the proxy: from the server's bytes to the client's, and what may
//! be emitted on the way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use bytes::BytesMut;
use poolscope::{Action, BodyRewriter, Reply, ReplyCause, RequestHead, ResponseHead};

use super::client::node_of;
use super::decode::{self, Events, Page, Said};
use super::judge::difference;
use super::mirror::{By, Mirror, check_page};
use super::object::{Kind, Object, Slice};
use super::scene::{Fault, Scene};
use super::server::{Begin, List, Note, Scope, Upstream};
use super::wire::Change;

/// A response that a client waits for.
pub struct Line {
    /// The client's.
    name: String,
    node: String,
    namespace: Option<String>,
    pub upstream: Upstream,
    stream: BodyRewriter,
    /// Bytes on the way to the client.
    pub pipe: VecDeque<u8>,
    /// Nothing more will come out of the proxy.
    pub is_over: bool,
    /// The response ended as HTTP wants it: a list is known to be whole.
    pub is_clean: bool,
    /// Another stream of the same client has taken over.
    pub is_forsaken: bool,
    generation: u64,
    /// Answers to what the stream wanted, on their way.
    answers: Vec<(String, Vec<u8>)>,
    part: Part,
}

enum Part {
    List {
        /// The facts when the response began: place in [`Scene::past`].
        since: usize,
        body: Vec<u8>,
        listed: Option<Vec<Rc<Object>>>,
        /// No page came before.
        lists_whole: bool,
    },
    Watch(Box<Mirror>),
}

/// The result of a request.
pub enum Asked {
    Line(Box<Line>),
    NotReady,
    /// HTTP 410.
    Expired,
}

/// The client of a request.
pub struct Asker<'a> {
    /// The client's.
    pub name: &'a str,
    pub namespace: Option<&'a str>,
    pub agent: &'a str,
}

impl Line {
    pub fn list(
        scene: &mut Scene,
        asker: &Asker<'_>,
        list: &List,
        rv: u64,
        query: &str,
    ) -> Result<Asked, String> {
        let upstream = scene.server.list(scene.setup.subject, list, rv, scene.setup.encoding);
        let part = Part::List {
            since: scene.past.len() - 1,
            body: Vec::new(),
            listed: None,
            lists_whole: list.token.is_none(),
        };
        Line::ask(scene, asker, upstream, part, query)
    }

    /// `held` is what the client has at the resourceVersion that the watch resumes.
    pub fn watch(
        scene: &mut Scene,
        asker: &Asker<'_>,
        begin: Begin,
        bookmarks: bool,
        held: &BTreeMap<String, Slice>,
        query: &str,
    ) -> Result<Asked, String> {
        let (server, namespace) = (&scene.server, asker.namespace);
        let kind = scene.setup.subject;
        let upstream = server.watch(kind, namespace, begin, bookmarks, scene.setup.encoding);
        let mut mirror = Mirror {
            events: Events::default(),
            held: BTreeMap::new(),
            said: BTreeMap::new(),
            high: 0,
            repeats: 0,
            is_initial: !matches!(begin, Begin::At(_)),
            is_announced: begin == Begin::WatchList && bookmarks,
            bookmarks,
            has_failed: false,
            given: BTreeSet::new(),
        };
        if let Begin::At(rv) = begin {
            let progress = scene
                .progress
                .get(&(node_of(asker.name).to_owned(), namespace.map(str::to_owned)))
                .copied()
                .unwrap_or(0);
            mirror.held.clone_from(held);
            mirror.given = scene
                .given
                .get(&(node_of(asker.name).to_owned(), namespace.map(str::to_owned)))
                .cloned()
                .unwrap_or_default();
            mirror.said = server.at(kind, namespace, rv);
            mirror.high = rv;
            mirror.repeats = server.latest(kind, namespace, rv, progress).unwrap_or(0);
        }
        Line::ask(scene, asker, upstream, Part::Watch(Box::new(mirror)), query)
    }

    fn ask(
        scene: &mut Scene,
        asker: &Asker<'_>,
        upstream: Upstream,
        part: Part,
        query: &str,
    ) -> Result<Asked, String> {
        let encoding = scene.setup.encoding;
        let target = format!("{}?{query}", scene.setup.subject.path(asker.namespace));
        let request = RequestHead::get(target)
            .header("Accept", encoding.media_type())
            .header("User-Agent", asker.agent);
        let view = scene.cluster.node(node_of(asker.name));
        let request = view.prepare(request);
        let is_watch = matches!(part, Part::Watch(_));
        let head = ResponseHead::new(upstream.status)
            .header("Content-Type", encoding.content_type(is_watch));
        let opened =
            view.open(&request, &head).map_err(|error| format!("{}: {error}", request.target))?;
        scene.note(format!("{} asks {}", asker.name, request.target));
        let known = &scene.known;
        let has_node = known.has(Kind::Node, None)
            || known.has(Kind::Node, Scope::Name(node_of(asker.name).to_owned()));
        let is_ready = match scene.setup.subject {
            // All facts of a Service are in it, except the own pool.
            Kind::Service => has_node,
            _ => {
                let has_services = known.has(Kind::Service, None)
                    || asker.namespace.is_some() && known.has(Kind::Service, asker.namespace);
                // Without pools node ports alone ask for a node's pool.
                let has_pools = known.has(Kind::Pool, None) && has_node
                    || scene.setup.off && (has_node || scene.setup.services_pass);
                has_services && has_pools
            }
        };
        match opened {
            Action::Forward if upstream.status == 410 => Ok(Asked::Expired),
            Action::Rewrite(_) if !is_ready => {
                Err("a stream was opened before the facts were known".to_owned())
            }
            Action::Rewrite(stream) => Ok(Asked::Line(Box::new(Line {
                name: asker.name.to_owned(),
                node: node_of(asker.name).to_owned(),
                namespace: asker.namespace.map(str::to_owned),
                upstream,
                stream,
                pipe: VecDeque::new(),
                is_over: false,
                is_clean: false,
                is_forsaken: false,
                generation: scene.cluster.generation(),
                answers: Vec::new(),
                part,
            }))),
            Action::Reply(Reply { cause: ReplyCause::MissingFacts(missing), .. }) => match is_ready
            {
                false => Ok(Asked::NotReady),
                true => Err(format!("not ready, and everything is known: {missing:?}")),
            },
            Action::Reply(answer) => {
                let code = decode::status(&answer.body, encoding)?;
                if (answer.status, code, answer.content_type) != (410, 410, encoding.media_type())
                    || !is_watch
                {
                    return Err(format!("{} was answered {answer:?}", request.target));
                }
                scene.stats.expired += 1;
                scene.note("expired at once");
                Ok(Asked::Expired)
            }
            other => Err(format!("{} opened as {other:?}", request.target)),
        }
    }

    pub fn is_watch(&self) -> bool {
        matches!(self.part, Part::Watch(_))
    }

    /// The proxy takes up to `count` bytes from the server. Whether there were any.
    pub fn push(&mut self, scene: &mut Scene, count: usize) -> Result<bool, String> {
        if self.is_over {
            return Ok(false);
        }
        let (bytes, notes) = self.upstream.read(count);
        let mut out = BytesMut::new();
        match scene.setup.fault {
            Fault::Untouched => out.extend_from_slice(&bytes),
            _ => self
                .stream
                .push(&bytes, &mut out)
                .map_err(|error| format!("push of a good body: {error}"))?,
        }
        for note in notes {
            self.note(scene, note);
        }
        self.give(scene, &out, By::Push)?;
        if self.upstream.is_done() {
            self.finish(scene)?;
        } else if !self.needs_refresh(scene) {
            self.compare(scene, "push")?;
        }
        Ok(!bytes.is_empty())
    }

    /// The server's side is over, cleanly or not.
    pub fn finish(&mut self, scene: &mut Scene) -> Result<(), String> {
        if self.is_over {
            return Ok(());
        }
        let mut out = BytesMut::new();
        let result = match scene.setup.fault {
            Fault::Untouched => Ok(()),
            _ => self.stream.finish(&mut out),
        };
        let is_whole = self.upstream.is_done() || self.is_watch() && self.upstream.is_whole();
        self.is_over = true;
        self.is_clean = is_whole;
        if let (Err(error), true) = (&result, is_whole) {
            return Err(format!("finish of a whole body: {error}"));
        }
        self.give(scene, &out, By::Push)?;
        match &mut self.part {
            Part::Watch(mirror) if !mirror.events.is_whole() => {
                Err("a watch ends inside an event".to_owned())
            }
            Part::List { since, body, listed: Some(listed), lists_whole } if is_whole => {
                let page = Page::read(body, scene.setup.subject, scene.setup.encoding)?;
                scene.gives(
                    &self.node,
                    self.namespace.as_deref(),
                    page.items.iter().map(Slice::key),
                );
                check_page(scene, &self.node, *since, &page, listed)?;
                *lists_whole = page.next.is_none() && *lists_whole;
                let unchanged = *since + 1 == scene.past.len();
                let held: BTreeMap<String, Slice> =
                    page.items.into_iter().map(|item| (item.key(), item)).collect();
                let all = listed.iter().map(|item| (item.key.clone(), item.clone())).collect();
                match difference(held.iter(), &scene.known.view(&self.node, &all))
                    .filter(|_| *lists_whole && unchanged)
                {
                    Some(difference) => {
                        Err(format!("a whole list for {} is wrong: {difference}", self.node))
                    }
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// The content of the server's bytes.
    fn note(&mut self, scene: &mut Scene, note: Note) {
        let high = match (&mut self.part, note) {
            (Part::List { listed, .. }, Note::Page { rv, items, .. }) => {
                *listed = Some(items);
                rv
            }
            (Part::Watch(mirror), note) => {
                scene.stats.pushed += 1;
                mirror.note(note);
                mirror.high
            }
            (Part::List { .. }, _) => return,
        };
        let progress =
            scene.progress.entry((self.node.clone(), self.namespace.clone())).or_default();
        *progress = high.max(*progress);
    }

    /// The stream gave these bytes out.
    fn give(&mut self, scene: &mut Scene, bytes: &[u8], by: By) -> Result<(), String> {
        self.pipe.extend(bytes);
        match &mut self.part {
            Part::List { body, .. } => match by {
                By::Push => body.extend_from_slice(bytes),
                By::Refresh if bytes.is_empty() => {}
                By::Refresh => return Err("a refresh of a list says something".to_owned()),
            },
            Part::Watch(mirror) => {
                for said in mirror.events.take(bytes, scene.setup.subject, scene.setup.encoding)? {
                    if let Said::Object(Change::Added | Change::Modified, object) = &said {
                        scene.gives(
                            &self.node,
                            self.namespace.as_deref(),
                            [object.key()].into_iter(),
                        );
                    }
                    scene.note(format!("{} {by:?} {}", self.name, said.brief()));
                    scene.stats.sent += 1;
                    scene.stats.refreshed += u64::from(by == By::Refresh);
                    mirror.take(scene, &self.node, said, by)?;
                }
                if by == By::Refresh && !bytes.is_empty() && !mirror.events.is_whole() {
                    return Err("a refresh ends inside an event".to_owned());
                }
            }
        }
        Ok(())
    }

    /// The response ends if the stream has ended.
    pub fn end_if_over(&mut self) -> bool {
        if !self.is_over && self.stream.is_ended() {
            (self.is_over, self.is_clean) = (true, true);
            return true;
        }
        false
    }

    /// Whether the stream should be refreshed.
    pub fn needs_refresh(&self, scene: &Scene) -> bool {
        !self.is_over
            && self.is_watch()
            && (self.generation != scene.cluster.generation() || self.stream.needs_refresh())
    }

    pub fn refresh(&mut self, scene: &mut Scene) -> Result<bool, String> {
        if self.is_over {
            return Ok(false);
        }
        self.generation = scene.cluster.generation();
        let mut out = BytesMut::new();
        if scene.setup.fault != Fault::Untouched {
            self.stream.refresh(&mut out).map_err(|error| format!("refresh: {error}"))?;
        }
        if !out.is_empty() && scene.loses_refresh() {
            out.clear();
        }
        self.give(scene, &out, By::Refresh)?;
        if self.compare(scene, "refresh")? && self.stream.needs_refresh() {
            return Err("a stream is behind right after a refresh".to_owned());
        }
        Ok(!out.is_empty())
    }

    /// Lists what the stream wants, as of `lag` resourceVersions ago. Whether there was anything.
    pub fn ask_wanted(&mut self, scene: &mut Scene, lag: u64, at: usize) -> Result<bool, String> {
        let wanted = if self.is_over { Vec::new() } else { self.stream.needed_lists() };
        if wanted.is_empty() {
            return Ok(false);
        }
        if self.stream.is_ended() {
            return Err(format!("a stream that is over wants {wanted:?}"));
        }
        let wanted = &wanted[at % wanted.len()];
        let list = List::of_target(scene.setup.subject, &wanted.target)?;
        if list.scope != Scope::Namespace(wanted.namespace.clone())
            || list.service.as_ref().is_some_and(|service| *service != wanted.service)
        {
            return Err(format!("{wanted:?} asks for something else"));
        }
        let mut answer = scene.server.list(
            scene.setup.subject,
            &list,
            scene.server.rv - lag,
            scene.setup.encoding,
        );
        self.answers.push((wanted.target.clone(), answer.read(usize::MAX).0));
        scene.note(format!("{} wants {} (as of {lag} ago)", self.name, wanted.target));
        Ok(true)
    }

    /// Gives the stream an answer to what it wanted. Whether there was one.
    pub fn provide_list(&mut self, scene: &mut Scene, at: usize) -> Result<bool, String> {
        if self.is_over || self.answers.is_empty() {
            return Ok(false);
        }
        let (target, body) = self.answers.swap_remove(at % self.answers.len());
        let head = ResponseHead::ok(scene.setup.encoding.content_type(false));
        let mut out = BytesMut::new();
        scene.note(format!("{} is supplied {target}", self.name));
        self.stream
            .provide_list(&head, &body, &mut out)
            .map_err(|error| format!("supply of {target}: {error}"))?;
        self.give(scene, &out, By::Refresh)?;
        if self.generation == scene.cluster.generation() && !self.stream.needs_refresh() {
            self.compare(scene, "supply")?;
        }
        Ok(true)
    }

    /// Where nothing is pending, whoever got everything holds the filter of what the server has
    /// said. Whether that could be asked.
    fn compare(&mut self, scene: &mut Scene, after: &str) -> Result<bool, String> {
        let Part::Watch(mirror) = &self.part else { return Ok(false) };
        let may_lack = mirror.is_initial
            || mirror.has_failed
            || mirror.high < mirror.repeats
            || !self.upstream.is_between();
        if may_lack
            || self.is_forsaken
            || self.stream.is_ended()
            || !self.stream.needed_lists().is_empty()
        {
            return Ok(false);
        }
        scene.stats.compared += 1;
        match difference(mirror.held.iter(), &scene.known.view(&self.node, &mirror.said)) {
            Some(difference) => Err(format!(
                "after {after} a client of {} that lost nothing is wrong: {difference}",
                self.name
            )),
            None => Ok(true),
        }
    }

    /// Whether the library has ended the watch.
    pub fn has_ended_itself(&self) -> bool {
        self.stream.is_ended()
    }

    /// Returns `true` if pending events must wait until the server announces that the initial
    /// events are over.
    pub fn is_initial(&self) -> bool {
        matches!(&self.part, Part::Watch(mirror) if mirror.is_initial)
    }
}
