//! Thin stand-in until the real crate is merged.
#![expect(missing_docs, reason = "stand-in, replaced by a merge")]

use std::fmt;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a neutral path")]
pub struct PathError(String);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NeutralPath(std::sync::Arc<str>);

impl NeutralPath {
    pub fn new(path: impl AsRef<str>) -> Result<Self, PathError> {
        let p = path.as_ref();
        if p.contains('\0') || p.contains('\\') || p.split('/').any(|c| matches!(c, "" | "." | "..")) {
            return Err(PathError(p.to_owned()));
        }
        Ok(Self(p.into()))
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
    pub fn join(&self, other: &str) -> Result<Self, PathError> {
        Self::new(format!("{}/{other}", self.0))
    }
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(p, _)| Self(p.into()))
    }
    pub fn file_name(&self) -> Option<&str> {
        self.0.rsplit('/').next()
    }
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
    pub fn to_os_path(&self, root: &Path) -> PathBuf {
        root.join(&*self.0)
    }
}
impl fmt::Display for NeutralPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for NeutralPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
impl TryFrom<String> for NeutralPath {
    type Error = PathError;
    fn try_from(s: String) -> Result<Self, PathError> {
        Self::new(s)
    }
}
impl From<NeutralPath> for String {
    fn from(p: NeutralPath) -> String {
        p.0.as_ref().to_owned()
    }
}
