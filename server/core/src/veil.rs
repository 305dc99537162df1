//! Hides sensitive values in texts that come from outside.
//!
//! A cluster repeats what it was given: an admission policy quotes the object that it refuses, a
//! controller the parameter that it cannot use. What is known to be sensitive is taken out before such a
//! text becomes part of a record.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    fmt,
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};

use crate::progress::shorten;

/// Stands where something was hidden.
pub const HIDDEN: &str = "[sensitive]";

/// Stands for a text that may not be told at all.
pub const ALL_HIDDEN: &str = "[hidden: the text may repeat a sensitive parameter]";

/// So many characters of a value give it away: systems cut and wrap what they repeat.
pub(crate) const PIECE: usize = 12;

/// Of a value with fewer characters, its place in a text would say too much.
const SHORT: usize = 4;

/// The values of one execution that no text may repeat. Cannot be shown or kept.
#[derive(Clone, Default)]
pub struct Veil(Hides);

#[derive(Clone, Default)]
enum Hides {
    #[default]
    Nothing,
    Values {
        /// The values as systems write them.
        forms: BTreeSet<Vec<char>>,
        /// Values of which nothing of the text may be told.
        short: Vec<String>,
    },
    Everything,
}

/// Says nothing of what is hidden.
impl fmt::Debug for Veil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Veil")
    }
}

impl Veil {
    /// Hides nothing: nothing is sensitive.
    pub const fn none() -> Self {
        Self(Hides::Nothing)
    }

    /// Hides every text: what is sensitive is not known.
    pub const fn everything() -> Self {
        Self(Hides::Everything)
    }

    /// Hides these values, in clear and as systems write them: escaped as in JSON, in base64, in hex.
    /// An empty value hides nothing.
    pub fn over<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let (mut forms, mut short) = (BTreeSet::new(), Vec::new());
        for value in values {
            match value.chars().count() {
                0 => {}
                1..SHORT => short.push(value.to_owned()),
                _ => forms.extend(forms_of(value)),
            }
        }
        if forms.is_empty() && short.is_empty() {
            return Self::none();
        }
        Self(Hides::Values { forms, short })
    }

    /// The text without what it must not tell; borrowed when there is nothing to hide.
    pub fn hide<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let (forms, short) = match &self.0 {
            Hides::Nothing => return Cow::Borrowed(text),
            Hides::Everything if text.is_empty() => return Cow::Borrowed(text),
            Hides::Everything => return Cow::Owned(ALL_HIDDEN.to_owned()),
            Hides::Values { forms, short } => (forms, short),
        };
        if short.iter().any(|value| text.contains(value)) {
            return Cow::Owned(ALL_HIDDEN.to_owned());
        }
        let chars: Vec<char> = text.chars().collect();
        let hidden = covered(&chars, forms);
        if !hidden.contains(&true) {
            return Cow::Borrowed(text);
        }
        let mut told = String::with_capacity(text.len());
        let mut before = false;
        for (c, hidden) in chars.into_iter().zip(hidden) {
            match (hidden, before) {
                (false, _) => told.push(c),
                (true, false) => told.push_str(HIDDEN),
                (true, true) => {}
            }
            before = hidden;
        }
        Cow::Owned(told)
    }

    /// The text without what it must not tell, in at most `limit` bytes. It is hidden before it is cut, so
    /// that no half of a value is left.
    pub fn tell(&self, text: &str, limit: usize) -> String {
        shorten(&self.hide(text), limit)
    }
}

/// Which characters of a text are part of a piece of one of `forms`.
fn covered(text: &[char], forms: &BTreeSet<Vec<char>>) -> Vec<bool> {
    let mut covered = vec![false; text.len()];
    let mut places: HashMap<&[char], Vec<usize>> = HashMap::new();
    for (place, piece) in text.windows(PIECE).enumerate() {
        places.entry(piece).or_default().push(place);
    }
    for form in forms {
        if form.len() < PIECE {
            for (place, piece) in text.windows(form.len()).enumerate() {
                if piece == form.as_slice() {
                    covered[place..place + form.len()].fill(true);
                }
            }
        } else if !places.is_empty() {
            for place in form.windows(PIECE).filter_map(|piece| places.get(piece)).flatten() {
                covered[*place..*place + PIECE].fill(true);
            }
        }
    }
    covered
}

/// How systems write a value of at least [`SHORT`] characters.
fn forms_of(value: &str) -> impl Iterator<Item = Vec<char>> {
    let escaped = serde_json::to_string(value).unwrap_or_default();
    let escaped = escaped.trim_matches('"').to_owned();
    // As Go does it, which also escapes what means something in HTML.
    let by_go = ['<', '>', '&', '\u{2028}', '\u{2029}']
        .into_iter()
        .fold(escaped.clone(), |text, c| text.replace(c, &format!("\\u{:04x}", u32::from(c))));
    let one_line = value.replace(char::is_control, " ");
    let hex = hex::encode(value);
    let mut forms =
        vec![value.trim().to_owned(), one_line, escaped, by_go, hex.to_uppercase(), hex];
    // As part of a longer text that was encoded, it begins at any of the three places in a group, and
    // shares the characters at its ends with others.
    for (before, shared) in [(0, 0), (1, 2), (2, 3)] {
        let code = STANDARD_NO_PAD.encode([&vec![0; before][..], value.as_bytes()].concat());
        let last = code.len() - usize::from(!(before + value.len()).is_multiple_of(3));
        let own = code.get(shared..last).unwrap_or_default();
        forms.extend([own.to_owned(), own.replace('+', "-").replace('/', "_")]);
    }
    forms.push(value.to_owned());
    forms
        .into_iter()
        .map(|form| form.chars().collect())
        .filter(|form: &Vec<char>| form.len() >= SHORT)
}

#[cfg(test)]
mod tests;
