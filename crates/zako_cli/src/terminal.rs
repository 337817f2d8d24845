//! Where text goes: messages to standard error, products to standard output.
//!
//! Every byte that zako prints while it works passes here, except for the argument parser's own messages and
//! [`crate::bug`]'s. **Invariant:** a closed pipe is never an error of ours.

use std::ffi::OsStr;
use std::io::{self, ErrorKind, IsTerminal, Write};

use console::{Style, Term};
use zako_core::Diagnostic;

use crate::arguments::{ColorChoice, Verbosity};
use crate::failure::io_failure;
use crate::rendering::Renderer;

/// Columns where the terminal does not say.
const DEFAULT_WIDTH: u16 = 100;

/// Where messages go and how they look.
#[derive(Debug, Clone)]
pub(crate) struct Terminal {
    verbosity: Verbosity,
    interactive: bool,
    palette: Palette,
    product_palette: Palette,
    renderer: Renderer,
}

/// Colours, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Palette {
    color: bool,
}

impl Palette {
    /// Text without colours.
    #[cfg(test)]
    pub(crate) const PLAIN: Palette = Palette { color: false };

    fn paint(self, style: Style, text: &str) -> String {
        if self.color {
            style.force_styling(true).apply_to(text).to_string()
        } else {
            text.to_owned()
        }
    }

    /// What went well.
    pub(crate) fn good(self, text: &str) -> String {
        self.paint(Style::new().green().bold(), text)
    }

    /// What may be wrong.
    pub(crate) fn doubtful(self, text: &str) -> String {
        self.paint(Style::new().yellow().bold(), text)
    }

    /// What is wrong.
    pub(crate) fn bad(self, text: &str) -> String {
        self.paint(Style::new().red().bold(), text)
    }

    /// What may be overlooked.
    pub(crate) fn faint(self, text: &str) -> String {
        self.paint(Style::new().dim(), text)
    }
}

impl Terminal {
    /// Decides from the command line, the environment and what standard error is.
    pub(crate) fn new(choice: ColorChoice, verbosity: Verbosity) -> Terminal {
        let dumb = std::env::var_os("TERM").as_deref() == Some(OsStr::new("dumb"));
        let interactive = io::stderr().is_terminal() && !dumb;
        let no_color = std::env::var_os("NO_COLOR");
        let force = std::env::var_os("CLICOLOR_FORCE");
        let color = |terminal| wants_color(choice, terminal, no_color.as_deref(), force.as_deref());
        let product_palette = Palette {
            color: color(io::stdout().is_terminal() && !dumb),
        };
        let color = color(interactive);
        let width = Term::stderr()
            .size_checked()
            .map_or(DEFAULT_WIDTH, |(_, columns)| columns);
        Terminal {
            verbosity,
            interactive,
            palette: Palette { color },
            product_palette,
            renderer: Renderer::new(color, interactive, usize::from(width)),
        }
    }

    /// How much to say.
    pub(crate) fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    /// Whether a person looks at standard error as it changes.
    pub(crate) fn is_interactive(&self) -> bool {
        self.interactive
    }

    /// Its colours.
    pub(crate) fn palette(&self) -> Palette {
        self.palette
    }

    /// The colours of what goes to standard output, which may be a file while messages go to a terminal.
    pub(crate) fn product_palette(&self) -> Palette {
        self.product_palette
    }

    /// How it shows errors.
    pub(crate) fn renderer(&self) -> &Renderer {
        &self.renderer
    }

    /// Starts zako's own log on standard error, if so much was asked for.
    pub(crate) fn trace(&self) {
        let level = match self.verbosity {
            Verbosity::Debug => "warn,zako=debug",
            Verbosity::Trace => "debug,zako=trace",
            _ => return,
        };
        tracing_subscriber::fmt()
            .with_env_filter(level)
            .with_writer(io::stderr)
            .with_ansi(self.palette.color)
            .init();
    }

    /// A message for people: a line, or some, unless quiet.
    pub(crate) fn say(&self, text: &str) {
        if self.verbosity > Verbosity::Quiet {
            write_message(text);
        }
    }

    /// An error or a warning.
    pub(crate) fn show(&self, diagnostic: &Diagnostic) {
        write_message(&self.renderer.render(diagnostic));
    }

    /// What a command was asked for, to standard output.
    pub(crate) fn product(&self, text: &str) -> Result<(), Diagnostic> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            // Whoever reads it has read enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            result => result.map_err(|error| io_failure("write to standard output", &error)),
        }
    }
}

/// Text to standard error, ending with a line break.
pub(crate) fn write_message(text: &str) {
    let text = if text.ends_with('\n') {
        text.to_owned()
    } else {
        format!("{text}\n")
    };
    // In one piece, so that lines of other processes do not come between. Nowhere to say that it failed.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// <https://no-color.org> and <https://bixense.com/clicolors>: set and not empty counts; the command line comes first.
fn wants_color(
    choice: ColorChoice,
    interactive: bool,
    no_color: Option<&OsStr>,
    force: Option<&OsStr>,
) -> bool {
    let is_set = |value: Option<&OsStr>| value.is_some_and(|value| !value.is_empty());
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto if is_set(no_color) => false,
        ColorChoice::Auto => interactive || (is_set(force) && force != Some(OsStr::new("0"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_follows_the_command_line_then_the_environment_then_the_terminal() {
        let set = Some(OsStr::new("1"));
        let off = Some(OsStr::new("0"));
        let empty = Some(OsStr::new(""));
        assert!(wants_color(ColorChoice::Auto, true, None, None));
        assert!(!wants_color(ColorChoice::Auto, false, None, None));
        assert!(!wants_color(ColorChoice::Auto, true, set, None));
        assert!(wants_color(ColorChoice::Auto, true, empty, None));
        assert!(wants_color(ColorChoice::Auto, false, None, set));
        assert!(!wants_color(ColorChoice::Auto, false, None, off));
        assert!(!wants_color(ColorChoice::Auto, false, set, set));
        assert!(wants_color(ColorChoice::Always, false, set, None));
        assert!(!wants_color(ColorChoice::Never, true, None, set));
    }

    #[test]
    fn no_colour_changes_nothing() {
        assert_eq!(Palette::PLAIN.bad("x"), "x");
        assert_eq!(
            Palette { color: true }.bad("x"),
            "\u{1b}[31m\u{1b}[1mx\u{1b}[0m"
        );
    }
}
