//! What is remembered of analysis: a rule's answer is a function of its code, its target's attributes and what its
//! dependencies expose, so it is asked again only when one of those is another.

use std::sync::Arc;

use zako_action::ArtifactValue;

use super::{Analyzed, Target};
use crate::codec::{Coded as _, Fingerprint, encoded, fingerprint, half};
use crate::files::Encoder;

/// What the analysis of a target depends on, as fingerprints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct AnalysisKey {
    /// Over what is the target's own: the rule's code, the label, the configuration, the attributes.
    pub(crate) own: Fingerprint,
    /// Over that and what its dependencies expose.
    pub(crate) all: Fingerprint,
}

impl AnalysisKey {
    /// What is the target's own; `rule` stands for its rule's module, `configuration` for what it is built in.
    pub(crate) fn own(
        rule: &Fingerprint,
        configuration: &Fingerprint,
        target: &Target,
    ) -> Fingerprint {
        let Target {
            label,
            rule: id,
            attrs,
            // Told, or said by the attributes and the rule; what the toolchains are is added by who knows it.
            place: _,
            outputs: _,
            tags: _,
            toolchains: _,
        } = target;
        let mut out = Encoder::default();
        out.raw(rule);
        out.raw(configuration);
        label.package.encode(&mut out);
        label.name.encode(&mut out);
        label.configuration.encode(&mut out);
        id.module.encode(&mut out);
        id.export.encode(&mut out);
        attrs.encode(&mut out);
        fingerprint(out.as_bytes())
    }

    /// The key of a target with that `own` part, whose dependencies are these, in the order of its attributes.
    pub(crate) fn new<'a>(
        own: Fingerprint,
        dependencies: impl Iterator<Item = (&'a str, &'a Analyzed)>,
    ) -> AnalysisKey {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&own);
        for (label, analyzed) in dependencies {
            hasher.update(&(label.len() as u64).to_le_bytes());
            hasher.update(label.as_bytes());
            hasher.update(analyzed.wire.fingerprint());
        }
        AnalysisKey {
            own,
            all: half(&hasher.finalize()),
        }
    }
}

/// The key of a dynamic step: the code of its module, which target uses it, what it is given and what it reads.
pub(super) fn step_key(
    rule: &Fingerprint,
    target: &Target,
    draft: &[u8],
    reads: &[ArtifactValue],
) -> AnalysisKey {
    let own = AnalysisKey::own(rule, &Fingerprint::default(), target);
    let reads: Vec<Vec<u8>> = reads.iter().map(encoded).collect();
    let mut hasher = blake3::Hasher::new();
    for part in [&own[..], draft]
        .into_iter()
        .chain(reads.iter().map(Vec::as_slice))
    {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    AnalysisKey {
        own,
        all: half(&hasher.finalize()),
    }
}

/// Remembers analyses, one a target.
pub(crate) trait AnalysisMemo: Send + Sync {
    /// What analysis made of the target under this key.
    fn get(&self, label: &str, key: &AnalysisKey) -> Option<Arc<Analyzed>>;

    /// Whether something is remembered of the target under a key with this own part: then it is worth to wait for its
    /// dependencies and to ask [`get`](Self::get).
    fn expects(&self, label: &str, own: &Fingerprint) -> bool;

    /// Remembers it, in place of what was remembered of the target.
    fn put(&self, label: &str, key: &AnalysisKey, analyzed: &Arc<Analyzed>);
}
