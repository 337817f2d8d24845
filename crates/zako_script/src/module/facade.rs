//! The generated modules that stand in an importer's realm for what runs elsewhere: another package's
//! exports as frozen handles, a script action's body as an opaque one.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::Value as Json;

use super::{CompiledModule, Specifier};
use crate::value::Value;

/// What reads the encoding that values cross between realms in.
const ENCODE: &str = "zako:internal/encode";

/// The module that importers of the package at `specifier` see: each export, revived and frozen.
pub fn package_facade<'a>(
    specifier: Specifier,
    exports: impl IntoIterator<Item = (&'a str, &'a Value)>,
) -> CompiledModule {
    let mut js = format!("import {{ revive }} from \"{ENCODE}\";\n");
    let mut names = String::new();
    for (at, (name, value)) in exports.into_iter().enumerate() {
        let wire = Json::String(value.to_wire());
        let _ = writeln!(js, "const e{at} = revive({wire});");
        let _ = write!(names, "e{at} as {}, ", Json::String(name.to_owned()));
    }
    let _ = writeln!(js, "export {{ {names} }};");
    generated(specifier, js)
}

/// The module that importers of the script at `specifier` see: its default export, a handle.
pub fn script_facade(specifier: Specifier) -> CompiledModule {
    let wire = Json::String(Value::Script(specifier.to_string()).to_wire());
    let js = format!("import {{ revive }} from \"{ENCODE}\";\nexport default revive({wire});\n");
    generated(specifier, js)
}

fn generated(specifier: Specifier, js: String) -> CompiledModule {
    CompiledModule {
        specifier,
        js: js.into(),
        map: "".into(),
        source: "".into(),
        imports: HashMap::from([(ENCODE.to_owned(), Specifier::Builtin(ENCODE.to_owned()))]),
    }
}
