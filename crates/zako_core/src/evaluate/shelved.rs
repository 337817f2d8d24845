//! What a toolchain fetches, as a leaf: where it is on the machine. Asking for it fetches it, so that what is found in it is found
//! after that.

use std::path::Path;
use std::sync::Arc;

use zako_graph::{Ctx, Key};

use super::services;
use crate::fetch::Fetch;
use crate::files::Encoder;

/// Something that is fetched, by its address and what it must be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Shelved(pub(crate) Fetch);

impl Key for Shelved {
    /// Its folder; or why there is none, which is never kept.
    type Value = Result<Arc<str>, String>;
    const LEAF: bool = true;

    async fn compute(&self, ctx: &Ctx) -> Self::Value {
        let services = services(ctx).map_err(|e| e.to_string())?;
        if services.shelf.answer(&self.0).is_none() {
            services.shelf.fill(&self.0, &services.cancel).await;
        }
        let answer = services.shelf.answer(&self.0);
        let answer = answer.unwrap_or_else(|| Err("the evaluation was cancelled".to_owned()));
        match &answer {
            Ok(folder) => ctx.set_witness(shelf_witness(folder)),
            Err(_) => ctx.mark_transient(),
        }
        answer
    }

    fn same(old: &Self::Value, new: &Self::Value) -> bool {
        old == new
    }

    fn describe(&self) -> String {
        format!("what {} is on this machine", self.0.url)
    }
}

fn shelf_witness(folder: &str) -> Vec<u8> {
    let mut out = Encoder::default();
    out.text(folder);
    out.finish()
}

/// Whether the folder that `witness` names is there.
pub(super) fn is_shelved(witness: &[u8]) -> bool {
    let mut body = crate::files::Decoder::new(witness);
    let folder = body.text();
    folder.is_some_and(|folder| Path::new(folder).is_dir()) && body.is_empty()
}
