//! JSON objects with many elements of few forms. Short inputs never repeat a form often enough for
//! the reader to learn it, so a short input describes a long body here.

use super::json;
use super::world::{Form, Looked};

/// Stands for a text of zero to thirty letters in a form, and [`STEADY`] for one of four.
const TEXT: u8 = 1;
const STEADY: u8 = 2;
/// Divides the forms from each other, and from the text before and after all elements.
const DIVIDER: u8 = 0;
const ELEMENTS: usize = 40;

/// Makes a watch body of an input and checks it as [`json::check`] does. The input is the text
/// before the elements, the forms of elements, and the text after them.
pub fn check(input: &[u8]) -> Looked {
    let Some((&[how, seed], rest)) = input.split_first_chunk() else { return Looked::Refused };
    let parts: Vec<&[u8]> = rest.split(|&byte| byte == DIVIDER).collect();
    let [before, forms @ .., after] = &*parts else { return Looked::Refused };
    if forms.is_empty() {
        return Looked::Refused;
    }
    let mut state = u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 20) as usize % below
    };
    // By byte and by large chunks, as the first bytes of the case have it.
    let mut body = vec![how, seed];
    body.extend_from_slice(before);
    for number in 0..ELEMENTS {
        if number > 0 {
            body.push(b',');
        }
        // Mostly the first form.
        let form = if random(4) > 0 { 0 } else { random(forms.len()) };
        for &byte in forms[form] {
            let letters = match byte {
                TEXT => random(31),
                STEADY => 4,
                _ => {
                    body.push(byte);
                    continue;
                }
            };
            body.extend((0..letters).map(|_| b'a' + random(26) as u8));
        }
    }
    body.extend_from_slice(after);
    json::check(Form::Watch, &body)
}

/// Inputs whose bodies are events as an API server writes them.
pub fn seeds() -> impl Iterator<Item = Vec<u8>> {
    let plain = r#"{"addresses":["10.0.@.7"],"conditions":{"ready":true},"nodeName":"hz-edge-1","zone":"@"}"#;
    let with_target =
        r#"{"nodeName":"hz-edge-@","targetRef":{"kind":"Pod","name":"cart-="},"zone":"@"}"#;
    let without_node = r#"{"addresses":["10.0.@.7"],"conditions":{"ready":false},"zone":"@"}"#;
    let address = r#"{"ip":"10.0.0.@","nodeName":"sh-edge-2","targetRef":{"name":"="}}"#;
    let event = |kind: &str, rest: String| {
        format!(
            r#"{{"type":"ADDED","object":{{"kind":"{kind}","metadata":{{"name":"cart","namespace":"shop","labels":{{"kubernetes.io/service-name":"cart"}}}},{rest}}}}}"#
        )
    };
    let slice = event(
        "EndpointSlice",
        format!("\"endpoints\":[\0{plain}\0{with_target}\0{without_node}\0]"),
    );
    let endpoints = event("Endpoints", format!("\"subsets\":[{{\"addresses\":[\0{address}\0]}}]"));
    (0..8u8).flat_map(move |how| {
        // As an EndpointSlice and as Endpoints, by the order of kinds in a case.
        [(how % 4, &slice), (how % 4 + 8, &endpoints)].map(|(node, body)| {
            let body = body.replace('@', "\u{1}").replace('=', "\u{2}");
            [&[node, how * 31], body.as_bytes()].concat()
        })
    })
}
