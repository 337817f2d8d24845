//! What is kept of a build request: which targets it meant, so that the same request can be answered without a script.
//!
//! ```text
//! key    root (text)  package (text)  tests (u8)  patterns: count (u32), each (text)  options: count (u32), each name and value (text)
//! value  whether it has dynamic steps (u8)  targets: count (u32), each label (text), files: count (u32), each (text), makers: count (u32), each a number in the group of actions (u32)
//!        warnings of its scripts, as `codec::diagnostic` writes them, to the end
//! ```
//!
//! Dependencies are, in groups: the leaves below its packages and rules, its actions, its analyses, the nodes that it asked the
//! graph for.

use std::path::Path;

use zako_path::NeutralPath;

use crate::codec::{decoded, encoded};
use crate::diagnostic::Diagnostic;
use crate::files::{Decoder, Encoder};
use crate::options::BuildOptions;
use crate::report::BuiltTarget;

/// A target of a request, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestedTarget {
    pub(crate) label: String,
    pub(crate) files: Vec<NeutralPath>,
    /// The actions that make what was asked for of it, by their places among the request's actions.
    pub(crate) makers: Vec<u32>,
}

impl RequestedTarget {
    /// The target as a report has it.
    pub(crate) fn built(self, built: bool) -> BuiltTarget {
        BuiltTarget {
            label: self.label,
            files: self.files,
            built,
        }
    }
}

/// The key of a request. How a build goes on after a failure, how far actions are shut off and who waits
/// for it is no part of it.
pub(crate) fn key(root: &Path, patterns: &[String], options: &BuildOptions) -> Vec<u8> {
    let count = |list: usize| u32::try_from(list).unwrap_or(u32::MAX);
    let mut out = Encoder::default();
    // Results that were made without walls hold for this place only.
    out.text(&root.to_string_lossy());
    out.text(&options.package);
    out.u8(u8::from(options.tests));
    out.u32(count(patterns.len()));
    patterns.iter().for_each(|pattern| out.text(pattern));
    out.u32(count(options.config.len()));
    for (name, value) in &options.config {
        out.text(name);
        out.text(value);
    }
    out.finish()
}

/// What a request came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requested {
    /// Whether what is built decides about its actions: it is planned anew when any of them is reached by something.
    pub(crate) is_dynamic: bool,
    pub(crate) targets: Vec<RequestedTarget>,
    /// What its scripts warned of.
    pub(crate) warnings: Vec<Diagnostic>,
}

pub(crate) fn encode(requested: &Requested) -> Vec<u8> {
    let Requested {
        is_dynamic,
        targets,
        warnings,
    } = requested;
    let count = |list: usize| u32::try_from(list).unwrap_or(u32::MAX);
    let mut out = Encoder::default();
    out.u8(u8::from(*is_dynamic));
    out.u32(count(targets.len()));
    for target in targets {
        out.text(&target.label);
        out.u32(count(target.files.len()));
        target.files.iter().for_each(|file| out.text(file.as_str()));
        out.u32(count(target.makers.len()));
        target.makers.iter().for_each(|maker| out.u32(*maker));
    }
    out.raw(&encoded(warnings));
    out.finish()
}

/// What [`encode`] wrote.
pub(crate) fn decode(bytes: &[u8]) -> Option<Requested> {
    let mut body = Decoder::new(bytes);
    let is_dynamic = match body.u8()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let mut targets = Vec::new();
    for _ in 0..body.u32()? {
        let label = body.text()?.to_owned();
        let mut files = Vec::new();
        for _ in 0..body.u32()? {
            files.push(NeutralPath::new(body.text()?).ok()?);
        }
        let mut makers = Vec::new();
        for _ in 0..body.u32()? {
            makers.push(body.u32()?);
        }
        targets.push(RequestedTarget {
            label,
            files,
            makers,
        });
    }
    Some(Requested {
        is_dynamic,
        targets,
        warnings: decoded(body.rest())?,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn requests_are_a_contract() {
        let options = BuildOptions {
            package: "p".to_owned(),
            tests: true,
            config: [("n".to_owned(), "v".to_owned())].into(),
            ..BuildOptions::default()
        };
        let golden = [
            "020000002f77",
            "0100000070",
            "01",
            "01000000040000002f2f2e2e",
            "01000000",
            "010000006e0100000076",
        ];
        let bytes = key(Path::new("/w"), &["//..".to_owned()], &options);
        assert_eq!(
            hex::encode(bytes),
            golden.concat(),
            "raise the ledger's format with any change"
        );
        let targets = vec![RequestedTarget {
            label: "//a:b".to_owned(),
            files: vec![NeutralPath::new("o").unwrap()],
            makers: vec![3],
        }];
        let mut requested = Requested {
            is_dynamic: false,
            targets,
            warnings: Vec::new(),
        };
        let bytes = encode(&requested);
        let golden = [
            "00",
            "01000000",
            "050000002f2f613a62",
            "01000000010000006f",
            "0100000003000000",
            "00000000",
        ];
        assert_eq!(hex::encode(&bytes), golden.concat());
        assert_eq!(decode(&bytes), Some(requested.clone()));
        requested.is_dynamic = true;
        requested.warnings = vec![Diagnostic::user("w")];
        let bytes = encode(&requested);
        assert_eq!(bytes[0], 1);
        assert_eq!(decode(&bytes), Some(requested));
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), None);
        }
    }

    use proptest::prelude::*;

    proptest! {
        /// Whatever is on disk, with whatever checksum: it is read or refused, and nothing is reserved for what it says.
        #[test]
        fn nothing_that_is_read_panics(bytes in any::<Vec<u8>>(), head in 0u32..4) {
            let function = zako_cas::DigestFunction::Blake3;
            let counted = [&head.to_le_bytes()[..], &bytes].concat();
            for bytes in [&bytes, &counted] {
                let _ = decode(bytes);
                let _ = super::super::leaf::decode_value(bytes, function);
                let _ = super::super::Witness::decode(bytes);
                let _ = super::super::Head::owner(bytes);
                let record = [&[0; 41][..], bytes].concat();
                let _ = super::super::ActionRecord::decode(&record, function);
                let _ = super::super::Cause::decode(&mut Decoder::new(bytes));
            }
        }
    }
}
