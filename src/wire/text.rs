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

/// Whether there is a backslash in a text, which is short and mostly has none.
#[inline(always)]
pub(crate) fn has_backslash(text: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let is_in = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word) ^ (ONES * b'\\' as u64);
        word.wrapping_sub(ONES) & !word & (ONES << 7)
    };
    let (words, _) = text.as_chunks::<8>();
    match text.last_chunk::<8>() {
        // The last eight bytes may be looked at twice.
        Some(last) => words.iter().fold(is_in(last), |found, word| found | is_in(word)) != 0,
        None => text.contains(&b'\\'),
    }
}

/// The text with U+FFFD for each escape of half a surrogate pair, as Go reads it; `None` if there
/// is no such escape. serde_json refuses them.
pub(crate) fn without_lone_surrogates(text: &str) -> Option<String> {
    let item = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        digits
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit())
            .then(|| u16::from_str_radix(digits, 16).ok())?
    };
    let (mut out, mut copied, mut at) = (String::new(), 0, 0);
    while let Some(found) = text[at..].find('\\') {
        at += found;
        at += match (item(at), item(at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                out += &text[copied..at];
                out += "\\ufffd";
                copied = at + 6;
                6
            }
            // A backslash and what it escapes, which may be more than a byte in text that is no
            // JSON.
            _ => 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
        };
    }
    out += &text[copied..];
    (copied > 0).then_some(out)
}

/// The text between the quotes of a JSON string that has backslashes in it; `None` where it is no
/// valid string. Go reads invalid UTF-8 as U+FFFD, which no Kubernetes name has, so that such a
/// text names nothing either way.
pub(crate) fn unescape(text: &[u8]) -> Option<String> {
    let mut quoted = Vec::with_capacity(text.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(text);
    quoted.push(b'"');
    let read = |text: &[u8]| serde_json::from_slice(text).ok();
    read(&quoted)
        .or_else(|| read(without_lone_surrogates(std::str::from_utf8(&quoted).ok()?)?.as_bytes()))
}

/// The text of a JSON string; `None` for any other value.
pub(crate) fn string(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let text = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if has_backslash(text) {
        unescape(text).map(|text| Cow::Owned(text.into_bytes()))
    } else {
        Some(Cow::Borrowed(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_surrogate_pair_is_a_replacement_character() {
        assert_eq!(string(br#""a\ud800b""#).as_deref(), Some("a\u{fffd}b".as_bytes()));
        assert_eq!(string(br#""\ud83d\ude00""#).as_deref(), Some("\u{1f600}".as_bytes()));
        assert_eq!((string(br#""\ud800\x""#), string(b"\"\\ud800\xff\"")), (None, None));
    }

    #[test]
    fn a_backslash_is_found_wherever_it_stands() {
        for len in 0..40 {
            assert!(!has_backslash(&vec![b']'; len]));
            for at in 0..len {
                let mut text = vec![b'['; len];
                text[at] = b'\\';
                assert!(has_backslash(&text), "at {at} of {len}");
            }
        }
    }
}
