//! Patterns: what a person writes to say which targets (docs/scripts.md: "Patterns").

use zako_path::NeutralPath;

use crate::label::IN;

/// Which targets a person means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// Whether it takes away instead of adding.
    pub(crate) exclude: bool,
    /// Which packages.
    pub(crate) packages: Packages,
    /// Which targets of them.
    pub(crate) names: Names,
    /// The one output that is meant (`#header`), instead of all.
    pub(crate) output: Option<String>,
    /// As written.
    pub(crate) text: String,
}

/// Which packages a pattern means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Packages {
    /// Just this one.
    One(NeutralPath),
    /// This one, if it is one, and all below it.
    Below(NeutralPath),
}

/// Which targets of its packages a pattern means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Names {
    /// All but those tagged `manual`.
    All,
    /// Those of this name; the empty name is the default export, or the whole package when there is none.
    Named(String),
}

impl Pattern {
    /// Reads a pattern; relative ones start from the folder `from`. The error says what is wrong.
    pub(crate) fn parse(text: &str, from: &NeutralPath) -> Result<Pattern, String> {
        if text.contains(IN) {
            return Err(format!(
                "\"{text}\" names a configuration; say which with --profile or -D"
            ));
        }
        let (exclude, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (rest, output) = match rest.split_once('#') {
            Some((_, "")) => return Err(format!("\"{text}\" has no output's name after the #")),
            Some((rest, output)) => (rest, Some(output.to_owned())),
            None => (rest, None),
        };
        let (path, name) = match rest.split_once(':') {
            Some((_, "")) => return Err(format!("\"{text}\" has no name after the colon")),
            Some((path, name)) => (path, Some(name)),
            None => (rest, None),
        };
        let bad = |e: zako_path::PathError| format!("\"{text}\" is not a pattern: {e}");
        let resolve = |path: &str| match path.strip_prefix("//") {
            Some(absolute) => NeutralPath::normalize(absolute).map_err(bad),
            None if path.is_empty() => Ok(from.clone()),
            None => from.resolve(path.trim_end_matches('/')).map_err(bad),
        };
        let below = path == "..." || path.ends_with("/...");
        let packages = if below {
            let base = path.strip_suffix("...").unwrap_or(path);
            // `//...` is everything: the slashes are the root's, not a trailing one.
            let base = if base == "//" {
                "//"
            } else {
                base.trim_end_matches('/')
            };
            Packages::Below(resolve(base)?)
        } else {
            Packages::One(resolve(path)?)
        };
        let names = match name {
            Some("*") => Names::All,
            Some(name) => Names::Named(name.to_owned()),
            None if below => Names::All,
            None => Names::Named(String::new()),
        };
        Ok(Pattern {
            exclude,
            packages,
            names,
            output,
            text: text.to_owned(),
        })
    }

    /// Whether it means packages at `package`.
    pub(crate) fn covers(&self, package: &NeutralPath) -> bool {
        match &self.packages {
            Packages::One(one) => one == package,
            Packages::Below(base) => package.starts_with(base),
        }
    }

    /// Whether it names one target that must exist.
    pub(crate) fn is_exact(&self) -> bool {
        !self.exclude && matches!(self.packages, Packages::One(_))
    }
}

#[cfg(test)]
mod tests {
    use super::{Names, Packages, Pattern};
    use zako_path::NeutralPath;

    fn path(text: &str) -> NeutralPath {
        NeutralPath::new(text).expect("a path")
    }

    #[test]
    fn each_form_means_what_it_says() {
        let from = path("lib");
        for (text, packages, names) in [
            ("//...", Packages::Below(path("")), Names::All),
            ("...", Packages::Below(path("lib")), Names::All),
            ("//a/...", Packages::Below(path("a")), Names::All),
            ("a/...", Packages::Below(path("lib/a")), Names::All),
            ("//a:*", Packages::One(path("a")), Names::All),
            (":x", Packages::One(path("lib")), Names::Named("x".into())),
            (
                "a/b:x",
                Packages::One(path("lib/a/b")),
                Names::Named("x".into()),
            ),
            ("../a:x", Packages::One(path("a")), Names::Named("x".into())),
            ("//a", Packages::One(path("a")), Names::Named(String::new())),
            (
                "//...:lint",
                Packages::Below(path("")),
                Names::Named("lint".into()),
            ),
        ] {
            let pattern = Pattern::parse(text, &from).expect(text);
            assert_eq!(
                (pattern.packages, pattern.names, pattern.exclude),
                (packages, names, false),
                "{text}"
            );
        }
        let pattern = Pattern::parse("-//x/...", &from).expect("valid");
        assert!(pattern.exclude && pattern.covers(&path("x/y")) && !pattern.covers(&path("xy")));
        let pattern = Pattern::parse("//p:t#header", &from).expect("valid");
        assert_eq!(pattern.output.as_deref(), Some("header"));
        for bad in ["//a:b @release", "//a:", "//../x:y", "//a:b#", "../../x:y"] {
            assert!(Pattern::parse(bad, &from).is_err(), "{bad}");
        }
    }
}
