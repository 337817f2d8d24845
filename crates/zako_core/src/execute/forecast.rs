//! A dry run: what would run, and why.
//!
//! **Invariant:** no action runs. Steps do, when all that they read is there, since without them less could be told.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::growth::{Growing, PlannedStep, Unfolded};
use super::judge::Standing;
use super::{ExecuteSummary, Piece, Workshop};
use crate::report::ActionReason;

impl Workshop {
    /// What would run, as far as that can be told: steps run when all that they read is there.
    pub(super) async fn foresee(
        self: &Arc<Self>,
        growing: Option<Growing<'_>>,
        cancel: &CancellationToken,
    ) -> ExecuteSummary {
        let Some(growing) = growing else {
            return self.forecast(&[]);
        };
        let mut steps = growing.steps;
        let is_ready = |step: &PlannedStep| {
            let makers = step.makers.iter();
            makers
                .clone()
                .all(|maker| self.piece(*maker).standing.holds())
        };
        while let Some(at) = steps.iter().position(is_ready) {
            if cancel.is_cancelled() {
                break;
            }
            let step = steps.remove(at);
            let Unfolded {
                batch,
                told,
                is_good: _,
                _adding,
            } = growing.unfolding.run(step.number, &self.files).await;
            self.remark(told).await;
            steps.extend(batch.steps.iter().cloned());
            // The extension of the plan is for who runs it.
            if let Err(wrong) = self.extend(batch).await {
                for diagnostic in wrong {
                    self.complain(diagnostic).await;
                }
                break;
            }
        }
        self.forecast(&steps)
    }

    /// What a dry run can't tell of a step: `because` of what it waits for.
    fn unknown(step: &PlannedStep, because: Vec<usize>) -> ActionReason {
        ActionReason {
            owner: step.owner.clone(),
            what: format!("whatever a dynamic step of {} declares then", step.owner),
            causes: Vec::new(),
            because,
        }
    }

    /// What would run; of `steps` it is not known what they would come to.
    fn forecast(&self, steps: &[PlannedStep]) -> ExecuteSummary {
        let (pieces, writers) = (self.pieces.read(), self.writers.read());
        let waiting: Vec<usize> = (0..pieces.len())
            .filter(|at| !pieces[*at].standing.holds())
            .collect();
        let because = |needs: &mut dyn Iterator<Item = usize>| {
            let mut because: Vec<usize> = needs
                .filter_map(|needed| waiting.binary_search(&needed).ok())
                .collect();
            because.sort_unstable();
            because.dedup();
            because
        };
        let unknown = steps.iter().map(|step| {
            let because = because(&mut step.makers.iter().copied());
            Workshop::unknown(step, because)
        });
        let would_run = waiting
            .iter()
            .map(|at| {
                let Piece {
                    planned, standing, ..
                } = &*pieces[*at];
                let spec = &planned.spec;
                let because = because(&mut writers.needs(spec));
                ActionReason {
                    owner: spec.owner.clone(),
                    what: planned.subject(),
                    causes: match standing {
                        Standing::Holds(_) => Vec::new(),
                        Standing::Unknown(causes) | Standing::Affected(_, causes) => causes.clone(),
                    },
                    because,
                }
            })
            .chain(unknown)
            .collect();
        ExecuteSummary {
            would_run,
            ..self.summary()
        }
    }
}
