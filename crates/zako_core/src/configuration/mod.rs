//! Configurations: which value each option has for a target, and where its outputs go because of that.
//!
//! Must never know how options are read from files; it is told which there are.
//!
//! **Invariant:** two configurations of a workspace that differ have different names, and the base has none.

mod naming;
mod scheme;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::codec::{Fingerprint, encoded, fingerprint};
use crate::label::Label;

pub(crate) use naming::is_word;
pub(crate) use scheme::{Declared, Scheme, Unknown};

/// Where zako's own options are: `zako:config#os` and `zako:config#arch`.
pub(crate) const OS: &str = "zako:config#os";
/// The processor.
pub(crate) const ARCH: &str = "zako:config#arch";

/// The values of options, by where each is exported.
pub(crate) type Values = BTreeMap<String, String>;

/// Which value each option has. Cloning shares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Configuration(Arc<Inner>);

#[derive(Debug, PartialEq, Eq)]
struct Inner {
    name: Option<Arc<str>>,
    settings: Values,
    values: Values,
    fingerprint: Fingerprint,
}

impl Configuration {
    fn new(name: Option<Arc<str>>, settings: Values, values: Values) -> Configuration {
        Configuration(Arc::new(Inner {
            fingerprint: fingerprint(&encoded(&values)),
            name,
            settings,
            values,
        }))
    }

    /// What labels and folders call it; `None` for the base.
    pub(crate) fn name(&self) -> Option<&Arc<str>> {
        self.0.name.as_ref()
    }

    /// What differs from the base.
    pub(crate) fn settings(&self) -> &Values {
        &self.0.settings
    }

    /// Every value that is not its option's default, and the platform's [`OS`] and [`ARCH`] in any case.
    pub(crate) fn values(&self) -> &Values {
        &self.0.values
    }

    /// Over [`values`](Self::values).
    pub(crate) fn fingerprint(&self) -> &Fingerprint {
        &self.0.fingerprint
    }
}

/// The configurations of a build, by their names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Configurations(BTreeMap<Option<Arc<str>>, Configuration>);

impl Configurations {
    pub(crate) fn new(all: impl IntoIterator<Item = Configuration>) -> Configurations {
        let named = all.into_iter().map(|one| (one.name().cloned(), one));
        Configurations(named.collect())
    }

    /// The one that the target `label` is built in.
    pub(crate) fn of(&self, label: &Label) -> Option<&Configuration> {
        self.0.get(&label.configuration)
    }

    /// All, the base first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Configuration> {
        self.0.values()
    }
}
