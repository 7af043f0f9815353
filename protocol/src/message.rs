//! The declaration of messages: `message!` reads like Kafka's schema and makes struct, encoding and decoding of it.
//!
//! ```text
//! message! {
//!     /// What the message is for.
//!     pub struct ThingRequest<'a> [1..=7, flexible 5..] {          versions, and those with compact lengths and tags
//!         /// What the field says.
//!         name: &'a str [0..=3],                                   the versions that have the field
//!         rack: Option<&'a str> [1.., null 2..],                   those at which it may be null
//!         epoch: i32 [4..] = -1,                                   Kafka's default, for versions without the field
//!         parts: Vec<ThingPart> [0..],
//!         leader: Leader [6.., tag 0],                             a tagged field: only sent if not the default
//!     }
//!
//!     /// Structs inside have no versions of their own.
//!     pub struct ThingPart { .. }
//! }
//! ```
//!
//! One type serves both directions: it borrows strings from the frame (or from whoever sends it) and shares byte
//! strings with it. Whoever keeps something copies it out. A field that a version lacks decodes as its default and is
//! skipped on encoding.

use std::ops::RangeInclusive;

use crate::api::ApiKey;
use crate::error::DecodeError;
use crate::wire::{Decoder, Encoder, Version};

/// A message as a whole: a request, a response, or a versioned record.
pub trait Message<'a>: Sized {
    /// The versions that can be encoded and decoded.
    const VERSIONS: RangeInclusive<i16>;
    /// The first version with compact lengths and tagged fields; `i16::MAX` if there is none.
    const FIRST_FLEXIBLE_VERSION: i16;

    /// Writes the message. The caller has negotiated `version`; it lies in [`Message::VERSIONS`].
    fn encode(&self, out: &mut Encoder, version: i16);

    /// Reads the message; bytes behind it are left.
    fn decode(from: &mut Decoder<'a>, version: i16) -> Result<Self, DecodeError>;
}

/// A request: it has an API key, and a response of one type.
pub trait Request<'a>: Message<'a> {
    /// Which API it calls.
    const KEY: ApiKey;
    /// What answers it.
    type Response<'r>: Message<'r> + std::fmt::Debug;
}

/// The version of a message with what follows from it.
#[inline]
pub(crate) fn version_of<'a, M: Message<'a>>(number: i16) -> Version {
    Version { number, flexible: number >= M::FIRST_FLEXIBLE_VERSION }
}

macro_rules! message {
    // The door: one or more structs, those that are whole messages with their versions.
    ($(
        $(#[$meta:meta])*
        pub struct $name:ident $(<$life:lifetime>)? $([$($whole:tt)*])? { $($fields:tt)* }
    )+) => { $(
        message! { @borrowing $(<$life>)? $(#[$meta])* $name [$($($whole)*)?] { $($fields)* } }
    )+ };

    // A struct that borrows, and one that does not: the traits have a lifetime either way.
    (@borrowing <$life:lifetime> $(#[$meta:meta])* $name:ident $whole:tt $fields:tt) => {
        message! { @struct [$life] [$name<$life>] [<$life>] $(#[$meta])* $name $fields }
        message! { @whole [$life] [$name<$life>] $whole }
    };
    (@borrowing $(#[$meta:meta])* $name:ident $whole:tt $fields:tt) => {
        message! { @struct ['frame] [$name] [] $(#[$meta])* $name $fields }
        message! { @whole ['frame] [$name] $whole }
    };

    (@struct [$life:lifetime] [$ty:ty] [$($generics:tt)*] $(#[$meta:meta])* $name:ident {
        $(
            $(#[$field_meta:meta])*
            $field:ident: $field_ty:ty
            [$in:expr $(, null $null:expr)? $(, tag $tag:literal)?]
            $(= $default:expr)?
        ),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name $($generics)* {
            $( $(#[$field_meta])* pub $field: $field_ty, )*
        }

        impl $($generics)* Default for $ty {
            fn default() -> Self {
                $name { $( $field: message!(@default $field_ty, $($default)?), )* }
            }
        }

        impl<$life> $crate::wire::Wire<$life> for $ty {
            #[inline]
            #[allow(unused_variables)]
            fn min_bytes(version: $crate::wire::Version) -> usize {
                usize::from(version.flexible)
                    $( + message!(@min_bytes version, $field_ty, [$in] [$($null)?] [$($tag)?]) )*
            }

            #[allow(unused_variables)]
            fn write(&self, out: &mut $crate::wire::Encoder, version: $crate::wire::Version) {
                $( message!(@write self.$field, out, version, [$in] [$($null)?] [$($tag)?]); )*
                if version.flexible {
                    out.put_uvarint(
                        0 $( + message!(@tag_count self.$field, version, $field_ty, [$in] [$($tag)?] $($default)?) )*,
                    );
                    $( message!(@write_tag self.$field, out, version, $field_ty, [$in] [$($tag)?] $($default)?); )*
                }
            }

            #[allow(unused_mut, unused_variables)]
            fn read(
                from: &mut $crate::wire::Decoder<$life>,
                version: $crate::wire::Version,
            ) -> Result<Self, $crate::error::DecodeError> {
                $(
                    let mut $field: $field_ty =
                        message!(@read from, version, $field_ty, [$in] [$($null)?] [$($tag)?] $($default)?);
                )*
                if version.flexible {
                    from.read_tags(|tag, from| {
                        $( message!(@read_tag $field, tag, from, version, [$in] [$($tag)?]); )*
                        Ok(false)
                    })?;
                }
                Ok($name { $($field),* })
            }
        }

        impl<$life> $crate::wire::Nullable<$life> for $ty {
            #[inline]
            fn null_bytes(_: $crate::wire::Version) -> usize {
                1
            }

            fn write_nullable(
                value: Option<&Self>,
                out: &mut $crate::wire::Encoder,
                version: $crate::wire::Version,
            ) {
                match value {
                    None => out.put_i8(-1),
                    Some(value) => {
                        out.put_i8(1);
                        $crate::wire::Wire::write(value, out, version);
                    }
                }
            }

            fn read_nullable(
                from: &mut $crate::wire::Decoder<$life>,
                version: $crate::wire::Version,
            ) -> Result<Option<Self>, $crate::error::DecodeError> {
                if from.read_i8()? < 0 {
                    return Ok(None);
                }
                $crate::wire::Wire::read(from, version).map(Some)
            }
        }

        #[cfg(any(test, feature = "sample"))]
        impl<$life> $crate::sample::Sample<$life> for $ty {
            #[allow(unused_variables)]
            fn sample(chance: &mut $crate::sample::Chance, version: $crate::wire::Version) -> Self {
                $name { $(
                    $field: message!(@sample chance, version, $field_ty, [$in] [$($null)?] $($default)?),
                )* }
            }
        }
    };

    // A struct that is a message as a whole.
    (@whole [$life:lifetime] [$ty:ty] []) => {};
    (@whole [$life:lifetime] [$ty:ty] [$versions:expr $(, flexible $flexible:expr)?]) => {
        impl<$life> $crate::message::Message<$life> for $ty {
            const VERSIONS: std::ops::RangeInclusive<i16> = $versions;
            const FIRST_FLEXIBLE_VERSION: i16 = message!(@first_flexible $($flexible)?);

            fn encode(&self, out: &mut $crate::wire::Encoder, version: i16) {
                debug_assert!(Self::VERSIONS.contains(&version), "version {version} is not one of this message");
                $crate::wire::Wire::write(self, out, $crate::message::version_of::<Self>(version));
            }

            fn decode(
                from: &mut $crate::wire::Decoder<$life>,
                version: i16,
            ) -> Result<Self, $crate::error::DecodeError> {
                if !Self::VERSIONS.contains(&version) {
                    return Err($crate::error::DecodeError::UnsupportedVersion(version));
                }
                $crate::wire::Wire::read(from, $crate::message::version_of::<Self>(version))
            }
        }
    };

    (@first_flexible) => { i16::MAX };
    (@first_flexible $flexible:expr) => { ($flexible).start };

    (@default $ty:ty,) => { <$ty>::default() };
    (@default $ty:ty, $default:expr) => { $default };

    // Fields with a tag take no part in what follows, those without take no part in the tagged section.
    (@min_bytes $version:ident, $ty:ty, [$in:expr] [$($null:expr)?] [$tag:literal]) => { 0 };
    (@min_bytes $version:ident, $ty:ty, [$in:expr] [] []) => {
        if ($in).contains(&$version.number) { <$ty as $crate::wire::Wire<'_>>::min_bytes($version) } else { 0 }
    };
    (@min_bytes $version:ident, $ty:ty, [$in:expr] [$null:expr] []) => {
        if !($in).contains(&$version.number) {
            0
        } else if ($null).contains(&$version.number) {
            <$ty as $crate::wire::Wire<'_>>::min_bytes($version)
        } else {
            $crate::wire::min_bytes_present(None::<&$ty>, $version)
        }
    };

    (@write $value:expr, $out:ident, $version:ident, [$in:expr] [$($null:expr)?] [$tag:literal]) => {};
    (@write $value:expr, $out:ident, $version:ident, [$in:expr] [] []) => {
        if ($in).contains(&$version.number) {
            $crate::wire::Wire::write(&$value, $out, $version);
        }
    };
    (@write $value:expr, $out:ident, $version:ident, [$in:expr] [$null:expr] []) => {
        if ($in).contains(&$version.number) {
            if ($null).contains(&$version.number) {
                $crate::wire::Wire::write(&$value, $out, $version);
            } else {
                $crate::wire::write_present(&$value, $out, $version);
            }
        }
    };

    (@tag_count $value:expr, $version:ident, $ty:ty, [$in:expr] [] $($default:expr)?) => { 0 };
    (@tag_count $value:expr, $version:ident, $ty:ty, [$in:expr] [$tag:literal] $($default:expr)?) => {
        u32::from(($in).contains(&$version.number) && $value != message!(@default $ty, $($default)?))
    };

    (@write_tag $value:expr, $out:ident, $version:ident, $ty:ty, [$in:expr] [] $($default:expr)?) => {};
    (@write_tag $value:expr, $out:ident, $version:ident, $ty:ty, [$in:expr] [$tag:literal] $($default:expr)?) => {
        if ($in).contains(&$version.number) && $value != message!(@default $ty, $($default)?) {
            $out.put_tagged($tag, |out| $crate::wire::Wire::write(&$value, out, $version));
        }
    };

    (@read $from:ident, $version:ident, $ty:ty, [$in:expr] [$($null:expr)?] [$tag:literal] $($default:expr)?) => {
        message!(@default $ty, $($default)?)
    };
    (@read $from:ident, $version:ident, $ty:ty, [$in:expr] [] [] $($default:expr)?) => {
        if ($in).contains(&$version.number) {
            $crate::wire::Wire::read($from, $version)?
        } else {
            message!(@default $ty, $($default)?)
        }
    };
    (@read $from:ident, $version:ident, $ty:ty, [$in:expr] [$null:expr] [] $($default:expr)?) => {
        if !($in).contains(&$version.number) {
            message!(@default $ty, $($default)?)
        } else if ($null).contains(&$version.number) {
            $crate::wire::Wire::read($from, $version)?
        } else {
            $crate::wire::read_present($from, $version)?
        }
    };

    (@read_tag $field:ident, $tag_read:ident, $from:ident, $version:ident, [$in:expr] []) => {};
    (@read_tag $field:ident, $tag_read:ident, $from:ident, $version:ident, [$in:expr] [$tag:literal]) => {
        if $tag_read == $tag && ($in).contains(&$version.number) {
            $field = $crate::wire::Wire::read($from, $version)?;
            return Ok(true);
        }
    };

    (@sample $chance:ident, $version:ident, $ty:ty, [$in:expr] [] $($default:expr)?) => {
        if ($in).contains(&$version.number) {
            $crate::sample::Sample::sample($chance, $version)
        } else {
            message!(@default $ty, $($default)?)
        }
    };
    (@sample $chance:ident, $version:ident, $ty:ty, [$in:expr] [$null:expr] $($default:expr)?) => {
        if !($in).contains(&$version.number) {
            message!(@default $ty, $($default)?)
        } else if ($null).contains(&$version.number) {
            $crate::sample::Sample::sample($chance, $version)
        } else {
            Some($crate::sample::Sample::sample($chance, $version))
        }
    };
}
pub(crate) use message;
