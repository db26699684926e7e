//! The values of systemd's properties, and `GVariant`'s text format as far as annotations need it.
//!
//! Source: `GVariant` Text Format, in the manual of `GLib`. The type that a property has is known, so that a text need not say it;
//! where it does (`uint64 5`, `@as []`), it has to be that one.

use crate::error::{Error, Result};

/// A value of a property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `b`
    Bool(bool),
    /// `i`
    I32(i32),
    /// `u`
    U32(u32),
    /// `t`; all ones is systemd's "infinity".
    U64(u64),
    /// `s`
    Text(String),
    /// `as`
    Texts(Vec<String>),
    /// `ay`
    Bytes(Vec<u8>),
    /// `a(ss)`
    Pairs(Vec<(String, String)>),
    /// `a(st)`
    Weights(Vec<(String, u64)>),
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::U64(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Vec<(String, String)>> for Value {
    fn from(value: Vec<(String, String)>) -> Self {
        Self::Pairs(value)
    }
}

/// The type of a property that an annotation may set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `b`
    Bool,
    /// `i`
    I32,
    /// `u`
    U32,
    /// `t`
    U64,
    /// `s`
    Text,
    /// `as`
    Texts,
    /// `ay`
    Bytes,
}

impl Kind {
    fn signature(self) -> &'static str {
        match self {
            Self::Bool => "b",
            Self::I32 => "i",
            Self::U32 => "u",
            Self::U64 => "t",
            Self::Text => "s",
            Self::Texts => "as",
            Self::Bytes => "ay",
        }
    }
}

/// The words for basic types, and their signatures.
const KEYWORDS: [(&str, &str); 10] = [
    ("boolean", "b"),
    ("byte", "y"),
    ("int16", "n"),
    ("uint16", "q"),
    ("int32", "i"),
    ("uint32", "u"),
    ("int64", "x"),
    ("uint64", "t"),
    ("double", "d"),
    ("string", "s"),
];

/// Reads a value of this type.
pub(super) fn parse(text: &str, kind: Kind) -> Result<Value> {
    let mut rest = Text(text.trim());
    let value = rest.value(kind)?;
    rest.end()?;
    Ok(value)
}

/// Reads a number of seconds, whole or not, of whatever type, as microseconds.
pub(super) fn parse_seconds(text: &str) -> Result<Value> {
    let mut rest = Text(text.trim());
    let named = rest.type_name();
    let word = rest.word();
    rest.end()?;
    let micros = if word.contains('.') || named == Some("d") {
        let seconds = word.parse::<f64>().ok().and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok());
        seconds.and_then(|seconds| u64::try_from(seconds.as_micros()).ok())
    } else {
        integer(word).and_then(|seconds| u64::try_from(seconds).ok()).and_then(|seconds| seconds.checked_mul(1_000_000))
    };
    micros.map(Value::U64).ok_or_else(|| Error::new(format!("{text:?} is no number of seconds")))
}

fn integer(word: &str) -> Option<i128> {
    let (sign, digits) = word.strip_prefix('-').map_or((1, word.strip_prefix('+').unwrap_or(word)), |rest| (-1, rest));
    if !digits.starts_with(|c: char| c.is_ascii_digit()) || !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let value = match digits.strip_prefix("0x") {
        Some(hex) => i128::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    value.ok().map(|value| sign * value)
}

/// What is left to read.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    fn value(&mut self, kind: Kind) -> Result<Value> {
        if let Some(named) = self.type_name()
            && named != kind.signature()
        {
            return Err(Error::new(format!("has the type {named:?} where the property has {:?}", kind.signature())));
        }
        Ok(match kind {
            Kind::Bool => Value::Bool(self.bool()?),
            Kind::I32 => Value::I32(self.number()?),
            Kind::U32 => Value::U32(self.number()?),
            Kind::U64 => Value::U64(self.number()?),
            Kind::Text => Value::Text(self.string()?),
            Kind::Texts => Value::Texts(self.list("s", Self::string)?),
            Kind::Bytes => Value::Bytes(self.list("y", Self::number)?),
        })
    }

    /// The signature that the text names before the value, if it does.
    fn type_name(&mut self) -> Option<&'a str> {
        let (word, rest) = self.0.split_once(char::is_whitespace)?;
        let named = match word.strip_prefix('@') {
            Some(signature) => signature,
            None => KEYWORDS.iter().find(|(keyword, _)| *keyword == word)?.1,
        };
        self.0 = rest.trim_start();
        Some(named)
    }

    fn word(&mut self) -> &'a str {
        let end = self.0.find(|c: char| c.is_whitespace() || ",]".contains(c)).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest.trim_start();
        word
    }

    fn bool(&mut self) -> Result<bool> {
        match self.word() {
            "true" => Ok(true),
            "false" => Ok(false),
            word => Err(Error::new(format!("{word:?} is neither true nor false"))),
        }
    }

    fn number<T: TryFrom<i128>>(&mut self) -> Result<T> {
        let word = self.word();
        let value = integer(word).and_then(|value| T::try_from(value).ok());
        value.ok_or_else(|| Error::new(format!("{word:?} is no number of the property's type")))
    }

    fn string(&mut self) -> Result<String> {
        let unended = || Error::new(format!("{} is no string in quotation marks", self.0));
        let mut chars = self.0.char_indices();
        let quote = chars.next().map(|(_, quote)| quote).filter(|quote| "'\"".contains(*quote)).ok_or_else(unended)?;
        let mut value = String::new();
        while let Some((at, next)) = chars.next() {
            match next {
                _ if next == quote => {
                    self.0 = self.0[at + 1..].trim_start();
                    return Ok(value);
                }
                '\\' => value.push(match chars.next() {
                    Some((_, 'n')) => '\n',
                    Some((_, 't')) => '\t',
                    Some((_, same @ ('\\' | '\'' | '"'))) => same,
                    _ => return Err(Error::new("has an escape other than \\n, \\t, \\\\, \\' and \\\"")),
                }),
                '\0' => return Err(Error::new("has a NUL byte in a string")),
                other => value.push(other),
            }
        }
        Err(unended())
    }

    fn list<T>(&mut self, element: &str, mut read: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let no_list = || Error::new("is no list in square brackets");
        self.0 = self.0.strip_prefix('[').ok_or_else(no_list)?.trim_start();
        let mut values = Vec::new();
        while !self.0.starts_with(']') {
            if self.type_name().is_some_and(|named| named != element) {
                return Err(Error::new(format!("has elements of another type than {element:?}")));
            }
            values.push(read(self)?);
            match self.0.strip_prefix(',') {
                Some(rest) => self.0 = rest.trim_start(),
                None if self.0.starts_with(']') => (),
                None => return Err(no_list()),
            }
        }
        self.0 = self.0[1..].trim_start();
        Ok(values)
    }

    fn end(&self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::new(format!("{:?} follows the value", self.0))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_glib_reads_them() {
        let texts = |all: &[&str]| Value::Texts(all.iter().map(ToString::to_string).collect());
        for (text, kind, value) in [
            ("5", Kind::I32, Value::I32(5)),
            (" int32 -5 ", Kind::I32, Value::I32(-5)),
            ("@i +5", Kind::I32, Value::I32(5)),
            ("0xff", Kind::U32, Value::U32(255)),
            ("18446744073709551615", Kind::U64, Value::U64(u64::MAX)),
            ("false", Kind::Bool, Value::Bool(false)),
            ("boolean true", Kind::Bool, Value::Bool(true)),
            ("'a\\'b'", Kind::Text, Value::Text("a'b".into())),
            ("\"a'b, [c]\"", Kind::Text, Value::Text("a'b, [c]".into())),
            ("string 'ä'", Kind::Text, Value::Text("ä".into())),
            ("@as []", Kind::Texts, texts(&[])),
            ("['a', \"b\"]", Kind::Texts, texts(&["a", "b"])),
            ("[ 'a' , 'b' ]", Kind::Texts, texts(&["a", "b"])),
            ("[byte 1, 0x02]", Kind::Bytes, Value::Bytes(vec![1, 2])),
        ] {
            assert_eq!(parse(text, kind), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_is_no_value_of_the_type_is_refused() {
        for (text, kind) in [
            ("", Kind::I32),
            ("5 6", Kind::I32),
            ("5,", Kind::I32),
            ("0x", Kind::I32),
            ("--5", Kind::I32),
            ("0x-5", Kind::I32),
            ("5.0", Kind::I32),
            ("2147483648", Kind::I32),
            ("int64 5", Kind::I32),
            ("@t 5", Kind::U32),
            ("-1", Kind::U64),
            ("1", Kind::Bool),
            ("a", Kind::Text),
            ("'a", Kind::Text),
            ("'a' 'b'", Kind::Text),
            ("'\\q'", Kind::Text),
            ("'\0'", Kind::Text),
            ("'", Kind::Text),
            ("[", Kind::Texts),
            ("['a' 'b']", Kind::Texts),
            ("['a',,]", Kind::Texts),
            ("[5]", Kind::Texts),
            ("[int32 5]", Kind::Bytes),
            ("[-1]", Kind::Bytes),
        ] {
            assert!(parse(text, kind).is_err(), "{text:?} as {kind:?}: {:?}", parse(text, kind));
        }
    }

    #[test]
    fn seconds_may_have_any_type() {
        for (text, micros) in [("5", 5_000_000), ("uint32 5", 5_000_000), ("0.25", 250_000), ("double 2", 2_000_000)] {
            assert_eq!(parse_seconds(text), Ok(Value::U64(micros)), "{text}");
        }
        for text in ["", "-1", "-0.5", "x", "nan", "1e400", "18446744073709551615", "5 s"] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
    }
}
