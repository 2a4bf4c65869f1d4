//! NULL where there must be something, argument by argument and function by function.

use std::collections::BTreeSet;
use std::ffi::{CStr, c_void};
use std::ptr;

use poolscope_capi::poolscope_status::POOLSCOPE_ERR_INVALID_ARGUMENT;
use poolscope_capi::*;

use super::c::{self, Place, ended};
use poolscope_testkit::Recording;

/// An argument of a function: a pointer, or a number.
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

numbers!(u64 usize);

/// The action that a failed call leaves.
impl Place for poolscope_action {
    const DIRT: poolscope_action = poolscope_action::POOLSCOPE_ACTION_REWRITE;

    fn is_nothing(self) -> bool {
        self == poolscope_action::POOLSCOPE_ACTION_REPLY
    }
}

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
        let arguments = [
            $((stringify!($name), is_pointer($value)),)*
            $((stringify!($answer), true)),*
        ];
        for (null, _) in arguments.into_iter().filter(|(_, is_pointer)| *is_pointer) {
            for wants_error in [true, false] {
                $(let mut $answer = Place::DIRT;)*
                let mut error = Place::DIRT;
                let place = if wants_error { &raw mut error } else { ptr::null_mut() };
                // SAFETY: handles are live, text and bytes are as long as is said, the rest is
                // NULL.
                let status = unsafe {
                    $function(
                        $(nulled_if(null == stringify!($name), $value),)*
                        $(nulled_if(null == stringify!($answer), &raw mut $answer),)*
                        place,
                    )
                };
                let what = format!("{} with {null} NULL", stringify!($function));
                assert_eq!(status, POOLSCOPE_ERR_INVALID_ARGUMENT, "{what}");
                if wants_error {
                    let failed = ended(status, error).unwrap_err();
                    assert!(
                        failed.message.starts_with(&format!("argument `{null}` is NULL")),
                        "{what}: {}",
                        failed.message
                    );
                    assert_eq!((failed.offset, failed.object), (None, None));
                }
                $(assert!(
                    null == stringify!($answer) || Place::is_nothing($answer),
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
    request: c::RequestHead,
    head: c::ResponseHead,
    feed: c::FactReader,
    sync: c::FactSync,
    stream: c::BodyRewriter,
    inventory: c::Inventory,
}

fn scene() -> Scene {
    let list = Recording::load("list/endpointslices-json.json");
    let services = Recording::load("list/services-json.json");
    let (request, head) = (c::RequestHead::of(&list.request), c::ResponseHead::of(&list.head));
    // Nothing is filtered, so nothing has to be known.
    let cluster = c::Cluster::new(r#"{"membership":"off"}"#).unwrap();
    let feed = || {
        cluster
            .read_facts(
                &c::RequestHead::of(&services.request),
                &c::ResponseHead::of(&services.head),
            )
            .unwrap()
    };
    let mut lists = feed();
    lists.push(&services.body).unwrap();
    lists.finish().unwrap();
    let feed = feed();
    let node = cluster.node("hz-edge-1").unwrap();
    let stream = node.open(&request, &head).unwrap().take_stream().unwrap();
    let sync = c::FactSync::new(&node, 7).unwrap();
    Scene { cluster, node, request, head, feed, sync, stream, inventory: c::Inventory::new() }
}

/// The functions of the header that return a status and can fail.
fn fallible() -> BTreeSet<String> {
    let header =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../include/poolscope.h"))
            .unwrap();
    let declared = header
        .lines()
        .map(|line| line.trim_start_matches("POOLSCOPE_API "))
        .filter_map(|line| line.strip_prefix("poolscope_status poolscope_"));
    let names = declared.map(|rest| format!("poolscope_{}", rest.split('(').next().unwrap()));
    names.filter(|name| name != "poolscope_error_status").collect()
}

#[test]
fn null_is_refused_by_name_wherever_there_must_be_something() {
    let Scene { cluster, node, request, head, feed, sync, stream, inventory } = scene();
    request.with(|request| {
        head.with(|response| {
            let (text, len) = (c"GET".as_ptr(), 3usize);
            let (data, data_len) = (b"{}".as_ptr(), 2usize);
            let config = c"{}".as_ptr();
            let mut seen = BTreeSet::new();
            refuses_null!(seen, poolscope_cluster_new(config: config, config_len: 2usize; cluster));
            refuses_null!(
                seen,
                poolscope_cluster_read_facts(
                    cluster: cluster.0, request: request, response: response; reader
                )
            );
            refuses_null!(
                seen,
                poolscope_cluster_node(cluster: cluster.0, name: text, name_len: len; node)
            );
            refuses_null!(
                seen,
                poolscope_cluster_changes_since(cluster: cluster.0, generation: 0u64; changes)
            );
            refuses_null!(seen, poolscope_cluster_counters(cluster: cluster.0; counters));
            refuses_null!(
                seen,
                poolscope_cluster_invalidate_source(
                    cluster: cluster.0, kind: c"Node".as_ptr(), kind_len: 4usize;
                )
            );
            refuses_null!(
                seen,
                poolscope_fact_reader_push(reader: feed.0, data: data, len: data_len;)
            );
            refuses_null!(seen, poolscope_fact_reader_finish(reader: feed.0;));
            refuses_null!(seen, poolscope_fact_sync_new(node: node.0, seed: 7u64; sync));
            let kind = c"Node".as_ptr();
            refuses_null!(
                seen,
                poolscope_fact_sync_leave_to_client(sync: sync.0, kind: kind, kind_len: 4usize;)
            );
            refuses_null!(
                seen,
                poolscope_fact_sync_require(sync: sync.0, kind: kind, kind_len: 4usize;)
            );
            refuses_null!(seen, poolscope_fact_sync_next(sync: sync.0, now: 0u64; step));
            refuses_null!(
                seen,
                poolscope_fact_sync_head(
                    sync: sync.0, id: 1u64, response: response, now: 0u64; wanted
                )
            );
            refuses_null!(
                seen,
                poolscope_fact_sync_push(
                    sync: sync.0, id: 1u64, data: data, len: data_len, now: 0u64; wanted
                )
            );
            refuses_null!(seen, poolscope_fact_sync_end(sync: sync.0, id: 1u64, now: 0u64;));
            refuses_null!(
                seen,
                poolscope_fact_sync_broke(
                    sync: sync.0, id: 1u64, why: text, why_len: len, now: 0u64;
                )
            );
            refuses_null!(
                seen,
                poolscope_node_client(node: node.0, user_agent: text, user_agent_len: len; client)
            );
            refuses_null!(seen, poolscope_node_describe(node: node.0; description));
            refuses_null!(seen, poolscope_node_prepare(node: node.0, request: request; prepared));
            refuses_null!(
                seen,
                poolscope_node_open(
                    node: node.0, request: request, response: response; action, stream, reply
                )
            );
            refuses_null!(
                seen,
                poolscope_node_open_stateless(
                    node: node.0, request: request, response: response; action, stream, reply
                )
            );
            refuses_null!(
                seen,
                poolscope_node_judge(
                    node: node.0, ns: text, ns_len: len, service: text, service_len: len,
                    on: text, on_len: len; verdict
                )
            );
            refuses_null!(
                seen,
                poolscope_stream_push(stream: stream.0, data: data, len: data_len; out, out_len)
            );
            refuses_null!(seen, poolscope_stream_refresh(stream: stream.0; out, out_len));
            refuses_null!(seen, poolscope_stream_finish(stream: stream.0; out, out_len));
            refuses_null!(seen, poolscope_stream_needed_lists(stream: stream.0; lists));
            refuses_null!(
                seen,
                poolscope_stream_provide_list(
                    stream: stream.0, response: response,
                    body: data, body_len: data_len; out, out_len
                )
            );
            refuses_null!(seen, poolscope_inventory_new(; inventory));
            refuses_null!(
                seen,
                poolscope_inventory_view(inventory: inventory.0, node: node.0; services)
            );
            refuses_null!(
                seen,
                poolscope_inventory_find(
                    inventory: inventory.0, node: node.0,
                    ns: text, ns_len: len, service: text, service_len: len; found
                )
            );
            let called: BTreeSet<String> = seen.into_iter().map(str::to_owned).collect();
            // One of their arguments may be NULL: they have tests of their own.
            let left: Vec<_> =
                fallible().into_iter().filter(|name| !called.contains(name)).collect();
            assert_eq!(left, ["poolscope_cluster_on_change", "poolscope_inventory_load"]);
        })
    });

    // Nothing was done by any of these calls.
    assert_eq!((stream.bytes_in(), stream.bytes_out()), (0, 0));
    assert!(node.is_ready());
    let (mut feed, mut stream) = (feed, stream);
    feed.push(br#"{"items":[]}"#).unwrap();
    feed.finish().unwrap();
    assert_eq!(stream.push(br#"{"items":[]}"#), (Ok(()), br#"{"items":[]}"#.to_vec()));
    assert_eq!(stream.finish(), (Ok(()), Vec::new()));
}

unsafe extern "C" fn hear(_: *mut c_void) {}

#[test]
fn a_listener_may_have_no_context_and_must_have_a_function() {
    let cluster = c::Cluster::new("{}").unwrap();
    let call = |cluster, changed, listener| {
        let mut error = Place::DIRT;
        // SAFETY: handle and place are live or NULL; the function takes anything.
        let status = unsafe {
            poolscope_cluster_on_change(cluster, changed, ptr::null_mut(), listener, &raw mut error)
        };
        ended(status, error).map_err(|failed| failed.message)
    };
    let mut listener = Place::DIRT;
    for (cluster, changed, is_place, name) in [
        (ptr::null(), Some(hear as _), true, "cluster"),
        (cluster.0.cast_const(), None, true, "changed"),
        (cluster.0.cast_const(), Some(hear as _), false, "listener"),
    ] {
        let place = if is_place { &raw mut listener } else { ptr::null_mut() };
        let message = call(cluster, changed, place).unwrap_err();
        assert!(message.starts_with(&format!("argument `{name}` is NULL")), "{message}");
        assert!(!is_place || listener.is_null());
        listener = Place::DIRT;
    }
    assert_eq!(call(cluster.0, Some(hear), &raw mut listener), Ok(()));
    drop(c::Listener(listener));
}

#[test]
fn how_much_an_inventory_loaded_need_not_be_asked() {
    let services = Recording::load("list/services-json.json").body;
    let mut inventory = c::Inventory::new();
    for (handle, body, len, expected) in [
        (inventory.0, services.as_ptr(), services.len(), poolscope_status::POOLSCOPE_OK),
        (ptr::null_mut(), services.as_ptr(), services.len(), POOLSCOPE_ERR_INVALID_ARGUMENT),
        (inventory.0, ptr::null(), services.len(), POOLSCOPE_ERR_INVALID_ARGUMENT),
        (inventory.0, ptr::null(), 0, poolscope_status::POOLSCOPE_ERR_MALFORMED),
    ] {
        let (mut loaded, mut error) = (Place::DIRT, Place::DIRT);
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
        assert_eq!(poolscope_cluster_generation(ptr::null()), 0);
        assert!(!poolscope_node_is_ready(ptr::null()));
        let state = poolscope_stream_get_state(ptr::null_mut());
        assert_eq!((state.bytes_in, state.bytes_out), (0, 0));
        assert!(state.is_ended && !state.needs_refresh);
    }
}

#[test]
fn freeing_null_is_nothing() {
    // SAFETY: NULL is allowed.
    unsafe {
        poolscope_error_free(ptr::null_mut());
        poolscope_text_free(ptr::null_mut());
        poolscope_headers_free(ptr::null_mut());
        poolscope_listener_free(ptr::null_mut());
        poolscope_cluster_free(ptr::null_mut());
        poolscope_fact_reader_free(ptr::null_mut());
        poolscope_fact_sync_free(ptr::null_mut());
        poolscope_node_free(ptr::null_mut());
        poolscope_reply_free(ptr::null_mut());
        poolscope_stream_free(ptr::null_mut());
        poolscope_inventory_free(ptr::null_mut());
    }
}
