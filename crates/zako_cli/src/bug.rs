//! What a person sees when zako itself fails: one message, never a backtrace of ours.
//!
//! It must never know what was being done: the hook runs in any thread, at any moment.

use std::io::Write;
use std::panic::PanicHookInfo;
use std::sync::Once;

/// Makes every panic print [`message`], the first one only: those that follow are its consequences.
pub(crate) fn report_panics() {
    static FIRST: Once = Once::new();
    std::panic::set_hook(Box::new(|info| {
        FIRST.call_once(|| {
            // Nothing can be done when standard error is gone too.
            let _ = std::io::stderr().write_all(message(&what(info), &place(info)).as_bytes());
        });
    }));
}

/// The text for a panic that said `what` at `place`.
fn message(what: &str, place: &str) -> String {
    format!(
        "\nerror: this is a bug in zako: {what}\n  at {place}, in zako {version} on {os} {arch}\n  help: it is not your \
         fault; please report it with these lines and the command that you ran\n",
        version = env!("CARGO_PKG_VERSION"),
        os = std::env::consts::OS,
        arch = std::env::consts::ARCH,
    )
}

fn what(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it stopped without saying why").to_owned()
}

fn place(info: &PanicHookInfo<'_>) -> String {
    info.location()
        .map_or_else(|| "an unknown place".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn the_message_says_whose_fault_it_is_and_what_to_do() {
        let text = message("index out of bounds", "crates/x.rs:1:2");
        assert!(text.starts_with(
            "\nerror: this is a bug in zako: index out of bounds\n  at crates/x.rs:1:2, in zako "
        ));
        assert!(text.ends_with("the command that you ran\n"));
    }
}
