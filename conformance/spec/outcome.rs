//! What a case comes to.

use std::fmt::Display;

use serde_json::Value;

/// Why a case is no pass.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Not {
    /// The runtime does something else than the specification says.
    Right { expected: String, seen: String },
    /// The sentence says nothing about this machine, or about this runtime; the reason.
    Applicable(String),
    /// The runtime refuses what it may refuse; its own message.
    Supported(String),
}

impl Not {
    /// The same without a path that is another one each time.
    pub(crate) fn without(self, path: &str) -> Self {
        let plain = |text: String| text.replace(path, "…");
        match self {
            Self::Right { expected, seen } => Self::Right { expected: plain(expected), seen: plain(seen) },
            Self::Applicable(reason) => Self::Applicable(plain(reason)),
            Self::Supported(message) => Self::Supported(plain(message)),
        }
    }
}

/// What a case returns.
pub(crate) type Verdict<T = ()> = Result<T, Not>;

/// Fails with both texts unless it holds.
pub(crate) fn expect(holds: bool, expected: impl Into<String>, seen: impl Display) -> Verdict {
    if holds { Ok(()) } else { Err(wrong(expected, seen)) }
}

pub(crate) fn wrong(expected: impl Into<String>, seen: impl Display) -> Not {
    Not::Right { expected: expected.into(), seen: seen.to_string() }
}

/// Fails unless the value is the expected one.
pub(crate) fn same(what: &str, seen: &Value, expected: impl Into<Value>) -> Verdict {
    let expected = expected.into();
    expect(*seen == expected, format!("{what} is {expected}"), format!("{what} is {seen}"))
}

/// Ends the case as not applicable, with the reason, unless it holds.
pub(crate) fn applies(holds: bool, reason: impl Into<String>) -> Verdict {
    if holds { Ok(()) } else { Err(Not::Applicable(reason.into())) }
}
