//! Where in a YAML text a field is: the text is read along the path of the field, and reading is broken off
//! there, for an error knows its place.

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// One part of a path.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Name(String),
    Index(usize),
}

/// Line and column, both from 1, of a field such as `steps[3].depends_on[1]` or `steps[0].env["A"]`; of one
/// that is not there, of what should hold it.
pub(super) fn of(text: &str, field: &str) -> Option<(usize, usize)> {
    let parts = parts(field)?;
    (0..=parts.len()).rev().find_map(|length| {
        let path = parts.get(..length)?;
        let read = Walk(path).deserialize(serde_yaml_ng::Deserializer::from_str(text));
        let error = read.err().filter(|error| error.to_string().contains(HERE))?;
        error.location().map(|at| (at.line(), at.column()))
    })
}

fn parts(field: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = field;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix("[\"") {
            let (name, after) = inner.split_once("\"]")?;
            parts.push(Part::Name(name.to_owned()));
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('[') {
            let (index, after) = inner.split_once(']')?;
            parts.push(Part::Index(index.parse().ok()?));
            rest = after;
        } else {
            let named = rest.strip_prefix('.').unwrap_or(rest);
            let end = named.find(['.', '[']).unwrap_or(named.len());
            let (name, after) = named.split_at(end);
            if name.is_empty() {
                return None;
            }
            parts.push(Part::Name(name.to_owned()));
            rest = after;
        }
    }
    Some(parts)
}

/// Told when the place is found. No text of a file says so.
const HERE: &str = "wfe: this is the place";

/// Follows a path.
struct Walk<'p>(&'p [Part]);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Walk<'_> {
    fn found<E: Error>(&self) -> Result<(), E> {
        if self.0.is_empty() { Err(E::custom(HERE)) } else { Ok(()) }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.found()?;
        while let Some(key) = map.next_key::<String>()? {
            match self.0 {
                [Part::Name(name), rest @ ..] if *name == key => map.next_value_seed(Walk(rest))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.found()?;
        for at in 0.. {
            let next = match self.0 {
                [Part::Index(index), rest @ ..] if *index == at => {
                    items.next_element_seed(Walk(rest))?
                }
                _ => items.next_element::<IgnoredAny>()?.map(|_| ()),
            };
            if next.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.found()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.found()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.found()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.found()
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.found()
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.found()
    }
}
