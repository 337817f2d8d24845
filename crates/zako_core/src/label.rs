//! Labels: the names of targets, `//pkg:name`.

use std::fmt;

use zako_path::NeutralPath;

/// A target's name in the workspace. A package's default export has the empty name and is written `//pkg`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Label {
    /// The package.
    pub(crate) package: NeutralPath,
    /// The name within it.
    pub(crate) name: String,
}

impl Label {
    /// The label of `name` in `package`.
    pub(crate) fn new(package: NeutralPath, name: impl Into<String>) -> Self {
        Label {
            package,
            name: name.into(),
        }
    }

    /// Reads `//pkg:name` or `//pkg`; with `from`, also `:name`. The error says what is wrong.
    pub(crate) fn parse(text: &str, from: Option<&NeutralPath>) -> Result<Label, String> {
        let (package, name) = match text.split_once(':') {
            Some((_, "")) => return Err(format!("\"{text}\" has no name after the colon")),
            Some((package, name)) => (package, name),
            None => (text, ""),
        };
        if let Some(path) = package.strip_prefix("//") {
            let package =
                NeutralPath::new(path).map_err(|e| format!("\"{text}\" is not a label: {e}"))?;
            return Ok(Label::new(package, name));
        }
        match (package, from) {
            ("", Some(from)) if !name.is_empty() => Ok(Label::new(from.clone(), name)),
            _ => Err(format!(
                "\"{text}\" is not a label; write it as \"//package:name\""
            )),
        }
    }

    /// What files of the target are called after: its name, or its package's last part.
    pub(crate) fn stem(&self) -> &str {
        if self.name.is_empty() {
            self.package.file_name().unwrap_or("root")
        } else {
            &self.name
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "//{}", self.package)?;
        if self.name.is_empty() {
            Ok(())
        } else {
            write!(f, ":{}", self.name)
        }
    }
}
