//! The JSON Schema of a configuration file, for editors.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::Sourced;
use super::written::{Fleet, Listen, ServerBlock};

/// Declares what a file may write for a value that our own types say in another way.
macro_rules! forms {
    ($($(#[$doc:meta])* $name:ident = $schema:tt;)*) => {$(
        $(#[$doc])*
        pub(super) struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

forms! {
    /// A length of time.
    Length = {
        "type": ["string", "integer"],
        "minimum": 0,
        "pattern": "^([0-9]+|([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$"
    };
    /// An amount of bytes.
    Amount = {
        "type": ["string", "integer"],
        "minimum": 1,
        "pattern": "^ *[0-9]+(\\.[0-9]+)? *([KMGTkmgt]?[Ii]?[Bb])? *$"
    };
    /// A port.
    NumberOfPort = {
        "type": ["integer", "string"],
        "minimum": 1,
        "maximum": 65535,
        "pattern": "^[0-9]+$"
    };
    /// The numbers of GPUs.
    GpuNumbers = {
        "type": "array",
        "items": { "type": ["integer", "string"], "minimum": 0, "maximum": 1023, "pattern": "^[0-9]+$" }
    };
    /// One value of an environment.
    Scalar = { "type": ["string", "number", "boolean", "null"] };
    /// One text, or several.
    OneOrMore = { "type": ["string", "array"], "items": { "type": ["string", "number"] } };
    /// A command: words, or one line.
    Words = { "type": ["string", "array"], "items": { "type": ["string", "number"] } };
    /// An engine's arguments.
    Arguments = { "type": ["array", "object"] };
}

/// A file of one server.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "read by the macro alone")]
struct Single {
    /// How this program itself is reached
    listen: Option<Listen>,
    /// The place of the key that every client is asked for: `env:NAME` or `file:PATH`
    access_key: Option<Sourced<String>>,
    #[schemars(flatten)]
    server: ServerBlock,
}

/// A configuration file of llm-proxy: one server, or a fleet.
#[derive(JsonSchema)]
#[schemars(untagged, title = "llm-proxy")]
#[expect(dead_code, clippy::large_enum_variant, reason = "read by the macro alone")]
enum File {
    /// One server
    Single(Single),
    /// Several models
    Fleet(Fleet),
}

/// The schema, in JSON.
#[must_use]
pub fn schema() -> Schema {
    SchemaSettings::draft07().into_generator().into_root_schema_for::<File>()
}
