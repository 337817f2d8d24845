//! What keeps a file name from existing on Windows.
//!
//! Facts from Microsoft's "Naming Files, Paths, and Namespaces".

/// What is wrong with one component, to follow its path in a message.
pub(crate) fn problem(name: &str) -> Option<&'static str> {
    if name.ends_with('.') {
        Some("ends in a dot, which Windows drops")
    } else if name.ends_with(' ') {
        Some("ends in a space, which Windows drops")
    } else if name.contains(['<', '>', ':', '"', '|', '?', '*']) {
        Some("contains one of <>:\"|?*, which Windows does not allow")
    } else if name.contains(|c: char| c < ' ') {
        Some("contains a control character, which Windows does not allow")
    } else if is_device(name) {
        Some("is a device name on Windows")
    } else if name.encode_utf16().count() > 255 || name.len() > 255 {
        Some("is longer than 255 characters")
    } else {
        None
    }
}

/// Whether the name, up to its first dot and without spaces before that, is a reserved device.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end_matches(' ');
    if ["con", "prn", "aux", "nul", "conin$", "conout$"]
        .iter()
        .any(|d| stem.eq_ignore_ascii_case(d))
    {
        return true;
    }
    let mut chars = stem.chars();
    let Some(number) = chars.next_back() else {
        return false;
    };
    let port = chars.as_str();
    // The superscript digits count too.
    (port.eq_ignore_ascii_case("com") || port.eq_ignore_ascii_case("lpt"))
        && matches!(number, '1'..='9' | '¹' | '²' | '³')
}

#[cfg(test)]
mod tests {
    use super::problem;

    #[test]
    fn finds_what_windows_refuses() {
        for bad in [
            "con",
            "CON",
            "nul.txt",
            "Aux.tar.gz",
            "com1",
            "LPT9.log",
            "com²",
            "prn .c",
            "a.",
            "a ",
            "a:b",
            "what?",
            "a*b",
            "<x>",
            "tab\there",
        ] {
            assert!(problem(bad).is_some(), "{bad:?}");
        }
        assert!(problem(&"x".repeat(256)).is_some());
    }

    #[test]
    fn leaves_the_rest_alone() {
        for good in [
            "console", "com", "com0", "com10", "null.c", ".con", "a b", "été", "lpt", "xcom1", "-",
        ] {
            assert_eq!(problem(good), None, "{good:?}");
        }
    }
}
