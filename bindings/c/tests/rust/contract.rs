//! Lives of handles: what is freed before what, what is closed, and what two calls at the same time
//! may do.

use std::ptr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use poolscope::{Action, Cluster};
use poolscope_capi::poolscope_status::*;
use poolscope_capi::*;

use super::c::{self, Place, ended};
use poolscope_testkit::{self, Recording, run};

/// A cluster behind C that knows the recorded lists.
fn known() -> c::Cluster {
    let cluster = c::Cluster::new("{}").unwrap();
    for kind in ["services", "nodes", "nodepools"] {
        learn(&cluster, &Recording::load(&format!("list/{kind}-json.json")));
    }
    cluster
}

fn learn(cluster: &c::Cluster, recording: &Recording) {
    let mut feed = cluster
        .read_facts(&c::RequestHead::of(&recording.request), &c::ResponseHead::of(&recording.head))
        .unwrap();
    feed.push(&recording.body).unwrap();
    feed.finish().unwrap();
}

fn open(node: &c::Node, recording: &Recording) -> c::Action {
    node.open(&c::RequestHead::of(&recording.request), &c::ResponseHead::of(&recording.head))
        .unwrap()
}

fn pass(stream: &mut c::BodyRewriter, body: &[u8]) -> Vec<u8> {
    let (result, mut given) = stream.push(body);
    assert_eq!(result, Ok(()));
    let (result, rest) = stream.finish();
    assert_eq!(result, Ok(()));
    given.extend(rest);
    given
}

/// Returns Rust's output of a body for a node with the recorded lists as facts.
fn expected(recording: &Recording) -> Vec<u8> {
    let cluster: Cluster = poolscope_testkit::cluster("list");
    let Ok(Action::Rewrite(stream)) =
        cluster.node("hz-edge-1").open(&recording.request, &recording.head)
    else {
        panic!()
    };
    run(stream, &recording.body, std::iter::repeat(1 << 20)).unwrap()
}

#[test]
fn no_handle_needs_another_to_outlive_it() {
    let list = Recording::load("list/endpointslices-json.json");
    let services = Recording::load("watch/services-json.json");
    let cluster = known();
    let feed = cluster
        .read_facts(&c::RequestHead::of(&services.request), &c::ResponseHead::of(&services.head))
        .unwrap();
    let node = cluster.node("hz-edge-1").unwrap();
    let opened = open(&node, &list);
    drop(cluster);
    let mut second = open(&node, &list);
    drop(node);
    let mut stream = second.take_stream().unwrap();
    drop(second);
    assert!(pass(&mut stream, &list.body) == expected(&list));
    drop(stream);
    let mut opened = opened;
    let mut stream = opened.take_stream().unwrap();
    let mut feed = feed;
    feed.push(&services.body).unwrap();
    drop(feed);
    stream.push(&list.body).0.unwrap();
    // It is freed in the middle of a body.
    drop(stream);
}

#[test]
fn a_reply_outlives_its_node_and_cluster() {
    let list = Recording::load("list/endpointslices-proto.pb");
    let unknown = c::Cluster::new("{}").unwrap();
    let node = unknown.node("hz-edge-1").unwrap();
    let reply = open(&node, &list).reply.unwrap();
    drop(node);
    drop(unknown);
    let fields = reply.read();
    assert!(fields.body.starts_with(b"k8s\0") && fields.missing.contains("/api/v1/services"));
    assert_eq!((fields.status, fields.retry_after), (503, 1));
    assert_eq!(fields.cause, poolscope_cause::POOLSCOPE_CAUSE_MISSING_FACTS);
}

#[test]
fn headers_are_read_in_their_order() {
    let node = c::Cluster::new("{}").unwrap().node("me").unwrap();
    let mut request = c::RequestHead::new("GET", "/");
    assert_eq!(node.prepare(&request).unwrap().read(), []);
    request.add_header("A", "");
    request.add_header("A", "b");
    assert_eq!(
        node.prepare(&request).unwrap().read(),
        [("A", ""), ("A", "b")].map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
}

/// Counts calls, and asks the cluster something in each.
struct Heard {
    cluster: c::Cluster,
    calls: AtomicUsize,
    listener: std::sync::Mutex<Option<c::Listener>>,
    frees_itself: bool,
}

unsafe extern "C" fn hear(context: *mut std::ffi::c_void) {
    // SAFETY: the tests give a `Heard` that outlives the listener.
    let heard = unsafe { &*context.cast::<Heard>() };
    heard.calls.fetch_add(1, Relaxed);
    assert!(heard.cluster.generation() > 0);
    if heard.frees_itself {
        drop(heard.listener.lock().unwrap().take());
    }
}

fn listen(frees_itself: bool) -> Box<Heard> {
    let cluster = c::Cluster::new("{}").unwrap();
    let calls = AtomicUsize::new(0);
    let heard = Box::new(Heard { cluster, calls, listener: None.into(), frees_itself });
    let (mut listener, mut error) = (Place::DIRT, Place::DIRT);
    // SAFETY: the box outlives the listener, which is in it, and is not moved out of.
    let status = unsafe {
        let context = (&raw const *heard).cast_mut().cast();
        let cluster = heard.cluster.0;
        poolscope_cluster_on_change(cluster, Some(hear), context, &raw mut listener, &raw mut error)
    };
    assert_eq!(ended(status, error), Ok(()));
    *heard.listener.lock().unwrap() = Some(c::Listener(listener));
    heard
}

#[test]
fn a_listener_is_called_for_changes_until_it_is_freed() {
    let heard = listen(false);
    let services = Recording::load("list/services-json.json");
    learn(&heard.cluster, &services);
    assert_eq!(heard.calls.load(Relaxed), 1);
    // The relist: no fact changed, but the list may have been missing.
    learn(&heard.cluster, &services);
    let calls = heard.calls.load(Relaxed);
    // A change in each of several events, from several threads.
    let watch = Recording::load("watch/services-json.json");
    let before = heard.cluster.generation();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| learn(&heard.cluster, &watch));
        }
    });
    assert!(heard.cluster.generation() > before && heard.calls.load(Relaxed) > calls);
    drop(heard.listener.lock().unwrap().take());
    let calls = heard.calls.load(Relaxed);
    learn(&heard.cluster, &Recording::load("list/nodes-json.json"));
    assert_eq!(heard.calls.load(Relaxed), calls);
}

#[test]
fn a_listener_may_be_freed_in_its_own_call() {
    let heard = listen(true);
    for kind in ["services", "nodes", "nodepools"] {
        learn(&heard.cluster, &Recording::load(&format!("list/{kind}-json.json")));
    }
    assert_eq!(heard.calls.load(Relaxed), 1);
}

#[test]
fn one_request_and_one_head_serve_many_calls() {
    let list = Recording::load("list/endpointslices-json.json");
    let (request, head) = (c::RequestHead::of(&list.request), c::ResponseHead::of(&list.head));
    let cluster = known();
    for _ in 0..3 {
        let mut opened = cluster.node("hz-edge-1").unwrap().open(&request, &head).unwrap();
        assert!(pass(&mut opened.take_stream().unwrap(), &list.body) == expected(&list));
    }
}

#[test]
fn what_a_call_gave_out_is_gone_with_the_next() {
    let list = Recording::load("list/endpointslices-json.json");
    let node = known().node("hz-edge-1").unwrap();
    let mut stream = open(&node, &list).take_stream().unwrap();
    let (mut given, mut calls) = (Vec::new(), 0);
    for chunk in list.body.chunks(1000) {
        let (result, out) = stream.push(chunk);
        assert_eq!(result, Ok(()));
        given.extend(out);
        calls += 1;
        // Calls that say nothing give nothing of an earlier call again.
        assert_eq!(stream.refresh(), (Ok(()), Vec::new()));
        assert_eq!(stream.bytes_out(), given.len() as u64);
    }
    given.extend(stream.finish().1);
    assert!(calls > 50 && given == expected(&list));
}

#[test]
fn after_its_end_a_stream_is_closed() {
    let list = Recording::load("list/endpointslices-json.json");
    let node = known().node("hz-edge-1").unwrap();
    let mut stream = open(&node, &list).take_stream().unwrap();
    let given = pass(&mut stream, &list.body);
    let head = c::ResponseHead::of(&list.head);
    for (result, out) in [
        stream.push(b""),
        stream.push(b"x"),
        stream.refresh(),
        stream.finish(),
        stream.provide_list(&head, &list.body),
    ] {
        let failed = result.unwrap_err();
        assert_eq!(
            (failed.status, failed.offset, failed.object),
            (POOLSCOPE_ERR_CLOSED, None, None)
        );
        assert!(
            failed.message.contains(&format!(
                "after {} bytes in and {} bytes out",
                list.body.len(),
                given.len()
            )),
            "{}",
            failed.message
        );
        assert!(out.is_empty());
    }
    // Without a place for the error it fails the same.
    let (mut out, mut out_len): (*const u8, usize) = (Place::DIRT, Place::DIRT);
    // SAFETY: the stream is live, and so are the places.
    let status = unsafe {
        poolscope_stream_refresh(stream.0, &raw mut out, &raw mut out_len, ptr::null_mut())
    };
    assert_eq!((status, out_len), (POOLSCOPE_ERR_CLOSED, 0));
    assert_eq!(
        (stream.bytes_in(), stream.bytes_out()),
        (list.body.len() as u64, given.len() as u64)
    );
    assert_eq!(stream.needed_lists(), "[]");
}

#[test]
fn after_its_end_a_feed_is_closed() {
    let services = Recording::load("list/services-json.json");
    let cluster = known();
    let mut feed = cluster
        .read_facts(&c::RequestHead::of(&services.request), &c::ResponseHead::of(&services.head))
        .unwrap();
    assert_eq!(feed.finish().unwrap_err().status, POOLSCOPE_ERR_TRUNCATED);
    assert_eq!(feed.push(&services.body).unwrap_err().status, POOLSCOPE_ERR_CLOSED);
    assert_eq!(feed.finish().unwrap_err().status, POOLSCOPE_ERR_CLOSED);
}

/// A handle that threads use at the same time, against the contract's advice: they are refused.
struct Raced<T>(*mut T);

// SAFETY: "a call that comes while another is in the same handle is POOLSCOPE_ERR_BUSY and does
// nothing".
unsafe impl<T> Sync for Raced<T> {}

impl<T> Raced<T> {
    fn handle(&self) -> *mut T {
        self.0
    }
}

/// Four threads call until one of them was refused, and some times more. Returns how many calls
/// were served.
fn race<T>(raced: &Raced<T>, call: impl Fn(*mut T) -> poolscope_status + Sync) -> usize {
    let (start, met) = (Barrier::new(4), AtomicBool::new(false));
    let (served, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let until = Instant::now() + Duration::from_secs(60);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                start.wait();
                while !met.load(Relaxed) {
                    assert!(Instant::now() < until, "two calls never met");
                    for _ in 0..3 {
                        match call(raced.handle()) {
                            POOLSCOPE_OK => drop(served.fetch_add(1, Relaxed)),
                            POOLSCOPE_ERR_BUSY => {
                                refused.fetch_add(1, Relaxed);
                                met.store(true, Relaxed);
                            }
                            other => panic!("{other:?}"),
                        }
                    }
                }
            });
        }
    });
    assert!(refused.into_inner() > 0);
    served.into_inner()
}

#[test]
fn a_push_that_meets_another_is_refused_and_does_nothing() {
    let watch = Recording::load("watch/endpointslices-json.json");
    let node = known().node("hz-edge-1").unwrap();
    let (request, head) = (c::RequestHead::of(&watch.request), c::ResponseHead::of(&watch.head));
    let mut stream = node.open_stateless(&request, &head).unwrap().take_stream().unwrap();
    // Alone, whole events give the same however often they come.
    let once = stream.push(&watch.body).1.len();
    assert!(once > 100_000 && once < watch.body.len());
    let given = AtomicU64::new(once as u64);
    let served = race(&Raced(stream.0), |stream| {
        let (mut out, mut out_len, mut error): (*const u8, usize, *mut poolscope_error) =
            (Place::DIRT, Place::DIRT, Place::DIRT);
        // SAFETY: the stream is live, the body is there, and the places are this thread's. The
        // output is not read: it is valid until the next call, which may be another
        // thread's.
        let status = unsafe {
            poolscope_stream_push(
                stream,
                watch.body.as_ptr(),
                watch.body.len(),
                &raw mut out,
                &raw mut out_len,
                &raw mut error,
            )
        };
        match ended(status, error) {
            Ok(()) => assert_eq!(out_len, once),
            Err(busy) => {
                assert!(
                    busy.status == POOLSCOPE_ERR_BUSY && out.is_null() && out_len == 0,
                    "{busy:?}"
                );
                assert!(busy.message.contains("in use"), "{}", busy.message);
            }
        }
        given.fetch_add(out_len as u64, Relaxed);
        status
    });
    // Only the served calls had an effect; the stream continues as if no calls had met.
    assert_eq!(stream.bytes_out(), given.into_inner());
    assert_eq!(stream.bytes_in(), (1 + served) as u64 * watch.body.len() as u64);
    let (result, out) = stream.push(&watch.body);
    assert_eq!((result, out.len()), (Ok(()), once));
    assert_eq!(stream.finish(), (Ok(()), Vec::new()));
}

#[test]
fn feeds_and_inventories_refuse_a_second_call_too() {
    let services = Recording::load("watch/services-json.json");
    let cluster = known();
    let feed = cluster
        .read_facts(&c::RequestHead::of(&services.request), &c::ResponseHead::of(&services.head))
        .unwrap();
    race(&Raced(feed.0), |feed| {
        // SAFETY: the feed is live, and the body is there.
        unsafe {
            poolscope_fact_reader_push(
                feed,
                services.body.as_ptr(),
                services.body.len(),
                ptr::null_mut(),
            )
        }
    });
    let mut feed = feed;
    feed.finish().unwrap();

    let mut inventory = c::Inventory::new();
    let slices = Recording::load("list/endpointslices-json.json").body;
    inventory.load(&slices).unwrap();
    let node = cluster.node("hz-edge-1").unwrap();
    let before = inventory.view(&node);
    race(&Raced(inventory.0), |inventory| {
        let (mut text, node) = (Place::DIRT, &node);
        // SAFETY: inventory and node are live; the text is this thread's.
        let status =
            unsafe { poolscope_inventory_view(inventory, node.0, &raw mut text, ptr::null_mut()) };
        assert_eq!(Place::is_nothing(text), status == POOLSCOPE_ERR_BUSY);
        drop(c::Text(text));
        status
    });
    assert_eq!(inventory.view(&node), before);
}
