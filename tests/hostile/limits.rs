//! Limits of the configuration.

use super::*;

pub(crate) fn too_large(what: &'static str, offset: u64, limit: u64, key: &'static str) -> Failed {
    Failed::too_large(what, offset, limit, key)
}

/// Pushes byte by byte: how many bytes the stream was given when it refused, and why.
pub(crate) fn refused_after(
    view: &NodeView,
    form: Form,
    protobuf: bool,
    body: &[u8],
) -> (usize, Failed) {
    let recording = Kind::Slice.recording(form, protobuf, body.to_vec());
    let (mut stream, mut out) = (recording.open(view), BytesMut::new());
    for (at, byte) in body.iter().enumerate() {
        if let Err(error) = stream.push(&[*byte], &mut out) {
            let error = Failed::from(error);
            assert_eq!(refused(view, Kind::Slice, form, protobuf, body), error);
            return (at + 1, error);
        }
    }
    panic!("{} bytes were taken", body.len());
}

#[test]
fn what_is_over_a_limit_is_refused_before_it_comes() {
    // Larger than the facts, which have the same limits.
    let long = slice(&[&[on("me"), record(1, "1".repeat(200))].concat()]);
    let object = envelope(V1, "EndpointSlice", &long);
    let small = event("ADDED", &object);
    let size = small.len() - 4;
    let frames = |limit: usize| limited(|config| config.limits_mut().frame_bytes = limit);
    // Watches in protobuf: at the length of the frame.
    let body = [small.clone(), small.clone()].concat();
    assert_eq!(passed(&frames(size), Kind::Slice, Form::Watch, true, &body), body);
    let expected = |offset| too_large("a watch event", offset, size as u64 - 1, "frameBytes");
    assert_eq!(refused_after(&frames(size - 1), Form::Watch, true, &body), (4, expected(0)));
    let bookmark = event("BOOKMARK", &envelope(V1, "EndpointSlice", b""));
    assert!(bookmark.len() < small.len());
    let body = [bookmark.clone(), small.clone()].concat();
    assert_eq!(
        refused_after(&frames(size - 1), Form::Watch, true, &body),
        (bookmark.len() + 4, expected(bookmark.len() as u64))
    );
    let huge = [small, vec![0xff; 4]].concat();
    let expected = too_large("a watch event", size as u64 + 4, 16 << 20, "frameBytes");
    assert_eq!(refused_after(&view(), Form::Watch, true, &huge), (huge.len(), expected));
    // Watches in JSON: at the byte that is too much.
    let line = json_event(&json_slice("[]"));
    let size = line.len() - 1;
    let body = line.repeat(2);
    assert_eq!(passed(&frames(size), Kind::Slice, Form::Watch, false, &body), body.as_bytes());
    let expected = too_large("a watch event", 0, size as u64 - 1, "frameBytes");
    assert_eq!(
        refused_after(&frames(size - 1), Form::Watch, false, body.as_bytes()),
        (size, expected)
    );
    let body = format!("{} {line}", json_event("{}"));
    let start = body.find(' ').unwrap() + 1;
    let expected = too_large("a watch event", start as u64, size as u64 - 1, "frameBytes");
    assert_eq!(
        refused_after(&frames(size - 1), Form::Watch, false, body.as_bytes()),
        (start + size, expected)
    );

    let items = |limit: usize| limited(|config| config.limits_mut().item_bytes = limit);
    // Lists in protobuf: at the length of the item.
    let body = envelope(
        V1,
        "EndpointSliceList",
        &[record(2, slice(&[])), record(2, &long), record(2, slice(&[]))].concat(),
    );
    let start = place(&body, &record(2, &long)[..4]);
    assert_eq!(passed(&items(long.len()), Kind::Slice, Form::List, true, &body), body);
    let expected = too_large("a list item", start as u64, long.len() as u64 - 1, "itemBytes");
    assert_eq!(
        refused_after(&items(long.len() - 1), Form::List, true, &body),
        (start + 3, expected)
    );
    // Any field is held while it comes, in the list and around it.
    let meta = record(1, [record(1, V1), record(2, "EndpointSliceList")].concat());
    let huge_list = [0x12, 0xff, 0xff, 0xff, 0xff, 0x0f];
    for (head, tags) in [
        ([b"k8s\0", &*meta].concat(), [0x0a, 0x1a, 0x62]),
        ([b"k8s\0", &*meta, &huge_list].concat(), [0x0a, 0x12, 0x62]),
    ] {
        for tag in tags {
            let body = [&*head, &[tag, 0x80, 0x80, 0x80, 0x09]].concat();
            let expected = too_large("a list item", head.len() as u64, 16 << 20, "itemBytes");
            assert_eq!(refused_after(&view(), Form::List, true, &body), (body.len(), expected));
        }
    }
    // Lists in JSON: items, and members that nobody knows.
    let item = json_slice("[]");
    let body = format!("{{\"items\":[{item},{item}]}}");
    assert_eq!(passed(&items(item.len()), Kind::Slice, Form::List, false, &body), body.as_bytes());
    let expected = too_large("a list item", 10, item.len() as u64 - 1, "itemBytes");
    assert_eq!(
        refused_after(&items(item.len() - 1), Form::List, false, body.as_bytes()),
        (10 + item.len(), expected)
    );
    let (text, number, array) =
        ("t".repeat(299), "1".repeat(301), format!("[{}1]", "1,".repeat(149)));
    for body in [
        format!("{{\"x\":§\"{text}\",\"items\":[]}}"),
        format!("{{§\"{text}\":1,\"items\":[]}}"),
        format!("{{\"x\":§{number},\"items\":[]}}"),
        format!("{{\"metadata\": §{array},\"items\":[]}}"),
    ] {
        let (body, offset) = marked(&body);
        assert_eq!(passed(&items(301), Kind::Slice, Form::List, false, &body), body.as_bytes());
        let expected = too_large("a list item", offset as u64, 300, "itemBytes");
        assert_eq!(
            refused_after(&items(300), Form::List, false, body.as_bytes()),
            (offset + 301, expected),
            "{body}"
        );
    }
    // The bytes between items are held back with items that may be left out: no longer than an item
    // may be.
    let services =
        limited(|config| config.set_node_port_isolation(true).limits_mut().item_bytes = 500);
    let request = RequestHead::get("/api/v1/services");
    for (blanks, fits) in [(500, true), (501, false)] {
        let body = format!("{{\"items\":[{}{{}}]}}", " ".repeat(blanks));
        for size in [1, 7, 4096] {
            let Ok(Action::Rewrite(stream)) =
                services.open(&request, &ResponseHead::ok("application/json"))
            else {
                panic!("it is rewritten")
            };
            let outcome = push(stream, body.as_bytes(), size);
            match outcome.result {
                Ok(()) => assert!(fits && outcome.out == body.as_bytes()),
                Err(error) => assert!(
                    !fits
                        && error
                            == too_large("a list item", error.offset.unwrap(), 500, "itemBytes"),
                    "{error:?}"
                ),
            }
        }
    }
    // Single objects: at the byte that is too much.
    for (protobuf, body) in [(false, json_slice("[]").into_bytes()), (true, object)] {
        assert_eq!(passed(&items(body.len()), Kind::Slice, Form::Get, protobuf, &body), body);
        let expected = too_large("an object", 0, body.len() as u64 - 1, "itemBytes");
        assert_eq!(
            refused_after(&items(body.len() - 1), Form::Get, protobuf, &body),
            (body.len(), expected)
        );
    }
}

#[test]
fn what_is_nested_too_deep_is_refused_where_it_gets_too_deep() {
    let view = limited(|config| config.limits_mut().depth = 4);
    let deeper = limited(|config| config.limits_mut().depth = 5);
    let get = |body: &str| (Kind::Slice, Form::Get, body.to_owned());
    let list = |body: &str| (Kind::Slice, Form::List, body.to_owned());
    let watch = |body: &str| (Kind::Slice, Form::Watch, body.to_owned());
    let padding = format!("{:70}", "");
    for (kind, form, body) in [
        // Off the path, on it, and beside it.
        get(r#"{"x":[[[§[]]]]}"#),
        get(r#"{"x":{"x":[{"x":§{}}]}}"#),
        get(&format!(r#"{{"x":{{"x":[{padding}{{"x":{padding}§{{}}}}]}}}}"#)),
        get(r#"{"x":["[[[[\"[",[[ "{" ,§[]]]]}"#),
        get(r#"{"endpoints":[{"x":[§[]]}]}"#),
        get(r#"{"endpoints":[{"nodeName":"me","hints":{"x":§[]}}]}"#),
        get(r#"{"metadata":{"labels":{"a":[§[]]}}}"#),
        // Items and members of a list are counted each by itself.
        list(r#"{"items":[{"x":[[[§[]]]]}]}"#),
        list(r#"{"items":[{"endpoints":[{"x":[§{}]}]}]}"#),
        list(r#"{"x":[[[[§[]]]]],"items":[]}"#),
        list(r#"{"metadata":{"x":[[[§[]]]]},"items":[]}"#),
        watch(r#"{"type":"ADDED","object":{"x":[[§[]]]}}"#),
        watch(r#"{"type":"ADDED","object":{"endpoints":[{"x":§[]}]}}"#),
        (Kind::Endpoints, Form::Get, r#"{"subsets":[{"addresses":[§{}]}]}"#.to_owned()),
        (Kind::Beta, Form::Get, r#"{"endpoints":[{"topology":{"x":§[]}}]}"#.to_owned()),
    ] {
        let (body, offset) = marked(&body);
        let expected = Failed::too_deep(offset as u64, 4);
        assert_eq!(refused(&view, kind, form, false, &body), expected, "{body}");
        assert_eq!(passed(&deeper, kind, form, false, &body), body.as_bytes(), "{body}");
    }
}

#[test]
fn a_million_brackets_are_no_more_than_that() {
    const COUNT: usize = 1 << 20;
    for (open, close) in [("[", "]"), ("{\"x\":", "}")] {
        let body = format!("{{\"x\":{}0{},\"items\":[]}}", open.repeat(COUNT), close.repeat(COUNT));
        for form in [Form::Get, Form::List] {
            let recording = Kind::Slice.recording(form, false, body.clone().into_bytes());
            let deep = limited(|config| config.limits_mut().depth = COUNT + 1);
            assert!(
                run(recording.open(&deep), body.as_bytes(), random_chunks(3, 5000)).unwrap()
                    == body.as_bytes()
            );
            let error =
                run(recording.open(&view()), body.as_bytes(), random_chunks(3, 5000)).unwrap_err();
            // The single object is the first level itself.
            let levels = if form == Form::Get { 511 } else { 512 };
            assert_eq!(
                Failed::from(error),
                Failed::too_deep((5 + levels * open.len()) as u64, 512)
            );
        }
    }
}
