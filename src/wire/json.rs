//! Finding values in JSON text without building a tree.
//!
//! A [`Scanner`] reads one value and reports the places of those members that a [`Shape`] names. It
//! works on a slice that starts with the value and may end anywhere; given a longer slice with the
//! same beginning it continues where it stopped. Values that the shape does not name are skipped by
//! their brackets and quotes alone: the scanner finds values, it does not validate. A document that
//! a strict parser refuses may pass, to be refused by the client. A document that a strict parser
//! accepts is read as Go reads it (case-sensitive keys, later duplicates reported after earlier
//! ones).

use super::pattern::Patterns;
use super::text::{peek, unescape};
use super::words::{find_quote_or_backslash, find_structural};
use super::{Span, blocks};
use crate::error::{Fault, FaultKind};

/// The fields to find in a value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Under which number to report the value; 0 does not report it.
    pub(super) id: u8,
    inner: Inner,
}

#[derive(Debug, Clone, Copy)]
enum Inner {
    /// Nothing inside it matters.
    Leaf,
    /// If it is an object: these members matter.
    Object(&'static [(&'static str, Shape)]),
    /// If it is an array: its elements matter.
    Array(&'static Shape),
}

impl Shape {
    /// A value that is skipped.
    pub(crate) const SKIP: Shape = Shape::leaf(0);

    /// A value that is reported whole.
    pub(crate) const fn leaf(id: u8) -> Shape {
        Shape { id, inner: Inner::Leaf }
    }

    /// An object with members to report, itself reported if `id` is not 0.
    pub(crate) const fn object(id: u8, members: &'static [(&'static str, Shape)]) -> Shape {
        Shape { id, inner: Inner::Object(members) }
    }

    /// An array with elements to report, itself reported if `id` is not 0.
    pub(crate) const fn array(id: u8, element: &'static Shape) -> Shape {
        Shape { id, inner: Inner::Array(element) }
    }

    /// Whether nothing inside it matters.
    pub(super) fn is_leaf(&self) -> bool {
        matches!(self.inner, Inner::Leaf)
    }

    /// Returns `true` if both are the same part of one shape.
    #[inline(always)]
    pub(super) fn is(&self, other: &Shape) -> bool {
        let inner = match (self.inner, other.inner) {
            (Inner::Leaf, Inner::Leaf) => true,
            (Inner::Object(own), Inner::Object(other)) => std::ptr::eq(own, other),
            (Inner::Array(own), Inner::Array(other)) => std::ptr::eq(own, other),
            _ => false,
        };
        inner && self.id == other.id
    }

    /// Returns `true` if elements of arrays inside it matter.
    pub(super) fn has_arrays(&self) -> bool {
        match self.inner {
            Inner::Leaf => false,
            Inner::Object(members) => members.iter().any(|(_, shape)| shape.has_arrays()),
            Inner::Array(_) => true,
        }
    }

    #[inline(always)]
    pub(super) fn member(&self, key: &[u8]) -> Shape {
        let Inner::Object(members) = self.inner else { return Shape::SKIP };
        members
            .iter()
            .find(|(name, _)| name.as_bytes() == key)
            .map_or(Shape::SKIP, |&(_, shape)| shape)
    }
}

/// A reported value. Members come before the value they are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) id: u8,
    /// The value, quotes and brackets included.
    pub(crate) span: Span,
}

/// A container on the way to something the shape names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub(super) shape: Shape,
    pub(super) start: usize,
    pub(super) array: bool,
}

/// The token that may come at the position reached. `*Text` states resume inside a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExpectedToken {
    Value,
    FirstElement,
    FirstKey,
    Key,
    KeyText,
    Colon,
    Text,
    Scalar,
    Skipped,
    SkippedText,
    Next,
    Done,
}

/// Reads one JSON value. See the module's page.
#[derive(Debug)]
pub(crate) struct Scanner {
    shape: Shape,
    pub(super) max_depth: usize,
    expect: ExpectedToken,
    /// Next byte to read.
    pos: usize,
    /// Where the string, scalar or skipped container being read starts.
    token: usize,
    /// The key being read has a backslash in it.
    escaped: bool,
    /// Open brackets of the container that is being skipped.
    skipping: usize,
    /// The shape of the value to come.
    slot: Shape,
    pub(super) open: Vec<Open>,
    pub(super) marks: Vec<Mark>,
    max_elements: usize,
    pub(super) max_marks: usize,
    /// The forms of elements so far, which also hold for the next value.
    pub(super) patterns: Patterns,
}

impl Scanner {
    /// A scanner for values of a shape, nested at most `max_depth` deep, that reports as much as
    /// `max_elements` elements with a few members each can give, and no more.
    pub(crate) fn new(shape: Shape, max_depth: usize, max_elements: usize) -> Scanner {
        Scanner {
            shape,
            max_depth,
            max_elements,
            max_marks: max_elements.saturating_mul(6).saturating_add(64),
            expect: ExpectedToken::Value,
            pos: 0,
            token: 0,
            escaped: false,
            skipping: 0,
            slot: shape,
            open: Vec::new(),
            marks: Vec::new(),
            patterns: Patterns::default(),
        }
    }

    /// Starts over for the next value of the same shape.
    pub(crate) fn reset(&mut self) {
        self.reset_to(self.shape);
    }

    /// Starts over for a value of another shape.
    pub(crate) fn reset_to(&mut self, shape: Shape) {
        self.shape = shape;
        self.slot = shape;
        self.expect = ExpectedToken::Value;
        self.pos = 0;
        self.skipping = 0;
        self.open.clear();
        self.marks.clear();
        self.patterns.reset();
    }

    /// Returns the marks found so far; all of them once [`Scanner::scan`] has returned an end.
    pub(crate) fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Reads on in `buf`, which starts with the value and begins with all that earlier calls were
    /// given. Returns the offset after the value, or `None` if `buf` ends inside it.
    ///
    /// The end of a number or literal at the top is only known by the byte after it.
    pub(crate) fn scan(&mut self, buf: &[u8]) -> Result<Option<usize>, Fault> {
        // State and position live in registers on the way; one turn of the loop reads about one
        // member.
        let (mut expect, mut pos) = (self.expect, self.pos);
        let result = loop {
            if matches!(expect, ExpectedToken::Value | ExpectedToken::FirstElement) {
                let Some(byte) = peek(buf, &mut pos) else { break Ok(None) };
                if byte == b'"' {
                    self.token = pos;
                    pos += 1;
                    expect = ExpectedToken::Text;
                } else if byte == b']' && expect == ExpectedToken::FirstElement {
                    pos += 1;
                    self.close(pos);
                    expect = ExpectedToken::Next;
                } else {
                    match self.start_value(byte, pos) {
                        Ok(next) => expect = next,
                        Err(fault) => break Err(fault),
                    }
                    pos += 1;
                }
            }
            if expect == ExpectedToken::Text {
                if !text(buf, &mut pos, &mut self.escaped) {
                    break Ok(None);
                }
                self.report(pos);
                expect = ExpectedToken::Next;
            }
            if expect == ExpectedToken::SkippedText {
                if !text(buf, &mut pos, &mut self.escaped) {
                    break Ok(None);
                }
                expect = ExpectedToken::Skipped;
            }
            if expect == ExpectedToken::Skipped {
                match self.skip(buf, &mut pos) {
                    Ok(None) => {}
                    Ok(Some(state)) => {
                        expect = state;
                        break Ok(None);
                    }
                    Err(fault) => break Err(fault),
                }
                self.report(pos);
                expect = ExpectedToken::Next;
            }
            if expect == ExpectedToken::Scalar {
                let rest = &buf[pos..];
                let Some(end) = rest.iter().position(|byte| {
                    matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t')
                }) else {
                    pos = buf.len();
                    break Ok(None);
                };
                pos += end;
                self.report(pos);
                expect = ExpectedToken::Next;
            }
            if expect == ExpectedToken::Next {
                let Some(array) = self.open.last().map(|open| open.array) else {
                    expect = ExpectedToken::Done;
                    break Ok(Some(pos));
                };
                match peek(buf, &mut pos) {
                    Some(b',') => {
                        pos += 1;
                        if self.marks.len() > self.max_marks {
                            break Err(Fault::too_many(pos, self.max_elements));
                        }
                        if array {
                            self.slot = self.element();
                            expect = ExpectedToken::Value;
                            continue;
                        }
                        expect = ExpectedToken::Key;
                    }
                    Some(b']') if array => {
                        pos += 1;
                        self.close(pos);
                        continue;
                    }
                    Some(b'}') if !array => {
                        pos += 1;
                        self.close(pos);
                        continue;
                    }
                    Some(_) if array => {
                        break Err(Fault::json(pos, "expected a comma or the end of the array"));
                    }
                    Some(_) => {
                        break Err(Fault::json(pos, "expected a comma or the end of the object"));
                    }
                    None => break Ok(None),
                }
            }
            if matches!(expect, ExpectedToken::FirstKey | ExpectedToken::Key) {
                expect = self.read_members(buf, &mut pos, expect);
                if expect == ExpectedToken::Next {
                    continue;
                }
                match peek(buf, &mut pos) {
                    Some(b'"') => {
                        pos += 1;
                        self.token = pos;
                        self.escaped = false;
                        expect = ExpectedToken::KeyText;
                    }
                    Some(b'}') if expect == ExpectedToken::FirstKey => {
                        pos += 1;
                        self.close(pos);
                        expect = ExpectedToken::Next;
                        continue;
                    }
                    Some(_) => break Err(Fault::json(pos, "expected a key in double quotes")),
                    None => break Ok(None),
                }
            }
            if expect == ExpectedToken::KeyText {
                if !text(buf, &mut pos, &mut self.escaped) {
                    break Ok(None);
                }
                self.slot = self.member(&buf[self.token..pos - 1]);
                expect = ExpectedToken::Colon;
            }
            if expect == ExpectedToken::Colon {
                match peek(buf, &mut pos) {
                    Some(b':') => {
                        pos += 1;
                        expect = ExpectedToken::Value;
                    }
                    Some(_) => break Err(Fault::json(pos, "expected a colon after a key")),
                    None => break Ok(None),
                }
            }
            if expect == ExpectedToken::Done {
                break Ok(Some(pos));
            }
        };
        (self.expect, self.pos) = (expect, pos);
        result
    }

    /// The shape of the member under the key just read.
    fn member(&self, key: &[u8]) -> Shape {
        let parent = self.open.last().expect("a key stands in an object").shape;
        if self.escaped {
            unescape(key).map_or(Shape::SKIP, |key| parent.member(key.as_bytes()))
        } else {
            parent.member(key)
        }
    }

    /// Begins a value, other than a string, with the byte at `pos`; what may come after that byte.
    fn start_value(&mut self, byte: u8, pos: usize) -> Result<ExpectedToken, Fault> {
        self.token = pos;
        match byte {
            b'{' | b'[' => {
                if self.open.len() >= self.max_depth {
                    return Err(self.too_deep(pos));
                }
                let array = byte == b'[';
                match self.slot.inner {
                    Inner::Object(_) if !array => {
                        self.open.push(Open { shape: self.slot, start: pos, array });
                        Ok(ExpectedToken::FirstKey)
                    }
                    Inner::Array(element) if array => {
                        self.open.push(Open { shape: self.slot, start: pos, array });
                        self.slot = *element;
                        Ok(ExpectedToken::FirstElement)
                    }
                    _ => {
                        self.skipping = 1;
                        Ok(ExpectedToken::Skipped)
                    }
                }
            }
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => Ok(ExpectedToken::Scalar),
            _ => Err(Fault::json(pos, "expected a value")),
        }
    }

    /// The shape of the elements of the innermost open array.
    fn element(&self) -> Shape {
        match self.open.last().map(|open| open.shape.inner) {
            Some(Inner::Array(element)) => *element,
            _ => Shape::SKIP,
        }
    }

    /// Ends the innermost open container at the bracket before `pos`.
    fn close(&mut self, pos: usize) {
        let open = self.open.pop().expect("only called inside a container");
        self.token = open.start;
        self.slot = open.shape;
        self.report(pos);
    }

    /// The value from `token` to `pos` is complete.
    #[inline(always)]
    fn report(&mut self, pos: usize) {
        if self.slot.id != 0 {
            self.marks.push(Mark { id: self.slot.id, span: Span::new(self.token, pos) });
        }
    }

    /// Reads to the end of the container being skipped. If `buf` ends before that: what to expect
    /// of the rest.
    #[inline(always)]
    fn skip(&mut self, buf: &[u8], pos: &mut usize) -> Result<Option<ExpectedToken>, Fault> {
        // In blocks as long as they last, then the rest byte by byte.
        let skipped = blocks::skip(buf, *pos, self.skipping, self.max_depth - self.open.len());
        (*pos, self.skipping) = (skipped.pos, skipped.depth);
        if skipped.depth == 0 {
            return Ok(None);
        }
        if skipped.in_text && !text(buf, pos, &mut self.escaped) {
            return Ok(Some(ExpectedToken::SkippedText));
        }
        self.skip_bytes(buf, pos)
    }

    #[inline(never)]
    fn skip_bytes(&mut self, buf: &[u8], pos: &mut usize) -> Result<Option<ExpectedToken>, Fault> {
        loop {
            *pos = find_structural(buf, *pos);
            match buf.get(*pos) {
                Some(b'"') => {
                    *pos += 1;
                    if !text(buf, pos, &mut self.escaped) {
                        return Ok(Some(ExpectedToken::SkippedText));
                    }
                }
                Some(b'{' | b'[') => {
                    if self.open.len() + self.skipping >= self.max_depth {
                        return Err(self.too_deep(*pos));
                    }
                    *pos += 1;
                    self.skipping += 1;
                }
                Some(b'\\') => return Err(Fault::json(*pos, "a backslash outside of a string")),
                Some(_) => {
                    *pos += 1;
                    self.skipping -= 1;
                    if self.skipping == 0 {
                        return Ok(None);
                    }
                }
                None => return Ok(Some(ExpectedToken::Skipped)),
            }
        }
    }

    fn too_deep(&self, pos: usize) -> Fault {
        Fault { offset: pos, kind: FaultKind::TooDeep { limit: self.max_depth } }
    }
}

/// Reads to the end of the string that `pos` is in; `pos` is after the closing quote then. False if
/// `buf` ends before that; a backslash at the very end is read again with what follows it.
#[inline(always)]
fn text(buf: &[u8], pos: &mut usize, escaped: &mut bool) -> bool {
    loop {
        *pos = find_quote_or_backslash(buf, *pos);
        match buf.get(*pos) {
            Some(b'"') => {
                *pos += 1;
                return true;
            }
            Some(_) if *pos + 1 < buf.len() => {
                *escaped = true;
                // Where one escape is there are many: in blocks as long as they last.
                let next = blocks::quote(buf, *pos);
                *pos = if next == *pos { *pos + 2 } else { next };
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: u8 = 1;
    const ELEMENT: u8 = 2;
    const LIST: u8 = 3;
    const NAME: u8 = 4;
    const ELEMENT_SHAPE: Shape = Shape::object(ELEMENT, &[("node", Shape::leaf(NODE))]);
    const SHAPE: Shape = Shape::object(
        0,
        &[
            ("meta", Shape::object(0, &[("name", Shape::leaf(NAME))])),
            ("list", Shape::array(LIST, &ELEMENT_SHAPE)),
        ],
    );

    fn found(text: &str) -> Result<Vec<(u8, String)>, Fault> {
        let mut scanner = Scanner::new(SHAPE, 8, 1000);
        let end = scanner.scan(text.as_bytes())?.expect("whole");
        assert_eq!(&text[end..], "");
        let whole: Vec<_> = scanner.marks().to_vec();
        // Any two pieces, and byte by byte, give the same result.
        for cut in 0..text.len() {
            let mut scanner = Scanner::new(SHAPE, 8, 1000);
            assert_eq!(scanner.scan(&text.as_bytes()[..cut]), Ok(None), "cut at {cut}");
            assert_eq!(scanner.scan(text.as_bytes()), Ok(Some(end)), "cut at {cut}");
            assert_eq!(scanner.marks(), whole, "cut at {cut}");
        }
        let mut scanner = Scanner::new(SHAPE, 8, 1000);
        for cut in 0..text.len() {
            assert_eq!(scanner.scan(&text.as_bytes()[..cut]), Ok(None));
        }
        assert_eq!(scanner.scan(text.as_bytes()), Ok(Some(end)));
        assert_eq!(scanner.marks(), whole);
        Ok(whole
            .iter()
            .map(|mark| (mark.id, text[mark.span.start..mark.span.end].to_owned()))
            .collect())
    }

    fn marks(expected: &[(u8, &str)]) -> Vec<(u8, String)> {
        expected.iter().map(|&(id, text)| (id, text.to_owned())).collect()
    }

    #[test]
    fn members_are_reported_before_what_they_are_in() {
        let text = r#"{"x":[{"node":"no"}],"meta":{"name":"a"},"list":[{"node":"b","o":{"node":"no"}},{"z":1}]}"#;
        let expected = [
            (NAME, "\"a\""),
            (NODE, "\"b\""),
            (ELEMENT, r#"{"node":"b","o":{"node":"no"}}"#),
            (ELEMENT, r#"{"z":1}"#),
            (LIST, r#"[{"node":"b","o":{"node":"no"}},{"z":1}]"#),
        ];
        assert_eq!(found(text), Ok(marks(&expected)));
    }

    #[test]
    fn null_empty_and_other_types_are_reported_as_they_stand() {
        assert_eq!(found(r#"{"list":null}"#), Ok(marks(&[(LIST, "null")])));
        assert_eq!(found(r#"{"list":[]}"#), Ok(marks(&[(LIST, "[]")])));
        assert_eq!(found(r#"{"list":{"node":"x"}}"#), Ok(marks(&[(LIST, r#"{"node":"x"}"#)])));
        assert_eq!(
            found(r#"{"list":[null,7,"s"]}"#),
            Ok(marks(&[
                (ELEMENT, "null"),
                (ELEMENT, "7"),
                (ELEMENT, "\"s\""),
                (LIST, r#"[null,7,"s"]"#)
            ]))
        );
        assert_eq!(found(r#"{"meta":{"name":-1.5e3}}"#), Ok(marks(&[(NAME, "-1.5e3")])));
        assert_eq!(found("{}"), Ok(vec![]));
    }

    #[test]
    fn blanks_escapes_and_duplicates() {
        assert_eq!(
            found("\t{ \"meta\" :\r\n{ \"name\" : \"a\" } }"),
            Ok(marks(&[(NAME, "\"a\"")]))
        );
        assert_eq!(
            found(r#"{"m\u0065ta":{"n\u0061me":"\u0061\"\\"}}"#),
            Ok(marks(&[(NAME, r#""\u0061\"\\""#)]))
        );
        assert_eq!(
            found(r#"{"meta":{"name":"a","name":"b"},"meta":{"name":null}}"#),
            Ok(marks(&[(NAME, "\"a\""), (NAME, "\"b\""), (NAME, "null")]))
        );
        assert_eq!(found(r#"{"Meta":{"name":"a"},"meta":{"Name":"b"}}"#), Ok(vec![]));
        assert_eq!(
            found(r#"{"x":"}]\\\"{[","y":{"k\\":"\\","q":["]"]},"meta":{"name":"a"}}"#),
            Ok(marks(&[(NAME, "\"a\"")]))
        );
    }

    #[test]
    fn faults_name_the_place() {
        let fault = |text: &str| found(text).unwrap_err().offset;
        assert_eq!(fault("{,}"), 1);
        assert_eq!(fault(r#"{"a" 1}"#), 5);
        assert_eq!(fault(r#"{"a":}"#), 5);
        assert_eq!(fault(r#"{"a":1]"#), 6);
        assert_eq!(fault(r#"{"list":[1}"#), 10);
        assert_eq!(fault(r#"{"a":1,}"#), 7);
        assert_eq!(fault("xyz"), 0);
        for at in 0..200 {
            // Wherever it stands in the blocks that are skipped.
            let text = format!("{{\"a\":[{}\\\"{}]}}", "1, ".repeat(at), "2, ".repeat(100));
            assert_eq!(fault(&text), 6 + 3 * at);
        }
    }

    #[test]
    fn depth_is_limited_on_and_off_the_path() {
        assert!(found(&format!("{{\"a\":{}{}}}", "[".repeat(7), "]".repeat(7))).is_ok());
        let fault = found(&format!("{{\"a\":{}{}}}", "[".repeat(8), "]".repeat(8))).unwrap_err();
        assert_eq!(fault, Fault { offset: 12, kind: FaultKind::TooDeep { limit: 8 } });
    }
}
