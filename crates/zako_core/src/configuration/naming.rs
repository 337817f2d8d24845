//! What a configuration is called: a part of its targets' labels and of their outputs' paths.

use super::Values;
use crate::codec::{encoded, fingerprint};

/// The longest name that is put together of words, in bytes.
const MAX_NAME: usize = 60;

/// How much of a name is left before the number that tells it apart, in bytes.
const STEM: usize = 40;

/// Whether it can be a part of a name: then no two names are put together the same way.
pub(crate) fn is_word(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    !text.is_empty() && text.bytes().all(plain)
}

/// The name of what `settings` make of the base. `shown` gives the name of an option when that means just that option;
/// such names have no `-`. `is_taken` knows the names that mean something else.
pub(super) fn name<'a>(
    settings: &'a Values,
    shown: impl Fn(&'a str) -> Option<&'a str>,
    is_taken: impl Fn(&str) -> bool,
) -> String {
    let mut is_exact = true;
    let words: Vec<String> = settings
        .iter()
        .map(|(id, value)| {
            let option = shown(id).unwrap_or_else(|| {
                is_exact = false;
                id.rsplit_once('#').map_or(id, |(_, export)| export)
            });
            is_exact &= is_word(option) && !option.contains('-') && is_word(value);
            format!("{option}-{value}")
        })
        .collect();
    let name = words.join("+");
    if is_exact && name.len() <= MAX_NAME && !is_taken(&name) {
        return name;
    }
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() || "_.-+".contains(c) => c,
        _ => '_',
    };
    let stem: String = name.chars().map(plain).take(STEM).collect();
    let number = hex::encode(&fingerprint(&encoded(settings))[..6]);
    format!("{stem}~{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> Values {
        let own = |(id, value): &(&str, &str)| ((*id).to_owned(), (*value).to_owned());
        pairs.iter().map(own).collect()
    }

    fn of(pairs: &[(&str, &str)]) -> String {
        let settings = values(pairs);
        name(
            &settings,
            |id| id.strip_prefix("//a.config.ts#"),
            |name| name == "mode-taken",
        )
    }

    #[test]
    fn names_are_words_or_numbered() {
        assert_eq!(of(&[("//a.config.ts#mode", "fast")]), "mode-fast");
        assert_eq!(
            of(&[("//a.config.ts#lto", "true"), ("//a.config.ts#mode", "a-b")]),
            "lto-true+mode-a-b"
        );
        let numbered = |pairs: &[(&str, &str)], stem: &str| {
            let name = of(pairs);
            let (start, number) = name.split_once('~').expect("it is numbered");
            assert_eq!((start, number.len()), (stem, 12), "{name}");
            assert_eq!(name, of(pairs));
            name
        };
        let one = numbered(&[("//b.config.ts#mode", "fast")], "mode-fast");
        let two = numbered(&[("//c.config.ts#mode", "fast")], "mode-fast");
        assert_ne!(one, two, "options that are called the same");
        numbered(&[("//a.config.ts#mode", "a/b c")], "mode-a_b_c");
        numbered(&[("//a.config.ts#mode", "x+lto-true")], "mode-x+lto-true");
        numbered(&[("//a.config.ts#mode", "taken")], "mode-taken");
        numbered(&[("//a.config.ts#mode", &"x".repeat(80))], &of_length(40));
    }

    fn of_length(length: usize) -> String {
        format!("mode-{}", "x".repeat(length - 5))
    }
}
