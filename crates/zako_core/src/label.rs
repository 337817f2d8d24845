//! Labels: the names of targets, `//pkg:name`; built in another configuration than the base, `//pkg:name @release`.

use std::fmt;
use std::sync::Arc;

use zako_path::NeutralPath;

/// A target's name in the workspace. A package's default export has the empty name and is written `//pkg`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Label {
    /// The package.
    pub(crate) package: NeutralPath,
    /// The name within it.
    pub(crate) name: String,
    /// The name of the configuration that it is built in; `None` for the base, and for what was not asked for yet.
    pub(crate) configuration: Option<Arc<str>>,
}

/// What stands between a label and its configuration: no label that a person writes has it.
pub(crate) const IN: &str = " @";

/// What stands for the target `label` in the configuration of that name.
pub(crate) fn configured(label: &str, configuration: Option<&Arc<str>>) -> String {
    match configuration {
        None => label.to_owned(),
        Some(name) => format!("{label}{IN}{name}"),
    }
}

/// The name of the configuration in what [`configured`] gives.
pub(crate) fn configuration(label: &str) -> Option<&str> {
    label
        .rsplit_once(IN)
        .map(|(_, configuration)| configuration)
}

impl Label {
    /// The label of `name` in `package`.
    pub(crate) fn new(package: NeutralPath, name: impl Into<String>) -> Self {
        Label {
            package,
            name: name.into(),
            configuration: None,
        }
    }

    /// Reads what [`configured`] and `Display` write.
    pub(crate) fn parse_configured(text: &str) -> Result<Label, String> {
        match text.rsplit_once(IN) {
            None => Label::parse(text, None),
            Some((label, configuration)) => Ok(Label {
                configuration: Some(configuration.into()),
                ..Label::parse(label, None)?
            }),
        }
    }

    /// Reads `//pkg:name` or `//pkg`; with `from`, also `:name`. The error says what is wrong.
    pub(crate) fn parse(text: &str, from: Option<&NeutralPath>) -> Result<Label, String> {
        if text.contains(IN) {
            return Err(format!(
                "\"{text}\" names a configuration, which a label does not; use configured(target, …)"
            ));
        }
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
        if !self.name.is_empty() {
            write!(f, ":{}", self.name)?;
        }
        match &self.configuration {
            None => Ok(()),
            Some(configuration) => write!(f, "{IN}{configuration}"),
        }
    }
}
