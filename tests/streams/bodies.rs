//! Valid bodies, and the errors of invalid ones.

use poolscope::{BytesMut, Cluster, Config, FactKind, ProtobufLists, RequestHead};

use super::client::Watch;
use super::facts::{POOL, scene, scene_with};
use super::object::{ENCODINGS, Encoding, object};
use poolscope_testkit::Failed;
use poolscope_testkit::build::{Kind, envelope, record};

/// The output of a body in pieces of one size.
fn pushed(list: &mut Watch, body: &[u8], size: usize) -> Result<Vec<u8>, Failed> {
    let mut out = BytesMut::new();
    for piece in body.chunks(size) {
        list.stream.push(piece, &mut out)?;
    }
    list.stream.finish(&mut out)?;
    Ok(out.to_vec())
}

/// The only place of `needle`.
fn place(body: &[u8], needle: &[u8]) -> usize {
    let places: Vec<usize> = (0..body.len()).filter(|&at| body[at..].starts_with(needle)).collect();
    assert_eq!(places.len(), 1);
    places[0]
}

#[test]
fn a_list_that_is_cut_short_says_whether_in_an_item() {
    for encoding in ENCODINGS {
        let (_facts, client) = scene(encoding);
        let items = [object("web-1", 70, "me"), object("db-1", 71, "other")];
        let body = client.list_body(90, "", &items);
        let items = items.each_ref().map(|item| match encoding {
            Encoding::Json => item.item(Kind::Slice, encoding),
            Encoding::Protobuf => record(2, item.item(Kind::Slice, encoding)),
        });
        let items = items.map(|item| (place(&body, &item), item.len()));
        // Also before the items: in JSON the list's own members, in protobuf the magic.
        let (first, (last, len)) = (items[0].0, items[1]);
        let ends =
            (first..last + len).chain(if encoding == Encoding::Json { 1..first } else { 1..5 });
        for end in ends {
            let in_item = items.iter().any(|&(start, len)| start < end && end < start + len);
            let inside = if in_item { "a list item" } else { "a list" };
            let expected = Failed::truncated(end as u64, inside);
            for size in [1, body.len()] {
                assert_eq!(pushed(&mut client.open(""), &body[..end], size), Err(expected.clone()));
            }
        }
    }
}

#[test]
fn a_list_that_is_too_large_to_be_held_back_is_refused_where_it_begins() {
    let mut config = Config::openyurt();
    config.set_protobuf_lists(ProtobufLists::Compact);
    config.limits_mut().list_bytes = 100;
    let (_facts, client) = scene_with(Encoding::Protobuf, config);
    let body = client.list_body(90, "", &[object("web-1", 70, "me")]);
    // Behind the magic and what the list says it is.
    let start = place(&body, b"EndpointSliceList") + "EndpointSliceList".len();
    for size in [1, 5, start, body.len()] {
        let expected = Failed::too_large("a list", start as u64, 100, "listBytes");
        assert_eq!(pushed(&mut client.open(""), &body, size), Err(expected), "{size}");
    }
}

#[test]
fn a_list_that_does_not_say_its_kind_is_what_was_asked_for() {
    for encoding in ENCODINGS {
        let (mut facts, client) = scene(encoding);
        facts.annotate("web", POOL);
        let (kind, api_version) = ("EndpointSliceList", Kind::Slice.api_version());
        let (says, silent) = match encoding {
            Encoding::Json => (
                format!(r#"{{"kind":"{kind}","apiVersion":"{api_version}","#).into_bytes(),
                vec![b"{".to_vec()],
            ),
            Encoding::Protobuf => {
                let head = |meta: &[u8]| [b"k8s\0", &*record(1, meta)].concat();
                let says = head(&[record(1, api_version), record(2, kind)].concat());
                (
                    says,
                    vec![
                        head(&[record(1, ""), record(2, "")].concat()),
                        head(b""),
                        b"k8s\0".to_vec(),
                    ],
                )
            }
        };
        let body = client.list_body(90, "", &[object("web-1", 70, "me other")]);
        let filtered = pushed(&mut client.open(""), &body, body.len()).unwrap();
        assert!(filtered != body);
        for silent in silent {
            let [body, filtered] = [&body, &filtered]
                .map(|list| [&*silent, list.strip_prefix(&*says).unwrap()].concat());
            assert_eq!(pushed(&mut client.open(""), &body, body.len()).as_ref(), Ok(&filtered));
        }
    }
}

#[test]
fn a_status_in_place_of_an_object_passes() {
    for encoding in ENCODINGS {
        let (_facts, client) = scene(encoding);
        let body = match encoding {
            Encoding::Json => {
                br#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success"}"#.to_vec()
            }
            Encoding::Protobuf => {
                envelope("v1", "Status", &[record(1, ""), record(2, "Success")].concat())
            }
        };
        assert_eq!(pushed(&mut client.open_one("web-1"), &body, 7), Ok(body));
    }
}

#[test]
fn a_node_is_known_when_it_was_read_by_its_name() {
    for encoding in ENCODINGS {
        let (_facts, client) = scene(encoding);
        let cluster = Cluster::new(Config::openyurt()).unwrap();
        let missing =
            || cluster.missing("me").iter().map(|missing| missing.kind).collect::<Vec<_>>();
        assert_eq!(missing(), [FactKind::Service, FactKind::Node, FactKind::NodePool]);
        let body = match encoding {
            Encoding::Json => br#"{"kind":"Node","apiVersion":"v1","metadata":{"name":"me","resourceVersion":"5"}}"#.to_vec(),
            Encoding::Protobuf => {
                envelope("v1", "Node", &record(1, [record(1, "me"), record(6, "5")].concat()))
            }
        };
        let mut feed =
            cluster.read_facts(&RequestHead::get("/api/v1/nodes/me"), &client.head()).unwrap();
        feed.push(&body).unwrap();
        feed.finish().unwrap();
        assert_eq!(missing(), [FactKind::Service, FactKind::NodePool]);
    }
}
