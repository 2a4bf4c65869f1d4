//! Lives of handles: what is freed before what, what is closed, and what two calls at the same time
//! may do.

use std::ptr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use poolscope::{Cluster, Opened};
use poolscope_capi::poolscope_status::*;
use poolscope_capi::*;

use super::c::{self, Answer, ended};
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
    let mut feed =
        cluster.feed(&c::Request::of(&recording.request), &c::Head::of(&recording.head)).unwrap();
    feed.push(&recording.body).unwrap();
    feed.finish().unwrap();
}

fn open(node: &c::Node, recording: &Recording) -> c::Opened {
    node.open(&c::Request::of(&recording.request), &c::Head::of(&recording.head)).unwrap()
}

fn pass(stream: &mut c::Stream, body: &[u8]) -> Vec<u8> {
    let (result, mut given) = stream.push(body);
    assert_eq!(result, Ok(()));
    let (result, rest) = stream.finish();
    assert_eq!(result, Ok(()));
    given.extend(rest);
    given
}

/// What Rust makes of a body for a node that knows the recorded lists.
fn expected(recording: &Recording) -> Vec<u8> {
    let cluster: Cluster = poolscope_testkit::cluster("list");
    let Ok(Opened::Rewrite(stream)) =
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
    let feed =
        cluster.feed(&c::Request::of(&services.request), &c::Head::of(&services.head)).unwrap();
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
    // It is freed in the middle of a body, and `opened` after it.
    drop(stream);
    assert!(opened.take_stream().is_none());
    assert_eq!(opened.what(), poolscope_opening::POOLSCOPE_REWRITE);
}

#[test]
fn a_stream_that_nobody_took_is_freed_with_what_has_it() {
    let list = Recording::load("list/endpointslices-json.json");
    let node = known().node("hz-edge-1").unwrap();
    // A leak would be one of the address sanitizer's.
    for take in [false, true] {
        let mut opened = open(&node, &list);
        let stream = take.then(|| opened.take_stream().unwrap());
        drop(opened);
        if let Some(mut stream) = stream {
            assert!(pass(&mut stream, &list.body) == expected(&list));
        }
    }
}

#[test]
fn an_answer_is_there_until_what_has_it_is_freed() {
    let list = Recording::load("list/endpointslices-proto.pb");
    let unknown = c::Cluster::new("{}").unwrap();
    let node = unknown.node("hz-edge-1").unwrap();
    let opened = open(&node, &list);
    let (mut http_status, mut retry_after, mut content_type) =
        (Answer::DIRT, Answer::DIRT, Answer::DIRT);
    let (mut body, mut body_len, mut error) = (Answer::DIRT, Answer::DIRT, Answer::DIRT);
    // SAFETY: `opened` is live, and so are the places.
    let status = unsafe {
        let places = (
            &raw mut http_status,
            &raw mut retry_after,
            &raw mut content_type,
            &raw mut body,
            &raw mut body_len,
        );
        poolscope_opened_answer(
            opened.0,
            places.0,
            places.1,
            places.2,
            places.3,
            places.4,
            &raw mut error,
        )
    };
    assert_eq!(ended(status, error), Ok(()));
    drop(node);
    drop(unknown);
    assert!(!opened.missing().is_empty());
    // SAFETY: "valid until `opened` is freed".
    let body = unsafe { std::slice::from_raw_parts(body, body_len) };
    assert!(body.starts_with(b"k8s\0") && opened.answer().unwrap().3 == body);
    assert_eq!((http_status, retry_after), (503, 1));
}

#[test]
fn headers_are_read_by_numbers_below_their_count() {
    let mut request = c::Request::new("GET", "/").unwrap();
    for index in [0, 1, usize::MAX] {
        let failed = request.header(index).unwrap_err();
        assert!(
            failed.status == POOLSCOPE_INVALID_ARGUMENT && failed.message.contains("`index`"),
            "{failed:?}"
        );
    }
    request.add_header("A", "").unwrap();
    request.add_header("A", "b").unwrap();
    assert_eq!(
        request.headers(),
        [("A", ""), ("A", "b")].map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    assert!(request.header(2).is_err());
}

#[test]
fn one_request_and_one_head_serve_many_calls() {
    let list = Recording::load("list/endpointslices-json.json");
    let (request, head) = (c::Request::of(&list.request), c::Head::of(&list.head));
    let cluster = known();
    for _ in 0..3 {
        let mut opened = cluster.node("hz-edge-1").unwrap().open(&request, &head).unwrap();
        assert!(pass(&mut opened.take_stream().unwrap(), &list.body) == expected(&list));
    }
    assert_eq!(request.headers(), list.request.headers);
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
        assert_eq!(stream.given(), given.len() as u64);
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
    let head = c::Head::of(&list.head);
    for (result, out) in [
        stream.push(b""),
        stream.push(b"x"),
        stream.refresh(),
        stream.finish(),
        stream.supply(&head, &list.body),
    ] {
        let failed = result.unwrap_err();
        assert_eq!((failed.status, failed.offset, failed.object), (POOLSCOPE_CLOSED, None, None));
        assert!(
            failed.message.contains(&format!(
                "it took {} bytes and gave {}",
                list.body.len(),
                given.len()
            )),
            "{}",
            failed.message
        );
        assert!(out.is_empty());
    }
    // Without a place for the error it fails the same.
    let (mut out, mut out_len): (*const u8, usize) = (Answer::DIRT, Answer::DIRT);
    // SAFETY: the stream is live, and so are the places.
    let status = unsafe {
        poolscope_stream_refresh(stream.0, &raw mut out, &raw mut out_len, ptr::null_mut())
    };
    assert_eq!((status, out_len), (POOLSCOPE_CLOSED, 0));
    assert_eq!((stream.taken(), stream.given()), (list.body.len() as u64, given.len() as u64));
    assert_eq!(stream.wanted(), "[]");
}

#[test]
fn after_its_end_a_feed_is_closed() {
    let services = Recording::load("list/services-json.json");
    let cluster = known();
    let mut feed =
        cluster.feed(&c::Request::of(&services.request), &c::Head::of(&services.head)).unwrap();
    assert_eq!(feed.finish().unwrap_err().status, POOLSCOPE_TRUNCATED);
    assert_eq!(feed.push(&services.body).unwrap_err().status, POOLSCOPE_CLOSED);
    assert_eq!(feed.finish().unwrap_err().status, POOLSCOPE_CLOSED);
}

/// A handle that threads use at the same time, against the contract's advice: they are refused.
struct Raced<T>(*mut T);

// SAFETY: "a call that comes while another is in the same handle is POOLSCOPE_BUSY and does
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
                            POOLSCOPE_BUSY => {
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
    let (request, head) = (c::Request::of(&watch.request), c::Head::of(&watch.head));
    let mut stream = node.open_alone(&request, &head).unwrap().take_stream().unwrap();
    // Alone, whole events give the same however often they come.
    let once = stream.push(&watch.body).1.len();
    assert!(once > 100_000 && once < watch.body.len());
    let given = AtomicU64::new(once as u64);
    let served = race(&Raced(stream.0), |stream| {
        let (mut out, mut out_len, mut error): (*const u8, usize, *mut poolscope_error) =
            (Answer::DIRT, Answer::DIRT, Answer::DIRT);
        // SAFETY: the stream is live, the body is there, and the places are this thread's. What
        // came out is not read: it is valid until the next call, which may be another
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
                assert!(busy.status == POOLSCOPE_BUSY && out.is_null() && out_len == 0, "{busy:?}");
                assert!(busy.message.contains("in use"), "{}", busy.message);
            }
        }
        given.fetch_add(out_len as u64, Relaxed);
        status
    });
    // What was served, and only that, was done; the stream goes on as if nobody had met.
    assert_eq!(stream.given(), given.into_inner());
    assert_eq!(stream.taken(), (1 + served) as u64 * watch.body.len() as u64);
    let (result, out) = stream.push(&watch.body);
    assert_eq!((result, out.len()), (Ok(()), once));
    assert_eq!(stream.finish(), (Ok(()), Vec::new()));
}

#[test]
fn feeds_and_inventories_refuse_a_second_call_too() {
    let services = Recording::load("watch/services-json.json");
    let cluster = known();
    let feed =
        cluster.feed(&c::Request::of(&services.request), &c::Head::of(&services.head)).unwrap();
    race(&Raced(feed.0), |feed| {
        // SAFETY: the feed is live, and the body is there.
        unsafe {
            poolscope_feed_push(feed, services.body.as_ptr(), services.body.len(), ptr::null_mut())
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
        let (mut text, node) = (Answer::DIRT, &node);
        // SAFETY: inventory and node are live; the text is this thread's.
        let status =
            unsafe { poolscope_inventory_view(inventory, node.0, &raw mut text, ptr::null_mut()) };
        assert_eq!(Answer::is_nothing(text), status == POOLSCOPE_BUSY);
        drop(c::Text(text));
        status
    });
    assert_eq!(inventory.view(&node), before);
}
