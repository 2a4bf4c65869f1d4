//! One kind of facts: listed, watched, and again.
//!
//! ```text
//!   Due --request--> Sent --200--> Reading --end, fault or silence--> Due
//!                      \---other status, fault or silence--> Due
//!
//!   asked for:  WatchList, or List where the server has none -- complete --> Watch at a version
//!               Watch -- 410, ERROR but 429 --> WatchList or List
//! ```

use std::time::Duration;

use super::delay::{Delay, Random};
use super::request::{FactRequest, FetchId, Form, Wanted, versions};
use crate::cluster::Need;
use crate::node::NodeView;
use crate::object::FactKind;
use crate::object::version::Version;
use crate::stream::FactReader;
use crate::stream::request::ResponseHead;

/// The longest silence before the head of a response, in a list, and among initial events.
const ANSWER: Duration = Duration::from_secs(30);
/// The longest time that the initial events of a WatchList may take: a server that ignores the
/// parameter never ends them.
const INITIAL_EVENTS: Duration = Duration::from_secs(120);
/// The longest silence of a live watch: its server sends a bookmark about every minute.
const SILENCE: Duration = Duration::from_secs(150);
/// A watch that lived so long was no failure.
const LIFE: Duration = Duration::from_secs(5);
/// The server ends a watch after a time between this and twice this, as for client-go.
const TIMEOUT: Duration = Duration::from_secs(300);
/// The longest delay that a server may ask for.
const RETRY_AFTER: Duration = Duration::from_secs(300);

/// One kind of facts.
#[derive(Debug)]
pub(super) struct Source {
    kind: FactKind,
    need: Need,
    /// How often the facts of the kind had been invalidated when they were last read anew.
    invalidations: u64,
    state: State,
    /// The version at which the next watch starts; unknown: all objects are read again.
    resume_at: Version,
    /// The server has not refused a WatchList.
    has_watch_list: bool,
    /// Which of the kind's API versions is asked for.
    version: usize,
    delay: Delay,
}

#[derive(Debug)]
enum State {
    /// The next request is due at this time.
    Due(Duration),
    Sent(Fetch),
    Reading(Fetch, FactReader),
}

/// A request that was sent.
#[derive(Debug, Clone)]
struct Fetch {
    request: FactRequest,
    form: Form,
    /// The request, or the head of the response.
    began: Duration,
    /// The last byte, or the request.
    heard: Duration,
}

/// The result of a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The response is wanted.
    Continue,
    /// The response is wanted, and the source works.
    Answered,
    /// The response is over, or not wanted any more.
    Over,
    /// The request failed, and the next one is due at a time.
    Failed(String, Duration),
}

impl Source {
    pub(super) fn new(kind: FactKind, need: Need, invalidations: u64, now: Duration) -> Source {
        Source {
            kind,
            need,
            invalidations,
            state: State::Due(now),
            resume_at: Version::default(),
            has_watch_list: true,
            version: 0,
            delay: Delay::default(),
        }
    }

    pub(super) fn need(&self) -> Need {
        self.need
    }

    /// Reads everything anew if the facts were invalidated since. Returns the request to cancel.
    pub(super) fn invalidate(&mut self, invalidations: u64, now: Duration) -> Option<FetchId> {
        if std::mem::replace(&mut self.invalidations, invalidations) == invalidations {
            return None;
        }
        let fetching = self.fetching();
        (self.resume_at, self.state) = (Version::default(), State::Due(now));
        fetching
    }

    /// Returns the request whose response is awaited or read.
    pub(super) fn fetching(&self) -> Option<FetchId> {
        self.fetch().map(|fetch| fetch.request.id)
    }

    fn fetch(&self) -> Option<&Fetch> {
        match &self.state {
            State::Due(_) => None,
            State::Sent(fetch) | State::Reading(fetch, _) => Some(fetch),
        }
    }

    /// Returns the time at which a request is due, or at which silence is a failure.
    pub(super) fn due(&self) -> Duration {
        match &self.state {
            State::Due(at) => *at,
            State::Sent(fetch) => fetch.heard + ANSWER,
            State::Reading(fetch, reader) => match (fetch.form, reader.resume_at()) {
                (Form::List, _) => fetch.heard + ANSWER,
                (_, Some(_)) => fetch.heard + SILENCE,
                (_, None) => (fetch.heard + ANSWER).min(fetch.began + INITIAL_EVENTS),
            },
        }
    }

    /// Returns the request that is due.
    pub(super) fn request(
        &mut self,
        id: FetchId,
        node: &NodeView,
        now: Duration,
        random: &mut Random,
    ) -> FactRequest {
        let form = match self.resume_at {
            at if at != Version::default() => Form::Watch(at),
            _ if self.has_watch_list => Form::WatchList,
            _ => Form::List,
        };
        let timeout = TIMEOUT + random.below(TIMEOUT);
        let request = self.wanted(node).request(id, form, timeout);
        self.state = State::Sent(Fetch { request: request.clone(), form, began: now, heard: now });
        request
    }

    fn wanted<'a>(&self, node: &'a NodeView) -> Wanted<'a> {
        Wanted {
            kind: self.kind,
            own_node: (self.need == Need::Own).then(|| node.name()),
            version: versions(self.kind)[self.version],
        }
    }

    pub(super) fn head(
        &mut self,
        head: &ResponseHead,
        node: &NodeView,
        now: Duration,
        random: &mut Random,
    ) -> Outcome {
        let State::Sent(fetch) = &self.state else { return Outcome::Over };
        if head.status != 200 {
            return self.refused(head, node, now, random);
        }
        match node.cluster().read_facts(&fetch.request.head(), head) {
            Ok(reader) => {
                let answered = matches!(fetch.form, Form::Watch(_));
                let fetch = Fetch { began: now, heard: now, ..fetch.clone() };
                self.state = State::Reading(fetch, reader);
                if answered { Outcome::Answered } else { Outcome::Continue }
            }
            Err(error) => self.fail(error.to_string(), Duration::ZERO, now, random),
        }
    }

    /// The response has another status than 200.
    fn refused(
        &mut self,
        head: &ResponseHead,
        node: &NodeView,
        now: Duration,
        random: &mut Random,
    ) -> Outcome {
        let form = self.fetch().map(|fetch| fetch.form);
        let wanted = self.wanted(node);
        let status = head.status;
        match status {
            400 | 422 if form == Some(Form::WatchList) => {
                self.has_watch_list = false;
                self.state = State::Due(now);
                return Outcome::Over;
            }
            // It does not know the version.
            400 | 410 | 422 => self.resume_at = Version::default(),
            404 => {
                self.resume_at = Version::default();
                self.version = (self.version + 1) % versions(self.kind).len();
            }
            _ => {}
        }
        let what_to_do = match status {
            401 => ": the API server does not accept the credentials".to_owned(),
            403 => format!(": grant the account the verbs list and watch on {wanted}"),
            404 => match versions(self.kind) {
                [only] => format!(": the API server does not serve {wanted} in {only}"),
                all => format!(
                    ": the API server does not serve {wanted} in this version; all versions that \
                     are tried: {}",
                    all.join(", ")
                ),
            },
            _ => String::new(),
        };
        let asked = head.values("retry-after").find_map(|value| value.trim().parse().ok());
        let asked = asked.map(Duration::from_secs).unwrap_or_default().min(RETRY_AFTER);
        self.fail(format!("status {status}{what_to_do}"), asked, now, random)
    }

    pub(super) fn push(&mut self, chunk: &[u8], now: Duration, random: &mut Random) -> Outcome {
        let State::Reading(fetch, reader) = &mut self.state else { return Outcome::Over };
        fetch.heard = now;
        let was_complete = reader.resume_at().is_some();
        match reader.push(chunk) {
            Err(error) => self.over(Some(error.to_string()), now, random),
            Ok(()) if reader.error().is_some() => self.over(None, now, random),
            Ok(()) if !was_complete && reader.resume_at().is_some() => Outcome::Answered,
            Ok(()) => Outcome::Continue,
        }
    }

    /// The body ended.
    pub(super) fn end(&mut self, now: Duration, random: &mut Random) -> Outcome {
        let State::Reading(_, reader) = &mut self.state else { return Outcome::Over };
        let fault = reader.finish().err().map(|error| error.to_string());
        self.over(fault, now, random)
    }

    /// No response came, or its body broke off.
    pub(super) fn broke(&mut self, why: &str, now: Duration, random: &mut Random) -> Outcome {
        self.over(Some(why.to_owned()), now, random)
    }

    /// No byte came for too long.
    pub(super) fn silent(&mut self, now: Duration, random: &mut Random) -> Outcome {
        let Some(fetch) = self.fetch() else { return Outcome::Over };
        let seconds = now.saturating_sub(fetch.heard).as_secs();
        let fault = match &self.state {
            // A server that ignores the parameter never announces the end.
            State::Reading(Fetch { form: Form::WatchList, .. }, reader)
                if reader.resume_at().is_none() =>
            {
                self.has_watch_list = false;
                "the initial events did not end: asking for a list from now on".to_owned()
            }
            _ => format!("nothing came for {seconds} s"),
        };
        self.over(Some(fault), now, random)
    }

    /// The response is over: takes what was read, and plans the next request.
    fn over(&mut self, fault: Option<String>, now: Duration, random: &mut Random) -> Outcome {
        let State::Reading(fetch, reader) = &self.state else {
            return match self.fetch() {
                Some(_) => self.fail(fault.unwrap_or_default(), Duration::ZERO, now, random),
                None => Outcome::Over,
            };
        };
        let (form, read_to, error) = (fetch.form, reader.resume_at(), reader.error().cloned());
        let lived = now.saturating_sub(fetch.began);
        if form != Form::List && read_to.is_some() && lived >= LIFE {
            self.delay.reset();
        }
        if form == Form::WatchList && read_to.is_none() && error.is_none() && lived >= ANSWER {
            self.has_watch_list = false;
        }
        self.resume_at = match &error {
            // Only a server that is busy keeps its history.
            Some(error) if error.code != 429 => Version::default(),
            _ => read_to.unwrap_or_default(),
        };
        match (error, fault, read_to) {
            (Some(error), ..) if error.code == 410 => self.again(now, random),
            (Some(error), ..) => self.fail(
                format!("the watch ended with ERROR {}: {}", error.code, error.message),
                Duration::ZERO,
                now,
                random,
            ),
            (None, Some(fault), _) => self.fail(fault, Duration::ZERO, now, random),
            (None, None, None) => {
                let why = match form {
                    Form::List => "the response is no whole list of the kind",
                    _ => "the watch ended before its initial events were over",
                };
                self.fail(why.to_owned(), Duration::ZERO, now, random)
            }
            (None, None, Some(version)) if form == Form::List && version == Version::default() => {
                let why = "the list has no resourceVersion that is a number: no watch can start \
                           there, and it is read again and again";
                self.fail(why.to_owned(), Duration::ZERO, now, random)
            }
            (None, None, Some(_)) if form == Form::List => {
                self.state = State::Due(now);
                Outcome::Over
            }
            (None, None, Some(_)) => self.again(now, random),
        }
    }

    /// The next request is due after the delay; nothing failed.
    fn again(&mut self, now: Duration, random: &mut Random) -> Outcome {
        self.state = State::Due(now + self.delay.after_failure(random));
        Outcome::Over
    }

    /// The next request is due after the delay, at the earliest after `asked`.
    fn fail(
        &mut self,
        why: String,
        asked: Duration,
        now: Duration,
        random: &mut Random,
    ) -> Outcome {
        // The rest of the query is the same in all requests.
        let path = self.fetch().and_then(|fetch| fetch.request.target.split('?').next());
        let path = path.map(|path| format!("GET {path}: ")).unwrap_or_default();
        // Not every node at the same moment.
        let asked = asked + random.below(asked / 4);
        let delay = self.delay.after_failure(random).max(asked);
        self.state = State::Due(now + delay);
        Outcome::Failed(format!("{path}{why}"), delay)
    }
}
