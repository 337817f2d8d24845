//! What zako does itself for an action, without a process: `ctx.write`, `ctx.copy`, `ctx.symlink` and `ctx.tree`, and `fetch`.

use zako_path::NeutralPath;

use crate::fetch::Fetch;

/// The work of an action that runs nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FileWork {
    /// Writes a text to each output.
    Write {
        /// The text.
        text: String,
        /// Whether the file is a program.
        executable: bool,
    },
    /// Copies a file or a directory to the output.
    Copy {
        /// What is copied.
        from: NeutralPath,
    },
    /// Makes the output a relative link.
    Symlink {
        /// What it leads to.
        to: NeutralPath,
    },
    /// Fills the output, a directory, with copies.
    Tree {
        /// Each path below the output, and what is copied there; sorted by path.
        entries: Vec<(NeutralPath, NeutralPath)>,
    },
    /// Gets the output from elsewhere.
    Fetch(Fetch),
}

impl FileWork {
    /// The short word for it.
    pub(crate) fn mnemonic(&self) -> &'static str {
        match self {
            FileWork::Write { .. } => "write",
            FileWork::Copy { .. } => "copy",
            FileWork::Symlink { .. } => "symlink",
            FileWork::Tree { .. } => "tree",
            FileWork::Fetch(_) => "fetch",
        }
    }

    /// What it reads.
    pub(crate) fn inputs(&self) -> Vec<NeutralPath> {
        match self {
            FileWork::Write { .. } | FileWork::Fetch(_) => Vec::new(),
            FileWork::Copy { from: path } | FileWork::Symlink { to: path } => vec![path.clone()],
            FileWork::Tree { entries } => {
                super::fields::unique(entries.iter().map(|(_, source)| source.clone()).collect())
            }
        }
    }
}

/// The text of a relative link at `link` that leads to `target`.
pub(crate) fn link_text(link: &NeutralPath, target: &NeutralPath) -> String {
    let folder: Vec<&str> = link.components().collect();
    let folder = &folder[..folder.len().saturating_sub(1)];
    let target: Vec<&str> = target.components().collect();
    let shared = folder
        .iter()
        .zip(&target)
        .take_while(|(one, other)| one == other)
        .count();
    let up = std::iter::repeat_n("..", folder.len() - shared);
    let words: Vec<&str> = up.chain(target[shared..].iter().copied()).collect();
    match words.is_empty() {
        true => ".".to_owned(),
        false => words.join("/"),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative() {
        let path = |text: &str| NeutralPath::new(text).unwrap();
        for (link, target, text) in [
            ("zako-out/a/x", "zako-out/a/y", "y"),
            ("zako-out/a/x", "zako-out/b/y", "../b/y"),
            ("zako-out/a/x", "a/y", "../../a/y"),
            ("x", "y", "y"),
        ] {
            assert_eq!(link_text(&path(link), &path(target)), text);
        }
    }
}
