//! Reads JSON bodies: objects with a few known fields, in one pass (wire contract, "Bodies and headers").
//!
//! Field names match in any case. Unknown fields are skipped, the last of several fields with one name counts, `null`
//! means absent, and nothing may follow the value. Values are borrowed from the body unless they have escapes.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// The most ciphertexts of one bulk request.
pub const MAX_BULK: usize = 1000;

/// The values of the wanted fields, in the wanted order.
pub type FieldTexts<'a, const N: usize> = [Option<Cow<'a, str>>; N];

/// The body is not the JSON, or a text not the base64, that the route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadJson;

/// Reads the named fields of an object. A body of `null` means an empty object.
///
/// # Errors
/// The body is anything else, or a named field is not a string.
pub fn object<'a, const N: usize>(body: &'a [u8], names: [&'static str; N]) -> Result<FieldTexts<'a, N>, BadJson> {
    whole(body, Object { names: &names, value: Text, or_null: true })
}

/// Reads the named fields of an object as raw JSON. A field of `null` counts as absent, and a body of `null` is an
/// error.
///
/// # Errors
/// The body is anything else.
pub fn raw_object<'a, const N: usize>(
    body: &'a [u8],
    names: [&'static str; N],
) -> Result<[Option<&'a RawValue>; N], BadJson> {
    whole(body, Object { names: &names, value: RawField, or_null: false })
}

/// Reads the named fields of each object in an array of at most [`MAX_BULK`].
///
/// # Errors
/// The body is anything else, or a named field is not a string.
pub fn objects<'a, const N: usize>(
    body: &'a [u8],
    names: [&'static str; N],
) -> Result<Vec<FieldTexts<'a, N>>, BadJson> {
    whole(body, Objects { names: &names })
}

/// Decodes a base64 field in the standard alphabet with padding. An absent field is empty.
///
/// # Errors
/// The text is in another alphabet, or lacks its padding.
pub fn bytes(field: Option<&Cow<'_, str>>) -> Result<Zeroizing<Vec<u8>>, BadJson> {
    let text = field.map_or("", |text| text.as_ref());
    STANDARD.decode(text).map(Zeroizing::new).map_err(|_| BadJson)
}

/// The text of a field. An empty text counts as absent.
pub fn non_empty<'f>(field: Option<&'f Cow<'_, str>>) -> Option<&'f str> {
    field.map(AsRef::as_ref).filter(|text: &&str| !text.is_empty())
}

fn whole<'a, S: DeserializeSeed<'a>>(body: &'a [u8], shape: S) -> Result<S::Value, BadJson> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value = shape.deserialize(&mut deserializer).map_err(|_| BadJson)?;
    deserializer.end().map_err(|_| BadJson)?;
    Ok(value)
}

/// Reads an object with some wanted fields, which all have the same type.
#[derive(Clone, Copy)]
struct Object<'n, const N: usize, V> {
    names: &'n [&'static str; N],
    value: V,
    /// Whether `null` means an empty object.
    or_null: bool,
}

impl<'de, const N: usize, V, T> DeserializeSeed<'de> for Object<'_, N, V>
where
    V: DeserializeSeed<'de, Value = Option<T>> + Copy,
{
    type Value = [Option<T>; N];

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, const N: usize, V, T> Visitor<'de> for Object<'_, N, V>
where
    V: DeserializeSeed<'de, Value = Option<T>> + Copy,
{
    type Value = [Option<T>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.or_null { "an object or null" } else { "an object" })
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        if self.or_null { Ok([const { None }; N]) } else { Err(E::invalid_type(Unexpected::Unit, &self)) }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = [const { None }; N];
        while let Some(index) = map.next_key_seed(FieldIndex { names: self.names })? {
            match index {
                Some(index) => fields[index] = map.next_value_seed(self.value)?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fields)
    }
}

/// Reads an array of such objects.
struct Objects<'n, const N: usize> {
    names: &'n [&'static str; N],
}

impl<'de, const N: usize> DeserializeSeed<'de> for Objects<'_, N> {
    type Value = Vec<FieldTexts<'de, N>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Objects<'_, N> {
    type Value = Vec<FieldTexts<'de, N>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of at most {MAX_BULK} objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(fields) = items.next_element_seed(Object { names: self.names, value: Text, or_null: true })? {
            if all.len() == MAX_BULK {
                return Err(A::Error::invalid_length(MAX_BULK + 1, &self));
            }
            all.push(fields);
        }
        Ok(all)
    }
}

/// Reads a field name, as its index among the wanted names.
struct FieldIndex<'n, const N: usize> {
    names: &'n [&'static str; N],
}

impl<'de, const N: usize> DeserializeSeed<'de> for FieldIndex<'_, N> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        // As bytes, because a name that is not Unicode is an unknown field and not an error.
        deserializer.deserialize_bytes(self)
    }
}

impl<const N: usize> Visitor<'_> for FieldIndex<'_, N> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<Self::Value, E> {
        Ok(self.names.iter().position(|known| known.as_bytes().eq_ignore_ascii_case(name)))
    }
}

/// Reads a string, or `null`.
#[derive(Clone, Copy)]
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or null")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Reads any value as raw JSON. `null` is `None`.
#[derive(Clone, Copy)]
struct RawField;

impl<'de> DeserializeSeed<'de> for RawField {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let value = <&RawValue>::deserialize(deserializer)?;
        Ok(Some(value).filter(|value| value.get() != "null"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Vec<Option<String>>, BadJson> {
        let fields = object(body.as_bytes(), ["context", "version"])?;
        Ok(fields.into_iter().map(|field| field.map(Cow::into_owned)).collect())
    }

    #[test]
    fn fields_are_found_in_any_case_and_the_last_of_doubles_counts() {
        let some = |text: &str| Some(text.to_owned());
        for (body, context, version) in [
            ("{}", None, None),
            ("null", None, None),
            (" {\"context\" : \"eA==\"}\n", some("eA=="), None),
            (r#"{"CONTEXT":"a","Version":"v1"}"#, some("a"), some("v1")),
            (r#"{"context":"a","context":"b"}"#, some("b"), None),
            (r#"{"context":"a","context":null}"#, None, None),
            (r#"{"context":null,"unknown":{"a":[1,{}]},"more":"x"}"#, None, None),
            (r#"{"\u0063ontext":"a\/b\u003d"}"#, some("a/b="), None),
            (r#"{"x\ud800":1,"context":"a"}"#, some("a"), None),
        ] {
            assert_eq!(read(body), Ok(vec![context, version]), "{body}");
        }
    }

    #[test]
    fn anything_but_one_object_is_refused() {
        let deep = "[".repeat(100_000);
        for body in [
            "",
            " ",
            "[]",
            "garbage",
            "{",
            r#"{"a":"#,
            "{}{}",
            "{} x",
            "1",
            "true",
            "\"x\"",
            "nul",
            "null null",
            r#"{"context":5}"#,
            r#"{"context":[]}"#,
            r#"{"context":{}}"#,
            r#"{"context":"a""#,
            "{\"context\":\"\n\"}",
            r#"{"context":"\ud800"}"#,
            deep.as_str(),
        ] {
            assert_eq!(read(body), Err(BadJson), "{}", &body[..body.len().min(40)]);
        }
        assert_eq!(object(b"{\"context\":\"\xff\"}", ["context"]), Err(BadJson));
        assert_eq!(object(b"{\"\xff\":\"\xff\"}", ["context"]), Ok([None]), "an unknown field may have any name");
        let unknown_and_deep = format!("{{\"x\":{deep}");
        assert_eq!(read(&unknown_and_deep), Err(BadJson));
    }

    #[test]
    fn a_bulk_is_an_array_of_at_most_a_thousand_objects() {
        let read = |body: &str| objects(body.as_bytes(), ["ciphertext"]).map(|all| all.len());
        assert_eq!(read("[]"), Ok(0));
        assert_eq!(read(r#"[{"ciphertext":"a"},{},null]"#), Ok(3));
        for bad in ["null", "{}", "", "[1]", "[[]]", "[{}", "[{}] x", r#"[{"ciphertext":1}]"#] {
            assert_eq!(read(bad), Err(BadJson), "{bad}");
        }
        let many = |n| format!("[{}]", vec!["{}"; n].join(","));
        assert_eq!(read(&many(1000)), Ok(1000));
        assert_eq!(read(&many(1001)), Err(BadJson));
    }

    #[test]
    fn base64_is_the_standard_alphabet_with_padding() {
        let bytes = |text: &'static str| bytes(Some(&Cow::Borrowed(text))).map(|bytes| bytes.to_vec());
        assert_eq!(bytes("QQ=="), Ok(b"A".to_vec()));
        assert_eq!(bytes(""), Ok(Vec::new()));
        assert_eq!(bytes("+/+/"), Ok(vec![0xfb, 0xff, 0xbf]));
        for bad in ["QQ", "QQ=", "-_-_", "!", "QQ==\n", " QQ==", "QUFB="] {
            assert_eq!(bytes(bad), Err(BadJson), "{bad}");
        }
        assert!(super::bytes(None).unwrap().is_empty());
    }
}
