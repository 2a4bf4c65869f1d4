//! Files as people have them: gzip, byte order marks, UTF-16, YAML and several documents in a row
//! become one JSON document, or an error that names what the file is.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

/// The largest file that is unpacked.
const LARGEST: u64 = 4 << 30;

/// Returns a body as the API server would send it: one JSON document, or protobuf.
///
/// # Errors
///
/// Returns what the bytes are, and what to do instead.
pub(crate) fn to_body(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    let bytes = unpack(bytes)?;
    if bytes.starts_with(b"k8s\0") {
        return Ok(bytes);
    }
    if let Some(name) = archive(&bytes) {
        return Err(format!("this is {name}: unpack it, and name the file or folder in it"));
    }
    let text = to_text(bytes)?;
    if let Some(at) = text.find('\0') {
        return Err(format!("character {at} is NUL: the file is damaged, or no text"));
    }
    let start = text.trim_start();
    match start.bytes().next() {
        None => Err("the file has nothing but white space".to_owned()),
        Some(b'{') => one_document(text),
        Some(b'[') => Err("this is a JSON array: poolscope reads objects and lists of kind List, \
                           as `kubectl get -o json` prints them"
            .to_owned()),
        Some(b'<') => {
            Err("this is HTML or XML: a login page, or the error of a proxy? Log in, and \
                           write the file again"
                .to_owned())
        }
        Some(_) => from_yaml(&text),
    }
}

/// Inflates gzip.
pub(super) fn unpack(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut whole = Vec::new();
    match MultiGzDecoder::new(&*bytes).take(LARGEST).read_to_end(&mut whole) {
        Ok(_) if whole.len() as u64 == LARGEST => {
            Err(format!("the file has more than {LARGEST} bytes once it is unpacked"))
        }
        Ok(_) => Ok(whole),
        Err(error) => Err(format!("this is gzip, and damaged or cut: {error}")),
    }
}

/// Returns what archive or compressed file the bytes are.
fn archive(bytes: &[u8]) -> Option<&'static str> {
    let is_tar = bytes.get(257..262) == Some(b"ustar");
    let magic: [(&[u8], &str); 5] = [
        (b"PK\x03\x04", "a zip archive (`unzip FILE -d FOLDER`)"),
        (b"BZh", "packed with bzip2 (`bunzip2`)"),
        (b"\xfd7zXZ\0", "packed with xz (`unxz`)"),
        (b"\x28\xb5\x2f\xfd", "packed with zstd (`unzstd`)"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    ];
    let is = |(start, _): &&(&[u8], &str)| bytes.starts_with(start);
    let packed = magic.iter().find(is).map(|(_, name)| *name);
    packed.or(is_tar.then_some("a tar archive (`tar -xf FILE -C FOLDER`)"))
}

/// Returns the kinds that a text names, as JSON or as YAML, without decoding it. An object has its
/// `kind` in the text, so that a text without a kind has no object of that kind.
pub(super) fn kinds_in(text: &[u8]) -> BTreeSet<String> {
    const KEY: &[u8] = b"kind";
    let mut kinds = BTreeSet::new();
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| byte == KEY[0]) {
        rest = &rest[at..];
        let Some(after) = rest.strip_prefix(KEY) else {
            rest = &rest[1..];
            continue;
        };
        rest = after;
        let skip = |text: &mut &[u8], bytes: &[u8]| {
            let end = text.iter().position(|byte| !bytes.contains(byte));
            *text = &text[end.unwrap_or(text.len())..];
        };
        let mut value = after;
        skip(&mut value, b"\"'");
        skip(&mut value, b" \t\r\n");
        let Some(after_colon) = value.strip_prefix(b":") else { continue };
        value = after_colon;
        skip(&mut value, b" \t\r\n\"'");
        let end = value.iter().position(|byte| !byte.is_ascii_alphanumeric());
        let kind = &value[..end.unwrap_or(value.len())];
        if !kind.is_empty() {
            kinds.insert(String::from_utf8_lossy(kind).into_owned());
        }
    }
    kinds
}

/// Removes a byte order mark, and reads UTF-16 as PowerShell's `>` writes it.
fn to_text(bytes: Vec<u8>) -> Result<String, String> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        let text: Result<String, _> = char::decode_utf16(units).collect();
        text.map_err(|_| "this is UTF-16, and damaged".to_owned())
    };
    match &bytes[..] {
        [0xff, 0xfe, rest @ ..] | rest @ [b'{', 0, ..] => return utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] | rest @ [0, b'{', ..] => return utf16(rest, u16::from_be_bytes),
        _ => {}
    }
    let mut text = String::from_utf8(bytes).map_err(|error| {
        format!(
            "byte {} is no text: the file is neither JSON, YAML, gzip nor a protobuf response",
            error.utf8_error().valid_up_to()
        )
    })?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

/// Returns a document as it is, and several of them as one `List`.
fn one_document(text: String) -> Result<Vec<u8>, String> {
    // Counted first: a list of the API server is large, and nothing of it has to be kept.
    let documents = serde_json::Deserializer::from_str(&text).into_iter::<IgnoredAny>();
    let mut count = 0;
    for document in documents {
        match document {
            Ok(_) => count += 1,
            Err(error) if error.is_eof() => return Err(cut(&text)),
            // `{` begins YAML too. The library's message has the place of bytes that are neither.
            Err(_) if count == 0 => {
                return Ok(from_yaml(&text).unwrap_or_else(|_| text.into_bytes()));
            }
            Err(error) => return Err(format!("document {}: {error}", count + 1)),
        }
    }
    if count == 1 && !is_event(&text) {
        return Ok(text.into_bytes());
    }
    let all: Result<Vec<Value>, _> =
        serde_json::Deserializer::from_str(&text).into_iter().collect();
    combine(all.map_err(|error| error.to_string())?)
}

/// Returns `true` for an event of a watch.
fn is_event(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Event {
        r#type: String,
        #[serde(rename = "object")]
        _object: IgnoredAny,
    }
    let start = text.trim_start().trim_start_matches('{').trim_start();
    start.starts_with("\"type\"")
        && serde_json::from_str::<Event>(text).is_ok_and(|event| EVENTS.contains(&&*event.r#type))
}

/// The types of the events of a watch.
const EVENTS: [&str; 5] = ["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"];

fn cut(text: &str) -> String {
    format!("the JSON is cut after {} bytes: write the file again", text.trim_end().len())
}

/// How the error for YAML that is no object begins.
pub(super) const NO_KIND: &str = "this is YAML without a `kind`";

fn from_yaml(text: &str) -> Result<Vec<u8>, String> {
    let table = "this is a table as `kubectl get` prints it: add `-o json`";
    if text.trim_start().starts_with("NAME ") || text.trim_start().starts_with("NAMESPACE ") {
        return Err(table.to_owned());
    }
    let documents: Vec<Value> = serde_saphyr::from_multiple(text)
        .map_err(|error| format!("this is neither JSON nor YAML ({error}): add `-o json`"))?;
    let objects: Vec<Value> = documents.into_iter().filter(|one| !one.is_null()).collect();
    let is_event = |one: &Value| EVENTS.iter().any(|event| one["type"] == **event);
    let is_object = |one: &Value| one["kind"].is_string() || is_event(one);
    if let Some(other) = objects.iter().find(|one| !is_object(one)) {
        let text: String = other.to_string().chars().take(60).collect();
        let what =
            if other.is_object() { NO_KIND } else { "this is text, and no object of Kubernetes" };
        return Err(format!("{what} ({text}): add `-o json`"));
    }
    combine(objects)
}

/// Returns several documents as one `List`. Events of a watch, and objects that are printed again,
/// count by their last state.
fn combine(documents: Vec<Value>) -> Result<Vec<u8>, String> {
    if let [document] = documents.as_slice()
        && document["kind"].is_string()
    {
        return Ok(document.to_string().into_bytes());
    }
    let mut objects: BTreeMap<[String; 4], Value> = BTreeMap::new();
    for (index, document) in documents.into_iter().enumerate() {
        for (is_gone, object) in objects_of(document) {
            let kind = object["kind"].as_str().unwrap_or_default();
            if kind.is_empty() {
                return Err(format!("document {} has no `kind`", index + 1));
            }
            if kind == "Status" {
                let message = object["message"].as_str().unwrap_or("without a message");
                return Err(format!("document {} is an error: {message}", index + 1));
            }
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let metadata = &object["metadata"];
            let key = [
                text(&object["apiVersion"]),
                kind.to_owned(),
                text(&metadata["namespace"]),
                text(&metadata["name"]),
            ];
            if is_gone {
                objects.remove(&key);
            } else if kind != "Bookmark" {
                objects.insert(key, object);
            }
        }
    }
    let items: Vec<Value> = objects.into_values().collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items});
    Ok(list.to_string().into_bytes())
}

/// Returns the objects of a document, and whether each is gone: those of a list, that of a watch
/// event, or the document itself.
pub(super) fn objects_of(mut document: Value) -> Vec<(bool, Value)> {
    let event = document["type"].as_str().map(str::to_owned);
    match event.as_deref() {
        Some("BOOKMARK") => return Vec::new(),
        Some(event) if EVENTS.contains(&event) && document["object"].is_object() => {
            return vec![(event == "DELETED", document["object"].take())];
        }
        _ => {}
    }
    let is_list = document["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    let Some(items) = document.get_mut("items").filter(|_| is_list).map(Value::take) else {
        return vec![(false, document)];
    };
    let kind = document["kind"].as_str().and_then(|kind| kind.strip_suffix("List"));
    let (kind, api_version) = (kind.unwrap_or_default(), &document["apiVersion"]);
    let typed = |mut item: Value| {
        // Items of the API server's lists have neither.
        if item.get("kind").is_none() && !kind.is_empty() {
            item["kind"] = kind.into();
            item["apiVersion"] = api_version.clone();
        }
        (false, item)
    };
    match items {
        Value::Array(items) => items.into_iter().map(typed).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const SERVICE: &str = r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"a"}}"#;

    fn body(bytes: impl Into<Vec<u8>>) -> Value {
        serde_json::from_slice(&to_body(bytes.into()).unwrap()).unwrap()
    }

    fn refused(bytes: impl Into<Vec<u8>>) -> String {
        to_body(bytes.into()).unwrap_err()
    }

    fn names(list: &Value) -> Vec<&str> {
        let items = list["items"].as_array().unwrap();
        items.iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
    }

    #[test]
    fn one_document_stays_as_it_is_whatever_its_bytes() {
        assert_eq!(to_body(SERVICE.into()).unwrap(), SERVICE.as_bytes());
        let windows = SERVICE.replace(',', ",\r\n");
        assert_eq!(body(windows), body(SERVICE));
        assert_eq!(body(format!("\u{feff}{SERVICE}")), body(SERVICE));
        let units: Vec<u16> = format!("\u{feff}{SERVICE}").encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        for bytes in [&little, &little[2..].to_vec(), &big, &big[2..].to_vec()] {
            assert_eq!(body(bytes.clone()), body(SERVICE));
        }
        assert_eq!(to_body(b"k8s\0\x0a\x00".to_vec()).unwrap(), b"k8s\0\x0a\x00");
    }

    #[test]
    fn gzip_is_unpacked() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(SERVICE.as_bytes()).unwrap();
        let packed = packed.finish().unwrap();
        assert_eq!(body(packed.clone()), body(SERVICE));
        let error = refused(&packed[..packed.len() / 2]);
        assert!(error.contains("gzip"), "{error}");
    }

    #[test]
    fn yaml_is_read_with_all_of_its_documents() {
        let one = "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n";
        assert_eq!(body(one), body(SERVICE));
        assert_eq!(body(format!("# a comment\n---\n{one}")), body(SERVICE));
        let two = format!("{one}---\n{}", one.replace(": a", ": b"));
        assert_eq!(names(&body(two.clone())), ["a", "b"], "{two}");
        let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Node\n  \
                    metadata: {name: node-1}\n";
        assert_eq!(names(&body(list)), ["node-1"]);
    }

    #[test]
    fn documents_in_a_row_are_one_list_by_their_last_state() {
        let b = SERVICE.replace("\"a\"", "\"b\"");
        assert_eq!(names(&body(format!("{SERVICE}\n{b}\n"))), ["a", "b"]);
        let newer = SERVICE.replace("\"a\"", "\"a\",\"resourceVersion\":\"2\"");
        let list = body(format!("{SERVICE}{newer}"));
        assert_eq!(list["items"][0]["metadata"]["resourceVersion"], "2");
        let events = format!(
            r#"{{"type":"ADDED","object":{SERVICE}}}{{"type":"ADDED","object":{b}}}
               {{"type":"DELETED","object":{SERVICE}}}{{"type":"BOOKMARK","object":{{}}}}"#
        );
        assert_eq!(names(&body(events)), ["b"]);
        let lists = r#"{"kind":"NodeList","apiVersion":"v1","items":[{"metadata":{"name":"n"}}]}"#;
        let list = body(format!("{lists}{SERVICE}"));
        assert_eq!(list["items"][0]["kind"], "Node");
    }

    #[test]
    fn a_single_event_is_one_object_and_an_error_is_named() {
        let event =
            |r#type: &str, object: &str| format!(r#"{{"type":"{}","object":{object}}}"#, r#type);
        assert_eq!(names(&body(event("ADDED", SERVICE))), ["a"]);
        assert_eq!(body(event("DELETED", SERVICE))["items"], json!([]));
        let yaml =
            "object:\n  kind: Service\n  apiVersion: v1\n  metadata:\n    name: a\ntype: ADDED\n";
        assert_eq!(names(&body(yaml)), ["a"]);
        let gone = r#"{"kind":"Status","apiVersion":"v1","message":"too old","code":410}"#;
        let error = refused(format!("{}{}", event("ADDED", SERVICE), event("ERROR", gone)));
        assert!(error.contains("too old"), "{error}");
    }

    #[test]
    fn yaml_in_braces_is_read() {
        let kyaml = "---\n{\n  apiVersion: \"v1\",\n  kind: \"Service\",\n  \
                     metadata: {\n    name: \"a\",\n  },\n}\n";
        assert_eq!(body(kyaml), body(SERVICE));
        assert_eq!(body("{apiVersion: v1, kind: Service, metadata: {name: a}}"), body(SERVICE));
    }

    #[test]
    fn kinds_are_found_in_every_form() {
        for text in [
            SERVICE,
            r#"{ "kind" : "Service" }"#,
            "apiVersion: v1\nkind: Service\n",
            "{kind: Service}",
            "'kind': 'Service'",
        ] {
            assert_eq!(kinds_in(text.as_bytes()), ["Service".to_owned()].into(), "{text}");
        }
        let two = "items:\n- kind: Pod\n  kinds: x\n- kind: Node\nkind: List\n";
        let two: Vec<String> = kinds_in(two.as_bytes()).into_iter().collect();
        assert_eq!(two, ["List", "Node", "Pod"]);
        assert!(kinds_in(b"level=info msg=\"kind of slow\" kkind").is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let status = r#"{"kind":"Status","apiVersion":"v1","message":"eve may not list"}"#;
        for (bytes, part) in [
            ("", "white space"),
            (" \n\t", "white space"),
            ("<!DOCTYPE html><html>", "HTML"),
            ("[1]", "array"),
            (r#"{"apiVersion":"v1","kind":"Li"#, "cut after 29 bytes"),
            (&format!("{SERVICE}{{\"kind\":"), "cut"),
            (&format!("{SERVICE}{status}"), "eve may not list"),
            ("NAME   READY   STATUS\nweb-1   1/1   Running", "-o json"),
            ("error: You must be logged in", "-o json"),
            ("hello", "-o json"),
            ("a: [1", "neither JSON nor YAML"),
            ("PK\u{3}\u{4}zip", "unzip"),
            (&format!("{:257}ustar  ", "folder/"), "tar -xf"),
        ] {
            let error = refused(bytes);
            assert!(error.contains(part), "{bytes}: {error}");
        }
        let error = refused(b"{\"a\": \"\xff\xfe\"}".to_vec());
        assert!(error.contains("byte 7"), "{error}");
    }
}
