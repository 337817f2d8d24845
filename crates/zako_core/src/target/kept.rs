//! Analyses kept between processes, in the graph's archive, by the target's label.
//!
//! ```text
//! value:  own fingerprint (16 bytes), whole fingerprint (16 bytes), the analysis
//! ```

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use zako_graph::archive::{Archive, Id, Record};

use super::Analyzed;
use super::memo::{AnalysisKey, AnalysisMemo};
use crate::codec::{Coded as _, Fingerprint, decoded, fingerprint};
use crate::evaluate::kinds::ANALYSIS;
use crate::files::Encoder;

/// The analyses in an archive, which is whole and only read meanwhile, and those that come to them.
pub(crate) struct KeptAnalyses<'a> {
    archive: &'a Archive,
    news: Mutex<News>,
}

/// What is to be written down when the archive may be changed again.
#[derive(Default)]
pub(crate) struct News {
    fresh: HashMap<String, (AnalysisKey, Arc<Analyzed>)>,
    /// Targets whose analyses were found.
    used: BTreeSet<String>,
}

impl<'a> KeptAnalyses<'a> {
    /// What `archive`, of which all is verified, has.
    pub(crate) fn new(archive: &'a Archive) -> KeptAnalyses<'a> {
        KeptAnalyses {
            archive,
            news: Mutex::default(),
        }
    }

    /// What was learned.
    pub(crate) fn finish(self) -> News {
        self.news.into_inner()
    }

    /// The key and the analysis that are kept of the target.
    fn kept(&self, label: &str) -> Option<(AnalysisKey, &'a [u8])> {
        let id = self.archive.find(ANALYSIS, label.as_bytes())?;
        let value = self.archive.value(id);
        let (own, rest) = value.split_first_chunk()?;
        let (all, analysis) = rest.split_first_chunk()?;
        let key = AnalysisKey {
            own: *own,
            all: *all,
        };
        Some((key, analysis))
    }
}

impl AnalysisMemo for KeptAnalyses<'_> {
    fn get(&self, label: &str, key: &AnalysisKey) -> Option<Arc<Analyzed>> {
        let (under, analysis) = self.kept(label)?;
        if under != *key {
            return None;
        }
        let analyzed = decoded(analysis)?;
        self.news.lock().used.insert(label.to_owned());
        Some(Arc::new(analyzed))
    }

    fn expects(&self, label: &str, own: &Fingerprint) -> bool {
        self.kept(label).is_some_and(|(under, _)| under.own == *own)
    }

    fn put(&self, label: &str, key: &AnalysisKey, analyzed: &Arc<Analyzed>) {
        let mut news = self.news.lock();
        news.fresh
            .insert(label.to_owned(), (*key, analyzed.clone()));
    }
}

impl News {
    /// Writes what is new into the archive, as of `revision`; gives the ids of all analyses that were found or made:
    /// whoever compacts keeps those.
    pub(crate) fn keep(self, archive: &mut Archive, revision: u32) -> Vec<Id> {
        let mut ids: Vec<Id> = self
            .used
            .iter()
            .filter_map(|label| archive.find(ANALYSIS, label.as_bytes()))
            .collect();
        let mut fresh: Vec<_> = self.fresh.into_iter().collect();
        // The same bytes every time.
        fresh.sort_by(|a, b| a.0.cmp(&b.0));
        for (label, (key, analyzed)) in fresh {
            let mut out = Encoder::default();
            out.raw(&key.own);
            out.raw(&key.all);
            analyzed.encode(&mut out);
            let value = out.finish();
            let id = archive.intern(ANALYSIS, label.as_bytes());
            let record = Record {
                fingerprint: fingerprint(&value),
                changed_at: revision,
                verified_at: revision,
                value: value.into(),
                ..Record::default()
            };
            archive.put(id, record);
            ids.push(id);
        }
        ids
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Wire;
    use super::*;

    fn analyzed(wire: &str) -> Arc<Analyzed> {
        Arc::new(Analyzed {
            files: vec![],
            outputs: BTreeMap::new(),
            actions: vec![],
            wire: Wire::new(wire.into()),
        })
    }

    #[test]
    fn an_analysis_is_found_under_its_key_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut archive = Archive::empty(dir.path(), "test");
        let key = AnalysisKey {
            own: [1; 16],
            all: [2; 16],
        };
        let memo = KeptAnalyses::new(&archive);
        assert_eq!(memo.get("//a", &key), None);
        memo.put("//a", &key, &analyzed("{}"));
        memo.put("//b", &key, &analyzed("[]"));
        let news = memo.finish();
        assert_eq!(news.keep(&mut archive, 3).len(), 2);
        archive.flush().unwrap();

        let (mut archive, notice) = Archive::open(dir.path(), "test").unwrap();
        assert_eq!(notice, None);
        let memo = KeptAnalyses::new(&archive);
        assert_eq!(memo.get("//a", &key), Some(analyzed("{}")));
        assert!(memo.expects("//a", &key.own) && !memo.expects("//a", &key.all));
        let other = AnalysisKey {
            all: [3; 16],
            ..key
        };
        assert_eq!(memo.get("//a", &other), None);
        assert_eq!(memo.get("//c", &key), None);
        let ids = memo.finish().keep(&mut archive, 4);
        assert_eq!(ids, [archive.find(ANALYSIS, b"//a").unwrap()]);
        // The format: what another version of it wrote must not be read.
        let bytes = archive.value(ids[0]);
        let golden = format!(
            "{}{}{}",
            "01".repeat(16),
            "02".repeat(16),
            "000000000000000000000000020000007b7d"
        );
        assert_eq!(
            hex::encode(bytes),
            golden,
            "raise CODEC_VERSION with any change"
        );
    }
}
