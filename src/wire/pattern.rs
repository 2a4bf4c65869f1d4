//! Reading the elements of an array by the form of those before them.
//!
//! The controllers write the endpoints of a slice all in one form: the same members in the same
//! order, with other texts in some of the strings. A [`Pattern`] is the form of one element that
//! the scanner has read: the bytes outside of its string values, which have to stand in the next
//! element too, and the lengths of the values, as far as they stay the same. Where a pattern
//! matches, the scanner would find the same values at the places that the pattern gives, because
//! nothing but the contents of strings without quotes and backslashes differs. Where no pattern
//! matches, the scanner reads the element, and its form is learned.

use super::expected::{Best, Compare, EXPECTED as BLOCK, Expected};
use super::json::{Mark, Shape};
use super::{Span, prefetch};

/// How many forms are tried in turn.
const FORMS: usize = 3;
/// Into how many runs strings of changing length may divide an element.
const MAX_RUNS: usize = 12;
/// The longest element whose form is learned.
const MAX_ELEMENT: usize = 4096;

/// The bytes of two elements for the matching of one.
const LEARNING: u32 = 32;
/// Elements that may be learned without any match.
const MAX_CREDIT: u32 = 8 * LEARNING;
/// Beyond this, elements are left to the scanner for a while.
const MAX_DEBT: u32 = 32;
const MIN_PAUSE: u32 = 64;
const MAX_PAUSE: u32 = 2048;

/// The forms of the elements of one array. They hold for elements of one shape at one depth.
///
/// An input that keeps changing its form must not take longer than without patterns. A miss costs
/// two matches: where misses prevail, there are pauses, each twice as long as the one before.
/// Learning costs [`LEARNING`] matches, or a pause.
#[derive(Debug)]
pub(super) struct Patterns {
    /// The elements that have the forms: their shape and depth.
    of: Option<(Shape, usize)>,
    forms: [Pattern; FORMS],
    /// How many of `forms` are learned.
    learned: usize,
    /// The element that no form matched: its start, the marks before it and its depth.
    missed: Option<(usize, usize, usize)>,
    credit: u32,
    debt: u32,
    /// Elements to leave to the scanner, and how many next time.
    pause: u32,
    next_pause: u32,
}

impl Default for Patterns {
    fn default() -> Patterns {
        Patterns {
            of: None,
            forms: Default::default(),
            learned: 0,
            missed: None,
            credit: MAX_CREDIT,
            debt: 0,
            pause: 0,
            next_pause: MIN_PAUSE,
        }
    }
}

impl Patterns {
    /// Another value begins.
    pub(super) fn reset(&mut self) {
        self.missed = None;
    }

    /// Returns `true` if the scanner has to read the element at hand.
    #[inline(always)]
    pub(super) fn pauses(&mut self) -> bool {
        let pauses = self.pause > 0;
        self.pause -= u32::from(pauses);
        pauses
    }

    /// Reads elements of `shape`, `depth` deep, from the one that starts at `start` on, as long as
    /// forms match and there may be more marks. Returns where the last of them ends.
    #[inline(never)]
    pub(super) fn read(
        &mut self,
        buf: &[u8],
        start: usize,
        (shape, depth): (Shape, usize),
        marks: &mut Vec<Mark>,
        max_marks: usize,
    ) -> Option<usize> {
        if !self.of.is_some_and(|(of, at)| of.is(&shape) && at == depth) {
            if shape.has_arrays() {
                return None;
            }
            (self.of, self.learned, self.missed) = (Some((shape, depth)), 0, None);
        }
        if let Some((missed, first_mark, at)) = self.missed.take()
            && at == depth
        {
            self.learn(buf, Span::new(missed, start), &marks[first_mark..]);
        }
        let (mut at, mut end) = (start, None);
        loop {
            let room = max_marks.saturating_sub(marks.len());
            let found = (0..self.learned).find_map(|number| {
                let form = &self.forms[number];
                (form.marks.len() <= room)
                    .then(|| form.read(buf, at, marks))?
                    .map(|end| (number, end))
            });
            let Some((number, found)) = found else { break };
            end = Some(found);
            self.matched(number);
            if buf.get(found..found + 2) != Some(b",{") {
                return end;
            }
            at = found + 1;
        }
        self.miss(buf, at, marks.len(), depth);
        end
    }

    #[inline(always)]
    fn matched(&mut self, number: usize) {
        self.credit = (self.credit + 1).min(MAX_CREDIT);
        self.debt = self.debt.saturating_sub(1);
        self.forms[number].matches += 1;
        // The most frequent form is tried first.
        if number > 0 && self.forms[number].matches > self.forms[number - 1].matches {
            self.forms.swap(number, number - 1);
        }
    }

    /// No form matches the element at `at`.
    fn miss(&mut self, buf: &[u8], at: usize, marks: usize, depth: usize) {
        let longest = self.forms[..self.learned].iter().map(|form| form.longest).max();
        if longest.is_some_and(|longest| buf.len() - at < longest) {
            // Its end may be missing only.
            return;
        }
        self.missed = Some((at, marks, depth));
        self.debt += 2;
        if self.debt > MAX_DEBT {
            (self.debt, self.pause) = (MAX_DEBT - 1, self.next_pause);
            self.next_pause = (self.next_pause * 2).min(MAX_PAUSE);
            self.credit = self.credit.max(LEARNING);
            self.missed = None;
        } else if self.debt <= 2 {
            self.next_pause = MIN_PAUSE;
        }
    }

    /// Learns the form of the element that `gap` begins with, whose marks are `marks`, if a comma
    /// and nothing else follows it there.
    fn learn(&mut self, buf: &[u8], gap: Span, marks: &[Mark]) {
        if self.credit < LEARNING || gap.len() < 3 || gap.len() > MAX_ELEMENT {
            return;
        }
        let Some(element) = gap.of(buf).strip_suffix(b",") else { return };
        self.credit -= LEARNING;
        let Some(texts) = Texts::of(element) else { return };
        let known =
            self.forms[..self.learned].iter().position(|form| form.has_form(element, &texts));
        let number = known.unwrap_or_else(|| {
            self.learned = (self.learned + 1).min(FORMS);
            let number = self.learned - 1;
            // The form in the last place is the one that matched least.
            self.forms[number].forget();
            self.forms.iter_mut().for_each(|form| form.matches /= 2);
            number
        });
        if !self.forms[number].learn(element, texts, gap.start, marks) {
            self.forms.swap(number, self.learned - 1);
            self.learned -= 1;
        }
    }
}

/// The contents of the string values of an element.
#[derive(Debug, Clone, Copy)]
struct Texts {
    spans: [(u16, u16); MAX_TEXTS],
    count: usize,
}

const MAX_TEXTS: usize = 32;

impl Texts {
    /// Finds the values; `None` if there are too many, or if this is no element or has a
    /// backslash.
    fn of(element: &[u8]) -> Option<Texts> {
        let mut texts = Texts { spans: [(0, 0); MAX_TEXTS], count: 0 };
        let (mut at, mut depth) = (0, 0);
        while let Some(&byte) = element.get(at) {
            // The scanner takes quotes and brackets in a number as parts of it.
            let before = at.checked_sub(1).map_or(b',', |at| element[at]);
            match byte {
                b'"' | b'{' | b'[' if !matches!(before, b':' | b',' | b'[' | b'{') => return None,
                b':' if before != b'"' => return None,
                b'"' => {
                    let rest = &element[at + 1..];
                    let end =
                        at + 1 + rest.iter().position(|&byte| matches!(byte, b'"' | b'\\'))?;
                    if element[end] == b'\\' {
                        return None;
                    }
                    // A key is not followed by a blank: the form is that of the API server.
                    if element.get(end + 1) != Some(&b':') {
                        *texts.spans.get_mut(texts.count)? = (at as u16 + 1, end as u16);
                        texts.count += 1;
                    }
                    at = end;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        return (at + 1 == element.len()).then_some(texts);
                    }
                }
                b'\\' | b' ' | b'\t' | b'\n' | b'\r' => return None,
                _ => {}
            }
            at += 1;
        }
        None
    }

    fn iter(&self) -> impl Iterator<Item = Span> + '_ {
        let spans = self.spans[..self.count].iter();
        spans.map(|&(start, end)| Span::new(start.into(), end.into()))
    }

    /// The runs of bytes between the contents.
    fn between<'a>(&'a self, element: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let starts = std::iter::once(0).chain(self.iter().map(|text| text.end));
        let ends = self.iter().map(|text| text.start).chain(std::iter::once(element.len()));
        starts.zip(ends).map(|(start, end)| &element[start..end])
    }
}

/// Bytes between two strings of changing length.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    len: usize,
    /// How many of the pattern's blocks it has: whole ones one after the other, and if bytes are
    /// left one more for its last bytes. It may reach back before the run then.
    blocks: usize,
}

/// A place in an element.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    run: usize,
    offset: usize,
}

/// The form of an element.
#[derive(Debug, Default)]
struct Pattern {
    /// An element of the form.
    example: Vec<u8>,
    texts: Option<Texts>,
    /// One bit for each text whose length changes.
    changing: u32,
    runs: Vec<Run>,
    blocks: Vec<Expected>,
    marks: Vec<(u8, Place, Place)>,
    /// An element that has so many bytes less than that before the end of the data may be cut off.
    longest: usize,
    matches: u64,
}

impl Pattern {
    fn forget(&mut self) {
        (self.texts, self.changing, self.matches) = (None, 0, 0);
    }

    /// Returns `true` if the element has the form, but for the lengths of its texts.
    fn has_form(&self, element: &[u8], texts: &Texts) -> bool {
        self.texts.is_some_and(|own| own.between(&self.example).eq(texts.between(element)))
    }

    /// Learns the form of an element that starts at `start` of the data that `marks` are about. If
    /// the form is known but for the lengths of texts: those that differ change. `false` if the
    /// form cannot be kept.
    fn learn(&mut self, element: &[u8], texts: Texts, start: usize, marks: &[Mark]) -> bool {
        if let Some(own) = self.texts {
            let lengths = own.iter().zip(texts.iter()).enumerate();
            self.changing |= lengths
                .filter(|(_, (own, text))| own.len() != text.len())
                .fold(0, |changing, (number, _)| changing | 1 << number);
        }
        self.example.clear();
        self.example.extend_from_slice(element);
        self.texts = Some(texts);
        self.longest = element.len() + element.len() / 4 + 2 * BLOCK;
        self.runs.clear();
        self.blocks.clear();
        let (mut first, mut places) = (0, [Span::default(); MAX_RUNS]);
        let changing =
            texts.iter().enumerate().filter(|(number, _)| self.changing >> number & 1 != 0);
        let cuts = changing.map(|(_, text)| text).chain([Span::new(element.len(), element.len())]);
        for cut in cuts {
            let Some(place) = places.get_mut(self.runs.len()) else { return false };
            *place = Span::new(first, cut.start);
            let before = self.blocks.len();
            for block in place_blocks(*place) {
                self.blocks.push(block_of(element, &texts, *place, block));
            }
            self.runs.push(Run { len: place.len(), blocks: self.blocks.len() - before });
            first = cut.end;
        }
        let places = &places[..self.runs.len()];
        // A place inside of a text of changing length is none that a value begins or ends at.
        let place = |at: usize| {
            let at = at.checked_sub(start)?;
            let run = places.iter().position(|run| (run.start..=run.end).contains(&at))?;
            Some(Place { run, offset: at - places[run].start })
        };
        self.marks.clear();
        for mark in marks {
            let (Some(from), Some(to)) = (place(mark.span.start), place(mark.span.end)) else {
                return false;
            };
            self.marks.push((mark.id, from, to));
        }
        true
    }

    /// Reads the element that starts at `at`: adds its marks, and returns where it ends. `None` if
    /// it has another form, or if too little of the data is around it.
    #[inline(always)]
    fn read(&self, buf: &[u8], at: usize, marks: &mut Vec<Mark>) -> Option<usize> {
        let (mut starts, mut pos) = ([0; MAX_RUNS], at);
        let mut blocks = &self.blocks[..];
        for (number, run) in self.runs.iter().enumerate() {
            if number > 0 {
                pos = quote(buf, pos)?;
            }
            *starts.get_mut(number)? = pos;
            let end = pos + run.len;
            let (own, others) = blocks.split_at_checked(run.blocks)?;
            blocks = others;
            if run.len < BLOCK {
                let text = buf.get(end.checked_sub(BLOCK)?..end)?.first_chunk::<BLOCK>()?;
                let block = own.first()?;
                if Best::differs(block, text) {
                    return None;
                }
            } else {
                let text = buf.get(pos..end)?;
                let (whole, rest) = text.as_chunks::<BLOCK>();
                let mut found = Best::none();
                for (text, block) in whole.iter().zip(own) {
                    found.add(block, text);
                }
                if !rest.is_empty() {
                    found.add(own.last()?, text.last_chunk::<BLOCK>()?);
                }
                if found.any() {
                    return None;
                }
            }
            pos = end;
        }
        for line in (at..pos).step_by(64) {
            prefetch(buf, line);
        }
        let find = |place: Place| Some(starts.get(place.run)? + place.offset);
        for &(id, from, to) in &self.marks {
            marks.push(Mark { id, span: Span::new(find(from)?, find(to)?) });
        }
        Some(pos)
    }
}

/// Where the blocks of a run start. The block of a short run starts before it, and may start before
/// the element.
fn place_blocks(run: Span) -> impl Iterator<Item = isize> {
    let whole = run.len() / BLOCK;
    let last = (!run.len().is_multiple_of(BLOCK)).then_some(run.end as isize - BLOCK as isize);
    (0..whole).map(move |block| (run.start + block * BLOCK) as isize).chain(last)
}

/// Returns the expected bytes of the block that starts at `start` for a run of an element.
fn block_of(element: &[u8], texts: &Texts, run: Span, start: isize) -> Expected {
    let mut block = Expected::NOTHING;
    for offset in 0..BLOCK {
        let Ok(at) = usize::try_from(start + offset as isize) else { continue };
        if (run.start..run.end).contains(&at) {
            let in_text = texts.iter().any(|text| (text.start..text.end).contains(&at));
            block.set(offset, (!in_text).then(|| element[at]));
        }
    }
    block
}

/// The place of the quote that ends the string in which `pos` is, if no backslash comes before it
/// and the data is long enough.
#[inline(always)]
fn quote(buf: &[u8], mut pos: usize) -> Option<usize> {
    loop {
        let block = buf.get(pos..)?.first_chunk::<BLOCK>()?;
        if let Some(end) = Best::quote_or_backslash(block) {
            pos += end;
            return (buf.get(pos) == Some(&b'"')).then_some(pos);
        }
        pos += BLOCK;
    }
}

#[cfg(test)]
mod tests {
    use super::super::json::Scanner;
    use super::super::random::random;
    use super::*;

    const INNER: Shape = Shape::object(5, &[("deep", Shape::leaf(6))]);
    const ELEMENT: Shape =
        Shape::object(2, &[("node", Shape::leaf(1)), ("k", Shape::leaf(7)), ("in", INNER)]);
    const OTHER: Shape = Shape::object(12, &[("k", Shape::leaf(11)), ("in", Shape::leaf(13))]);
    const SHAPE: Shape = Shape::object(
        3,
        &[
            ("list", Shape::array(4, &ELEMENT)),
            ("more", Shape::array(9, &ELEMENT)),
            ("other", Shape::array(10, &OTHER)),
        ],
    );

    /// Members of elements; `@` stands for a text of random length, `=` for one of four bytes.
    const MEMBERS: [&str; 13] = [
        r#""q":1"@"3"#,
        r#""q":1["@""#,
        r#""node":"edge-node-=.hangzhou.example""#,
        r#""node":"@""#,
        r#""node":null"#,
        r#""k":"@""#,
        r#""addresses":["10.0.@.=","@"]"#,
        r#""conditions":{"ready":true,"serving":true,"terminating":false}"#,
        r#""conditions":{"ready":false,"serving":true,"terminating":true}"#,
        r#""in":{"deep":"@","x":"="}"#,
        r#""in":{"deep":17}"#,
        r#""targetRef":{"kind":"Pod","name":"checkout-=","namespace":"shop","uid":"8f14e45f-="}"#,
        r#""zone":"@""#,
    ];

    /// Elements of few forms, now and then with something else in them.
    fn elements(random: &mut impl FnMut(usize) -> usize) -> String {
        let forms: Vec<Vec<&str>> = (0..1 + random(4))
            .map(|_| (0..random(7)).map(|_| MEMBERS[random(MEMBERS.len())]).collect())
            .collect();
        let steady = random(2) == 0;
        let mut element = || {
            let form = &forms[if steady && random(9) > 0 { 0 } else { random(forms.len()) }];
            let mut text = format!("{{{}}}", form.join(","));
            while let Some(at) = text.find(['@', '=']) {
                let odd = random(400) == 0;
                let len = if text.as_bytes()[at] == b'=' { 4 } else { [1, 3, 3, 0, 40][random(5)] };
                let with = match random(4) {
                    _ if odd => {
                        [r#"\""#, r"\\", "}", "\",", "{[", r"\u0061", ","][random(7)].to_owned()
                    }
                    0 => "x".repeat(len),
                    _ => (0..len).map(|_| (b'a' + random(26) as u8) as char).collect(),
                };
                text.replace_range(at..at + 1, &with);
            }
            if random(400) == 0 {
                text.insert(random(text.len()), [' ', '"', ',', '}', '1', '\\'][random(6)]);
            }
            text
        };
        (0..4).fold(String::new(), |all, _| all + &element() + ",") + "{}"
    }

    fn text(random: &mut impl FnMut(usize) -> usize) -> Vec<u8> {
        let [list, more] = [(); 2]
            .map(|()| (0..1 + random(8)).map(|_| elements(random)).collect::<Vec<_>>().join(","));
        let other = if random(2) == 0 { &list } else { &more };
        format!(r#"{{"list":[{list}],"more":[{more}],"other":[{other}],"end":"{:50}"}}"#, "")
            .into_bytes()
    }

    #[test]
    fn forms_find_what_the_scanner_finds() {
        let mut random = random();
        // One scanner for many texts, so that its forms are from earlier ones.
        let mut long_lived = Scanner::new(SHAPE, 8, 1000);
        let (mut matched, mut faults) = (0, 0);
        for _ in 0..3000 {
            let text = text(&mut random);
            let (depth, elements) = (3 + random(6), [20, 1000, 1000][random(3)]);
            // Byte by byte there is never a whole element.
            let expected = |depth, elements| {
                let mut scanner = Scanner::new(SHAPE, depth, elements);
                let mut found = Ok(None);
                for end in 0..=text.len() {
                    found = scanner.scan(&text[..end]);
                    if found != Ok(None) {
                        break;
                    }
                }
                assert!(scanner.patterns.forms.iter().all(|form| form.matches == 0));
                (found, scanner.marks().to_vec())
            };
            let show = String::from_utf8_lossy(&text);
            let (found, marks) = expected(depth, elements);
            let mut scanner = Scanner::new(SHAPE, depth, elements);
            // In pieces too, which end anywhere.
            let (mut end, mut in_pieces) = (random(text.len()), Ok(None));
            while in_pieces == Ok(None) && end < text.len() + 1000 {
                in_pieces = scanner.scan(&text[..end.min(text.len())]);
                end += 1 + random(1000);
            }
            assert_eq!(in_pieces, found, "{show}");
            faults += usize::from(found.is_err());
            if found.is_ok() {
                assert_eq!(scanner.marks(), marks, "{show}");
            }
            let (found, marks) = expected(8, 1000);
            long_lived.reset();
            assert_eq!(long_lived.scan(&text), found, "{show}");
            if found.is_ok() {
                assert_eq!(long_lived.marks(), marks, "{show}");
            }
            matched += scanner.patterns.forms.iter().map(|form| form.matches).sum::<u64>();
        }
        assert!(matched > 5000 && faults > 500, "{matched} {faults}");
    }

    fn scanned(elements: impl Iterator<Item = String>) -> Scanner {
        let elements: Vec<String> = elements.collect();
        let text = format!(r#"{{"list":[{}],"end":"{:600}"}}"#, elements.join(","), "");
        let mut scanner = Scanner::new(SHAPE, 8, 100_000);
        assert_eq!(scanner.scan(text.as_bytes()), Ok(Some(text.len())));
        scanner
    }

    fn matches(scanner: &Scanner) -> Vec<u64> {
        let patterns = &scanner.patterns;
        patterns.forms[..patterns.learned].iter().map(|form| form.matches).collect()
    }

    #[test]
    fn three_forms_are_known_and_the_most_frequent_is_the_first() {
        let element = |number: usize| {
            let ready = number % 10 != 3;
            let target = if number % 10 == 7 { "" } else { r#","target":{"kind":"Pod"}"# };
            format!(
                r#"{{"addresses":["10.1.{}.7"],"ready":{ready},"node":"n{number:05}"{target}}}"#,
                number % 250
            )
        };
        let mut found = matches(&scanned((0..10_000).map(element)));
        found.iter_mut().for_each(|count| *count += 20);
        assert!(found[0] >= 8000 && found[1] >= 1000 && found[2] >= 1000, "{found:?}");
    }

    #[test]
    fn an_input_without_forms_is_left_to_the_scanner() {
        let element = |number: usize| format!(r#"{{"node":"a","zone":"b","m{number}":1}}"#);
        let scanner = scanned((0..20_000).map(element));
        assert_eq!(scanner.patterns.next_pause, MAX_PAUSE);
        assert_eq!(matches(&scanner).iter().sum::<u64>(), 0);
        assert_eq!(scanner.marks().len(), 40_001 + 1);
    }

    #[test]
    fn a_text_of_any_length_and_content_is_a_text() {
        let texts = ["", "x", "{}", "a,b:[", "}", "\u{e9}", &"y".repeat(100)];
        let element = |number: usize| {
            let text = texts[number % texts.len()];
            format!(r#"{{"node":"{text}","zone":"cn-hangzhou","k":"{text}{text}"}}"#)
        };
        let scanner = scanned((0..1000).map(element));
        assert!(matches(&scanner).iter().sum::<u64>() > 980, "{:?}", matches(&scanner));
        let nodes = scanner.marks().iter().filter(|mark| mark.id == 1);
        let lens: Vec<usize> = nodes.map(|mark| mark.span.len() - 2).collect();
        assert!(lens.iter().enumerate().all(|(at, len)| *len == texts[at % texts.len()].len()));
    }
}
