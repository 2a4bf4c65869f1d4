//! Errors of a rewritten body.

/// Any error of an upstream service or body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The reason why a rewritten body ended early.
///
/// ```
/// use poolscope_http::Error;
///
/// /// Returns `true` if a repeated request may succeed.
/// fn is_transient(error: &Error) -> bool {
///     match error {
///         Error::Upstream(_) | Error::Gzip(_) => true,
///         Error::Rewrite(error) => error.kind() == poolscope::ErrorKind::Truncated,
///         _ => false,
///     }
/// }
/// assert!(is_transient(&Error::Upstream("connection reset".into())));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes of the upstream body cannot be rewritten.
    #[error(transparent)]
    Rewrite(#[from] poolscope::Error),
    /// The upstream body failed.
    #[error("reading the upstream body failed ({0}): repeat the request")]
    Upstream(#[source] BoxError),
    /// The upstream body cannot be decompressed.
    #[error("decompressing the upstream body failed ({0}): repeat the request")]
    Gzip(#[source] std::io::Error),
}
