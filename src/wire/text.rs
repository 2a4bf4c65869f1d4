//! The smallest parts of JSON text.

use std::borrow::Cow;

/// White space between JSON tokens.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// The next byte that is not blank; `pos` is there then, or at the end of `buf`.
#[inline(always)]
pub(crate) fn peek(buf: &[u8], pos: &mut usize) -> Option<u8> {
    while let Some(&byte) = buf.get(*pos) {
        if !is_blank(byte) {
            return Some(byte);
        }
        *pos += 1;
    }
    None
}

/// The text between the quotes of a JSON string that has backslashes in it; `None` where it is no valid string. Go
/// reads invalid UTF-8 as U+FFFD, which no Kubernetes name has, so that such a text names nothing either way.
pub(crate) fn unescape(text: &[u8]) -> Option<String> {
    let mut quoted = Vec::with_capacity(text.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(text);
    quoted.push(b'"');
    serde_json::from_slice(&quoted).ok()
}

/// The text of a JSON string; `None` for any other value.
pub(crate) fn string(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let text = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if text.contains(&b'\\') { unescape(text).map(|text| Cow::Owned(text.into_bytes())) } else { Some(Cow::Borrowed(text)) }
}
