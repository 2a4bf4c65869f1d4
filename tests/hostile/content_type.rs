//! Bodies that are neither JSON nor protobuf.

use super::*;

#[test]
fn garbage_is_refused_at_its_first_byte() {
    for kind in KINDS {
        for form in FORMS {
            let expected = if form == Form::List {
                "expected a list, which is an object"
            } else {
                "expected an object"
            };
            for body in
                ["garbage", "<html></html>", "[]", "null", "\"text\"", "5", "\u{feff}{}", "}", "\0"]
            {
                let error = refused(&view(), kind, form, false, format!(" \n{body}"));
                assert_eq!(error, malformed("JSON", 2, None, expected), "{kind:?} {form:?} {body}");
            }
            for body in ["garbage", "{\"items\":[]}", "k8s\u{1}rest", "\u{1f}\u{8b}\u{8}\0"] {
                let error = refused(&view(), kind, form, true, body);
                let expected = match form {
                    Form::List => malformed("protobuf", 0, None, "expected `k8s\\0` before a list"),
                    Form::Get => {
                        malformed("protobuf", 0, None, "expected `k8s\\0` before an object")
                    }
                    // The first four bytes are a length.
                    Form::Watch => too_large("a watch event", 0, 16 << 20, "frameBytes"),
                };
                assert_eq!(error, expected, "{kind:?} {form:?} {body}");
            }
        }
    }
    for body in ["", " ", "\n\n"] {
        let truncated = |inside| Failed::truncated(body.len() as u64, inside);
        assert_eq!(refused(&view(), Kind::Slice, Form::List, false, body), truncated("a list"));
        assert_eq!(refused(&view(), Kind::Slice, Form::Get, false, body), truncated("an object"));
        assert_eq!(passed(&view(), Kind::Slice, Form::Watch, false, body), body.as_bytes());
    }
    assert_eq!(refused(&view(), Kind::Slice, Form::List, true, ""), Failed::truncated(0, "a list"));
    assert_eq!(
        refused(&view(), Kind::Slice, Form::Get, true, ""),
        Failed::truncated(0, "an object")
    );
    assert_eq!(passed(&view(), Kind::Slice, Form::Watch, true, ""), b"");
}

#[test]
fn what_is_neither_json_nor_protobuf_nor_plain_is_refused_before_its_first_byte() {
    let view = view();
    for kind in KINDS {
        for form in FORMS {
            let request = kind.recording(form, false, Vec::new()).request;
            for content_type in [
                "application/cbor",
                "application/yaml",
                "text/plain",
                "application/json-seq",
                "json",
                "",
                ";",
            ] {
                let expected = Failed::content_type(&request.target, content_type);
                assert_eq!(
                    view.open(&request, &ResponseHead::ok(content_type))
                        .map_err(Failed::from)
                        .unwrap_err(),
                    expected
                );
            }
            let expected = Failed::content_type(&request.target, "");
            assert_eq!(
                view.open(&request, &ResponseHead::new(200)).map_err(Failed::from).unwrap_err(),
                expected
            );
            for encoding in ["gzip", "br", "deflate", "identity, gzip", "x"] {
                let head =
                    ResponseHead::ok("application/json").header("content-encoding", encoding);
                assert_eq!(
                    view.open_stateless(&request, &head).map_err(Failed::from).unwrap_err(),
                    Failed::content_encoding(encoding)
                );
            }
            for encoding in ["identity", "Identity", ""] {
                let head = ResponseHead::ok("Application/JSON;charset=utf-8")
                    .header("Content-Encoding", encoding);
                assert!(
                    matches!(view.open_stateless(&request, &head), Ok(Action::Rewrite(_))),
                    "{encoding:?}"
                );
            }
            // A response that is not rewritten may be anything.
            let head = ResponseHead::new(404).header("Content-Encoding", "gzip");
            assert!(matches!(view.open_stateless(&request, &head), Ok(Action::Forward)));
        }
    }
    let services = RequestHead::get("/api/v1/services");
    let gzip = ResponseHead::ok("application/json").header("Content-Encoding", "gzip");
    assert_eq!(
        view.cluster().read_facts(&services, &gzip).map_err(Failed::from).unwrap_err(),
        Failed::content_encoding("gzip")
    );
    let expected = Failed::content_type("/api/v1/services", "application/cbor");
    assert_eq!(
        view.cluster()
            .read_facts(&services, &ResponseHead::ok("application/cbor"))
            .map_err(Failed::from)
            .unwrap_err(),
        expected
    );
    assert_eq!(
        view.open(&services, &gzip).map_err(Failed::from).unwrap_err(),
        Failed::content_encoding("gzip")
    );
}
