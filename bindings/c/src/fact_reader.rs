//! Sources of facts.

use std::ptr;

use super::boundary::{borrow, boundary, bytes, free, slot};
use super::cluster::poolscope_cluster;
use super::exchange::{poolscope_request, poolscope_response, request_head, response_head};
use super::failure::{poolscope_error, poolscope_status};
use super::handle::Exclusive;
use poolscope::FactReader;

/// Reads the facts in one response body. For one thread at a time.
pub struct poolscope_fact_reader(Exclusive<FactReader>);

/// Opens the response to a request for Services, Nodes, CiliumNodes, NodePools, NodeBuckets or the
/// ConfigMap kube-system/yurt-hub-cfg: a list, a watch or a single object, whole or metadata-only.
/// Free the reader with poolscope_fact_reader_free().
///
/// The facts of a kind are complete after a list that was read to its end with all its pages, or
/// after the bookmark that ends the initial events of a watch. Request bookmarks.
///
/// Fails with POOLSCOPE_ERR_NOT_A_FACT for any other request and for a status other than 200, and
/// with POOLSCOPE_ERR_CONTENT_TYPE or POOLSCOPE_ERR_CONTENT_ENCODING.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_cluster_read_facts(
    cluster: *const poolscope_cluster,
    request: *const poolscope_request,
    response: *const poolscope_response,
    reader: *mut *mut poolscope_fact_reader,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            let reader = slot(reader, ptr::null_mut(), "reader")?;
            let cluster = borrow(cluster, "cluster")?.0.enter()?;
            let (request, head) = (request_head(request)?, response_head(response)?);
            let opened = cluster.read_facts(&request, &head)?;
            reader.put(poolscope_fact_reader(Exclusive::new(opened)));
            Ok(())
        })
    }
}

/// Takes the next bytes of the body, split anywhere. An error closes the reader; the facts that
/// were read before the fault stay.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_fact_reader_push(
    reader: *mut poolscope_fact_reader,
    data: *const u8,
    len: usize,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            Ok(borrow(reader, "reader")?.0.enter()?.push(bytes(data, len, "data")?)?)
        })
    }
}

/// Ends the body. Fails with POOLSCOPE_ERR_TRUNCATED if the body ended inside a value.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_fact_reader_finish(
    reader: *mut poolscope_fact_reader,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe { boundary(error, || Ok(borrow(reader, "reader")?.0.enter()?.finish()?)) }
}

/// Frees a reader, finished or not. Does nothing for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_fact_reader_free(reader: *mut poolscope_fact_reader) {
    // SAFETY: the header's contract.
    unsafe { free(reader) }
}
