//! The absolute path: a place on this machine.
//!
//! **Invariant:** absolute for this platform, UTF-8, without NUL, `.`, `..`, repeated or trailing
//! separators; in the platform's own form. Normalised by text alone: symlinks are not looked at.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::error::PathError;
use crate::neutral::NeutralPath;

/// An absolute path of this machine, lexically normalised. Cheap to clone, ordered by bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AbsolutePath(Arc<str>);

impl AbsolutePath {
    /// Takes an absolute path and resolves `.`, `..` and repeated separators by text alone. `..` at the
    /// top stays at the top, as it does on disk.
    ///
    /// # Errors
    /// [`PathError::Relative`], [`PathError::NotUtf8`], [`PathError::Nul`].
    ///
    /// ```
    /// # #[cfg(unix)] {
    /// use zako_path::AbsolutePath;
    ///
    /// let tool = AbsolutePath::new("/usr/lib/../bin//cc")?;
    /// assert_eq!(tool.as_str(), "/usr/bin/cc");
    /// assert!(AbsolutePath::new("bin/cc").is_err());
    /// # }
    /// # Ok::<(), zako_path::PathError>(())
    /// ```
    pub fn new(path: impl AsRef<Path>) -> Result<Self, PathError> {
        let path = path.as_ref();
        let text = path
            .to_str()
            .ok_or_else(|| PathError::NotUtf8(path.to_path_buf()))?;
        if text.contains('\0') {
            return Err(PathError::Nul(text.to_owned()));
        }
        if !path.is_absolute() {
            return Err(PathError::Relative(text.to_owned()));
        }
        let mut normal = PathBuf::new();
        for component in path.components() {
            match component {
                Component::CurDir => {}
                // Does nothing at the top.
                Component::ParentDir => drop(normal.pop()),
                part => normal.push(part),
            }
        }
        let normal = normal
            .to_str()
            .ok_or_else(|| PathError::NotUtf8(path.to_path_buf()))?;
        Ok(Self(Arc::from(normal)))
    }

    /// The text, in the platform's form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path as the operating system takes it.
    pub fn as_path(&self) -> &Path {
        Path::new(&*self.0)
    }

    /// The place of `relative` below this folder.
    pub fn join(&self, relative: &NeutralPath) -> Self {
        if relative.is_root() {
            return self.clone();
        }
        let path = relative.to_os_path(self.as_path());
        Self(Arc::from(path.to_string_lossy()))
    }

    /// This path as seen from `root`; `None` when it is not in there, or has a name that a neutral path
    /// does not allow.
    pub fn relative_to(&self, root: &AbsolutePath) -> Option<NeutralPath> {
        let rest = self.as_path().strip_prefix(root.as_path()).ok()?;
        NeutralPath::from_os_path(rest).ok()
    }

    /// The folder that holds this path; `None` at the top.
    pub fn parent(&self) -> Option<Self> {
        self.as_path()
            .parent()
            .and_then(Path::to_str)
            .map(|folder| Self(Arc::from(folder)))
    }

    /// The last component; `None` at the top.
    pub fn file_name(&self) -> Option<&str> {
        self.as_path().file_name().and_then(|name| name.to_str())
    }

    /// Whether `folder` is this path or an ancestor of it, by whole components.
    pub fn starts_with(&self, folder: &AbsolutePath) -> bool {
        self.as_path().starts_with(folder.as_path())
    }
}

impl fmt::Display for AbsolutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for AbsolutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl AsRef<Path> for AbsolutePath {
    fn as_ref(&self) -> &Path {
        self.as_path()
    }
}

impl AsRef<str> for AbsolutePath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}
