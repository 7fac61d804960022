//! The names of an enum's values: one table for `ALL`, `as_str`, `Display`, `FromStr` and serde.

use std::fmt;

/// A text that names nothing: the error of [`FromStr`](std::str::FromStr) for [`Outcome`](crate::Outcome),
/// [`Initiator`](crate::Initiator), [`Limit`](crate::Limit) and [`Condition`](crate::Condition).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UnknownName {
    /// What it does not name: `"an outcome"`.
    what: &'static str,
}

impl UnknownName {
    pub(crate) const fn of(what: &'static str) -> Self {
        Self { what }
    }
}

impl fmt::Display for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not the name of {}", self.what)
    }
}

impl std::error::Error for UnknownName {}

/// Gives each value of an enum its name.
macro_rules! names {
    ($type:ident, $what:literal: $($variant:ident $name:literal)*) => {
        impl $type {
            /// Every value, in the order of the declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name, as [`Display`](std::fmt::Display) writes it and [`FromStr`](std::str::FromStr) reads it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::names::UnknownName;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                let known = Self::ALL.iter().copied().find(|known| known.as_str() == name);
                known.ok_or($crate::names::UnknownName::of($what))
            }
        }

        #[cfg(feature = "serde")]
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use names;
