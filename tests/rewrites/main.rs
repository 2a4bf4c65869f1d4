//! The rewrites beside the one of endpoints, the dialects, and which client gets which rewrite: a
//! test for every row of `docs/openyurt.md` and `docs/dialects.md`, in both encodings.

mod components;
mod dialects;
mod recorded;
mod redirects;
mod services;
mod told;
mod verdicts;
mod world;
