//! Analyses kept between processes, in the ledger, by the target's label and the own part of its key, under the fingerprint of the
//! whole key: what a target came to with other attributes stays for those who go back to them.

use std::sync::Arc;

use super::Analyzed;
use super::memo::{AnalysisKey, AnalysisMemo};
use crate::codec::{Fingerprint, decoded, encoded};
use crate::ledger::SharedLedger;

/// The analyses in a ledger of which all is verified.
pub(crate) struct KeptAnalyses(pub(crate) SharedLedger);

impl AnalysisMemo for KeptAnalyses {
    fn get(&self, label: &str, key: &AnalysisKey) -> Option<Arc<Analyzed>> {
        let ledger = self.0.lock();
        let analysis = ledger.analysis(label, &key.own, &key.all)?;
        decoded(analysis).map(Arc::new)
    }

    fn expects(&self, label: &str, own: &Fingerprint) -> bool {
        self.0.lock().has_analysis(label, own)
    }

    fn put(&self, label: &str, key: &AnalysisKey, analyzed: &Arc<Analyzed>) {
        let value = encoded(&**analyzed);
        let mut ledger = self.0.lock();
        ledger.note_analysis(label, &key.own, key.all, value);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeMap;

    use zako_cas::DigestFunction;

    use super::super::Wire;
    use super::*;
    use crate::ledger::Ledger;

    fn analyzed(wire: &str) -> Arc<Analyzed> {
        Arc::new(Analyzed {
            files: vec![],
            outputs: BTreeMap::new(),
            actions: vec![],
            sets: vec![],
            runfiles: None,
            wire: Wire::new(wire.into()),
        })
    }

    #[test]
    fn an_analysis_is_found_under_its_key_only() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let (ledger, notice) =
                Ledger::open(dir.path(), DigestFunction::Blake3, "test").unwrap();
            assert_eq!(notice, None);
            SharedLedger::new(ledger)
        };
        let key = AnalysisKey {
            own: [1; 16],
            all: [2; 16],
        };
        let ledger = open();
        let memo = KeptAnalyses(ledger.clone());
        assert_eq!(memo.get("//a", &key), None);
        memo.put("//a", &key, &analyzed("{}"));
        memo.put("//b", &key, &analyzed("[]"));
        ledger.lock().flush().unwrap();

        let ledger = open();
        let memo = KeptAnalyses(ledger.clone());
        assert_eq!(memo.get("//a", &key), Some(analyzed("{}")));
        assert!(memo.expects("//a", &key.own) && !memo.expects("//a", &key.all));
        let other = AnalysisKey {
            all: [3; 16],
            ..key
        };
        assert_eq!(memo.get("//a", &other), None);
        assert_eq!(memo.get("//c", &key), None);
        // The format: what another version of it wrote must not be read.
        let golden = "0000000000000000000000000000000000020000007b7d".to_owned();
        assert_eq!(
            ledger
                .lock()
                .analysis("//a", &key.own, &key.all)
                .map(hex::encode),
            Some(golden),
            "raise CODEC_VERSION with any change"
        );
    }
}
