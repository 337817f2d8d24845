//! Analyses kept between processes, in the ledger, by the target's label and under the fingerprint of the whole key.
//!
//! ```text
//! value:  own fingerprint (16 bytes), the analysis
//! ```

use std::sync::Arc;

use super::Analyzed;
use super::memo::{AnalysisKey, AnalysisMemo};
use crate::codec::{Coded as _, Fingerprint, decoded};
use crate::files::Encoder;
use crate::ledger::SharedLedger;

/// The analyses in a ledger of which all is verified.
pub(crate) struct KeptAnalyses(pub(crate) SharedLedger);

impl AnalysisMemo for KeptAnalyses {
    fn get(&self, label: &str, key: &AnalysisKey) -> Option<Arc<Analyzed>> {
        let ledger = self.0.lock();
        let (_own, analysis) = ledger
            .analysis(label, &key.all)?
            .split_first_chunk::<16>()?;
        decoded(analysis).map(Arc::new)
    }

    fn expects(&self, label: &str, own: &Fingerprint) -> bool {
        let ledger = self.0.lock();
        let kept = ledger.last_analysis(label);
        kept.is_some_and(|kept| kept.first_chunk() == Some(own))
    }

    fn put(&self, label: &str, key: &AnalysisKey, analyzed: &Arc<Analyzed>) {
        let mut out = Encoder::default();
        out.raw(&key.own);
        analyzed.encode(&mut out);
        let value = out.finish();
        self.0.lock().note_analysis(label, key.all, value);
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
        let golden = format!(
            "{}{}",
            "01".repeat(16),
            "0000000000000000000000000000000000020000007b7d"
        );
        assert_eq!(
            ledger.lock().last_analysis("//a").map(hex::encode),
            Some(golden),
            "raise CODEC_VERSION with any change"
        );
    }
}
