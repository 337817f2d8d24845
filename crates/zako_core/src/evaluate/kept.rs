//! How the nodes of scripts are kept between processes: their keys and values as bytes.
//!
//! What is read again as easily as it is decoded (texts, listings), or is a part of what another node keeps, is kept by
//! its fingerprint only. Errors are not kept, unless a script can have caught them. A file that is evaluated by itself
//! ([`Evaluate`](super::package::Evaluate)) is a question asked once, and no kept node.

use std::sync::Arc;

use zako_graph::archive::Kind;
use zako_graph::{Codecs, Data, Encoded, Kept};
use zako_path::{InternedPath, NeutralPath};
use zako_script::{ModuleKind, Transpiled};

use super::config::ConfigFile;
use super::glob::Globbed;
use super::leaf::{
    ConfigValue, FileThere, HostAnswer, Ignored, Listing, PackageList, PackageModule, Registered,
    SourceText, Variable,
};
use super::machine::{ProgramAnswer, ProgramPath};
use super::module::{ModuleFile, Resolved};
use super::package::{Package, PackageExports, PackageGiven};
use super::readers::node_key;
use super::shelved::Shelved;
use super::toolchain::{Registrations, ToolchainFor, Toolchains};
use super::{Services, kinds};
use crate::codec::{Coded, Fingerprint, PathList, decoded, encoded};
use crate::files::Decoder;
use crate::target::{FileWork, RuleCode, RuleModule};
use crate::workspace::ReadFault;

/// The codecs of all kept nodes of scripts.
pub(crate) fn codecs() -> Codecs {
    Codecs::default()
        .with::<SourceText>()
        .with::<Listing>()
        .with::<FileThere>()
        .with::<ConfigValue>()
        .with::<HostAnswer>()
        .with::<Ignored>()
        .with::<PackageList>()
        .with::<Globbed>()
        .with::<ModuleFile>()
        .with::<Package>()
        .with::<PackageExports>()
        .with::<RuleModule>()
        .with::<RuleCode>()
        .with::<ProgramPath>()
        .with::<ProgramAnswer>()
        .with::<Shelved>()
        .with::<Registered>()
        .with::<Toolchains>()
        .with::<ToolchainFor>()
        .with::<ConfigFile>()
        .with::<Variable>()
        .with::<PackageModule>()
        .with::<PackageGiven>()
        .with::<Registrations>()
}

fn services(data: &Data) -> Option<&Arc<Services>> {
    data.get::<Arc<Services>>().ok()
}

/// Writes a path's text, which is the whole key.
fn path_key(path: InternedPath, data: &Data, out: &mut Vec<u8>) -> bool {
    let Some(path) = services(data).and_then(|services| path.resolve(&services.interner).ok())
    else {
        return false;
    };
    out.extend_from_slice(path.as_str().as_bytes());
    true
}

fn key_path(bytes: &[u8], data: &Data) -> Option<(InternedPath, NeutralPath)> {
    let path = NeutralPath::new(std::str::from_utf8(bytes).ok()?).ok()?;
    let interned = services(data)?.intern(&path).ok()?;
    Some((interned, path))
}

/// Writes a key that is a text.
fn text_key(text: &str, out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(text.as_bytes());
    true
}

fn key_text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

fn put(value: &impl Coded, out: &mut Vec<u8>) {
    out.extend_from_slice(&encoded(value));
}

/// A kept value that is there, or an error that is not kept.
fn put_ok<T: Coded, E>(value: &Result<T, E>, kept: Encoded, out: &mut Vec<u8>) -> Encoded {
    match value {
        Ok(value) => {
            put(value, out);
            kept
        }
        Err(_) => Encoded::Not,
    }
}

impl Kept for SourceText {
    const KIND: Kind = kinds::SOURCE_TEXT;

    fn encode_key(&self, data: &Data, out: &mut Vec<u8>) -> bool {
        path_key(self.0, data, out)
    }

    fn decode_key(bytes: &[u8], data: &Data) -> Option<Self> {
        key_path(bytes, data).map(|(path, _)| SourceText(path))
    }

    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        // That there is none, or none that is text, a script may have caught.
        if let Err(ReadFault::Outside(_) | ReadFault::Failed(_)) = value {
            return Encoded::Not;
        }
        put(value, out);
        Encoded::FingerprintOnly
    }
}

impl Kept for Listing {
    const KIND: Kind = kinds::LISTING;

    fn encode_key(&self, data: &Data, out: &mut Vec<u8>) -> bool {
        path_key(self.0, data, out)
    }

    fn decode_key(bytes: &[u8], data: &Data) -> Option<Self> {
        key_path(bytes, data).map(|(path, _)| Listing(path))
    }

    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        put_ok(value, Encoded::FingerprintOnly, out)
    }
}

impl Kept for FileThere {
    const KIND: Kind = kinds::FILE_THERE;

    fn encode_key(&self, data: &Data, out: &mut Vec<u8>) -> bool {
        path_key(self.0, data, out)
    }

    fn decode_key(bytes: &[u8], data: &Data) -> Option<Self> {
        key_path(bytes, data).map(|(path, _)| FileThere(path))
    }

    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        put(value, out);
        Encoded::Value
    }

    fn decode_value(bytes: &[u8], _: &Data) -> Option<Self::Value> {
        decoded(bytes)
    }
}

impl Kept for ConfigValue {
    const KIND: Kind = kinds::CONFIG_VALUE;

    fn encode_key(&self, _: &Data, out: &mut Vec<u8>) -> bool {
        text_key(&self.0, out)
    }

    fn decode_key(bytes: &[u8], _: &Data) -> Option<Self> {
        key_text(bytes).map(ConfigValue)
    }

    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        put(value, out);
        Encoded::FingerprintOnly
    }
}

impl Kept for Variable {
    const KIND: Kind = kinds::VARIABLE;

    fn encode_key(&self, _: &Data, out: &mut Vec<u8>) -> bool {
        text_key(&self.0, out)
    }

    fn decode_key(bytes: &[u8], _: &Data) -> Option<Self> {
        key_text(bytes).map(Variable)
    }

    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        put(value, out);
        Encoded::FingerprintOnly
    }
}

impl Kept for HostAnswer {
    const KIND: Kind = kinds::HOST_ANSWER;

    fn encode_key(&self, _: &Data, out: &mut Vec<u8>) -> bool {
        put(&self.function, out);
        put(&self.args, out);
        true
    }

    fn decode_key(bytes: &[u8], _: &Data) -> Option<Self> {
        let (function, args) = decoded(bytes)?;
        Some(HostAnswer { function, args })
    }

    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        put(value, out);
        Encoded::FingerprintOnly
    }
}

impl Kept for Ignored {
    const KIND: Kind = kinds::IGNORED;

    fn encode_key(&self, _: &Data, _: &mut Vec<u8>) -> bool {
        true
    }

    fn decode_key(bytes: &[u8], _: &Data) -> Option<Self> {
        bytes.is_empty().then_some(Ignored)
    }

    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        put(&value.to_vec(), out);
        Encoded::FingerprintOnly
    }
}

impl Kept for Registered {
    const KIND: Kind = kinds::REGISTERED;

    fn encode_key(&self, _: &Data, _: &mut Vec<u8>) -> bool {
        true
    }

    fn decode_key(bytes: &[u8], _: &Data) -> Option<Self> {
        bytes.is_empty().then_some(Registered)
    }

    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        put(&value.to_vec(), out);
        Encoded::FingerprintOnly
    }
}

impl Kept for PackageList {
    const KIND: Kind = kinds::PACKAGE_LIST;

    fn encode_key(&self, data: &Data, out: &mut Vec<u8>) -> bool {
        path_key(self.0, data, out)
    }

    fn decode_key(bytes: &[u8], data: &Data) -> Option<Self> {
        key_path(bytes, data).map(|(path, _)| PackageList(path))
    }

    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        let list = value.as_ref().map(|list| PathList(list.to_vec()));
        put_ok(&list, Encoded::Value, out)
    }

    fn decode_value(bytes: &[u8], _: &Data) -> Option<Self::Value> {
        let PathList(list) = decoded(bytes)?;
        Some(Ok(Arc::new(list)))
    }
}

impl Kept for PackageModule {
    const KIND: Kind = kinds::PACKAGE_MODULE;

    fn encode_key(&self, data: &Data, out: &mut Vec<u8>) -> bool {
        path_key(self.0, data, out)
    }

    fn decode_key(bytes: &[u8], data: &Data) -> Option<Self> {
        key_path(bytes, data).map(|(path, _)| PackageModule(path))
    }

    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        put_ok(value, Encoded::Value, out)
    }

    fn decode_value(bytes: &[u8], _: &Data) -> Option<Self::Value> {
        decoded(bytes).map(Ok)
    }
}

impl Kept for Globbed {
    const KIND: Kind = kinds::GLOBBED;

    fn encode_key(&self, data: &Data, out: &mut Vec<u8>) -> bool {
        let Globbed {
            package,
            include,
            exclude,
        } = self;
        let package = services(data).and_then(|services| package.resolve(&services.interner).ok());
        let Some(package) = package else {
            return false;
        };
        put(&package, out);
        put(include, out);
        put(exclude, out);
        true
    }

    fn decode_key(bytes: &[u8], data: &Data) -> Option<Self> {
        let (package, (include, exclude)): (NeutralPath, _) = decoded(bytes)?;
        Some(Globbed {
            package: services(data)?.intern(&package).ok()?,
            include,
            exclude,
        })
    }

    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        put_ok(value, Encoded::FingerprintOnly, out)
    }
}

impl Kept for ModuleFile {
    const KIND: Kind = kinds::MODULE_FILE;

    fn encode_key(&self, data: &Data, out: &mut Vec<u8>) -> bool {
        path_key(self.0, data, out)
    }

    fn decode_key(bytes: &[u8], data: &Data) -> Option<Self> {
        key_path(bytes, data).map(|(path, _)| ModuleFile(path))
    }

    /// The path and the code; what its imports mean follows from those and the builtins, which the producer names.
    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        let Ok(module) = value else {
            return Encoded::Not;
        };
        put(&module.path, out);
        put(&module.code, out);
        Encoded::Value
    }

    fn decode_value(bytes: &[u8], data: &Data) -> Option<Self::Value> {
        let mut body = Decoder::new(bytes);
        let path = NeutralPath::decode(&mut body)?;
        let code = Transpiled::decode(&mut body)?;
        if !body.is_empty() {
            return None;
        }
        let kind = ModuleKind::of(&path)?;
        let module = Resolved::new(&services(data)?.builtins, path, kind, code).ok()?;
        Some(Ok(Arc::new(module)))
    }
}

impl Kept for Package {
    const KIND: Kind = kinds::PACKAGE;

    fn encode_key(&self, data: &Data, out: &mut Vec<u8>) -> bool {
        path_key(self.0, data, out)
    }

    fn decode_key(bytes: &[u8], data: &Data) -> Option<Self> {
        key_path(bytes, data).map(|(path, text)| Package(path, text.as_str().into()))
    }

    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        put_ok(value, Encoded::Value, out)
    }

    fn decode_value(bytes: &[u8], _: &Data) -> Option<Self::Value> {
        decoded(bytes).map(|package| Ok(Arc::new(package)))
    }
}

impl Kept for PackageGiven {
    const KIND: Kind = kinds::PACKAGE_GIVEN;

    fn encode_key(&self, data: &Data, out: &mut Vec<u8>) -> bool {
        let PackageGiven(package, values) = self;
        let path = services(data).and_then(|services| package.0.resolve(&services.interner).ok());
        let Some(path) = path else {
            return false;
        };
        out.extend_from_slice(&node_key(&path, values));
        true
    }

    fn decode_key(bytes: &[u8], data: &Data) -> Option<Self> {
        let (path, values): (NeutralPath, _) = decoded(bytes)?;
        let package = Package::new(services(data)?, &path).ok()?;
        Some(PackageGiven(package, values))
    }

    fn encode_value(value: &Self::Value, data: &Data, out: &mut Vec<u8>) -> Encoded {
        Package::encode_value(value, data, out)
    }

    fn decode_value(bytes: &[u8], data: &Data) -> Option<Self::Value> {
        Package::decode_value(bytes, data)
    }
}

impl Kept for PackageExports {
    const KIND: Kind = kinds::PACKAGE_EXPORTS;

    fn encode_key(&self, data: &Data, out: &mut Vec<u8>) -> bool {
        self.0.encode_key(data, out)
    }

    fn decode_key(bytes: &[u8], data: &Data) -> Option<Self> {
        Package::decode_key(bytes, data).map(PackageExports)
    }

    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        put_ok(value, Encoded::FingerprintOnly, out)
    }
}

impl Kept for ConfigFile {
    const KIND: Kind = kinds::CONFIG_FILE;

    fn encode_key(&self, data: &Data, out: &mut Vec<u8>) -> bool {
        path_key(self.0, data, out)
    }

    fn decode_key(bytes: &[u8], data: &Data) -> Option<Self> {
        key_path(bytes, data).map(|(path, _)| ConfigFile(path))
    }

    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        put_ok(value, Encoded::Value, out)
    }

    fn decode_value(bytes: &[u8], _: &Data) -> Option<Self::Value> {
        decoded(bytes).map(|config| Ok(Arc::new(config)))
    }
}

impl Kept for RuleModule {
    const KIND: Kind = kinds::RULE_MODULE;

    fn encode_key(&self, data: &Data, out: &mut Vec<u8>) -> bool {
        path_key(self.0, data, out)
    }

    fn decode_key(bytes: &[u8], data: &Data) -> Option<Self> {
        key_path(bytes, data).map(|(path, _)| RuleModule(path))
    }

    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        let modules = value.as_ref().map(|set| crate::target::module_parts(set));
        put_ok(&modules, Encoded::FingerprintOnly, out)
    }
}

impl Kept for RuleCode {
    const KIND: Kind = kinds::RULE_CODE;

    fn encode_key(&self, data: &Data, out: &mut Vec<u8>) -> bool {
        path_key(self.0, data, out)
    }

    fn decode_key(bytes: &[u8], data: &Data) -> Option<Self> {
        key_path(bytes, data).map(|(path, _)| RuleCode(path))
    }

    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        let Ok(fingerprint) = value else {
            return Encoded::Not;
        };
        out.extend_from_slice(fingerprint);
        Encoded::Value
    }

    fn decode_value(bytes: &[u8], _: &Data) -> Option<Self::Value> {
        Fingerprint::try_from(bytes).ok().map(Ok)
    }
}

impl Kept for ProgramPath {
    const KIND: Kind = kinds::PROGRAM_PATH;

    fn encode_key(&self, _: &Data, out: &mut Vec<u8>) -> bool {
        text_key(&self.0, out)
    }

    fn decode_key(bytes: &[u8], _: &Data) -> Option<Self> {
        key_text(bytes).map(ProgramPath)
    }

    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        put(value, out);
        Encoded::FingerprintOnly
    }
}

impl Kept for Shelved {
    const KIND: Kind = kinds::SHELVED;

    fn encode_key(&self, _: &Data, out: &mut Vec<u8>) -> bool {
        put(&FileWork::Fetch(self.0.clone()), out);
        true
    }

    fn decode_key(bytes: &[u8], _: &Data) -> Option<Self> {
        match decoded(bytes)? {
            FileWork::Fetch(fetch) => Some(Shelved(fetch)),
            _ => None,
        }
    }

    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        put_ok(value, Encoded::FingerprintOnly, out)
    }
}

impl Kept for ProgramAnswer {
    const KIND: Kind = kinds::PROGRAM_ANSWER;

    fn encode_key(&self, _: &Data, out: &mut Vec<u8>) -> bool {
        put(&self.0, out);
        true
    }

    fn decode_key(bytes: &[u8], _: &Data) -> Option<Self> {
        decoded(bytes).map(ProgramAnswer)
    }

    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        put_ok(value, Encoded::FingerprintOnly, out)
    }
}

impl Kept for Toolchains {
    const KIND: Kind = kinds::TOOLCHAINS;

    fn encode_key(&self, _: &Data, out: &mut Vec<u8>) -> bool {
        put(&self.module, out);
        put(&self.wanted, out);
        true
    }

    fn decode_key(bytes: &[u8], _: &Data) -> Option<Self> {
        let (module, wanted) = decoded(bytes)?;
        Some(Toolchains { module, wanted })
    }

    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        put_ok(value, Encoded::Value, out)
    }

    fn decode_value(bytes: &[u8], _: &Data) -> Option<Self::Value> {
        decoded(bytes).map(|found| Ok(Arc::new(found)))
    }
}

impl Kept for Registrations {
    const KIND: Kind = kinds::REGISTRATIONS;

    fn encode_key(&self, _: &Data, _: &mut Vec<u8>) -> bool {
        true
    }

    fn decode_key(bytes: &[u8], _: &Data) -> Option<Self> {
        bytes.is_empty().then_some(Registrations)
    }

    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        put_ok(value, Encoded::Value, out)
    }

    fn decode_value(bytes: &[u8], _: &Data) -> Option<Self::Value> {
        decoded(bytes).map(|modules| Ok(Arc::new(modules)))
    }
}

impl Kept for ToolchainFor {
    const KIND: Kind = kinds::TOOLCHAIN_FOR;

    fn encode_key(&self, _: &Data, out: &mut Vec<u8>) -> bool {
        put(&self.wanted, out);
        put(&*self.values, out);
        true
    }

    fn decode_key(bytes: &[u8], _: &Data) -> Option<Self> {
        let (wanted, values) = decoded(bytes)?;
        Some(ToolchainFor {
            wanted,
            values: Arc::new(values),
        })
    }

    fn encode_value(value: &Self::Value, _: &Data, out: &mut Vec<u8>) -> Encoded {
        put_ok(value, Encoded::Value, out)
    }

    fn decode_value(bytes: &[u8], _: &Data) -> Option<Self::Value> {
        decoded(bytes).map(Ok)
    }
}
