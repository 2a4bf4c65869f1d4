//! Requests.

use std::ffi::c_char;
use std::mem;
use std::ptr;

use super::border::{answer, border, free, given, slot, text};
use super::failure::{poolscope_error, poolscope_status};
use super::handle::Exclusive;
use super::head::header;
use poolscope::{NodeView, Request};

/// An HTTP request to the API server: method, path and query, headers. For one thread at a time.
pub struct poolscope_request(pub(super) Exclusive<Request>);

impl poolscope_request {
    pub(super) fn prepare(&self, node: &NodeView) -> super::border::Result<()> {
        let mut request = self.0.enter()?;
        *request = node.prepare(mem::take(&mut *request));
        Ok(())
    }
}

/// Makes a request. `method` is such as `GET`; `target` is path and query, such as
/// `/apis/discovery.k8s.io/v1/endpointslices?watch=true`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_request_new(
    method: *const c_char,
    method_len: usize,
    target: *const c_char,
    target_len: usize,
    request: *mut *mut poolscope_request,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        border(error, || {
            let request = slot(request, ptr::null_mut(), "request")?;
            let made = Request::new(
                text(method, method_len, "method")?,
                text(target, target_len, "target")?,
            );
            request.put(poolscope_request(Exclusive::new(made)));
            Ok(())
        })
    }
}

/// Adds a header. Names count in any case. Only the headers that poolscope_node_prepare() names are
/// looked at, so the others need not be given: a value that is no UTF-8 would be read back with
/// replacement characters.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_request_add_header(
    request: *mut poolscope_request,
    name: *const c_char,
    name_len: usize,
    value: *const c_char,
    value_len: usize,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        border(error, || {
            let mut request = given(request, "request")?.0.enter()?;
            request.headers.push(header(name, name_len, value, value_len)?);
            Ok(())
        })
    }
}

/// How many headers the request has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_request_header_count(request: *mut poolscope_request) -> usize {
    // SAFETY: the header's contract.
    unsafe { answer(0, || Ok(given(request, "request")?.0.enter()?.headers.len())) }
}

/// Header number `index`, counted from 0. Name and value are pointers and lengths, without a NUL,
/// valid until the next call that changes the request.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_request_header(
    request: *mut poolscope_request,
    index: usize,
    name: *mut *const c_char,
    name_len: *mut usize,
    value: *mut *const c_char,
    value_len: *mut usize,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        border(error, || {
            let (name, value) =
                (slot(name, ptr::null(), "name"), slot(value, ptr::null(), "value"));
            let (name_len, value_len) =
                (slot(name_len, 0, "name_len"), slot(value_len, 0, "value_len"));
            let (name, name_len, value, value_len) = (name?, name_len?, value?, value_len?);
            let request = given(request, "request")?.0.enter()?;
            let out_of_range =
                || poolscope_error::argument("index", "is not below the number of headers");
            let (key, text) = request.headers.get(index).ok_or_else(out_of_range)?;
            name.set(key.as_ptr().cast());
            name_len.set(key.len());
            value.set(text.as_ptr().cast());
            value_len.set(text.len());
            Ok(())
        })
    }
}

/// Frees a request. NULL is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_request_free(request: *mut poolscope_request) {
    // SAFETY: the header's contract.
    unsafe { free(request) }
}
