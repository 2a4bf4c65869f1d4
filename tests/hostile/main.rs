//! Bodies that are cut short, broken, too large or not what was asked for: an error that says
//! where, never a panic, and nothing given out that a client could take for more than it is.

mod content_type;
mod cut;
mod json;
mod limits;
mod mutations;
mod protobuf;

use bytes::BytesMut;
use poolscope::{
    Action, BodyRewriter, Cluster, Config, ErrorKind, FactKind, NodeView, ProtobufLists,
    RequestHead, ResponseHead,
};
use poolscope_testkit::build::{
    Draw, FORMS, Form, KINDS, Kind, World, envelope, event, frame, record, text_of, varint,
};
use poolscope_testkit::small::small_cluster;
use poolscope_testkit::{Failed, Recording, cluster, cluster_with, random_chunks, run};

use limits::*;

pub(crate) const V1: &str = "discovery.k8s.io/v1";
pub(crate) const OTHER_KIND: &str =
    "an object of another kind or apiVersion than the request asked for";
pub(crate) const WIRE_TYPE: &str = "a field has the wrong wire type";
pub(crate) const TOO_LONG: &str = "a field is longer than the message it is in";
pub(crate) const GROUP: &str = "a group or an unknown wire type, which no Kubernetes schema has";

/// Stands in a body where its fault is.
pub(crate) const FAULT: char = '§';

pub(crate) fn view() -> NodeView {
    small_cluster(Config::openyurt()).node("me")
}

pub(crate) fn limited(limit: impl Fn(&mut Config)) -> NodeView {
    let mut config = Config::openyurt();
    limit(&mut config);
    small_cluster(config).node("me")
}

/// The result of a body.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) out: Vec<u8>,
    pub(crate) taken: u64,
    pub(crate) result: Result<(), Failed>,
}

/// Pushes a body in chunks of one size. Once it has ended, one way or the other, the stream takes
/// nothing more.
pub(crate) fn push(mut stream: BodyRewriter, body: &[u8], size: usize) -> Outcome {
    let mut out = BytesMut::new();
    let mut result = body.chunks(size).try_for_each(|chunk| stream.push(chunk, &mut out));
    if result.is_ok() {
        result = stream.finish(&mut out);
    }
    let (taken, given) = (stream.bytes_in(), stream.bytes_out());
    assert_eq!(given, out.len() as u64);
    match &result {
        Ok(()) => assert_eq!(taken, body.len() as u64),
        Err(error) => {
            let offset = error.offset().expect("an error of a body has an offset");
            assert!(taken <= offset, "{error}");
            assert!(error.kind() != ErrorKind::Truncated || offset == body.len() as u64);
        }
    }
    let closed = Err(Failed::closed(taken, given));
    assert_eq!(stream.push(b"{", &mut out).map_err(Failed::from), closed);
    assert_eq!(stream.finish(&mut out).map_err(Failed::from), closed);
    assert_eq!(
        (stream.bytes_in(), stream.bytes_out(), out.len() as u64),
        (taken, given, given),
        "a closed stream is still"
    );
    Outcome { out: out.to_vec(), taken, result: result.map_err(Failed::from) }
}

/// The result of a body, which is the same in every chunking.
pub(crate) fn outcome(view: &NodeView, recording: &Recording) -> Outcome {
    let expected = push(recording.open(view), &recording.body, 1);
    for size in [2, 7, recording.body.len().max(1)] {
        let outcome = push(recording.open(view), &recording.body, size);
        assert_eq!(
            outcome,
            expected,
            "in chunks of {size}: {:?}",
            String::from_utf8_lossy(&recording.body)
        );
    }
    expected
}

pub(crate) fn refused(
    view: &NodeView,
    kind: Kind,
    form: Form,
    protobuf: bool,
    body: impl AsRef<[u8]>,
) -> Failed {
    let body = body.as_ref();
    let Outcome { out, result, .. } = outcome(view, &kind.recording(form, protobuf, body.to_vec()));
    let passed = || {
        panic!("{:?} passed as {:?}", String::from_utf8_lossy(body), String::from_utf8_lossy(&out))
    };
    result.map_or_else(|error| error, |()| passed())
}

pub(crate) fn passed(
    view: &NodeView,
    kind: Kind,
    form: Form,
    protobuf: bool,
    body: impl AsRef<[u8]>,
) -> Vec<u8> {
    let Outcome { out, result, .. } =
        outcome(view, &kind.recording(form, protobuf, body.as_ref().to_vec()));
    assert_eq!(result, Ok(()), "{:?}", String::from_utf8_lossy(body.as_ref()));
    out
}

pub(crate) fn malformed(
    encoding: &'static str,
    offset: usize,
    object: Option<&str>,
    what: &'static str,
) -> Failed {
    Failed::malformed(encoding, offset as u64, object, what)
}

/// Takes the mark out of a text; the text and the place of the mark.
pub(crate) fn marked(text: &str) -> (String, usize) {
    let offset = text.find(FAULT).unwrap_or_else(|| panic!("no mark in {text}"));
    (text.replace(FAULT, ""), offset)
}

/// A slice of Service `shop/pool` with these endpoints.
pub(crate) fn json_slice(endpoints: &str) -> String {
    json_slice_with("", &format!("\"endpoints\":{endpoints}"))
}

/// The object with more metadata, and other members.
pub(crate) fn json_slice_with(metadata: &str, members: &str) -> String {
    format!(
        r#"{{"kind":"EndpointSlice","apiVersion":"{V1}","metadata":{{"name":"pool-1","namespace":"shop","labels":{{"kubernetes.io/service-name":"pool"}}{metadata}}},{members}}}"#
    )
}

pub(crate) fn json_event(object: &str) -> String {
    format!("{{\"type\":\"ADDED\",\"object\":{object}}}\n")
}

/// A slice of Service `shop/pool` with these endpoints' contents.
pub(crate) fn slice(endpoints: &[&[u8]]) -> Vec<u8> {
    let label = [record(1, "kubernetes.io/service-name"), record(2, "pool")].concat();
    let mut object =
        record(1, [record(1, "pool-1"), record(3, "shop"), record(11, label)].concat());
    for endpoint in endpoints {
        object.extend(record(2, endpoint));
    }
    object
}

pub(crate) fn on(node: &str) -> Vec<u8> {
    record(6, node)
}

pub(crate) fn list_of(items: &[Vec<u8>]) -> Vec<u8> {
    let items: Vec<u8> = items.iter().flat_map(|item| record(2, item)).collect();
    envelope(V1, "EndpointSliceList", &[record(1, ""), items].concat())
}

/// The only place of `needle`.
pub(crate) fn place(body: &[u8], needle: &[u8]) -> usize {
    let mut places = body.windows(needle.len()).enumerate().filter(|(_, window)| *window == needle);
    let (Some((place, _)), None) = (places.next(), places.next()) else {
        panic!("{needle:x?} is not once in {body:x?}")
    };
    place
}

/// Offsets between the units of a body where a client sees a whole one end.
pub(crate) fn boundaries(body: &[u8], protobuf: bool) -> Vec<usize> {
    let mut ends = vec![0];
    if protobuf {
        let mut at = 0;
        while let Some(len) = body.get(at..).and_then(|rest| rest.first_chunk()) {
            at += 4 + u32::from_be_bytes(*len) as usize;
            ends.push(at);
        }
    } else {
        let mut events =
            serde_json::Deserializer::from_slice(body).into_iter::<serde_json::Value>();
        while let Some(Ok(_)) = events.next() {
            // Whether the line's end has come as well makes no difference.
            ends.extend([events.byte_offset(), events.byte_offset() + 1]);
        }
    }
    ends
}
