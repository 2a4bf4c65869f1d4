//! The bodies of the fuzz targets, one module for each entry point that takes bytes.
//!
//! Each function takes any input, and its assertions hold for every input. `fuzz/` calls them.

pub mod facts;
pub mod forms;
pub mod go;
pub mod json;
pub mod keys;
pub mod objects;
pub mod protobuf;
pub mod request;
pub mod route;
pub mod services;
pub mod world;
