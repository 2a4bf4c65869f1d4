//! Feeds.

use super::border::{border, bytes, free, given};
use super::failure::{poolscope_error, poolscope_status};
use super::handle::Exclusive;
use poolscope::Feed;

/// One response body that teaches a cluster. For one thread at a time.
pub struct poolscope_feed(pub(super) Exclusive<Feed>);

/// Takes the next bytes of the body, cut anywhere. An error closes the feed; what was learned
/// before stays.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_feed_push(
    feed: *mut poolscope_feed,
    data: *const u8,
    len: usize,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        border(error, || Ok(given(feed, "feed")?.0.enter()?.push(bytes(data, len, "data")?)?))
    }
}

/// The body is over. Fails with POOLSCOPE_TRUNCATED if it was cut.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_feed_finish(
    feed: *mut poolscope_feed,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe { border(error, || Ok(given(feed, "feed")?.0.enter()?.finish()?)) }
}

/// Frees a feed, finished or not. NULL is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_feed_free(feed: *mut poolscope_feed) {
    // SAFETY: the header's contract.
    unsafe { free(feed) }
}
