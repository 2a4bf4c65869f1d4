//! Bodies that end too early.

use super::*;

#[test]
fn a_watch_that_is_cut_anywhere_gives_whole_events_and_an_error() {
    let view = cluster("list").node("hz-edge-1");
    let mut cut = 0;
    for name in
        ["watch/endpoints-json.json", "watch/endpoints-proto.pb", "watchlist/endpoints-proto.pb"]
    {
        let recording = Recording::load(name);
        let protobuf = recording.is_protobuf();
        let whole = recording.filter(&view);
        assert!(whole.len() < recording.body.len(), "{name} has something to cut");
        let (taken, given) = (boundaries(&recording.body, protobuf), boundaries(&whole, protobuf));
        assert!(taken.len() > 2);
        for end in 0..recording.body.len() {
            let Outcome { out, result, .. } =
                push(recording.open(&view), &recording.body[..end], 7);
            if taken.contains(&end) {
                assert_eq!(result, Ok(()), "{name} at {end}");
            } else {
                assert_eq!(
                    result,
                    Err(Failed::truncated(end as u64, "a watch event")),
                    "{name} at {end}"
                );
                cut += 1;
            }
            assert!(
                whole.starts_with(&out) && given.contains(&out.len()),
                "{name} at {end}: {} came out",
                out.len()
            );
        }
    }
    assert!(cut > 6000);
}

#[test]
fn a_json_list_or_object_that_is_cut_anywhere_is_an_error() {
    let view = cluster("list").node("hz-edge-1");
    for name in [
        "list/endpoints-json.json",
        "list/endpointslices-limit5-p09-json.json",
        "get/endpointslice-json.json",
    ] {
        let recording = Recording::load(name);
        let whole = recording.filter(&view);
        // The line's end after the last bracket is no part of it.
        for end in 0..recording.body.len() - 1 {
            for size in [7, usize::MAX] {
                let Outcome { out, result, .. } =
                    push(recording.open(&view), &recording.body[..end], size);
                let truncated = |inside| Err(Failed::truncated(end as u64, inside));
                match name.split_once('/').unwrap().0 {
                    "get" => assert!(out.is_empty() && result == truncated("an object")),
                    _ => assert!(
                        whole.starts_with(&out)
                            && (result == truncated("a list")
                                || result == truncated("a list item")),
                        "{name} at {end}"
                    ),
                }
            }
        }
        assert_eq!(
            push(recording.open(&view), &recording.body[..recording.body.len() - 1], 7).result,
            Ok(())
        );
    }
}

#[test]
fn a_protobuf_list_or_object_that_is_cut_is_an_error() {
    let view = cluster("list").node("hz-edge-1");
    for name in [
        "list/endpoints-proto.pb",
        "list/endpointslices-limit5-p09-proto.pb",
        "get/endpointslice-proto.pb",
    ] {
        let recording = Recording::load(name);
        let (body, whole) = (&recording.body, recording.filter(&view));
        // After the object come two empty fields of the envelope, which many encoders leave out.
        assert!(body.ends_with(&[0x1a, 0, 0x22, 0]));
        let object_end = body.len() - 4;
        for end in 0..body.len() {
            let Outcome { out, result, .. } = push(recording.open(&view), &body[..end], 7);
            assert!(whole.starts_with(&out), "{name} at {end}");
            if end >= object_end && (end - object_end) % 2 == 0 {
                assert_eq!(result, Ok(()), "{name} at {end}");
                continue;
            }
            match result {
                Err(error) if error.kind == ErrorKind::Truncated => {
                    assert_eq!(error.offset, Some(end as u64), "{name}")
                }
                other => panic!("{name} at {end}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_list_of_facts_that_is_cut_teaches_nothing() {
    let service = |name: &str| {
        record(2, record(1, [record(1, name), record(3, "shop"), record(6, "7")].concat()))
    };
    let proto = envelope(
        "v1",
        "ServiceList",
        &[record(1, record(2, "9")), service("web"), service("db")].concat(),
    );
    let json = br#"{"kind":"ServiceList","apiVersion":"v1","metadata":{"resourceVersion":"9"},"items":[{"metadata":{"name":"web","namespace":"shop"}}]}"#;
    for (body, content_type, end) in [
        (&json[..], "application/json", json.len()),
        (&proto[..], "application/vnd.kubernetes.protobuf", proto.len() - 4),
    ] {
        let lacks_services = |cut: usize| {
            let cluster = Cluster::new(Config::openyurt()).unwrap();
            let mut feed = cluster
                .read_facts(&RequestHead::get("/api/v1/services"), &ResponseHead::ok(content_type))
                .unwrap();
            for chunk in body[..cut].chunks(3) {
                feed.push(chunk).unwrap();
            }
            let finished = feed.finish();
            assert!(cut >= end || content_type != "application/json" || finished.is_err());
            cluster.node("me").missing().iter().any(|missing| missing.kind == FactKind::Service)
        };
        for cut in 0..=body.len() {
            assert_eq!(lacks_services(cut), cut < end, "{content_type} at {cut}");
        }
    }
}
