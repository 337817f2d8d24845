//! Amounts as people write and read them: bytes and durations.
//!
//! Plain functions over text; errors are one line without a full stop, for the argument parser to show.

use std::time::Duration;

const UNITS: [(&str, u64); 10] = [
    ("b", 1),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("", 1),
];

/// Bytes from text as `2GiB`, `1.5GiB`, `512MiB`, `500MB` or `1048576`; at least 1.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let advice =
        || format!("`{text}` is no size: write bytes, or a number with KiB, MiB or GiB, as 512MiB");
    let (number, unit) = split(text).ok_or_else(advice)?;
    let unit = unit.to_ascii_lowercase();
    let factor = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(advice)?
        .1;
    let bytes = match number.parse::<u64>() {
        Ok(whole) => whole
            .checked_mul(factor)
            .ok_or_else(|| format!("`{text}` is more than can be counted"))?,
        Err(_) => scaled(number, factor).ok_or_else(advice)?,
    };
    if bytes == 0 {
        Err(format!("`{text}` is nothing: at least one byte is needed"))
    } else {
        Ok(bytes)
    }
}

/// A duration from text as `90s`, `1.5s`, `500ms`, `5m`, `1h`, or seconds; more than nothing.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let advice = || {
        format!("`{text}` is no duration: write seconds, or a number with ms, s, m or h, as 90s")
    };
    let (number, unit) = split(text).ok_or_else(advice)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(advice()),
    };
    match scaled(number, milliseconds).ok_or_else(advice)? {
        0 => Err(format!("`{text}` is no time at all")),
        milliseconds => Ok(Duration::from_millis(milliseconds)),
    }
}

/// A positive decimal number times `factor`, rounded down; `None` for what is none or does not fit.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    // Below 2^53 every whole number is exact; what is beyond is rejected.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number: f64 = number.parse().ok()?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "a factor is a small round number"
    )]
    let product = number * factor as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be in range"
    )]
    (0.0..EXACT).contains(&product).then_some(product as u64)
}

/// The number and the unit after it.
fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (!number.is_empty()).then_some((number, unit.trim_start()))
}

/// Bytes for people: `1.5 GiB`, `12 MiB`, `800 B`.
pub(crate) fn show_bytes(bytes: u64) -> String {
    let mut rest = bytes;
    let mut tenths = 0;
    let mut unit = 0;
    while rest >= 1024 && unit < 4 {
        tenths = rest % 1024 * 10 / 1024;
        rest /= 1024;
        unit += 1;
    }
    let unit = ["B", "KiB", "MiB", "GiB", "TiB"][unit];
    if rest < 10 && tenths > 0 {
        format!("{rest}.{tenths} {unit}")
    } else {
        format!("{rest} {unit}")
    }
}

/// Milliseconds for people: `0.12 s`, `12.3 s`, `3 min 5 s`.
pub(crate) fn show_millis(milliseconds: u64) -> String {
    match milliseconds {
        0..10_000 => format!("{}.{:02} s", milliseconds / 1000, milliseconds % 1000 / 10),
        10_000..60_000 => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
        _ => format!(
            "{} min {} s",
            milliseconds / 60_000,
            milliseconds % 60_000 / 1000
        ),
    }
}

/// `"1 target"`, `"2 targets"`.
pub(crate) fn show_count(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(parse_bytes("2GiB"), Ok(2 << 30));
        assert_eq!(parse_bytes("1.5 GiB"), Ok(3 << 29));
        assert_eq!(parse_bytes("512mib"), Ok(512 << 20));
        assert_eq!(parse_bytes("500MB"), Ok(500_000_000));
        assert_eq!(parse_bytes("1048576"), Ok(1 << 20));
    }

    #[test]
    fn what_is_no_size_is_refused_with_advice() {
        for text in ["", "GiB", "2GiBs", "-1", "two", "1.2.3MiB", "2 apples"] {
            let error = parse_bytes(text).expect_err(text);
            assert!(error.contains("as 512MiB"), "{error}");
        }
        assert!(
            parse_bytes("0")
                .expect_err("nothing")
                .contains("at least one byte")
        );
        assert!(
            parse_bytes("99999999999TiB")
                .expect_err("too much")
                .contains("more than can be counted")
        );
    }

    #[test]
    fn durations_are_read() {
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_duration("1h"), Ok(Duration::from_secs(3600)));
        for text in ["", "s", "5 weeks", "0", "0.0001s", "-1s"] {
            parse_duration(text).expect_err(text);
        }
    }

    #[test]
    fn amounts_are_shown_shortly() {
        let sizes = [0, 800, 1024, 1536, 12 << 20, (3 << 29) + 5, 20 << 30].map(show_bytes);
        assert_eq!(
            sizes,
            [
                "0 B", "800 B", "1 KiB", "1.5 KiB", "12 MiB", "1.5 GiB", "20 GiB"
            ]
        );
        let times = [0, 7, 120, 9_999, 12_345, 185_000].map(show_millis);
        assert_eq!(
            times,
            [
                "0.00 s",
                "0.00 s",
                "0.12 s",
                "9.99 s",
                "12.3 s",
                "3 min 5 s"
            ]
        );
        assert_eq!(
            [show_count(1, "target"), show_count(0, "target")],
            ["1 target", "0 targets"]
        );
    }
}
