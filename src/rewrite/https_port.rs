//! The port named `https` of a Service or of a slice: both number its fields alike, {1 name, 3
//! port} (B2).

use crate::error::Fault;
use crate::wire::Span;
use crate::wire::json::{Mark, Shape};
use crate::wire::protobuf::{Field, Fields, last_string, put_number};
use crate::wire::splice::Edit;
use crate::wire::text::string;

const NAME: u8 = 1;
const NUMBER: u8 = 2;
const PORT: u8 = 3;
const PORTS: u8 = 4;
/// The first number under which the shapes around may report more.
pub(super) const FREE: u8 = 5;

const PORT_SHAPE: Shape =
    Shape::object(PORT, &[("name", Shape::leaf(NAME)), ("port", Shape::leaf(NUMBER))]);

/// The ports of an object.
pub(super) const PORTS_SHAPE: Shape = Shape::array(PORTS, &PORT_SHAPE);

/// Gives the first port named `https` of each array another number, mark by mark.
pub(super) struct JsonPorts {
    port: u16,
    is_https: bool,
    number: Option<Span>,
    found: bool,
}

impl JsonPorts {
    pub(super) fn new(port: u16) -> JsonPorts {
        JsonPorts { port, is_https: false, number: None, found: false }
    }

    /// Takes a mark of the object that starts at `start` of the buffer that `edit` is for.
    pub(super) fn take(
        &mut self,
        object: &[u8],
        start: usize,
        mark: Mark,
        edit: &mut Edit,
    ) -> Result<(), Fault> {
        match mark.id {
            NAME => {
                self.is_https = string(mark.span.of(object)).is_some_and(|name| *name == *b"https")
            }
            NUMBER => self.number = Some(mark.span),
            PORT => {
                let (is_https, number) = (std::mem::take(&mut self.is_https), self.number.take());
                if is_https && !self.found {
                    self.found = true;
                    match number {
                        Some(number) if is_torn(number.of(object)) => {
                            return Err(Fault::json(
                                number.after(start).start,
                                "expected a port's number",
                            ));
                        }
                        Some(number) => {
                            edit.replace(number.after(start), self.port.to_string().as_bytes())
                        }
                        // A port of that name is no empty object.
                        None => edit.replace(
                            mark.span.inside().after(start),
                            format!(r#""port":{},"#, self.port).as_bytes(),
                        ),
                    }
                }
            }
            PORTS => self.found = false,
            _ => {}
        }
        Ok(())
    }
}

/// Whether a word, such as a number, has a quote in it: without it what follows would be read
/// otherwise.
pub(super) fn is_torn(value: &[u8]) -> bool {
    !value.starts_with(b"\"")
        && !value.starts_with(b"{")
        && !value.starts_with(b"[")
        && value.contains(&b'"')
}

/// Gives a protobuf port another number if it is named `https`; whether it was.
pub(super) fn edit_protobuf(
    buf: &[u8],
    field: &Field,
    port: u16,
    edit: &mut Edit,
) -> Result<bool, Fault> {
    let content = field.len_delimited()?;
    if last_string(buf, content, 1)?.is_none_or(|name| name.of(buf) != b"https") {
        return Ok(false);
    }
    let reserved = edit.reserve_length(field.length());
    let before = edit.grown();
    let mut members = Fields::new(buf, content);
    while let Some(member) = members.next()? {
        if member.number == 3 {
            edit.replace(member.record(), b"");
        }
    }
    let mut number = Vec::new();
    put_number(&mut number, 3, u64::from(port));
    edit.replace(Span::new(content.end, content.end), &number);
    edit.set_length(reserved, content.len().saturating_add_signed(edit.grown() - before));
    Ok(true)
}
