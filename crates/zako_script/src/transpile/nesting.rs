//! Bounds how deep a source nests before a recursive parser sees it.
//!
//! Counts brackets wherever they stand, strings and comments too: a bound needs no parser. Runs of
//! operators, which nest without brackets, are bounded by the source's size and the thread's stack.

/// The deepest nesting of brackets in a script.
pub(crate) const MAX_NESTING: usize = 2000;

/// The byte at which `source` nests deeper than [`MAX_NESTING`], if it does.
pub(crate) fn too_deep(source: &str) -> Option<usize> {
    // Mostly there are too few brackets at all, which is told without looking at each byte in turn.
    let opening = |byte: &u8| u32::from(matches!(byte, b'(' | b'[' | b'{'));
    if source.as_bytes().iter().map(opening).sum::<u32>() as usize <= MAX_NESTING {
        return None;
    }
    let mut depth = 0_usize;
    for (at, byte) in source.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => {
                depth += 1;
                if depth > MAX_NESTING {
                    return Some(at);
                }
            }
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{MAX_NESTING, too_deep};

    #[test]
    fn the_bound_is_exact() {
        assert_eq!(too_deep(&"(".repeat(MAX_NESTING)), None);
        assert_eq!(too_deep(&"[".repeat(MAX_NESTING + 1)), Some(MAX_NESTING));
        assert_eq!(too_deep(&"{}".repeat(MAX_NESTING * 2)), None);
    }
}
