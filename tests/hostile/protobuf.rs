//! Broken protobuf.

use super::*;

/// Pieces of a protobuf body and where among them the fault is.
pub(crate) struct Broken {
    pub(crate) body: Vec<u8>,
    pub(crate) offset: usize,
}

pub(crate) fn broken(before: &[&[u8]], fault: &[u8]) -> Broken {
    let before = before.concat();
    Broken { offset: before.len(), body: [&before, fault].concat() }
}

/// Faults of a field wherever it stands: bytes, how far into them the fault is, and what it is.
pub(crate) const BAD_FIELDS: [(&[u8], usize, &str); 10] = [
    (&[0x02, 0x00], 0, "a field number is out of range"),
    (&[0x00], 0, "a field number is out of range"),
    (&[0x80, 0x80, 0x80, 0x80, 0x10, 0x00], 0, "a field number is out of range"),
    (&[0x63, 0x64], 0, GROUP),
    (&[0x64], 0, GROUP),
    (&[0x66, 0x00], 0, GROUP),
    (&[0x67, 0x00], 0, GROUP),
    (
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
        0,
        "a varint holds more than 64 bits",
    ),
    (
        &[0x62, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0x00],
        1,
        "a varint holds more than 64 bits",
    ),
    (
        &[0x60, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        1,
        "a varint holds more than 64 bits",
    ),
];

/// Makes a body around a field.
pub(crate) type Around = fn(&[u8]) -> Vec<u8>;

#[test]
fn fields_that_cannot_be_are_refused_wherever_they_stand() {
    let view = view();
    for (bytes, into, what) in BAD_FIELDS {
        // Each place makes a body around the bad field.
        let places: [(Form, Around); 12] = [
            (Form::List, |bad| [b"k8s\0", bad].concat()),
            (Form::Get, |bad| [b"k8s\0", bad].concat()),
            (Form::List, |bad| [b"k8s\0", &*record(1, bad)].concat()),
            (Form::Get, |bad| [b"k8s\0", &*record(1, bad)].concat()),
            (Form::List, |bad| envelope(V1, "EndpointSliceList", bad)),
            (Form::List, |bad| envelope(V1, "EndpointSliceList", &record(1, bad))),
            (Form::List, |bad| list_of(&[bad.to_vec()])),
            (Form::Watch, frame),
            (Form::Watch, |bad| frame(&record(2, bad))),
            (Form::Watch, |bad| event("", &envelope(V1, "EndpointSlice", &record(1, bad)))),
            (Form::Get, |bad| envelope(V1, "EndpointSlice", &record(1, record(11, bad)))),
            (Form::Get, |bad| envelope(V1, "EndpointSlice", &record(2, bad))),
        ];
        // Where the bad field comes to stand is seen by another of its size.
        let mark = vec![0xee; bytes.len()];
        for (at, (form, body)) in places.into_iter().enumerate() {
            let (body, offset) = (body(bytes), place(&body(&mark), &mark) + into);
            let error = refused(&view, Kind::Slice, form, true, &body);
            assert_eq!(
                error,
                malformed("protobuf", offset, None, what),
                "{bytes:x?} at place {at}: {body:x?}"
            );
        }
        let address = |bad: &[u8]| envelope("v1", "Endpoints", &record(2, record(2, bad)));
        let expected = malformed("protobuf", place(&address(&mark), &mark) + into, None, what);
        assert_eq!(refused(&view, Kind::Endpoints, Form::Get, true, address(bytes)), expected);
        let topology = |bad: &[u8]| {
            envelope("discovery.k8s.io/v1beta1", "EndpointSlice", &record(2, record(5, bad)))
        };
        let expected = malformed("protobuf", place(&topology(&mark), &mark) + into, None, what);
        assert_eq!(refused(&view, Kind::Beta, Form::Get, true, topology(bytes)), expected);
    }
}

#[test]
fn fields_of_the_wrong_wire_type_are_refused() {
    let meta = &record(1, [record(1, V1), record(2, "EndpointSliceList")].concat());
    let magic: &[u8] = b"k8s\0";
    let number: &[u8] = &[0x08, 0x01];
    let fixed: &[u8] = &[0x15, 1, 2, 3, 4];
    for (form, before, fault) in [
        (Form::List, vec![magic], number),
        (Form::List, vec![magic, meta], fixed),
        (Form::List, vec![magic, meta], &[0x18, 0]),
        (Form::List, vec![magic, meta, &[0x12, 2]], number),
        (Form::List, vec![magic, meta, &[0x12, 5]], fixed),
        (Form::List, vec![magic, meta, &[0x12, 7, 0x0a, 5]], fixed),
        (Form::List, vec![magic, meta, &[0x12, 4, 0x12, 2]], number),
        (Form::List, vec![magic, meta, &[0x12, 7, 0x12, 5]], fixed),
        (Form::List, vec![magic, meta, &[0x12, 6, 0x12, 4, 0x0a, 2]], number),
        (Form::List, vec![magic, meta, &[0x12, 6, 0x12, 4, 0x12, 2]], &[0x30, 1]),
        (Form::Get, vec![magic], number),
        (Form::Get, vec![magic], fixed),
        (Form::Get, vec![magic, &[0x0a, 2]], number),
        (Form::Watch, vec![&[0, 0, 0, 2]], number),
        (Form::Watch, vec![&[0, 0, 0, 5]], fixed),
        (Form::Watch, vec![&[0, 0, 0, 4, 0x12, 2]], number),
    ] {
        let Broken { body, offset } = broken(&before, fault);
        assert_eq!(
            refused(&view(), Kind::Slice, form, true, &body),
            malformed("protobuf", offset, None, WIRE_TYPE),
            "{body:x?}"
        );
    }
    // A fault in an object whose name was read names it.
    let bad = slice(&[&on("me"), &[0x30, 7]]);
    for (form, body) in [
        (Form::Get, envelope(V1, "EndpointSlice", &bad)),
        (Form::List, list_of(std::slice::from_ref(&bad))),
        (Form::Watch, event("ADDED", &envelope(V1, "EndpointSlice", &bad))),
    ] {
        let expected =
            malformed("protobuf", place(&body, &[0x30, 7]), Some("shop/pool-1"), WIRE_TYPE);
        assert_eq!(refused(&view(), Kind::Slice, form, true, &body), expected);
    }
    let subset = record(2, record(1, [0x20, 7]));
    let body = envelope("v1", "Endpoints", &[record(1, record(1, "pool")), subset].concat());
    let expected = malformed("protobuf", place(&body, &[0x20, 7]), Some("/pool"), WIRE_TYPE);
    assert_eq!(refused(&view(), Kind::Endpoints, Form::Get, true, &body), expected);
    // Where no reader looks, any wire type will do.
    let odd = slice(&[&[&on("me")[..], &[0x08, 1, 0x3d, 1, 2, 3, 4]].concat()]);
    let body =
        envelope(V1, "EndpointSlice", &[odd, vec![0x18, 1, 0x21, 1, 2, 3, 4, 5, 6, 7, 8]].concat());
    assert_eq!(passed(&view(), Kind::Slice, Form::Get, true, &body), body);
}

#[test]
fn lengths_past_the_end_are_refused() {
    let meta = &record(1, [record(1, V1), record(2, "EndpointSliceList")].concat());
    let magic: &[u8] = b"k8s\0";
    let (list, message) = ("a field is longer than the list it is in", TOO_LONG);
    for (form, before, fault, what) in [
        (Form::List, vec![magic, meta, &[0x12, 4]], &[0x12, 3, 0, 0][..], list),
        (Form::List, vec![magic, meta, &[0x12, 4]], &[0x0a, 9, 0, 0], list),
        (Form::List, vec![magic, meta, &[0x12, 1]], &[0x12, 0, 0x1a, 0], list),
        (Form::List, vec![magic, meta, &[0x12, 1]], &[0x80, 0x80, 0x1a, 0], list),
        (Form::List, vec![magic, meta, &[0x12, 3]], &[0x6d, 0, 0, 0, 0], list),
        (
            Form::List,
            vec![magic, meta, &[0x12, 2]],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            list,
        ),
        (Form::List, vec![magic, meta, &[0x12, 4, 0x12, 2]], &[0x0a, 1], message),
        (Form::List, vec![magic, meta, &[0x12, 6, 0x12, 4, 0x12, 2]], &[0x32, 1], message),
        (Form::List, vec![magic, meta, &[0x12, 8, 0x12, 6, 0x12, 2, 0x32, 0]], &[0x12, 1], message),
        (Form::Get, vec![magic, &[0x12, 2]], &[0x12, 1, 0x1a, 0], message),
        (
            Form::Get,
            vec![magic, &[0x12, 11]],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            message,
        ),
        (Form::Get, vec![magic, &[0x12, 4]], &[0x6d, 1, 2, 3], message),
        (Form::Watch, vec![&[0, 0, 0, 2]], &[0x0a, 1], message),
        (Form::Watch, vec![&[0, 0, 0, 2]], &[0x12, 0xff], message),
        (Form::Watch, vec![&[0, 0, 0, 4, 0x12, 2]], &[0x0a, 5], message),
        (Form::Watch, vec![&[0, 0, 0, 10, 0x12, 8, 0x0a, 6], magic], &[0x12, 9], message),
    ] {
        let Broken { body, offset } = broken(&before, fault);
        let error = refused(&view(), Kind::Slice, form, true, &body);
        assert_eq!(error, malformed("protobuf", offset, None, what), "{body:x?}");
    }
}

#[test]
fn what_is_given_twice_or_out_of_order_is_refused() {
    let object = envelope(V1, "EndpointSlice", &slice(&[&on("me")]));
    let meta = record(1, [record(1, V1), record(2, "EndpointSlice")].concat());
    let raw = record(2, slice(&[&on("other")]));
    let once = "the object is given twice in one envelope";
    let (magic, inner): (&[u8], Vec<u8>) = (b"k8s\0", record(1, &object));
    let twice = record(2, [inner.clone(), inner.clone()].concat());
    let both = [record(2, &inner), record(2, &inner)].concat();
    let rest = record(2, [inner.clone(), record(1, "")].concat());
    for (form, body, offset, what) in [
        (Form::Get, [magic, &meta, &raw, &raw].concat(), 4 + meta.len() + raw.len(), once),
        (Form::Get, [magic, &raw, &meta, &[0x12, 0]].concat(), 4 + meta.len() + raw.len(), once),
        (Form::Watch, frame(&twice), 4 + 3 + inner.len(), once),
        (Form::Watch, frame(&both), 4 + record(2, &inner).len(), once),
        (Form::Watch, frame(&rest), frame(&rest).len() - 2, once),
        (
            Form::Get,
            [magic, &meta, &raw, &[0x1a, 1, b'x']].concat(),
            4 + meta.len() + raw.len(),
            "the object is encoded once more inside its envelope",
        ),
    ] {
        assert_eq!(
            refused(&view(), Kind::Slice, form, true, &body),
            malformed("protobuf", offset, None, what),
            "{body:x?}"
        );
    }
    let object = json_slice("[]");
    let twice = format!("{{\"object\":{object},\"type\":\"ADDED\",\"object\":null}}");
    let fault = malformed("JSON", twice.len() - 5, None, "the object is given twice in one event");
    assert_eq!(refused(&view(), Kind::Slice, Form::Watch, false, &twice), fault);
    let list = list_of(&[slice(&[&on("me")])]);
    let list = &list[..list.len() - 4];
    let items = &list[place(list, b"EndpointSliceList") + 17..];
    let meta = &list[4..list.len() - items.len()];
    for (body, what) in [
        ([list, items].concat(), "the list is given twice in one envelope"),
        ([list, &[0x12, 0]].concat(), "the list is given twice in one envelope"),
        ([list, meta].concat(), "the list's kind comes after its items"),
        ([list, &[0x1a, 1, b'x']].concat(), "the object is encoded once more inside its envelope"),
        ([list, &[0x0b]].concat(), GROUP),
    ] {
        assert_eq!(
            refused(&view(), Kind::Slice, Form::List, true, &body),
            malformed("protobuf", list.len(), None, what)
        );
    }
    let late = [magic, items, meta].concat();
    assert_eq!(
        refused(&view(), Kind::Slice, Form::List, true, &late),
        malformed("protobuf", 4 + items.len(), None, "the list's kind comes after its items")
    );
    // Something after it that is no field, or half of one.
    let cut = Failed::truncated(list.len() as u64 + 1, "a list");
    assert_eq!(refused(&view(), Kind::Slice, Form::List, true, [list, &[0x7a]].concat()), cut);
    // Fields that nobody knows may follow.
    let longer = [list, &[0x7a, 1, b'x', 0x78, 1]].concat();
    assert_eq!(passed(&view(), Kind::Slice, Form::List, true, &longer), longer);
}

#[test]
fn a_frame_of_no_bytes_is_refused() {
    let good = event("ADDED", &envelope(V1, "EndpointSlice", &slice(&[&on("me"), &on("other")])));
    let left = event("ADDED", &envelope(V1, "EndpointSlice", &slice(&[&on("me")])));
    for before in 0..3 {
        let body = [&*good.repeat(before), &[0; 4], &*good].concat();
        let recording = Kind::Slice.recording(Form::Watch, true, body);
        let Outcome { out, result, .. } = outcome(&view(), &recording);
        assert_eq!(
            result,
            Err(malformed(
                "protobuf",
                before * good.len(),
                None,
                "a frame of no bytes, which clients refuse"
            ))
        );
        assert_eq!(out, left.repeat(before), "the whole events before it came out");
    }
}

#[test]
fn items_whose_size_cannot_be_kept_are_refused() {
    // An item with one endpoint of two bytes, its length written in ever more bytes.
    let item = slice(&[&[]]);
    for width in 1..=10 {
        let mut length = Vec::new();
        varint(item.len() as u64, &mut length);
        while length.len() < width {
            *length.last_mut().unwrap() |= 0x80;
            length.push(0);
        }
        let list = [record(1, ""), vec![0x12], length, item.clone()].concat();
        let body = envelope(V1, "EndpointSliceList", &list);
        if width <= 8 {
            let out = passed(&view(), Kind::Slice, Form::List, true, &body);
            assert_eq!(out.len(), body.len());
            assert!(out != body);
        } else {
            let offset = place(&body, &list) + 2;
            let error = refused(&view(), Kind::Slice, Form::List, true, &body);
            assert!(
                error.kind == ErrorKind::Malformed
                    && error.offset == Some(offset as u64)
                    && error.text.contains("too wide"),
                "{error}"
            );
        }
    }
}
