//! Text and bytes as C gives them: pointer and length, and what is no text.

use std::ffi::c_char;
use std::ptr;

use poolscope_capi::poolscope_status::{self, *};
use poolscope_capi::*;

use super::c::{self, Answer, Failure, ended};
use poolscope_testkit::Recording;

const NO_TEXT: [&[u8]; 3] = [b"\xff", b"Service\xc3", b"\xed\xa0\x80"];

#[track_caller]
fn refused<T>(result: c::Result<T>, argument: &str) {
    let failed = result.err().unwrap();
    assert_eq!(failed.status, POOLSCOPE_INVALID_ARGUMENT, "{failed:?}");
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
        refused(c::Request::new(bytes, "/api"), "method");
        refused(c::Request::new("GET", bytes), "target");
        refused(cluster.node(bytes), "name");
        refused(cluster.forget_source(bytes), "kind");
        refused(node.judge(bytes, "web", "me"), "ns");
        refused(node.judge("shop", bytes, "me"), "service");
        refused(node.judge("shop", "web", bytes), "on");
        refused(inventory.find(&node, bytes, "web"), "ns");
        refused(inventory.find(&node, "shop", bytes), "service");
    }
}

#[test]
fn names_of_headers_are_text() {
    let (mut request, mut head) = (c::Request::new("GET", "/").unwrap(), c::Head::new(200));
    for bytes in NO_TEXT {
        refused(request.add_header(bytes, "value"), "name");
        refused(head.add_header(bytes, "value"), "name");
    }
    assert_eq!(request.header_count(), 0);
}

#[test]
fn values_of_headers_may_be_any_bytes() {
    let list = Recording::load("list/endpointslices-json.json");
    let (mut request, mut head) = (c::Request::of(&list.request), c::Head::of(&list.head));
    let before = request.header_count();
    for bytes in NO_TEXT {
        request.add_header("X-Note", bytes).unwrap();
        head.add_header("X-Note", bytes).unwrap();
    }
    assert_eq!(request.header_count(), before + NO_TEXT.len());
    // They stand in nobody's way.
    let cluster = c::Cluster::new(r#"{"rewrites":{"serviceTopology":false}}"#).unwrap();
    let opened = cluster.node("me").unwrap().open(&request, &head).unwrap();
    assert_eq!(opened.what(), poolscope_opening::POOLSCOPE_PASS_THROUGH);
}

/// Pointers that must not be looked at.
const NOWHERE: [*const c_char; 2] = [ptr::null(), ptr::without_provenance(1)];

#[test]
fn of_length_0_the_pointer_is_not_looked_at() {
    let facts = c::Cluster::new("{}").unwrap();
    for nowhere in NOWHERE {
        let mut error = Answer::DIRT;
        let (mut request, mut head, mut node, mut verdict) =
            (Answer::DIRT, Answer::DIRT, Answer::DIRT, Answer::DIRT);
        // SAFETY: lengths are 0, handles are live and freed once.
        unsafe {
            let ok = |status: poolscope_status, error| assert_eq!(ended(status, error), Ok(()));
            ok(
                poolscope_request_new(nowhere, 0, nowhere, 0, &raw mut request, &raw mut error),
                error,
            );
            let request = c::Request(request);
            ok(
                poolscope_request_add_header(request.0, nowhere, 0, nowhere, 0, &raw mut error),
                error,
            );
            assert_eq!(request.headers(), [(String::new(), String::new())]);
            ok(poolscope_head_new(200, &raw mut head, &raw mut error), error);
            let head = c::Head(head);
            ok(poolscope_head_add_header(head.0, nowhere, 0, nowhere, 0, &raw mut error), error);
            ok(poolscope_cluster_node(facts.0, nowhere, 0, &raw mut node, &raw mut error), error);
            let node = c::Node(node);
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
            let status = poolscope_cluster_forget_source(facts.0, nowhere, 0, &raw mut error);
            assert_eq!(
                ended(status, error).unwrap_err().status,
                POOLSCOPE_INVALID_ARGUMENT,
                "there is no kind without a name"
            );
            let mut cluster: *mut poolscope_cluster = Answer::DIRT;
            let status = poolscope_cluster_new(nowhere, 0, &raw mut cluster, &raw mut error);
            assert_eq!(
                ended(status, error).unwrap_err().status,
                POOLSCOPE_CONFIG,
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
    let mut feed =
        facts.feed(&c::Request::of(&services.request), &c::Head::of(&services.head)).unwrap();
    let mut error = Answer::DIRT;
    for nowhere in NOWHERE {
        // SAFETY: the length is 0.
        let status = unsafe { poolscope_feed_push(feed.0, nowhere.cast(), 0, &raw mut error) };
        assert_eq!(ended(status, error), Ok(()));
    }
    feed.push(&services.body).unwrap();
    feed.finish().unwrap();
    let (request, head) = (c::Request::of(&recording.request), c::Head::of(&recording.head));
    let open = || facts.node("me").unwrap().open(&request, &head).unwrap().take_stream().unwrap();
    let (mut stream, mut whole) = (open(), open());
    let half = recording.body.len() / 2;
    let mut given = stream.push(&recording.body[..half]).1;
    for nowhere in NOWHERE {
        let (mut out, mut out_len): (*const u8, usize) = (Answer::DIRT, Answer::DIRT);
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
    assert_eq!(inventory.load(b"").unwrap_err().status, POOLSCOPE_MALFORMED);
}

#[test]
fn a_length_beyond_memory_is_refused() {
    let mut cluster: *mut poolscope_cluster = Answer::DIRT;
    let mut error = Answer::DIRT;
    // SAFETY: no such text can be, so nothing is read.
    let status = unsafe {
        poolscope_cluster_new(c"{}".as_ptr(), usize::MAX, &raw mut cluster, &raw mut error)
    };
    let failed = ended(status, error).unwrap_err();
    assert!(
        failed.status == POOLSCOPE_INVALID_ARGUMENT && failed.message.contains("`config`"),
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
        (r#"{"inDoubt":{"unknownNode":"pass"}}"#, "unknownNode"),
        (r#"{"rewrites":{"nodePortIsolation":"yes"}}"#, "rewrites.nodePortIsolation"),
        (r#"{"rewrites":{"masterService":{"host":"hub","port":1}}}"#, "rewrites.masterService"),
        (r#"{"rewrites":{"serviceTopology":1}}"#, "rewrites.serviceTopology"),
        (r#"{"membership":{"nodeLabel":""}}"#, "membership"),
        (r#"{"pool":""}"#, "pool"),
        (r#"{"limits":{"ledgerBytes":0}}"#, "limits.ledgerBytes"),
        (r#"{"dialect":"nul\u0000"}"#, "dialect"),
    ] {
        let failed = c::Cluster::new(config).err().unwrap();
        assert_eq!(failed.status, POOLSCOPE_CONFIG);
        assert!(failed.message.contains(word), "{failed:?}");
        let expected = poolscope::Config::from_json(config).unwrap_err();
        let message = expected.to_string();
        assert_eq!(
            failed,
            Failure { status: POOLSCOPE_CONFIG, message, offset: None, object: None }
        );
    }
}
