//! How a body ends: a watch normally, because its client resumes; a list with an error, because it
//! must not look whole.

use poolscope::{Config, ErrorKind, Retention};
use poolscope_http::{Error, RewriteBody};

use super::scene::{self, SLICES, WATCH};
use super::upstream::{Feed, Reader, Then, Upstream, upstream};

fn reader(target: &str) -> (Reader<RewriteBody<Upstream>>, Feed) {
    let cluster = scene::cluster(Config::openyurt());
    let rewriter = scene::open(&scene::listed(&cluster), target);
    let (upstream, feed) = upstream();
    (Reader::new(RewriteBody::new(&cluster, rewriter, upstream)), feed)
}

#[test]
fn a_watch_whose_upstream_fails_ends_after_its_last_whole_event() {
    type Break = fn(&Feed);
    for end in [Feed::fail as Break, Feed::end] {
        let (mut reader, feed) = reader(WATCH);
        let next = scene::event(92, &["me"]);
        feed.data(scene::event(91, &["other"]) + &next[..next.len() - 2]);
        end(&feed);
        let (text, then) = reader.read();
        assert_eq!(text, scene::event(91, &[]));
        assert!(matches!(then, Then::End), "{then:?}");
        assert!(feed.is_dropped());
    }
}

#[test]
fn a_list_whose_upstream_fails_is_an_error_after_its_bytes() {
    for target in [SLICES, "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/web-1"] {
        for fails in [true, false] {
            let (mut reader, feed) = reader(target);
            let body = scene::list(&["me", "other"]);
            feed.data(&body[..body.len() - 1]);
            if fails {
                feed.fail()
            } else {
                feed.end()
            }
            let (text, then) = reader.read();
            let Then::Failed(error) = then else { panic!("{then:?}") };
            match error {
                Error::Upstream(error) if fails => {
                    let error = error.downcast::<std::io::Error>().unwrap();
                    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
                }
                Error::Rewrite(error) if !fails => {
                    assert_eq!(error.kind(), ErrorKind::Truncated);
                }
                other => panic!("{other:?}"),
            }
            if target == SLICES {
                assert!(scene::list(&["me"]).starts_with(&text) && text.contains("10.0.0.me"));
            } else {
                assert_eq!(text, "", "an object is held back until it is whole");
            }
            assert!(matches!(reader.poll(), Err(Then::End)), "the error is reported once");
        }
    }
}

#[test]
fn bytes_that_cannot_be_read_are_an_error_in_a_watch_too() {
    let (mut reader, feed) = reader(WATCH);
    feed.data(scene::event(91, &["other"]) + "]");
    let (text, then) = reader.read();
    assert_eq!(text, scene::event(91, &[]));
    let Then::Failed(Error::Rewrite(error)) = then else { panic!("{then:?}") };
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(feed.is_dropped());
}

#[test]
fn a_watch_that_expires_ends_although_upstream_is_open() {
    let mut config = Config::openyurt();
    config.set_retention(Retention::None);
    let cluster = scene::cluster(config);
    let rewriter = scene::open(&scene::listed(&cluster), WATCH);
    let (upstream, feed) = upstream();
    let body = RewriteBody::new(&cluster, rewriter, upstream);
    let mut reader = Reader::new(body);
    assert!(matches!(reader.poll(), Err(Then::Pending)));
    scene::join(&cluster);
    assert_eq!(reader.wakes(), 1);
    let (text, then) = reader.read();
    assert!(text.starts_with(r#"{"type":"ERROR""#), "{text}");
    assert!(matches!(then, Then::End), "{then:?}");
    assert!(feed.is_dropped());
}

#[test]
fn the_next_watch_resumes_as_soon_as_the_body_ended() {
    let cluster = scene::cluster(Config::openyurt());
    let node = scene::listed(&cluster);
    let (upstream, feed) = upstream();
    let body = RewriteBody::new(&cluster, scene::open(&node, WATCH), upstream);
    let mut reader = Reader::new(body);
    feed.fail();
    assert!(matches!(reader.poll(), Err(Then::End)));
    // The server may drop the body of the first watch later.
    scene::join(&cluster);
    let (upstream, _feed) = super::upstream::upstream();
    let body = RewriteBody::new(&cluster, scene::open(&node, WATCH), upstream);
    let (text, _) = Reader::new(body).read();
    assert_eq!(scene::events_of(&text), ["MODIFIED web-1 me other", "BOOKMARK"]);
}
