//! Bodies that are cut short, broken, too large or not what was asked for: an error that says
//! where, never a panic, and nothing given out that a client could take for more than it is.

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

const V1: &str = "discovery.k8s.io/v1";
const OTHER_KIND: &str = "an object of another kind or apiVersion than the request asked for";
const WIRE_TYPE: &str = "a field has the wrong wire type";
const TOO_LONG: &str = "a field is longer than the message it is in";
const GROUP: &str = "a group or an unknown wire type, which no Kubernetes schema has";

/// Stands in a body where its fault is.
const FAULT: char = '§';

fn view() -> NodeView {
    small_cluster(Config::openyurt()).node("me")
}

fn limited(limit: impl Fn(&mut Config)) -> NodeView {
    let mut config = Config::openyurt();
    limit(&mut config);
    small_cluster(config).node("me")
}

/// What became of a body.
#[derive(Debug, PartialEq)]
struct Outcome {
    out: Vec<u8>,
    taken: u64,
    result: Result<(), Failed>,
}

/// Pushes a body in chunks of one size. Once it has ended, one way or the other, the stream takes
/// nothing more.
fn push(mut stream: BodyRewriter, body: &[u8], size: usize) -> Outcome {
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

/// What becomes of a body, the same in every chunking.
fn outcome(view: &NodeView, recording: &Recording) -> Outcome {
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

fn refused(
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

fn passed(
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

fn malformed(
    encoding: &'static str,
    offset: usize,
    object: Option<&str>,
    what: &'static str,
) -> Failed {
    Failed::malformed(encoding, offset as u64, object, what)
}

/// Takes the mark out of a text; the text and the place of the mark.
fn marked(text: &str) -> (String, usize) {
    let offset = text.find(FAULT).unwrap_or_else(|| panic!("no mark in {text}"));
    (text.replace(FAULT, ""), offset)
}

/// A slice of Service `shop/pool` with these endpoints.
fn json_slice(endpoints: &str) -> String {
    json_slice_with("", &format!("\"endpoints\":{endpoints}"))
}

/// The same with more in its metadata, and other members.
fn json_slice_with(metadata: &str, members: &str) -> String {
    format!(
        r#"{{"kind":"EndpointSlice","apiVersion":"{V1}","metadata":{{"name":"pool-1","namespace":"shop","labels":{{"kubernetes.io/service-name":"pool"}}{metadata}}},{members}}}"#
    )
}

fn json_event(object: &str) -> String {
    format!("{{\"type\":\"ADDED\",\"object\":{object}}}\n")
}

/// A slice of Service `shop/pool` with these endpoints' contents.
fn slice(endpoints: &[&[u8]]) -> Vec<u8> {
    let label = [record(1, "kubernetes.io/service-name"), record(2, "pool")].concat();
    let mut object =
        record(1, [record(1, "pool-1"), record(3, "shop"), record(11, label)].concat());
    for endpoint in endpoints {
        object.extend(record(2, endpoint));
    }
    object
}

fn on(node: &str) -> Vec<u8> {
    record(6, node)
}

fn list_of(items: &[Vec<u8>]) -> Vec<u8> {
    let items: Vec<u8> = items.iter().flat_map(|item| record(2, item)).collect();
    envelope(V1, "EndpointSliceList", &[record(1, ""), items].concat())
}

/// The only place of `needle`.
fn place(body: &[u8], needle: &[u8]) -> usize {
    let mut places = body.windows(needle.len()).enumerate().filter(|(_, window)| *window == needle);
    let (Some((place, _)), None) = (places.next(), places.next()) else {
        panic!("{needle:x?} is not once in {body:x?}")
    };
    place
}

/// Offsets between the units of a body where a client sees a whole one end.
fn boundaries(body: &[u8], protobuf: bool) -> Vec<usize> {
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

#[test]
fn a_watch_that_is_cut_anywhere_gives_whole_events_and_an_error() {
    let view = cluster("list").node("hz-edge-1");
    let mut cut = 0;
    for name in
        ["watch/endpoints-json.json", "watch/endpoints-proto.pb", "watchlist/endpoints-proto.pb"]
    {
        let recording = Recording::load(name);
        let protobuf = recording.is_protobuf();
        let whole = recording.filter(&view);
        assert!(whole.len() < recording.body.len(), "{name} has something to cut");
        let (taken, given) = (boundaries(&recording.body, protobuf), boundaries(&whole, protobuf));
        assert!(taken.len() > 2);
        for end in 0..recording.body.len() {
            let Outcome { out, result, .. } =
                push(recording.open(&view), &recording.body[..end], 7);
            if taken.contains(&end) {
                assert_eq!(result, Ok(()), "{name} at {end}");
            } else {
                assert_eq!(
                    result,
                    Err(Failed::truncated(end as u64, "a watch event")),
                    "{name} at {end}"
                );
                cut += 1;
            }
            assert!(
                whole.starts_with(&out) && given.contains(&out.len()),
                "{name} at {end}: {} came out",
                out.len()
            );
        }
    }
    assert!(cut > 6000);
}

#[test]
fn a_json_list_or_object_that_is_cut_anywhere_is_an_error() {
    let view = cluster("list").node("hz-edge-1");
    for name in [
        "list/endpoints-json.json",
        "list/endpointslices-limit5-p09-json.json",
        "get/endpointslice-json.json",
    ] {
        let recording = Recording::load(name);
        let whole = recording.filter(&view);
        // The line's end after the last bracket is no part of it.
        for end in 0..recording.body.len() - 1 {
            for size in [7, usize::MAX] {
                let Outcome { out, result, .. } =
                    push(recording.open(&view), &recording.body[..end], size);
                let truncated = |inside| Err(Failed::truncated(end as u64, inside));
                match name.split_once('/').unwrap().0 {
                    "get" => assert!(out.is_empty() && result == truncated("an object")),
                    _ => assert!(
                        whole.starts_with(&out)
                            && (result == truncated("a list")
                                || result == truncated("a list item")),
                        "{name} at {end}"
                    ),
                }
            }
        }
        assert_eq!(
            push(recording.open(&view), &recording.body[..recording.body.len() - 1], 7).result,
            Ok(())
        );
    }
}

#[test]
fn a_protobuf_list_or_object_that_is_cut_is_an_error() {
    let view = cluster("list").node("hz-edge-1");
    for name in [
        "list/endpoints-proto.pb",
        "list/endpointslices-limit5-p09-proto.pb",
        "get/endpointslice-proto.pb",
    ] {
        let recording = Recording::load(name);
        let (body, whole) = (&recording.body, recording.filter(&view));
        // After the object come two empty fields of the envelope, which many encoders leave out.
        assert!(body.ends_with(&[0x1a, 0, 0x22, 0]));
        let object_end = body.len() - 4;
        for end in 0..body.len() {
            let Outcome { out, result, .. } = push(recording.open(&view), &body[..end], 7);
            assert!(whole.starts_with(&out), "{name} at {end}");
            if end >= object_end && (end - object_end) % 2 == 0 {
                assert_eq!(result, Ok(()), "{name} at {end}");
                continue;
            }
            match result {
                Err(error) if error.kind == ErrorKind::Truncated => {
                    assert_eq!(error.offset, Some(end as u64), "{name}")
                }
                other => panic!("{name} at {end}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_list_of_facts_that_is_cut_teaches_nothing() {
    let service = |name: &str| {
        record(2, record(1, [record(1, name), record(3, "shop"), record(6, "7")].concat()))
    };
    let proto = envelope(
        "v1",
        "ServiceList",
        &[record(1, record(2, "9")), service("web"), service("db")].concat(),
    );
    let json = br#"{"kind":"ServiceList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":[{"metadata":{"name":"web","namespace":"shop"}}]}"#;
    for (body, content_type, end) in [
        (&json[..], "application/json", json.len()),
        (&proto[..], "application/vnd.kubernetes.protobuf", proto.len() - 4),
    ] {
        let lacks_services = |cut: usize| {
            let cluster = Cluster::new(Config::openyurt()).unwrap();
            let mut feed = cluster
                .read_facts(&RequestHead::get("/api/v1/services"), &ResponseHead::ok(content_type))
                .unwrap();
            for chunk in body[..cut].chunks(3) {
                feed.push(chunk).unwrap();
            }
            let finished = feed.finish();
            assert!(cut >= end || content_type != "application/json" || finished.is_err());
            cluster.node("me").missing().iter().any(|missing| missing.kind == FactKind::Service)
        };
        for cut in 0..=body.len() {
            assert_eq!(lacks_services(cut), cut < end, "{content_type} at {cut}");
        }
    }
}

#[test]
fn garbage_is_refused_at_its_first_byte() {
    for kind in KINDS {
        for form in FORMS {
            let expected = if form == Form::List {
                "expected a list, which is an object"
            } else {
                "expected an object"
            };
            for body in
                ["garbage", "<html></html>", "[]", "null", "\"text\"", "5", "\u{feff}{}", "}", "\0"]
            {
                let error = refused(&view(), kind, form, false, format!(" \n{body}"));
                assert_eq!(error, malformed("JSON", 2, None, expected), "{kind:?} {form:?} {body}");
            }
            for body in ["garbage", "{\"items\":[]}", "k8s\u{1}rest", "\u{1f}\u{8b}\u{8}\0"] {
                let error = refused(&view(), kind, form, true, body);
                let expected = match form {
                    Form::List => malformed("protobuf", 0, None, "expected `k8s\\0` before a list"),
                    Form::Get => {
                        malformed("protobuf", 0, None, "expected `k8s\\0` before an object")
                    }
                    // The first four bytes are a length.
                    Form::Watch => too_large("a watch event", 0, 16 << 20, "frameBytes"),
                };
                assert_eq!(error, expected, "{kind:?} {form:?} {body}");
            }
        }
    }
    for body in ["", " ", "\n\n"] {
        let truncated = |inside| Failed::truncated(body.len() as u64, inside);
        assert_eq!(refused(&view(), Kind::Slice, Form::List, false, body), truncated("a list"));
        assert_eq!(refused(&view(), Kind::Slice, Form::Get, false, body), truncated("an object"));
        assert_eq!(passed(&view(), Kind::Slice, Form::Watch, false, body), body.as_bytes());
    }
    assert_eq!(refused(&view(), Kind::Slice, Form::List, true, ""), Failed::truncated(0, "a list"));
    assert_eq!(
        refused(&view(), Kind::Slice, Form::Get, true, ""),
        Failed::truncated(0, "an object")
    );
    assert_eq!(passed(&view(), Kind::Slice, Form::Watch, true, ""), b"");
}

#[test]
fn what_is_neither_json_nor_protobuf_nor_plain_is_refused_before_its_first_byte() {
    let view = view();
    for kind in KINDS {
        for form in FORMS {
            let request = kind.recording(form, false, Vec::new()).request;
            for content_type in [
                "application/cbor",
                "application/yaml",
                "text/plain",
                "application/json-seq",
                "json",
                "",
                ";",
            ] {
                let expected = Failed::content_type(&request.target, content_type);
                assert_eq!(
                    view.open(&request, &ResponseHead::ok(content_type))
                        .map_err(Failed::from)
                        .unwrap_err(),
                    expected
                );
            }
            let expected = Failed::content_type(&request.target, "");
            assert_eq!(
                view.open(&request, &ResponseHead::new(200)).map_err(Failed::from).unwrap_err(),
                expected
            );
            for encoding in ["gzip", "br", "deflate", "identity, gzip", "x"] {
                let head =
                    ResponseHead::ok("application/json").header("content-encoding", encoding);
                assert_eq!(
                    view.open_stateless(&request, &head).map_err(Failed::from).unwrap_err(),
                    Failed::content_encoding(encoding)
                );
            }
            for encoding in ["identity", "Identity", ""] {
                let head = ResponseHead::ok("Application/JSON;charset=utf-8")
                    .header("Content-Encoding", encoding);
                assert!(
                    matches!(view.open_stateless(&request, &head), Ok(Action::Rewrite(_))),
                    "{encoding:?}"
                );
            }
            // What is not to be rewritten may be anything.
            let head = ResponseHead::new(404).header("Content-Encoding", "gzip");
            assert!(matches!(view.open_stateless(&request, &head), Ok(Action::Forward)));
        }
    }
    let services = RequestHead::get("/api/v1/services");
    let gzip = ResponseHead::ok("application/json").header("Content-Encoding", "gzip");
    assert_eq!(
        view.cluster().read_facts(&services, &gzip).map_err(Failed::from).unwrap_err(),
        Failed::content_encoding("gzip")
    );
    let expected = Failed::content_type("/api/v1/services", "application/cbor");
    assert_eq!(
        view.cluster()
            .read_facts(&services, &ResponseHead::ok("application/cbor"))
            .map_err(Failed::from)
            .unwrap_err(),
        expected
    );
    assert_eq!(
        view.open(&services, &gzip).map_err(Failed::from).unwrap_err(),
        Failed::content_encoding("gzip")
    );
}

fn too_large(what: &'static str, offset: u64, limit: u64, key: &'static str) -> Failed {
    Failed::too_large(what, offset, limit, key)
}

/// Pushes byte by byte: how many bytes the stream was given when it refused, and why.
fn refused_after(view: &NodeView, form: Form, protobuf: bool, body: &[u8]) -> (usize, Failed) {
    let recording = Kind::Slice.recording(form, protobuf, body.to_vec());
    let (mut stream, mut out) = (recording.open(view), BytesMut::new());
    for (at, byte) in body.iter().enumerate() {
        if let Err(error) = stream.push(&[*byte], &mut out) {
            let error = Failed::from(error);
            assert_eq!(refused(view, Kind::Slice, form, protobuf, body), error);
            return (at + 1, error);
        }
    }
    panic!("{} bytes were taken", body.len());
}

#[test]
fn what_is_over_a_limit_is_refused_before_it_comes() {
    // Larger than the facts, which have the same limits.
    let long = slice(&[&[on("me"), record(1, "1".repeat(200))].concat()]);
    let object = envelope(V1, "EndpointSlice", &long);
    let small = event("ADDED", &object);
    let size = small.len() - 4;
    let frames = |limit: usize| limited(|config| config.limits_mut().frame_bytes = limit);
    // Watches in protobuf: at the length of the frame.
    let body = [small.clone(), small.clone()].concat();
    assert_eq!(passed(&frames(size), Kind::Slice, Form::Watch, true, &body), body);
    let expected = |offset| too_large("a watch event", offset, size as u64 - 1, "frameBytes");
    assert_eq!(refused_after(&frames(size - 1), Form::Watch, true, &body), (4, expected(0)));
    let bookmark = event("BOOKMARK", &envelope(V1, "EndpointSlice", b""));
    assert!(bookmark.len() < small.len());
    let body = [bookmark.clone(), small.clone()].concat();
    assert_eq!(
        refused_after(&frames(size - 1), Form::Watch, true, &body),
        (bookmark.len() + 4, expected(bookmark.len() as u64))
    );
    let huge = [small, vec![0xff; 4]].concat();
    let expected = too_large("a watch event", size as u64 + 4, 16 << 20, "frameBytes");
    assert_eq!(refused_after(&view(), Form::Watch, true, &huge), (huge.len(), expected));
    // Watches in JSON: at the byte that is too much.
    let line = json_event(&json_slice("[]"));
    let size = line.len() - 1;
    let body = line.repeat(2);
    assert_eq!(passed(&frames(size), Kind::Slice, Form::Watch, false, &body), body.as_bytes());
    let expected = too_large("a watch event", 0, size as u64 - 1, "frameBytes");
    assert_eq!(
        refused_after(&frames(size - 1), Form::Watch, false, body.as_bytes()),
        (size, expected)
    );
    let body = format!("{} {line}", json_event("{}"));
    let start = body.find(' ').unwrap() + 1;
    let expected = too_large("a watch event", start as u64, size as u64 - 1, "frameBytes");
    assert_eq!(
        refused_after(&frames(size - 1), Form::Watch, false, body.as_bytes()),
        (start + size, expected)
    );

    let items = |limit: usize| limited(|config| config.limits_mut().item_bytes = limit);
    // Lists in protobuf: at the length of the item.
    let body = envelope(
        V1,
        "EndpointSliceList",
        &[record(2, slice(&[])), record(2, &long), record(2, slice(&[]))].concat(),
    );
    let start = place(&body, &record(2, &long)[..4]);
    assert_eq!(passed(&items(long.len()), Kind::Slice, Form::List, true, &body), body);
    let expected = too_large("a list item", start as u64, long.len() as u64 - 1, "itemBytes");
    assert_eq!(
        refused_after(&items(long.len() - 1), Form::List, true, &body),
        (start + 3, expected)
    );
    // Any field is held while it comes, in the list and around it.
    let meta = record(1, [record(1, V1), record(2, "EndpointSliceList")].concat());
    let huge_list = [0x12, 0xff, 0xff, 0xff, 0xff, 0x0f];
    for (head, tags) in [
        ([b"k8s\0", &*meta].concat(), [0x0a, 0x1a, 0x62]),
        ([b"k8s\0", &*meta, &huge_list].concat(), [0x0a, 0x12, 0x62]),
    ] {
        for tag in tags {
            let body = [&*head, &[tag, 0x80, 0x80, 0x80, 0x09]].concat();
            let expected = too_large("a list item", head.len() as u64, 16 << 20, "itemBytes");
            assert_eq!(refused_after(&view(), Form::List, true, &body), (body.len(), expected));
        }
    }
    // Lists in JSON: items, and members that nobody knows.
    let item = json_slice("[]");
    let body = format!("{{\"items\":[{item},{item}]}}");
    assert_eq!(passed(&items(item.len()), Kind::Slice, Form::List, false, &body), body.as_bytes());
    let expected = too_large("a list item", 10, item.len() as u64 - 1, "itemBytes");
    assert_eq!(
        refused_after(&items(item.len() - 1), Form::List, false, body.as_bytes()),
        (10 + item.len(), expected)
    );
    let (text, number, array) =
        ("t".repeat(299), "1".repeat(301), format!("[{}1]", "1,".repeat(149)));
    for body in [
        format!("{{\"x\":§\"{text}\",\"items\":[]}}"),
        format!("{{§\"{text}\":1,\"items\":[]}}"),
        format!("{{\"x\":§{number},\"items\":[]}}"),
        format!("{{\"metadata\": §{array},\"items\":[]}}"),
    ] {
        let (body, offset) = marked(&body);
        assert_eq!(passed(&items(301), Kind::Slice, Form::List, false, &body), body.as_bytes());
        let expected = too_large("a list item", offset as u64, 300, "itemBytes");
        assert_eq!(
            refused_after(&items(300), Form::List, false, body.as_bytes()),
            (offset + 301, expected),
            "{body}"
        );
    }
    // What stands between items waits with them where they may be left out: no longer than an item
    // may be.
    let services =
        limited(|config| config.set_node_port_isolation(true).limits_mut().item_bytes = 500);
    let request = RequestHead::get("/api/v1/services");
    for (blanks, fits) in [(500, true), (501, false)] {
        let body = format!("{{\"items\":[{}{{}}]}}", " ".repeat(blanks));
        for size in [1, 7, 4096] {
            let Ok(Action::Rewrite(stream)) =
                services.open(&request, &ResponseHead::ok("application/json"))
            else {
                panic!("it is rewritten")
            };
            let outcome = push(stream, body.as_bytes(), size);
            match outcome.result {
                Ok(()) => assert!(fits && outcome.out == body.as_bytes()),
                Err(error) => assert!(
                    !fits
                        && error
                            == too_large("a list item", error.offset.unwrap(), 500, "itemBytes"),
                    "{error:?}"
                ),
            }
        }
    }
    // Single objects: at the byte that is too much.
    for (protobuf, body) in [(false, json_slice("[]").into_bytes()), (true, object)] {
        assert_eq!(passed(&items(body.len()), Kind::Slice, Form::Get, protobuf, &body), body);
        let expected = too_large("an object", 0, body.len() as u64 - 1, "itemBytes");
        assert_eq!(
            refused_after(&items(body.len() - 1), Form::Get, protobuf, &body),
            (body.len(), expected)
        );
    }
}

#[test]
fn what_is_nested_too_deep_is_refused_where_it_gets_too_deep() {
    let view = limited(|config| config.limits_mut().depth = 4);
    let deeper = limited(|config| config.limits_mut().depth = 5);
    let get = |body: &str| (Kind::Slice, Form::Get, body.to_owned());
    let list = |body: &str| (Kind::Slice, Form::List, body.to_owned());
    let watch = |body: &str| (Kind::Slice, Form::Watch, body.to_owned());
    let padding = format!("{:70}", "");
    for (kind, form, body) in [
        // Off the path, on it, and beside it.
        get(r#"{"x":[[[§[]]]]}"#),
        get(r#"{"x":{"x":[{"x":§{}}]}}"#),
        get(&format!(r#"{{"x":{{"x":[{padding}{{"x":{padding}§{{}}}}]}}}}"#)),
        get(r#"{"x":["[[[[\"[",[[ "{" ,§[]]]]}"#),
        get(r#"{"endpoints":[{"x":[§[]]}]}"#),
        get(r#"{"endpoints":[{"nodeName":"me","hints":{"x":§[]}}]}"#),
        get(r#"{"metadata":{"labels":{"a":[§[]]}}}"#),
        // Items and members of a list are counted each by itself.
        list(r#"{"items":[{"x":[[[§[]]]]}]}"#),
        list(r#"{"items":[{"endpoints":[{"x":[§{}]}]}]}"#),
        list(r#"{"x":[[[[§[]]]]],"items":[]}"#),
        list(r#"{"metadata":{"x":[[[§[]]]]},"items":[]}"#),
        watch(r#"{"type":"ADDED","object":{"x":[[§[]]]}}"#),
        watch(r#"{"type":"ADDED","object":{"endpoints":[{"x":§[]}]}}"#),
        (Kind::Endpoints, Form::Get, r#"{"subsets":[{"addresses":[§{}]}]}"#.to_owned()),
        (Kind::Beta, Form::Get, r#"{"endpoints":[{"topology":{"x":§[]}}]}"#.to_owned()),
    ] {
        let (body, offset) = marked(&body);
        let expected = Failed::too_deep(offset as u64, 4);
        assert_eq!(refused(&view, kind, form, false, &body), expected, "{body}");
        assert_eq!(passed(&deeper, kind, form, false, &body), body.as_bytes(), "{body}");
    }
}

#[test]
fn a_million_brackets_are_no_more_than_that() {
    const COUNT: usize = 1 << 20;
    for (open, close) in [("[", "]"), ("{\"x\":", "}")] {
        let body = format!("{{\"x\":{}0{},\"items\":[]}}", open.repeat(COUNT), close.repeat(COUNT));
        for form in [Form::Get, Form::List] {
            let recording = Kind::Slice.recording(form, false, body.clone().into_bytes());
            let deep = limited(|config| config.limits_mut().depth = COUNT + 1);
            assert!(
                run(recording.open(&deep), body.as_bytes(), random_chunks(3, 5000)).unwrap()
                    == body.as_bytes()
            );
            let error =
                run(recording.open(&view()), body.as_bytes(), random_chunks(3, 5000)).unwrap_err();
            // The single object is the first level itself.
            let levels = if form == Form::Get { 511 } else { 512 };
            assert_eq!(
                Failed::from(error),
                Failed::too_deep((5 + levels * open.len()) as u64, 512)
            );
        }
    }
}

#[test]
fn broken_json_is_refused_at_the_byte_that_cannot_be() {
    let of = |form: Form, text: &str, what: &'static str| {
        let (body, offset) = marked(text);
        assert_eq!(
            refused(&view(), Kind::Slice, form, false, &body),
            malformed("JSON", offset, None, what),
            "{text}"
        );
    };
    let (key, colon, value) =
        ("expected a key in double quotes", "expected a colon after a key", "expected a value");
    let item = "expected an item, which is an object";
    for (text, what) in [
        ("{§items:[]}", key),
        ("{\"a\":1,§}", key),
        ("{§,}", key),
        ("{\"a\" §1}", colon),
        ("{\"a\":§}", value),
        ("{\"a\":§]", value),
        ("{\"a\":§oops}", value),
        ("{\"items\":§{}}", "expected `items` to be an array"),
        ("{\"items\":§\"x\"}", "expected `items` to be an array"),
        ("{\"it\\u0065ms\":§{}}", "expected `items` to be an array"),
        ("{\"items\":[§5]}", item),
        ("{\"items\":[§null]}", item),
        ("{\"items\":[§[]]}", item),
        ("{\"items\":[§\"x\"]}", item),
        ("{\"items\":[{},§]}", item),
        ("{\"items\":[§,{}]}", item),
        ("{\"items\":[{}§{}]}", "expected a comma or the end of the items"),
        ("{\"items\":[{}§}", "expected a comma or the end of the items"),
        ("{\"items\":[]§]", "expected a comma or the end of the list"),
        ("{\"items\":[]§\"a\":1}", "expected a comma or the end of the list"),
        ("{\"kind\":\"PodList\"§}", "a list of another kind than the request asked for"),
        ("{\"items\":§true}", "expected `items` to be an array"),
        ("{\"items\":[]} §x", "something follows the list"),
        ("{\"items\":[]}\n§{\"items\":[]}", "something follows the list"),
        ("{§}", "expected a list: an object with `kind` or `items`"),
        ("{\"items\":[{\"kind\":§}]}", value),
        ("{\"items\":[{§5:1}]}", key),
        ("{\"items\":[{\"endpoints\":[{}§{}]}]}", "expected a comma or the end of the array"),
        ("{\"items\":[{\"endpoints\":[{},§]}]}", value),
        ("{\"items\":[{\"endpoints\":[{\"a\":1§]}]}", "expected a comma or the end of the object"),
        ("{\"items\":[{\"x\":[§\\\"]}]}", "a backslash outside of a string"),
    ] {
        of(Form::List, text, what);
    }
    for (text, what) in [
        ("{} §{}", "something follows the object"),
        ("{}§,", "something follows the object"),
        ("{\"endpoints\":[{}]§]}", "expected a comma or the end of the object"),
        ("{\"metadata\":{\"labels\":{\"a\"§}}}", colon),
    ] {
        of(Form::Get, text, what);
    }
    let event = "expected a watch event: an object with `type` and `object`";
    for (text, what) in [
        ("{\"type\":\"ADDED\",\"object\":{}}§,{}", "expected an object"),
        ("{\"type\":\"ADDED\",\"object\":{}}\n§[]", "expected an object"),
        ("{\"type\":\"ADDED\",\"object\":{}}§}", "expected an object"),
        ("§{\"type\":\"ADDED\"}", event),
        ("{\"type\":\"ADDED\",\"object\":{}}\n§{\"object\":{}}", event),
        ("§{}", event),
        ("{\"type\":§ADDED,\"object\":{}}", value),
    ] {
        of(Form::Watch, text, what);
    }
}

#[test]
fn members_that_decide_must_be_what_they_are() {
    let string = "expected a string or null";
    let metadata = |text: &str| json_slice_with(text, "\"endpoints\":[]");
    let address = |text: &str| {
        format!(
            r#"{{"metadata":{{"name":"pool","namespace":"shop"}},"subsets":[{{"notReadyAddresses":[{{"ip":"1","nodeName":{text}}}]}}]}}"#
        )
    };
    let subsets = |text: &str| {
        format!(r#"{{"subsets":{text},"metadata":{{"namespace":"shop","name":"pool"}}}}"#)
    };
    let cases = [
        (Kind::Slice, json_slice("[{\"nodeName\":§5}]"), Some("shop/pool-1"), string),
        (
            Kind::Slice,
            json_slice("[{\"nodeName\":\"me\"},{\"nodeName\":§true}]"),
            Some("shop/pool-1"),
            string,
        ),
        (Kind::Slice, json_slice("[{\"nodeName\":§{\"a\":\"me\"}}]"), Some("shop/pool-1"), string),
        (
            Kind::Slice,
            json_slice("[{\"nodeName\":§[\"me\"],\"nodeName\":\"me\"}]"),
            Some("shop/pool-1"),
            string,
        ),
        (Kind::Slice, json_slice("§{}"), Some("shop/pool-1"), "expected an array of endpoints"),
        (Kind::Slice, json_slice("§\"\""), Some("shop/pool-1"), "expected an array of endpoints"),
        (Kind::Slice, json_slice("[§5]"), Some("shop/pool-1"), "expected an object as endpoint"),
        (
            Kind::Slice,
            json_slice("[§[{\"nodeName\":\"me\"}]]"),
            Some("shop/pool-1"),
            "expected an object as endpoint",
        ),
        (Kind::Slice, metadata(",\"namespace\":§5"), None, string),
        (
            Kind::Slice,
            metadata(",\"labels\":{\"kubernetes.io/service-name\":§5}"),
            Some("shop/pool-1"),
            string,
        ),
        (
            Kind::Slice,
            "{\"kind\":§5,\"metadata\":{\"name\":\"a\\u0062\"}}".to_owned(),
            Some("/ab"),
            string,
        ),
        (Kind::Slice, "{\"apiVersion\":§{}}".to_owned(), None, string),
        (
            Kind::Beta,
            "{\"endpoints\":[{\"topology\":§[]}]}".to_owned(),
            None,
            "expected an object as topology",
        ),
        (
            Kind::Beta,
            "{\"endpoints\":[{\"topology\":{\"kubernetes.io/hostname\":§0}}]}".to_owned(),
            None,
            string,
        ),
        (Kind::Endpoints, address("§5"), Some("shop/pool"), string),
        (Kind::Endpoints, subsets("§{}"), Some("shop/pool"), "expected an array of subsets"),
        (Kind::Endpoints, subsets("[§\"x\"]"), Some("shop/pool"), "expected an object as subset"),
        (
            Kind::Endpoints,
            subsets("[{\"addresses\":§{}}]"),
            Some("shop/pool"),
            "expected an array of addresses",
        ),
        (
            Kind::Endpoints,
            subsets("[{\"addresses\":[§1]}]"),
            Some("shop/pool"),
            "expected an object as address",
        ),
    ];
    for (kind, text, object, what) in cases {
        let list = format!("{{\"items\":[{{}}, {text}]}}");
        for (form, text) in
            [(Form::Get, text.clone()), (Form::List, list), (Form::Watch, json_event(&text))]
        {
            let (body, offset) = marked(&text);
            assert_eq!(
                refused(&view(), kind, form, false, &body),
                malformed("JSON", offset, object, what),
                "{text}"
            );
        }
    }
    assert_eq!(
        refused(
            &view(),
            Kind::Slice,
            Form::Get,
            false,
            marked(&json_slice("[{\"nodeName\":§5}]")).0
        )
        .to_string(),
        "malformed JSON at byte 179 in shop/pool-1: expected a string or null"
    );
}

#[test]
fn null_is_nothing_wherever_it_may_stand() {
    let pass = |kind, body: &str, expected: &str| {
        assert_eq!(
            String::from_utf8(passed(&view(), kind, Form::Get, false, body)).unwrap(),
            expected
        );
    };
    let whole = |kind, body: &str| pass(kind, body, body);
    pass(
        Kind::Slice,
        &json_slice("[null,{\"nodeName\":\"me\"},{\"nodeName\":null}]"),
        &json_slice("[{\"nodeName\":\"me\"}]"),
    );
    whole(Kind::Slice, &json_slice("null"));
    whole(Kind::Slice, r#"{"kind":null,"apiVersion":null,"metadata":null,"endpoints":null}"#);
    whole(
        Kind::Slice,
        r#"{"metadata":{"name":null,"namespace":null,"labels":null},"endpoints":[null]}"#,
    );
    let endpoints = |subsets: &str| {
        format!(r#"{{"metadata":{{"name":"pool","namespace":"shop"}},"subsets":{subsets}}}"#)
    };
    whole(Kind::Endpoints, &endpoints("null"));
    pass(
        Kind::Endpoints,
        &endpoints("[null, {\"addresses\":null}, {\"addresses\":[null,{\"nodeName\":\"me\"}]}]"),
        &endpoints("[{\"addresses\":[{\"nodeName\":\"me\"}]}]"),
    );
    assert_eq!(
        passed(&view(), Kind::Slice, Form::List, false, "{\"items\":null}"),
        b"{\"items\":null}"
    );
    assert_eq!(
        passed(&view(), Kind::Slice, Form::Watch, false, json_event("null")),
        json_event("null").as_bytes()
    );
}

#[test]
fn texts_that_are_not_utf_8_name_no_node() {
    let body = |node: &[u8], hostname: &[u8]| {
        let text = json_slice("[{\"hostname\":\"H\",\"nodeName\":\"me\"},{\"nodeName\":\"N\"}]");
        let (before, after) = text.split_once("\"H\"").unwrap();
        let (between, after) = after.split_once("\"N\"").unwrap();
        [
            before.as_bytes(),
            b"\"",
            hostname,
            b"\"",
            between.as_bytes(),
            b"\"",
            node,
            b"\"",
            after.as_bytes(),
        ]
        .concat()
    };
    let left = |hostname: &[u8]| {
        let whole = body(b"", hostname);
        [&whole[..place(&whole, b",{\"nodeName\":\"\"}")], b"]}"].concat()
    };
    for hostname in [
        &b"\xff\xfe"[..],
        b"\xc3",
        b"\xed\xa0\x80",
        b"\\ud800",
        b"\\uD83D\\u0020",
        b"\0\x1f",
        b"\\q\\u12",
    ] {
        // Off the path such a text passes as it is; on it, it is a node that no pool has.
        assert_eq!(
            passed(&view(), Kind::Slice, Form::Get, false, body(b"friend", hostname)),
            body(b"friend", hostname)
        );
        assert_eq!(
            passed(&view(), Kind::Slice, Form::Get, false, body(b"other", hostname)),
            left(hostname)
        );
        assert_eq!(
            passed(&view(), Kind::Slice, Form::Get, false, body(hostname, b"h")),
            left(b"h")
        );
        for node in [
            [b"me", hostname].concat(),
            [b"m\\u0065", hostname].concat(),
            [hostname, b"me"].concat(),
        ] {
            assert_eq!(
                passed(&view(), Kind::Slice, Form::Get, false, body(&node, b"h")),
                left(b"h"),
                "{node:?}"
            );
        }
    }
    // The same node, written otherwise.
    let same = body(b"fr\\u0069end", b"\xff");
    assert_eq!(passed(&view(), Kind::Slice, Form::Get, false, &same), same);
    // Protobuf names are bytes.
    let object = slice(&[&on("me"), &record(6, b"me\xff"), &record(6, b"\xff")]);
    let left = envelope(V1, "EndpointSlice", &slice(&[&on("me")]));
    assert_eq!(
        passed(&view(), Kind::Slice, Form::Get, true, envelope(V1, "EndpointSlice", &object)),
        left
    );
}

#[test]
fn events_of_any_type_are_filtered() {
    let (before, after) = (json_slice("[{\"nodeName\":\"other\"}]"), json_slice("[]"));
    for kind in [
        "\"ADDED\"",
        "\"MODIFIED\"",
        "\"DELETED\"",
        "\"\\u0041DDED\"",
        "\"added\"",
        "\"\"",
        "5",
        "null",
        "{}",
    ] {
        let event = |object: &str| format!("{{\"object\":{object},\"type\":{kind}}}");
        assert_eq!(
            passed(&view(), Kind::Slice, Form::Watch, false, event(&before)),
            event(&after).as_bytes()
        );
    }
    for kind in ["ADDED", "MODIFIED", "DELETED", "added", "", "\u{0}"] {
        let object =
            |endpoints: &[&[u8]]| event(kind, &envelope(V1, "EndpointSlice", &slice(endpoints)));
        assert_eq!(
            passed(&view(), Kind::Slice, Form::Watch, true, object(&[&on("other")])),
            object(&[])
        );
    }
    // Bookmarks and errors carry no endpoints, however their type is written.
    let bookmark = format!("{{\"object\":{before},\"type\":\"BOOKMAR\\u004b\"}}");
    assert_eq!(passed(&view(), Kind::Slice, Form::Watch, false, &bookmark), bookmark.as_bytes());
    // Items twice: Go's decoder puts the second array over the first, slot by slot, and what the
    // second does not say stays.
    for second in [format!("[{before}]"), "[{}]".to_owned(), "[]".to_owned(), "null".to_owned()] {
        for key in ["items", "\\u0069tems"] {
            let twice = format!("{{\"items\":[{before}],\"{key}\":{second}}}");
            let offset = twice.len() - 1 - second.len() - 1 - (key.len() + 2);
            let fault = malformed("JSON", offset, None, "`items` is given twice in one list");
            assert_eq!(refused(&view(), Kind::Slice, Form::List, false, &twice), fault, "{twice}");
        }
    }
}

#[test]
fn objects_of_another_kind_are_refused() {
    for (kind, api_version) in [
        ("Service", V1),
        ("EndpointSliceList", V1),
        ("EndpointSlice", "discovery.k8s.io/v1beta1"),
        ("EndpointSlice", "v1"),
        ("endpointslice", V1),
    ] {
        let object = format!(
            r#"§{{"kind":"{kind}","metadata":{{"name":"x"}},"apiVersion":"{api_version}","endpoints":[{{}}]}}"#
        );
        let list = format!("{{\"kind\":\"EndpointSliceList\",\"items\":[{object}]}}");
        for (form, text) in
            [(Form::Get, object.clone()), (Form::List, list), (Form::Watch, json_event(&object))]
        {
            let (body, offset) = marked(&text);
            assert_eq!(
                refused(&view(), Kind::Slice, form, false, &body),
                malformed("JSON", offset, Some("/x"), OTHER_KIND),
                "{text}"
            );
        }
        let object = envelope(api_version, kind, &slice(&[]));
        let at = |body: &[u8]| place(body, &slice(&[]));
        assert_eq!(
            refused(&view(), Kind::Slice, Form::Get, true, &object),
            malformed("protobuf", at(&object), None, OTHER_KIND)
        );
        let event = event("MODIFIED", &object);
        assert_eq!(
            refused(&view(), Kind::Slice, Form::Watch, true, &event),
            malformed("protobuf", at(&event), None, OTHER_KIND)
        );
        if kind != "EndpointSliceList" {
            let list = envelope(api_version, &format!("{kind}List"), &record(2, slice(&[])));
            // The list says its kind before its items, its apiVersion is that of the items.
            let expected = match kind {
                "EndpointSlice" => malformed("protobuf", at(&list), None, OTHER_KIND),
                _ => malformed(
                    "protobuf",
                    4,
                    None,
                    "a list of another kind than the request asked for",
                ),
            };
            assert_eq!(refused(&view(), Kind::Slice, Form::List, true, &list), expected);
        }
    }
    // Slices asked for in one version and answered in the other would be read wrongly.
    let v1 = envelope(V1, "EndpointSlice", &slice(&[&on("me")]));
    let at = place(&v1, &slice(&[&on("me")]));
    assert_eq!(
        refused(&view(), Kind::Beta, Form::Get, true, &v1),
        malformed("protobuf", at, None, OTHER_KIND)
    );
    // The last kind counts, as in every decoder.
    let last = json_slice_with("", "\"kind\":\"Pod\"");
    assert_eq!(
        refused(&view(), Kind::Slice, Form::Get, false, last),
        malformed("JSON", 0, Some("shop/pool-1"), OTHER_KIND)
    );
}

/// Pieces of a protobuf body and where among them the fault is.
struct Broken {
    body: Vec<u8>,
    offset: usize,
}

fn broken(before: &[&[u8]], fault: &[u8]) -> Broken {
    let before = before.concat();
    Broken { offset: before.len(), body: [&before, fault].concat() }
}

/// Faults of a field wherever it stands: bytes, how far into them the fault is, and what it is.
const BAD_FIELDS: [(&[u8], usize, &str); 10] = [
    (&[0x02, 0x00], 0, "a field number is out of range"),
    (&[0x00], 0, "a field number is out of range"),
    (&[0x80, 0x80, 0x80, 0x80, 0x10, 0x00], 0, "a field number is out of range"),
    (&[0x63, 0x64], 0, GROUP),
    (&[0x64], 0, GROUP),
    (&[0x66, 0x00], 0, GROUP),
    (&[0x67, 0x00], 0, GROUP),
    (
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
        0,
        "a varint holds more than 64 bits",
    ),
    (
        &[0x62, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0x00],
        1,
        "a varint holds more than 64 bits",
    ),
    (
        &[0x60, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        1,
        "a varint holds more than 64 bits",
    ),
];

/// Makes a body around a field.
type Around = fn(&[u8]) -> Vec<u8>;

#[test]
fn fields_that_cannot_be_are_refused_wherever_they_stand() {
    let view = view();
    for (bytes, into, what) in BAD_FIELDS {
        // Each place makes a body around the bad field.
        let places: [(Form, Around); 12] = [
            (Form::List, |bad| [b"k8s\0", bad].concat()),
            (Form::Get, |bad| [b"k8s\0", bad].concat()),
            (Form::List, |bad| [b"k8s\0", &*record(1, bad)].concat()),
            (Form::Get, |bad| [b"k8s\0", &*record(1, bad)].concat()),
            (Form::List, |bad| envelope(V1, "EndpointSliceList", bad)),
            (Form::List, |bad| envelope(V1, "EndpointSliceList", &record(1, bad))),
            (Form::List, |bad| list_of(&[bad.to_vec()])),
            (Form::Watch, frame),
            (Form::Watch, |bad| frame(&record(2, bad))),
            (Form::Watch, |bad| event("", &envelope(V1, "EndpointSlice", &record(1, bad)))),
            (Form::Get, |bad| envelope(V1, "EndpointSlice", &record(1, record(11, bad)))),
            (Form::Get, |bad| envelope(V1, "EndpointSlice", &record(2, bad))),
        ];
        // Where the bad field comes to stand is seen by another of its size.
        let mark = vec![0xee; bytes.len()];
        for (at, (form, body)) in places.into_iter().enumerate() {
            let (body, offset) = (body(bytes), place(&body(&mark), &mark) + into);
            let error = refused(&view, Kind::Slice, form, true, &body);
            assert_eq!(
                error,
                malformed("protobuf", offset, None, what),
                "{bytes:x?} at place {at}: {body:x?}"
            );
        }
        let address = |bad: &[u8]| envelope("v1", "Endpoints", &record(2, record(2, bad)));
        let expected = malformed("protobuf", place(&address(&mark), &mark) + into, None, what);
        assert_eq!(refused(&view, Kind::Endpoints, Form::Get, true, address(bytes)), expected);
        let topology = |bad: &[u8]| {
            envelope("discovery.k8s.io/v1beta1", "EndpointSlice", &record(2, record(5, bad)))
        };
        let expected = malformed("protobuf", place(&topology(&mark), &mark) + into, None, what);
        assert_eq!(refused(&view, Kind::Beta, Form::Get, true, topology(bytes)), expected);
    }
}

#[test]
fn fields_of_the_wrong_wire_type_are_refused() {
    let meta = &record(1, [record(1, V1), record(2, "EndpointSliceList")].concat());
    let magic: &[u8] = b"k8s\0";
    let number: &[u8] = &[0x08, 0x01];
    let fixed: &[u8] = &[0x15, 1, 2, 3, 4];
    for (form, before, fault) in [
        (Form::List, vec![magic], number),
        (Form::List, vec![magic, meta], fixed),
        (Form::List, vec![magic, meta], &[0x18, 0]),
        (Form::List, vec![magic, meta, &[0x12, 2]], number),
        (Form::List, vec![magic, meta, &[0x12, 5]], fixed),
        (Form::List, vec![magic, meta, &[0x12, 7, 0x0a, 5]], fixed),
        (Form::List, vec![magic, meta, &[0x12, 4, 0x12, 2]], number),
        (Form::List, vec![magic, meta, &[0x12, 7, 0x12, 5]], fixed),
        (Form::List, vec![magic, meta, &[0x12, 6, 0x12, 4, 0x0a, 2]], number),
        (Form::List, vec![magic, meta, &[0x12, 6, 0x12, 4, 0x12, 2]], &[0x30, 1]),
        (Form::Get, vec![magic], number),
        (Form::Get, vec![magic], fixed),
        (Form::Get, vec![magic, &[0x0a, 2]], number),
        (Form::Watch, vec![&[0, 0, 0, 2]], number),
        (Form::Watch, vec![&[0, 0, 0, 5]], fixed),
        (Form::Watch, vec![&[0, 0, 0, 4, 0x12, 2]], number),
    ] {
        let Broken { body, offset } = broken(&before, fault);
        assert_eq!(
            refused(&view(), Kind::Slice, form, true, &body),
            malformed("protobuf", offset, None, WIRE_TYPE),
            "{body:x?}"
        );
    }
    // A fault in an object whose name was read names it.
    let bad = slice(&[&on("me"), &[0x30, 7]]);
    for (form, body) in [
        (Form::Get, envelope(V1, "EndpointSlice", &bad)),
        (Form::List, list_of(std::slice::from_ref(&bad))),
        (Form::Watch, event("ADDED", &envelope(V1, "EndpointSlice", &bad))),
    ] {
        let expected =
            malformed("protobuf", place(&body, &[0x30, 7]), Some("shop/pool-1"), WIRE_TYPE);
        assert_eq!(refused(&view(), Kind::Slice, form, true, &body), expected);
    }
    let subset = record(2, record(1, [0x20, 7]));
    let body = envelope("v1", "Endpoints", &[record(1, record(1, "pool")), subset].concat());
    let expected = malformed("protobuf", place(&body, &[0x20, 7]), Some("/pool"), WIRE_TYPE);
    assert_eq!(refused(&view(), Kind::Endpoints, Form::Get, true, &body), expected);
    // Where no reader looks, any wire type will do.
    let odd = slice(&[&[&on("me")[..], &[0x08, 1, 0x3d, 1, 2, 3, 4]].concat()]);
    let body =
        envelope(V1, "EndpointSlice", &[odd, vec![0x18, 1, 0x21, 1, 2, 3, 4, 5, 6, 7, 8]].concat());
    assert_eq!(passed(&view(), Kind::Slice, Form::Get, true, &body), body);
}

#[test]
fn lengths_past_the_end_are_refused() {
    let meta = &record(1, [record(1, V1), record(2, "EndpointSliceList")].concat());
    let magic: &[u8] = b"k8s\0";
    let (list, message) = ("a field is longer than the list it is in", TOO_LONG);
    for (form, before, fault, what) in [
        (Form::List, vec![magic, meta, &[0x12, 4]], &[0x12, 3, 0, 0][..], list),
        (Form::List, vec![magic, meta, &[0x12, 4]], &[0x0a, 9, 0, 0], list),
        (Form::List, vec![magic, meta, &[0x12, 1]], &[0x12, 0, 0x1a, 0], list),
        (Form::List, vec![magic, meta, &[0x12, 1]], &[0x80, 0x80, 0x1a, 0], list),
        (Form::List, vec![magic, meta, &[0x12, 3]], &[0x6d, 0, 0, 0, 0], list),
        (
            Form::List,
            vec![magic, meta, &[0x12, 2]],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            list,
        ),
        (Form::List, vec![magic, meta, &[0x12, 4, 0x12, 2]], &[0x0a, 1], message),
        (Form::List, vec![magic, meta, &[0x12, 6, 0x12, 4, 0x12, 2]], &[0x32, 1], message),
        (Form::List, vec![magic, meta, &[0x12, 8, 0x12, 6, 0x12, 2, 0x32, 0]], &[0x12, 1], message),
        (Form::Get, vec![magic, &[0x12, 2]], &[0x12, 1, 0x1a, 0], message),
        (
            Form::Get,
            vec![magic, &[0x12, 11]],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            message,
        ),
        (Form::Get, vec![magic, &[0x12, 4]], &[0x6d, 1, 2, 3], message),
        (Form::Watch, vec![&[0, 0, 0, 2]], &[0x0a, 1], message),
        (Form::Watch, vec![&[0, 0, 0, 2]], &[0x12, 0xff], message),
        (Form::Watch, vec![&[0, 0, 0, 4, 0x12, 2]], &[0x0a, 5], message),
        (Form::Watch, vec![&[0, 0, 0, 10, 0x12, 8, 0x0a, 6], magic], &[0x12, 9], message),
    ] {
        let Broken { body, offset } = broken(&before, fault);
        let error = refused(&view(), Kind::Slice, form, true, &body);
        assert_eq!(error, malformed("protobuf", offset, None, what), "{body:x?}");
    }
}

#[test]
fn what_is_given_twice_or_out_of_order_is_refused() {
    let object = envelope(V1, "EndpointSlice", &slice(&[&on("me")]));
    let meta = record(1, [record(1, V1), record(2, "EndpointSlice")].concat());
    let raw = record(2, slice(&[&on("other")]));
    let once = "the object is given twice in one envelope";
    let (magic, inner): (&[u8], Vec<u8>) = (b"k8s\0", record(1, &object));
    let twice = record(2, [inner.clone(), inner.clone()].concat());
    let both = [record(2, &inner), record(2, &inner)].concat();
    let rest = record(2, [inner.clone(), record(1, "")].concat());
    for (form, body, offset, what) in [
        (Form::Get, [magic, &meta, &raw, &raw].concat(), 4 + meta.len() + raw.len(), once),
        (Form::Get, [magic, &raw, &meta, &[0x12, 0]].concat(), 4 + meta.len() + raw.len(), once),
        (Form::Watch, frame(&twice), 4 + 3 + inner.len(), once),
        (Form::Watch, frame(&both), 4 + record(2, &inner).len(), once),
        (Form::Watch, frame(&rest), frame(&rest).len() - 2, once),
        (
            Form::Get,
            [magic, &meta, &raw, &[0x1a, 1, b'x']].concat(),
            4 + meta.len() + raw.len(),
            "the object is encoded once more inside its envelope",
        ),
    ] {
        assert_eq!(
            refused(&view(), Kind::Slice, form, true, &body),
            malformed("protobuf", offset, None, what),
            "{body:x?}"
        );
    }
    let object = json_slice("[]");
    let twice = format!("{{\"object\":{object},\"type\":\"ADDED\",\"object\":null}}");
    let fault = malformed("JSON", twice.len() - 5, None, "the object is given twice in one event");
    assert_eq!(refused(&view(), Kind::Slice, Form::Watch, false, &twice), fault);
    let list = list_of(&[slice(&[&on("me")])]);
    let list = &list[..list.len() - 4];
    let items = &list[place(list, b"EndpointSliceList") + 17..];
    let meta = &list[4..list.len() - items.len()];
    for (body, what) in [
        ([list, items].concat(), "the list is given twice in one envelope"),
        ([list, &[0x12, 0]].concat(), "the list is given twice in one envelope"),
        ([list, meta].concat(), "the list's kind comes after its items"),
        ([list, &[0x1a, 1, b'x']].concat(), "the object is encoded once more inside its envelope"),
        ([list, &[0x0b]].concat(), GROUP),
    ] {
        assert_eq!(
            refused(&view(), Kind::Slice, Form::List, true, &body),
            malformed("protobuf", list.len(), None, what)
        );
    }
    let late = [magic, items, meta].concat();
    assert_eq!(
        refused(&view(), Kind::Slice, Form::List, true, &late),
        malformed("protobuf", 4 + items.len(), None, "the list's kind comes after its items")
    );
    // Something after it that is no field, or half of one.
    let cut = Failed::truncated(list.len() as u64 + 1, "a list");
    assert_eq!(refused(&view(), Kind::Slice, Form::List, true, [list, &[0x7a]].concat()), cut);
    // Fields that nobody knows may follow.
    let longer = [list, &[0x7a, 1, b'x', 0x78, 1]].concat();
    assert_eq!(passed(&view(), Kind::Slice, Form::List, true, &longer), longer);
}

#[test]
fn a_frame_of_no_bytes_is_refused() {
    let good = event("ADDED", &envelope(V1, "EndpointSlice", &slice(&[&on("me"), &on("other")])));
    let left = event("ADDED", &envelope(V1, "EndpointSlice", &slice(&[&on("me")])));
    for before in 0..3 {
        let body = [&*good.repeat(before), &[0; 4], &*good].concat();
        let recording = Kind::Slice.recording(Form::Watch, true, body);
        let Outcome { out, result, .. } = outcome(&view(), &recording);
        assert_eq!(
            result,
            Err(malformed(
                "protobuf",
                before * good.len(),
                None,
                "a frame of no bytes, which clients refuse"
            ))
        );
        assert_eq!(out, left.repeat(before), "the whole events before it came out");
    }
}

#[test]
fn items_whose_size_cannot_be_kept_are_refused() {
    // An item with one endpoint of two bytes, its length written in ever more bytes.
    let item = slice(&[&[]]);
    for width in 1..=10 {
        let mut length = Vec::new();
        varint(item.len() as u64, &mut length);
        while length.len() < width {
            *length.last_mut().unwrap() |= 0x80;
            length.push(0);
        }
        let list = [record(1, ""), vec![0x12], length, item.clone()].concat();
        let body = envelope(V1, "EndpointSliceList", &list);
        if width <= 8 {
            let out = passed(&view(), Kind::Slice, Form::List, true, &body);
            assert_eq!(out.len(), body.len());
            assert!(out != body);
        } else {
            let offset = place(&body, &list) + 2;
            let error = refused(&view(), Kind::Slice, Form::List, true, &body);
            assert!(
                error.kind == ErrorKind::Malformed
                    && error.offset == Some(offset as u64)
                    && error.text.contains("too wide"),
                "{error}"
            );
        }
    }
}

/// Numbers that depend on nothing but the seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % count.max(1)
    }

    /// Flips, takes out, puts in or moves a few bytes.
    fn mutate(&mut self, body: &mut Vec<u8>) {
        for _ in 0..1 + self.below(4) {
            if body.is_empty() {
                return;
            }
            let at = self.below(body.len());
            let len = 1 + self.below(16).min(body.len() - at - 1);
            match self.below(8) {
                0 => body[at] ^= 1 << self.below(8),
                1 => body[at] = self.below(256) as u8,
                2 => body[at] = b"{}[]\",:\\0n \n\x00\x0a\x12\x0b\x80\xff"[self.below(18)],
                3 => drop(body.drain(at..at + len)),
                4 => {
                    drop(body.splice(
                        at..at,
                        (0..len).map(|_| self.below(256) as u8).collect::<Vec<_>>(),
                    ))
                }
                5 => {
                    let piece = body[at..at + len].to_vec();
                    let to = self.below(body.len());
                    drop(body.splice(to..to, piece));
                }
                6 => {
                    let to = self.below(body.len() - len + 1);
                    body.copy_within(at..at + len, to);
                }
                _ => body.truncate(at),
            }
        }
    }
}

/// Pushes a body whole and in chunks: the same comes of both, and once filtered it stays as it is.
/// True if it passed.
fn survives(view: &NodeView, recording: &Recording, seed: usize) -> bool {
    let whole = push(recording.open(view), &recording.body, usize::MAX);
    let chunked = push(recording.open(view), &recording.body, 1 + seed % 300);
    assert!(
        chunked == whole,
        "{} {seed}: {:?}, {:?}",
        recording.name,
        whole.result,
        chunked.result
    );
    if whole.result.is_err() {
        return false;
    }
    let twice = push(recording.open(view), &whole.out, usize::MAX);
    assert!(
        twice.result.is_ok() && twice.out == whole.out,
        "{} {seed}: filtering twice is different",
        recording.name
    );
    true
}

#[test]
fn no_mutation_of_a_recording_makes_it_panic_or_depend_on_chunks() {
    let mut compact = Config::openyurt();
    compact.set_protobuf_lists(ProtobufLists::Compact);
    let views =
        [cluster("list"), cluster_with("list", compact)].map(|cluster| cluster.node("hz-edge-1"));
    let mut numbers = Numbers(0x5eed);
    for suffix in ["json.json", "proto.pb"] {
        let bodies = [
            "list/endpoints",
            "list/endpointslices-limit5-p09",
            "list/endpointslices-limit5-p08",
            "get/endpointslice",
            "watch/endpoints",
            "watchlist/endpoints",
            "watch/endpointslices-ns-no-bookmarks",
        ];
        let bodies = bodies.map(|name| Recording::load(&format!("{name}-{suffix}")));
        let mut passed = 0;
        for seed in 0..2000 {
            let mut recording = bodies[numbers.below(bodies.len())].clone();
            numbers.mutate(&mut recording.body);
            passed += usize::from(survives(&views[seed % 2], &recording, seed));
        }
        assert!((200..1800).contains(&passed), "{suffix}: {passed} passed");
    }
}

#[test]
fn no_mutation_of_a_random_body_makes_it_panic_or_depend_on_chunks() {
    let mut numbers = Numbers(0xb0d1e5);
    for protobuf in [false, true] {
        let mut passed = 0;
        for seed in 0..2000 {
            let choices: Vec<u16> =
                (0..numbers.below(600)).map(|_| numbers.below(1 << 16) as u16).collect();
            let draw = &mut Draw::new(&choices);
            let (kind, form) = (draw.of(&KINDS), draw.of(&FORMS));
            // Left out for now: a frame of another kind after a longer one of slices.
            let world = World::draw(draw);
            let mut body = if protobuf {
                draw.protobuf(kind, form)
            } else {
                text_of(&draw.json(kind, form)).into_bytes()
            };
            numbers.mutate(&mut body);
            let view = if seed % 2 == 0 { &world.view } else { &world.compact };
            passed += usize::from(survives(view, &kind.recording(form, protobuf, body), seed));
        }
        assert!((100..1800).contains(&passed), "{protobuf}: {passed} passed");
    }
}

#[test]
fn no_mutation_of_facts_makes_it_panic() {
    let mut numbers = Numbers(0xfac7);
    let names = [
        "list/services-json.json",
        "list/services-proto.pb",
        "list/nodes-json.json",
        "list/nodes-proto.pb",
        "list/nodepools-json.json",
    ];
    let names = names.iter().chain(&[
        "watch/services-json.json",
        "watch/services-proto.pb",
        "watch/nodepools-json.json",
    ]);
    for recording in names.map(|name| Recording::load(name)) {
        let (mut learned, mut failed) = (0, 0);
        for seed in 0..100 {
            let mut body = recording.body.clone();
            numbers.mutate(&mut body);
            let cluster = Cluster::new(Config::openyurt()).unwrap();
            let mut feed = cluster.read_facts(&recording.request, &recording.head).unwrap();
            let size = 1 + 997 * (seed % 7);
            match body
                .chunks(size)
                .try_for_each(|chunk| feed.push(chunk))
                .and_then(|()| feed.finish())
            {
                Ok(()) => learned += 1,
                Err(error) => {
                    failed += 1;
                    assert!(
                        feed.finish().is_err_and(|error| error.kind() == ErrorKind::Closed),
                        "{}: after {error}",
                        recording.name
                    );
                }
            }
        }
        assert!(learned > 0 && failed > 0, "{}: {learned} {failed}", recording.name);
    }
}
