//! The neutral path: relative, and spelled the same on every platform.
//!
//! **Invariant:** the text is UTF-8, `/`-separated, without a leading or trailing slash, without empty,
//! `.` or `..` components, without NUL or backslash, and no component starts with a drive letter (`c:`),
//! so that no part of a path can name a root on any platform. The root is the empty text.
//!
//! A backslash is refused even where the file system allows it in a name: the path would mean
//! something else on Windows. [`NeutralPath::normalize`], which takes what people and tools write, reads it
//! as a separator. What is merely awkward elsewhere (`con`, `what?`, a trailing dot) is allowed and
//! reported by [`NeutralPath::portability_problem`].

use std::borrow::Borrow;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::PathError;
use crate::portability;

/// A path relative to a root that the holder knows, the same on every platform.
///
/// Cheap to clone. Ordered by bytes, so `a-b` comes before `a/b`; equal exactly when the texts are.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NeutralPath(Arc<str>);

static ROOT: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(""));

/// Whether `text` starts as a Windows drive does: `c:`.
fn has_drive(text: &str) -> bool {
    matches!(text.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic())
}

/// What a text may not be in any reading: absolute, or with a NUL.
fn check_kind(text: &str) -> Result<(), PathError> {
    if text.contains('\0') {
        Err(PathError::Nul(text.to_owned()))
    } else if text.starts_with('/') {
        Err(PathError::Absolute(text.to_owned()))
    } else {
        Ok(())
    }
}

fn check_strict(text: &str) -> Result<(), PathError> {
    check_kind(text)?;
    if text.is_empty() {
        return Ok(());
    }
    if text.contains('\\') {
        return Err(PathError::Backslash(text.to_owned()));
    }
    for component in text.split('/') {
        match component {
            "" => return Err(PathError::EmptyComponent(text.to_owned())),
            "." | ".." => return Err(PathError::DotComponent(text.to_owned())),
            name if has_drive(name) => return Err(PathError::Drive(text.to_owned())),
            _ => {}
        }
    }
    Ok(())
}

/// Appends `component` to `folder`, resolving `.`, `..` and the empty one. `whole` is for the error.
fn push_lexically(folder: &mut String, component: &str, whole: &str) -> Result<(), PathError> {
    match component {
        "" | "." => {}
        ".." if folder.is_empty() => return Err(PathError::Escapes(whole.to_owned())),
        ".." => folder.truncate(folder.rfind('/').unwrap_or(0)),
        name if has_drive(name) => return Err(PathError::Drive(whole.to_owned())),
        name => {
            if !folder.is_empty() {
                folder.push('/');
            }
            folder.push_str(name);
        }
    }
    Ok(())
}

impl NeutralPath {
    /// The root: the empty path.
    pub fn root() -> Self {
        Self(ROOT.clone())
    }

    /// Takes `text` as it is; the empty text is the root.
    ///
    /// # Errors
    /// Names what breaks the form; nothing is repaired. See [`normalize`](Self::normalize) for that.
    ///
    /// ```
    /// use zako_path::{NeutralPath, PathError};
    ///
    /// assert!(NeutralPath::new("src/main.c").is_ok());
    /// assert!(matches!(NeutralPath::new("src//main.c"), Err(PathError::EmptyComponent(_))));
    /// assert!(matches!(NeutralPath::new("/etc"), Err(PathError::Absolute(_))));
    /// assert!(matches!(NeutralPath::new("c:/x"), Err(PathError::Drive(_))));
    /// ```
    pub fn new(text: impl AsRef<str>) -> Result<Self, PathError> {
        let text = text.as_ref();
        check_strict(text)?;
        Ok(Self::trusted(text))
    }

    /// For texts that hold the invariant by construction.
    fn trusted(text: &str) -> Self {
        debug_assert_eq!(check_strict(text), Ok(()));
        if text.is_empty() {
            Self::root()
        } else {
            Self(Arc::from(text))
        }
    }

    /// Takes what people and tools write: resolves `.`, `..` and repeated or trailing slashes by text
    /// alone, and reads a backslash as a slash.
    ///
    /// # Errors
    /// [`PathError::Escapes`] when `..` leads above the root; absolute paths, drives and NUL as in
    /// [`new`](Self::new).
    ///
    /// ```
    /// use zako_path::{NeutralPath, PathError};
    ///
    /// assert_eq!(NeutralPath::normalize(r"./a\b//../c/")?.as_str(), "a/c");
    /// assert!(matches!(NeutralPath::normalize("a/../.."), Err(PathError::Escapes(_))));
    /// # Ok::<(), PathError>(())
    /// ```
    pub fn normalize(text: impl AsRef<str>) -> Result<Self, PathError> {
        Self::root().resolve_with(text.as_ref(), &['/', '\\'])
    }

    /// Appends `relative`, which must itself be a valid neutral path.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn join(&self, relative: impl AsRef<str>) -> Result<Self, PathError> {
        let relative = relative.as_ref();
        check_strict(relative)?;
        Ok(self.append(relative))
    }

    /// Appends a path; joining the root, or onto the root, gives the other one.
    pub fn join_path(&self, relative: &NeutralPath) -> Self {
        if self.is_root() {
            relative.clone()
        } else {
            self.append(&relative.0)
        }
    }

    fn append(&self, relative: &str) -> Self {
        if relative.is_empty() {
            return self.clone();
        }
        if self.is_root() {
            return Self::trusted(relative);
        }
        let mut text = String::with_capacity(self.0.len() + 1 + relative.len());
        text.push_str(&self.0);
        text.push('/');
        text.push_str(relative);
        Self::trusted(&text)
    }

    /// What `specifier` means when written in this folder: it may hold `.` and `..`.
    ///
    /// # Errors
    /// [`PathError::Escapes`] when it leads above the root; [`PathError::Backslash`], and absolute paths,
    /// drives and NUL as in [`new`](Self::new).
    ///
    /// ```
    /// use zako_path::NeutralPath;
    ///
    /// let package = NeutralPath::new("libs/net")?;
    /// assert_eq!(package.resolve("./tcp.ts")?.as_str(), "libs/net/tcp.ts");
    /// assert_eq!(package.resolve("../../top.ts")?.as_str(), "top.ts");
    /// assert!(package.resolve("../../../etc").is_err());
    /// # Ok::<(), zako_path::PathError>(())
    /// ```
    pub fn resolve(&self, specifier: &str) -> Result<Self, PathError> {
        if specifier.contains('\\') {
            return Err(PathError::Backslash(specifier.to_owned()));
        }
        self.resolve_with(specifier, &['/'])
    }

    fn resolve_with(&self, text: &str, separators: &[char]) -> Result<Self, PathError> {
        check_kind(text)?;
        if text.starts_with(separators) {
            return Err(PathError::Absolute(text.to_owned()));
        }
        let mut resolved = String::with_capacity(self.0.len() + 1 + text.len());
        resolved.push_str(&self.0);
        for component in text.split(separators) {
            push_lexically(&mut resolved, component, text)?;
        }
        Ok(Self::trusted(&resolved))
    }

    /// The folder that holds this path; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        Some(Self::trusted(
            self.0.rsplit_once('/').map_or("", |(folder, _)| folder),
        ))
    }

    /// The last component; `None` for the root.
    pub fn file_name(&self) -> Option<&str> {
        self.0.rsplit('/').next().filter(|name| !name.is_empty())
    }

    /// The last component without its [`extension`](Self::extension) and the dot before that.
    pub fn file_stem(&self) -> Option<&str> {
        let name = self.file_name()?;
        Some(split_extension(name).map_or(name, |(stem, _)| stem))
    }

    /// What follows the last dot of the last component, as `std::path` has it: none when there is no
    /// dot or only a leading one (`.gitignore`); empty when the dot ends the name.
    pub fn extension(&self) -> Option<&str> {
        split_extension(self.file_name()?).map(|(_, extension)| extension)
    }

    /// Replaces the extension, or adds one; an empty `extension` takes it away with its dot.
    ///
    /// # Errors
    /// [`PathError::NoFileName`] for the root; as [`new`](Self::new) when the result is no valid path,
    /// and [`PathError::SlashInName`].
    ///
    /// ```
    /// use zako_path::NeutralPath;
    ///
    /// let source = NeutralPath::new("src/main.test.c")?;
    /// assert_eq!(source.with_extension("o")?.as_str(), "src/main.test.o");
    /// assert_eq!(source.with_extension("")?.as_str(), "src/main.test");
    /// # Ok::<(), zako_path::PathError>(())
    /// ```
    pub fn with_extension(&self, extension: &str) -> Result<Self, PathError> {
        let (Some(name), Some(stem)) = (self.file_name(), self.file_stem()) else {
            return Err(PathError::NoFileName(extension.to_owned()));
        };
        let folder = &self.0[..self.0.len() - name.len()];
        let dot = if extension.is_empty() { "" } else { "." };
        Self::same_folder(format!("{folder}{stem}{dot}{extension}"), extension)
    }

    /// Adds `suffix` to the last component: `main.c` and `.o` give `main.c.o`.
    ///
    /// # Errors
    /// As [`with_extension`](Self::with_extension).
    pub fn with_appended(&self, suffix: &str) -> Result<Self, PathError> {
        if self.is_root() {
            return Err(PathError::NoFileName(suffix.to_owned()));
        }
        Self::same_folder(format!("{}{suffix}", self.0), suffix)
    }

    fn same_folder(text: String, added: &str) -> Result<Self, PathError> {
        if added.contains('/') {
            Err(PathError::SlashInName(added.to_owned()))
        } else {
            Self::new(text)
        }
    }

    /// The components from the root down; none for the root.
    pub fn components(&self) -> Components<'_> {
        Components {
            rest: (!self.is_root()).then_some(&*self.0),
        }
    }

    /// This path, its parent, and so on; the root comes last.
    ///
    /// ```
    /// use zako_path::NeutralPath;
    ///
    /// let up: Vec<String> = NeutralPath::new("a/b")?.ancestors().map(|p| p.to_string()).collect();
    /// assert_eq!(up, ["a/b", "a", ""]);
    /// # Ok::<(), zako_path::PathError>(())
    /// ```
    pub fn ancestors(&self) -> Ancestors {
        Ancestors {
            next: Some(self.clone()),
        }
    }

    /// Whether `folder` is this path or an ancestor of it; by whole components, so `ab` is not in `a`.
    pub fn starts_with(&self, folder: &NeutralPath) -> bool {
        self.rest_below(folder).is_some()
    }

    /// This path as seen from `folder`; `None` when it is not in there. The path itself gives the root.
    pub fn strip_prefix(&self, folder: &NeutralPath) -> Option<Self> {
        self.rest_below(folder).map(Self::trusted)
    }

    fn rest_below(&self, folder: &NeutralPath) -> Option<&str> {
        if folder.is_root() {
            return Some(&self.0);
        }
        let rest = self.0.strip_prefix(&*folder.0)?;
        if rest.is_empty() {
            Some("")
        } else {
            rest.strip_prefix('/')
        }
    }

    /// Whether this is the root, the empty path.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The text; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This path below `root`, in the form of the operating system. The root path gives `root` itself.
    pub fn to_os_path(&self, root: &Path) -> PathBuf {
        let mut path = root.to_path_buf();
        path.extend(self.components());
        path
    }

    /// Takes a relative path of the operating system, as [`normalize`](Self::normalize) would, except
    /// that a backslash is refused where the system has it as a plain character.
    ///
    /// # Errors
    /// [`PathError::NotUtf8`]; else as [`normalize`](Self::normalize) and [`PathError::Backslash`].
    pub fn from_os_path(relative: &Path) -> Result<Self, PathError> {
        let text = relative
            .to_str()
            .ok_or_else(|| PathError::NotUtf8(relative.to_path_buf()))?;
        check_kind(text)?;
        let mut resolved = String::with_capacity(text.len());
        for component in relative.components() {
            let name = match component {
                Component::CurDir => ".",
                Component::ParentDir => "..",
                Component::Normal(name) => name.to_str().unwrap_or_default(),
                Component::Prefix(_) | Component::RootDir => {
                    return Err(PathError::Absolute(text.to_owned()));
                }
            };
            if name.contains('\\') {
                return Err(PathError::Backslash(text.to_owned()));
            }
            push_lexically(&mut resolved, name, text)?;
        }
        Ok(Self::trusted(&resolved))
    }

    /// Whether a file of this name can exist on every platform.
    pub fn is_portable(&self) -> bool {
        self.portability_problem().is_none()
    }

    /// What keeps a file of this name from existing on Windows, for a message; `None` when nothing does.
    /// Collisions by case concern several paths: compare their [`case_folded`](Self::case_folded) forms.
    ///
    /// ```
    /// use zako_path::NeutralPath;
    ///
    /// assert!(NeutralPath::new("src/main.c")?.is_portable());
    /// let aux = NeutralPath::new("src/aux.c")?;
    /// assert_eq!(aux.portability_problem(), Some("is a device name on Windows"));
    /// # Ok::<(), zako_path::PathError>(())
    /// ```
    pub fn portability_problem(&self) -> Option<&'static str> {
        self.components().find_map(portability::problem)
    }

    /// The text in lower case: two paths with the same one collide on Windows and, by default, on macOS.
    pub fn case_folded(&self) -> String {
        self.0.to_lowercase()
    }
}

/// Splits at the last dot that is not the first character.
fn split_extension(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty())
}

/// The components of a [`NeutralPath`], from the root down.
#[derive(Debug, Clone)]
pub struct Components<'a> {
    rest: Option<&'a str>,
}

impl<'a> Iterator for Components<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest.take()?;
        match rest.split_once('/') {
            Some((first, rest)) => {
                self.rest = Some(rest);
                Some(first)
            }
            None => Some(rest),
        }
    }
}

impl DoubleEndedIterator for Components<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        match rest.rsplit_once('/') {
            Some((rest, last)) => {
                self.rest = Some(rest);
                Some(last)
            }
            None => Some(rest),
        }
    }
}

/// A path and its parents, up to the root.
#[derive(Debug, Clone)]
pub struct Ancestors {
    next: Option<NeutralPath>,
}

impl Iterator for Ancestors {
    type Item = NeutralPath;

    fn next(&mut self) -> Option<NeutralPath> {
        let path = self.next.take()?;
        self.next = path.parent();
        Some(path)
    }
}

impl fmt::Display for NeutralPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for NeutralPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl AsRef<str> for NeutralPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

// Equality, hash and order are those of the text, as `Borrow` asks.
impl Borrow<str> for NeutralPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for NeutralPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::new(text)
    }
}

impl TryFrom<&str> for NeutralPath {
    type Error = PathError;

    fn try_from(text: &str) -> Result<Self, PathError> {
        Self::new(text)
    }
}

impl Serialize for NeutralPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NeutralPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
