//! JSON as Go's decoder reads it: what is written twice is there twice, and what that means depends
//! on the field's type.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A value as it is written. An object has every member, in their order.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Json {
    #[default]
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Json;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
                Ok(Json::Number(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
                Ok(Json::Number(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
                Ok(serde_json::Number::from_f64(value).map_or(Json::Null, Json::Number))
            }

            fn visit_str<E>(self, value: &str) -> Result<Json, E> {
                Ok(Json::Text(value.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json, A::Error> {
                let mut all = Vec::new();
                while let Some(element) = elements.next_element()? {
                    all.push(element);
                }
                Ok(Json::Array(all))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
                let mut all = Vec::new();
                while let Some(member) = members.next_entry()? {
                    all.push(member);
                }
                Ok(Json::Object(all))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// A Go value that a decoder has refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

pub type Read<T> = Result<T, Refused>;

impl Json {
    /// The values of a body, one after the other. Go reads what is wrong with UTF-8 as U+FFFD.
    pub fn values(body: &[u8]) -> Read<Vec<Json>> {
        let text = String::from_utf8_lossy(body);
        serde_json::Deserializer::from_str(&text)
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(|_| Refused)
    }

    pub fn members(&self) -> Read<&[(String, Json)]> {
        match self {
            Json::Object(members) => Ok(members),
            _ => Err(Refused),
        }
    }

    /// A field that is a string: a later null leaves it as it was.
    pub fn text(&self, into: &mut String) -> Read<()> {
        match self {
            Json::Null => Ok(()),
            Json::Text(text) => {
                into.clone_from(text);
                Ok(())
            }
            _ => Err(Refused),
        }
    }

    /// A field that is a pointer to a string: a later null takes it away.
    pub fn pointer(&self) -> Read<Option<String>> {
        match self {
            Json::Null => Ok(None),
            Json::Text(text) => Ok(Some(text.clone())),
            _ => Err(Refused),
        }
    }

    /// A field that is a map of strings: an object comes on top of what is there, a null empties
    /// it.
    pub fn map(&self, into: &mut BTreeMap<String, String>) -> Read<()> {
        if *self == Json::Null {
            into.clear();
            return Ok(());
        }
        for (key, value) in self.members()? {
            into.insert(key.clone(), value.pointer()?.unwrap_or_default());
        }
        Ok(())
    }

    /// The elements of a slice; a null is one without any.
    pub fn elements(&self) -> Read<&[Json]> {
        match self {
            Json::Null => Ok(&[]),
            Json::Array(elements) => Ok(elements),
            _ => Err(Refused),
        }
    }
}

/// The header of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    pub kind: String,
    pub api_version: String,
    pub name: String,
    pub namespace: String,
    pub version: String,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

impl Header {
    pub fn read(object: &Json) -> Read<Header> {
        let mut header = Header::default();
        for (key, value) in object.members()? {
            match key.as_str() {
                "kind" => value.text(&mut header.kind)?,
                "apiVersion" => value.text(&mut header.api_version)?,
                "metadata" if *value != Json::Null => header.metadata(value)?,
                _ => {}
            }
        }
        Ok(header)
    }

    fn metadata(&mut self, metadata: &Json) -> Read<()> {
        for (key, value) in metadata.members()? {
            match key.as_str() {
                "name" => value.text(&mut self.name)?,
                "namespace" => value.text(&mut self.namespace)?,
                "resourceVersion" => value.text(&mut self.version)?,
                "labels" => value.map(&mut self.labels)?,
                "annotations" => value.map(&mut self.annotations)?,
                _ => {}
            }
        }
        Ok(())
    }
}
