//! The command line of an action, as scripts write it: strings, files, joined text, sets, and what the functions of `args`
//! make of many items.
//!
//! Read for `task` and `ctx.run` alike. What has a set or a response file in it stays as [`Word`]s until the action is
//! needed; the rest becomes text at once.

use std::fmt::Write as _;

use zako_action::ToolRef;
use zako_path::NeutralPath;
use zako_script::{ArgsPart, ArtifactRef, Value};

use super::depset::{SetId, SetItem, Sets};
use super::fields::{Fields, FileRef, set_id};

/// How long a command line may be, in bytes, before `args.responseFile` moves its items into a file: the least of what the
/// systems allow that zako is for (32,767 characters on Windows; Linux allows 2 MiB, and 128 KiB a word).
pub(crate) const MAX_COMMAND_BYTES: usize = 32_000;

/// A program of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostTool {
    pub(crate) path: String,
    /// Its version, when that is its identity.
    pub(crate) version: Option<String>,
}

impl HostTool {
    pub(super) fn reference(&self) -> ToolRef {
        let path = self.path.clone();
        match self.version.clone() {
            None => ToolRef::Host(path),
            Some(version) => ToolRef::Versioned { path, version },
        }
    }
}

/// The programs of the machine among a command's `items`, as an action names them. What runs first is a tool anyway, so it is named only
/// when it is known by its version.
pub(super) fn host_references(items: &[Item]) -> impl Iterator<Item = ToolRef> {
    let runs_one = matches!(items.first(), Some(Item::Tool(_)));
    let tools = host_tools(items).into_iter().enumerate();
    tools
        .filter(move |(at, tool)| *at > 0 || !runs_one || tool.version.is_some())
        .map(|(_, tool)| tool.reference())
}

/// One item of a command, before its files are looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    Text(String),
    File(FileRef),
    /// A program of the machine.
    Tool(HostTool),
    Set(SetId),
    Joined(Vec<Item>),
    Part(Form, Vec<Item>),
    /// All inputs of a task.
    In,
    /// All outputs of a task.
    Out,
    /// One output of a task, by its name.
    OutNamed(String),
}

/// What becomes of the items of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// This word before each.
    Each(String),
    /// This text before each, in one word.
    Prefix(String),
    /// All in one word, with this between them and that before; none gives no word.
    Join { separator: String, prefix: String },
    /// All in one word, even when there are none.
    Concat,
    /// In a file when the command is long.
    Response(Response),
}

/// A file that has arguments in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    /// What the word that names the file begins with, as `@`.
    pub(crate) prefix: String,
    pub(crate) format: ResponseFormat,
    /// Whether it is written for a short command, too.
    pub(crate) always: bool,
}

/// How arguments stand in a response file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseFormat {
    /// One a line; what splits words is escaped by a backslash, as gcc, clang, ar and ld read them.
    Gnu,
    /// One a line, as they are (rustc, javac's `--release` lists).
    Lines,
}

/// One item of a command whose files are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    Text(String),
    Set(SetId),
    Part(Form, Vec<Word>),
}

/// Reads one item; `own` says what only `task` has.
pub(super) fn item(
    of: &'static str,
    value: &Value,
    own: &dyn Fn(&str) -> Option<Item>,
) -> Result<Item, String> {
    match value {
        Value::String(text) => Ok(own(text).unwrap_or_else(|| Item::Text(text.clone()))),
        Value::Joined(parts) => parts
            .iter()
            .map(|part| item(of, part, &|_| None))
            .collect::<Result<_, _>>()
            .map(Item::Joined),
        Value::Depset(set) => Ok(Item::Set(set_id(set)?)),
        Value::Artifact(ArtifactRef::Tool { path, version }) => Ok(Item::Tool(HostTool {
            path: path.clone(),
            version: version.clone(),
        })),
        Value::Args(part) => made(of, part),
        Value::Array(_) => Err(format!(
            "the command of {of} has a list inside the list; spread it with …"
        )),
        other => match FileRef::of(other) {
            Some(file) => Ok(Item::File(file)),
            None => {
                let (key, more) = match of {
                    "task" => ("command", "targets"),
                    _ => ("args", "depsets"),
                };
                let kind = other.kind();
                Err(format!(
                    "\"{key}\" of {of} takes strings, files and {more}, not {kind}"
                ))
            }
        },
    }
}

/// What a function of `args` made.
fn made(of: &'static str, part: &ArgsPart) -> Result<Item, String> {
    let fields = Fields {
        of: "args",
        fields: &part.fields,
    };
    let text = |key: &str| Ok::<_, String>(fields.text(key)?.unwrap_or_default());
    let form = match part.form.as_str() {
        "each" => Form::Each(text("flag")?),
        "prefix" => Form::Prefix(text("prefix")?),
        "join" => Form::Join {
            separator: text("separator")?,
            prefix: text("prefix")?,
        },
        "responseFile" => Form::Response(Response {
            prefix: fields.text("prefix")?.unwrap_or_else(|| "@".to_owned()),
            format: match fields.text("format")?.as_deref() {
                None | Some("gnu") => ResponseFormat::Gnu,
                Some("lines") => ResponseFormat::Lines,
                Some(other) => {
                    return Err(format!(
                        "args.responseFile has the formats \"gnu\" and \"lines\", not \"{other}\""
                    ));
                }
            },
            always: fields.flag("always", false)?,
        }),
        other => return Err(format!("there is no args.{other}")),
    };
    let mut items = Vec::new();
    let mut open: Vec<&Value> = fields.get("items").into_iter().collect();
    while let Some(value) = open.pop() {
        match value {
            Value::Array(values) => open.extend(values.iter().rev()),
            other => {
                let item = item(of, other, &|_| None)?;
                if has_response(&item) {
                    return Err(format!(
                        "args.responseFile is an item of the command of {of} itself, and no part of another item"
                    ));
                }
                items.push(item);
            }
        }
    }
    Ok(Item::Part(form, items))
}

/// The programs of the machine among `items`, in order.
fn host_tools(items: &[Item]) -> Vec<&HostTool> {
    let tools = items.iter().flat_map(|item| match item {
        Item::Tool(tool) => vec![tool],
        Item::Part(_, items) | Item::Joined(items) => host_tools(items),
        _ => Vec::new(),
    });
    tools.collect()
}

fn has_response(item: &Item) -> bool {
    match item {
        Item::Part(Form::Response(_), _) => true,
        Item::Part(_, items) | Item::Joined(items) => items.iter().any(has_response),
        _ => false,
    }
}

/// What the files of a command are.
pub(super) trait Paths {
    /// The paths that `file` stands for; those that are read go to `used`.
    fn paths(
        &self,
        file: &FileRef,
        used: &mut Vec<NeutralPath>,
    ) -> Result<Vec<NeutralPath>, String>;
    /// The words of what only `task` has.
    fn own(&self, item: &Item) -> Result<Vec<String>, String>;
}

/// The words of `items`, and into `used` the files that they read.
pub(super) fn words(
    items: &[Item],
    paths: &dyn Paths,
    used: &mut Vec<NeutralPath>,
) -> Result<Vec<Word>, String> {
    let mut words = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Item::Text(text) | Item::Tool(HostTool { path: text, .. }) => {
                words.push(Word::Text(text.clone()));
            }
            Item::Set(set) => words.push(Word::Set(*set)),
            Item::File(file) => words.extend(
                paths
                    .paths(file, used)?
                    .into_iter()
                    .map(|path| Word::Text(path.to_string())),
            ),
            Item::Joined(parts) => {
                let mut joined = Vec::with_capacity(parts.len());
                for part in parts {
                    let form = Form::Join {
                        separator: " ".to_owned(),
                        prefix: String::new(),
                    };
                    let inner = self::words(std::slice::from_ref(part), paths, used)?;
                    joined.push(Word::Part(form, inner));
                }
                words.push(Word::Part(Form::Concat, joined));
            }
            Item::Part(form, items) => {
                let inner = self::words(items, paths, used)?;
                words.push(Word::Part(form.clone(), inner));
            }
            Item::In | Item::Out | Item::OutNamed(_) => {
                words.extend(paths.own(item)?.into_iter().map(Word::Text));
            }
        }
    }
    Ok(words)
}

impl Word {
    /// Whether its text is known only when the action is needed.
    fn is_late(&self) -> bool {
        match self {
            Word::Text(_) => false,
            Word::Set(_) | Word::Part(Form::Response(_), _) => true,
            Word::Part(_, words) => words.iter().any(Word::is_late),
        }
    }
}

/// The words of a command that has nothing late in it.
pub(super) fn plain(words: &[Word]) -> Option<Vec<String>> {
    if words.iter().any(Word::is_late) {
        return None;
    }
    Some(written(words, &Sets::default(), "").argv)
}

/// A command that is written out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) argv: Vec<String>,
    /// The files in sets among the words.
    pub(crate) files: Vec<NeutralPath>,
    /// The response files, each with its text.
    pub(crate) responses: Vec<(String, String)>,
    /// What is wrong with an argument.
    pub(crate) fault: Option<String>,
}

/// Writes `words` out; `base` is what the paths of response files begin with.
pub(crate) fn written(words: &[Word], sets: &Sets, base: &str) -> Written {
    let mut out = Written::default();
    // Where in `argv` the items of each response file begin and end.
    let mut moved: Vec<(usize, usize, &Response)> = Vec::new();
    for word in words {
        let from = out.argv.len();
        match word {
            Word::Part(Form::Response(response), inner) => {
                for word in inner {
                    let texts = texts(word, sets, &mut out.files);
                    out.argv.extend(texts);
                }
                moved.push((from, out.argv.len(), response));
            }
            word => {
                let texts = texts(word, sets, &mut out.files);
                out.argv.extend(texts);
            }
        }
    }
    let length: usize = out.argv.iter().map(|word| word.len() + 1).sum();
    let is_long = length > MAX_COMMAND_BYTES;
    moved.retain(|(_, _, response)| response.always || is_long);
    for (number, (from, to, response)) in moved.into_iter().enumerate().rev() {
        let path = match number {
            0 => format!("{base}.args"),
            _ => format!("{base}.{number}.args"),
        };
        let name = format!("{}{path}", response.prefix);
        let items: Vec<String> = out.argv.splice(from..to, [name]).collect();
        match response.format.text(&items) {
            Ok(text) => out.responses.push((path, text)),
            Err(item) => out.fault = Some(item),
        }
    }
    out.responses.reverse();
    out
}

/// All that `words` say, without response files; the files in sets among them go to `files`.
pub(super) fn whole(words: &[Word], sets: &Sets, files: &mut Vec<NeutralPath>) -> Vec<String> {
    let words = words.iter();
    words.flat_map(|word| texts(word, sets, files)).collect()
}

fn texts(word: &Word, sets: &Sets, files: &mut Vec<NeutralPath>) -> Vec<String> {
    match word {
        Word::Text(text) => vec![text.clone()],
        Word::Set(set) => {
            let items = sets.list(*set).into_iter().flat_map(|item| match item {
                SetItem::File(path, _) => {
                    let text = path.to_string();
                    files.push(path);
                    vec![text]
                }
                SetItem::Text(text) => vec![text],
                // A list of strings is those in a row.
                SetItem::Data(text) => serde_json::from_str(&text).unwrap_or_else(|_| vec![text]),
            });
            items.collect()
        }
        Word::Part(form, inner) => {
            let items = inner.iter().flat_map(|word| texts(word, sets, files));
            match form {
                Form::Each(flag) => items.flat_map(|item| [flag.clone(), item]).collect(),
                Form::Prefix(prefix) => items.map(|item| format!("{prefix}{item}")).collect(),
                Form::Join { separator, prefix } => {
                    let items: Vec<String> = items.collect();
                    match items.is_empty() {
                        true => Vec::new(),
                        false => vec![format!("{prefix}{}", items.join(separator))],
                    }
                }
                Form::Concat => vec![items.collect()],
                Form::Response(_) => items.collect(),
            }
        }
    }
}

impl ResponseFormat {
    /// The file's text; the error shows an item that the format cannot say.
    fn text(self, items: &[String]) -> Result<String, String> {
        let mut text = String::new();
        for item in items {
            match self {
                ResponseFormat::Lines if item.contains('\n') => {
                    return Err(format!(
                        "the argument {item:?} has a line break, which a response file of lines cannot hold; use the format \"gnu\""
                    ));
                }
                ResponseFormat::Lines => text.push_str(item),
                ResponseFormat::Gnu if item.is_empty() => text.push_str("\"\""),
                ResponseFormat::Gnu => {
                    for c in item.chars() {
                        if c.is_ascii_whitespace() || matches!(c, '\\' | '"' | '\'') {
                            text.push('\\');
                        }
                        let _infallible = text.write_char(c);
                    }
                }
            }
            text.push('\n');
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(word: &str) -> Word {
        Word::Text(word.to_owned())
    }

    fn argv(words: &[Word]) -> Vec<String> {
        plain(words).expect("nothing is late")
    }

    #[test]
    fn parts_become_words() {
        let items = || vec![text("a"), text("b")];
        let join = |separator: &str, prefix: &str| Form::Join {
            separator: separator.to_owned(),
            prefix: prefix.to_owned(),
        };
        assert_eq!(
            argv(&[Word::Part(Form::Each("-I".into()), items())]),
            ["-I", "a", "-I", "b"]
        );
        assert_eq!(
            argv(&[Word::Part(Form::Prefix("-I".into()), items())]),
            ["-Ia", "-Ib"]
        );
        assert_eq!(argv(&[Word::Part(join(",", "--x="), items())]), ["--x=a,b"]);
        assert_eq!(argv(&[Word::Part(join(",", "--x="), vec![])]), [""; 0]);
        let inner = Word::Part(Form::Prefix("-".into()), items());
        assert_eq!(argv(&[Word::Part(join(":", ""), vec![inner])]), ["-a:-b"]);
    }

    #[test]
    fn a_long_command_has_its_items_in_a_file() {
        let response = |always| {
            Form::Response(Response {
                prefix: "@".to_owned(),
                format: ResponseFormat::Gnu,
                always,
            })
        };
        let sets = Sets::default();
        let command = |always, items: Vec<Word>| {
            let words = [text("ld"), Word::Part(response(always), items), text("-v")];
            written(&words, &sets, "zako-out/x")
        };
        let short = command(false, vec![text("a b")]);
        assert_eq!(short.argv, ["ld", "a b", "-v"]);
        assert_eq!(short.responses, []);
        let asked = command(true, vec![text("a b"), text("\"\\"), text("")]);
        assert_eq!(asked.argv, ["ld", "@zako-out/x.args", "-v"]);
        let wanted = "a\\ b\n\\\"\\\\\n\"\"\n".to_owned();
        assert_eq!(asked.responses, [("zako-out/x.args".to_owned(), wanted)]);
        let long = command(false, vec![text(&"x".repeat(MAX_COMMAND_BYTES))]);
        assert_eq!(long.argv, ["ld", "@zako-out/x.args", "-v"]);
    }

    #[test]
    fn lines_hold_no_line_break() {
        let lines = ResponseFormat::Lines;
        assert_eq!(lines.text(&["a b".to_owned()]), Ok("a b\n".to_owned()));
        assert!(lines.text(&["a\nb".to_owned()]).is_err());
    }
}
