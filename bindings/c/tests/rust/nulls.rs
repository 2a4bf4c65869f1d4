//! NULL where there must be something, argument by argument and function by function.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::ptr;

use poolscope_capi::poolscope_status::POOLSCOPE_INVALID_ARGUMENT;
use poolscope_capi::*;

use super::c::{self, Answer, ended};
use poolscope_testkit::Recording;

/// What a function takes: a pointer, or a number.
trait Argument: Copy {
    const IS_POINTER: bool;

    fn nulled(self) -> Self;
}

impl<T> Argument for *mut T {
    const IS_POINTER: bool = true;

    fn nulled(self) -> *mut T {
        ptr::null_mut()
    }
}

impl<T> Argument for *const T {
    const IS_POINTER: bool = true;

    fn nulled(self) -> *const T {
        ptr::null()
    }
}

macro_rules! numbers {
    ($($number:ty)*) => {$(
        impl Argument for $number {
            const IS_POINTER: bool = false;

            fn nulled(self) -> $number {
                self
            }
        }
    )*};
}

numbers!(u16 u64 usize);

fn is_pointer<A: Argument>(_: A) -> bool {
    A::IS_POINTER
}

fn nulled_if<A: Argument>(is: bool, argument: A) -> A {
    if is { argument.nulled() } else { argument }
}

/// Calls a function with each of its pointers NULL in turn, with a place for the error and without:
/// it must refuse, name the argument, and leave nothing in the places for answers, which stand
/// after the semicolon.
macro_rules! refuses_null {
    ($seen:ident, $function:ident($($name:ident: $value:expr),*; $($answer:ident),*)) => {{
        let arguments = [$((stringify!($name), is_pointer($value)),)* $((stringify!($answer), true)),*];
        for (null, _) in arguments.into_iter().filter(|(_, is_pointer)| *is_pointer) {
            for wants_error in [true, false] {
                $(let mut $answer = Answer::DIRT;)*
                let mut error = Answer::DIRT;
                let place = if wants_error { &raw mut error } else { ptr::null_mut() };
                // SAFETY: handles are live, text and bytes are as long as is said, the rest is NULL.
                let status = unsafe {
                    $function(
                        $(nulled_if(null == stringify!($name), $value),)*
                        $(nulled_if(null == stringify!($answer), &raw mut $answer),)*
                        place,
                    )
                };
                let what = format!("{} with {null} NULL", stringify!($function));
                assert_eq!(status, POOLSCOPE_INVALID_ARGUMENT, "{what}");
                if wants_error {
                    let failed = ended(status, error).unwrap_err();
                    assert!(failed.message.starts_with(&format!("argument `{null}` is NULL")), "{what}: {}", failed.message);
                    assert_eq!((failed.offset, failed.object), (None, None));
                }
                $(assert!(
                    null == stringify!($answer) || Answer::is_nothing($answer),
                    "{what}: {} is left as it was", stringify!($answer)
                );)*
            }
        }
        assert!($seen.insert(stringify!($function)));
    }};
}

/// One of each handle, all of them good.
struct Scene {
    cluster: c::Cluster,
    node: c::Node,
    request: c::Request,
    head: c::Head,
    feed: c::Feed,
    opened: c::Opened,
    waits: c::Opened,
    stream: c::Stream,
    inventory: c::Inventory,
}

fn scene() -> Scene {
    let list = Recording::load("list/endpointslices-json.json");
    let services = Recording::load("list/services-json.json");
    let (request, head) = (c::Request::of(&list.request), c::Head::of(&list.head));
    let unknown = c::Cluster::new("{}").unwrap();
    let waits = unknown.node("hz-edge-1").unwrap().open(&request, &head).unwrap();
    // Nothing is filtered, so nothing has to be known.
    let cluster = c::Cluster::new(r#"{"membership":"off"}"#).unwrap();
    let feed =
        || cluster.feed(&c::Request::of(&services.request), &c::Head::of(&services.head)).unwrap();
    let mut lists = feed();
    lists.push(&services.body).unwrap();
    lists.finish().unwrap();
    let feed = feed();
    let node = cluster.node("hz-edge-1").unwrap();
    let mut opened = node.open(&request, &head).unwrap();
    let stream = opened.take_stream().unwrap();
    Scene {
        cluster,
        node,
        request,
        head,
        feed,
        opened,
        waits,
        stream,
        inventory: c::Inventory::new(),
    }
}

/// The functions of the header that return a status and can fail.
fn fallible() -> BTreeSet<String> {
    let header =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../include/poolscope.h"))
            .unwrap();
    let declared =
        header.lines().filter_map(|line| line.strip_prefix("poolscope_status poolscope_"));
    let names = declared.map(|rest| format!("poolscope_{}", rest.split('(').next().unwrap()));
    names.filter(|name| name != "poolscope_error_status").collect()
}

#[test]
fn null_is_refused_by_name_wherever_there_must_be_something() {
    let Scene { cluster, node, request, head, feed, opened, waits, stream, inventory } = scene();
    let (text, len) = (c"GET".as_ptr(), 3usize);
    let (data, data_len) = (b"{}".as_ptr(), 2usize);
    let config = c"{}".as_ptr();
    let mut seen = BTreeSet::new();
    refuses_null!(seen, poolscope_request_new(method: text, method_len: len, target: text, target_len: len; request));
    refuses_null!(seen, poolscope_request_add_header(request: request.0, name: text, name_len: len, value: text, value_len: len;));
    let mut prepared = c::Request::new("GET", "/").unwrap();
    prepared.add_header("Accept", "a").unwrap();
    refuses_null!(seen, poolscope_request_header(request: prepared.0, index: 0usize; name, name_len, value, value_len));
    refuses_null!(seen, poolscope_head_new(http_status: 200u16; head));
    refuses_null!(seen, poolscope_head_add_header(head: head.0, name: text, name_len: len, value: text, value_len: len;));
    refuses_null!(seen, poolscope_cluster_new(config: config, config_len: 2usize; cluster));
    refuses_null!(seen, poolscope_cluster_feed(cluster: cluster.0, request: request.0, head: head.0; feed));
    refuses_null!(seen, poolscope_cluster_node(cluster: cluster.0, name: text, name_len: len; node));
    refuses_null!(seen, poolscope_cluster_changes_since(cluster: cluster.0, generation: 0u64; changes));
    refuses_null!(seen, poolscope_cluster_counters(cluster: cluster.0; counters));
    refuses_null!(seen, poolscope_cluster_forget_source(cluster: cluster.0, kind: c"Node".as_ptr(), kind_len: 4usize;));
    refuses_null!(seen, poolscope_feed_push(feed: feed.0, data: data, len: data_len;));
    refuses_null!(seen, poolscope_feed_finish(feed: feed.0;));
    refuses_null!(seen, poolscope_node_client(node: node.0, user_agent: text, user_agent_len: len; client));
    refuses_null!(seen, poolscope_node_describe(node: node.0; description));
    refuses_null!(seen, poolscope_node_prepare(node: node.0, request: request.0;));
    refuses_null!(seen, poolscope_node_open(node: node.0, request: request.0, head: head.0; opened));
    refuses_null!(seen, poolscope_node_open_alone(node: node.0, request: request.0, head: head.0; opened));
    refuses_null!(
        seen,
        poolscope_node_judge(
            node: node.0, ns: text, ns_len: len, service: text, service_len: len, on: text, on_len: len; verdict
        )
    );
    refuses_null!(seen, poolscope_opened_answer(opened: waits.0; http_status, retry_after, content_type, body, body_len));
    refuses_null!(seen, poolscope_opened_missing(opened: opened.0; missing));
    refuses_null!(seen, poolscope_stream_push(stream: stream.0, data: data, len: data_len; out, out_len));
    refuses_null!(seen, poolscope_stream_refresh(stream: stream.0; out, out_len));
    refuses_null!(seen, poolscope_stream_finish(stream: stream.0; out, out_len));
    refuses_null!(seen, poolscope_stream_wanted(stream: stream.0; wanted));
    refuses_null!(seen, poolscope_stream_supply(stream: stream.0, head: head.0, body: data, body_len: data_len; out, out_len));
    refuses_null!(seen, poolscope_inventory_new(; inventory));
    refuses_null!(seen, poolscope_inventory_view(inventory: inventory.0, node: node.0; services));
    refuses_null!(
        seen,
        poolscope_inventory_find(
            inventory: inventory.0, node: node.0, ns: text, ns_len: len, service: text, service_len: len; found
        )
    );
    let called: BTreeSet<String> = seen.into_iter().map(str::to_owned).collect();
    // Its answer may be NULL: it has a test of its own.
    let left: Vec<_> = fallible().into_iter().filter(|name| !called.contains(name)).collect();
    assert_eq!(left, ["poolscope_inventory_load"]);

    // Nothing was done by any of these calls.
    assert_eq!(
        request.header_count(),
        Recording::load("list/endpointslices-json.json").request.headers.len()
    );
    assert_eq!((stream.taken(), stream.given()), (0, 0));
    assert!(node.is_ready());
    let (mut feed, mut stream) = (feed, stream);
    feed.push(br#"{"items":[]}"#).unwrap();
    feed.finish().unwrap();
    assert_eq!(stream.push(br#"{"items":[]}"#), (Ok(()), br#"{"items":[]}"#.to_vec()));
    assert_eq!(stream.finish(), (Ok(()), Vec::new()));
}

#[test]
fn how_much_an_inventory_loaded_need_not_be_asked() {
    let services = Recording::load("list/services-json.json").body;
    let mut inventory = c::Inventory::new();
    for (handle, body, len, expected) in [
        (inventory.0, services.as_ptr(), services.len(), poolscope_status::POOLSCOPE_OK),
        (ptr::null_mut(), services.as_ptr(), services.len(), POOLSCOPE_INVALID_ARGUMENT),
        (inventory.0, ptr::null(), services.len(), POOLSCOPE_INVALID_ARGUMENT),
        (inventory.0, ptr::null(), 0, poolscope_status::POOLSCOPE_MALFORMED),
    ] {
        let (mut loaded, mut error) = (Answer::DIRT, Answer::DIRT);
        // SAFETY: the handle is live or NULL, and so is the body.
        let status =
            unsafe { poolscope_inventory_load(handle, body, len, ptr::null_mut(), &raw mut error) };
        assert_eq!(
            (status, ended(status, error).is_ok()),
            (expected, expected == poolscope_status::POOLSCOPE_OK)
        );
        // SAFETY: the same.
        let status = unsafe {
            poolscope_inventory_load(handle, body, len, &raw mut loaded, ptr::null_mut())
        };
        assert_eq!(
            (status, loaded > 10),
            (expected, expected == poolscope_status::POOLSCOPE_OK),
            "{loaded} loaded"
        );
        assert!(loaded > 10 || loaded == 0, "numbers are 0 after a failure");
    }
    assert_eq!(inventory.load(&services), Ok(27));
}

#[test]
fn what_cannot_fail_has_an_answer_for_null() {
    // SAFETY: NULL is allowed everywhere here, and texts that come out are NUL-terminated.
    unsafe {
        assert_eq!(poolscope_error_status(ptr::null()), poolscope_status::POOLSCOPE_OK);
        assert_eq!(CStr::from_ptr(poolscope_error_message(ptr::null())), c"");
        assert_eq!(poolscope_error_offset(ptr::null()), POOLSCOPE_NO_OFFSET);
        assert!(poolscope_error_object(ptr::null()).is_null());
        assert_eq!(CStr::from_ptr(poolscope_text_data(ptr::null())), c"");
        assert_eq!(poolscope_text_len(ptr::null()), 0);
        assert_eq!(poolscope_request_header_count(ptr::null_mut()), 0);
        assert_eq!(poolscope_cluster_generation(ptr::null()), 0);
        assert!(!poolscope_node_is_ready(ptr::null()));
        assert_eq!(poolscope_opened_what(ptr::null_mut()), poolscope_opening::POOLSCOPE_NOT_READY);
        assert!(poolscope_opened_take_stream(ptr::null_mut()).is_null());
        assert!(!poolscope_stream_is_behind(ptr::null_mut()));
        assert!(poolscope_stream_is_over(ptr::null_mut()));
        assert_eq!(
            (poolscope_stream_taken(ptr::null_mut()), poolscope_stream_given(ptr::null_mut())),
            (0, 0)
        );
    }
}

#[test]
fn freeing_null_is_nothing() {
    // SAFETY: NULL is allowed.
    unsafe {
        poolscope_error_free(ptr::null_mut());
        poolscope_text_free(ptr::null_mut());
        poolscope_request_free(ptr::null_mut());
        poolscope_head_free(ptr::null_mut());
        poolscope_cluster_free(ptr::null_mut());
        poolscope_feed_free(ptr::null_mut());
        poolscope_node_free(ptr::null_mut());
        poolscope_opened_free(ptr::null_mut());
        poolscope_stream_free(ptr::null_mut());
        poolscope_inventory_free(ptr::null_mut());
    }
}
