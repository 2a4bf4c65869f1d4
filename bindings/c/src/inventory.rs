//! Explanations: what a node sees and why, as JSON.

use std::ffi::c_char;
use std::ptr;

use super::boundary::{borrow, boundary, bytes, free, slot, text};
use super::failure::{poolscope_error, poolscope_status};
use super::handle::Exclusive;
use super::node::poolscope_node;
use super::text::poolscope_text;
use poolscope::explain::Inventory;

/// Services and their endpoints, loaded from whole bodies, to be explained. For one thread at a
/// time.
pub struct poolscope_inventory(Exclusive<Inventory>);

/// Creates an empty inventory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_inventory_new(
    inventory: *mut *mut poolscope_inventory,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            slot(inventory, ptr::null_mut(), "inventory")?
                .put(poolscope_inventory(Exclusive::new(Inventory::new())));
            Ok(())
        })
    }
}

/// Adds the objects of a whole body: a list or a single object, JSON or protobuf, of Services,
/// EndpointSlices or Endpoints. `*loaded`, if it is not NULL, becomes the number of objects of
/// these kinds. Fails with POOLSCOPE_ERR_MALFORMED and POOLSCOPE_ERR_UNDECODABLE.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_inventory_load(
    inventory: *mut poolscope_inventory,
    body: *const u8,
    body_len: usize,
    loaded: *mut usize,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            let loaded = if loaded.is_null() { None } else { Some(slot(loaded, 0, "loaded")?) };
            let body = bytes(body, body_len, "body")?;
            let count = borrow(inventory, "inventory")?.0.enter()?.load(body)?;
            if let Some(loaded) = loaded {
                loaded.set(count);
            }
            Ok(())
        })
    }
}

/// Every Service as `node` sees it, as JSON: the array that `poolscope explain -o json` prints
/// (docs/cli.md).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_inventory_view(
    inventory: *mut poolscope_inventory,
    node: *const poolscope_node,
    services: *mut *mut poolscope_text,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            let services = slot(services, ptr::null_mut(), "services")?;
            let node = borrow(node, "node")?.0.enter()?;
            services.put(poolscope_text::json(
                &borrow(inventory, "inventory")?.0.enter()?.view(&node),
            )?);
            Ok(())
        })
    }
}

/// One Service as `node` sees it, as JSON: one object of that array; `null` if there are neither it
/// nor endpoints of it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_inventory_find(
    inventory: *mut poolscope_inventory,
    node: *const poolscope_node,
    ns: *const c_char,
    ns_len: usize,
    service: *const c_char,
    service_len: usize,
    found: *mut *mut poolscope_text,
    error: *mut *mut poolscope_error,
) -> poolscope_status {
    // SAFETY: the header's contract.
    unsafe {
        boundary(error, || {
            let found = slot(found, ptr::null_mut(), "found")?;
            let node = borrow(node, "node")?.0.enter()?;
            let (namespace, name) =
                (text(ns, ns_len, "ns")?, text(service, service_len, "service")?);
            found.put(poolscope_text::json(
                &borrow(inventory, "inventory")?.0.enter()?.find(&node, namespace, name),
            )?);
            Ok(())
        })
    }
}

/// Frees an inventory. Does nothing for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poolscope_inventory_free(inventory: *mut poolscope_inventory) {
    // SAFETY: the header's contract.
    unsafe { free(inventory) }
}
