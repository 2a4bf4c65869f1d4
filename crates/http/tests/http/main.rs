//! Laws of bodies, of the layer and of the readers.

mod ends;
mod facts;
mod gzip;
mod laws;
mod layer;
mod lists;
mod readers;
mod refresh;
mod scene;
mod upstream;
mod waiting;
