//! Text and bytes as C gives them: pointer and length, and what is not text.

use std::ffi::c_char;
use std::ptr;

use poolscope_capi::poolscope_status::{self, *};
use poolscope_capi::*;

use super::c::{self, Failure, Place, ended};
use poolscope_testkit::Recording;

const NO_TEXT: [&[u8]; 3] = [b"\xff", b"Service\xc3", b"\xed\xa0\x80"];

#[track_caller]
fn refused<T>(result: c::Result<T>, argument: &str) {
    let failed = result.err().unwrap();
    assert_eq!(failed.status, POOLSCOPE_ERR_INVALID_ARGUMENT, "{failed:?}");
    assert!(
        failed.message.contains(&format!("`{argument}`")) && failed.message.contains("UTF-8"),
        "{failed:?}"
    );
}

#[test]
fn what_is_no_text_is_refused_where_text_is_wanted() {
    let cluster = c::Cluster::new("{}").unwrap();
    let node = cluster.node("me").unwrap();
    let inventory = c::Inventory::new();
    for bytes in NO_TEXT {
        refused(c::Cluster::new(bytes), "config");
        let head = c::ResponseHead::new(200);
        refused(node.open(&c::RequestHead::new(bytes, "/api"), &head), "method");
        refused(node.open(&c::RequestHead::new("GET", bytes), &head), "target");
        refused(node.prepare(&c::RequestHead::new("GET", bytes)), "target");
        refused(cluster.read_facts(&c::RequestHead::new("GET", bytes), &head), "target");
        refused(cluster.node(bytes), "name");
        refused(cluster.invalidate_source(bytes), "kind");
        refused(node.judge(bytes, "web", "me"), "ns");
        refused(node.judge("shop", bytes, "me"), "service");
        refused(node.judge("shop", "web", bytes), "on");
        refused(inventory.find(&node, bytes, "web"), "ns");
        refused(inventory.find(&node, "shop", bytes), "service");
    }
}

#[test]
fn names_of_headers_are_text() {
    let node = c::Cluster::new("{}").unwrap().node("me").unwrap();
    for bytes in NO_TEXT {
        let (mut request, mut head) = (c::RequestHead::new("GET", "/"), c::ResponseHead::new(200));
        head.add_header(bytes, "value");
        refused(node.open(&request, &head), "header name");
        request.add_header(bytes, "value");
        refused(node.prepare(&request), "header name");
    }
}

#[test]
fn values_of_headers_may_be_any_bytes() {
    let list = Recording::load("list/endpointslices-json.json");
    let (mut request, mut head) =
        (c::RequestHead::of(&list.request), c::ResponseHead::of(&list.head));
    for bytes in NO_TEXT {
        request.add_header("X-Note", bytes);
        head.add_header("X-Note", bytes);
    }
    // They stand in nobody's way.
    let cluster = c::Cluster::new(r#"{"rewrites":{"serviceTopology":false}}"#).unwrap();
    let node = cluster.node("me").unwrap();
    let opened = node.open(&request, &head).unwrap();
    assert_eq!(opened.what, poolscope_action::POOLSCOPE_ACTION_FORWARD);
    let prepared = node.prepare(&request).unwrap().read();
    let notes = prepared.iter().filter(|(name, _)| name == "X-Note");
    assert!(
        notes.clone().count() == NO_TEXT.len()
            && notes.clone().all(|(_, v)| v.contains('\u{fffd}'))
    );
}

/// Pointers that must not be looked at.
const NOWHERE: [*const c_char; 2] = [ptr::null(), ptr::without_provenance(1)];

#[test]
fn of_length_0_the_pointer_is_not_looked_at() {
    let facts = c::Cluster::new("{}").unwrap();
    for nowhere in NOWHERE {
        let mut error = Place::DIRT;
        let (mut prepared, mut node, mut verdict) = (Place::DIRT, Place::DIRT, Place::DIRT);
        // SAFETY: lengths are 0, handles are live and freed once.
        unsafe {
            let ok = |status: poolscope_status, error| assert_eq!(ended(status, error), Ok(()));
            ok(poolscope_cluster_node(facts.0, nowhere, 0, &raw mut node, &raw mut error), error);
            let node = c::Node(node);
            let header =
                poolscope_header { name: nowhere, name_len: 0, value: nowhere, value_len: 0 };
            for (headers, header_count) in [(&raw const header, 1), (nowhere.cast(), 0)] {
                let request = poolscope_request {
                    method: nowhere,
                    method_len: 0,
                    target: nowhere,
                    target_len: 0,
                    headers,
                    header_count,
                };
                ok(
                    poolscope_node_prepare(node.0, &request, &raw mut prepared, &raw mut error),
                    error,
                );
                assert_eq!(
                    c::Headers(prepared).read(),
                    vec![(String::new(), String::new()); header_count]
                );
            }
            ok(
                poolscope_node_judge(
                    node.0,
                    nowhere,
                    0,
                    nowhere,
                    0,
                    nowhere,
                    0,
                    &raw mut verdict,
                    &raw mut error,
                ),
                error,
            );
            let verdict = c::Text(verdict).read();
            assert!(
                verdict.contains(r#""kept":true"#) && verdict.contains(r#""pools":[]"#),
                "{verdict}"
            );
            let status = poolscope_cluster_invalidate_source(facts.0, nowhere, 0, &raw mut error);
            assert_eq!(
                ended(status, error).unwrap_err().status,
                POOLSCOPE_ERR_INVALID_ARGUMENT,
                "there is no kind without a name"
            );
            let mut cluster: *mut poolscope_cluster = Place::DIRT;
            let status = poolscope_cluster_new(nowhere, 0, &raw mut cluster, &raw mut error);
            assert_eq!(
                ended(status, error).unwrap_err().status,
                POOLSCOPE_ERR_CONFIG,
                "nothing is no document"
            );
            assert!(cluster.is_null());
        }
    }
}

#[test]
fn no_bytes_may_be_pushed_from_nowhere() {
    let recording = Recording::load("list/endpointslices-json.json");
    let services = Recording::load("list/services-json.json");
    let facts = c::Cluster::new(r#"{"membership":"off"}"#).unwrap();
    let mut feed = facts
        .read_facts(&c::RequestHead::of(&services.request), &c::ResponseHead::of(&services.head))
        .unwrap();
    let mut error = Place::DIRT;
    for nowhere in NOWHERE {
        // SAFETY: the length is 0.
        let status =
            unsafe { poolscope_fact_reader_push(feed.0, nowhere.cast(), 0, &raw mut error) };
        assert_eq!(ended(status, error), Ok(()));
    }
    feed.push(&services.body).unwrap();
    feed.finish().unwrap();
    let (request, head) =
        (c::RequestHead::of(&recording.request), c::ResponseHead::of(&recording.head));
    let open = || facts.node("me").unwrap().open(&request, &head).unwrap().take_stream().unwrap();
    let (mut stream, mut whole) = (open(), open());
    let half = recording.body.len() / 2;
    let mut given = stream.push(&recording.body[..half]).1;
    for nowhere in NOWHERE {
        let (mut out, mut out_len): (*const u8, usize) = (Place::DIRT, Place::DIRT);
        // SAFETY: the length is 0.
        let status = unsafe {
            poolscope_stream_push(
                stream.0,
                nowhere.cast(),
                0,
                &raw mut out,
                &raw mut out_len,
                &raw mut error,
            )
        };
        assert_eq!((ended(status, error), out_len), (Ok(()), 0));
    }
    given.extend(stream.push(&recording.body[half..]).1);
    given.extend(stream.finish().1);
    assert!(given == whole.push(&recording.body).1);
    let mut inventory = c::Inventory::new();
    assert_eq!(inventory.load(b"").unwrap_err().status, POOLSCOPE_ERR_MALFORMED);
}

#[test]
fn a_length_beyond_memory_is_refused() {
    let mut cluster: *mut poolscope_cluster = Place::DIRT;
    let mut error = Place::DIRT;
    // SAFETY: no such text can be, so nothing is read.
    let status = unsafe {
        poolscope_cluster_new(c"{}".as_ptr(), usize::MAX, &raw mut cluster, &raw mut error)
    };
    let failed = ended(status, error).unwrap_err();
    assert!(
        failed.status == POOLSCOPE_ERR_INVALID_ARGUMENT && failed.message.contains("`config`"),
        "{failed:?}"
    );
    assert!(cluster.is_null());
}

#[test]
fn text_need_not_end_with_a_nul_and_ends_where_it_is_said_to() {
    let config = br#"{"retention":"none"}{"and what stands behind it"#;
    let facts = c::Cluster::new(&config[..20]).unwrap();
    assert!(facts.counters().starts_with('{'));
    let name = "hz-edge-1 and more";
    let node = facts.node(&name[..9]).unwrap();
    assert!(node.describe().contains(r#""name":"hz-edge-1""#));
    // A NUL is a character like others.
    let node = facts.node("hz\0edge").unwrap();
    assert!(node.describe().contains(r#""name":"hz\u0000edge""#), "{}", node.describe());
}

#[test]
fn what_is_wrong_with_a_configuration_is_said_as_rust_says_it() {
    for (config, word) in [
        ("", "EOF"),
        ("{", "EOF"),
        ("5", "integer"),
        (r#"{"retension":"full"}"#, "retension"),
        (r#"{"retention":"some"}"#, "some"),
        (r#"{"onMissingFact":{"unknownNode":"pass"}}"#, "unknownNode"),
        (r#"{"rewrites":{"nodePortIsolation":"yes"}}"#, "rewrites.nodePortIsolation"),
        (r#"{"rewrites":{"masterService":{"host":"hub","port":1}}}"#, "rewrites.masterService"),
        (r#"{"rewrites":{"serviceTopology":1}}"#, "rewrites.serviceTopology"),
        (r#"{"membership":{"nodeLabel":""}}"#, "membership"),
        (r#"{"pool":""}"#, "pool"),
        (r#"{"limits":{"clientStateBytes":0}}"#, "limits.clientStateBytes"),
        (r#"{"dialect":"nul\u0000"}"#, "dialect"),
    ] {
        let failed = c::Cluster::new(config).err().unwrap();
        assert_eq!(failed.status, POOLSCOPE_ERR_CONFIG);
        assert!(failed.message.contains(word), "{failed:?}");
        let expected = poolscope::Config::from_json(config).unwrap_err();
        let message = expected.to_string();
        assert_eq!(
            failed,
            Failure { status: POOLSCOPE_ERR_CONFIG, message, offset: None, object: None }
        );
    }
}
