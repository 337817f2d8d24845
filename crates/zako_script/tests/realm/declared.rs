//! The builtins' declarations, which are the reference that editors show.

use zako_script::declarations;

/// The lines of `text` that declare something for authors, each with the doc comment before it.
fn declared(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut comment = "";
    let mut comment_start = None;
    let (mut in_interface, mut in_body) = (false, false);
    let mut at = 0;
    for whole in text.split_inclusive('\n') {
        let line = whole.trim_end();
        let word = line.trim_start();
        let end = at + whole.len();
        if word.starts_with("/**") {
            comment_start = Some(at);
        }
        if let Some(start) = comment_start {
            if word.ends_with("*/") {
                comment = &text[start..end];
                comment_start = None;
            }
            at = end;
            continue;
        }
        let is_export = line.starts_with("export ")
            && !["export {", "export type {"]
                .iter()
                .any(|re_export| line.starts_with(re_export));
        // A member begins at one tab; what it goes on with stands deeper, or closes a bracket.
        let is_member = in_body
            && line
                .strip_prefix('\t')
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_alphabetic() || c == '"'));
        if is_export || is_member {
            found.push((line, comment));
        }
        in_interface |= line.starts_with("export interface ");
        in_body |= in_interface && !line.starts_with('\t') && line.ends_with('{');
        if line == "}" {
            (in_interface, in_body) = (false, false);
        }
        comment = "";
        at = end;
    }
    found
}

#[test]
fn everything_that_authors_see_has_a_doc_comment() {
    let mut count = 0;
    for (specifier, text) in declarations() {
        let found = declared(text);
        assert!(!found.is_empty(), "{specifier} declares nothing");
        count += found.len();
        for (line, comment) in found {
            assert!(
                comment.len() > "/** */\n".len(),
                "{specifier}: no doc comment before {line:?}"
            );
            let is_internal = line.starts_with("\treadonly \"~");
            assert_eq!(
                comment.contains("@ignore"),
                is_internal,
                "{specifier}: {line:?} after {comment}"
            );
        }
    }
    assert!(
        count > 100,
        "only {count} declarations were found: is their form another one?"
    );
}

#[test]
fn a_missing_comment_is_found() {
    let text = "/** A. */\nexport interface A<\n\tN extends string\n> {\n\tx: {\n\t\ty: 1;\n\t};\n\t/** Z. */\n\tz(): void;\n}\nexport type B = 1;\nexport { C };\n";
    assert_eq!(
        declared(text),
        [
            ("export interface A<", "/** A. */\n"),
            ("\tx: {", ""),
            ("\tz(): void;", "\t/** Z. */\n"),
            ("export type B = 1;", ""),
        ]
    );
}
