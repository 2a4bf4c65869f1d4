//! A body as a tokio reader.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, ReadBuf};

use crate::error::BoxError;

pin_project! {
    /// Reads the data of a body, such as a [`RewriteBody`](crate::RewriteBody), as
    /// [`tokio::io::AsyncRead`]. Trailers are dropped.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http_body_util::Full;
    /// use poolscope_http::BodyReader;
    /// use tokio::io::AsyncReadExt;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let mut text = String::new();
    /// BodyReader::new(Full::new(Bytes::from("{}"))).read_to_string(&mut text).await?;
    /// assert_eq!(text, "{}");
    /// # Ok::<(), std::io::Error>(())
    /// # }).unwrap();
    /// ```
    #[derive(Debug)]
    pub struct BodyReader<B> {
        #[pin]
        body: B,
        // The rest of a frame that did not fit into the last read.
        rest: Bytes,
    }
}

impl<B> BodyReader<B> {
    /// Returns a reader of `body`.
    pub fn new(body: B) -> BodyReader<B> {
        BodyReader { body, rest: Bytes::new() }
    }
}

impl<B> AsyncRead for BodyReader<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut reader = self.project();
        while reader.rest.is_empty() {
            match ready!(reader.body.as_mut().poll_frame(context)) {
                Some(Ok(frame)) => *reader.rest = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = reader.rest.len().min(buffer.remaining());
        buffer.put_slice(&reader.rest[..count]);
        reader.rest.advance(count);
        Poll::Ready(Ok(()))
    }
}
