//! Random objects of every kind, in both encodings and every form, in random clusters: properties
//! that hold for each of them.

use std::fmt;

use prost::Message;

use crate::build::{Draw, FORMS, Form, KINDS, Kind, Piece, World, text_of};
use crate::oracle::{BetaSlice, Body, Object};
use crate::{Recording, random_chunks, run, schema};

/// One body and the cluster it is filtered in.
#[derive(Clone)]
pub struct Case {
    kind: Kind,
    form: Form,
    world: World,
    recording: Recording,
    /// JSON: the parts of the body.
    pieces: Vec<Piece>,
    seed: u64,
}

impl Case {
    /// The case that these choices make.
    pub fn new(choices: &[u16], protobuf: bool) -> Case {
        let draw = &mut Draw::new(choices);
        let (kind, form) = (draw.of(&KINDS), draw.of(&FORMS));
        let seed = draw.below(1 << 16) as u64;
        let world = World::draw(draw);
        let pieces = if protobuf { Vec::new() } else { draw.json(kind, form) };
        let body = if protobuf { draw.protobuf(kind, form) } else { text_of(&pieces).into_bytes() };
        Case { kind, form, world, recording: kind.recording(form, protobuf, body), pieces, seed }
    }

    fn decode(&self, body: &[u8]) -> Body {
        let mut body = Body::decode(body, self.recording.is_protobuf(), self.form == Form::Watch);
        for (_, object) in &mut body.objects {
            // Where there are no endpoints the naive filter leaves a null.
            if let Object::Beta(BetaSlice(slice)) = object
                && slice["endpoints"].is_null()
            {
                slice["endpoints"] = serde_json::Value::Null;
            }
        }
        body
    }

    /// Filters the body and checks what holds in both encodings. The second answer is of a cluster
    /// with compact lists.
    fn filtered(&self) -> [Vec<u8>; 2] {
        [&self.world.view, &self.world.compact].map(|view| {
            let (recording, body) = (&self.recording, &self.recording.body);
            let filtered = recording.filter(view);
            let chunked = |sizes: &mut dyn Iterator<Item = usize>| {
                run(recording.open(view), body, sizes).unwrap()
            };
            assert!(chunked(&mut std::iter::repeat(1)) == filtered, "byte by byte is different");
            assert!(
                chunked(&mut random_chunks(self.seed, 60)) == filtered,
                "chunks make a difference"
            );
            let twice = Recording { body: filtered.clone(), ..recording.clone() }.filter(view);
            assert!(twice == filtered, "filtering twice is different:\n{}", show(&twice));
            if !self.is_null_list() {
                let before = self.decode(body);
                let expected = before.clone().filtered(&self.world.state, self.world.node);
                assert_eq!(self.decode(&filtered), expected, "not what the naive filter leaves");
                // A change may be hidden from a decoder by a duplicate; the JSON test looks
                // at the bytes.
                let told = *body == filtered || !self.recording.is_protobuf();
                assert!(told || before != expected, "touched without need");
            }
            filtered
        })
    }

    /// The naive decoder wants items to be an array.
    fn is_null_list(&self) -> bool {
        self.form == Form::List
            && !self.recording.is_protobuf()
            && serde_json::from_slice::<serde_json::Value>(&self.recording.body).unwrap()["items"]
                .is_null()
    }

    fn keeps(&self, namespace: &str, service: Option<&str>, on: Option<&str>) -> bool {
        self.world.state.keeps(self.world.node, namespace, service, on)
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let World { node, state, .. } = &self.world;
        writeln!(
            out,
            "{:?} {:?} seen from {node}, seed {}\n{state:?}\n{}",
            self.kind,
            self.form,
            self.seed,
            show(&self.recording.body)
        )
    }
}

fn show(body: &[u8]) -> String {
    std::str::from_utf8(body)
        .map_or_else(|_| body.iter().map(|byte| format!("{byte:02x}")).collect(), str::to_owned)
}

/// The properties of a JSON body.
pub fn check_json(case: &Case) {
    let [filtered, same] = case.filtered();
    assert!(filtered == same, "how protobuf lists are cut makes a difference to JSON");
    let mut rest = case.recording.body.iter();
    assert!(
        filtered.iter().all(|byte| rest.any(|other| other == byte)),
        "bytes that were not there"
    );
    let mut tokens = vec![Token::Exact(String::new())];
    expect(case, &case.pieces, &|_| true, true, &mut tokens);
    if let Err(at) = matches(&filtered, &tokens) {
        panic!("not the bytes that should be left, from byte {at} on:\n{}", show(&filtered));
    }
    let whole = matches!(&*tokens, [Token::Exact(_)]);
    assert_eq!(whole, filtered == case.recording.body, "{}", show(&filtered));
}

/// The rest of a body.
enum Token {
    Exact(String),
    /// White space and commas: which of those between two elements go with a dropped one is not
    /// said here.
    Gap,
}

/// The tokens of the pieces where `keeps` says which endpoints are kept and `judged` whether any
/// could be dropped.
fn expect(
    case: &Case,
    pieces: &[Piece],
    keeps: &dyn Fn(Option<&str>) -> bool,
    judged: bool,
    out: &mut Vec<Token>,
) {
    for piece in pieces {
        match piece {
            Piece::Text(text) | Piece::Endpoint { text, .. } => exact(text, out),
            Piece::Subset(pieces) => expect(case, pieces, keeps, judged, out),
            Piece::Object { namespace, service, judged, pieces } => {
                let keeps =
                    |on: Option<&str>| !judged || case.keeps(namespace, service.as_deref(), on);
                // A view that drops any endpoint drops those without a node.
                expect(case, pieces, &keeps, !keeps(None), out);
            }
            Piece::Array { elements, tail } => {
                let stays = |element: &Piece| stays(element, keeps, judged);
                let all = elements.iter().all(|(_, element)| stays(element));
                exact("[", out);
                for (before, element) in elements.iter().filter(|(_, element)| stays(element)) {
                    if all {
                        exact(before, out)
                    } else {
                        out.push(Token::Gap)
                    }
                    expect(case, std::slice::from_ref(element), keeps, judged, out);
                }
                if all {
                    exact(tail, out)
                } else {
                    out.push(Token::Gap)
                }
                exact("]", out);
            }
        }
    }
}

fn stays(element: &Piece, keeps: &dyn Fn(Option<&str>) -> bool, judged: bool) -> bool {
    match element {
        Piece::Endpoint { node, .. } => keeps(node.as_deref()),
        Piece::Subset(pieces) => {
            let holds = |piece: &Piece| match piece {
                Piece::Array { elements, .. } => {
                    elements.iter().any(|(_, element)| stays(element, keeps, judged))
                }
                _ => false,
            };
            !judged || pieces.iter().any(holds)
        }
        _ => true,
    }
}

fn exact(text: &str, out: &mut Vec<Token>) {
    match out.last_mut() {
        Some(Token::Exact(last)) => last.push_str(text),
        _ => out.push(Token::Exact(text.to_owned())),
    }
}

/// An error is the offset from which on `body` is something else.
fn matches(body: &[u8], tokens: &[Token]) -> Result<(), usize> {
    let mut at = 0;
    for token in tokens {
        match token {
            Token::Exact(text) if body[at..].starts_with(text.as_bytes()) => at += text.len(),
            Token::Exact(_) => return Err(at),
            Token::Gap => {
                at += body[at..].iter().take_while(|byte| b", \r\n\t".contains(byte)).count()
            }
        }
    }
    if at == body.len() { Ok(()) } else { Err(at) }
}

/// The properties of a protobuf body.
pub fn check_protobuf(case: &Case) {
    let before = &case.recording.body;
    let [stream, compact] = case.filtered();
    if case.form == Form::List {
        assert_eq!(stream.len(), before.len(), "a list that streams keeps its length");
    }
    assert_eq!(stream == *before, compact == *before);
    assert!(compact.len() <= stream.len() && stream.len() <= before.len());
    for after in [&stream, &compact] {
        match case.form {
            Form::Watch => compare_frames(case, before, after),
            _ => compare_envelopes(case, before, after),
        }
    }
}

/// One field of a message: its tag as it is written, and what it holds without its length.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Record<'a> {
    number: u64,
    tag: &'a [u8],
    content: &'a [u8],
}

fn records(mut message: &[u8]) -> Vec<Record<'_>> {
    let mut records = Vec::new();
    while !message.is_empty() {
        let (key, tag_len) = varint(message);
        let (tag, rest) = message.split_at(tag_len);
        let (skip, len) = match key & 7 {
            0 => (0, varint(rest).1),
            1 => (0, 8),
            2 => {
                let (len, width) = varint(rest);
                (width, len as usize)
            }
            5 => (0, 4),
            other => panic!("wire type {other}"),
        };
        let (content, rest) = rest[skip..].split_at(len);
        records.push(Record { number: key >> 3, tag, content });
        message = rest;
    }
    records
}

/// A varint and its width.
fn varint(bytes: &[u8]) -> (u64, usize) {
    let width = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    let value =
        bytes[..width].iter().rev().fold(0u64, |value, byte| value << 7 | u64::from(byte & 0x7f));
    (value, width)
}

fn compare_frames(case: &Case, mut before: &[u8], mut after: &[u8]) {
    while let (Some((len, rest)), Some((new_len, new_rest))) =
        (before.split_first_chunk(), after.split_first_chunk())
    {
        let (event, new_event);
        (event, before) = rest.split_at(u32::from_be_bytes(*len) as usize);
        (new_event, after) = new_rest.split_at(u32::from_be_bytes(*new_len) as usize);
        let name = schema::WatchEvent::decode(event).unwrap().r#type;
        if name == "BOOKMARK" {
            assert_eq!(event, new_event);
        }
        compare(event, new_event, 2, |object, new_object| {
            compare(object, new_object, 1, |raw, new_raw| compare_envelopes(case, raw, new_raw));
        });
    }
    assert!(before.is_empty() && after.is_empty());
}

fn compare_envelopes(case: &Case, before: &[u8], after: &[u8]) {
    compare(
        before.strip_prefix(b"k8s\0").unwrap(),
        after.strip_prefix(b"k8s\0").unwrap(),
        2,
        |raw, new_raw| {
            if case.form == Form::List {
                compare(raw, new_raw, 2, |item, new_item| compare_objects(case, item, new_item));
            } else {
                compare_objects(case, raw, new_raw);
            }
        },
    );
}

/// Every record is the same, except that those of field `number` are compared by `inside`.
fn compare(before: &[u8], after: &[u8], number: u64, inside: impl Fn(&[u8], &[u8])) {
    let (before, after) = (records(before), records(after));
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(&after) {
        if before.number == number {
            assert_eq!(after.number, number);
            inside(before.content, after.content);
        } else {
            assert_eq!(before, after);
        }
    }
}

/// The rest of an object is its records without dropped endpoints, and a filler where
/// its size had to stay.
fn compare_objects(case: &Case, before: &[u8], after: &[u8]) {
    if before == after {
        return;
    }
    let (metadata, beta) = match case.kind {
        Kind::Endpoints => (schema::Endpoints::decode(before).unwrap().metadata, false),
        kind => (schema::EndpointSlice::decode(before).unwrap().metadata, kind == Kind::Beta),
    };
    let metadata = metadata.unwrap_or_default();
    let service = match case.kind {
        Kind::Endpoints => Some(metadata.name.as_str()),
        _ => metadata.labels.get("kubernetes.io/service-name").map(String::as_str),
    };
    let keeps = |endpoint: &Record<'_>| {
        let on = if case.kind == Kind::Endpoints {
            schema::EndpointAddress::decode(endpoint.content).unwrap().node_name
        } else if beta {
            schema::Endpoint::decode(endpoint.content)
                .unwrap()
                .topology
                .get("kubernetes.io/hostname")
                .cloned()
        } else {
            schema::Endpoint::decode(endpoint.content).unwrap().node_name
        };
        case.keeps(&metadata.namespace, service, on.as_deref())
    };
    let mut left = Vec::new();
    for record in records(before) {
        match (record.number, case.kind) {
            (2, Kind::Endpoints) => {
                let members = records(record.content);
                let kept: Vec<_> = members
                    .into_iter()
                    .filter(|member| !matches!(member.number, 1 | 2) || keeps(member))
                    .collect();
                if kept.iter().any(|member| matches!(member.number, 1 | 2)) {
                    left.push((record.tag, kept));
                }
            }
            (2, _) if !keeps(&record) => {}
            _ => left.push((record.tag, vec![record])),
        }
    }
    let mut found: Vec<_> = records(after)
        .into_iter()
        .map(|record| match (record.number, case.kind) {
            (2, Kind::Endpoints) => (record.tag, records(record.content)),
            _ => (record.tag, vec![record]),
        })
        .collect();
    if found.len() > left.len() {
        let (_, filler) = found.pop().unwrap();
        assert!(
            case.form == Form::List
                && filler[0].number == 19000
                && filler[0].content.iter().all(|&byte| byte == 0),
            "{filler:?}"
        );
    }
    assert_eq!(found, left);
}

/// Takes each of the fuzzer's bytes for one choice. A choice of 0 stays one, because it means the
/// plainest.
pub fn check(input: &[u8], protobuf: bool) {
    let low = |at: usize, byte: u8| if byte == 0 { 0 } else { byte ^ (at as u8).wrapping_mul(157) };
    let choices: Vec<u16> = input
        .iter()
        .enumerate()
        .map(|(at, &byte)| u16::from_be_bytes([byte, low(at, byte)]))
        .collect();
    let case = Case::new(&choices, protobuf);
    if protobuf { check_protobuf(&case) } else { check_json(&case) }
}
