//! Requests and responses, as arrays of headers that C owns.

use std::ffi::c_char;
use std::ptr;
use std::slice;

use super::boundary::{Result, borrow, boundary, bytes, free, slot, text};
use super::failure::{poolscope_error, poolscope_status};
use super::node::poolscope_node;
use poolscope::{RequestHead, ResponseHead};

/// One HTTP header. The name is case-insensitive UTF-8. The value may be any bytes. Neither needs
/// a NUL.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct poolscope_header {
    /// The name, such as `Accept`.
    pub name: *const c_char,
    /// Length of `name` in bytes.
    pub name_len: usize,
    /// The value.
    pub value: *const c_char,
    /// Length of `value` in bytes.
    pub value_len: usize,
}

/// An HTTP request to the API server. The caller owns all memory; no call keeps a pointer to it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct poolscope_request {
    /// The method, such as `GET`.
    pub method: *const c_char,
    /// Length of `method` in bytes.
    pub method_len: usize,
    /// Path and query, such as `/apis/discovery.k8s.io/v1/endpointslices?watch=true`.
    pub target: *const c_char,
    /// Length of `target` in bytes.
    pub target_len: usize,
    /// The headers; NULL if there are none. Only the headers that poolscope_node_prepare() names
    /// are read.
    pub headers: *const poolscope_header,
    /// Number of headers.
    pub header_count: usize,
}

/// Status and headers of a response of the API server. The caller owns all memory; no call keeps a
/// pointer to it.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct poolscope_response {
    /// The HTTP status.
    pub http_status: u16,
    /// The headers; NULL if there are none. Content-Type, Content-Encoding and, for a fact
    /// sync, Retry-After are read.
    pub headers: *const poolscope_header,
    /// Number of headers.
    pub header_count: usize,
}

/// The headers of a prepared request. Free it with poolscope_headers_free(), which also frees the
/// memory that the headers point to.
#[repr(C)]
#[derive(Debug)]
pub struct poolscope_headers {
    /// The headers.
    pub data: *const poolscope_header,
    /// Number of headers.
    pub count: usize,
}

/// A [`poolscope_headers`] with the memory that it points to.
#[repr(C)]
struct OwnedHeaders {
    /// First: C holds a pointer to this field.
    view: poolscope_headers,
    headers: Box<[poolscope_header]>,
    texts: Vec<(String, String)>,
}

/// # Safety
/// `headers` is NULL or points to `count` headers whose names and values are as for [`bytes()`].
unsafe fn headers(headers: *const poolscope_header, count: usize) -> Result<Vec<(String, String)>> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if headers.is_null() || count > isize::MAX as usize / size_of::<poolscope_header>() {
        return Err(poolscope_error::argument(
            "headers",
            "is NULL, or `header_count` is too large",
        ));
    }
    // SAFETY: as this function's.
    let headers = unsafe { slice::from_raw_parts(headers, count) };
    let read = |header: &poolscope_header| {
        // SAFETY: as this function's.
        let (name, value) = unsafe {
            (
                text(header.name, header.name_len, "header name")?,
                bytes(header.value.cast(), header.value_len, "header value")?,
            )
        };
        // HTTP allows values that are not UTF-8. poolscope reads none of these headers.
        Ok((name.to_owned(), String::from_utf8_lossy(value).into_owned()))
    };
    headers.iter().map(read).collect()
}

/// # Safety
/// `request` is NULL or valid, with everything that it points to, while the call lasts.
pub(super) unsafe fn request_head(request: *const poolscope_request) -> Result<RequestHead> {
    // SAFETY: as this function's.
    unsafe {
        let request = borrow(request, "request")?;
        let mut head = RequestHead::new(
            text(request.method, request.method_len, "method")?,
            text(request.target, request.target_len, "target")?,
        );
        head.headers = headers(request.headers, request.header_count)?;
        Ok(head)
    }
}

/// # Safety
/// `response` is NULL or valid, with everything that it points to, while the call lasts.
pub(super) unsafe fn response_head(response: *const poolscope_response) -> Result<ResponseHead> {
    // SAFETY: as this function's.
    unsafe {
        let response = borrow(response, "response")?;
        let mut head = ResponseHead::new(response.http_status);
        head.headers = headers(response.headers, response.header_count)?;
        Ok(head)
    }
}

/// Returns the headers to send to the API server so that its response can be read: without
/// Accept-Encoding, Range, If-Range, Upgrade, Connection and Sec-WebSocket-*, and without CBOR,
/// YAML and `as=Table` in Accept. Headers of requests for other resources are returned unchanged,
/// except that bytes which are not UTF-8 become replacement characters. Names and values end with a
/// NUL that their lengths do not count.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_node_prepare(
    node: *const poolscope_node,
    request: *const poolscope_request,
    prepared: *mut *mut poolscope_headers,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            let prepared = slot(prepared, ptr::null_mut(), "prepared")?;
            let node = borrow(node, "node")?.0.enter()?;
            let texts = node.prepare(request_head(request)?).headers;
            prepared.set(OwnedHeaders::give(texts));
            Ok(())
        })
    }
}

impl OwnedHeaders {
    fn give(mut texts: Vec<(String, String)>) -> *mut poolscope_headers {
        for (name, value) in &mut texts {
            name.push('\0');
            value.push('\0');
        }
        let headers: Box<[poolscope_header]> = texts
            .iter()
            .map(|(name, value)| poolscope_header {
                name: name.as_ptr().cast(),
                name_len: name.len() - 1,
                value: value.as_ptr().cast(),
                value_len: value.len() - 1,
            })
            .collect();
        let view = poolscope_headers { data: headers.as_ptr(), count: headers.len() };
        // The view is the first field of a `repr(C)` struct, so that both have one address.
        Box::into_raw(Box::new(OwnedHeaders { view, headers, texts })).cast()
    }
}

/// Frees the headers of a prepared request. Does nothing for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_headers_free(headers: *mut poolscope_headers) {
    // SAFETY: the header's contract, and `OwnedHeaders::give` made the pointer.
    unsafe { free(headers.cast::<OwnedHeaders>()) }
}
