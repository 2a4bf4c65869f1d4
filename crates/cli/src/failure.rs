//! How the command ends if it cannot do its work.

use std::io;
use std::path::Path;

use poolscope::{Error, ErrorKind, ResponseHead};

/// Ends the command as one that was called wrongly.
pub(crate) fn usage(why: &str) -> ! {
    clap::Error::raw(
        clap::error::ErrorKind::ValueValidation,
        format!("{why}\n\nFor more information, try '--help'.\n"),
    )
    .exit()
}

/// Why the work failed: one line that says what, where and what to do.
pub(crate) struct Failure(pub(crate) String);

/// The answer of a verb that looks for faults.
pub(crate) enum Answer {
    Clean,
    /// One line about the faults that were printed.
    Faults(String),
}

/// The reader of the output has closed it.
pub(crate) const ENOUGH: &str = "broken pipe";

impl Failure {
    /// The library's error, in the words of the command.
    pub(crate) fn of(path: &Path, head: &ResponseHead, error: &Error) -> Failure {
        let recorded =
            "record it over plain HTTP with Accept-Encoding: identity, as JSON or protobuf";
        let header = |name: &str| {
            let values = head.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
            values.map(|(_, value)| value.as_str()).next().unwrap_or_default()
        };
        let what = match error.kind() {
            ErrorKind::ContentEncoding => {
                format!("the body is compressed ({}): {recorded}", header("content-encoding"))
            }
            ErrorKind::ContentType => {
                format!("Content-Type {:?} cannot be read: {recorded}", header("content-type"))
            }
            ErrorKind::Status => {
                format!("a response with status {} cannot be filtered: {recorded}", head.status)
            }
            _ => error.to_string(),
        };
        Failure::at(path, what)
    }

    pub(crate) fn at(path: &Path, what: impl Into<String>) -> Failure {
        Failure(format!("{}: {}", path.display(), what.into()))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure(ENOUGH.to_owned()),
            _ => Failure(format!("standard output: {error}")),
        }
    }
}
