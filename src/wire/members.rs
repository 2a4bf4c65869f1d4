//! The fast path through objects of which single members are needed, such as endpoints of a slice.
//!
//! While the text is as the API server writes it, without blanks, and whole blocks are left, tokens
//! are found by the bits of a [`Window`]. Any other byte (a blank, a fault, the end of the data)
//! ends the fast path before the current member, and the scanner reads that member byte by byte.
//! The fast path and the scanner therefore never read the same bytes differently.

use super::Span;
use super::json::{ExpectedToken, Mark, Scanner};
use super::text::has_backslash;
use super::window::Window;

impl Scanner {
    /// Reads members from `pos` on, where a key is expected, and the elements of the same array
    /// that follow. Returns what is to be expected at `pos` then; nothing of a member that was
    /// not read to its end has happened.
    #[inline(always)]
    pub(super) fn read_members(
        &mut self,
        buf: &[u8],
        pos: &mut usize,
        expect: ExpectedToken,
    ) -> ExpectedToken {
        match buf.get(*pos) {
            Some(b'"') => {
                let (at, expect) = self.read_members_in_blocks(buf, *pos, expect);
                *pos = at;
                expect
            }
            _ => expect,
        }
    }

    /// A function of its own, so that the window stays in registers.
    #[inline(never)]
    fn read_members_in_blocks(
        &mut self,
        buf: &[u8],
        mut at: usize,
        mut expect: ExpectedToken,
    ) -> (usize, ExpectedToken) {
        let depth = self.open.len();
        let shape = self.open[depth - 1].shape;
        let in_array = depth > 1 && self.open[depth - 2].array;
        let room = self.max_depth - depth;
        let is_element = in_array
            && expect == ExpectedToken::FirstKey
            && self.open[depth - 1].start + 1 == at
            && !self.patterns.pauses();
        if is_element && let Some(end) = self.read_by_form(buf, at - 1, depth) {
            if end.is_last {
                self.open.pop();
                return (end.pos, ExpectedToken::Next);
            }
            self.open[depth - 1].start = end.pos + 1;
            at = end.pos + 2;
        }
        let Some(mut window) = Window::at(buf, at) else { return (at, expect) };
        loop {
            // The key.
            if buf.get(at) != Some(&b'"') {
                break;
            }
            let Some(end) = window.quote(at + 1) else { break };
            let key = &buf[at + 1..end];
            if window.has_backslash && has_backslash(key) || buf.get(end + 1) != Some(&b':') {
                break;
            }
            // The value.
            let slot = shape.member(key);
            let start = end + 2;
            let Some(&first) = buf.get(start) else { break };
            let end = match first {
                b'"' => window.quote(start + 1).map(|quote| quote + 1),
                b'{' | b'[' if slot.is_leaf() && room > 0 => window.close(start + 1, room),
                b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                    // A quote in it is a fault, or not even that, but no beginning of a string.
                    let ends = |byte: &u8| {
                        matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t' | b'"')
                    };
                    buf[start..]
                        .iter()
                        .position(ends)
                        .map(|len| start + len)
                        .filter(|&end| buf[end] != b'"')
                }
                _ => None,
            };
            let Some(end) = end else { break };
            let Some(&after) = buf.get(end) else { break };
            if !matches!(after, b',' | b'}') {
                break;
            }
            if slot.id != 0 {
                self.marks.push(Mark { id: slot.id, span: Span::new(start, end) });
            }
            // The byte after the value.
            if after == b',' {
                if self.marks.len() > self.max_marks {
                    return (end, ExpectedToken::Next);
                }
                (at, expect) = (end + 1, ExpectedToken::Key);
                continue;
            }
            let start = self.open[depth - 1].start;
            if shape.id != 0 {
                self.marks.push(Mark { id: shape.id, span: Span::new(start, end + 1) });
            }
            let goes_on = in_array
                && buf.get(end + 1..end + 3) == Some(b",{")
                && self.marks.len() <= self.max_marks;
            if !goes_on {
                self.open.pop();
                return (end + 1, ExpectedToken::Next);
            }
            self.open[depth - 1].start = end + 2;
            (at, expect) = (end + 3, ExpectedToken::FirstKey);
            if !self.patterns.pauses()
                && let Some(end) = self.read_by_form(buf, end + 2, depth)
            {
                if end.is_last {
                    self.open.pop();
                    return (end.pos, ExpectedToken::Next);
                }
                self.open[depth - 1].start = end.pos + 1;
                at = end.pos + 2;
                match Window::at(buf, at) {
                    Some(next) => window = next,
                    None => break,
                }
            }
        }
        (at, expect)
    }

    /// Reads the element that starts at `start`, and those after it, as far as they have a form
    /// that is known. `None` if this one has not.
    fn read_by_form(&mut self, buf: &[u8], start: usize, depth: usize) -> Option<ReadByForm> {
        let of = (self.open[depth - 1].shape, depth);
        let pos = self.patterns.read(buf, start, of, &mut self.marks, self.max_marks)?;
        Some(ReadByForm { pos, is_last: buf.get(pos..pos + 2) != Some(b",{") })
    }
}

/// How far elements were read by their form.
struct ReadByForm {
    /// After the last of them.
    pos: usize,
    /// No other object follows it in the data.
    is_last: bool,
}

#[cfg(test)]
mod tests {
    use super::super::json::Shape;
    use super::super::random::random;
    use super::*;

    const INNER: Shape = Shape::object(5, &[("deep", Shape::leaf(6))]);
    const ELEMENT: Shape =
        Shape::object(2, &[("node", Shape::leaf(1)), ("k", Shape::leaf(7)), ("in", INNER)]);
    const SHAPE: Shape =
        Shape::object(3, &[("list", Shape::array(4, &ELEMENT)), ("node", Shape::leaf(8))]);

    /// Random text that is mostly what a server would write, with now and then something else in
    /// it.
    fn text(random: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
        const STRINGS: [&str; 6] = [
            r#""a""#,
            r#""""#,
            r#""\"}]""#,
            r#""x\\""#,
            r#""10.0.0.1 and some more""#,
            r#""[{,:""#,
        ];
        const OTHERS: [&str; 9] = [
            "null",
            "17",
            "true",
            "{}",
            "[]",
            r#"{"a":[1,{"b":"]"}]}"#,
            r#"[{"node":"no"},"\\"]"#,
            r#"{"deep":"d","node":"n"}"#,
            "-1.5e3",
        ];
        const KEYS: [&str; 8] = ["node", "node", "k", "other", "in", "n\\u006fde", "", "addresses"];
        let wrong = random(3) == 0;
        let object = |random: &mut dyn FnMut(usize) -> usize| {
            let members: Vec<String> = (0..random(6))
                .map(|_| {
                    let value = if random(2) == 0 {
                        STRINGS[random(STRINGS.len())]
                    } else {
                        OTHERS[random(OTHERS.len())]
                    };
                    let blank = if random(30) == 0 { " " } else { "" };
                    format!("\"{}\":{blank}{value}", KEYS[random(KEYS.len())])
                })
                .collect();
            format!("{{{}}}", members.join(","))
        };
        let elements: Vec<String> = (0..random(7))
            .map(|_| {
                if random(9) == 0 {
                    OTHERS[random(OTHERS.len())].to_owned()
                } else {
                    object(random)
                }
            })
            .collect();
        let mut text =
            format!("{{\"z\":[{{}}],\"list\":[{}],\"node\":\"last\"}}", elements.join(","))
                .into_bytes();
        if wrong {
            let (at, byte) = (random(text.len()), b"{}[]\",:\\ 1n"[random(11)]);
            match random(3) {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                // A quote in a number, twice, so that what follows looks whole again.
                _ => {
                    let digits = |text: &[u8]| {
                        text.windows(2).position(|pair| pair == b"17").map_or(at, |at| at + 1)
                    };
                    let at = digits(&text);
                    text.insert(at, b'"');
                    let at = at + random(text.len() - at);
                    text.insert(at, b'"');
                }
            }
        }
        text
    }

    #[test]
    fn the_short_way_and_the_long_one_agree() {
        let mut random = random();
        let (mut whole_ones, mut faults) = (0, 0);
        for _ in 0..20_000 {
            let text = text(&mut random);
            let (depth, elements) = (1 + random(6), random(20));
            let mut short = Scanner::new(SHAPE, depth, elements);
            let expected = short.scan(&text);
            // Byte by byte there is never a whole block.
            let mut long = Scanner::new(SHAPE, depth, elements);
            let mut found = Ok(None);
            for end in 0..=text.len() {
                found = long.scan(&text[..end]);
                if found != Ok(None) {
                    break;
                }
            }
            let show = String::from_utf8_lossy(&text);
            assert_eq!(found, expected, "{show}");
            if expected.is_ok() {
                assert_eq!(long.marks(), short.marks(), "{show}");
            }
            // In two pieces the ways meet anywhere.
            let cut = random(text.len());
            let mut pieces = Scanner::new(SHAPE, depth, elements);
            let first = pieces.scan(&text[..cut]);
            let second = if first == Ok(None) { pieces.scan(&text) } else { first };
            assert_eq!(second, expected, "cut at {cut}: {show}");
            whole_ones += usize::from(matches!(expected, Ok(Some(_))));
            faults += usize::from(expected.is_err());
        }
        assert!(whole_ones > 5000 && faults > 3000, "{whole_ones} {faults}");
    }
}
