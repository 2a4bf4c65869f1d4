//! Protobuf messages for the tests' own decoder, written from the published schemas; independent of
//! the library's walker. Fields that Kubernetes marks as pointers are optional, everything else is
//! always written.

use std::collections::BTreeMap;

#[derive(Clone, PartialEq, prost::Message)]
pub struct Unknown {
    #[prost(message, optional, tag = "1")]
    pub type_meta: Option<TypeMeta>,
    #[prost(bytes = "vec", tag = "2")]
    pub raw: Vec<u8>,
    #[prost(string, tag = "3")]
    pub content_encoding: String,
    #[prost(string, tag = "4")]
    pub content_type: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct TypeMeta {
    #[prost(string, tag = "1")]
    pub api_version: String,
    #[prost(string, tag = "2")]
    pub kind: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct WatchEvent {
    #[prost(string, tag = "1")]
    pub r#type: String,
    #[prost(message, optional, tag = "2")]
    pub object: Option<RawExtension>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct RawExtension {
    #[prost(bytes = "vec", tag = "1")]
    pub raw: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct List {
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<ListMeta>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub items: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ListMeta {
    #[prost(string, tag = "2")]
    pub resource_version: String,
    #[prost(string, tag = "3")]
    pub r#continue: String,
    #[prost(int64, optional, tag = "4")]
    pub remaining_item_count: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ObjectMeta {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub generate_name: String,
    #[prost(string, tag = "3")]
    pub namespace: String,
    #[prost(string, tag = "5")]
    pub uid: String,
    #[prost(string, tag = "6")]
    pub resource_version: String,
    #[prost(int64, tag = "7")]
    pub generation: i64,
    #[prost(bytes = "vec", tag = "8")]
    pub creation_timestamp: Vec<u8>,
    #[prost(btree_map = "string, string", tag = "11")]
    pub labels: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "12")]
    pub annotations: BTreeMap<String, String>,
    #[prost(bytes = "vec", repeated, tag = "13")]
    pub owner_references: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "17")]
    pub managed_fields: Vec<Vec<u8>>,
}

/// Only the type of its spec is read here.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Service {
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<ObjectMeta>,
    #[prost(message, optional, tag = "2")]
    pub spec: Option<ServiceSpec>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ServiceSpec {
    #[prost(string, tag = "4")]
    pub r#type: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct EndpointSlice {
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<ObjectMeta>,
    #[prost(message, repeated, tag = "2")]
    pub endpoints: Vec<Endpoint>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub ports: Vec<Vec<u8>>,
    #[prost(string, tag = "4")]
    pub address_type: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Endpoint {
    #[prost(string, repeated, tag = "1")]
    pub addresses: Vec<String>,
    #[prost(bytes = "vec", tag = "2")]
    pub conditions: Vec<u8>,
    #[prost(string, optional, tag = "3")]
    pub hostname: Option<String>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub target_ref: Option<Vec<u8>>,
    #[prost(btree_map = "string, string", tag = "5")]
    pub topology: BTreeMap<String, String>,
    #[prost(string, optional, tag = "6")]
    pub node_name: Option<String>,
    /// zone (string) in v1, hints (message) in v1beta1.
    #[prost(bytes = "vec", optional, tag = "7")]
    pub seven: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "8")]
    pub hints: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Endpoints {
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<ObjectMeta>,
    #[prost(message, repeated, tag = "2")]
    pub subsets: Vec<EndpointSubset>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct EndpointSubset {
    #[prost(message, repeated, tag = "1")]
    pub addresses: Vec<EndpointAddress>,
    #[prost(message, repeated, tag = "2")]
    pub not_ready_addresses: Vec<EndpointAddress>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub ports: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct EndpointAddress {
    #[prost(string, tag = "1")]
    pub ip: String,
    #[prost(bytes = "vec", optional, tag = "2")]
    pub target_ref: Option<Vec<u8>>,
    #[prost(string, tag = "3")]
    pub hostname: String,
    #[prost(string, optional, tag = "4")]
    pub node_name: Option<String>,
}
