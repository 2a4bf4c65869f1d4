//! Broken JSON, and valid JSON in unusual forms.

use super::*;

#[test]
fn broken_json_is_refused_at_the_byte_that_cannot_be() {
    let of = |form: Form, text: &str, what: &'static str| {
        let (body, offset) = marked(text);
        assert_eq!(
            refused(&view(), Kind::Slice, form, false, &body),
            malformed("JSON", offset, None, what),
            "{text}"
        );
    };
    let (key, colon, value) =
        ("expected a key in double quotes", "expected a colon after a key", "expected a value");
    let item = "expected an item, which is an object";
    for (text, what) in [
        ("{§items:[]}", key),
        ("{\"a\":1,§}", key),
        ("{§,}", key),
        ("{\"a\" §1}", colon),
        ("{\"a\":§}", value),
        ("{\"a\":§]", value),
        ("{\"a\":§oops}", value),
        ("{\"items\":§{}}", "expected `items` to be an array"),
        ("{\"items\":§\"x\"}", "expected `items` to be an array"),
        ("{\"it\\u0065ms\":§{}}", "expected `items` to be an array"),
        ("{\"items\":[§5]}", item),
        ("{\"items\":[§null]}", item),
        ("{\"items\":[§[]]}", item),
        ("{\"items\":[§\"x\"]}", item),
        ("{\"items\":[{},§]}", item),
        ("{\"items\":[§,{}]}", item),
        ("{\"items\":[{}§{}]}", "expected a comma or the end of the items"),
        ("{\"items\":[{}§}", "expected a comma or the end of the items"),
        ("{\"items\":[]§]", "expected a comma or the end of the list"),
        ("{\"items\":[]§\"a\":1}", "expected a comma or the end of the list"),
        ("{\"kind\":\"PodList\"§}", "a list of another kind than the request asked for"),
        ("{\"items\":§true}", "expected `items` to be an array"),
        ("{\"items\":[]} §x", "something follows the list"),
        ("{\"items\":[]}\n§{\"items\":[]}", "something follows the list"),
        ("{§}", "expected a list: an object with `kind` or `items`"),
        ("{\"items\":[{\"kind\":§}]}", value),
        ("{\"items\":[{§5:1}]}", key),
        ("{\"items\":[{\"endpoints\":[{}§{}]}]}", "expected a comma or the end of the array"),
        ("{\"items\":[{\"endpoints\":[{},§]}]}", value),
        ("{\"items\":[{\"endpoints\":[{\"a\":1§]}]}", "expected a comma or the end of the object"),
        ("{\"items\":[{\"x\":[§\\\"]}]}", "a backslash outside of a string"),
    ] {
        of(Form::List, text, what);
    }
    for (text, what) in [
        ("{} §{}", "something follows the object"),
        ("{}§,", "something follows the object"),
        ("{\"endpoints\":[{}]§]}", "expected a comma or the end of the object"),
        ("{\"metadata\":{\"labels\":{\"a\"§}}}", colon),
    ] {
        of(Form::Get, text, what);
    }
    let event = "expected a watch event: an object with `type` and `object`";
    for (text, what) in [
        ("{\"type\":\"ADDED\",\"object\":{}}§,{}", "expected an object"),
        ("{\"type\":\"ADDED\",\"object\":{}}\n§[]", "expected an object"),
        ("{\"type\":\"ADDED\",\"object\":{}}§}", "expected an object"),
        ("§{\"type\":\"ADDED\"}", event),
        ("{\"type\":\"ADDED\",\"object\":{}}\n§{\"object\":{}}", event),
        ("§{}", event),
        ("{\"type\":§ADDED,\"object\":{}}", value),
    ] {
        of(Form::Watch, text, what);
    }
}

#[test]
fn members_that_decide_must_be_what_they_are() {
    let string = "expected a string or null";
    let metadata = |text: &str| json_slice_with(text, "\"endpoints\":[]");
    let address = |text: &str| {
        format!(
            r#"{{"metadata":{{"name":"pool","namespace":"shop"}},"subsets":[{{"notReadyAddresses":[{{"ip":"1","nodeName":{text}}}]}}]}}"#
        )
    };
    let subsets = |text: &str| {
        format!(r#"{{"subsets":{text},"metadata":{{"namespace":"shop","name":"pool"}}}}"#)
    };
    let cases = [
        (Kind::Slice, json_slice("[{\"nodeName\":§5}]"), Some("shop/pool-1"), string),
        (
            Kind::Slice,
            json_slice("[{\"nodeName\":\"me\"},{\"nodeName\":§true}]"),
            Some("shop/pool-1"),
            string,
        ),
        (Kind::Slice, json_slice("[{\"nodeName\":§{\"a\":\"me\"}}]"), Some("shop/pool-1"), string),
        (
            Kind::Slice,
            json_slice("[{\"nodeName\":§[\"me\"],\"nodeName\":\"me\"}]"),
            Some("shop/pool-1"),
            string,
        ),
        (Kind::Slice, json_slice("§{}"), Some("shop/pool-1"), "expected an array of endpoints"),
        (Kind::Slice, json_slice("§\"\""), Some("shop/pool-1"), "expected an array of endpoints"),
        (Kind::Slice, json_slice("[§5]"), Some("shop/pool-1"), "expected an object as endpoint"),
        (
            Kind::Slice,
            json_slice("[§[{\"nodeName\":\"me\"}]]"),
            Some("shop/pool-1"),
            "expected an object as endpoint",
        ),
        (Kind::Slice, metadata(",\"namespace\":§5"), None, string),
        (
            Kind::Slice,
            metadata(",\"labels\":{\"kubernetes.io/service-name\":§5}"),
            Some("shop/pool-1"),
            string,
        ),
        (
            Kind::Slice,
            "{\"kind\":§5,\"metadata\":{\"name\":\"a\\u0062\"}}".to_owned(),
            Some("/ab"),
            string,
        ),
        (Kind::Slice, "{\"apiVersion\":§{}}".to_owned(), None, string),
        (
            Kind::Beta,
            "{\"endpoints\":[{\"topology\":§[]}]}".to_owned(),
            None,
            "expected an object as topology",
        ),
        (
            Kind::Beta,
            "{\"endpoints\":[{\"topology\":{\"kubernetes.io/hostname\":§0}}]}".to_owned(),
            None,
            string,
        ),
        (Kind::Endpoints, address("§5"), Some("shop/pool"), string),
        (Kind::Endpoints, subsets("§{}"), Some("shop/pool"), "expected an array of subsets"),
        (Kind::Endpoints, subsets("[§\"x\"]"), Some("shop/pool"), "expected an object as subset"),
        (
            Kind::Endpoints,
            subsets("[{\"addresses\":§{}}]"),
            Some("shop/pool"),
            "expected an array of addresses",
        ),
        (
            Kind::Endpoints,
            subsets("[{\"addresses\":[§1]}]"),
            Some("shop/pool"),
            "expected an object as address",
        ),
    ];
    for (kind, text, object, what) in cases {
        let list = format!("{{\"items\":[{{}}, {text}]}}");
        for (form, text) in
            [(Form::Get, text.clone()), (Form::List, list), (Form::Watch, json_event(&text))]
        {
            let (body, offset) = marked(&text);
            assert_eq!(
                refused(&view(), kind, form, false, &body),
                malformed("JSON", offset, object, what),
                "{text}"
            );
        }
    }
    assert_eq!(
        refused(
            &view(),
            Kind::Slice,
            Form::Get,
            false,
            marked(&json_slice("[{\"nodeName\":§5}]")).0
        )
        .to_string(),
        "malformed JSON at byte 179 in shop/pool-1: expected a string or null"
    );
}

#[test]
fn null_is_nothing_wherever_it_may_stand() {
    let pass = |kind, body: &str, expected: &str| {
        assert_eq!(
            String::from_utf8(passed(&view(), kind, Form::Get, false, body)).unwrap(),
            expected
        );
    };
    let whole = |kind, body: &str| pass(kind, body, body);
    pass(
        Kind::Slice,
        &json_slice("[null,{\"nodeName\":\"me\"},{\"nodeName\":null}]"),
        &json_slice("[{\"nodeName\":\"me\"}]"),
    );
    whole(Kind::Slice, &json_slice("null"));
    whole(Kind::Slice, r#"{"kind":null,"apiVersion":null,"metadata":null,"endpoints":null}"#);
    whole(
        Kind::Slice,
        r#"{"metadata":{"name":null,"namespace":null,"labels":null},"endpoints":[null]}"#,
    );
    let endpoints = |subsets: &str| {
        format!(r#"{{"metadata":{{"name":"pool","namespace":"shop"}},"subsets":{subsets}}}"#)
    };
    whole(Kind::Endpoints, &endpoints("null"));
    pass(
        Kind::Endpoints,
        &endpoints("[null, {\"addresses\":null}, {\"addresses\":[null,{\"nodeName\":\"me\"}]}]"),
        &endpoints("[{\"addresses\":[{\"nodeName\":\"me\"}]}]"),
    );
    assert_eq!(
        passed(&view(), Kind::Slice, Form::List, false, "{\"items\":null}"),
        b"{\"items\":null}"
    );
    assert_eq!(
        passed(&view(), Kind::Slice, Form::Watch, false, json_event("null")),
        json_event("null").as_bytes()
    );
}

#[test]
fn texts_that_are_not_utf_8_name_no_node() {
    let body = |node: &[u8], hostname: &[u8]| {
        let text = json_slice("[{\"hostname\":\"H\",\"nodeName\":\"me\"},{\"nodeName\":\"N\"}]");
        let (before, after) = text.split_once("\"H\"").unwrap();
        let (between, after) = after.split_once("\"N\"").unwrap();
        [
            before.as_bytes(),
            b"\"",
            hostname,
            b"\"",
            between.as_bytes(),
            b"\"",
            node,
            b"\"",
            after.as_bytes(),
        ]
        .concat()
    };
    let left = |hostname: &[u8]| {
        let whole = body(b"", hostname);
        [&whole[..place(&whole, b",{\"nodeName\":\"\"}")], b"]}"].concat()
    };
    for hostname in [
        &b"\xff\xfe"[..],
        b"\xc3",
        b"\xed\xa0\x80",
        b"\\ud800",
        b"\\uD83D\\u0020",
        b"\0\x1f",
        b"\\q\\u12",
    ] {
        // Off the path such a text passes as it is; on it, it is a node that no pool has.
        assert_eq!(
            passed(&view(), Kind::Slice, Form::Get, false, body(b"friend", hostname)),
            body(b"friend", hostname)
        );
        assert_eq!(
            passed(&view(), Kind::Slice, Form::Get, false, body(b"other", hostname)),
            left(hostname)
        );
        assert_eq!(
            passed(&view(), Kind::Slice, Form::Get, false, body(hostname, b"h")),
            left(b"h")
        );
        for node in [
            [b"me", hostname].concat(),
            [b"m\\u0065", hostname].concat(),
            [hostname, b"me"].concat(),
        ] {
            assert_eq!(
                passed(&view(), Kind::Slice, Form::Get, false, body(&node, b"h")),
                left(b"h"),
                "{node:?}"
            );
        }
    }
    // The node, written otherwise.
    let same = body(b"fr\\u0069end", b"\xff");
    assert_eq!(passed(&view(), Kind::Slice, Form::Get, false, &same), same);
    // Protobuf names are bytes.
    let object = slice(&[&on("me"), &record(6, b"me\xff"), &record(6, b"\xff")]);
    let left = envelope(V1, "EndpointSlice", &slice(&[&on("me")]));
    assert_eq!(
        passed(&view(), Kind::Slice, Form::Get, true, envelope(V1, "EndpointSlice", &object)),
        left
    );
}

#[test]
fn events_of_any_type_are_filtered() {
    let (before, after) = (json_slice("[{\"nodeName\":\"other\"}]"), json_slice("[]"));
    for kind in [
        "\"ADDED\"",
        "\"MODIFIED\"",
        "\"DELETED\"",
        "\"\\u0041DDED\"",
        "\"added\"",
        "\"\"",
        "5",
        "null",
        "{}",
    ] {
        let event = |object: &str| format!("{{\"object\":{object},\"type\":{kind}}}");
        assert_eq!(
            passed(&view(), Kind::Slice, Form::Watch, false, event(&before)),
            event(&after).as_bytes()
        );
    }
    for kind in ["ADDED", "MODIFIED", "DELETED", "added", "", "\u{0}"] {
        let object =
            |endpoints: &[&[u8]]| event(kind, &envelope(V1, "EndpointSlice", &slice(endpoints)));
        assert_eq!(
            passed(&view(), Kind::Slice, Form::Watch, true, object(&[&on("other")])),
            object(&[])
        );
    }
    // Bookmarks and errors carry no endpoints, however their type is written.
    let bookmark = format!("{{\"object\":{before},\"type\":\"BOOKMAR\\u004b\"}}");
    assert_eq!(passed(&view(), Kind::Slice, Form::Watch, false, &bookmark), bookmark.as_bytes());
    // Items twice: Go's decoder puts the second array over the first, slot by slot, and what the
    // second does not say stays.
    for second in [format!("[{before}]"), "[{}]".to_owned(), "[]".to_owned(), "null".to_owned()] {
        for key in ["items", "\\u0069tems"] {
            let twice = format!("{{\"items\":[{before}],\"{key}\":{second}}}");
            let offset = twice.len() - 1 - second.len() - 1 - (key.len() + 2);
            let fault = malformed("JSON", offset, None, "`items` is given twice in one list");
            assert_eq!(refused(&view(), Kind::Slice, Form::List, false, &twice), fault, "{twice}");
        }
    }
}

#[test]
fn objects_of_another_kind_are_refused() {
    for (kind, api_version) in [
        ("Service", V1),
        ("EndpointSliceList", V1),
        ("EndpointSlice", "discovery.k8s.io/v1beta1"),
        ("EndpointSlice", "v1"),
        ("endpointslice", V1),
    ] {
        let object = format!(
            r#"§{{"kind":"{kind}","metadata":{{"name":"x"}},"apiVersion":"{api_version}","endpoints":[{{}}]}}"#
        );
        let list = format!("{{\"kind\":\"EndpointSliceList\",\"items\":[{object}]}}");
        for (form, text) in
            [(Form::Get, object.clone()), (Form::List, list), (Form::Watch, json_event(&object))]
        {
            let (body, offset) = marked(&text);
            assert_eq!(
                refused(&view(), Kind::Slice, form, false, &body),
                malformed("JSON", offset, Some("/x"), OTHER_KIND),
                "{text}"
            );
        }
        let object = envelope(api_version, kind, &slice(&[]));
        let at = |body: &[u8]| place(body, &slice(&[]));
        assert_eq!(
            refused(&view(), Kind::Slice, Form::Get, true, &object),
            malformed("protobuf", at(&object), None, OTHER_KIND)
        );
        let event = event("MODIFIED", &object);
        assert_eq!(
            refused(&view(), Kind::Slice, Form::Watch, true, &event),
            malformed("protobuf", at(&event), None, OTHER_KIND)
        );
        if kind != "EndpointSliceList" {
            let list = envelope(api_version, &format!("{kind}List"), &record(2, slice(&[])));
            // The list says its kind before its items, its apiVersion is that of the items.
            let expected = match kind {
                "EndpointSlice" => malformed("protobuf", at(&list), None, OTHER_KIND),
                _ => malformed(
                    "protobuf",
                    4,
                    None,
                    "a list of another kind than the request asked for",
                ),
            };
            assert_eq!(refused(&view(), Kind::Slice, Form::List, true, &list), expected);
        }
    }
    // Slices asked for in one version and answered in the other would be read wrongly.
    let v1 = envelope(V1, "EndpointSlice", &slice(&[&on("me")]));
    let at = place(&v1, &slice(&[&on("me")]));
    assert_eq!(
        refused(&view(), Kind::Beta, Form::Get, true, &v1),
        malformed("protobuf", at, None, OTHER_KIND)
    );
    // The last kind counts, as in every decoder.
    let last = json_slice_with("", "\"kind\":\"Pod\"");
    assert_eq!(
        refused(&view(), Kind::Slice, Form::Get, false, last),
        malformed("JSON", 0, Some("shop/pool-1"), OTHER_KIND)
    );
}
