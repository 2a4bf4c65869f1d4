//! Facts in JSON, read as Go reads them: what is given twice is merged field by field, a null
//! leaves a string or a struct as it was and empties a map or a slice, keys are case-sensitive, and
//! what is wrong with UTF-8 becomes U+FFFD.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, SeqAccess, Visitor};

use crate::hash::HashMap;
use crate::wire::text::without_lone_surrogates;

/// A value that a later one under the same key comes on top of.
pub(super) trait Go: Default {
    fn read<'de, D: Deserializer<'de>>(&mut self, json: D) -> Result<(), D::Error>;
}

/// Reads an object with the few fields that `T` has; `None` if Go would refuse it.
pub(super) fn read_json<T: Go>(object: &[u8]) -> Option<T> {
    let read = |text: &[u8]| {
        let mut value = T::default();
        let mut json = serde_json::Deserializer::from_slice(text);
        value.read(&mut json).and_then(|()| json.end()).ok().map(|()| value)
    };
    match std::str::from_utf8(object) {
        Ok(text) => {
            read(text.as_bytes()).or_else(|| read(without_lone_surrogates(text)?.as_bytes()))
        }
        Err(_) => {
            let text = String::from_utf8_lossy(object);
            read(text.as_bytes()).or_else(|| read(without_lone_surrogates(&text)?.as_bytes()))
        }
    }
}

/// The place that a value is read into.
pub(super) struct Into<'a, T>(pub(super) &'a mut T);

impl<'de, T: Go> DeserializeSeed<'de> for Into<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        self.0.read(json)
    }
}

impl Go for String {
    fn read<'de, D: Deserializer<'de>>(&mut self, json: D) -> Result<(), D::Error> {
        if let Some(text) = Option::deserialize(json)? {
            *self = text;
        }
        Ok(())
    }
}

/// A value of a map: a null is an empty string there.
impl Go for HashMap<String, String> {
    fn read<'de, D: Deserializer<'de>>(&mut self, json: D) -> Result<(), D::Error> {
        match Option::<HashMap<String, Option<String>>>::deserialize(json)? {
            Some(entries) => self
                .extend(entries.into_iter().map(|(key, value)| (key, value.unwrap_or_default()))),
            None => self.clear(),
        }
        Ok(())
    }
}

/// Whether there is a value at all.
impl<T: Go> Go for Option<T> {
    fn read<'de, D: Deserializer<'de>>(&mut self, json: D) -> Result<(), D::Error> {
        struct Given<'a, T>(&'a mut Option<T>);
        impl<'de, T: Go> Visitor<'de> for Given<'_, T> {
            type Value = ();

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a value or null")
            }

            fn visit_none<E>(self) -> Result<(), E> {
                Ok(())
            }

            fn visit_some<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
                self.0.get_or_insert_default().read(json)
            }
        }
        json.deserialize_option(Given(self))
    }
}

/// A later slice takes the place of the one before.
impl<T: Go> Go for Vec<T> {
    fn read<'de, D: Deserializer<'de>>(&mut self, json: D) -> Result<(), D::Error> {
        struct Elements<T>(PhantomData<T>);
        impl<'de, T: Go> Visitor<'de> for Elements<T> {
            type Value = Vec<T>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an array or null")
            }

            fn visit_none<E>(self) -> Result<Vec<T>, E> {
                Ok(Vec::new())
            }

            fn visit_some<D: Deserializer<'de>>(self, json: D) -> Result<Vec<T>, D::Error> {
                json.deserialize_seq(self)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
                let mut all = Vec::new();
                loop {
                    let mut element = T::default();
                    if elements.next_element_seed(Into(&mut element))?.is_none() {
                        return Ok(all);
                    }
                    all.push(element);
                }
            }
        }
        *self = json.deserialize_option(Elements(PhantomData))?;
        Ok(())
    }
}

/// A struct with the fields of a Go struct that matter, by their keys.
macro_rules! go_struct {
    ($name:ident { $($key:literal => $field:ident: $type:ty),+ $(,)? }) => {
        #[derive(Default)]
        struct $name {
            $($field: $type),+
        }

        impl $crate::object::go::Go for $name {
            fn read<'de, D: serde::Deserializer<'de>>(&mut self, json: D) -> Result<(), D::Error> {
                struct Members<'a>(&'a mut $name);
                impl<'de> serde::de::Visitor<'de> for Members<'_> {
                    type Value = ();

                    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        out.write_str("an object or null")
                    }

                    fn visit_unit<E>(self) -> Result<(), E> {
                        Ok(())
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut members: A,
                    ) -> Result<(), A::Error> {
                        while let Some(key) = members.next_key::<String>()? {
                            match key.as_str() {
                                $($key => members.next_value_seed(
                                    $crate::object::go::Into(&mut self.0.$field),
                                )?,)+
                                _ => drop(members.next_value::<serde::de::IgnoredAny>()?),
                            }
                        }
                        Ok(())
                    }
                }
                json.deserialize_any(Members(self))
            }
        }
    };
}
pub(super) use go_struct;

#[cfg(test)]
mod tests {
    use super::*;

    go_struct!(Outer {
        "inner" => inner: Inner,
        "list" => list: Vec<Option<String>>,
        "given" => given: Option<Inner>,
    });
    go_struct!(Inner { "text" => text: String, "map" => map: HashMap<String, String> });

    fn read(text: &str) -> Option<Outer> {
        read_json(text.as_bytes())
    }

    #[test]
    fn what_is_given_twice_is_merged() {
        let outer =
            read(r#"{"inner":{"text":"a","map":{"x":"1","y":"2"}},"z":[{}],"inner":{"map":{"y":"3","z":null}},"inner":null}"#).unwrap();
        assert_eq!(outer.inner.text, "a");
        let mut map: Vec<_> = outer.inner.map.into_iter().collect();
        map.sort();
        assert_eq!(
            map,
            [("x", "1"), ("y", "3"), ("z", "")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
        );
        assert!(outer.given.is_none());
    }

    #[test]
    fn a_null_leaves_strings_and_empties_maps_and_slices() {
        let outer = read(r#"{"inner":{"text":"a","text":null,"map":{"x":"1"},"map":null},"list":["a",null],"given":null}"#).unwrap();
        assert_eq!((outer.inner.text.as_str(), outer.inner.map.len()), ("a", 0));
        assert_eq!(outer.list, [Some("a".to_owned()), None]);
        assert!(read(r#"{"list":["a"],"list":null}"#).unwrap().list.is_empty());
        assert!(read(r#"{"given":{},"given":null}"#).unwrap().given.is_some());
    }

    #[test]
    fn other_types_are_refused_and_other_keys_are_not_looked_at() {
        for text in [
            r#"{"inner":[]}"#,
            r#"{"inner":{"text":1}}"#,
            r#"{"inner":{"map":{"x":1}}}"#,
            r#"{"list":{}}"#,
            "[]",
            "{",
            "{} x",
        ] {
            assert!(read(text).is_none(), "{text}");
        }
        assert_eq!(read(r#"{"Inner":{"text":"a"},"inner":{"TEXT":"b"}}"#).unwrap().inner.text, "");
        let surrogate = |text: &str| {
            read(&format!(r#"{{"inner":{{"text":"{text}"}}}}"#)).map(|outer| outer.inner.text)
        };
        for (text, expected) in [
            (r"a\ud800b", "a\u{fffd}b"),
            (r"\udc00", "\u{fffd}"),
            (r"\uD83D\uDE00 \ud83d\ud83d\ude00", "\u{1f600} \u{fffd}\u{1f600}"),
            (r"\ud800\\udc00", "\u{fffd}\\udc00"),
            (r"\\ud800", "\\ud800"),
            (r"\ud800\u0041\n", "\u{fffd}A\n"),
        ] {
            assert_eq!(surrogate(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!((surrogate(r"\ud800\x"), surrogate(r"\ud80")), (None, None));
        let broken: Outer = read_json(b"{\"inner\":{\"text\":\"\xff\"}}").unwrap();
        assert_eq!(broken.inner.text, "\u{fffd}");
    }
}
