//! Events after fact changes, back-pressure, and what a dropped body leaves behind.

use poolscope::{Cluster, Config};
use poolscope_http::RewriteBody;

use super::scene::{self, WATCH};
use super::upstream::{Feed, Reader, Then, Upstream, upstream};

fn watch(config: Config) -> (Cluster, Reader<RewriteBody<Upstream>>, Feed) {
    let cluster = scene::cluster(config);
    let rewriter = scene::open(&scene::listed(&cluster), WATCH);
    let (upstream, feed) = upstream();
    let body = RewriteBody::new(&cluster, rewriter, upstream);
    (cluster, Reader::new(body), feed)
}

#[test]
fn an_event_comes_while_upstream_is_silent() {
    let (cluster, mut reader, _feed) = watch(Config::openyurt());
    assert!(matches!(reader.poll(), Err(Then::Pending)));
    assert_eq!(reader.wakes(), 0);
    scene::join(&cluster);
    assert_eq!(reader.wakes(), 1);
    let (text, then) = reader.read();
    assert_eq!(scene::events_of(&text), ["MODIFIED web-1 me other", "BOOKMARK"]);
    assert!(matches!(then, Then::Pending), "{then:?}");
    // The next change wakes the body again.
    scene::read(&cluster, scene::POOLS, 7, &scene::pools(&["me"]));
    assert_eq!(reader.wakes(), 2);
    assert_eq!(scene::events_of(&reader.read().0), ["MODIFIED web-1 me", "BOOKMARK"]);
}

#[test]
fn a_change_without_events_leaves_the_body_listening() {
    let (cluster, mut reader, _feed) = watch(Config::openyurt());
    assert!(matches!(reader.poll(), Err(Then::Pending)));
    scene::read(&cluster, scene::POOLS, 6, &scene::pools(&["me", "x"]));
    assert_eq!(reader.wakes(), 1);
    assert_eq!(reader.read().0, "", "no endpoint is on `x`");
    scene::read(&cluster, scene::POOLS, 7, &scene::pools(&["me", "other"]));
    assert_eq!(reader.wakes(), 2);
}

#[test]
fn a_change_before_the_first_poll_is_not_missed() {
    let (cluster, mut reader, _feed) = watch(Config::openyurt());
    scene::join(&cluster);
    assert_eq!(scene::events_of(&reader.read().0), ["MODIFIED web-1 me other", "BOOKMARK"]);
}

#[test]
fn an_event_waits_for_the_end_of_the_line_that_is_open() {
    let (cluster, mut reader, feed) = watch(Config::openyurt());
    let event = scene::event(91, &["other"]);
    let (line, newline) = event.split_at(event.len() - 1);
    feed.data(line);
    assert_eq!(scene::events_of(&reader.read().0), ["MODIFIED web-1"]);
    scene::join(&cluster);
    assert_eq!(reader.wakes(), 1);
    assert!(matches!(reader.poll(), Err(Then::Pending)), "two events must not share a line");
    feed.data(newline);
    let (text, _) = reader.read();
    assert_eq!(scene::events_of(&text[1..]), ["MODIFIED web-1 other", "BOOKMARK"]);
}

#[test]
fn an_event_precedes_the_event_that_is_held_back() {
    let (cluster, mut reader, feed) = watch(Config::openyurt());
    let event = scene::event(91, &["me", "other", "x"]);
    feed.data(&event[..50]);
    assert!(matches!(reader.poll(), Err(Then::Pending)));
    scene::join(&cluster);
    assert_eq!(scene::events_of(&reader.read().0), ["MODIFIED web-1 me other", "BOOKMARK"]);
    feed.data(&event[50..]);
    assert_eq!(reader.read().0, "", "the client has these endpoints");
}

/// An event of several runs: the pieces between its cuts are long enough to be shared.
fn wide_event() -> String {
    scene::event(91, &[&["me"; 40][..], &["x"], &["me"; 40]].concat())
}

#[test]
fn upstream_is_polled_only_when_the_output_is_taken() {
    let mut config = Config::openyurt();
    config.set_suppress_unchanged(false);
    let (_cluster, mut reader, feed) = watch(config);
    feed.data(wide_event());
    feed.data(wide_event());
    let mut polls = Vec::new();
    while reader.poll().is_ok() {
        polls.push(feed.polls());
    }
    let of_first = polls.iter().filter(|polls| **polls == 1).count();
    assert!(of_first > 1, "one run: {polls:?}");
    assert_eq!(polls.len(), 2 * of_first, "{polls:?}");
    assert!(polls[of_first..].iter().all(|polls| *polls == 2), "{polls:?}");
}

#[test]
fn events_after_a_fact_change_wait_for_the_queued_output() {
    let (cluster, mut reader, feed) = watch(Config::openyurt());
    let refreshed = || {
        let counters = cluster.counters();
        counters.iter().find(|(name, _)| *name == "eventsRefreshed").unwrap().1
    };
    feed.data(wide_event());
    let mut text = reader.poll().unwrap().to_vec();
    scene::read(&cluster, scene::POOLS, 6, &scene::pools(&["me", "x"]));
    text.extend(reader.poll().unwrap());
    assert_eq!(refreshed(), 0, "the client has not read the last event");
    text.extend(reader.read_bytes().0);
    assert_eq!(refreshed(), 1);
    let text = String::from_utf8(text).unwrap();
    let nodes = |text: &str| text.matches("10.0.0.").count();
    let mut lines = text.lines();
    assert_eq!(lines.by_ref().take(2).map(nodes).collect::<Vec<_>>(), [80, 81], "{text}");
}

#[test]
fn much_input_without_output_yields_to_other_tasks() {
    let (_cluster, mut reader, feed) = watch(Config::openyurt());
    let event = scene::event(91, &["other"]);
    event.bytes().for_each(|byte| feed.data([byte]));
    assert!(event.len() > 128);
    assert!(matches!(reader.poll(), Err(Then::Pending)));
    assert_eq!((reader.wakes(), feed.polls()), (1, 64));
    let mut text = String::new();
    while reader.wakes() > 0 && feed.polls() <= event.len() {
        text += &reader.read().0;
    }
    assert_eq!(text, scene::event(91, &[]));
}

#[test]
fn a_dropped_body_leaves_no_waker_behind() {
    let (cluster, mut reader, feed) = watch(Config::openyurt());
    feed.data(&scene::event(91, &["other"])[..50]);
    assert!(matches!(reader.poll(), Err(Then::Pending)));
    let wakes = reader.close();
    assert!(feed.is_dropped());
    assert_eq!(Reader::<Upstream>::wakers(&wakes), 0);
    scene::join(&cluster);
    feed.data("x");
    assert_eq!(Reader::<Upstream>::wakers(&wakes), 0);
}

#[test]
fn a_list_is_not_woken_by_fact_changes() {
    let cluster = scene::cluster(Config::openyurt());
    let rewriter = scene::open(&cluster.node("me"), scene::SLICES);
    let (upstream, _feed) = upstream();
    let body = RewriteBody::new(&cluster, rewriter, upstream);
    let mut reader = Reader::new(body);
    assert!(matches!(reader.poll(), Err(Then::Pending)));
    scene::join(&cluster);
    assert_eq!(reader.wakes(), 0);
}
