//! The streams of the recorded life.

use super::*;

#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) event: String,
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) ends_initial_events: bool,
    pub(crate) object: Object,
}

impl Event {
    pub(crate) fn of(event: String, object: Object) -> Event {
        let metadata = metadata(&object);
        Event {
            event,
            name: name(&metadata),
            version: metadata.resource_version.parse().unwrap(),
            ends_initial_events: metadata
                .annotations
                .get("k8s.io/initial-events-end")
                .is_some_and(|value| value == "true"),
            object,
        }
    }

    pub(crate) fn is(&self, event: &str) -> bool {
        self.event == event
    }

    pub(crate) fn same(&self, other: &Event) -> bool {
        (&self.event, &self.name, self.version) == (&other.event, &other.name, other.version)
    }
}

impl std::fmt::Display for Event {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} {}@{}", self.event, self.name, self.version)
    }
}

/// The length of the first whole event.
pub(crate) fn first_event(bytes: &[u8], protobuf: bool) -> Option<usize> {
    let len = match protobuf {
        true => 4 + u32::from_be_bytes(*bytes.first_chunk()?) as usize,
        false => 1 + bytes.iter().position(|&byte| byte == b'\n')?,
    };
    (len <= bytes.len()).then_some(len)
}

/// Decodes the whole events that `bytes` begins with; where each ends.
pub(crate) fn events(bytes: &[u8], protobuf: bool) -> Vec<(usize, Event)> {
    let (mut events, mut at) = (Vec::new(), 0);
    while let Some(len) = first_event(&bytes[at..], protobuf) {
        let (event, object) =
            Body::decode(&bytes[at..at + len], protobuf, true).objects.pop().unwrap();
        at += len;
        events.push((at, Event::of(event, object)));
    }
    events
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Service,
    Node,
    NodePool,
    /// The filtered kind: slices, or Endpoints.
    Endpoints,
}

/// One recorded watch.
pub(crate) struct Line {
    pub(crate) of: Of,
    pub(crate) recording: Recording,
    pub(crate) events: Vec<(usize, Event)>,
    /// Where each chunk of the server ended, and when it came.
    pub(crate) chunks: Vec<(usize, u64)>,
}

impl Line {
    pub(crate) fn load(of: Of, name: &str) -> Line {
        let recording = Recording::load(name);
        let meta = format!("{DATA}/recorded/{}.meta.json", name.rsplit_once('.').unwrap().0);
        let meta: Value = serde_json::from_str(&fs::read_to_string(meta).unwrap()).unwrap();
        let mut end = 0;
        let chunks = meta["chunksBytesAtMs"].as_array().unwrap().iter().map(|chunk| {
            end += chunk[0].as_u64().unwrap() as usize;
            (end, chunk[1].as_u64().unwrap())
        });
        let chunks = chunks.collect();
        let events = events(&recording.body, recording.is_protobuf());
        assert_eq!(
            (end, events.last().unwrap().0),
            (recording.body.len(), recording.body.len()),
            "{name}"
        );
        Line { of, recording, events, chunks }
    }

    pub(crate) fn asks(&self, parameter: &str) -> bool {
        self.recording.request.target.contains(parameter)
    }

    /// How many events come first, in the order of their names: the state at the beginning.
    pub(crate) fn initial(&self) -> usize {
        match self.asks("sendInitialEvents=true") {
            true => {
                1 + self.events.iter().position(|(_, event)| event.ends_initial_events).unwrap()
            }
            false if self.asks("resourceVersion=242") => 0,
            false => self.events.iter().position(|(_, event)| !event.is("ADDED")).unwrap(),
        }
    }
}

/// How the client and the facts get their first state, and which endpoints are asked for.
pub(crate) struct Form {
    pub(crate) name: &'static str,
    pub(crate) protobuf: bool,
    /// Bodies that the client lists before it watches.
    pub(crate) lists: Vec<Recording>,
    pub(crate) facts_as_lists: bool,
    /// The last one is the client's own.
    pub(crate) lines: Vec<Line>,
    pub(crate) selects: fn(&schema::ObjectMeta) -> bool,
}

impl Form {
    pub(crate) fn new(
        name: &'static str,
        protobuf: bool,
        lists: &[&str],
        facts: &str,
        watch: &str,
        selects: fn(&schema::ObjectMeta) -> bool,
    ) -> Form {
        let suffix = if protobuf { "proto.pb" } else { "json.json" };
        let lists =
            lists.iter().map(|list| Recording::load(&format!("list/{list}-{suffix}"))).collect();
        let line = |of, watch: &str| Line::load(of, &format!("{watch}-{suffix}"));
        let lines = vec![
            line(Of::Service, &format!("{facts}/services")),
            line(Of::Node, &format!("{facts}/nodes")),
            Line::load(Of::NodePool, &format!("{facts}/nodepools-json.json")),
            line(Of::Endpoints, watch),
        ];
        Form { name, protobuf, lists, facts_as_lists: facts == "watch", lines, selects }
    }

    pub(crate) fn list_then_watch(protobuf: bool) -> Form {
        Form::new(
            "list, then watch",
            protobuf,
            &["endpointslices"],
            "watch",
            "watch/endpointslices",
            |_| true,
        )
    }

    pub(crate) fn pages_then_watch(protobuf: bool) -> Form {
        let pages: Vec<String> =
            (1..=9).map(|page| format!("endpointslices-limit5-p{page:02}")).collect();
        let pages: Vec<&str> = pages.iter().map(String::as_str).collect();
        Form::new("pages, then watch", protobuf, &pages, "watch", "watch/endpointslices", |_| true)
    }

    pub(crate) fn watch_list(protobuf: bool) -> Form {
        Form::new("watch-list", protobuf, &[], "watchlist", "watchlist/endpointslices", |_| true)
    }

    pub(crate) fn not_headless() -> [Form; 2] {
        let selects: fn(&schema::ObjectMeta) -> bool =
            |metadata| !metadata.labels.contains_key("service.kubernetes.io/headless");
        let slices = "endpointslices-not-headless";
        [
            Form::new(
                "selected list, then watch",
                true,
                &[slices],
                "watch",
                &format!("watch/{slices}"),
                selects,
            ),
            Form::new(
                "selected watch-list",
                true,
                &[],
                "watchlist",
                &format!("watchlist/{slices}"),
                selects,
            ),
        ]
    }

    /// Watches of one namespace whose initial events nothing announces; without bookmarks, too.
    pub(crate) fn legacy() -> [Form; 4] {
        [
            ("endpointslices-ns-rv0", false),
            ("endpointslices-ns-rv0", true),
            ("endpointslices-ns-no-rv", false),
            (NO_RV_BOOKMARKS, true),
        ]
        .map(|(watch, protobuf)| {
            Form::new(watch, protobuf, &[], "watch", &format!("watch/{watch}"), |metadata| {
                metadata.namespace == "iot"
            })
        })
    }

    pub(crate) fn endpoints(protobuf: bool) -> [Form; 2] {
        [
            Form::new(
                "Endpoints: list, then watch",
                protobuf,
                &["endpoints"],
                "watch",
                "watch/endpoints",
                |_| true,
            ),
            Form::new(
                "Endpoints: watch-list",
                protobuf,
                &[],
                "watchlist",
                "watchlist/endpoints",
                |_| true,
            ),
        ]
    }

    pub(crate) fn client_line(&self) -> &Line {
        self.lines.last().unwrap()
    }
}

pub(crate) const NO_RV_BOOKMARKS: &str = "endpointslices-ns-no-rv-bookmarks";
