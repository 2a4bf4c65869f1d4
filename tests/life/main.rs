//! The recorded life: 75 seconds of a real cluster, replayed stream by stream into one [`Cluster`]
//! and one client.
//!
//! The recordings of one life are streams of their own, one a kind. Here they are merged again, in
//! the true order and in others that a network makes of it, while a model client follows what it is
//! given and is compared with the naive filter.

mod client;
mod last_state;
mod object;
mod order;
mod replay;
mod steps;
mod stream;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::ops::Range;
use std::sync::OnceLock;

use bytes::BytesMut;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use poolscope::{Action, BodyRewriter, Cluster, Config, FactReader, NodeView, ReplyCause};
use poolscope_testkit::oracle::{Body, Object, State};
use poolscope_testkit::{DATA, NODES, Recording, random_chunks, run, schema};
use prost::Message;
use serde_json::Value;

use client::*;
use object::*;
use order::*;
use replay::*;
use stream::*;
